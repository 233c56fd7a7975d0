//! The wire over real sockets on port 0: every call, large contents, and everything that a hostile peer may try.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

mod calls;
mod contents;
mod hostile;
mod secure;
mod support;
