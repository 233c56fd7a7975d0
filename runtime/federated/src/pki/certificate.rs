//! What a certificate of a federation looks like, and nothing else is taken for one.
//!
//! X.509 v3, P-256 and ECDSA with SHA-256 (RFC 5280, RFC 5758). The common name is the participant's name, and the one
//! URI among its alternative names repeats it together with the role: `veilflow:envoy/Bengaluru`, with everything but
//! letters, digits, `-`, `_` and `.` as `%` and two hexadecimal digits. A director's certificate is for servers only
//! and lists its hosts; all others are for clients only.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use veilflow_spec::Name;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256, OID_X509_COMMON_NAME,
};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name, X509Version};

use super::clock::from_seconds;
use super::error::{PkiError, malformed};
use super::key::SubjectKey;
use super::role::Role;

/// Certificates are valid from a little before they are made: clocks of sites differ.
pub(crate) const BACKDATED: Duration = Duration::from_secs(3600);
/// More than any certificate or request of a federation has.
pub(crate) const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

const CERTIFICATE: &str = "certificate of a participant";
const REQUEST: &str = "certificate request";

/// Who is at the other end of a connection, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name: the participant's.
    pub name: Name,
    /// Its role.
    pub role: Role,
    /// The number of its certificate, without leading zeros: what revocation goes by.
    pub serial: Vec<u8>,
    /// When its certificate ends.
    pub not_after: SystemTime,
}

impl Peer {
    /// Reads a certificate in DER. It does not ask who signed it: TLS did, or [`Trust`](super::Trust) does.
    ///
    /// # Errors
    /// [`PkiError::Malformed`] for anything that this crate's authority does not issue.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        Certificate::from_der(der).map(|certificate| certificate.peer)
    }
}

/// All that counts of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) peer: Peer,
    pub(crate) key: SubjectKey,
    pub(crate) not_before: SystemTime,
}

impl Certificate {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let bad = |why: &str| malformed(CERTIFICATE, why);
        limit(CERTIFICATE, der)?;
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| bad("it is no X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(bad("bytes follow it"));
        }
        let signed_with =
            |algorithm: &AlgorithmIdentifier<'_>| algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256;
        if x509.version() != X509Version::V3
            || !signed_with(&x509.signature_algorithm)
            || !signed_with(&x509.signature)
            || x509.issuer_uid.is_some()
            || x509.subject_uid.is_some()
        {
            return Err(bad("it is not version 3, or not signed by ECDSA with SHA-256"));
        }
        let name = common_name(CERTIFICATE, x509.subject())?;
        let key = subject_key(CERTIFICATE, x509.public_key())?;
        let serial: Vec<u8> = x509.raw_serial().iter().copied().skip_while(|byte| *byte == 0).collect();
        if serial.is_empty() || serial.len() > 20 {
            return Err(bad("its serial number has no or more than 20 bytes"));
        }
        let role = Extensions::read(&x509)?.role(&name)?;
        let second = |time: i64| u64::try_from(time).map_err(|_| bad("it is from before 1970"));
        let not_before = from_seconds(second(x509.validity().not_before.timestamp())?);
        let not_after = from_seconds(second(x509.validity().not_after.timestamp())?);
        Ok(Self { peer: Peer { name, role, serial, not_after }, key, not_before })
    }
}

/// The extensions that a certificate may have, each once.
#[derive(Default)]
struct Extensions {
    uri: Option<String>,
    hosts: usize,
    usage: Option<u16>,
    server: bool,
    client: bool,
    authority: bool,
}

