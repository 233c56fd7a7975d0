//! `bench secagg`.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum, value_parser};
use veilflow_secagg::simulation::{Leaving, Phase, Report, Simulation};
use veilflow_secagg::{Layout, NumShares, Parameters, Plan, PlanError, Security, Threshold};

use super::{Here, bytes, part, time};
use crate::args::DEFAULT_SEED;
use crate::console::Console;
use crate::error::CliError;
use crate::{table, usage};

pub(super) const EXAMPLE: &str = "--clients 100 --params 100000 --dropouts 0.1 --security semi-honest";

const ABOUT: &str =
    "Runs a session of secure aggregation with real clients and a real server, and measures it";

const DETAILS: &str = "\
The times are processor time: of one client on average, and of the server. The floor is the least that this machine
could take, from unit costs that are measured in the same run:
  client  (k + 1) mask streams + 2k ECDH + 2 sharings + k seals, and N signature checks with --security malicious
  server  N additions + a stream for each survivor + a stream and an ECDH for each pair of a dropped client and a
          surviving neighbour + a reconstruction for each secret
A mask stream is AES-128-CTR of the vector's bytes alone; an addition reads its vector from memory, where it came in. The
server's own signature checks are not in its floor. Messages are handed over in memory; their bytes are those of
their CBOR encoding, whose time is not measured. The peak memory is the process's: it holds the states of all clients,
one vector for each thread, the server's sum, and the plain sum that the result is compared with.";

/// What is measured.
#[derive(Args, Debug)]
#[group(skip)]
struct BenchArgs {
    /// How many clients there are
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(2..=100_000))]
    clients: u32,
    /// How many parameters the model has: the vector's length
    #[arg(long, value_name = "M")]
    params: usize,
    /// Which part of the clients drops out, such as 0.1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = part)]
    dropouts: f64,
    /// When they do: before round 2, or after any of the rounds
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Leave::MaskedInput)]
    leaving: Leave,
    /// Among how many neighbours each secret is shared: a count, a fraction, or auto [default: all, above 255 auto]
    #[arg(long, value_name = "K")]
    num_shares: Option<NumShares>,
    /// How many of those must answer: a count or a fraction [default: two thirds, and one more]
    #[arg(long, value_name = "T")]
    threshold: Option<Threshold>,
    /// Against whom the session holds: semi-honest, malicious (a third of the clients), or such as malicious:0.2
    #[arg(long, value_name = "SECURITY", default_value_t = Security::default())]
    security: Security,
    /// How many values a parameter is rounded to
    #[arg(long, value_name = "R", default_value_t = Parameters::default().quantization_range())]
    quantization_range: u64,
    /// How many threads run the clients, and unmask
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN)]
    threads: NonZeroUsize,
    /// Where inputs and the choice of who drops out start
    #[arg(long, value_name = "SEED", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// How the measurements are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Leave {
    MaskedInput,
    AnyRound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The grammar of `bench secagg`.
pub(super) fn command(binary: &str) -> Command {
    BenchArgs::augment_args(Command::new("secagg"))
        .about(ABOUT)
        .after_help(format!("{DETAILS}\n\nExample:\n  {binary} bench secagg {EXAMPLE}"))
}

pub(super) fn secagg(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = BenchArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let (plan, refusal) = plan(&args)?;
    if let Some(refusal) = &refusal {
        console.log().line(format_args!("a run would refuse these parameters: {refusal}"));
    }
    let leaving = match args.leaving {
        Leave::MaskedInput => Leaving::BeforeMaskedInput,
        Leave::AnyRound => Leaving::AnyRound,
    };
    let simulation = Simulation::new(plan)
        .with_dropouts(args.dropouts, leaving)
        .with_seed(args.seed)
        .with_threads(args.threads);
    let report = simulation.run(&Here::telling(console.log().clone()))?;
    let text = match args.output {
        Format::Table => text(&args, &plan, &report),
        Format::Json => json(&args, &plan, refusal.as_ref(), &report),
    };
    console.print(&text)
}

/// The plan, and why a run would refuse it.
fn plan(args: &BenchArgs) -> Result<(Plan, Option<PlanError>), CliError> {
    let clients = usize::try_from(args.clients).unwrap_or(usize::MAX);
    let default = if clients > LARGEST_COMPLETE { NumShares::Auto } else { NumShares::default() };
    let parameters = Parameters::new();
    let parameters = parameters
        .with_security(args.security)
        .with_dropouts(args.dropouts.max(parameters.dropouts()))
        .with_num_shares(args.num_shares.unwrap_or(default))
        .with_reconstruction_threshold(args.threshold.unwrap_or_default())
        .with_quantization_range(args.quantization_range);
    Ok(parameters.plan_unchecked(clients, Layout::new(0, args.params))?)
}

/// The largest cohort in which everybody can share with everybody.
const LARGEST_COMPLETE: usize = 255;

