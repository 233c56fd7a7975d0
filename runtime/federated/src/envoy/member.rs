//! What a site has of its federation's authority: its identity, whose keys it trusts, and whose certificates no longer
//! count. Lists come from the authority, through the director or by hand; a site never goes back to an older one.

use std::path::Path;
use std::time::SystemTime;

use serde_bytes::ByteBuf;

use crate::journal::files::{create_directory, read};
use crate::pki::{Identity, PkiError, REVOCATIONS_FILE, Revocations, Role};
use crate::wire::messages::Lists;

use super::config::EnvoyConfig;
use super::error::EnvoyError;
use super::notice::{Notice, SiteLog};
use super::roster::{RosterError, RosterPin};

/// What a site has of its federation.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) identity: Identity,
    pub(super) roster: RosterPin,
    pub(super) revocations: Revocations,
}

/// The list of revoked certificates in a site's state folder. Where the folder has none yet, or an older one, it is the one
/// that came with the identity.
///
/// # Errors
/// Files that cannot be read or written, or were not signed by the identity's authority.
pub fn site_revocations(state: &Path, identity: &Identity) -> Result<Revocations, RosterError> {
    create_directory(state)?;
    let revocations = Revocations::open(&state.join(REVOCATIONS_FILE), identity.authority())?;
    if let Some(enrolled) = read(&identity.dir().join(REVOCATIONS_FILE))? {
        match revocations.update(&enrolled) {
            Ok(_) | Err(PkiError::Stale { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(revocations)
}

impl Member {
    /// What the site's files have; nothing without an identity. Blocks.
    ///
    /// # Errors
    /// An identity that is not this site's, or that no director would let in; lists that cannot be read.
    pub(super) fn open(config: &EnvoyConfig) -> Result<Option<Self>, EnvoyError> {
        let Some(folder) = &config.identity else { return Ok(None) };
        let identity = Identity::load(folder)?;
        identity.check(Role::Envoy, SystemTime::now())?;
        if identity.name() != &config.name {
            let certified = identity.name().clone();
            return Err(EnvoyError::OtherName { configured: config.name.clone(), certified });
        }
        let roster = RosterPin::open(&config.state, &identity, config.additions)?;
        let revocations = site_revocations(&config.state, &identity)?;
        Ok(Some(Self { identity, roster, revocations }))
    }

    /// The identity with the certificate that is in its folder now, where it counts. Blocks.
    ///
    /// # Errors
    /// One that no director would let in.
    pub(super) fn current(&self, now: SystemTime) -> Result<Identity, EnvoyError> {
        let current = self.identity.reloaded()?.unwrap_or_else(|| self.identity.clone());
        current.check(Role::Envoy, now)?;
        Ok(current)
    }

    /// What the director is told: it passes newer ones on.
    pub(super) fn versions(&self) -> Lists<u64> {
        Lists { roster: self.roster.version().unwrap_or(0), revocations: self.revocations.version() }
    }

    /// Takes what the director passed on, where it is the authority's and newer. Blocks.
    pub(super) fn take(&self, lists: &Lists<Option<ByteBuf>>, now: SystemTime, log: &dyn SiteLog) {
        if let Some(list) = &lists.revocations
            && let Err(error) = self.revocations.update(list)
        {
            log.notice(&refused(&error));
        }
        let Some(roster) = &lists.roster else { return };
        match self.roster.offer(roster, now) {
            Ok(None) => {}
            Ok(Some(pinned)) => log.notice(&Notice::RosterPinned {
                version: pinned.version,
                removed: pinned.removed,
                waiting: pinned.waiting,
            }),
            Err(error) => log
                .notice(&Notice::RosterRefused { code: error.code().to_owned(), reason: error.to_string() }),
        }
    }

    /// Tells of each new list of revoked certificates, and takes those that somebody puts into the state folder. For ever.
    pub(super) async fn watch(&self, log: &dyn SiteLog) {
        let told = async {
            let mut lists = self.revocations.subscribe();
            // `self` keeps the other end.
            while lists.changed().await.is_ok() {
                let (version, revoked) = {
                    let list = lists.borrow_and_update();
                    (list.version(), list.revoked().len())
                };
                log.notice(&Notice::Revocations { version, revoked });
            }
        };
        tokio::join!(told, self.revocations.watch(|error| log.notice(&refused(&error))));
    }
}

fn refused(error: &PkiError) -> Notice {
    Notice::RevocationsRefused { code: error.code().to_owned(), reason: error.to_string() }
}
