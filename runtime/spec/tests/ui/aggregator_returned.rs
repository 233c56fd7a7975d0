//! says: an aggregator's step cannot return `Server`
//!
//! The aggregator's own state does not travel either.

extern crate veilflow_spec as veilflow;

include!("parts/participants.rs");

impl Server {
    fn give_all(&mut self, _: u32, _: &Context) -> Result<Server> {
        Ok(Server { model: self.model })
    }

    fn finish(&mut self, server: Server, _: &Context) -> Result<f64> {
        Ok(server.model)
    }
}

fn main() {
    let _: Flow<Server, Site, u32, f64> =
        Flow::new("mistake", 1).start(Server::give_all).then(Server::finish).end();
}
