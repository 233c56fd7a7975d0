//! says: the body of a loop and the arms of a branch end at the aggregator
//!
//! So does the body of a loop.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train))
        .end();
}
