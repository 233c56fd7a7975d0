//! Drawings of a flow.

use std::fmt;
use std::str::FromStr;

use crate::description::FlowDescription;

/// How a flow is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Indented text.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz digraph.
    Dot,
    /// An SVG picture.
    Svg,
}
