//! says: this step does not fit: here it runs on the aggregator `Server` and receives
//!
//! A collaborator's step cannot run on the aggregator.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Site::train)
        .end();
}
