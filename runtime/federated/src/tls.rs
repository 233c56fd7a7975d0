//! Transport security: TLS 1.3 (RFC 8446), mutual, against the federation's own authority and never the system's.
//!
//! Beside what WebPKI checks (the chain, the time, the purpose and a director's host names), each side reads the
//! other's certificate as this federation issues it, and refuses anything else. Sessions are never resumed: a
//! resumed one would skip the certificate.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::pki::{Identity, Peer, PkiError, Role, Thumbprint, Trust};

/// HTTP/2, the only protocol spoken.
pub const ALPN: &[u8] = b"h2";

/// The director's end.
///
/// With `require_client` there is no connection without a certificate. Without it there is one, for enrolment: the
/// service then refuses all other calls of a peer that has none. A certificate that is there is checked in both.
///
/// # Errors
/// [`PkiError::WrongRole`] unless the identity is a director's.
pub fn server_config(identity: &Identity, require_client: bool) -> Result<Arc<ServerConfig>, PkiError> {
    renewable_server_config(identity, require_client).map(|(config, _)| config)
}

/// The same, and what it shows, which a renewed certificate takes the place of.
///
/// # Errors
/// As [`server_config`].
pub fn renewable_server_config(
    identity: &Identity,
    require_client: bool,
) -> Result<(Arc<ServerConfig>, Arc<Shown>), PkiError> {
    if identity.role() != Role::Director {
        let name = identity.name().clone();
        return Err(PkiError::WrongRole { name, expected: "director", got: identity.role() });
    }
    let builder = WebPkiClientVerifier::builder_with_provider(identity.authority().roots(), provider());
    let builder = if require_client { builder } else { builder.allow_unauthenticated() };
    let webpki = builder.build().map_err(|error| Error::General(error.to_string()))?;
    let shown = Arc::new(Shown(RwLock::new(Arc::new(own(identity)?))));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Clients(webpki)))
        .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((Arc::new(config), shown))
}

/// The certificate that a director shows.
#[derive(Debug)]
pub struct Shown(RwLock<Arc<CertifiedKey>>);

impl Shown {
    /// Shows this one from the next connection on.
    ///
    /// # Errors
    /// What rustls reports.
    pub fn replace(&self, identity: &Identity) -> Result<(), PkiError> {
        let own = Arc::new(own(identity)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = own;
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The end of an envoy, a client or an administrator.
///
/// # Errors
/// [`PkiError::WrongRole`] where the identity is a director's.
pub fn client_config(identity: &Identity) -> Result<Arc<ClientConfig>, PkiError> {
    if identity.role() == Role::Director {
        let name = identity.name().clone();
        return Err(PkiError::WrongRole { name, expected: "envoy, client or admin", got: identity.role() });
    }
    let own = SingleCertAndKey::from(own(identity)?);
    let config = client(Directors::of(identity.authority())?)?.with_client_cert_resolver(Arc::new(own));
    Ok(finished(config))
}

/// The end of a site that has no certificate yet, and knows of the authority what its token says: the SHA-256 of its
/// certificate. The director sends that certificate along with its own.
///
/// # Errors
/// What rustls reports.
pub fn enrolling_client_config(authority: Thumbprint) -> Result<Arc<ClientConfig>, PkiError> {
    Ok(finished(client(Directors::Pinned(authority))?.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn client(
    verifier: impl ServerCertVerifier + 'static,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, PkiError> {
    // "Dangerous" is what rustls calls verifiers other than its own; these call its own first.
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn own(identity: &Identity) -> Result<CertifiedKey, PkiError> {
    let key = identity.key().with_pkcs8(|der| ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der)))??;
    Ok(CertifiedKey::new(identity.chain(), key))
}

/// A certificate that the federation's authority would not issue, as rustls says it.
fn refused(error: PkiError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// That a certificate is one of this federation's, of a role that belongs at the other end.
fn belongs(end_entity: &CertificateDer<'_>, serves: bool) -> Result<(), Error> {
    let peer = Peer::from_der(end_entity).map_err(refused)?;
    if (peer.role == Role::Director) == serves {
        return Ok(());
    }
    let expected = if serves { "director" } else { "envoy, client or admin" };
    Err(refused(PkiError::WrongRole { name: peer.name, expected, got: peer.role }))
}

// What both of rustls's traits ask for, and this federation answers alike.

fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

fn signed(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
}

fn signed_before_1_3() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("only TLS 1.3 is spoken".to_owned()))
}

/// Those who come to the director.
#[derive(Debug)]
struct Clients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        belongs(end_entity, false).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_before_1_3()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// The directors of an authority.
#[derive(Debug)]
enum Directors {
    /// Of this one.
    Of(Arc<WebPkiServerVerifier>),
    /// Of the one with this SHA-256, whose certificate comes along.
    Pinned(Thumbprint),
}

impl Directors {
    fn of(trust: &Trust) -> Result<Self, Error> {
        webpki(trust).map(Self::Of)
    }
}

fn webpki(trust: &Trust) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let webpki = WebPkiServerVerifier::builder_with_provider(trust.roots(), provider()).build();
    webpki.map_err(|error| Error::General(error.to_string()))
}

impl ServerCertVerifier for Directors {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let webpki = match self {
            Self::Of(webpki) => Arc::clone(webpki),
            Self::Pinned(pinned) => {
                let authority = intermediates.iter().find(|der| Thumbprint::of(der) == *pinned);
                let authority =
                    authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
                webpki(&Trust::from_der(authority).map_err(refused)?)?
            }
        };
        let verified =
            webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        belongs(end_entity, true).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_before_1_3()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

#[cfg(test)]
mod tests;
