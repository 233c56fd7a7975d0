//! Secure aggregation (SecAgg) as client and server roles without I/O.
//!
//! A server learns the weighted mean of its clients' vectors, and nothing about any one of them. This crate is the
//! protocol of Bonawitz et al., *Practical Secure Aggregation for Privacy-Preserving Machine Learning* (CCS 2017,
//! fig. 4), on the complete graph of up to 255 clients, or with [`NumShares`] below that on a sparse one (SecAgg+, Bell
//! et al., CCS 2020). It opens no socket, reads no clock and starts no thread: every
//! step takes a message and returns the next one, and how messages travel is the caller's affair.
//!
//! | round | client | | server | papers |
//! |---|---|---|---|---|
//! | 0 advertise keys | [`Client::advertise_keys`] | → [`AdvertiseKeysMessage`] → | [`AdvertiseKeysServer`] | fig. 4, round 0 |
//! | 0 freeze roster | [`FreezeRosterClient::freeze_roster`] | ← [`RosterMessage`], [`FreezeRosterMessage`] → | [`FreezeRosterServer`] | Bell et al., section 3 |
//! | 1 share keys | [`ShareKeysClient::share_keys`] | ← [`FrozenRosterMessage`], [`ShareKeysMessage`] → | [`ShareKeysServer`] | fig. 4, round 1 |
//! | | [`ReceiveSharesClient::receive_shares`] | ← [`SharesMessage`] | | fig. 4, round 2, first steps |
//! | 2 masked input | [`MaskInputClient::mask_input`] | [`MaskedInputMessage`] → | [`MaskedInputServer`] | fig. 4, round 2 |
//! | 3 consistency check | [`ConsistencyCheckClient::check_consistency`] | ← [`SurvivorsMessage`], [`ConsistencyCheckMessage`] → | [`ConsistencyCheckServer`] | fig. 4, round 3 |
//! | 4 unmask | [`UnmaskClient::unmask`] | ← [`SignaturesMessage`], [`UnmaskMessage`] → | [`UnmaskServer`] | fig. 4, round 4 |
//!
//! Each round is a module of its own. Under [`Security::Malicious`], the default, what the server could invent is signed
//! with identity keys; under [`Security::SemiHonest`] the same messages travel without signatures. With
//! [`num_shares`](Parameters::with_num_shares) below N each client has few neighbours (SecAgg+); [`bounds`] finds how
//! many, and which threshold ([`NumShares::Auto`]), and checks what is given by hand.
//!
//! # What is a type here
//!
//! - **The order of calls.** Every state is consumed by the step that follows it: a client cannot mask two inputs in a
//!   session, or answer two unmask requests, because it no longer has what that would take.
//! - **What may be sent.** What ends in `Message` is sent: it is serializable. What ends in `Client` is secret: it is
//!   not, its `Debug` shows the session only, and it is zeroized when dropped.
//! - **Who sent it.** No message carries its sender's name. The server's `receive` takes the name that the transport
//!   authenticated.
//!
//! Keys, seeds and shares come from the operating system's generator only. The random generator that
//! [`mask_input`](MaskInputClient::mask_input) takes rounds numbers and protects nothing, so a run can be repeated
//! from its seed; the secure sum equals the plain one ([`FixedPointSum`]) of the same survivors bit for bit, but for
//! the noise where there is any.
//!
//! With [`Privacy`] each client clips its input and adds its share of discrete Gaussian noise before it masks, so that
//! what the sum tells about one client is bounded too, for the server and for whoever sees the sum later. The plan tells
//! the cost in (ε, δ) in advance ([`Plan::privacy_cost`]), and each site's journal adds up what it has spent.
//!
//! # What it defends against
//!
//! Numbers are the rows of the project's `SECURITY.md`, which names the test of each, the assumptions, and what is *not*
//! defended. Under [`Security::SemiHonest`] the server is assumed to follow the protocol and
//! to be curious, and up to t − 1 clients may tell it all they know; under [`Security::Malicious`] it does anything, and
//! a part of the enrolled participants helps it.
//!
//! Here: 1 (masks of different models do not cancel, and round 3 ends the session before a share is given), 2 (one
//! answer, one kind of share per member), 3 (a majority of the roster signs the survivors; thresholds that keep two
//! stories apart), 4 (signed keys, pinned identities, adversaries counted again by each client, one roster signed by all), 5 (a neighbour graph from
//! everybody's randomness, committed before it is revealed), 6 (no input is masked
//! twice, sessions only go forward), 7 (fresh keys, everything bound to its session), 8 (no overflow, by plan), 9 (bad
//! inputs are refused at the client), 10 (smallest cohorts, enforced by clients), 11 (the weight, the number of clipped
//! values and the scalars travel masked; only [`Error::code`] may leave a site), 12 (a late input stays closed), 13 (shares are committed to and
//! signed, what is rebuilt is checked, and whoever is named is guilty), 14 (fewer than t answers give an error and no
//! sum), 18 (limits on the differences of cohorts over rounds, where a site's [`ClientPolicy`] sets them).
//!
//! # Three clients in one process
//!
//! ```
//! use rand::SeedableRng as _;
//! use std::sync::Arc;
//! use veilflow_secagg::*;
//!
//! let plan = Parameters::new().with_max_weight(100).plan(3, Layout::new(1, 2))?;
//! let session = Session::generate(0)?;
//! let names = ["ana", "ben", "eve"];
//! let mut journals = [MemoryJournal::new(), MemoryJournal::new(), MemoryJournal::new()];
//!
//! // Once per federation: every site has a key, and pins the public keys of all.
//! let keys = [IdentityKey::generate()?, IdentityKey::generate()?, IdentityKey::generate()?];
//! let trusted = Arc::new(Identities::new(names.into_iter().zip(keys.iter().map(IdentityKey::public))));
//!
//! // Round 0: fresh keys.
//! let mut server = AdvertiseKeysServer::new(session, plan, names)?.with_identities(Arc::clone(&trusted));
//! let mut clients = Vec::new();
//! for ((name, journal), key) in names.into_iter().zip(&mut journals).zip(keys) {
//!     let client = Client::new(name, plan, ClientPolicy::default())?.with_identity(key, Arc::clone(&trusted))?;
//!     let (client, message) = client.advertise_keys(session, journal)?;
//!     server.receive(name, message)?;
//!     clients.push((name, client));
//! }
//! let (mut server, roster) = server.freeze()?;
//!
//! // Everybody signs the roster, and reveals the random value that it committed to.
//! let mut frozen = Vec::new();
//! for (name, client) in clients {
//!     let (client, message) = client.freeze_roster(&roster)?;
//!     server.receive(name, message)?;
//!     frozen.push((name, client));
//! }
//! let (mut server, roster) = server.reveal()?;
//!
//! // Round 1: sealed shares of both secrets.
//! let mut sharing = Vec::new();
//! for (name, client) in frozen {
//!     let (client, message) = client.share_keys(&roster)?;
//!     server.receive(name, message)?;
//!     sharing.push((name, client));
//! }
//! let (mut server, shares) = server.deliver()?;
//!
//! // Round 2: masked inputs.
//! let model = ModelDigest::of_f32(&[0.0, 0.0]);
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(42);
//! let mut masked = Vec::new();
//! for (((name, client), journal), weight) in sharing.into_iter().zip(&mut journals).zip([10, 20, 70]) {
//!     let client = client.receive_shares(&shares[name])?;
//!     let input = Input { weight, scalars: &[0.5], vector: &[1.0, weight as f32 / 100.0] };
//!     let id = InputId::of_parts([b"round 0".as_slice(), model.as_bytes()]);
//!     let (client, message) = client.mask_input(model, id, &input, &mut rng, journal)?;
//!     server.receive(name, message)?;
//!     masked.push((name, client));
//! }
//! let (mut server, survivors) = server.announce(model)?;
//!
//! // Round 3: was everybody told the same?
//! let mut confirmed = Vec::new();
//! for ((name, client), journal) in masked.into_iter().zip(&mut journals) {
//!     let (client, message) = client.check_consistency(&survivors, journal)?;
//!     server.receive(name, message)?;
//!     confirmed.push((name, client));
//! }
//! let (mut server, signatures) = server.forward()?;
//!
//! // Round 4: what takes the masks off the sum, and off nothing else.
//! for (name, client) in confirmed {
//!     server.receive(name, client.unmask(&signatures)?)?;
//! }
//! let aggregate = server.aggregate()?;
//! assert_eq!(aggregate.total_weight(), 100);
//! assert!((aggregate.mean()[1] - 0.54).abs() < 1e-4);
//! assert!((aggregate.scalars()[0] - 0.5).abs() <= aggregate.max_error());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What does not compile
//!
//! A client's state is not serializable:
//!
//! ```compile_fail,E0277
//! fn send<M: serde::Serialize>(_: M) {}
//! fn leak(client: veilflow_secagg::MaskInputClient) {
//!     send(client);
//! }
//! ```
//!
//! Nor is a quantized input that has no mask yet:
//!
//! ```compile_fail,E0277
//! fn send<M: serde::Serialize>(_: M) {}
//! fn leak(input: veilflow_secagg::Quantized) {
//!     send(input);
//! }
//! ```
//!
//! A client answers one unmask request (`SECURITY.md`, row 2):
//!
//! ```compile_fail,E0382
//! use veilflow_secagg::{SignaturesMessage, UnmaskClient};
//! fn twice(client: UnmaskClient, one: &SignaturesMessage, other: &SignaturesMessage) {
//!     let _ = client.unmask(one);
//!     let _ = client.unmask(other);
//! }
//! ```
//!
//! and none before round 3:
//!
//! ```compile_fail,E0599
//! use veilflow_secagg::{ConsistencyCheckClient, SignaturesMessage};
//! fn early(client: ConsistencyCheckClient, signatures: &SignaturesMessage) {
//!     let _ = client.unmask(signatures);
//! }
//! ```
//!
//! and is not copied on the way:
//!
//! ```compile_fail,E0277
//! fn copy<C: Clone>(_: C) {}
//! fn keep(client: veilflow_secagg::UnmaskClient) {
//!     copy(client);
//! }
//! ```
//!
//! A server that announced the survivors takes no further input (row 12): [`MaskedInputServer::announce`] consumed it.

