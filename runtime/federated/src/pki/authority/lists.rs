//! The lists that the authority signs: the roster, and what is revoked.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use veilflow_spec::Name;

use super::Authority;
use super::making::end;
use crate::pki::clock::{Validity, from_seconds};
use crate::pki::error::PkiError;
use crate::pki::files;
use crate::pki::identity::{REVOCATIONS_FILE, ROSTER};
use crate::pki::revocations::{RevocationList, Revoked};
use crate::pki::roster::{Member, Roster, SignedRoster};

/// For how long a roster is valid unless somebody says otherwise.
pub(super) const DEFAULT_ROSTER: Validity = Validity(Duration::from_secs(90 * 24 * 3600));

impl Authority {
    /// The newest roster.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn roster(&self) -> Result<SignedRoster, PkiError> {
        files::read(&self.dir.join(ROSTER)).map(SignedRoster::from_bytes)
    }

    /// The newest list of revoked certificates.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn revocations(&self) -> Result<Vec<u8>, PkiError> {
        files::read(&self.dir.join(REVOCATIONS_FILE))
    }

    /// Signs a new version of the roster, which ends after `valid`.
    ///
    /// # Errors
    /// [`PkiError::InvalidValidity`] and what the disk reports.
    pub fn sign_roster(&mut self, valid: Validity, now: SystemTime) -> Result<SignedRoster, PkiError> {
        let ends = end(valid, now)?;
        self.ledger.roster_version += 1;
        let roster = Roster::new(self.ledger.roster_version, (now, ends), self.members(now)?);
        let signed = SignedRoster::sign(&self.key, &roster)?;
        // The version is used up before anybody sees it.
        self.save(now)?;
        files::replace(&self.dir.join(ROSTER), signed.to_bytes())?;
        Ok(signed)
    }

    /// The newest roster; a new version where somebody came or went, or half of its time is over.
    pub(super) fn publish(&mut self, now: SystemTime) -> Result<SignedRoster, PkiError> {
        let signed = self.roster()?;
        let roster = signed.read(&self.trust)?;
        let whole = roster.not_after().duration_since(roster.issued()).unwrap_or_default();
        let left = roster.not_after().duration_since(now).unwrap_or_default();
        let same = roster.members().map(|(name, member)| (name.clone(), *member)).collect::<BTreeMap<_, _>>();
        if same == self.members(now)? && left > whole / 2 {
            return Ok(signed);
        }
        self.sign_roster(DEFAULT_ROSTER, now)
    }

    pub(super) fn sign_revocations(&mut self, now: SystemTime) -> Result<(), PkiError> {
        self.ledger.revocations_version += 1;
        let mut revoked = BTreeMap::new();
        for record in self.ledger.issued.iter().filter(|record| !record.is_over(now)) {
            if let Some(at) = record.revoked {
                let peer = &record.certificate.peer;
                let entry = Revoked { name: peer.name.clone(), at: from_seconds(at) };
                revoked.insert(peer.serial.clone(), entry);
            }
        }
        let list = RevocationList::sign(&self.key, self.ledger.revocations_version, revoked)?;
        self.save(now)?;
        files::replace(&self.dir.join(REVOCATIONS_FILE), list.to_bytes())
    }

    fn members(&self, now: SystemTime) -> Result<BTreeMap<Name, Member>, PkiError> {
        let mut members = BTreeMap::new();
        for record in self.ledger.issued.iter().filter(|record| record.holds(now)) {
            let peer = &record.certificate.peer;
            let member = Member { role: peer.role, key: record.certificate.key.identity()? };
            members.insert(peer.name.clone(), member);
        }
        Ok(members)
    }
}
