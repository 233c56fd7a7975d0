//! The director: it registers envoys, queues experiments and hosts the aggregator of each.

mod core;
mod courier;
mod envoys;
mod experiment;
mod log;
mod run;

pub use self::log::{Line, Log};

#[cfg(test)]
mod tests;
