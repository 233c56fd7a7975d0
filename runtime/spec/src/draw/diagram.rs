//! A flow as nodes, groups and edges: what the Mermaid and the DOT drawing share.

use super::{label, output, parameters, policies, printable, sent, verdict};
use crate::context::Placement;
use crate::description::{BlockDescription, FlowDescription, StepDescription};
use crate::schema::Schema;

/// Nodes in nested groups, and the edges between them.
pub(super) struct Diagram {
    pub(super) items: Vec<Item>,
    pub(super) edges: Vec<Edge>,
}

pub(super) enum Item {
    Node(Node),
    Group(Group),
}

pub(super) struct Node {
    /// Letters, digits and `_`.
    pub(super) id: String,
    pub(super) text: String,
    pub(super) role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// The parameters or the report.
    Terminal,
    Aggregator,
    Collaborator,
    /// Where a loop's body starts.
    Loop,
    /// Where the arms of a branch part.
    Choice,
    /// A secure join's protocol.
    Secure,
}

pub(super) struct Group {
    /// Letters, digits and `_`.
    pub(super) id: String,
    /// One line each.
    pub(super) lines: Vec<String>,
    pub(super) role: Role,
    pub(super) items: Vec<Item>,
}

pub(super) struct Edge {
    pub(super) from: String,
    pub(super) to: String,
    /// The message, with what the step before decided in front; then the policies.
    pub(super) lines: Vec<String>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Stays with its participant.
    Local,
    /// Crosses between participants.
    Crossing,
    /// Goes back to the start of a loop, at the aggregator.
    Back,
}

/// A node from which an edge is still to be drawn, and what was decided there.
#[derive(Clone)]
struct Exit {
    from: String,
    decided: Vec<&'static str>,
}

impl Exit {
    fn from(id: &str) -> Vec<Self> {
        vec![Self { from: id.to_owned(), decided: Vec::new() }]
    }

    fn deciding(&self, what: &'static str) -> Self {
        Self { from: self.from.clone(), decided: self.decided.iter().copied().chain([what]).collect() }
    }
}

impl Diagram {
    pub(super) fn of(flow: &FlowDescription) -> Self {
        let mut diagram = Self { items: Vec::new(), edges: Vec::new() };
        let mut items = vec![terminal("params", "parameters", &flow.params)];
        let exits = diagram.blocks(&flow.blocks, &mut items, Exit::from("params"), &flow.params);
        items.push(terminal("report", "report", &flow.report));
        diagram.connect(&exits, "report", Some(&flow.report), &[], Kind::Local);
        diagram.items = items;
        diagram
    }

    fn connect(
        &mut self,
        exits: &[Exit],
        to: &str,
        message: Option<&Schema>,
        policies: &[String],
        kind: Kind,
    ) {
        self.carry(exits, to, label(message), policies, kind);
    }

    fn carry(&mut self, exits: &[Exit], to: &str, message: String, policies: &[String], kind: Kind) {
        for Exit { from, decided } in exits {
            let message = match decided.is_empty() {
                true => message.clone(),
                false => format!("{}: {message}", decided.join(", ")),
            };
            let lines = [message].into_iter().chain(policies.iter().cloned()).collect();
            self.edges.push(Edge { from: from.clone(), to: to.to_owned(), lines, kind });
        }
    }

