//! Requests for certificates and their answers, until `pki` has them.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// A request for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// The request itself.
    pub csr: ByteBuf,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollReply {
    /// Nobody has answered it yet.
    Pending,
}

/// A request that waits for the authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRequest {
    /// The request.
    pub request: EnrollRequest,
    /// When it came, in milliseconds since 1970.
    pub received_ms: u64,
}

/// What the authority's owner brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// A newer roster of identities, where there is one.
    pub roster: Option<ByteBuf>,
    /// A newer list of certificates that no longer count, where there is one.
    pub revocations: Option<ByteBuf>,
}
