//! What a step reports while it runs.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::context::Origin;

/// What a step reports through its [`Context`](crate::Context).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Signal {
    /// A named number.
    Metric {
        /// Its name.
        name: String,
        /// Its value.
        value: f64,
    },
    /// How far long work has come.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted.
        unit: Cow<'static, str>,
    },
    /// A row of the table of results.
    Row(Row),
    /// A line of text.
    Note(String),
}

/// Where a step's signals go; a runtime implements it.
pub trait SignalSink: Send + Sync {
    /// Takes a signal of the step at `origin`.
    fn signal(&self, origin: &Origin, signal: Signal);
}

/// A row of the table of results: titles and cells, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row(pub Vec<(String, Cell)>);

/// A cell of the table of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A whole number.
    Integer(i64),
    /// A number, shown with four decimals.
    Number(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Integer(value) => value.fmt(f),
            Cell::Number(value) => write!(f, "{value:.4}"),
            Cell::Text(text) => f.write_str(text),
        }
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Cell::Number(value)
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Cell::Integer(value.into())
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Integer(value)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}
