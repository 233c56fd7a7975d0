//! says: this step does not fit: here it runs on each collaborator and receives `f64`
//!
//! The fan-out carries another message than the step takes.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Site {
    fn apply(&mut self, update: Update, _: &Context) -> Result<f64> {
        Ok(update.model)
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::apply)
        .join(Server::average)
        .end();
}
