//! says: this step does not fit: here it runs on the aggregator `Server` and receives
//!
//! A join receives what all of them sent.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Server {
    fn keep(&mut self, model: f64, _: &Context) -> Result<f64> {
        Ok(model)
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::keep)
        .end();
}
