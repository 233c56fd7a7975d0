//! What the types of the builder cannot find.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::graph::{Block, Graph, NodeInfo, Part};
use crate::quorum::{InvalidQuorum, Quorum};

/// A flow that no runtime runs, and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("flow `{flow}` cannot run:{}", list(problems))]
pub struct InvalidFlow {
    /// The flow's name.
    pub flow: String,
    /// What is wrong, in the order of the graph.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  - {problem}")).collect()
}

/// Something wrong with a flow.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The flow's own name cannot stand on a command line.
    #[error("its name {name:?} is not made of letters, digits, `-` and `_`")]
    FlowName {
        /// The name.
        name: String,
    },
    /// A step whose name is none: a closure's, or one that a table or an event could not show.
    #[error("the step at {path} is called {found:?}, which is no identifier: add `.named(\"…\")` behind it")]
    Unnamed {
        /// Where it stands.
        path: Arc<str>,
        /// What it is called.
        found: Arc<str>,
    },
    /// `.named(..)` where no step stands just before.
    #[error("`.named({name:?})` follows a loop or a branch: put it right behind the step that it names")]
    NameWithoutStep {
        /// The name.
        name: String,
    },
    /// Two steps of one name.
    #[error(
        "the steps at {first} and {second} are both called `{name}`: name one of them with `.named(\"…\")`"
    )]
    DuplicateName {
        /// The name.
        name: Arc<str>,
        /// Where the first one stands.
        first: Arc<str>,
        /// Where the second one stands.
        second: Arc<str>,
    },
    /// A closure, or a pointer to a function, whose values no fingerprint can see.
    #[error(
        "step `{name}` at {path} captured {bytes} bytes: two builds could differ in them and have one \
         fingerprint. Use a method or a function, and put the values into a participant's state or the \
         flow's parameters"
    )]
    Captures {
        /// The step's name.
        name: Arc<str>,
        /// Where it stands.
        path: Arc<str>,
        /// The size of what it captured.
        bytes: usize,
    },
    /// A loop without a step.
    #[error("the loop at {path} is empty: it would run for ever and do nothing")]
    EmptyLoop {
        /// Where it stands.
        path: Arc<str>,
    },
    /// A quorum that no set of collaborators can meet.
    #[error("the fan-out at {path}: {reason}")]
    Quorum {
        /// Where the fan-out stands.
        path: Arc<str>,
        /// What is wrong with it.
        reason: InvalidQuorum,
    },
    /// A protocol whose rounds are none.
    #[error(
        "the secure join at {path}: the rounds of `{protocol}` do not go on where its setup ends, or hold a secure \
         join themselves"
    )]
    Protocol {
        /// Where the join stands.
        path: Arc<str>,
        /// The protocol's name.
        protocol: &'static str,
    },
    /// A deadline that has passed when it starts.
    #[error("the fan-out at {path} has a deadline of {deadline:?}: nobody can meet it")]
    Deadline {
        /// Where the fan-out stands.
        path: Arc<str>,
        /// The deadline.
        deadline: Duration,
    },
}

pub(crate) fn check<A, C>(graph: &Graph<A, C>) -> Result<(), InvalidFlow> {
    let mut found = Findings { problems: graph.problems.clone(), names: BTreeMap::new() };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if graph.name.is_empty() || !graph.name.chars().all(letters) {
        found.problems.push(Problem::FlowName { name: graph.name.clone() });
    }
    found.blocks(&graph.blocks);
    if found.problems.is_empty() {
        return Ok(());
    }
    Err(InvalidFlow { flow: graph.name.clone(), problems: found.problems })
}

struct Findings {
    problems: Vec<Problem>,
    names: BTreeMap<Arc<str>, Arc<str>>,
}

impl Findings {
    fn blocks<A, C>(&mut self, blocks: &[Block<A, C>]) {
        for block in blocks {
            match block {
                Block::Step(node) => self.step(node.info()),
                Block::Fan(fan) => {
                    fan.task().iter().for_each(|node| self.step(node.info()));
                    // A secure join has one policy for all of its exchanges.
                    if matches!(fan.part(), Part::Flow | Part::Inputs) {
                        self.policy(fan.path(), fan.quorum(), fan.deadline());
                    }
                    self.step(fan.join().info());
                }
                Block::Secure(secure) => {
                    self.blocks(secure.blocks());
                    self.step(secure.join().info());
                }
                Block::Repeat(repeat) => {
                    if repeat.body().is_empty() {
                        self.problems.push(Problem::EmptyLoop { path: Arc::clone(repeat.path()) });
                    }
                    self.blocks(repeat.body());
                }
                Block::Branch(fork) => {
                    self.blocks(fork.yes());
                    self.blocks(fork.no());
                }
            }
        }
    }

    fn policy(&mut self, path: &Arc<str>, quorum: Quorum, deadline: Option<Duration>) {
        if let Err(reason) = quorum.validate() {
            self.problems.push(Problem::Quorum { path: Arc::clone(path), reason });
        }
        if let Some(deadline) = deadline.filter(Duration::is_zero) {
            self.problems.push(Problem::Deadline { path: Arc::clone(path), deadline });
        }
    }

    fn step(&mut self, info: &NodeInfo) {
        let (name, path) = (Arc::clone(&info.name), Arc::clone(&info.path));
        if info.captured_bytes > 0 {
            let bytes = info.captured_bytes;
            self.problems.push(Problem::Captures { name: Arc::clone(&name), path: Arc::clone(&path), bytes });
        }
        if info.hidden {
            // It is called after its join, whose name nobody else has.
            return;
        }
        if !is_identifier(&name) {
            self.problems.push(Problem::Unnamed { path, found: name });
        } else if let Some(first) = self.names.get(&name) {
            let first = Arc::clone(first);
            self.problems.push(Problem::DuplicateName { name, first, second: path });
        } else {
            self.names.insert(name, path);
        }
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && letters.all(|c| c.is_alphanumeric() || c == '_')
}