fn text(args: &BenchArgs, plan: &Plan, report: &Report) -> String {
    let titles = ["Phase", "Clients", "Client CPU", "Server CPU", "Up per client", "Down per client"];
    let row = |phase: &Phase| {
        let clients = phase.clients.max(1) as u64;
        vec![
            phase.stage.to_string(),
            phase.clients.to_string(),
            time(phase.mean_client_cpu()),
            time(phase.server_cpu),
            bytes(phase.upload_bytes / clients),
            bytes(phase.download_bytes / clients),
        ]
    };
    let (client, server) = (report.client_cpu(), report.server_cpu());
    let down: u64 =
        report.phases.iter().map(|phase| phase.download_bytes / phase.clients.max(1) as u64).sum();
    let last = |name: &str, client: String, server: String| {
        vec![name.to_owned(), String::new(), client, server, String::new(), String::new()]
    };
    let mut all = last("all", time(client), time(server));
    all[4] = bytes(report.largest_upload_bytes);
    all[5] = bytes(down);
    let floor = last("floor", time(report.client_floor()), time(report.server_floor()));
    let ratio = |measured, floor| format!("{:.2}", ratio(measured, floor));
    let ratios = last("ratio", ratio(client, report.client_floor()), ratio(server, report.server_floor()));
    let rows = report.phases.iter().map(row).chain([all, floor, ratios]);
    let table = table::outline(titles.map(str::to_owned).to_vec(), rows, |column| column > 0);
    let signatures = match report.server_cost.signature_checks {
        0 => String::new(),
        count => format!(
            "signatures: {count} at the server, which would take {} one by one; not in its floor\n",
            time(report.server_signatures())
        ),
    };
    let peak = usage::peak_rss_bytes().map_or_else(|| "unknown".to_owned(), bytes);
    format!(
        "{} clients, {} parameters, {} security: {} shares, threshold {}, {} bits an entry\n{table}\
         unmask: {} of the server; {} in the sum, {} dropped\n{signatures}peak memory: {peak}\nexact: {}\n",
        plan.clients(),
        args.params,
        plan.security(),
        plan.shares(),
        plan.threshold(),
        plan.entry_bits(),
        time(report.unmask_cpu()),
        report.survivors,
        report.dropped,
        if report.exact { "yes, equal to the plain sum" } else { "no, different from the plain sum" },
    )
}

fn ratio(measured: Duration, floor: Duration) -> f64 {
    measured.as_secs_f64() / floor.as_secs_f64()
}

fn json(args: &BenchArgs, plan: &Plan, refusal: Option<&PlanError>, report: &Report) -> String {
    let seconds = |time: Duration| time.as_secs_f64();
    let phase = |phase: &Phase| {
        serde_json::json!({
            "phase": phase.stage.to_string(),
            "clients": phase.clients,
            "client_cpu_s": seconds(phase.mean_client_cpu()),
            "server_cpu_s": seconds(phase.server_cpu),
            "upload_bytes": phase.upload_bytes,
            "download_bytes": phase.download_bytes,
        })
    };
    let (client, server) = (report.client_cpu(), report.server_cpu());
    let units = &report.units;
    let object = serde_json::json!({
        "clients": plan.clients(),
        "params": args.params,
        "dropouts": args.dropouts,
        "security": plan.security().to_string(),
        "num_shares": plan.shares(),
        "threshold": plan.threshold(),
        "entry_bits": plan.entry_bits(),
        "refused_by_a_run": refusal.map(ToString::to_string),
        "threads": args.threads,
        "seed": args.seed,
        "survivors": report.survivors,
        "dropped": report.dropped,
        "client": {
            "cpu_s": seconds(client),
            "floor_s": seconds(report.client_floor()),
            "ratio": ratio(client, report.client_floor()),
        },
        "server": {
            "cpu_s": seconds(server),
            "floor_s": seconds(report.server_floor()),
            "ratio": ratio(server, report.server_floor()),
            "unmask_cpu_s": seconds(report.unmask_cpu()),
            "signature_checks": report.server_cost.signature_checks,
            "signature_checks_one_by_one_s": seconds(report.server_signatures()),
        },
        "upload_bytes": report.largest_upload_bytes,
        "peak_rss_bytes": usage::peak_rss_bytes(),
        "exact": report.exact,
        "phases": report.phases.iter().map(phase).collect::<Vec<_>>(),
        "units": {
            "mask_stream_s": seconds(units.stream),
            "key_agreement_s": seconds(units.agreement),
            "sharing_s": seconds(units.sharing),
            "seal_s": seconds(units.seal),
            "signature_check_s": seconds(units.signature_check),
            "addition_s": seconds(units.addition),
            "reconstruction_s": seconds(units.reconstruction),
        },
    });
    format!("{object:#}\n")
}
