//! says: this step does not fit: here it runs on the aggregator `Server` and receives
//!
//! The collaborators return another message than the join takes.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Server {
    fn merge(&mut self, updates: Inputs<Update>, _: &Context) -> Result<f64> {
        Ok(updates.values().map(|update| update.model).sum())
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::train)
        .join(Server::merge)
        .end();
}
