//! How the authority makes a certificate: X.509 of what was ordered, and nothing that a requester chose but its key.

use std::io;
use std::time::{Duration, SystemTime};

use rand::TryRng as _;
use rand::rngs::SysRng;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::ServerName;
use time::OffsetDateTime;
use veilflow_spec::Name;

use crate::pki::certificate::{BACKDATED, uri};
use crate::pki::clock::{Validity, seconds};
use crate::pki::error::{PkiError, malformed};
use crate::pki::key::{Key, SubjectKey};
use crate::pki::role::Role;
use crate::pki::trust::Trust;

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

impl Order {
    /// That a certificate can say this.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), PkiError> {
        self.name.validate()?;
        if self.role == Role::Director && self.hosts.is_empty() {
            return Err(PkiError::NoHosts);
        }
        if self.role != Role::Director && !self.hosts.is_empty() {
            return Err(PkiError::NeedlessHosts { name: self.name.clone(), role: self.role });
        }
        alternative_names(self)?;
        end(self.valid, now).map(drop)
    }
}

/// The authority's own certificate.
pub(super) fn authority(
    federation: &str,
    key: &Key,
    valid: Validity,
    now: SystemTime,
) -> Result<Trust, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(federation);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.serial_number = Some(serial()?);
    (params.not_before, params.not_after) = (date(now - BACKDATED)?, date(end(valid, now)?)?);
    Trust::from_der(params.self_signed(key)?.der())
}

/// A participant's certificate, in DER.
pub(super) fn participant(
    (trust, authority): (&Trust, &Key),
    order: &Order,
    key: &SubjectKey,
    now: SystemTime,
) -> Result<Vec<u8>, PkiError> {
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
    let (from, to) = trust.valid();
    params.not_before = date((now - BACKDATED).max(from))?;
    params.not_after = date(end(order.valid, now)?.min(to))?;
    let issuer = Issuer::from_ca_cert_der(trust.certificate(), authority)?;
    Ok(params.signed_by(key, &issuer)?.der().to_vec())
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

pub(super) fn alternative_names(order: &Order) -> Result<Vec<SanType>, PkiError> {
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
pub(super) fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| PkiError::NoEntropy(io::Error::other(error)))?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn end(valid: Validity, now: SystemTime) -> Result<SystemTime, PkiError> {
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
