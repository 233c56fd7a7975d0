//! says: a flow ends at the aggregator, and this one ends at the collaborators
//!
//! A flow ends at the aggregator.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .end();
}