    fn blocks(
        &mut self,
        blocks: &[BlockDescription],
        items: &mut Vec<Item>,
        mut exits: Vec<Exit>,
        start: &Schema,
    ) -> Vec<Exit> {
        let mut before = Some(start);
        for block in blocks {
            exits = match block {
                BlockDescription::Step(step) => {
                    self.connect(&exits, &id_of(step), Some(&step.input), &[], Kind::Local);
                    items.push(node(step));
                    Exit::from(&id_of(step))
                }
                BlockDescription::Fan { path, part, task, quorum, deadline, join } => {
                    let mut kind = Kind::Crossing;
                    let mut group = Group {
                        id: format!("task_{}", letters(path)),
                        lines: vec!["each collaborator".to_owned()],
                        role: Role::Collaborator,
                        items: Vec::new(),
                    };
                    let mut message = sent(*part, task);
                    for (position, step) in task.iter().enumerate() {
                        if position > 0 {
                            message = label(Some(&step.input));
                        }
                        self.carry(&exits, &id_of(step), message.clone(), &[], kind);
                        group.items.push(node(step));
                        exits = Exit::from(&id_of(step));
                        kind = Kind::Local;
                    }
                    items.push(Item::Group(group));
                    let returned = task.last().map(|step| &step.output);
                    let policies = policies(*part, *quorum, *deadline);
                    self.connect(&exits, &id_of(join), returned, &policies, Kind::Crossing);
                    items.push(node(join));
                    Exit::from(&id_of(join))
                }
                BlockDescription::Secure { path, protocol, parameters: given, blocks, join } => {
                    let mut inner = Vec::new();
                    let exits = match before {
                        Some(start) => self.blocks(blocks, &mut inner, exits, start),
                        None => exits,
                    };
                    let lines = vec![format!("secure join by {}", printable(protocol)), parameters(given)];
                    let id = format!("secure_{}", letters(path));
                    items.push(Item::Group(Group { id, lines, role: Role::Secure, items: inner }));
                    self.connect(&exits, &id_of(join), Some(&join.input), &[], Kind::Local);
                    items.push(node(join));
                    Exit::from(&id_of(join))
                }
                BlockDescription::Repeat { path, body } => {
                    let start_id = format!("loop_{}", letters(path));
                    self.connect(&exits, &start_id, before, &[], Kind::Local);
                    let mut inner = vec![mark(&start_id, "repeat", Role::Loop)];
                    let last = match before {
                        Some(start) => self.blocks(body, &mut inner, Exit::from(&start_id), start),
                        None => exits,
                    };
                    let id = format!("repeat_{}", letters(path));
                    let lines = vec!["loop".to_owned()];
                    items.push(Item::Group(Group { id, lines, role: Role::Loop, items: inner }));
                    let again: Vec<_> = last.iter().map(|exit| exit.deciding("Again")).collect();
                    let message = verdict(body).map(|(again, _)| again);
                    self.connect(&again, &start_id, message, &[], Kind::Back);
                    last.iter().map(|exit| exit.deciding("Done")).collect()
                }
                BlockDescription::Branch { path, yes, no } => {
                    let choice = format!("choice_{}", letters(path));
                    self.connect(&exits, &choice, before, &[], Kind::Local);
                    items.push(mark(&choice, "branch", Role::Choice));
                    let parts = before.map_or(&[][..], Schema::parts);
                    let mut ends = Vec::new();
                    for (what, arm, start) in [("Yes", yes, parts.first()), ("No", no, parts.last())] {
                        let exits = Exit::from(&choice).iter().map(|exit| exit.deciding(what)).collect();
                        ends.extend(match start {
                            Some(start) => self.blocks(arm, items, exits, start),
                            None => exits,
                        });
                    }
                    ends
                }
            };
            before = output(block);
        }
        exits
    }
}

fn terminal(id: &str, what: &str, schema: &Schema) -> Item {
    let text = format!("{what}: {}", label(Some(schema)));
    Item::Node(Node { id: id.to_owned(), text, role: Role::Terminal })
}

fn mark(id: &str, text: &str, role: Role) -> Item {
    Item::Node(Node { id: id.to_owned(), text: text.to_owned(), role })
}

fn node(step: &StepDescription) -> Item {
    let role = match step.placement {
        Placement::Aggregator => Role::Aggregator,
        Placement::Collaborator => Role::Collaborator,
    };
    Item::Node(Node { id: id_of(step), text: printable(&step.name), role })
}

fn id_of(step: &StepDescription) -> String {
    format!("step_{}", letters(&step.path))
}

/// A path as part of an identifier.
fn letters(path: &str) -> String {
    path.replace('.', "_")
}
