//! What crosses between the aggregator and the sites, in the order in which it does.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow::secagg::{
    AdvertiseKeysMessage, ConsistencyCheckMessage, FreezeRosterMessage, FrozenRosterMessage,
    MaskedInputMessage, Parameters, RosterMessage, Session, ShareKeysMessage, SharesMessage,
    SignaturesMessage, SurvivorsMessage, UnmaskMessage,
};

/// To every site: a round starts from this model.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct NewRound {
    /// The session of the protocol: one a round.
    #[message(foreign = "veilflow-secagg/4/Session")]
    pub session: Session,
    /// The public configuration of the protocol.
    #[message(foreign = "veilflow-secagg/4/Parameters")]
    pub parameters: Parameters,
    /// The number of sites that are asked to take part.
    pub clients: usize,
    /// The parameters of the model, in one vector.
    pub model: Tensor,
}

/// From each site: its two public keys.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct PublicKeys(
    #[message(foreign = "veilflow-secagg/4/AdvertiseKeysMessage")] pub(super) AdvertiseKeysMessage,
);

/// To every site: the index and the public keys of each.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct CollaboratorIndex(
    #[message(foreign = "veilflow-secagg/4/RosterMessage")] pub(super) RosterMessage,
);

/// From each site: its random part in the choice of neighbours, to which it committed with its keys.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct RosterReveal(
    #[message(foreign = "veilflow-secagg/4/FreezeRosterMessage")] pub(super) FreezeRosterMessage,
);

/// To every site: everybody's part. Who shares secrets with whom is now settled.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct FrozenRoster(
    #[message(foreign = "veilflow-secagg/4/FrozenRosterMessage")] pub(super) FrozenRosterMessage,
);

/// From each site: a sealed share of each of its two secrets for every other site.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Ciphertexts(
    #[message(foreign = "veilflow-secagg/4/ShareKeysMessage")] pub(super) ShareKeysMessage,
);

/// To one site: the sealed shares that are addressed to it.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct AddressedCiphertexts(
    #[message(foreign = "veilflow-secagg/4/SharesMessage")] pub(super) SharesMessage,
);

/// From each site: its number of examples, its scores and its update, masked.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct MaskedUpdate(
    #[message(foreign = "veilflow-secagg/4/MaskedInputMessage")] pub(super) MaskedInputMessage,
);

/// To every site whose masked update is in the sum: whose are.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Survivors(#[message(foreign = "veilflow-secagg/4/SurvivorsMessage")] pub(super) SurvivorsMessage);

/// From each of them: its word on whose are, and on the model that it was given.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Word(
    #[message(foreign = "veilflow-secagg/4/ConsistencyCheckMessage")] pub(super) ConsistencyCheckMessage,
);

/// To each of them: everybody's word.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Words(#[message(foreign = "veilflow-secagg/4/SignaturesMessage")] pub(super) SignaturesMessage);

/// From each site: one share for each other site.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub struct Shares(#[message(foreign = "veilflow-secagg/4/UnmaskMessage")] pub(super) UnmaskMessage);
