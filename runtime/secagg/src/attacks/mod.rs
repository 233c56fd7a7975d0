//! The attacks of `SECURITY.md`, written as the attacker would: each succeeds against a build without the one defence
//! that stops it, and fails with it. The suite in `tests/` attacks through messages alone; these take what is inside.

mod server;
mod world;
