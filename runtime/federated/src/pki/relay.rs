//! The director's part in enrolment: it keeps requests until an administrator answers, and answers until the site has
//! come for them. It can make neither: what it passes on is checked again at the authority and at the site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use veilflow_spec::Name;

use super::certificate::{Peer, Request};
use super::clock::seconds;
use super::enrolment::{Answer, EnrollReply, EnrollRequest, PendingRequest, RequestId, Verdict, Warrant};
use super::error::{PkiError, malformed};
use super::files;
use super::token::{Claims, Nonce};
use super::trust::Trust;

/// The most requests that wait at once.
const MAX_PENDING: usize = 1024;
/// The most answers that are kept.
const MAX_ANSWERED: usize = 4096;
/// For how long an answer is kept: a site whose reply was lost comes again.
const KEEP_ANSWERS_MS: u64 = 7 * 24 * 3600 * 1000;

/// The director's desk for requests and answers, kept in a file.
#[derive(Debug)]
pub struct Relay {
    path: PathBuf,
    trust: Trust,
    kept: Mutex<Kept>,
    /// Counts the answers: what those who wait for one look at.
    answers: watch::Sender<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    requests: BTreeMap<RequestId, Entry>,
    /// Which tokens came, by which request, and when they end.
    tokens: Vec<(Nonce, RequestId, u64)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    request: EnrollRequest,
    received_ms: u64,
    /// Whose certificate it prolongs, where it does.
    renews: Option<Name>,
    verdict: Option<Verdict>,
}

impl Relay {
    /// What the file has; nothing where there is none yet.
    ///
    /// # Errors
    /// A file that is there and is none of this module's.
    pub fn open(path: &Path, trust: &Trust) -> Result<Self, PkiError> {
        let kept = match files::read_if_there(path)? {
            Some(bytes) => ciborium::from_reader(bytes.as_slice())
                .map_err(|error| malformed("list of requests", format!("{}: {error}", path.display())))?,
            None => Kept::default(),
        };
        let (answers, _) = watch::channel(0);
        Ok(Self { path: path.to_owned(), trust: trust.clone(), kept: Mutex::new(kept), answers })
    }

    /// Takes a request, durably. The same one again is the same request. `peer` is who sent it, where TLS knows.
    ///
    /// # Errors
    /// Requests that the authority would refuse too, as far as can be told here: [`PkiError::WrongAuthority`],
    /// [`PkiError::Expired`], [`PkiError::WrongName`], [`PkiError::TokenUsed`], [`PkiError::NotItself`]; and
    /// [`PkiError::Full`].
    pub fn receive(
        &self,
        peer: Option<&Peer>,
        request: EnrollRequest,
        now: SystemTime,
    ) -> Result<RequestId, PkiError> {
        let id = request.id();
        let claims = self.check(peer, &request, now)?;
        let mut kept = self.kept();
        if kept.requests.get(&id).is_some_and(|entry| entry.request == request) {
            return Ok(id);
        }
        let mut next = kept.clone();
        next.prune(now);
        if next.requests.values().filter(|entry| entry.verdict.is_none()).count() >= MAX_PENDING {
            return Err(PkiError::Full { limit: MAX_PENDING });
        }
        if let Some(claims) = &claims {
            let nonce = Nonce::new(claims.nonce);
            match next.used_by(&nonce) {
                Some(other) if other != id => return Err(PkiError::TokenUsed { name: claims.name.clone() }),
                Some(_) => {}
                None => next.tokens.push((nonce, id, seconds(claims.not_after))),
            }
        }
        // One renewal of each waits: nobody fills the desk for the others.
        let renews = claims.is_none().then(|| peer.map(|peer| peer.name.clone())).flatten();
        next.requests
            .retain(|_, entry| entry.verdict.is_some() || entry.renews.is_none() || entry.renews != renews);
        let received_ms = milliseconds(now);
        next.requests.insert(id, Entry { request, received_ms, renews, verdict: None });
        self.keep(&mut kept, next)?;
        Ok(id)
    }

    /// What to tell the site now; none for a request that never came.
    pub fn reply(&self, id: &RequestId) -> Option<EnrollReply> {
        self.kept().requests.get(id).map(|entry| match &entry.verdict {
            None => EnrollReply::Pending,
            Some(verdict) => EnrollReply::Answered(verdict.clone()),
        })
    }

