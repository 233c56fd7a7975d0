//! `envoy enroll`: makes the site's key here and asks the authority, through the director, for a certificate.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use veilflow_federated::pki::{EnrollReply, EnrollRequest, Enrolling, Granted, Identity, Token, Verdict};
use veilflow_federated::wire::{Dialing, Limits, WireError, dial};

use crate::args::Shape;
use crate::console::{Console, Log};
use crate::error::CliError;
use crate::{json, serving};

/// The token, where no flag gives it: a flag can be seen by others on the machine.
const TOKEN: &str = "VEILFLOW_TOKEN";

#[derive(Args, Debug)]
#[group(skip)]
struct EnrollArgs {
    /// Where the director is, which relays the request
    #[arg(long, value_name = "URL")]
    director: String,
    /// The one-time token of the federation's administrator; better in the variable VEILFLOW_TOKEN, where others on this machine do not see it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Folder for the key, which is made here and stays here, and the certificate
    #[arg(long, value_name = "DIR", default_value = "identity")]
    identity: PathBuf,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    output: Shape,
}

pub(super) fn command(binary: &str) -> Command {
    EnrollArgs::augment_args(Command::new("enroll"))
        .about("Makes a key here, a site's or a client's, and gets its certificate")
        .after_help(format!(
            "Example:\n  {TOKEN}=… {binary} envoy enroll --director https://director.example:50050 --identity identity"
        ))
}

/// What was enrolled.
#[derive(serde::Serialize)]
struct Enrolled {
    name: String,
    role: String,
    identity: PathBuf,
    key: String,
}

pub(super) fn enroll(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = EnrollArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let token = args.token.or_else(|| std::env::var(TOKEN).ok()).ok_or(CliError::NoToken)?;
    let token: Token = token.trim().parse()?;
    let enrolling = Enrolling::start(&args.identity, token, SystemTime::now())?;
    let log = console.log().clone();
    log.line(format_args!(
        "the key of this request is {}: compare it with what `pki sign` shows",
        enrolling.thumbprint()
    ));
    let dialing = Dialing::enrolling(enrolling.authority())?;
    let granted = granted(&args.director, &dialing, enrolling.request(), &log)?;
    let identity: Identity = enrolling.finish(&granted, SystemTime::now())?;
    let enrolled = Enrolled {
        name: identity.name().to_string(),
        role: identity.role().to_string(),
        identity: args.identity,
        key: identity.thumbprint().to_string(),
    };
    console.print(&match args.output {
        Shape::Json => json::pretty(&enrolled)?,
        Shape::Table => format!(
            "{} is enrolled as {}; its identity is in {}\n",
            enrolled.name,
            enrolled.role,
            enrolled.identity.display()
        ),
    })
}

/// What the authority grants.
pub(super) fn granted(
    director: &str,
    dialing: &Dialing,
    request: &EnrollRequest,
    log: &Log,
) -> Result<Granted, CliError> {
    log.line(
        "the request waits for the authority: `pki sign` answers it. Ctrl-C ends the wait; ask again later",
    );
    match serving::runtime()?.block_on(answered(director, dialing, request))? {
        Verdict::Granted(granted) => Ok(granted),
        Verdict::Refused { reason } => Err(CliError::NotEnrolled { reason }),
    }
}

/// Asks until the authority has answered. The same request again is the same request, so a connection that is lost costs
/// nothing.
async fn answered(director: &str, dialing: &Dialing, request: &EnrollRequest) -> Result<Verdict, CliError> {
    loop {
        let connection = dial(director, dialing, &Limits::default()).await?;
        loop {
            // The director lets it wait for the authority's answer for a while.
            match connection.enroll(request.clone()).await {
                Ok(EnrollReply::Answered(verdict)) => return Ok(verdict),
                Ok(EnrollReply::Pending) => {}
                Err(WireError::Lost(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
