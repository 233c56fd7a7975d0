//! says: a secure join sums what was made from one message
//!
//! What is trained from different models cannot be summed in secret: the sum tells them apart.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");
include!("parts/protocol.rs");

fn to_each(_: &mut Server, _: u32, _: &Context) -> Result<Foreach<f64, Each>> {
    Ok(Foreach::each([("Bengaluru", 1.0), ("Portland", 2.0)]))
}

fn train(_: &mut Site, model: f64, _: &Context) -> Result<Weighted> {
    Ok(Weighted { model, examples: 1 })
}

fn average(_: &mut Server, sum: Sum<Weighted>, _: &Context) -> Result<f64> {
    Ok(sum.into_mean().model)
}

fn main() {
    let _: Flow<Server, Site, u32, f64> =
        Flow::new("fedavg", 1).start(to_each).foreach(train).secure_join(Hiding, average).end();
}
