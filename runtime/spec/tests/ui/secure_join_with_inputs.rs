//! says: this step does not fit: here it runs on the aggregator `Server` and receives `veilflow::Sum<Weighted>`
//!
//! The aggregator's step behind a secure join receives a sum, and no single input.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");
include!("parts/protocol.rs");

fn train(_: &mut Site, model: f64, _: &Context) -> Result<Weighted> {
    Ok(Weighted { model, examples: 1 })
}

fn average(_: &mut Server, _: Inputs<Weighted>, _: &Context) -> Result<f64> {
    Ok(0.0)
}

fn main() {
    let _: Flow<Server, Site, u32, f64> =
        Flow::new("fedavg", 1).start(Server::start).foreach(train).secure_join(Hiding, average).end();
}
