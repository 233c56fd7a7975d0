//! Transport security: TLS 1.3 (RFC 8446), mutual, against the federation's own authority and never the system's.
//!
//! Beside what WebPKI checks (the chain, the time, the purpose and a director's host names), each side reads the
//! other's certificate as this federation issues it, and refuses anything else. Sessions are never resumed: a
//! resumed one would skip the certificate.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
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
    if identity.role() != Role::Director {
        let name = identity.name().clone();
        return Err(PkiError::WrongRole { name, expected: "director", got: identity.role() });
    }
    let builder = WebPkiClientVerifier::builder_with_provider(identity.authority().roots(), provider());
    let builder = if require_client { builder } else { builder.allow_unauthenticated() };
    let webpki = builder.build().map_err(|error| Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(Clients(webpki)))
        .with_cert_resolver(Arc::new(own(identity)?));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
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
    let directors = Directors::of(identity.authority())?;
    let config = client(Arc::new(directors))?.with_client_cert_resolver(Arc::new(own(identity)?));
    Ok(finished(config))
}

/// The end of a site that has no certificate yet, and knows of the authority what its token says: the SHA-256 of its
/// certificate. The director sends that certificate along with its own.
///
/// # Errors
/// What rustls reports.
pub fn enrolling_client_config(authority: Thumbprint) -> Result<Arc<ClientConfig>, PkiError> {
    Ok(finished(client(Arc::new(Pinned { authority }))?.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn client(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, PkiError> {
    // "Dangerous" is what rustls calls verifiers other than its own; these call its own first.
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn own(identity: &Identity) -> Result<SingleCertAndKey, PkiError> {
    let key = identity.key().with_pkcs8(|der| ring::sign::any_ecdsa_type(&PrivateKeyDer::Pkcs8(der)))??;
    Ok(SingleCertAndKey::from(CertifiedKey::new(identity.chain(), key)))
}

/// A certificate that the federation's authority would not issue, as rustls says it.
fn refused(error: PkiError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Those who come to the director.
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
        let peer = Peer::from_der(end_entity).map_err(refused)?;
        if peer.role == Role::Director {
            let (name, got) = (peer.name, peer.role);
            return Err(refused(PkiError::WrongRole { name, expected: "envoy, client or admin", got }));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clients")
    }
}

/// The directors of an authority.
#[derive(Debug)]
struct Directors(Arc<WebPkiServerVerifier>);

impl Directors {
    fn of(trust: &Trust) -> Result<Self, Error> {
        Self::with(trust.roots())
    }

    fn with(roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
        webpki.map(Self).map_err(|error| Error::General(error.to_string()))
    }
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
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let peer = Peer::from_der(end_entity).map_err(refused)?;
        if peer.role != Role::Director {
            let (name, got) = (peer.name, peer.role);
            return Err(refused(PkiError::WrongRole { name, expected: "director", got }));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The directors of the authority with this SHA-256.
#[derive(Debug)]
struct Pinned {
    authority: Thumbprint,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates.iter().find(|der| Thumbprint::of(der) == self.authority);
        let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let trust = Trust::from_der(authority).map_err(refused)?;
        Directors::of(&trust)?.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
