//! The authority: a folder on an administrator's machine, with the one key that everything hangs on.

mod ledger;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rand::TryRng as _;
use rand::rngs::SysRng;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_bytes::ByteBuf;
use time::OffsetDateTime;
use veilflow_spec::Name;

use self::ledger::{Ledger, Record};
use super::certificate::{Certificate, Peer, Request, uri};
use super::clock::{Validity, from_seconds, seconds};
use super::enrolment::{Answer, EnrollRequest, Granted, Verdict, Warrant};
use super::error::{PkiError, malformed};
use super::files;
use super::identity::{self, REVOCATIONS_FILE};
use super::key::{Key, Passphrase, SubjectKey};
use super::revocations::{RevocationList, Revoked};
use super::role::Role;
use super::roster::{Member, Roster, SignedRoster};
use super::token::{Claims, Token};
use super::trust::{Thumbprint, Trust};

const KEY: &str = "authority-key.pem";
const LEDGER: &str = "ledger.cbor";
const LOCK: &str = "lock";

/// Certificates are valid from a little before they are made: clocks of sites differ.
const BACKDATED: Duration = Duration::from_secs(3600);
/// The shortest that anything is valid.
const SHORTEST: Duration = Duration::from_secs(60);

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Order {
    /// The participant's name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// Under which names and addresses a director is reached; empty for all others.
    pub hosts: Vec<String>,
    /// For how long, and never longer than the authority itself.
    pub valid: Validity,
}

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

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Whose it is.
    pub name: Name,
    /// Its role.
    pub role: Role,
    /// SHA-256 of its public key.
    pub thumbprint: Thumbprint,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// When it ends.
    pub not_after: SystemTime,
    /// Since when it is revoked, if it is.
    pub revoked: Option<SystemTime>,
}

/// The federation's authority. Its key never leaves its folder, and the folder never lies on the director.
pub struct Authority {
    dir: PathBuf,
    key: Key,
    trust: Trust,
    ledger: Ledger,
    /// Held as long as it is open: two commands at once would give one serial or version twice.
    _lock: File,
}

