//! The protocol from outside: whole sessions, the rows of `SECURITY.md`, and the encoding of messages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;
mod configurations;
mod cost;
mod privacy;
mod rows;
mod security_table;
mod session;
mod wire;
