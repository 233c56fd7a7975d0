//! What the command line can fail with.

use std::path::PathBuf;

use veilflow_engine::RunError;
use veilflow_federated::State;
use veilflow_federated::client::Error as Client;
use veilflow_federated::director::DirectorError;
use veilflow_federated::envoy::EnvoyError;
use veilflow_federated::pki::PkiError;
use veilflow_federated::wire::WireError;
use veilflow_spec::{Cause, Name, StepError};

use crate::commands::pki::PkiCommandError;
use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// What clap found, help and version included. Its text is complete.
    #[error("{0}")]
    Usage(Box<clap::Error>),
    /// A name that is not among those known.
    #[error("{}", crate::suggest::unknown(what, name, known))]
    Unknown {
        /// What was named.
        what: &'static str,
        name: String,
        known: Vec<String>,
    },
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A flow that hides a flag of the command line's own.
    #[error(
        "the flow `{flow}` has an option `{flag}` of its own, and every flow already has it: rename the \
         option, or read it from the `Cohort`"
    )]
    ReservedFlag { flow: &'static str, flag: String },
    /// Two flows or data sets of one name.
    #[error("two {what} are called `{name}`: rename one of them in the registry")]
    DuplicateName { what: &'static str, name: &'static str },
    /// A flag that belongs to a place and is none of the flow's, or that the flow cannot do without.
    #[error(
        "the flow `{flow}` says that `--{flag}` belongs to a place: that has to be a flag of its own which is not required"
    )]
    SiteOption { flow: &'static str, flag: &'static str },
    /// A flag that belongs to a place, given by a client.
    #[error("`--{flag}` {}", crate::deployed::where_it_belongs(flow))]
    OfThePlace { flow: &'static str, flag: String },
    /// A value that cannot travel.
    #[error("the value of `{flag}` is no text, so it cannot be sent")]
    NotText { flag: String },
    /// A flag of federated runs without one.
    #[error("`--{flag}` is of runs at a federation's sites: add --runtime federated, or leave it out")]
    LocalOnly { flag: &'static str },
    /// Two tables in a format for one.
    #[error("--output csv holds one run: use --output json with --runtime both")]
    TwoInCsv,
    /// A federated command's own failure.
    #[error(transparent)]
    Client(#[from] Client),
    /// Threads for the network.
    #[error("the program's threads could not be started: {0}")]
    Threads(std::io::Error),
    /// A federation on this machine.
    #[error(transparent)]
    Federation(#[from] crate::commands::federation::FederationError),
    /// Nobody who could run a flow.
    #[error("no envoy that is online offers `{flow}`: {envoys}")]
    NobodyOffers { flow: String, envoys: String },
    /// An id that no experiment has.
    #[error("no experiment's id starts with `{prefix}`")]
    NoExperiment { prefix: String },
    /// An id that many have.
    #[error("`{prefix}` is the start of {} experiments' ids: {}", ids.len(), ids.join(", "))]
    ManyExperiments { prefix: String, ids: Vec<String> },
    /// Results of an experiment without them.
    #[error("experiment {id} is {state}, so it has no results: {reason}")]
    NoResults { id: String, state: State, reason: String },
    /// No director is known.
    #[error("no director is known: name it with --director URL")]
    NoDirector,
    /// No identity is known.
    #[error(
        "nothing says as whom to talk to the director {director}: name the folder of your identity with --identity DIR"
    )]
    NoIdentity { director: String },
    /// The file that `federation up` wrote.
    #[error("{}: {reason}", path.display())]
    Connection { path: PathBuf, reason: String },
    /// The configuration of a director or an envoy.
    #[error("{}: {reason}", path.display())]
    Settings { path: PathBuf, reason: String },
    /// The same, as its reader found it.
    #[error(transparent)]
    Keys(#[from] veilflow_federated::config::ConfigError),
    /// The same, for a flow's own settings.
    #[error("{}: {error}", path.display())]
    Place { path: PathBuf, error: StepError },
    /// No token to enrol with.
    #[error("no token was given: put it in the variable VEILFLOW_TOKEN, or behind --token")]
    NoToken,
    /// The authority refused.
    #[error("the authority refused the request: {reason}")]
    NotEnrolled { reason: String },
    /// A site without an identity.
    #[error("a site that talks without encryption has no roster: nobody has keys there")]
    NoRoster,
    /// A director that cannot start, or that failed.
    #[error(transparent)]
    Director(#[from] DirectorError),
    /// An envoy that cannot start.
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    /// A roster of identities.
    #[error(transparent)]
    Roster(#[from] veilflow_federated::envoy::RosterError),
    /// A call to a director.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A report that is not what this program's flow ends in.
    #[error("the report of `{flow}` is not what this program's build of it ends in: {reason}")]
    Report { flow: &'static str, reason: String },
    /// The flow or its participants could not be made from the options.
    #[error("{flow} cannot start: {error}")]
    Setup { flow: &'static str, error: StepError },
    /// The same, with participants that nobody named.
    #[error("{flow} cannot start among {names}, who are online and offer it: {error}")]
    SetupAmong { flow: &'static str, names: String, error: StepError },
    /// The run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Parameters of secure aggregation with which no session can be held.
    #[error(transparent)]
    Plan(#[from] veilflow_secagg::PlanError),
    /// A simulated session of secure aggregation.
    #[error("the simulated session failed: {0}")]
    Session(#[from] veilflow_secagg::Error),
    /// A data set could not be got.
    #[error("{name} could not be fetched: {error}")]
    Fetch { name: &'static str, error: StepError },
    /// Identities and certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// What `pki` does with them.
    #[error(transparent)]
    PkiCommand(#[from] PkiCommandError),
    /// An ending that says no format.
    #[error("--{flag} {}: the file's ending says its format, use {}", path.display(), crate::suggest::or(endings))]
    Ending { flag: &'static str, path: PathBuf, endings: &'static [&'static str] },
    /// A file that cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
    /// A report without a model.
    #[error("--save: the flow `{flow}` has no model to save, run it without --save")]
    NoModel { flow: String },
    /// A model that the format cannot hold.
    #[error("--save: the model does not fit into a safetensors file: {0}")]
    Model(#[from] safetensors::SafeTensorError),
    /// Two tensors of one name.
    #[error("--save: two tensors of the model are called `{name}`")]
    DuplicateTensor { name: String },
    /// Nothing to draw.
    #[error("--plot: {0}")]
    Plot(#[from] crate::plot::PlotError),
    /// Standard output.
    #[error("the output could not be written: {0}")]
    Output(std::io::Error),
    /// What went wrong after the results were there.
    #[error("{}", _0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nerror: "))]
    After(Vec<CliError>),
}

/// The exit code of a mistake in what was given.
pub(crate) const USAGE: u8 = 2;
/// The exit code of a run that failed.
pub(crate) const FAILED: u8 = 1;
/// The exit code of a run that was cancelled.
pub(crate) const CANCELLED: u8 = 130;

impl CliError {
    /// The exit code: 2 for what was given, 1 for what happened, 130 where the user cancelled.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(error) => u8::try_from(error.exit_code()).unwrap_or(USAGE),
            CliError::Fetch { error, .. } if error.code() == StepError::CANCELLED_CODE => CANCELLED,
            CliError::Run(RunError::Cancelled { .. }) => CANCELLED,
            CliError::Client(error) if error.is_cancelled() => CANCELLED,
            CliError::Federation(error) if error.is_mistake() => USAGE,
            CliError::Run(
                RunError::InvalidName(_)
                | RunError::DuplicateCollaborator { .. }
                | RunError::TooFewResources { .. }
                | RunError::InvalidDropouts { .. }
                | RunError::QuorumAboveCohort { .. },
            ) => USAGE,
            CliError::Unknown { .. }
            | CliError::Config(_)
            | CliError::ReservedFlag { .. }
            | CliError::DuplicateName { .. }
            | CliError::SiteOption { .. }
            | CliError::OfThePlace { .. }
            | CliError::NotText { .. }
            | CliError::Settings { .. }
            | CliError::Keys(_)
            | CliError::Place { .. }
            | CliError::NoToken
            | CliError::NoRoster
            | CliError::Roster(_)
            | CliError::LocalOnly { .. }
            | CliError::TwoInCsv
            | CliError::NoExperiment { .. }
            | CliError::ManyExperiments { .. }
            | CliError::NoDirector
            | CliError::NoIdentity { .. }
            | CliError::Connection { .. }
            | CliError::Setup { .. }
            | CliError::SetupAmong { .. }
            | CliError::Plan(_)
            | CliError::Ending { .. }
            | CliError::Write { .. } => USAGE,
            CliError::Run(_)
            | CliError::Pki(_)
            | CliError::PkiCommand(_)
            | CliError::Session(_)
            | CliError::Fetch { .. }
            | CliError::Report { .. }
            | CliError::Client(_)
            | CliError::Director(_)
            | CliError::Envoy(_)
            | CliError::Wire(_)
            | CliError::NotEnrolled { .. }
            | CliError::Federation(_)
            | CliError::Threads(_)
            | CliError::NobodyOffers { .. }
            | CliError::NoResults { .. }
            | CliError::NoModel { .. }
            | CliError::Model(_)
            | CliError::DuplicateTensor { .. }
            | CliError::Plot(_)
            | CliError::Output(_)
            | CliError::After(_) => FAILED,
        }
    }

    /// Says who the participants are, where that is who is online.
    pub(crate) fn among(self, online: &[Name]) -> Self {
        match self {
            CliError::Setup { flow, error } => {
                let names = online.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
                CliError::SetupAmong { flow, names, error }
            }
            error => error,
        }
    }

    /// What the user can do next, where the error does not say so itself.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            CliError::Client(error) if failed_with(error, "identity-unknown") => {
                "a site does not trust another one's key yet: `envoy roster` at each site shows whose, and approves them \
                 with --approve."
            }
            CliError::Client(error) if failed_with(error, "input-already-masked") => {
                "these sites have masked the same inputs for an earlier experiment, and a second sum of them among others \
                 could tell one: run with another --seed, or say `allow-remasking = true` in each site's [policy]."
            }
            CliError::Client(Client::Wire(error)) | CliError::Wire(error) => wire_hint(error)?,
            CliError::PkiCommand(PkiCommandError::Wire(error)) => wire_hint(error)?,
            CliError::Client(Client::NotLetIn { .. }) => {
                "the director's log says why: a certificate that is revoked or over, or another federation's. \
                 `pki roster` lists them on the administrator's machine, and `envoy enroll` gets a new one with a token."
            }
            CliError::Client(Client::Pki(error))
            | CliError::Pki(error)
            | CliError::Envoy(EnvoyError::Identity(error))
            | CliError::Director(DirectorError::Pki(error)) => identity_hint(error)?,
            CliError::Client(error) => return error.experiment().map(|id| {
                let id: String = id.to_string().chars().take(8).collect();
                format!(
                    "`experiment logs {id}` shows what happened, and each site's own log what stays there."
                )
            }),
            CliError::Run(RunError::BelowQuorum { .. }) => {
                "every collaborator that was asked has to come back unless the flow's edge has a lower quorum. \
                 Mend what made them missing, or run with more collaborators or a lower threshold."
            }
            CliError::Run(RunError::SecureSession { .. }) => {
                "nothing of the sum is known. Mend what made the sites missing, or run with more collaborators, a lower \
                 threshold, or fewer assumed adversaries (--security)."
            }
            CliError::Run(RunError::Aggregator { .. } | RunError::AggregatorPanicked { .. }) => {
                "the step is the flow's own code. `-v` shows what happened before it."
            }
            CliError::Federation(error) => error.hint()?,
            CliError::NoToken | CliError::NotEnrolled { .. } => {
                "the federation's administrator makes a token with `pki token --name NAME --role envoy`."
            }
            CliError::NobodyOffers { .. } => {
                "start an envoy whose configuration allows the flow (`envoy start`), or see with `envoys` what is missing."
            }
            CliError::NoExperiment { .. } | CliError::ManyExperiments { .. } => {
                "`experiment list` shows all ids; the first digits of one are enough as long as no other starts so."
            }
            CliError::NoResults { state, .. } if !state.is_over() => {
                "`experiment logs ID --follow` shows what happens."
            }
            CliError::NoResults { .. } => "`experiment logs ID` shows what happened.",
            CliError::NoDirector => {
                "set VEILFLOW_DIRECTOR for all commands, or start a federation on this machine with `federation up`."
            }
            CliError::NoIdentity { .. } => {
                "set VEILFLOW_IDENTITY for all commands. The folder has your key, your certificate and the authority's; \
                 `envoy enroll` makes it with a token of the federation's administrator."
            }
            CliError::SetupAmong { .. } => {
                "`envoys` shows who is there; --collaborators names who takes part, and waits for those who are not."
            }
            CliError::Fetch { .. } => "run the same command again: it goes on where it stopped.",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// What to do where the director is not reached.
fn wire_hint(error: &WireError) -> Option<&'static str> {
    match error {
        WireError::Connect { .. } | WireError::Timeout { .. } => Some(
            "is the director running, is that its address, and does nothing between keep its port from this machine?",
        ),
        WireError::Handshake { .. } => Some(
            "the address has to be one of the names that the director's certificate was issued for (`pki issue --hosts`), \
             and both have to be of one federation.",
        ),
        _ => None,
    }
}

/// What to do where there is no identity.
fn identity_hint(error: &PkiError) -> Option<&'static str> {
    match error {
        PkiError::Read { error, .. } if error.kind() == std::io::ErrorKind::NotFound => Some(
            "an identity is a folder that `envoy enroll` or `pki issue` makes, and `pki init` makes the authority's (--ca).",
        ),
        _ => None,
    }
}

/// Whether a site's step failed so.
fn failed_with(error: &Client, expected: &str) -> bool {
    let failed = |cause: &Cause| matches!(cause, Cause::Failed { code, .. } if code == expected);
    error.missing().iter().any(|missing| failed(&missing.cause))
}
