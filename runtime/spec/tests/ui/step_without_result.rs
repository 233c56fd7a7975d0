//! says: this step does not fit: here it runs on each collaborator and receives `f64`
//!
//! A step returns a `Result`.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Site {
    fn train_for_sure(&mut self, model: f64, _: &Context) -> f64 {
        model
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train_for_sure)
        .join(Server::average)
        .end();
}
