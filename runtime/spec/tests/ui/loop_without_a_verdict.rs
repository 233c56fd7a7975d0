//! says: a loop that starts from
//!
//! The last step of a body says whether to go on.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).join(Server::average))
        .end();
}
