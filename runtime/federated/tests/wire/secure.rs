//! Certificates of the federation, and everything that is none.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use veilflow_federated::pki::{Authority, Identity, Order, Revocations, Throwaway, Validity, throwaway};
use veilflow_federated::tls;
use veilflow_federated::wire::*;
use veilflow_spec::Name;

use super::support::*;

struct Federation {
    dir: tempfile::TempDir,
    made: Throwaway,
}

impl Federation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = throwaway(dir.path(), &["Bengaluru".into(), "Portland".into()]).unwrap();
        Self { dir, made }
    }

    async fn director(&self, require_client: bool) -> (Running, Revocations) {
        self.director_as(&self.made.director, require_client).await
    }

    async fn director_as(&self, identity: &Path, require_client: bool) -> (Running, Revocations) {
        let identity = Identity::load(identity).unwrap();
        let revocations = Revocations::none(identity.authority());
        let config = tls::server_config(&identity, require_client).unwrap();
        let security = Security::Mutual { config, revocations: revocations.clone() };
        let limits = Limits { handshake: Duration::from_millis(500), ..Limits::default() };
        (Running::serve(limits, Budget::default(), security).await, revocations)
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.made.authority, None).unwrap()
    }

    fn envoy(&self, name: &str) -> &Path {
        &self.made.envoys[name]
    }
}

fn url(director: &Running) -> String {
    format!("https://localhost:{}", director.address.port())
}

async fn dial_as(director: &Running, identity: &Path) -> Result<Connection, WireError> {
    let identity = Identity::load(identity).unwrap();
    let dialing = Dialing::with(&identity, identity.revocations().unwrap()).unwrap();
    dial(&url(director), &dialing, &Limits::default()).await
}

