//! The command line from outside: arguments in, text and exit code out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod config;
mod federated;
mod files;
mod output;
mod pki;
mod relayed;
mod secagg;
mod text;
mod toy;
mod usage;
