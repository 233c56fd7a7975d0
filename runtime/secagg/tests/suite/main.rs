//! The protocol from outside: whole sessions, the rows of `SECURITY.md` that hold, and the encoding of messages.

mod common;
mod rows;
mod session;
mod wire;
