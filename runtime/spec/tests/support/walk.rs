//! The simplest runtime there is: one thread, no policies. It shows that a graph runs as it was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use veilflow::graph::{Addressed, Block, Fan, Given, Graph, Hidden, NodeInfo, Part, Payload, Secure, Value};
use veilflow::prelude::*;
use veilflow::{Cancellation, Device, Message, Origin, Signal, SignalSink};

struct Nowhere;

impl SignalSink for Nowhere {
    fn signal(&self, _: &Origin, _: Signal) {}
}

/// Runs `flow` from `params`.
pub(crate) fn run<A, C, P: Message, R: Message>(
    flow: &Flow<A, C, P, R>,
    aggregator: A,
    collaborators: impl IntoIterator<Item = (&'static str, C)>,
    params: P,
) -> Result<R> {
    flow.check()?;
    let seat = |(name, state)| (Name::from(name), (state, Hidden::default()));
    let collaborators = collaborators.into_iter().map(seat).collect();
    let mut walk =
        Walk { aggregator, hidden: Hidden::default(), collaborators, loops: Vec::new(), message: None };
    let graph: &Graph<A, C> = flow.graph();
    let report = walk.blocks(graph.blocks(), Box::new(params))?;
    report.downcast().map(|report| *report).map_err(|_| StepError::msg("the report is of another type"))
}

struct Walk<A, C> {
    aggregator: A,
    hidden: Hidden,
    collaborators: BTreeMap<Name, (C, Hidden)>,
    loops: Vec<u32>,
    /// The message of the secure join that is walked.
    message: Option<Given>,
}

impl<A, C> Walk<A, C> {
    fn context(&self, participant: &str, info: &NodeInfo) -> Context {
        let origin = Origin {
            participant: participant.into(),
            placement: info.placement,
            step: Arc::clone(&info.name),
            path: Arc::clone(&info.path),
            loops: self.loops.as_slice().into(),
        };
        Context::new(origin, 42, (1, Device::Cpu), Cancellation::new(), Arc::new(Nowhere))
    }

    fn blocks(&mut self, blocks: &[Block<A, C>], mut value: Value) -> Result<Value> {
        for block in blocks {
            value = match block {
                Block::Step(node) => {
                    let cx = self.context("aggregator", node.info());
                    node.step()(&mut self.aggregator, &mut self.hidden, value, &cx)?
                }
                Block::Fan(fan) => self.fan(fan, value)?,
                Block::Secure(secure) => self.secure(secure, value)?,
                Block::Repeat(repeat) => {
                    self.loops.push(0);
                    let done = loop {
                        let verdict = self.blocks(repeat.body(), value)?;
                        match repeat.close(verdict)? {
                            Loop::Again(entry) => value = entry,
                            Loop::Done(done) => break done,
                        }
                        self.loops.iter_mut().next_back().into_iter().for_each(|turn| *turn += 1);
                    };
                    self.loops.pop();
                    done
                }
                Block::Branch(fork) => match fork.choose(value)? {
                    Branch::Yes(value) => self.blocks(fork.yes(), value)?,
                    Branch::No(value) => self.blocks(fork.no(), value)?,
                },
            };
        }
        Ok(value)
    }

    fn secure(&mut self, secure: &Secure<A, C>, value: Value) -> Result<Value> {
        let payloads = self.payloads(secure.address(value)?);
        secure.needs(payloads.len())?;
        let invited = payloads.keys().cloned().collect();
        let message = secure.message(payloads)?;
        let opening = secure.opening(&message, invited, 0, Vec::new())?;
        self.message = Some(message);
        let sum = self.blocks(secure.blocks(), opening)?;
        secure.close_server()(&mut self.hidden);
        self.collaborators.values_mut().for_each(|(_, hidden)| secure.close_client()(hidden));
        let cx = self.context("aggregator", secure.join().info());
        secure.join().step()(&mut self.aggregator, &mut self.hidden, sum, &cx)
    }

    fn payloads(&self, addressed: Addressed) -> BTreeMap<Name, Payload> {
        match addressed {
            Addressed::All(shared) => {
                let all = self.collaborators.keys().cloned();
                all.map(|name| (name, Payload::Shared(Arc::clone(&shared)))).collect()
            }
            Addressed::Only(names, shared) => {
                names.into_iter().map(|name| (name, Payload::Shared(Arc::clone(&shared)))).collect()
            }
            Addressed::Each(values) => {
                values.into_iter().map(|(name, value)| (name, Payload::Owned(value))).collect()
            }
        }
    }

    fn fan(&mut self, fan: &Fan<A, C>, value: Value) -> Result<Value> {
        let payloads = self.payloads(fan.address(value)?);
        let mut arrived = BTreeMap::new();
        for (name, mut payload) in payloads {
            if let (Part::Inputs, Some(message)) = (fan.part(), self.message.clone()) {
                payload = Payload::Entering { setup: Box::new(payload), message };
            }
            for node in fan.task().iter() {
                let cx = self.context(name.as_str(), node.info());
                let unknown = || StepError::msg(format!("no collaborator is called {name}"));
                let (site, hidden) = self.collaborators.get_mut(&name).ok_or_else(unknown)?;
                payload = Payload::Owned(node.step()(site, hidden, payload, &cx)?);
            }
            match payload {
                Payload::Owned(value) => arrived.insert(name, value),
                Payload::Shared(_) | Payload::Entering { .. } => {
                    return Err(StepError::msg("a task without a step"));
                }
            };
        }
        let join = fan.join();
        let cx = self.context("aggregator", join.info());
        join.step()(&mut self.aggregator, &mut self.hidden, fan.gather(arrived, Vec::new())?, &cx)
    }
}
