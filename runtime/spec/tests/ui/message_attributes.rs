//! says: expected `foreign = "package/version/Type"`
//!
//! What the derive macro refuses by itself.

extern crate veilflow_spec as veilflow;

use veilflow::prelude::*;

#[derive(Message)]
struct Unknown {
    #[message(skip)]
    field: f64,
}

#[derive(Message)]
struct Nameless {
    #[message(foreign = "")]
    field: f64,
}

#[derive(Message)]
#[message(foreign = "package/1/Type")]
struct Misplaced {
    field: f64,
}

#[derive(Message)]
struct Borrowed<'a> {
    field: &'a str,
}

#[derive(Message)]
union Either {
    one: u32,
    other: f32,
}

fn main() {}