/// How a call ends of somebody who is turned away: in TLS 1.3 that may show in the handshake or just after it.
async fn turned_away(director: &Running, identity: &Path) -> WireError {
    match dial_as(director, identity).await {
        Ok(connection) => soon("a refusal", connection.missing(Vec::new())).await.unwrap_err(),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_certificate_says_who_calls_and_what_for() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let client = dial_as(&director, &federation.made.client).await.unwrap();
    assert_eq!(client.list().await.unwrap()[0].owner.as_str(), "client");
    let envoy = dial_as(&director, federation.envoy("Bengaluru")).await.unwrap();
    assert_eq!(envoy.list().await.unwrap_err().code(), "denied");
    let line = director.logged("refused").await.to_string();
    assert!(line.contains("envoy/Bengaluru") && line.contains("List"), "{line}");
    let (say, mut hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
}

#[tokio::test]
async fn no_ones_word_counts_where_there_are_certificates() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let plain = Dialing::InsecureLoopback(Some(party("admin", "Ada")));
    let refused = match dial(&director.url(), &plain, &Limits::default()).await {
        Ok(connection) => connection.pending().await.unwrap_err(),
        Err(error) => error,
    };
    assert_ne!(refused.code(), "denied");
    director.logged("handshake").await;
}

#[tokio::test]
async fn without_a_certificate_one_can_enroll_and_nothing_else() {
    let federation = Federation::new();
    let identity = Identity::load(federation.envoy("Bengaluru")).unwrap();
    let pinned = Dialing::enrolling(identity.authority().thumbprint()).unwrap();
    let (open, _) = federation.director(false).await;
    let nobody = dial(&url(&open), &pinned, &Limits::default()).await.unwrap();
    assert_eq!(nobody.enroll(enroll_request()).await.unwrap(), EnrollReply::Pending);
    assert_eq!(nobody.attach().await.map(drop).unwrap_err().code(), "unauthenticated");
    assert_eq!(nobody.pending().await.unwrap_err().code(), "unauthenticated");
    assert_eq!(nobody.missing(Vec::new()).await.unwrap_err().code(), "unauthenticated");
    // Where enrolment is closed there is no connection at all.
    let (closed, _) = federation.director(true).await;
    let refused = match dial(&url(&closed), &pinned, &Limits::default()).await {
        Ok(connection) => connection.enroll(enroll_request()).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(refused.code(), "lost" | "handshake"), "{refused}");
    closed.logged("handshake").await;
}

#[tokio::test]
async fn another_authoritys_certificate_is_refused_at_both_ends() {
    let (ours, theirs) = (Federation::new(), Federation::new());
    let (director, _) = ours.director(true).await;
    // Their envoy does not believe our director.
    assert_eq!(turned_away(&director, theirs.envoy("Bengaluru")).await.code(), "handshake");
    director.logged("handshake").await;
    // Nor does our director believe their envoy, were that to believe it.
    let ours_trusted = Identity::load(ours.envoy("Bengaluru")).unwrap().authority().certificate().to_vec();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ours_trusted)).unwrap();
    let theirs = theirs.envoy("Bengaluru");
    let chain = vec![CertificateDer::from_pem_file(theirs.join("certificate.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(theirs.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_client_auth_cert(chain, key);
    let mut config = config.unwrap();
    config.alpn_protocols = vec![tls::ALPN.to_vec()];
    let security = Dialing::Mutual { config: Arc::new(config), revocations: None };
    let refused = match dial(&url(&director), &security, &Limits::default()).await {
        Ok(connection) => soon("a refusal", connection.missing(Vec::new())).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(refused.code(), "lost" | "handshake"), "{refused}");
    assert!(director.logged("handshake").await.to_string().contains("certificate"));
    let calm = dial_as(&director, &ours.made.client).await.unwrap();
    calm.list().await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let mut authority = federation.authority();
    let order = Order {
        name: Name::from("Late"),
        role: Role::Envoy,
        hosts: Vec::new(),
        valid: Validity(Duration::from_secs(60)),
    };
    let dir = federation.dir.path().join("late");
    authority.issue(&order, &dir, SystemTime::now() - Duration::from_secs(120)).unwrap();
    let refused = turned_away(&director, &dir).await;
    assert!(matches!(refused.code(), "lost" | "handshake"), "{refused}");
    director.logged("handshake").await;
    dial_as(&director, &federation.made.client).await.unwrap().list().await.unwrap();
}

#[tokio::test]
async fn a_revoked_certificate_ends_its_open_connections_at_once() {
    let federation = Federation::new();
    let (mut director, revocations) = federation.director(true).await;
    let envoy = dial_as(&director, federation.envoy("Bengaluru")).await.unwrap();
    let (say, mut hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
    let other = dial_as(&director, federation.envoy("Portland")).await.unwrap();
    let (other_says, mut other_hears) = other.attach().await.unwrap();
    let mut authority = federation.authority();
    authority.revoke(&"Bengaluru".into(), SystemTime::now()).unwrap();
    assert!(revocations.update(&authority.revocations().unwrap()).unwrap());
    assert!(soon("the stream's end", hear.next()).await.is_err());
    let Seen::Detached(name, _) = director.sees().await else { panic!("not detached") };
    assert_eq!(name.as_str(), "Bengaluru");
    assert!(director.logged("revoked").await.to_string().contains("envoy/Bengaluru"));
    // Nor does it come again, and its neighbour noticed nothing.
    turned_away(&director, federation.envoy("Bengaluru")).await;
    director.logged("revoked").await;
    other_says.send(hello()).await.unwrap();
    assert_eq!(other_hears.next().await.unwrap(), Some(welcome()));
}

#[tokio::test]
async fn a_revoked_director_is_left_at_once_and_not_talked_to() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let identity = Identity::load(federation.envoy("Bengaluru")).unwrap();
    // What the site knows, whatever the director says.
    let known = Revocations::none(identity.authority());
    let dialing = Dialing::with(&identity, known.clone()).unwrap();
    let dial = async || dial(&url(&director), &dialing, &Limits::default()).await;
    let open = dial().await.unwrap();
    let (say, mut hear) = open.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
    let mut authority = federation.authority();
    let before = authority.revocations().unwrap();
    authority.revoke(&"director".into(), SystemTime::now()).unwrap();
    known.update(&authority.revocations().unwrap()).unwrap();
    assert_eq!(soon("its end", open.closed()).await, "the certificate of director is revoked");
    assert!(soon("the stream's end", hear.next()).await.is_err());
    let refused = dial().await.unwrap_err();
    assert_eq!((refused.code(), refused.is_transient()), ("director-revoked", false));
    let text = refused.to_string();
    assert!(text.contains("the certificate of director at localhost:") && text.contains("revoked"), "{text}");
    // The list from before does not bring it back.
    assert_eq!(known.update(&before).unwrap_err().code(), "stale");
    assert_eq!(dial().await.unwrap_err().code(), "director-revoked");
}

#[tokio::test]
async fn a_connection_ends_with_the_directors_certificate() {
    let federation = Federation::new();
    let dir = federation.dir.path().join("short");
    let order = Order {
        name: Name::from("short"),
        role: Role::Director,
        hosts: vec!["localhost".to_owned()],
        valid: Validity(Duration::from_secs(60)),
    };
    // A certificate is good for a minute at least: this one has five seconds left.
    let began = SystemTime::now() - Duration::from_secs(55);
    federation.authority().issue(&order, &dir, began).unwrap();
    let (director, _) = federation.director_as(&dir, true).await;
    let envoy = dial_as(&director, federation.envoy("Bengaluru")).await.unwrap();
    assert_eq!(soon("its end", envoy.closed()).await, "the certificate of short has ended");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let silent = tokio::net::TcpStream::connect(director.address).await.unwrap();
    director.logged("handshake-timeout").await;
    drop(silent);
    let mut garbage = tokio::net::TcpStream::connect(director.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut garbage, &bytes(4096, 3)).await.unwrap();
    director.logged("handshake").await;
    dial_as(&director, &federation.made.client).await.unwrap().list().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_contents_cross_over_tls() {
    let federation = Federation::new();
    let (director, _) = federation.director(true).await;
    let report = bytes(20 << 20, 1);
    *director.script.report.lock().await =
        Some(Arc::new(veilflow_engine::remote::Parcel::new(report.clone())));
    let client = dial_as(&director, &federation.made.client).await.unwrap();
    let content =
        client.show(veilflow_federated::wire::messages::Ask { id: id("1") }).await.unwrap().report.unwrap();
    assert_eq!(client.fetch_content(content, 64 << 20).await.unwrap().into_bytes(), report);
}
