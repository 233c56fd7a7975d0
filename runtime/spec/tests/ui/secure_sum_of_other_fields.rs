//! says: `Tensor` cannot be averaged in a secure join
//!
//! A tensor has a shape, a weight is a `u64`, and a text has no mean.

extern crate veilflow_spec as veilflow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Shapeless {
    #[secure_sum(weight)]
    examples: u64,
    weights: Tensor,
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Light {
    #[secure_sum(weight)]
    examples: u32,
    loss: f64,
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Named {
    #[secure_sum(weight)]
    examples: u64,
    site: String,
}

fn main() {}
