//! The director's part in the federation's certificates: it passes on what the authority signed, and can make nothing of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::timeout;
use veilflow_secagg::Identities;
use veilflow_spec::StepError;

use super::envoys::Signed;
use super::error::DirectorError;
use crate::journal::files;
use crate::pki::{
    EnrollReply, EnrollRequest, Identity, Peer, PendingRequest, PkiError, Publication, Relay, RequestId,
    Revocations, Roster, SignedRoster, Trust, Verdict,
};
use crate::wire::Refusal;

/// How long a request for a certificate is held before its sender is told to ask again.
const HELD: Duration = Duration::from_secs(30);

/// The newest roster, in the state directory.
const ROSTER: &str = "roster";
/// Requests and answers, in the state directory.
const REQUESTS: &str = "requests";

/// What a director has of the authority.
pub(super) struct Desk {
    trust: Trust,
    relay: Relay,
    revocations: Revocations,
    path: PathBuf,
    roster: RwLock<Option<Newest>>,
}

#[derive(Clone)]
struct Newest {
    signed: Bytes,
    version: u64,
    not_after: SystemTime,
    identities: Arc<Identities>,
}

impl Newest {
    fn new(signed: &SignedRoster, roster: &Roster) -> Self {
        Self {
            signed: Bytes::copy_from_slice(signed.to_bytes()),
            version: roster.version(),
            not_after: roster.not_after(),
            identities: Arc::new(roster.identities()),
        }
    }
}

impl Desk {
    /// The director's desk: what came with its identity, and what was published since. Blocks.
    ///
    /// # Errors
    /// What the storage reports, and files that the authority did not sign.
    pub(super) fn open(identity: &Identity, state: &Path) -> Result<Self, DirectorError> {
        let trust = identity.authority().clone();
        let path = state.join(ROSTER);
        let published = files::read(&path)?.map(SignedRoster::from_bytes);
        let mut newest = None;
        for signed in [Some(identity.roster()?), published].into_iter().flatten() {
            let roster = signed.read(&trust)?;
            if newest.as_ref().is_none_or(|newest: &Newest| newest.version < roster.version()) {
                newest = Some(Newest::new(&signed, &roster));
            }
        }
        Ok(Self {
            relay: Relay::open(&state.join(REQUESTS), &trust)?,
            revocations: identity.revocations()?,
            roster: RwLock::new(newest),
            trust,
            path,
        })
    }

    pub(super) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The newest roster.
    pub(super) fn roster(&self) -> Option<Signed> {
        self.newest().map(|newest| Signed { version: newest.version, bytes: newest.signed })
    }

    fn newest(&self) -> Option<Newest> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose keys the aggregators know.
    ///
    /// # Errors
    /// No roster, or one that has expired.
    pub(super) fn identities(&self) -> veilflow_spec::Result<Arc<Identities>> {
        let newest = self.newest().ok_or_else(|| {
            StepError::with_code(
                "no-roster",
                "the director has no roster of identities: publish one with `veilflow pki`",
            )
        })?;
        if newest.not_after < SystemTime::now() {
            let text = format!(
                "the director's roster of identities, version {}, has expired: publish a newer one with `veilflow pki`",
                newest.version
            );
            return Err(StepError::with_code("roster-expired", text));
        }
        Ok(newest.identities)
    }

    /// Takes a request for a certificate, and waits a while for its answer.
    pub(super) async fn enroll(
        self: &Arc<Self>,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> Result<EnrollReply, Refusal> {
        let id = self.received(peer, request).await?;
        match timeout(HELD, self.relay.answered(&id)).await {
            Ok(verdict) => verdict.map(EnrollReply::Answered).ok_or_else(forgotten),
            Err(_) => Ok(EnrollReply::Pending),
        }
    }

    /// The same for the director's own request, which waits as long as it takes.
    pub(super) async fn answered(
        self: &Arc<Self>,
        own: Peer,
        request: EnrollRequest,
    ) -> Result<Verdict, Refusal> {
        let id = self.received(Some(own), request).await?;
        self.relay.answered(&id).await.ok_or_else(forgotten)
    }

    async fn received(
        self: &Arc<Self>,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> Result<RequestId, Refusal> {
        let desk = Arc::clone(self);
        let received = tokio::task::spawn_blocking(move || {
            desk.relay.receive(peer.as_ref(), request, SystemTime::now())
        });
        received.await.map_err(|error| Refusal::Internal(error.to_string()))?.map_err(refused)
    }

    /// The requests that wait for an administrator.
    pub(super) fn pending(&self) -> Vec<PendingRequest> {
        self.relay.pending()
    }

    /// Takes what the authority signed: first whom nobody may trust any more. Blocks. Whether the roster is a newer one.
    pub(super) fn publish(&self, publication: Publication) -> Result<bool, Refusal> {
        let Publication { answers, roster, revocations } = publication;
        if let Some(revocations) = revocations {
            self.revocations.update(&revocations).map_err(refused)?;
        }
        let newer = match roster {
            Some(bytes) => self.keep(SignedRoster::from_bytes(bytes.into_vec()))?,
            None => false,
        };
        self.relay.answer(answers).map_err(refused)?;
        Ok(newer)
    }

    fn keep(&self, signed: SignedRoster) -> Result<bool, Refusal> {
        let roster = signed.verify(&self.trust, SystemTime::now()).map_err(refused)?;
        let mut newest = self.roster.write().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_some_and(|newest| newest.version >= roster.version()) {
            return Ok(false);
        }
        files::write_atomically(&self.path, signed.to_bytes())
            .map_err(|error| Refusal::Internal(error.to_string()))?;
        *newest = Some(Newest::new(&signed, &roster));
        Ok(true)
    }
}

fn forgotten() -> Refusal {
    Refusal::Unknown("the request is forgotten: send it again".to_owned())
}

fn refused(error: PkiError) -> Refusal {
    match error {
        PkiError::Full { .. } => Refusal::Busy(error.to_string()),
        PkiError::TokenUsed { .. } | PkiError::NotItself { .. } => Refusal::Denied(error.to_string()),
        PkiError::UnknownRequest { .. } => Refusal::Unknown(error.to_string()),
        PkiError::Read { .. } | PkiError::Write { .. } => Refusal::Internal(error.to_string()),
        _ => Refusal::Invalid(error.to_string()),
    }
}
