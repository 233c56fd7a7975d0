//! The roster as it travels, and what each member signs of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    identity::Signature,
    keys::EncodedKey,
    session::Session,
    transcript::{Transcript, domain},
};

/// The frozen list of members, sent to each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMessage {
    pub(crate) session: Session,
    pub(crate) plan: ByteArray<32>,
    /// Shared by all who are in one process: with many clients it would be most of what they keep.
    pub(crate) members: Arc<Vec<RosterEntry>>,
}

/// One member: its index is its place in the roster, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    pub(crate) name: String,
    pub(crate) sealing_key: EncodedKey,
    pub(crate) masking_key: EncodedKey,
    /// H(r), of the random value that the member reveals next.
    pub(crate) commitment: ByteArray<32>,
    /// Of the member, over its keys; absent where nothing is signed.
    pub(crate) signature: Option<Signature>,
}

impl RosterMessage {
    /// The members' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// A member's index, 1 to N.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names().position(|member| member == name)?.checked_add(1)
    }

    /// N.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody takes part; no server sends such a roster.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// What a client signs in round 0: its keys and H(r), for one session, plan and role.
pub(crate) fn keys_statement(
    session: &Session,
    plan: &[u8; 32],
    name: &str,
    sealing_key: &EncodedKey,
    masking_key: &EncodedKey,
    commitment: &[u8; 32],
) -> Transcript {
    Transcript::new(domain!("signature/advertise-keys"))
        .session(session)
        .bytes(plan)
        .text("client")
        .text(name)
        .bytes(sealing_key.as_bytes())
        .bytes(masking_key.as_bytes())
        .bytes(commitment)
}
