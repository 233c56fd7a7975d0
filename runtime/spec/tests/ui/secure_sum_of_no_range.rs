//! says: a clipping range is a positive number
//!
//! Nothing can be clipped to these ranges.

extern crate veilflow_spec as veilflow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

const ALL: f64 = f64::INFINITY;

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Zero {
    #[secure_sum(weight)]
    examples: u64,
    #[secure_sum(clipping_range = 0.0)]
    loss: f64,
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Negative {
    #[secure_sum(weight)]
    examples: u64,
    #[secure_sum(shape = [3], clipping_range = -1.0)]
    weights: Tensor,
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Infinite {
    #[secure_sum(weight)]
    examples: u64,
    #[secure_sum(clipping_range = ALL)]
    loss: f64,
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Weight {
    #[secure_sum(weight, clipping_range = 2.0)]
    examples: u64,
    loss: f64,
}

fn main() {}
