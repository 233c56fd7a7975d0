//! Drawings of a flow: what runs where, in which order, what crosses, and under which policy.
//!
//! All of them are made from the [`FlowDescription`] alone, the same one that the fingerprint hashes.

mod diagram;
mod dot;
mod mermaid;
mod svg;
mod text;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::description::{BlockDescription, FlowDescription, StepDescription};
use crate::graph::Part;
use crate::quorum::Quorum;
use crate::schema::Schema;

/// How a flow is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Indented text.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// An SVG picture, without scripts, fonts or anything else from outside.
    Svg,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 4] = [Format::Text, Format::Mermaid, Format::Dot, Format::Svg];

    /// The format's name, as [`FromStr`] reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Mermaid => "mermaid",
            Format::Dot => "dot",
            Format::Svg => "svg",
        }
    }

    /// The extension of a file in this format.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Text => "txt",
            Format::Mermaid => "mmd",
            Format::Dot => "dot",
            Format::Svg => "svg",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format of a drawing: use one of {names}", names = names())]
pub struct UnknownFormat(String);

fn names() -> String {
    Format::ALL.map(Format::as_str).join(", ")
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let format = Format::ALL.into_iter().find(|format| format.as_str() == text);
        format.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl FlowDescription {
    /// Draws the flow. The drawing ends with a line break.
    pub fn draw(&self, format: Format) -> String {
        match format {
            Format::Text => text::draw(self),
            Format::Mermaid => mermaid::draw(self),
            Format::Dot => dot::draw(self),
            Format::Svg => svg::draw(self),
        }
    }
}

/// What a flow's confidentiality means for a reader of its drawing.
fn confidentiality(flow: &FlowDescription) -> (&'static str, &'static str) {
    if flow.confidential {
        ("confidential", "the collaborators' metrics, notes, rows and error texts stay at their sites")
    } else {
        ("plain", "the collaborators' metrics, notes, rows and error texts cross too")
    }
}

/// The policies of a fan-out, one a line.
fn policies(part: Part, quorum: Quorum, deadline: Option<Duration>) -> Vec<String> {
    let mut policies = vec![match part {
        Part::Flow => format!("quorum: {quorum}"),
        Part::Setup | Part::Inputs => format!("quorum: {quorum}, and the protocol's"),
        Part::Unmasking => "quorum: the protocol's".to_owned(),
    }];
    policies.extend(deadline.map(|limit| format!("deadline: {limit:?}")));
    policies
}

/// What a fan-out sends. Into the task of a secure join goes the message for the user's steps too.
fn sent(part: Part, task: &[StepDescription]) -> String {
    let first = task.first();
    let users = task.iter().find(|step| part == Part::Inputs && !step.hidden);
    let messages: Vec<_> = first.into_iter().chain(users).map(|step| label(Some(&step.input))).collect();
    messages.join(", ")
}

/// What a block gives to the next one: for a loop, what it is done with.
fn output(block: &BlockDescription) -> Option<&Schema> {
    match block {
        BlockDescription::Step(step) => Some(&step.output),
        BlockDescription::Fan { join, .. } | BlockDescription::Secure { join, .. } => Some(&join.output),
        BlockDescription::Repeat { body, .. } => verdict(body).map(|(_, done)| done),
        BlockDescription::Branch { yes, no, .. } => {
            yes.last().and_then(output).or_else(|| no.last().and_then(output))
        }
    }
}

/// What a loop's body starts again from, and what the loop is done with.
fn verdict(body: &[BlockDescription]) -> Option<(&Schema, &Schema)> {
    match body.last().and_then(output)?.parts() {
        [again, done] => Some((again, done)),
        _ => None,
    }
}

/// The parameters of a protocol, in one line.
fn parameters(parameters: &[(&'static str, String)]) -> String {
    let parameters = parameters.iter().map(|(name, value)| printable(&format!("{name}: {value}")));
    parameters.collect::<Vec<_>>().join(", ")
}

/// The label of a schema, or of nothing.
fn label(schema: Option<&Schema>) -> String {
    schema.map_or(String::new(), |schema| printable(schema.label()))
}

/// A text without what would break a line or an XML document.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_they_are_written() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "png".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "\"png\" is no format of a drawing: use one of text, mermaid, dot, svg");
    }
}
