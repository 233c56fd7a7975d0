// The participants of the mistakes beside this folder, and steps that are right.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

#[allow(dead_code)]
struct Server {
    model: f64,
}

#[allow(dead_code)]
struct Site {
    readings: Vec<f64>,
}

#[derive(Clone, Serialize, Deserialize, Message)]
struct Update {
    model: f64,
}

#[allow(dead_code)]
impl Server {
    fn start(&mut self, _: u32, _: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(self.model))
    }

    fn average(&mut self, models: Inputs<f64>, _: &Context) -> Result<f64> {
        Ok(models.values().sum())
    }

    fn average_until_done(&mut self, models: Inputs<f64>, _: &Context) -> Result<Loop<Foreach<f64>, f64>> {
        Ok(Loop::Done(models.values().sum()))
    }

    fn choose(&mut self, models: Inputs<f64>, _: &Context) -> Result<Branch<f64, String>> {
        Ok(Branch::Yes(models.values().sum()))
    }
}

#[allow(dead_code)]
impl Site {
    fn train(&mut self, model: f64, _: &Context) -> Result<f64> {
        Ok(model)
    }
}
