//! says: `veilflow::Tensor` cannot be averaged in a secure join
//!
//! A tensor has a shape, and a text has no mean.

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
struct Named {
    #[secure_sum(weight)]
    examples: u64,
    site: String,
}

fn main() {}
