//! Handshakes between both ends, in memory.

use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, ClientConnection, PeerIncompatible, ServerConnection};
use tempfile::TempDir;

use super::*;
use crate::pki::{Authority, Order, Validity, throwaway};

const DAY: Duration = Duration::from_secs(24 * 3600);

struct Place {
    dir: TempDir,
    authority: Authority,
    began: SystemTime,
}

impl Place {
    /// An authority that is ten days old.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let began = SystemTime::now() - 10 * DAY;
        let year = Validity(365 * DAY);
        let authority = Authority::create(&dir.path().join("ca"), "trial", year, None, began).unwrap();
        Self { dir, authority, began }
    }

    fn issue(&mut self, name: &str, role: Role, days: u32) -> Identity {
        let hosts = if role == Role::Director { vec!["localhost".to_owned()] } else { Vec::new() };
        let order = Order { name: name.into(), role, hosts, valid: Validity(days * DAY) };
        let dir = self.dir.path().join(name);
        self.authority.issue(&order, &dir, self.began).unwrap();
        Identity::load(&dir).unwrap()
    }

    fn director(&mut self) -> Identity {
        self.issue("director", Role::Director, 300)
    }

    fn envoy(&mut self) -> Identity {
        self.issue("Bengaluru", Role::Envoy, 300)
    }
}

/// How a handshake ended at both ends, and whom they saw.
struct Shaken {
    client: Result<(), Error>,
    server: Result<Option<Peer>, Error>,
    /// What the director showed.
    shown: Option<Peer>,
}

impl Shaken {
    fn peer(self) -> Option<Peer> {
        self.client.unwrap();
        self.server.unwrap()
    }
}

fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>, host: &str) -> Shaken {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), host).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let (mut at_client, mut at_server) = (Ok(()), Ok(()));
    // Two flights each way, and what an end that gave up has to say.
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut unread = bytes.as_slice();
        while !unread.is_empty() && at_server.is_ok() {
            server.read_tls(&mut unread).unwrap();
            at_server = server.process_new_packets().map(drop);
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut unread = bytes.as_slice();
        while !unread.is_empty() && at_client.is_ok() {
            client.read_tls(&mut unread).unwrap();
            at_client = client.process_new_packets().map(drop);
        }
    }
    if at_client.is_ok() && at_server.is_ok() {
        assert!(!client.is_handshaking() && !server.is_handshaking());
        for (version, alpn) in [
            (client.protocol_version(), client.alpn_protocol()),
            (server.protocol_version(), server.alpn_protocol()),
        ] {
            assert_eq!((version, alpn), (Some(rustls::ProtocolVersion::TLSv1_3), Some(ALPN)));
        }
    }
    let peer = |chain: Option<&[CertificateDer<'_>]>| Some(Peer::from_der(chain?.first()?).unwrap());
    let (peer, shown) = (peer(server.peer_certificates()), peer(client.peer_certificates()));
    Shaken { client: at_client, server: at_server.map(|()| peer), shown }
}

#[test]
fn both_ends_know_each_other() {
    let mut place = Place::new();
    let (director, envoy) = (place.director(), place.envoy());
    let client = client_config(&envoy).unwrap();
    for require_client in [true, false] {
        let server = server_config(&director, require_client).unwrap();
        for _ in 0..2 {
            // A second connection of the same two shows its certificate again.
            let peer = shake(&client, &server, "localhost").peer().unwrap();
            assert_eq!(peer, *envoy.peer());
        }
    }
}

/// Which end refuses.
#[derive(Clone, Copy, Debug)]
enum End {
    Client,
    Server,
}

#[test]
fn who_is_not_as_the_authority_issues_them_is_refused_at_the_other_end() {
    let (mut place, mut other) = (Place::new(), Place::new());
    let (director, envoy, stranger) = (place.director(), place.envoy(), other.envoy());
    let (late_director, late) =
        (place.issue("late director", Role::Director, 1), place.issue("late", Role::Envoy, 1));
    let pinned = director.authority().thumbprint();
    let calls = |identity: &Identity| client_config(identity).unwrap();
    let enrols = |authority| enrolling_client_config(authority).unwrap();
    let serves = |identity: &Identity| server_config(identity, true).unwrap();
    // Ends that check nothing themselves.
    let shows = |identity: &Identity| Arc::new(SingleCertAndKey::from(own(identity).unwrap()));
    let careless =
        |identity: &Identity| finished(client(Anybody).unwrap().with_client_cert_resolver(shows(identity)));
    let serves_anybody = |identity: &Identity| {
        let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        Arc::new(config.unwrap().with_no_client_auth().with_cert_resolver(shows(identity)))
    };
    let another = &["UnknownIssuer", "BadSignature"][..];
    let home = "localhost";
    for (who, calling, serving, host, end, says) in [
        (
            "a director elsewhere",
            calls(&envoy),
            serves(&director),
            "example.org",
            End::Client,
            &["not valid for name"][..],
        ),
        (
            "a director at an address",
            calls(&envoy),
            serves(&director),
            "127.0.0.1",
            End::Client,
            &["not valid for name"],
        ),
        ("another's director", calls(&stranger), serves(&director), home, End::Client, another),
        ("another's envoy", careless(&stranger), serves(&director), home, End::Server, another),
        ("an envoy that is over", calls(&late), serves(&director), home, End::Server, &["expired"]),
        ("a director that is over", calls(&envoy), serves(&late_director), home, End::Client, &["expired"]),
        ("the same, to enrol", enrols(pinned), serves(&late_director), home, End::Client, &["expired"]),
        (
            "another's director, to enrol",
            enrols(Thumbprint::of(b"other")),
            serves(&director),
            home,
            End::Client,
            another,
        ),
        (
            "a director elsewhere, to enrol",
            enrols(pinned),
            serves(&director),
            "example.org",
            End::Client,
            &["not valid for name"],
        ),
        (
            "an envoy that serves",
            calls(&envoy),
            serves_anybody(&envoy),
            home,
            End::Client,
            &["key usage for server"],
        ),
        (
            "a director that calls",
            careless(&director),
            serves(&director),
            home,
            End::Server,
            &["key usage for client"],
        ),
    ] {
        let shaken = shake(&calling, &serving, host);
        let error = match end {
            End::Client => shaken.client.unwrap_err().to_string(),
            End::Server => shaken.server.unwrap_err().to_string(),
        };
        assert!(says.iter().any(|text| error.contains(text)), "{who}: {error}");
    }
    assert_eq!(server_config(&envoy, true).unwrap_err().code(), "wrong-role");
    assert_eq!(client_config(&director).unwrap_err().code(), "wrong-role");
}

