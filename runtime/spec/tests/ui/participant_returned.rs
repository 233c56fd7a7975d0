//! says: `Site` is not a message, so it cannot cross between participants
//!
//! The private state of a site does not leave it.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Site {
    fn leak(&mut self, _: f64, _: &Context) -> Result<Site> {
        Ok(Site { readings: self.readings.clone() })
    }
}

impl Server {
    fn take(&mut self, sites: Inputs<Site>, _: &Context) -> Result<f64> {
        Ok(sites.values().flat_map(|site| &site.readings).sum())
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::leak)
        .join(Server::take)
        .end();
}
