//! A custom flow.
fn main() {}
