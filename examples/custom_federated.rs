//! A flow of your own at a federation's sites: this one program is director, envoy and client. Try
//!
//! ```sh
//! alias mine='cargo run -p veilflow-examples --example custom_federated --'
//! mine federation up --envoys Bengaluru,Recife    # a director and two envoys, as processes of this program
//! mine run mean --runtime both --rounds 3         # here, then at the sites: the same table
//! mine api                                        # the same from your own code
//! mine federation down
//! ```
//!
//! On machines of their own: `mine director start --config director.toml`, `mine envoy start --config recife.toml`, as
//! `examples/federation` has them. Director, envoys and clients are built from the same sources.
use std::env;
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use veilflow::cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow::engine::{Event, EventKind};
use veilflow::federated::client::FederatedRuntime;
use veilflow::federated::pki::Identity;
use veilflow::prelude::*;
use veilflow::spec::Signal;

/// The aggregator's state. The director saves it after each step, and goes on from there when it was killed.
#[derive(Clone, Serialize, Deserialize)]
struct Server {
    mean: f64,
    rounds: u32,
}

/// A collaborator's private readings: they stay at its site.
struct Site(Vec<f64>);

impl Server {
    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<f64>> {
        self.rounds = rounds;
        Ok(Foreach::all(self.mean))
    }

    fn average(&mut self, means: Inputs<f64>, cx: &Context) -> Result<Loop<Foreach<f64>, f64>> {
        self.mean = means.values().sum::<f64>() / means.len() as f64;
        cx.row([("Rounds", cx.round().into()), ("Mean", self.mean.into())]);
        let last = cx.round() + 1 >= self.rounds;
        Ok(if last { Loop::Done(self.mean) } else { Loop::Again(Foreach::all(self.mean)) })
    }
}

impl Site {
    fn train(&mut self, mean: f64, _cx: &Context) -> Result<f64> {
        let own = self.0.iter().sum::<f64>() / self.0.len().max(1) as f64;
        Ok(mean + 0.5 * (own - mean))
    }
}

fn mean() -> Flow<Server, Site, u32, f64> {
    let flow = Flow::new("mean", 1).start(Server::start);
    flow.repeat(|round| round.foreach(Site::train).join(Server::average)).end()
}

#[derive(clap::Args)]
struct Options {
    /// How many rounds to run
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// The site's readings, a number in each line [default: the number of letters of its name]
    #[arg(long, value_name = "FILE")]
    readings: Option<std::path::PathBuf>,
}

struct Mean;

impl App for Mean {
    const NAME: &'static str = "mean";
    const ABOUT: &'static str = "Averages readings that stay where they are";
    // A site's own: `[flows.mean] readings = "…"` in its configuration. No client can send it.
    const SITE_OPTIONS: &'static [&'static str] = &["readings"];
    type Options = Options;
    type Aggregator = Server;
    type Collaborator = Site;
    type Params = u32;
    type Report = f64;

    fn flow(_: &Options, _: &Cohort) -> Result<FlowOf<Self>> {
        Ok(mean())
    }

    fn setup(options: &Options, _: &Cohort) -> Result<Setup<Self>> {
        let readings = options.readings.clone();
        let site = move |name: &Name| match &readings {
            None => Ok(Site(vec![name.as_str().len() as f64])),
            Some(file) => {
                let lines = std::fs::read_to_string(file)?;
                Ok(Site(lines.lines().map(|line| line.trim().parse()).collect::<Result<_, _>>()?))
            }
        };
        Ok(Setup::new(Server { mean: 0.0, rounds: 0 }, options.rounds, site))
    }
}

/// What a program of your own does: connect, run the same value that `LocalRuntime` runs, use the report.
async fn api(director: &str, identity: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let rows = |event: &Event| {
        if let EventKind::Signal { signal: Signal::Row(row), .. } = &event.kind {
            tell(&format!("{row:?}"));
        }
    };
    let runtime = FederatedRuntime::connect(director, Identity::load(identity.as_ref())?).await?;
    Ok(runtime.seed(7).observe(Arc::new(rows)).run(&mean(), 3).await?)
}

#[allow(clippy::print_stdout, reason = "an example for the terminal")]
fn tell(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() != Some("api") {
        return veilflow::cli::main(Registry::new().app(Mean));
    }
    let variable =
        |name: &str| env::var(name).map_err(|_| format!("set {name}: `federation up` says to what"));
    let run = || -> Result<f64, Box<dyn std::error::Error>> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(api(&variable("VEILFLOW_DIRECTOR")?, &variable("VEILFLOW_IDENTITY")?))
    };
    match run() {
        Ok(mean) => tell(&format!("the mean is {mean:.3}")),
        Err(error) => {
            tell(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
