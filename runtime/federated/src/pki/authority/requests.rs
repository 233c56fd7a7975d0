//! What the director relays: requests for certificates, checked here and answered.

use std::time::SystemTime;

use serde_bytes::ByteBuf;
use veilflow_spec::Name;

use super::Authority;
use super::making::Order;
use crate::pki::certificate::Request;
use crate::pki::clock::Validity;
use crate::pki::enrolment::{Answer, EnrollRequest, Verdict, Warrant};
use crate::pki::error::PkiError;
use crate::pki::key::SubjectKey;
use crate::pki::role::Role;
use crate::pki::token::Claims;
use crate::pki::trust::Thumbprint;

/// A request that may be signed: checked, and in words for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Who asks.
    pub name: Name,
    /// The role that it will have.
    pub role: Role,
    /// Whether it has a certificate already and prolongs it.
    pub renewal: bool,
    /// SHA-256 of its public key: compare it with what the site shows.
    pub thumbprint: Thumbprint,
}

struct Examined {
    reviewed: Reviewed,
    key: SubjectKey,
    nonce: Option<[u8; 16]>,
    /// What the same request got before.
    before: Option<Vec<u8>>,
}

impl Authority {
    /// Checks a request that the director relayed: it is the work of whoever holds the token, or of the identity that
    /// it renews.
    ///
    /// # Errors
    /// What keeps it from being signed.
    pub fn review(&mut self, request: &EnrollRequest, now: SystemTime) -> Result<Reviewed, PkiError> {
        self.examine(request, now).map(|examined| examined.reviewed)
    }

    /// Signs a request that [`review`](Self::review) accepts. The same request again gets the same certificate.
    ///
    /// # Errors
    /// As [`review`](Self::review), and what the disk reports.
    pub fn sign(
        &mut self,
        request: &EnrollRequest,
        valid: Validity,
        now: SystemTime,
    ) -> Result<Answer, PkiError> {
        let Examined { reviewed, key, nonce, before } = self.examine(request, now)?;
        let der = match before {
            Some(der) => der,
            None => {
                let hosts = self.ledger.current(&reviewed.name, now).map(|record| record.hosts.clone());
                let hosts = hosts.unwrap_or_default();
                let order = Order { name: reviewed.name, role: reviewed.role, hosts, valid };
                let der = self.make(&order, &key, now)?;
                if let Some(token) = nonce.and_then(|nonce| self.ledger.token(&nonce)) {
                    token.secret = None;
                    token.used = Some((request.id(), Some(ByteBuf::from(der.clone()))));
                }
                self.record(der.clone(), order.hosts, now)?;
                der
            }
        };
        let verdict = Verdict::Granted(self.granted(der, now)?);
        Ok(Answer { request: request.id(), verdict })
    }

    /// Refuses a request, whatever is wrong with it, and ends its token.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn refuse(
        &mut self,
        request: &EnrollRequest,
        reason: &str,
        now: SystemTime,
    ) -> Result<Answer, PkiError> {
        // Only a request that holds the token's secret ends the token: a director could make others up.
        if let Ok(Examined { nonce: Some(nonce), before: None, .. }) = self.examine(request, now) {
            if let Some(token) = self.ledger.token(&nonce) {
                token.secret = None;
                token.used = Some((request.id(), None));
            }
            self.save(now)?;
        }
        let verdict = Verdict::Refused { reason: reason.to_owned() };
        Ok(Answer { request: request.id(), verdict })
    }

    fn examine(&mut self, request: &EnrollRequest, now: SystemTime) -> Result<Examined, PkiError> {
        request.in_bounds()?;
        let asked = Request::from_der(&request.csr)?;
        let thumbprint = Thumbprint::of(&asked.key.to_bytes());
        match &request.warrant {
            Warrant::Renewal { serial } => {
                // Good as long as the certificate that it names, so that no director prolongs by sending it again.
                let named = self.ledger.holds(&asked.name, serial, now);
                let current = self.ledger.current(&asked.name, now);
                let current = current.filter(|record| named && record.certificate.key == asked.key);
                let current = current.ok_or_else(|| PkiError::UnknownName { name: asked.name.clone() })?;
                let role = current.certificate.peer.role;
                let reviewed = Reviewed { name: asked.name, role, renewal: true, thumbprint };
                Ok(Examined { reviewed, key: asked.key, nonce: None, before: None })
            }
            Warrant::Token { claims, proof } => {
                let read = Claims::read(claims, &self.trust)?;
                let name = read.name.clone();
                if asked.name != name {
                    let (what, got) = ("certificate request", asked.name);
                    return Err(PkiError::WrongName { what, expected: name, got });
                }
                let Some(token) = self.ledger.token(&read.nonce) else {
                    read.in_time(now)?;
                    return Err(PkiError::TokenUnknown { name });
                };
                let reviewed = Reviewed { name: name.clone(), role: token.role, renewal: false, thumbprint };
                match (&token.used, &token.secret) {
                    (Some((id, Some(der))), _) if *id == request.id() => {
                        let before = Some(der.to_vec());
                        return Ok(Examined { reviewed, key: asked.key, nonce: Some(read.nonce), before });
                    }
                    (None, Some(secret)) => {
                        if !secret.proves(claims, &request.csr, proof)? {
                            return Err(PkiError::WrongProof { name });
                        }
                    }
                    _ => return Err(PkiError::TokenUsed { name }),
                }
                read.in_time(now)?;
                self.is_free(&name, now)?;
                Ok(Examined { reviewed, key: asked.key, nonce: Some(read.nonce), before: None })
            }
        }
    }
}
