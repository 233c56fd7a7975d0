//! The site that a command is about, when its envoy may run or not.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, value_parser};
use veilflow_federated::envoy::EnvoyConfig;
use veilflow_federated::pki::Identity;

use crate::error::CliError;

/// A site's configuration and identity.
pub(super) struct Site {
    pub(super) config: EnvoyConfig,
    pub(super) identity: Identity,
}

impl Site {
    /// The one of `--config`.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, CliError> {
        // Required, so it is there.
        let path = matches.get_one::<PathBuf>("config").cloned().unwrap_or_default();
        let config = EnvoyConfig::read(&path)?;
        let identity = Identity::load(config.identity.as_ref().ok_or(CliError::NoRoster)?)?;
        Ok(Self { config, identity })
    }
}

/// `--config`.
pub(super) fn site_file() -> Arg {
    file("config").required(true).help("This site's configuration")
}

/// `--take`: a list that somebody brought.
pub(super) fn take(help: &'static str) -> Arg {
    file("take").help(help)
}

fn file(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf))
}

/// What is in the file of `--take`.
pub(super) fn taken(matches: &ArgMatches) -> Result<Option<Vec<u8>>, CliError> {
    let Some(path) = matches.get_one::<PathBuf>("take") else { return Ok(None) };
    let unreadable =
        |error: std::io::Error| CliError::Settings { path: path.clone(), reason: error.to_string() };
    std::fs::read(path).map(Some).map_err(unreadable)
}
