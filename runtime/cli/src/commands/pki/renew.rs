//! `pki renew`: at the authority, or at the participant whose certificate it is.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Command};
use veilflow_federated::pki::enrolment::renewal;
use veilflow_federated::pki::{EnrollReply, Identity, Validity, Verdict, read_certificate};
use veilflow_spec::Name;

use super::director::Director;
use super::{AuthorityArgs, PkiCommandError, YEAR, date};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct RenewArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// At the authority: whose certificate to prolong
    #[arg(
        long,
        value_name = "NAME",
        requires = "out",
        conflicts_with = "identity",
        required_unless_present = "identity"
    )]
    name: Option<String>,
    /// At the authority: the file for the new certificate, which is no secret
    #[arg(long, value_name = "FILE", requires = "name")]
    out: Option<PathBuf>,
    /// For how long the certificate is valid: a number and s, m, h, d, w or y
    #[arg(long, value_name = "TIME", default_value_t = YEAR)]
    valid: Validity,
    /// At the participant: the folder of its identity
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
    /// At the participant: puts this certificate into the identity
    #[arg(long, value_name = "FILE", requires = "identity", conflicts_with = "director")]
    certificate: Option<PathBuf>,
    /// At the participant: asks for the renewal through this director
    #[arg(long, value_name = "URL", requires = "identity")]
    director: Option<String>,
}

pub(super) fn command(binary: &str) -> Command {
    RenewArgs::augment_args(Command::new("renew"))
        .about("Prolongs a certificate; the key stays the same")
        .after_help(format!(
            "Examples:\n  {binary} pki renew --name Bengaluru --out bengaluru.pem\n  \
             {binary} pki renew --identity identity --certificate bengaluru.pem\n  \
             {binary} pki renew --identity identity --director https://director.example:50050"
        ))
}

pub(super) fn renew(args: &RenewArgs, console: &mut Console) -> Result<(), CliError> {
    let now = SystemTime::now();
    let renewed = match (&args.identity, &args.name, &args.out) {
        (Some(dir), _, _) => at_participant(&Identity::load(dir)?, args)?,
        (None, Some(name), Some(out)) => {
            let mut authority = args.authority.open()?;
            let granted = authority.renew(&Name::from(name.as_str()), args.valid, now)?;
            granted.save_certificate(out)?;
            return console.print(&format!(
                "the new certificate of {name} is in {}: at its machine, `pki renew --identity DIR --certificate FILE` puts it in place\n",
                out.display()
            ));
        }
        // Clap asks for one or the other.
        (None, _, _) => return Ok(()),
    };
    console.print(&format!("{} is valid until {}\n", renewed.name(), date(renewed.peer().not_after)))
}

fn at_participant(identity: &Identity, args: &RenewArgs) -> Result<Identity, CliError> {
    let der = match (&args.certificate, &args.director) {
        (Some(path), _) => read_certificate(path)?,
        (None, Some(url)) => {
            let director = Director::connect_as(url, identity)?;
            let request = renewal(identity)?;
            let reply = director.call(|connection| async move { connection.enroll(request).await })?;
            match reply {
                EnrollReply::Answered(Verdict::Granted(granted)) => granted.certificate.into_vec(),
                EnrollReply::Answered(Verdict::Refused { reason }) => {
                    return Err(PkiCommandError::Refused(reason).into());
                }
                EnrollReply::Pending => return Err(PkiCommandError::Waiting.into()),
            }
        }
        (None, None) => return Err(PkiCommandError::RenewHow.into()),
    };
    Ok(identity.install(&der)?)
}
