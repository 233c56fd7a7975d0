//! says: a secure sum has one weight: mark the `u64`
//!
//! What the derive macro of secure sums refuses by itself.

extern crate veilflow_spec as veilflow;

use veilflow::prelude::*;

#[derive(SecureSum)]
struct Weightless {
    loss: f64,
}

#[derive(SecureSum)]
struct Heavy {
    #[secure_sum(weight)]
    examples: u64,
    #[secure_sum(weight)]
    patients: u64,
    loss: f64,
}

#[derive(SecureSum)]
struct Light {
    #[secure_sum(weight)]
    examples: u32,
    loss: f64,
}

#[derive(SecureSum)]
struct Empty {
    #[secure_sum(weight)]
    examples: u64,
}

#[derive(SecureSum)]
enum Verdict {
    Better,
    Worse,
}

#[derive(SecureSum)]
struct Generic<T> {
    #[secure_sum(weight)]
    examples: u64,
    part: T,
}

#[derive(SecureSum)]
struct Misspelt {
    #[secure_sum(wait)]
    examples: u64,
    loss: f64,
}

#[derive(Averaged)]
struct Scores {
    #[secure_sum(weight)]
    examples: u64,
    loss: f64,
}

fn main() {}