#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::panic))]

mod admission;
mod advertise_keys;
mod aggregate;
#[cfg(test)]
mod attacks;
mod batch;
pub mod bounds;
mod cohort;
mod commitment;
mod consistency_check;
mod cost;
mod defences;
mod derive;
mod digest;
mod entries;
mod erasable;
mod error;
mod freeze_roster;
mod graph;
mod identity;
mod journal;
mod keys;
mod known_cohorts;
mod mask;
mod masked_input;
mod parallel;
mod parameters;
mod plan;
mod policy;
mod privacy;
mod quantize;
mod random;
mod receive_shares;
mod redacted;
mod roster;
mod sealing;
mod security;
mod session;
mod shamir;
mod share_keys;
pub mod simulation;
mod stage;
mod transcript;
mod unmask;
#[cfg(test)]
mod vectors;
mod words;

pub use advertise_keys::{AdvertiseKeysMessage, AdvertiseKeysServer, Client};
pub use aggregate::{Aggregate, FixedPointSum};
pub use commitment::{Commitment, RevealedShare};
pub use consistency_check::{
    ConsistencyCheckClient, ConsistencyCheckMessage, ConsistencyCheckServer, SignaturesMessage,
    SurvivorsMessage,
};
pub use cost::{ClientCost, ServerCost, UploadBytes};
pub use digest::{InputId, ModelDigest};
pub use entries::{add_packed_entries, pack_entries};
pub use error::{Error, Stage};
pub use freeze_roster::{FreezeRosterClient, FreezeRosterMessage, FreezeRosterServer, FrozenRosterMessage};
pub use identity::{Identities, IdentityKey, PublicIdentity, Signature};
pub use journal::{InputJournal, MemoryJournal};
pub use keys::EncodedKey;
pub use known_cohorts::KnownCohort;
pub use mask::{expand_mask_and_add, expand_masks_and_add};
pub use masked_input::{MaskInputClient, MaskedInputMessage, MaskedInputServer};
pub use parameters::{NumShares, Parameters, Threshold};
pub use plan::{Layout, Plan, PlanError};
pub use policy::ClientPolicy;
pub use privacy::{Privacy, PrivacyAccountant, PrivacyCost};
pub use quantize::{Input, InputError, Quantized};
pub use receive_shares::ReceiveSharesClient;
pub use roster::{RosterEntry, RosterMessage};
pub use sealing::{SealedShare, ShareKind};
pub use security::Security;
pub use session::Session;
pub use share_keys::{SealedShares, ShareKeysClient, ShareKeysMessage, ShareKeysServer, SharesMessage};
pub use unmask::{UnmaskClient, UnmaskMessage, UnmaskServer};
