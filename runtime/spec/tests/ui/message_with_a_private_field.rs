//! says: `Readings` is not a message, so it cannot cross between participants
//!
//! Every field of a message is a message.

extern crate veilflow_spec as veilflow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Readings(Vec<f64>);

#[derive(Clone, Serialize, Deserialize, Message)]
struct Update {
    model: f64,
    readings: Readings,
}

fn main() {}
