//! `pki issue`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Command};
use veilflow_federated::pki::{Order, Peer, Role, Validity, read_request};

use super::{AuthorityArgs, YEAR, date, example};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct IssueArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// The participant's name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do: director, envoy, client or admin
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Under which names and addresses a director is reached, with commas between
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    hosts: Vec<String>,
    /// For how long the certificate is valid: a number and s, m, h, d, w or y
    #[arg(long, value_name = "TIME", default_value_t = YEAR)]
    valid: Validity,
    /// Signs this request (PKCS#10, PEM or DER), whose key stays where it is, instead of making a key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Folder for the identity
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn command(binary: &str) -> Command {
    IssueArgs::augment_args(Command::new("issue")).about("Makes an identity without a token").after_help(format!(
        "Take the folder to its machine over a way that nobody else reads, and leave no copy of key.pem behind.\n\n{}",
        example(binary, "issue --name director --role director --hosts localhost,127.0.0.1 --out director")
    ))
}

pub(super) fn issue(args: IssueArgs, console: &mut Console) -> Result<(), CliError> {
    let IssueArgs { authority, name, role, hosts, valid, csr, out } = args;
    let mut authority = authority.open()?;
    let now = SystemTime::now();
    let order = Order { name: name.into(), role, hosts, valid };
    let peer = match csr {
        None => authority.issue(&order, &out, now)?,
        Some(path) => {
            let granted = authority.issue_for(&order, &read_request(&path)?, now)?;
            granted.save(&out)?;
            Peer::from_der(&granted.certificate)?
        }
    };
    let (name, role, until) = (peer.name, peer.role, date(peer.not_after));
    console.print(&format!("{name} is {role} until {until}; its identity is in {}\n", out.display()))
}
