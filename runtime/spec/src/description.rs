//! A flow as data: what drawings, listings and the fingerprint are made from.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::context::Placement;
use crate::fingerprint::Fingerprint;
use crate::graph::{Block, Graph, NodeInfo, Part};
use crate::quorum::Quorum;
use crate::schema::Schema;

/// What is known of a flow without running it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FlowDescription {
    /// The flow's name.
    pub name: String,
    /// The flow's version.
    pub version: u32,
    /// Whether metrics, notes and error texts of collaborators stay at their sites.
    pub confidential: bool,
    /// What the first step receives.
    pub params: Schema,
    /// What the flow ends in.
    pub report: Schema,
    /// The blocks, in order.
    pub blocks: Vec<BlockDescription>,
}

/// A block of a flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BlockDescription {
    /// A step of the aggregator.
    Step(StepDescription),
    /// A fan-out to collaborators and the join that follows.
    Fan {
        /// Where it stands.
        path: Arc<str>,
        /// What it is part of.
        part: Part,
        /// The collaborator's steps, in order.
        task: Vec<StepDescription>,
        /// How many must come back.
        quorum: Quorum,
        /// How long they have.
        deadline: Option<Duration>,
        /// The join.
        join: StepDescription,
    },
    /// A fan-out to collaborators and the secure join that follows.
    Secure {
        /// Where it stands.
        path: Arc<str>,
        /// The protocol's name.
        protocol: &'static str,
        /// The protocol's parameters.
        parameters: Arc<[(&'static str, String)]>,
        /// The protocol's blocks, with the user's steps among them.
        blocks: Vec<BlockDescription>,
        /// The join, which receives the sum.
        join: StepDescription,
    },
    /// A loop.
    Repeat {
        /// Where it stands.
        path: Arc<str>,
        /// Its body.
        body: Vec<BlockDescription>,
    },
    /// A choice between two arms.
    Branch {
        /// Where it stands.
        path: Arc<str>,
        /// The first arm.
        yes: Vec<BlockDescription>,
        /// The second arm.
        no: Vec<BlockDescription>,
    },
}

/// A step of a flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepDescription {
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands: its identity.
    pub path: Arc<str>,
    /// On which side it runs.
    pub placement: Placement,
    /// What it receives.
    pub input: Schema,
    /// What it returns.
    pub output: Schema,
    /// Whether it is a step of a secure join's protocol.
    pub hidden: bool,
}

impl From<&NodeInfo> for StepDescription {
    fn from(info: &NodeInfo) -> Self {
        Self {
            name: Arc::clone(&info.name),
            path: Arc::clone(&info.path),
            placement: info.placement,
            input: info.input.clone(),
            output: info.output.clone(),
            hidden: info.hidden,
        }
    }
}

impl FlowDescription {
    pub(crate) fn of<A, C>(graph: &Graph<A, C>) -> Self {
        Self {
            name: graph.name.clone(),
            version: graph.version,
            confidential: graph.confidential,
            params: graph.params.clone(),
            report: graph.report.clone(),
            blocks: blocks(&graph.blocks),
        }
    }

    /// Every step, in the order of the graph.
    pub fn steps(&self) -> Vec<&StepDescription> {
        let mut steps = Vec::new();
        collect(&self.blocks, &mut steps);
        steps
    }

    /// The canonical text that the fingerprint hashes: everything on which director and envoys must agree,
    /// with a hash of each message's schema.
    pub fn canonical_text(&self) -> String {
        let crossing = if self.confidential { "confidential" } else { "plain" };
        let mut text = format!("veilflow-flow 1\nflow {} {} {crossing}\n", self.name, self.version);
        let mut edge = |label: &str, schema: &Schema| {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{label} {} {}", schema.label(), schema.hash());
        };
        edge("params", &self.params);
        edge("report", &self.report);
        canonical(&self.blocks, &mut text);
        text
    }

    /// SHA-256 of the [canonical text](Self::canonical_text).
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from(<[u8; 32]>::from(Sha256::digest(self.canonical_text())))
    }
}

fn blocks<A, C>(graph: &[Block<A, C>]) -> Vec<BlockDescription> {
    graph
        .iter()
        .map(|block| match block {
            Block::Step(node) => BlockDescription::Step(node.info().into()),
            Block::Fan(fan) => BlockDescription::Fan {
                path: Arc::clone(fan.path()),
                part: fan.part(),
                task: fan.task().iter().map(|node| node.info().into()).collect(),
                quorum: fan.quorum(),
                deadline: fan.deadline(),
                join: fan.join().info().into(),
            },
            Block::Secure(secure) => BlockDescription::Secure {
                path: Arc::clone(secure.path()),
                protocol: secure.protocol(),
                parameters: Arc::clone(secure.parameters()),
                blocks: blocks(secure.blocks()),
                join: secure.join().info().into(),
            },
            Block::Repeat(repeat) => {
                BlockDescription::Repeat { path: Arc::clone(repeat.path()), body: blocks(repeat.body()) }
            }
            Block::Branch(fork) => BlockDescription::Branch {
                path: Arc::clone(fork.path()),
                yes: blocks(fork.yes()),
                no: blocks(fork.no()),
            },
        })
        .collect()
}

fn collect<'a>(blocks: &'a [BlockDescription], steps: &mut Vec<&'a StepDescription>) {
    for block in blocks {
        match block {
            BlockDescription::Step(step) => steps.push(step),
            BlockDescription::Fan { task, join, .. } => steps.extend(task.iter().chain([join])),
            BlockDescription::Secure { blocks, join, .. } => {
                collect(blocks, steps);
                steps.push(join);
            }
            BlockDescription::Repeat { body, .. } => collect(body, steps),
            BlockDescription::Branch { yes, no, .. } => {
                collect(yes, steps);
                collect(no, steps);
            }
        }
    }
}

fn canonical(blocks: &[BlockDescription], text: &mut String) {
    for block in blocks {
        match block {
            BlockDescription::Step(step) => canonical_step(step, text),
            BlockDescription::Fan { path, part, task, quorum, deadline, join } => {
                let quorum = match quorum {
                    _ if *part == Part::Unmasking => "protocol".to_owned(),
                    Quorum::Count(count) => format!("count {count}"),
                    Quorum::Fraction(fraction) => format!("fraction {fraction:?}"),
                };
                let deadline = deadline.map_or("none".to_owned(), |limit| format!("{} ns", limit.as_nanos()));
                let _ = writeln!(text, "fan {path} quorum {quorum} deadline {deadline}");
                task.iter().chain([join]).for_each(|step| canonical_step(step, text));
            }
            BlockDescription::Secure { path, protocol, parameters, blocks, join } => {
                let _ = writeln!(text, "secure {path} {protocol}");
                for (name, value) in parameters.iter() {
                    let _ = writeln!(text, "parameter {path} {name} {value:?}");
                }
                canonical(blocks, text);
                canonical_step(join, text);
            }
            BlockDescription::Repeat { path, body } => {
                let _ = writeln!(text, "repeat {path}");
                canonical(body, text);
            }
            BlockDescription::Branch { path, yes, no } => {
                let _ = writeln!(text, "branch {path}");
                canonical(yes, text);
                canonical(no, text);
            }
        }
    }
}

fn canonical_step(step: &StepDescription, text: &mut String) {
    let StepDescription { name, path, placement, input, output, .. } = step;
    let (from, to) = (input.hash(), output.hash());
    let _ = writeln!(text, "step {path} {placement} {name} {input} {from} -> {output} {to}");
}
