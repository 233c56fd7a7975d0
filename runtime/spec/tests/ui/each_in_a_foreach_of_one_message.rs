//! says: expected `Foreach<f64>`, found `Foreach<{float}, Each>`
//!
//! A step that sends each collaborator its own message says so in its signature: `Foreach<f64, Each>`.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn to_each(_: &mut Server, _: u32, _: &Context) -> Result<Foreach<f64>> {
    Ok(Foreach::each([("Bengaluru", 1.0), ("Portland", 2.0)]))
}

fn main() {
    let _: Flow<Server, Site, u32, f64> =
        Flow::new("fedavg", 1).start(to_each).foreach(Site::train).join(Server::average).end();
}
