//! `secagg plan`.

use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};
use serde_json::json;
use veilflow_secagg::simulation::Units;
use veilflow_secagg::{Layout, NumShares, Parameters, Plan, Security, Threshold};

use crate::commands::bench::{Here, bytes, part, time};
use crate::console::Console;
use crate::error::CliError;
use crate::table;

pub(super) const EXAMPLE: &str = "--clients 1000 --adversaries 0.05 --dropouts 0.05 --server curious";

const ABOUT: &str = "Finds how many neighbours and which threshold a cohort needs, and what a session costs";

const DETAILS: &str = "\
Without --num-shares and --threshold it finds the smallest neighbourhood (k, t) for which a session is secure but for a
chance of 2^-40, and fails for dropouts with a chance of at most 2^-20 (SecAgg+, Bell et al., CCS 2020). With them it
checks them, and says what would do. Cohorts that are too small for a sparse graph get the complete one. The expected
cost is the least that this machine takes, from unit costs measured now; `bench secagg` measures a whole session.";

/// What a plan is found for.
#[derive(Args, Debug)]
#[group(skip)]
struct PlanArgs {
    /// How many clients are invited
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=100_000))]
    clients: u32,
    /// Which part of the clients helps the server at most, such as 0.05
    #[arg(long, value_name = "F", value_parser = part)]
    adversaries: f64,
    /// Which part of the clients drops out at most, such as 0.05
    #[arg(long, value_name = "F", value_parser = part)]
    dropouts: f64,
    /// What the server does: follow the protocol and be curious, or anything once keys are exchanged
    #[arg(long, value_name = "CLASS", value_enum, default_value_t = Server::SemiMalicious)]
    server: Server,
    /// Checks this number of neighbours: a count, or a fraction of the clients; 1.0 is the complete graph
    #[arg(long, value_name = "K")]
    num_shares: Option<NumShares>,
    /// Checks this threshold: a count, or a fraction of those who hold shares
    #[arg(long, value_name = "T")]
    threshold: Option<Threshold>,
    /// The largest weight of a client, such as its number of examples
    #[arg(long, value_name = "W", default_value_t = Parameters::default().max_weight())]
    max_weight: u64,
    /// How many parameters the model has: the vector's length
    #[arg(long, value_name = "M", default_value_t = 1_000_000)]
    vector: usize,
    /// How many values a parameter is rounded to
    #[arg(long, value_name = "R", default_value_t = Parameters::default().quantization_range())]
    quantization_range: u64,
    /// Parameters are clipped to plus and minus this
    #[arg(long, value_name = "C", default_value_t = Parameters::default().clipping_range())]
    clipping_range: f64,
    /// How the plan is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Server {
    Curious,
    SemiMalicious,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The grammar of `secagg plan`.
pub(super) fn command(binary: &str) -> Command {
    PlanArgs::augment_args(Command::new("plan"))
        .about(ABOUT)
        .after_help(format!("{DETAILS}\n\nExample:\n  {binary} secagg plan {EXAMPLE}"))
}

pub(super) fn plan(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = PlanArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let parameters = match args.server {
        Server::Curious => {
            Parameters::new().with_security(Security::SemiHonest).with_colluders(args.adversaries)
        }
        Server::SemiMalicious => {
            Parameters::new().with_security(Security::Malicious { adversaries: args.adversaries })
        }
    };
    let parameters = parameters
        .with_dropouts(args.dropouts)
        .with_num_shares(args.num_shares.unwrap_or(NumShares::Auto))
        .with_reconstruction_threshold(args.threshold.unwrap_or_default())
        .with_max_weight(args.max_weight)
        .with_quantization_range(args.quantization_range)
        .with_clipping_range(args.clipping_range);
    let clients = usize::try_from(args.clients).unwrap_or(usize::MAX);
    let plan = parameters.plan(clients, Layout::new(0, args.vector))?;
    let found = Found::new(&args, plan)?;
    let text = match args.output {
        Format::Table => found.text(&args),
        Format::Json => found.json(&args),
    };
    console.print(&text)
}

/// A plan, and what it costs here.
struct Found {
    plan: Plan,
    dropped: usize,
    units: Units,
}

