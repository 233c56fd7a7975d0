//! says: this step does not fit: here it runs on the aggregator `Server` and receives
//!
//! A step takes a `&Context`.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Server {
    fn average_alone(&mut self, models: Inputs<f64>) -> Result<f64> {
        Ok(models.values().sum())
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::average_alone)
        .end();
}
