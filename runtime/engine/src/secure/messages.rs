//! What crosses in a secure join by SecAgg, in the order in which it does.

use serde::{Deserialize, Serialize};
use veilflow_secagg::{
    AdvertiseKeysMessage, ConsistencyCheckMessage, FreezeRosterMessage, FrozenRosterMessage,
    MaskedInputMessage, RosterMessage, Session, ShareKeysMessage, SharesMessage, SignaturesMessage,
    SurvivorsMessage, UnmaskMessage,
};
use veilflow_spec::Message;

/// To everybody addressed: a session starts.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct NewSession {
    #[message(foreign = "veilflow-secagg/4/Session")]
    pub(super) session: Session,
    /// How many are addressed.
    pub(super) clients: usize,
}

/// From each site: its two public keys.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct PublicKeys(
    #[message(foreign = "veilflow-secagg/4/AdvertiseKeysMessage")] pub(super) AdvertiseKeysMessage,
);

/// To every member: the public keys of each.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Roster(#[message(foreign = "veilflow-secagg/4/RosterMessage")] pub(super) RosterMessage);

/// From each member: what it contributes to the neighbour graph and, against a malicious server, its signature on the
/// roster.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct RosterReveal(
    #[message(foreign = "veilflow-secagg/4/FreezeRosterMessage")] pub(super) FreezeRosterMessage,
);

/// To every member: what all contributed, and their signatures.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct FrozenRoster(
    #[message(foreign = "veilflow-secagg/4/FrozenRosterMessage")] pub(super) FrozenRosterMessage,
);

/// From each site: a sealed share of each of its two secrets for every other site.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct SealedShares(
    #[message(foreign = "veilflow-secagg/4/ShareKeysMessage")] pub(super) ShareKeysMessage,
);

/// To one site: the sealed shares that are addressed to it.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct AddressedShares(#[message(foreign = "veilflow-secagg/4/SharesMessage")] pub(super) SharesMessage);

/// From each site: its input, masked.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct MaskedInput(
    #[message(foreign = "veilflow-secagg/4/MaskedInputMessage")] pub(super) MaskedInputMessage,
);

/// To every site whose masked input is in the sum: whose are.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Survivors(#[message(foreign = "veilflow-secagg/4/SurvivorsMessage")] pub(super) SurvivorsMessage);

/// From each of them: its word on whose are, and on what it was given.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Word(
    #[message(foreign = "veilflow-secagg/4/ConsistencyCheckMessage")] pub(super) ConsistencyCheckMessage,
);

/// To each of them: the words of all.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Words(#[message(foreign = "veilflow-secagg/4/SignaturesMessage")] pub(super) SignaturesMessage);

/// From each of them: one share for each other site.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct RevealedShares(#[message(foreign = "veilflow-secagg/4/UnmaskMessage")] pub(super) UnmaskMessage);
