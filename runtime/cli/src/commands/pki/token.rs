//! `pki token`.

use std::time::SystemTime;

use clap::{Args, Command};
use serde_json::json;
use veilflow_federated::pki::{Role, Validity};
use veilflow_spec::Name;

use super::{AuthorityArgs, Format, date, example, seconds};
use crate::console::Console;
use crate::error::CliError;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// The participant's name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do: envoy, client or admin
    #[arg(long, value_name = "ROLE", default_value_t = Role::Envoy)]
    role: Role,
    /// For how long the token is good: a number and s, m, h, d, w or y
    #[arg(long, value_name = "TIME", default_value = "24h")]
    valid: Validity,
    /// How the token is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn command(binary: &str) -> Command {
    TokenArgs::augment_args(Command::new("token"))
        .about("Makes a one-time token with which a site gets its certificate")
        .after_help(format!(
            "Give it to the site over a way that nobody else reads. It holds the SHA-256 of the authority's certificate.\n\n{}",
            example(binary, "token --name Bengaluru --role envoy --valid 24h")
        ))
}

pub(super) fn token(args: &TokenArgs, console: &mut Console) -> Result<(), CliError> {
    let mut authority = args.authority.open()?;
    let name = Name::from(args.name.as_str());
    let token = authority.token(&name, args.role, args.valid, SystemTime::now())?;
    let claims = token.claims();
    let text = token.to_text()?;
    match args.output {
        Format::Table => {
            console.log().line(format_args!(
                "for {name}, as {}, once, until {}. At the site: VEILFLOW_TOKEN=… envoy enroll --director URL",
                claims.role,
                date(claims.not_after)
            ));
            console.print(&format!("{}\n", *text))
        }
        Format::Json => console.print(&super::json(&json!({
            "name": name,
            "role": claims.role,
            "not_after": seconds(claims.not_after),
            "authority": token.authority().to_string(),
            "token": *text,
        }))),
    }
}
