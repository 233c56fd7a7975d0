//! The `veilflow` command with every shipped flow.
fn main() {}