impl Authority {
    /// Makes one in a folder that has none. Its key is encrypted where there is a passphrase.
    ///
    /// # Errors
    /// [`PkiError::Exists`], [`PkiError::InvalidValidity`] and what the disk reports.
    pub fn create(
        dir: &Path,
        federation: &str,
        valid: Validity,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, PkiError> {
        // What a certificate can hold, and a line on a terminal.
        Name::from(federation).validate()?;
        let path = dir.join(KEY);
        if path.exists() {
            return Err(PkiError::Exists { path });
        }
        files::folder(dir)?;
        let lock = lock(dir)?;
        let key = Key::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(federation);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.serial_number = Some(serial()?);
        (params.not_before, params.not_after) = (date(now - BACKDATED)?, date(end(valid, now)?)?);
        let trust = Trust::from_der(params.self_signed(&key)?.der())?;
        key.save(&path, passphrase)?;
        let pem = files::certificates_to_pem(std::slice::from_ref(trust.certificate()))?;
        files::replace(&dir.join(identity::AUTHORITY), pem.as_bytes())?;
        let mut authority =
            Self { dir: dir.to_owned(), key, trust, ledger: Ledger::new(federation), _lock: lock };
        authority.sign_revocations(now)?;
        authority.sign_roster(DEFAULT_ROSTER, now)?;
        Ok(authority)
    }

    /// Opens the folder that [`create`](Self::create) made.
    ///
    /// # Errors
    /// [`PkiError::Passphrase`], [`PkiError::Locked`], and files that are missing or do not belong together.
    pub fn open(dir: &Path, passphrase: Option<&Passphrase>) -> Result<Self, PkiError> {
        let trust = Trust::load(&dir.join(identity::AUTHORITY))?;
        let lock = lock(dir)?;
        let key = Key::load(&dir.join(KEY), passphrase)?;
        if !trust.has_key(key.public()) {
            return Err(malformed("authority", format!("{}: its key is another's", dir.display())));
        }
        let ledger = Ledger::load(&dir.join(LEDGER))?;
        Ok(Self { dir: dir.to_owned(), key, trust, ledger, _lock: lock })
    }

    /// The federation's name.
    pub fn federation(&self) -> &str {
        &self.ledger.federation
    }

    /// What everybody trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// All certificates that were issued, oldest first.
    pub fn issued(&self) -> impl Iterator<Item = Issued> {
        self.ledger.issued.iter().map(|record| Issued {
            name: record.certificate.peer.name.clone(),
            role: record.certificate.peer.role,
            thumbprint: Thumbprint::of(&record.certificate.key.to_bytes()),
            serial: record.certificate.peer.serial.clone(),
            not_after: record.certificate.peer.not_after,
            revoked: record.revoked.map(from_seconds),
        })
    }

    /// Makes a whole identity, key included, in a folder that has none. The folder is then taken to its machine.
    ///
    /// # Errors
    /// [`PkiError::Exists`], [`PkiError::NameTaken`], a name or hosts that cannot be.
    pub fn issue(&mut self, order: &Order, dir: &Path, now: SystemTime) -> Result<Peer, PkiError> {
        self.issue_all(&[(order.clone(), dir.to_owned())], now)?;
        let issued = self.ledger.current(&order.name, now).map(|record| record.certificate.peer.clone());
        issued.ok_or_else(|| PkiError::UnknownName { name: order.name.clone() })
    }

    /// Makes several identities, and one roster of them all.
    pub(super) fn issue_all(&mut self, orders: &[(Order, PathBuf)], now: SystemTime) -> Result<(), PkiError> {
        let mut made = Vec::new();
        for (order, dir) in orders {
            self.check(order, now)?;
            files::folder(dir)?;
            let key = Key::generate()?;
            key.save(&dir.join(identity::KEY), None)?;
            let der = self.make(order, key.public(), now)?;
            self.remember(der.clone(), order.hosts.clone())?;
            made.push((order, dir, CertificateDer::from(der)));
        }
        self.save(now)?;
        let roster = self.publish(now)?;
        for (order, dir, der) in made {
            identity::write_public(dir, &der, &self.trust, &roster)?;
            if order.role == Role::Director {
                files::replace(&dir.join(REVOCATIONS_FILE), &self.revocations()?)?;
            }
        }
        Ok(())
    }

    /// Signs a request that was brought as a file, without a token: its name has to be the order's.
    ///
    /// # Errors
    /// As [`issue`](Self::issue), and requests that are malformed or for somebody else.
    pub fn issue_for(&mut self, order: &Order, csr: &[u8], now: SystemTime) -> Result<Granted, PkiError> {
        let request = Request::from_der(csr)?;
        if request.name != order.name {
            let (expected, got) = (order.name.clone(), request.name);
            return Err(PkiError::WrongName { what: "certificate request", expected, got });
        }
        self.check(order, now)?;
        let der = self.certify(order, &request.key, now)?;
        self.granted(der, now)
    }

    /// Makes a one-time token.
    ///
    /// # Errors
    /// [`PkiError::NameTaken`], [`PkiError::DirectorByToken`], a name that cannot be.
    pub fn token(
        &mut self,
        name: &Name,
        role: Role,
        valid: Validity,
        now: SystemTime,
    ) -> Result<Token, PkiError> {
        name.validate()?;
        if role == Role::Director {
            return Err(PkiError::DirectorByToken);
        }
        self.is_free(name, now)?;
        let token = Token::make((&self.key, self.trust.thumbprint()), name, role, end(valid, now)?)?;
        self.ledger.remember(&token);
        self.save(now)?;
        Ok(token)
    }

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

    /// Prolongs the certificate of a name, with the key that it has.
    ///
    /// # Errors
    /// [`PkiError::UnknownName`] where none holds.
    pub fn renew(&mut self, name: &Name, valid: Validity, now: SystemTime) -> Result<Granted, PkiError> {
        let current = self.ledger.current(name, now);
        let current = current.ok_or_else(|| PkiError::UnknownName { name: name.clone() })?;
        let (role, hosts) = (current.certificate.peer.role, current.hosts.clone());
        let key = current.certificate.key.clone();
        let der = self.certify(&Order { name: name.clone(), role, hosts, valid }, &key, now)?;
        self.granted(der, now)
    }

    /// Ends all certificates and unused tokens of a name, and signs the lists that say so. Returns how many
    /// certificates there were.
    ///
    /// # Errors
    /// [`PkiError::UnknownName`] where none holds.
    pub fn revoke(&mut self, name: &Name, now: SystemTime) -> Result<usize, PkiError> {
        let mut count = 0;
        for record in &mut self.ledger.issued {
            if record.certificate.peer.name == *name && record.holds(now) {
                record.revoked = Some(seconds(now));
                count += 1;
            }
        }
        if count == 0 {
            return Err(PkiError::UnknownName { name: name.clone() });
        }
        self.ledger.forget_tokens(name);
        self.sign_revocations(now)?;
        self.sign_roster(DEFAULT_ROSTER, now)?;
        Ok(count)
    }

    /// The newest roster.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn roster(&self) -> Result<SignedRoster, PkiError> {
        files::read(&self.dir.join(identity::ROSTER)).map(SignedRoster::from_bytes)
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
        files::replace(&self.dir.join(identity::ROSTER), signed.to_bytes())?;
        Ok(signed)
    }

