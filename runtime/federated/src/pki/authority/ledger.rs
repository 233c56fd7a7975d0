//! What the authority remembers: whom it issued what, and which tokens it made.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use subtle::ConstantTimeEq as _;
use veilflow_spec::Name;

use crate::pki::certificate::Certificate;
use crate::pki::clock::seconds;
use crate::pki::enrolment::RequestId;
use crate::pki::error::{PkiError, malformed};
use crate::pki::files;
use crate::pki::role::Role;
use crate::pki::token::{Nonce, Secret, Token};

const LEDGER: &str = "authority's ledger";

/// For how long a used token is remembered after its end, so that a site whose answer was lost gets it again.
const KEEP_TOKENS_S: u64 = 30 * 24 * 3600;

/// As it lies on the disk. Secret: it has the secrets of tokens that nobody used yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    federation: String,
    roster_version: u64,
    revocations_version: u64,
    issued: Vec<StoredRecord>,
    tokens: Vec<TokenRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRecord {
    certificate: ByteBuf,
    hosts: Vec<String>,
    revoked: Option<u64>,
}

/// A token that was made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRecord {
    nonce: Nonce,
    name: Name,
    pub(super) role: Role,
    not_after: u64,
    /// Gone when it is used.
    pub(super) secret: Option<Secret>,
    /// By which request, and the certificate that it got; none where it was refused.
    pub(super) used: Option<(RequestId, Option<ByteBuf>)>,
}

/// A certificate that was issued.
pub(super) struct Record {
    pub(super) certificate: Certificate,
    pub(super) der: Vec<u8>,
    pub(super) hosts: Vec<String>,
    pub(super) revoked: Option<u64>,
}

impl Record {
    /// Neither revoked nor over.
    pub(super) fn holds(&self, now: SystemTime) -> bool {
        self.revoked.is_none() && !self.is_over(now)
    }

    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        self.certificate.peer.not_after < now
    }
}

pub(super) struct Ledger {
    pub(super) federation: String,
    pub(super) roster_version: u64,
    pub(super) revocations_version: u64,
    /// In the order in which they were issued.
    pub(super) issued: Vec<Record>,
    tokens: Vec<TokenRecord>,
}

impl Ledger {
    pub(super) fn new(federation: &str) -> Self {
        Self {
            federation: federation.to_owned(),
            roster_version: 0,
            revocations_version: 0,
            issued: Vec::new(),
            tokens: Vec::new(),
        }
    }

    pub(super) fn load(path: &Path) -> Result<Self, PkiError> {
        let bytes = zeroize::Zeroizing::new(files::read(path)?);
        let bad = |error| malformed(LEDGER, format!("{}: {error}", path.display()));
        let stored: Stored = ciborium::from_reader(bytes.as_slice()).map_err(bad)?;
        let record = |stored: StoredRecord| {
            let der = stored.certificate.into_vec();
            let (hosts, revoked) = (stored.hosts, stored.revoked);
            Ok(Record { certificate: Certificate::from_der(&der)?, der, hosts, revoked })
        };
        let issued: Result<_, PkiError> = stored.issued.into_iter().map(record).collect();
        Ok(Self {
            federation: stored.federation,
            roster_version: stored.roster_version,
            revocations_version: stored.revocations_version,
            issued: issued?,
            tokens: stored.tokens,
        })
    }

    /// Durable before it returns.
    pub(super) fn save(&mut self, path: &Path, now: SystemTime) -> Result<(), PkiError> {
        let now = seconds(now);
        self.tokens.retain(|token| {
            let keep = if token.used.is_some() { KEEP_TOKENS_S } else { 0 };
            token.not_after.saturating_add(keep) >= now
        });
        let stored = |record: &Record| StoredRecord {
            certificate: ByteBuf::from(record.der.clone()),
            hosts: record.hosts.clone(),
            revoked: record.revoked,
        };
        let tokens = std::mem::take(&mut self.tokens);
        let whole = Stored {
            federation: self.federation.clone(),
            roster_version: self.roster_version,
            revocations_version: self.revocations_version,
            issued: self.issued.iter().map(stored).collect(),
            tokens,
        };
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        let encoded = ciborium::into_writer(&whole, &mut *bytes);
        self.tokens = whole.tokens;
        encoded.map_err(|error| malformed(LEDGER, error))?;
        files::replace_secret(path, &bytes)
    }

    /// The newest certificate of this name that holds.
    pub(super) fn current(&self, name: &Name, now: SystemTime) -> Option<&Record> {
        let of_name = |record: &&Record| record.certificate.peer.name == *name && record.holds(now);
        self.issued.iter().rev().find(of_name)
    }

    /// Whether the certificate of this name and number holds.
    pub(super) fn holds(&self, name: &Name, serial: &[u8], now: SystemTime) -> bool {
        let named = |record: &&Record| {
            record.certificate.peer.name == *name && record.certificate.peer.serial == serial
        };
        self.issued.iter().find(named).is_some_and(|record| record.holds(now))
    }

    pub(super) fn remember(&mut self, token: &Token) {
        let claims = token.claims();
        self.tokens.push(TokenRecord {
            nonce: Nonce::new(claims.nonce),
            name: claims.name.clone(),
            role: claims.role,
            not_after: seconds(claims.not_after),
            secret: Some(token.secret().clone()),
            used: None,
        });
    }

    /// The token of this nonce. Compared in constant time, and with all of them.
    pub(super) fn token(&mut self, nonce: &[u8; 16]) -> Option<&mut TokenRecord> {
        let mut found = None;
        for token in &mut self.tokens {
            if bool::from(token.nonce.as_slice().ct_eq(nonce)) {
                found = Some(token);
            }
        }
        found
    }

    /// Forgets the unused tokens of a name.
    pub(super) fn forget_tokens(&mut self, name: &Name) {
        self.tokens.retain(|token| token.name != *name || token.used.is_some());
    }
}
