//! says: a loop that starts from
//!
//! The body starts from a `Foreach<f64>`, and `Again` holds a `Foreach<Update>`.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Server {
    fn again(&mut self, models: Inputs<f64>, _: &Context) -> Result<Loop<Foreach<Update>, f64>> {
        Ok(Loop::Again(Foreach::all(Update { model: models.values().sum() })))
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).join(Server::again))
        .end();
}
