//! The suite's federation whose updates are summed, on LocalRuntime.

use veilflow_engine::LocalRuntime;

pub(crate) use crate::suite::secure::{
    Server, Site, Told, Update, flow, model, parameters, secagg, two_joins,
};

/// Sites of the weights 1, 2, 3, …
pub(crate) fn runtime(names: &[&str], rounds: u32) -> LocalRuntime<Server, Site> {
    let runtime = LocalRuntime::new().aggregator(Server::new(rounds)).seed(7);
    let sites = names.iter().zip(1..);
    sites.fold(runtime, |runtime, (name, weight)| {
        runtime.collaborator(*name, Site { weight, loss: weight as f64 / 8.0 })
    })
}
