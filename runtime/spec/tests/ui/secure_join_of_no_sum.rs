//! says: `Update` cannot be summed, so it cannot go into a secure join
//!
//! What goes into a secure join derives `SecureSum`.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");
include!("parts/protocol.rs");

fn train(_: &mut Site, model: f64, _: &Context) -> Result<Update> {
    Ok(Update { model })
}

fn average(_: &mut Server, _: Sum<Update>, _: &Context) -> Result<f64> {
    Ok(0.0)
}

fn main() {
    let _: Flow<Server, Site, u32, f64> =
        Flow::new("fedavg", 1).start(Server::start).foreach(train).secure_join(Hiding, average).end();
}
