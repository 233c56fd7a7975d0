//! The federation's own certificates: an authority on an administrator's machine, and everybody else.
//!
//! | who | has | does |
//! |---|---|---|
//! | administrator | [`Authority`]: the authority's key | makes tokens, signs requests, renews, revokes, signs the [roster](SignedRoster) |
//! | director | an [`Identity`], [`Revocations`], a [`Relay`] | relays requests, answers and lists; can make none of them |
//! | site | an [`Identity`], whose key was made there, [`Revocations`] | enrols with a [`Token`], renews its certificate, pins the authority and the roster |
//!
//! A certificate's common name is the participant's name, and its URI names the role. Nothing of the system's own
//! trust in authorities is used anywhere. Does not defend against an administrator who gives certificates to the wrong
//! people: compare the thumbprints of keys.

mod authority;
mod certificate;
mod clock;
pub mod enrolment;
mod error;
mod files;
mod identity;
mod key;
mod policy;
mod relay;
mod renewal;
mod revocations;
mod role;
mod roster;
mod throwaway;
mod token;
mod trust;

pub use authority::{Authority, Issued, Order, Reviewed};
pub use certificate::Peer;
pub(crate) use clock::Clock;
pub use clock::{Date, InvalidDuration, Validity};
pub use enrolment::{
    Answer, EnrollReply, EnrollRequest, Enrolling, Granted, PendingRequest, Publication, RequestId, Verdict,
    Warrant, read_certificate, read_request,
};
pub use error::PkiError;
pub use identity::{Identity, REVOCATIONS_FILE};
pub use key::Passphrase;
pub use policy::{PolicyError, SigningPolicy};
pub use relay::Relay;
pub use renewal::Renewal;
pub(crate) use renewal::Renewer;
pub use revocations::{RevocationList, Revocations, Revoked};
pub use role::{InvalidRole, Role};
pub use roster::{Member, Roster, RosterChange, SignedRoster};
pub use throwaway::{Throwaway, throwaway};
pub use token::{Claims, Token};
pub use trust::{Thumbprint, Trust};

/// The environment variable with the passphrase of the authority's key.
pub const PASSPHRASE: &str = "VEILFLOW_CA_PASSPHRASE";