impl Found {
    fn new(args: &PlanArgs, plan: Plan) -> Result<Self, CliError> {
        let dropped = (args.dropouts * plan.clients() as f64 + 1e-9).floor() as usize;
        Ok(Self { plan, dropped, units: Units::measure(plan, &Here::quiet())? })
    }

    fn client_time(&self) -> Duration {
        self.units.client(&self.plan.client_cost())
    }

    fn server_time(&self) -> Duration {
        self.units.server(&self.plan.server_cost(self.dropped))
    }

    fn is_complete(&self) -> bool {
        self.plan.neighbours() + 1 >= self.plan.clients()
    }

    fn text(&self, args: &PlanArgs) -> String {
        let plan = &self.plan;
        let upload = plan.upload();
        let (client, server) = (plan.client_cost(), plan.server_cost(self.dropped));
        let graph = if self.is_complete() { " (complete graph)" } else { "" };
        let rows = [
            ("neighbours (k)", format!("{}{graph}", plan.neighbours())),
            ("threshold (t)", format!("{} of {} shares", plan.threshold(), plan.shares())),
            ("smallest cohort", plan.min_cohort().to_string()),
            ("bits an entry", plan.entry_bits().to_string()),
            ("max weight", format!("{}, at most {}", args.max_weight, plan.largest_max_weight())),
            (
                "quantization range",
                format!("{}, at most {}", args.quantization_range, plan.largest_quantization_range()),
            ),
            ("upload of a client", bytes(upload.total())),
            (
                "  of it masked input",
                format!("{}, plain f32 {}", bytes(upload.masked_input), bytes(plain(args))),
            ),
            (
                "client",
                format!(
                    "{}: {} mask streams, {} ECDH, {} sharings, {} seals, {} signature checks",
                    time(self.client_time()),
                    client.mask_streams,
                    client.key_agreements,
                    client.sharings,
                    client.seals,
                    client.signature_checks
                ),
            ),
            (
                "server",
                format!(
                    "{}: {} additions, {} mask streams, {} ECDH, {} reconstructions, with {} dropouts",
                    time(self.server_time()),
                    server.additions,
                    server.mask_streams,
                    server.key_agreements,
                    server.reconstructions,
                    self.dropped
                ),
            ),
        ];
        let rows = rows.map(|(what, value)| vec![what.to_owned(), value]);
        let titles = vec!["Plan".to_owned(), format!("{} clients", plan.clients())];
        let table = table::outline(titles, rows, |_| false);
        let only =
            "Under these assumptions only the complete graph holds: everybody is everybody's neighbour.\n";
        if self.is_complete() && args.num_shares.is_none() { format!("{table}{only}") } else { table }
    }

    fn json(&self, args: &PlanArgs) -> String {
        let plan = &self.plan;
        let upload = plan.upload();
        let object = json!({
            "clients": plan.clients(),
            "adversaries": args.adversaries,
            "dropouts": args.dropouts,
            "server": args.server.to_possible_value().map(|value| value.get_name().to_owned()),
            "neighbours": plan.neighbours(),
            "threshold": plan.threshold(),
            "num_shares": plan.shares(),
            "complete_graph": self.is_complete(),
            "min_cohort": plan.min_cohort(),
            "entry_bits": plan.entry_bits(),
            "max_weight": args.max_weight,
            "largest_max_weight": plan.largest_max_weight(),
            "quantization_range": args.quantization_range,
            "largest_quantization_range": plan.largest_quantization_range(),
            "vector": args.vector,
            "longest_vector": plan.longest_vector(),
            "bytes": {
                "upload": upload.total(),
                "masked_input": upload.masked_input,
                "share_keys": upload.share_keys,
                "plain_f32": plain(args),
            },
            "cost": {
                "client": { "units": plan.client_cost(), "cpu_s": self.client_time().as_secs_f64() },
                "server": {
                    "units": plan.server_cost(self.dropped),
                    "cpu_s": self.server_time().as_secs_f64(),
                },
            },
        });
        format!("{object:#}\n")
    }
}

/// What the vector takes as 32-bit floats.
fn plain(args: &PlanArgs) -> u64 {
    (args.vector as u64).saturating_mul(4)
}
