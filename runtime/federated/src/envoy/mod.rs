//! A site's process: it dials out to the director, builds each flow's half from the site's own configuration, and runs
//! its tasks.
//!
//! | part | what it is about |
//! |---|---|
//! | [`EnvoyConfig`] | the site's file: what it agrees to, what its work may take, where its data lies |
//! | [`Policy`], [`Refusal`] | what it agrees to, whatever a director says |
//! | [`RosterPin`], [`site_revocations`] | whose keys it trusts, and whose certificates no longer count |
//! | [`Notice`] | what it tells its operator |
//!
//! A task is done once: it goes on while the connection is lost, its answer waits, and the same task again gets the same
//! answer. What an envoy holds is in memory: one that is started again has lost its tasks, and says so by another
//! incarnation. Only what it has masked is on disk, so that no director has it masked twice.

mod backoff;
mod config;
mod crossing;
mod director;
mod error;
mod hours;
mod line;
mod lost;
mod member;
mod notice;
mod office;
mod policy;
mod process;
mod refusal;
mod renewal;
mod roster;
mod site;
mod task;

pub use self::config::{EnvoyConfig, Resources};
pub use self::error::EnvoyError;
pub use self::hours::{Hours, UnknownHours};
pub use self::member::site_revocations;
pub use self::notice::{Notice, SiteLog};
pub use self::policy::{AllowedFlows, Policy};
pub use self::process::Envoy;
pub use self::refusal::Refusal;
pub use self::roster::{Additions, Pinned, RosterEntry, RosterError, RosterPin, UnknownAdditions};

#[cfg(test)]
mod tests;
