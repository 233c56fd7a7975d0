//! What a participant may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The role that a certificate gives its holder. A name has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Serves the federation.
    Director,
    /// Works at a site.
    Envoy,
    /// Submits experiments and reads their results.
    Client,
    /// A client that also answers requests for certificates and brings lists that the authority signed.
    Admin,
}

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: use director, envoy, client or admin")]
pub struct InvalidRole(pub String);

impl Role {
    /// All there are.
    pub const ALL: [Role; 4] = [Role::Director, Role::Envoy, Role::Client, Role::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Director => "director",
            Role::Envoy => "envoy",
            Role::Client => "client",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let known = Role::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| InvalidRole(text.chars().take(64).collect()))
    }
}
