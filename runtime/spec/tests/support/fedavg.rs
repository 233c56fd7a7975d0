// The first program of the documentation, as it stands there: compiled, run and drawn by `flows.rs`.

use veilflow::prelude::*;

struct Server { model: f64, rounds_left: u32 }        // the aggregator's state
struct Site   { readings: Vec<f64> }                  // private attributes: they stay here

impl Server {
    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<f64>> {
        self.rounds_left = rounds;
        Ok(Foreach::all(self.model))
    }
    fn average(&mut self, models: Inputs<f64>, _cx: &Context) -> Result<Loop<Foreach<f64>, f64>> {
        self.model = models.values().sum::<f64>() / models.len() as f64;
        self.rounds_left -= 1;
        Ok(if self.rounds_left == 0 { Loop::Done(self.model) } else { Loop::Again(Foreach::all(self.model)) })
    }
}

impl Site {
    fn train(&mut self, model: f64, _cx: &Context) -> Result<f64> {
        let mean = self.readings.iter().sum::<f64>() / self.readings.len() as f64;
        Ok(model + 0.5 * (mean - model))
    }
}

fn fedavg() -> Flow<Server, Site, u32, f64> {
    Flow::new("fedavg", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).join(Server::average))
        .end()
}