impl Extensions {
    fn read(x509: &X509Certificate<'_>) -> Result<Self, PkiError> {
        let bad = |why: &str| malformed(CERTIFICATE, why);
        x509.extensions_map().map_err(|_| bad("an extension is there twice"))?;
        let mut found = Self::default();
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        match name {
                            GeneralName::URI(uri) if found.uri.is_none() => {
                                found.uri = Some((*uri).to_owned())
                            }
                            GeneralName::DNSName(_) | GeneralName::IPAddress(_) => found.hosts += 1,
                            _ => return Err(bad("its alternative names are not one URI and hosts")),
                        }
                    }
                }
                ParsedExtension::KeyUsage(usage) => found.usage = Some(usage.flags),
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    let other = usage.any
                        || usage.code_signing
                        || usage.email_protection
                        || usage.time_stamping
                        || usage.ocsp_signing
                        || !usage.other.is_empty();
                    if other {
                        return Err(bad("it is for other purposes than TLS"));
                    }
                    (found.server, found.client) = (usage.server_auth, usage.client_auth);
                }
                ParsedExtension::BasicConstraints(constraints) => found.authority = constraints.ca,
                ParsedExtension::AuthorityKeyIdentifier(_) | ParsedExtension::SubjectKeyIdentifier(_) => {}
                _ => return Err(bad("it has an extension that none of ours has")),
            }
        }
        Ok(found)
    }

    /// The role, where everything fits it.
    fn role(&self, name: &Name) -> Result<Role, PkiError> {
        let bad = |why: &str| malformed(CERTIFICATE, why);
        if self.authority {
            return Err(bad("it is an authority's"));
        }
        // Bit 0 is digitalSignature (RFC 5280, section 4.2.1.3); it comes first here.
        if self.usage != Some(1) {
            return Err(bad("its key is for other uses than signatures"));
        }
        let named = |role: &Role| self.uri.as_deref() == Some(uri(*role, name).as_str());
        let role = Role::ALL.into_iter().find(named);
        let role =
            role.ok_or_else(|| bad("its URI names no role, or another participant than its common name"))?;
        let serves = role == Role::Director;
        if (self.server, self.client) != (serves, !serves) || (self.hosts > 0) != serves {
            return Err(bad("its purposes or hosts are not those of its role"));
        }
        Ok(role)
    }
}

/// The URI among a certificate's alternative names.
pub(crate) fn uri(role: Role, name: &Name) -> String {
    let mut uri = format!("veilflow:{role}/");
    for byte in name.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            uri.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// What counts of a certificate request (PKCS#10, RFC 2986): who asks, and the key that it proves to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) name: Name,
    pub(crate) key: SubjectKey,
}

impl Request {
    /// Reads a request in DER and checks that it was signed with the key in it. It may ask for nothing but a name:
    /// role, hosts and purposes are the authority's to give.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let bad = |why: &str| malformed(REQUEST, why);
        limit(REQUEST, der)?;
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| bad("it is no PKCS#10"))?;
        if !rest.is_empty() {
            return Err(bad("bytes follow it"));
        }
        let info = &request.certification_request_info;
        if !info.attributes().is_empty() {
            return Err(bad("it asks for more than a name"));
        }
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
            return Err(bad("it is not signed by ECDSA with SHA-256"));
        }
        let name = common_name(REQUEST, &info.subject)?;
        let key = subject_key(REQUEST, &info.subject_pki)?;
        if !key.verifies_der(info.raw, &request.signature_value.data) {
            return Err(bad("its signature does not hold"));
        }
        Ok(Self { name, key })
    }
}

fn limit(what: &'static str, der: &[u8]) -> Result<(), PkiError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(PkiError::TooLarge { what, got: der.len(), limit: MAX_CERTIFICATE_BYTES });
    }
    Ok(())
}

/// The subject's one attribute.
fn common_name(what: &'static str, subject: &X509Name<'_>) -> Result<Name, PkiError> {
    let mut attributes = subject.iter_attributes();
    let bad = || malformed(what, "its subject is not one common name");
    let (Some(first), None) = (attributes.next(), attributes.next()) else { return Err(bad()) };
    if *first.attr_type() != OID_X509_COMMON_NAME {
        return Err(bad());
    }
    let name = Name::from(first.as_str().map_err(|_| bad())?);
    name.validate()?;
    Ok(name)
}

fn subject_key(what: &'static str, info: &SubjectPublicKeyInfo<'_>) -> Result<SubjectKey, PkiError> {
    let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(malformed(what, "its key is not on P-256"));
    }
    SubjectKey::from_point(&info.subject_public_key.data)
}
