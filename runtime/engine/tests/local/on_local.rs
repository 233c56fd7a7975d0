//! The flow suite on LocalRuntime.

use veilflow_engine::LocalRuntime;
use veilflow_spec::{Checkpoint, Flow, Message, Report};

use crate::suite::{self, Failed, Parts, Ran, Runtime};
use crate::support::Recorder;

struct Local;

impl Runtime for Local {
    fn run<A, C, P, R>(&self, flow: &Flow<A, C, P, R>, parts: Parts<A, C>, params: P) -> Ran<R>
    where
        A: Checkpoint + Send + Sync + 'static,
        C: Send + 'static,
        P: Message,
        R: Report,
    {
        let recorder = Recorder::new();
        let build = parts.build;
        let runtime = LocalRuntime::new().aggregator((parts.aggregator)());
        let runtime = runtime.collaborators(parts.names, move |name| build(name));
        let runtime = runtime.seed(parts.seed).dropouts(parts.dropouts).policy(parts.policy);
        let runtime =
            parts.drop.into_iter().fold(runtime, |runtime, (name, step)| runtime.drop_out(name, step));
        let outcome = runtime.observe(recorder.clone()).run(flow, params).map_err(Failed::from);
        Ran { outcome, events: recorder.kinds() }
    }
}

suite!(Local);
