//! The wire over real sockets on port 0: every call, large contents, and everything that a hostile peer may try.

mod calls;
mod contents;
mod hostile;
mod support;