#[test]
fn a_renewed_certificate_is_shown_from_the_next_connection_on() {
    let mut place = Place::new();
    let (director, envoy) = (place.issue("director", Role::Director, 11), place.envoy());
    let (server, shown) = renewable_server_config(&director, true).unwrap();
    let client = client_config(&envoy).unwrap();
    let shows = || shake(&client, &server, "localhost").shown.unwrap();
    assert_eq!(shows(), *director.peer());
    let granted = place.authority.renew(&"director".into(), Validity(30 * DAY), SystemTime::now()).unwrap();
    let renewed = director.install(&granted.certificate).unwrap();
    shown.replace(&renewed).unwrap();
    assert_ne!(renewed.peer(), director.peer());
    assert_eq!(shows(), *renewed.peer());
}

#[test]
fn without_a_certificate_there_is_no_connection_but_to_enrol() {
    let mut place = Place::new();
    let director = place.director();
    let config = enrolling_client_config(director.authority().thumbprint()).unwrap();
    let error = shake(&config, &server_config(&director, true).unwrap(), "localhost").server.unwrap_err();
    assert_eq!(error, Error::NoCertificatesPresented);
    let open = server_config(&director, false).unwrap();
    assert_eq!(shake(&config, &open, "localhost").peer(), None);
}

#[test]
fn tls_1_2_is_refused() {
    let mut place = Place::new();
    let mut server = ServerConnection::new(server_config(&place.director(), true).unwrap()).unwrap();
    // A ClientHello without `supported_versions` (RFC 5246, section 7.4.1.2).
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 4, 0, 2, 0, 29], // supported_groups: x25519
        &[0, 11, 0, 2, 1, 0],        // ec_point_formats: uncompressed
        &[0, 13, 0, 4, 0, 2, 4, 3],  // signature_algorithms: ecdsa_secp256r1_sha256
        &[0, 16, 0, 5, 0, 3, 2, b'h', b'2'],
    ];
    let extensions = extensions.concat();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.push(1);
    record.extend(&(hello.len() as u32).to_be_bytes()[1..]);
    record.extend(hello);
    server.read_tls(&mut record.as_slice()).unwrap();
    let error = server.process_new_packets().unwrap_err();
    assert_eq!(error, Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired));
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    assert_eq!(alert.last(), Some(&u8::from(AlertDescription::ProtocolVersion)));
}

#[test]
fn garbage_is_refused() {
    let mut place = Place::new();
    let mut server = ServerConnection::new(server_config(&place.director(), true).unwrap()).unwrap();
    server.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: director\r\n\r\n"[..]).unwrap();
    assert!(server.process_new_packets().is_err());
}

#[test]
fn a_throwaway_federation_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let made = throwaway(dir.path(), &["Bengaluru".into(), "..".into()]).unwrap();
    let load = |path: &std::path::Path| Identity::load(path).unwrap();
    let director = load(&made.director);
    let server = server_config(&director, true).unwrap();
    let mut seen = Vec::new();
    for path in [&made.admin, &made.client].into_iter().chain(made.envoys.values()) {
        let client = client_config(&load(path)).unwrap();
        for host in ["localhost", "127.0.0.1", "::1"] {
            seen.push(shake(&client, &server, host).peer().unwrap().role);
        }
        let roster = load(path).roster().unwrap().verify(director.authority(), SystemTime::now()).unwrap();
        assert_eq!(roster.members().len(), 5);
    }
    let roles = [Role::Admin, Role::Client, Role::Envoy, Role::Envoy];
    assert_eq!(seen, roles.map(|role| [role; 3]).concat());
    let twice = throwaway(dir.path(), &[]).unwrap_err();
    assert_eq!(twice.code(), "exists");
    let other = tempfile::tempdir().unwrap();
    assert_eq!(throwaway(other.path(), &["director".into()]).unwrap_err().code(), "name-taken");
}

/// Takes anybody for the director.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
