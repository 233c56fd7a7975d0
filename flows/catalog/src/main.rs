//! The `veilflow` command: the command line with every shipped flow.

use std::process::ExitCode;

use veilflow::cli::Registry;
use veilflow_mnist::{FedavgMnist, SecaggMnist, bench_train, dataset};

fn main() -> ExitCode {
    let registry =
        Registry::new().app(SecaggMnist).app(FedavgMnist).dataset(dataset()).benchmark(bench_train());
    veilflow::cli::main(registry.version(env!("CARGO_PKG_VERSION")))
}
