//! says: a flow cannot end in
//!
//! A step that returns a `Loop` is the last one of a body.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::average_until_done)
        .end();
}
