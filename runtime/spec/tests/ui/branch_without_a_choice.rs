//! says: `.branch(..)` needs a `Branch` from the step before it, and that step returns `f64`
//!
//! Only a `Branch` branches.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::average)
        .branch(|yes| yes, |no| no)
        .end();
}
