//! `pki init`.

use std::time::SystemTime;

use clap::{Args, Command};
use veilflow_federated::pki::{Authority, PASSPHRASE, Passphrase, Validity};

use super::{AuthorityArgs, date, example};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct InitArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// The federation's name
    #[arg(long, value_name = "NAME", default_value = "Veilflow federation")]
    name: String,
    /// For how long the authority is valid: a number and s, m, h, d, w or y
    #[arg(long, value_name = "TIME", default_value = "10y")]
    valid: Validity,
}

pub(super) fn command(binary: &str) -> Command {
    InitArgs::augment_args(Command::new("init")).about("Makes the federation's authority").after_help(format!(
        "The variable {PASSPHRASE} encrypts the authority's key, and opens it in all other commands.\n\n{}",
        example(binary, "init --ca ca --name \"My federation\"")
    ))
}

pub(super) fn init(args: &InitArgs, console: &mut Console) -> Result<(), CliError> {
    let passphrase = Passphrase::from_environment();
    let dir = &args.authority.ca;
    let authority = Authority::create(dir, &args.name, args.valid, passphrase.as_ref(), SystemTime::now())?;
    if passphrase.is_none() {
        console.log().line(format_args!(
            "the authority's key is not encrypted: keep {} where nobody else can read it, or make it again with {PASSPHRASE} set",
            dir.display()
        ));
    }
    console.print(&format!(
        "authority of {}, valid until {}\nSHA-256 {}\nin {}: keep it off the director, and keep a copy\n",
        authority.federation(),
        date(authority.trust().valid().1),
        authority.trust().thumbprint(),
        dir.display()
    ))
}
