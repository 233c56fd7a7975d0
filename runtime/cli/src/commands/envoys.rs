//! `envoys`: who is registered at the director.

use clap::{ArgMatches, Args, Command, FromArgMatches};
use veilflow_federated::wire::messages::EnvoyStatus;

use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::remote::Remote;
use crate::remote::connection::ConnectionArgs;
use crate::{clock, json, table};

#[derive(Args, Debug)]
#[group(skip)]
struct EnvoysArgs {
    /// How the envoys are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    output: Shape,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn command(binary: &str) -> Command {
    EnvoysArgs::augment_args(Command::new("envoys")).about("Lists the envoys of a federation").after_help(
        format!("Example:\n  {binary} envoys --director https://director.example:50050 --identity pki/alice"),
    )
}

pub(super) fn envoys(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = EnvoysArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let remote = Remote::connect(&args.connection)?;
    let envoys = remote.wait(remote.client().envoys())?;
    console.print(&match args.output {
        Shape::Table => shown(&envoys),
        Shape::Json => json::pretty(&envoys)?,
    })
}

fn shown(envoys: &[EnvoyStatus]) -> String {
    let titles = ["Name", "Online", "Last Updated", "Experiment Running", "Experiment Name", "Flows"];
    let rows = envoys.iter().map(|envoy| {
        let nothing = || "—".to_owned();
        let flows: Vec<_> = envoy.flows.iter().map(|flow| flow.name.as_str()).collect();
        vec![
            envoy.name.to_string(),
            if envoy.online { "yes" } else { "no" }.to_owned(),
            clock::utc(envoy.updated_ms),
            if envoy.running.is_some() { "yes" } else { "no" }.to_owned(),
            envoy.flow.clone().unwrap_or_else(nothing),
            if flows.is_empty() { nothing() } else { flows.join(", ") },
        ]
    });
    table::outline(titles.map(str::to_owned).to_vec(), rows, |_| false)
}

#[cfg(test)]
mod tests {
    use veilflow_federated::ExperimentId;
    use veilflow_federated::wire::messages::OfferedFlow;

    use super::*;

    #[test]
    fn the_table_has_the_columns_that_are_promised() {
        let flow = OfferedFlow { name: "secagg-mnist".to_owned(), version: 1, fingerprint: None };
        let id: ExperimentId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let busy = EnvoyStatus {
            name: "Bengaluru".into(),
            online: true,
            updated_ms: 1_790_000_000_500,
            running: Some(id),
            flow: Some("secagg-mnist".to_owned()),
            flows: vec![flow.clone(), OfferedFlow { name: "toy".to_owned(), ..flow }],
        };
        let gone = EnvoyStatus {
            name: "Portland".into(),
            online: false,
            running: None,
            flow: None,
            flows: vec![],
            ..busy.clone()
        };
        let expected = "\
+-----------+--------+---------------------+--------------------+-----------------+-------------------+
| Name      | Online | Last Updated        | Experiment Running | Experiment Name | Flows             |
+===========+========+=====================+====================+=================+===================+
| Bengaluru | yes    | 2026-09-21 14:13:20 | yes                | secagg-mnist    | secagg-mnist, toy |
| Portland  | no     | 2026-09-21 14:13:20 | no                 | —               | —                 |
+-----------+--------+---------------------+--------------------+-----------------+-------------------+
";
        assert_eq!(shown(&[busy, gone]), expected);
    }
}
