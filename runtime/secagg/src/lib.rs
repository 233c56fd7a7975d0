//! Secure aggregation (SecAgg) as client and server roles without I/O.
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod advertise_keys;
mod aggregate;
mod cohort;
mod derive;
mod digest;
mod entries;
mod error;
mod journal;
mod keys;
mod mask;
mod masked_input;
mod parameters;
mod plan;
mod policy;
mod quantize;
mod receive_shares;
mod redacted;
mod roster;
mod sealing;
mod session;
mod shamir;
mod share_keys;
mod transcript;
mod unmask;
#[cfg(test)]
mod vectors;

pub use advertise_keys::{AdvertiseKeysMessage, AdvertiseKeysServer, Client};
pub use aggregate::{Aggregate, FixedPointSum};
pub use digest::{InputId, ModelDigest};
pub use error::{Error, Stage};
pub use journal::{InputJournal, MemoryJournal};
pub use keys::EncodedKey;
pub use masked_input::{MaskInputClient, MaskedInputMessage, MaskedInputServer};
pub use parameters::{Parameters, Threshold};
pub use plan::{Layout, Plan, PlanError};
pub use policy::ClientPolicy;
pub use quantize::{Input, InputError, Quantized};
pub use receive_shares::ReceiveSharesClient;
pub use roster::{RosterEntry, RosterMessage};
pub use sealing::{SealedShare, ShareKind};
pub use session::Session;
pub use shamir::RevealedShare;
pub use share_keys::{SealedShares, ShareKeysClient, ShareKeysMessage, ShareKeysServer, SharesMessage};
pub use unmask::{SurvivorsMessage, UnmaskClient, UnmaskMessage, UnmaskServer};