    /// The newest roster; a new version where somebody came or went, or half of its time is over.
    fn publish(&mut self, now: SystemTime) -> Result<SignedRoster, PkiError> {
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

    fn sign_revocations(&mut self, now: SystemTime) -> Result<(), PkiError> {
        self.ledger.revocations_version += 1;
        let mut revoked = BTreeMap::new();
        for record in self.ledger.issued.iter().filter(|record| !record.is_over(now)) {
            if let Some(at) = record.revoked {
                let peer = &record.certificate.peer;
                let entry = Revoked { name: peer.name.clone(), at: from_seconds(at) };
                revoked.insert(peer.serial.clone(), entry);
            }
        }
        let list = RevocationList::new(self.ledger.revocations_version, revoked).sign(&self.key)?;
        self.save(now)?;
        files::replace(&self.dir.join(REVOCATIONS_FILE), &list)
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

    fn granted(&mut self, der: Vec<u8>, now: SystemTime) -> Result<Granted, PkiError> {
        let roster = self.publish(now)?;
        Ok(Granted {
            certificate: ByteBuf::from(der),
            authority: ByteBuf::from(self.trust.certificate().to_vec()),
            roster: ByteBuf::from(roster.to_bytes()),
        })
    }

    fn check(&self, order: &Order, now: SystemTime) -> Result<(), PkiError> {
        order.name.validate()?;
        if order.role == Role::Director && order.hosts.is_empty() {
            return Err(PkiError::NoHosts);
        }
        if order.role != Role::Director && !order.hosts.is_empty() {
            return Err(PkiError::NeedlessHosts { name: order.name.clone(), role: order.role });
        }
        alternative_names(order)?;
        end(order.valid, now)?;
        self.is_free(&order.name, now)
    }

    fn is_free(&self, name: &Name, now: SystemTime) -> Result<(), PkiError> {
        match self.ledger.current(name, now) {
            Some(_) => Err(PkiError::NameTaken { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Makes a certificate, and remembers it before anybody gets it.
    fn certify(&mut self, order: &Order, key: &SubjectKey, now: SystemTime) -> Result<Vec<u8>, PkiError> {
        let der = self.make(order, key, now)?;
        self.record(der.clone(), order.hosts.clone(), now)?;
        Ok(der)
    }

    fn make(&self, order: &Order, key: &SubjectKey, now: SystemTime) -> Result<Vec<u8>, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(order.name.as_str());
        params.subject_alt_names = alternative_names(order)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match order.role {
            Role::Director => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Envoy | Role::Client | Role::Admin => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        // Nobody checks the end of an authority that is pinned: what it issues ends with it.
        let (from, to) = self.trust.valid();
        params.not_before = date((now - BACKDATED).max(from))?;
        params.not_after = date(end(order.valid, now)?.min(to))?;
        let issuer = Issuer::from_ca_cert_der(self.trust.certificate(), &self.key)?;
        Ok(params.signed_by(key, &issuer)?.der().to_vec())
    }

    fn record(&mut self, der: Vec<u8>, hosts: Vec<String>, now: SystemTime) -> Result<(), PkiError> {
        self.remember(der, hosts)?;
        self.save(now)
    }

    fn remember(&mut self, der: Vec<u8>, hosts: Vec<String>) -> Result<(), PkiError> {
        // As everybody else will read it.
        let certificate = Certificate::from_der(&der)?;
        self.ledger.issued.push(Record { certificate, der, hosts, revoked: None });
        Ok(())
    }

    fn save(&mut self, now: SystemTime) -> Result<(), PkiError> {
        self.ledger.save(&self.dir.join(LEDGER), now)
    }

    fn examine(&mut self, request: &EnrollRequest, now: SystemTime) -> Result<Examined, PkiError> {
        request.in_bounds()?;
        let asked = Request::from_der(&request.csr)?;
        let thumbprint = Thumbprint::of(&asked.key.to_bytes());
        match &request.warrant {
            Warrant::Renewal { .. } => {
                let current = self.ledger.current(&asked.name, now);
                let current = current.filter(|record| record.certificate.key == asked.key);
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

/// For how long a roster is valid unless somebody says otherwise.
pub(crate) const DEFAULT_ROSTER: Validity = Validity(Duration::from_secs(90 * 24 * 3600));

struct Examined {
    reviewed: Reviewed,
    key: SubjectKey,
    nonce: Option<[u8; 16]>,
    /// What the same request got before.
    before: Option<Vec<u8>>,
}

fn lock(dir: &Path) -> Result<File, PkiError> {
    let path = dir.join(LOCK);
    let unwritable = |error| PkiError::Write { path: path.clone(), error };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PkiError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

fn alternative_names(order: &Order) -> Result<Vec<SanType>, PkiError> {
    let mut names = vec![SanType::URI(Ia5String::try_from(uri(order.role, &order.name))?)];
    for host in &order.hosts {
        let invalid = || PkiError::InvalidHost { host: host.clone() };
        names.push(match ServerName::try_from(host.as_str()).map_err(|_| invalid())? {
            ServerName::DnsName(_) => SanType::DnsName(Ia5String::try_from(host.as_str())?),
            ServerName::IpAddress(_) => SanType::IpAddress(host.parse().map_err(|_| invalid())?),
            _ => return Err(invalid()),
        });
    }
    Ok(names)
}

/// 16 random bytes that are a positive number without leading zeros.
fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| PkiError::NoEntropy(std::io::Error::other(error)))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

fn end(valid: Validity, now: SystemTime) -> Result<SystemTime, PkiError> {
    let end = now.checked_add(valid.0).filter(|end| valid.0 >= SHORTEST && date(*end).is_ok());
    end.ok_or_else(|| PkiError::InvalidValidity { given: valid.to_string() })
}

/// The latest that a certificate can say: 9999-12-31 (RFC 5280, section 4.1.2.5).
const LATEST: u64 = 253_402_300_799;

fn date(time: SystemTime) -> Result<OffsetDateTime, PkiError> {
    let at = i64::try_from(seconds(time).min(LATEST + 1)).ok().filter(|at| at.unsigned_abs() <= LATEST);
    let date = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    date.ok_or_else(|| malformed("date", "it is after the year 9999"))
}
