//! The shape of a message type, as far as two builds of a flow must agree on it.
//!
//! A schema is canonical text: two types have the same text exactly when their fields have the same
//! names, order and types. Its hash stands in the flow's fingerprint, so that a director and an envoy built
//! from different sources find out before anything runs.

use std::any::TypeId;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::message::Message;

/// The shape of a message type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    label: String,
    text: String,
}

impl Schema {
    /// The schema of `T`.
    pub fn of<T: Message>() -> Self {
        T::schema(&mut Schemas::default())
    }

    /// A type that is known by its name alone, such as `f64`.
    pub fn scalar(name: &str) -> Self {
        Self { label: name.to_owned(), text: name.to_owned() }
    }

    /// A type from another package, which cannot be looked into: its name stands for its shape, so a name
    /// with a version in it (`secagg/v1/roster`) is the right one.
    pub fn foreign(name: &str) -> Self {
        let label = name.rsplit('/').next().unwrap_or(name);
        Self { label: label.to_owned(), text: format!("foreign({name:?})") }
    }

    /// A generic container of other shapes, written `open … close` with commas between.
    pub fn container(open: &str, parts: &[Schema], close: &str) -> Self {
        let join = |pick: fn(&Schema) -> &str| {
            let parts: Vec<_> = parts.iter().map(pick).collect();
            format!("{open}{}{close}", parts.join(","))
        };
        Self { label: join(|s| &s.label), text: join(|s| &s.text) }
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
    /// Writes a named type: `parts` gives each field or variant with its name.
    ///
    /// Called by `#[derive(Message)]`. A type that is met again inside itself is written as `Name^n`, `n`
    /// being how many types further out it stands.
    pub fn named<T: 'static>(
        &mut self,
        name: &str,
        parts: impl FnOnce(&mut Self) -> Vec<(&'static str, Schema)>,
    ) -> Schema {
        let id = TypeId::of::<T>();
        if let Some(position) = self.open.iter().rposition(|open| *open == id) {
            let up = self.open.len() - position;
            return Schema { label: name.to_owned(), text: format!("{name}^{up}") };
        }
        self.open.push(id);
        let parts = parts(self);
        self.open.pop();
        Self::variant(name, parts)
    }

    /// Writes the fields of a variant of an enum. Called by `#[derive(Message)]`.
    pub fn variant(name: &str, parts: Vec<(&'static str, Schema)>) -> Schema {
        let fields: Vec<_> = parts.iter().map(|(field, schema)| format!("{field}:{}", schema.text)).collect();
        Schema { label: name.to_owned(), text: format!("{name}{{{}}}", fields.join(",")) }
    }
}
