//! says: `Site` is not a message, so it cannot cross between participants
//!
//! Serde alone makes no message of a site, in a vector neither.

extern crate veilflow_spec as veilflow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

struct Server;

#[derive(Clone, Serialize, Deserialize)]
struct Site {
    readings: Vec<f64>,
}

impl Server {
    fn start(&mut self, _: u32, _: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(0.0))
    }

    fn take(&mut self, sites: Inputs<Vec<Site>>, _: &Context) -> Result<f64> {
        Ok(sites.values().flatten().flat_map(|site| &site.readings).sum())
    }
}

impl Site {
    fn leak(&mut self, _: f64, _: &Context) -> Result<Vec<Site>> {
        Ok(vec![self.clone()])
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> = Flow::new("mistake", 1)
        .start(Server::start)
        .foreach(Site::leak)
        .join(Server::take)
        .end();
}
