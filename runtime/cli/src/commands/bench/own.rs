//! `bench NAME`: a benchmark that the program brings.

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::benchmark::{Bench, Benchmark, Measured};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
struct OwnArgs {
    /// How the measurements are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn command(benchmark: &Benchmark) -> Command {
    let own = (benchmark.flags)(Command::new(benchmark.name));
    OwnArgs::augment_args(own).about(benchmark.about).long_about(None)
}

pub(super) fn run(
    benchmark: &Benchmark,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let args = OwnArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let measured = (benchmark.measure)(&Bench::new(console.log().clone(), matches.clone()));
    let measured = measured.map_err(|error| CliError::Setup { flow: benchmark.name, error })?;
    console.print(&match args.output {
        Format::Table => table(&measured),
        Format::Json => json(&measured),
    })
}

fn table(measured: &[Measured]) -> String {
    let width = measured.iter().map(|measured| measured.what.chars().count()).max().unwrap_or(0);
    let line = |measured: &Measured| {
        let decimals = if measured.value.abs() < 1000.0 { 2 } else { 0 };
        format!("{:<width$}  {:>12.decimals$}\n", measured.what, measured.value)
    };
    measured.iter().map(line).collect()
}

fn json(measured: &[Measured]) -> String {
    let object: serde_json::Map<String, serde_json::Value> =
        measured.iter().map(|measured| (measured.key.to_owned(), measured.value.into())).collect();
    format!("{:#}\n", serde_json::Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_under_their_keys_and_in_a_table() {
        let rate = Measured { key: "train_img_per_cpu_s", what: "training", value: 51_662.4 };
        let ratio = Measured { key: "ratio", what: "of candle's own layers", value: 50.9 };
        let object: serde_json::Value = serde_json::from_str(&json(&[rate, ratio])).unwrap();
        assert_eq!(object, serde_json::json!({"train_img_per_cpu_s": 51_662.4, "ratio": 50.9}));
        assert_eq!(
            table(&[rate, ratio]),
            "training                       51662\nof candle's own layers         50.90\n"
        );
    }
}
