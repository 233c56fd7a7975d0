//! says: the arms of a branch end in one type, and these end in `f64` and in `String`
//!
//! Both arms of a branch end in the same type.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::choose)
        .branch(
            |yes| yes.then(|_: &mut Server, model: f64, _: &Context| Ok(model)),
            |no| no.then(|_: &mut Server, reason: String, _: &Context| Ok(reason)),
        )
        .end();
}