    /// Waits for the answer; none for a request that never came, or is forgotten.
    pub async fn answered(&self, id: &RequestId) -> Option<Verdict> {
        let mut answers = self.answers.subscribe();
        loop {
            answers.borrow_and_update();
            match self.reply(id)? {
                EnrollReply::Answered(verdict) => return Some(verdict),
                // The sender lives as long as `self`.
                EnrollReply::Pending => answers.changed().await.ok()?,
            }
        }
    }

    /// The requests that wait for an administrator, oldest first.
    pub fn pending(&self) -> Vec<PendingRequest> {
        let kept = self.kept();
        let waiting = kept.requests.values().filter(|entry| entry.verdict.is_none());
        let mut pending: Vec<_> = waiting
            .map(|entry| PendingRequest { request: entry.request.clone(), received_ms: entry.received_ms })
            .collect();
        pending.sort_by_key(|request| request.received_ms);
        pending
    }

    /// Takes an administrator's answers, durably, all or none, and tells the sites that wait.
    ///
    /// # Errors
    /// [`PkiError::UnknownRequest`], and certificates that the authority did not sign for the request's name and key.
    pub fn answer(&self, answers: Vec<Answer>) -> Result<(), PkiError> {
        let mut kept = self.kept();
        let mut next = kept.clone();
        for answer in answers {
            let entry = next.requests.get_mut(&answer.request);
            let entry = entry.ok_or_else(|| PkiError::UnknownRequest { id: answer.request.to_string() })?;
            if let Verdict::Granted(granted) = &answer.verdict {
                let asked = Request::from_der(&entry.request.csr)?;
                let certificate = self.trust.certificate_of(&granted.certificate)?;
                if certificate.peer.name != asked.name {
                    let (expected, got) = (asked.name, certificate.peer.name);
                    return Err(PkiError::WrongName { what: "certificate", expected, got });
                }
                if certificate.key != asked.key {
                    return Err(PkiError::WrongKey { name: asked.name });
                }
            }
            entry.verdict = Some(answer.verdict);
        }
        self.keep(&mut kept, next)?;
        drop(kept);
        self.answers.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    fn check(
        &self,
        peer: Option<&Peer>,
        request: &EnrollRequest,
        now: SystemTime,
    ) -> Result<Option<Claims>, PkiError> {
        request.in_bounds()?;
        match &request.warrant {
            Warrant::Token { claims, .. } => {
                let claims = Claims::verify(claims, &self.trust, now)?;
                let asked = Request::from_der(&request.csr)?;
                if asked.name != claims.name {
                    let (expected, got) = (claims.name, asked.name);
                    return Err(PkiError::WrongName { what: "certificate request", expected, got });
                }
                Ok(Some(claims))
            }
            Warrant::Renewal { .. } => {
                let asked = Request::from_der(&request.csr)?;
                if peer.is_none_or(|peer| peer.name != asked.name) {
                    return Err(PkiError::NotItself { name: asked.name });
                }
                Ok(None)
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, kept: &mut Kept, next: Kept) -> Result<(), PkiError> {
        let mut bytes = Vec::new();
        ciborium::into_writer(&next, &mut bytes).map_err(|error| malformed("list of requests", error))?;
        files::replace_secret(&self.path, &bytes)?;
        *kept = next;
        Ok(())
    }
}

impl Kept {
    /// By which request a token came. Compared in constant time.
    fn used_by(&self, nonce: &Nonce) -> Option<RequestId> {
        let same = |token: &&(Nonce, RequestId, u64)| bool::from(token.0.as_slice().ct_eq(nonce.as_slice()));
        self.tokens.iter().find(same).map(|(_, id, _)| *id)
    }

    /// Forgets what nobody can come for any more: tokens that ended, requests whose token did, old answers.
    fn prune(&mut self, now: SystemTime) {
        let (now_s, now_ms) = (seconds(now), milliseconds(now));
        self.tokens.retain(|(_, _, not_after)| *not_after >= now_s);
        let fresh = |entry: &Entry| entry.received_ms.saturating_add(KEEP_ANSWERS_MS) >= now_ms;
        self.requests.retain(|id, entry| fresh(entry) || self.tokens.iter().any(|(_, by, _)| by == id));
        let mut answered: Vec<_> =
            self.requests.iter().filter(|(_, entry)| entry.verdict.is_some()).collect();
        answered.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.received_ms));
        let old: Vec<RequestId> = answered.into_iter().skip(MAX_ANSWERED).map(|(id, _)| *id).collect();
        old.iter().for_each(|id| drop(self.requests.remove(id)));
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
