//! `pki revoke`.

use std::time::SystemTime;

use clap::{Args, Command};
use veilflow_federated::pki::REVOCATIONS_FILE;
use veilflow_spec::Name;

use super::director::{Director, MaybeDirectorArgs};
use super::sign::lists;
use super::{AuthorityArgs, example};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// Whose certificates and unused tokens end now
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    director: MaybeDirectorArgs,
}

pub(super) fn command(binary: &str) -> Command {
    RevokeArgs::augment_args(Command::new("revoke"))
        .about("Ends the certificates of a name, its open connections too")
        .after_help(example(
            binary,
            "revoke --name Bengaluru --director https://director.example:50050 --identity admin",
        ))
}

pub(super) fn revoke(args: &RevokeArgs, console: &mut Console) -> Result<(), CliError> {
    let mut authority = args.authority.open()?;
    // Connected before anything is revoked: an administrator may revoke itself.
    let director = args.director.given().map(|args| Director::connect(&args)).transpose()?;
    let count = authority.revoke(&Name::from(args.name.as_str()), SystemTime::now())?;
    let told = match director {
        Some(director) => {
            let publication = lists(&authority)?;
            director.call(|connection| async move { connection.publish(publication).await })?;
            "the director has the list, cuts its connections and passes it on to the sites".to_owned()
        }
        None => {
            let list = args.authority.ca.join(REVOCATIONS_FILE);
            format!(
                "it holds when director and sites have the list: run this with --director, or put {} into the director's identity folder; \
                 of a director, take it to each site (`envoy revocations --take`)",
                list.display()
            )
        }
    };
    let certificates =
        if count == 1 { "one certificate".to_owned() } else { format!("{count} certificates") };
    console.print(&format!("{}: {certificates} revoked; {told}\n", args.name))
}
