//! says: this step does not fit: here it runs on each collaborator and receives `f64`
//!
//! The aggregator's step cannot run on the collaborators.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Server::average)
        .join(Server::average)
        .end();
}
