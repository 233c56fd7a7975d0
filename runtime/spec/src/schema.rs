//! The shape of a message type, as far as two builds of a flow must agree on it.
//!
//! A schema is canonical text: `struct Update{weight:f64,values:tensor<f32>}`,
//! `enum Verdict{Keep,Drop(0:text)}`. Two types have the same text exactly when they have the same name and
//! form, and their fields the same names, order, types and serde attributes; generic arguments show in the fields
//! that use them. Its hash stands in the flow's fingerprint, so that a director and an envoy built from
//! different sources find out before anything runs.

use std::any::TypeId;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::message::Message;

/// The shape of a message type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    label: String,
    text: String,
    parts: Vec<Schema>,
}

impl Schema {
    /// The schema of `T`.
    pub fn of<T: Message>() -> Self {
        T::schema(&mut Schemas::default())
    }

    /// A type that is known by its name alone, such as `f64`.
    pub fn scalar(name: &str) -> Self {
        Self { label: name.to_owned(), text: name.to_owned(), parts: Vec::new() }
    }

    /// A type from another package, which cannot be looked into: its name stands for its shape, so a name
    /// with a version in it (`secagg/v1/roster`) is the right one.
    pub fn foreign(name: &str) -> Self {
        let label = name.rsplit('/').next().unwrap_or(name);
        Self { label: label.to_owned(), text: format!("foreign({name:?})"), parts: Vec::new() }
    }

    /// A generic container of other shapes, written `open … close` with commas between.
    pub fn container(open: &str, parts: &[Schema], close: &str) -> Self {
        Self::separated(open, parts, ",", close)
    }

    /// A map, written `{key=>value}`.
    pub(crate) fn map(key: Schema, value: Schema) -> Self {
        Self::separated("{", &[key, value], "=>", "}")
    }

    fn separated(open: &str, parts: &[Schema], between: &str, close: &str) -> Self {
        let join = |pick: fn(&Schema) -> &str| {
            let parts: Vec<_> = parts.iter().map(pick).collect();
            format!("{open}{}{close}", parts.join(between))
        };
        Self { label: join(|s| &s.label), text: join(|s| &s.text), parts: parts.to_vec() }
    }

    /// The shapes that a container holds, in order: a `Loop` has what it starts again from and what it is
    /// done with. Empty for everything else.
    pub fn parts(&self) -> &[Schema] {
        &self.parts
    }

    /// A short name for tables and drawings: `Update`, `[f32]`, `(f64,u32)`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The canonical text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first 8 bytes of the SHA-256 of the canonical text, in hexadecimal.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()), 8)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// The first `bytes` bytes in hexadecimal.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    digest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// The types whose schema is being written, outermost first: how a recursive type ends.
#[derive(Default, Debug)]
pub struct Schemas {
    open: Vec<TypeId>,
}

impl Schemas {
    /// Writes a named type, with what [`fields`](Self::fields) or [`variants`](Self::variants) give.
    ///
    /// Called by `#[derive(Message)]`. A type that is met again inside itself is written as `Name^n`, `n`
    /// being how many types further out it stands.
    pub fn named<T: 'static>(&mut self, name: &str, text: impl FnOnce(&mut Self) -> String) -> Schema {
        let id = TypeId::of::<T>();
        let label = name.to_owned();
        if let Some(position) = self.open.iter().rposition(|open| *open == id) {
            let up = self.open.len() - position;
            return Schema { label, text: format!("{name}^{up}"), parts: Vec::new() };
        }
        self.open.push(id);
        let text = text(self);
        self.open.pop();
        Schema { label, text, parts: Vec::new() }
    }

    /// Writes the fields of a struct or a variant. Called by `#[derive(Message)]`.
    pub fn fields(head: &str, open: &str, parts: Vec<(&str, Schema)>, close: &str) -> String {
        let fields: Vec<_> = parts.iter().map(|(field, schema)| format!("{field}:{}", schema.text)).collect();
        format!("{head}{open}{}{close}", fields.join(","))
    }

    /// Writes the variants of an enum. Called by `#[derive(Message)]`.
    pub fn variants(head: &str, variants: Vec<String>) -> String {
        format!("{head}{{{}}}", variants.join(","))
    }
}
