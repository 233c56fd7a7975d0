//! `pki` through a director, over mutual TLS on loopback: one that does no more than relay.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use veilflow_cli::Registry;
use veilflow_federated::Summary;
use veilflow_federated::pki::{
    EnrollReply, EnrollRequest, Enrolling, Granted, Identity, Peer, PendingRequest, Publication, Relay,
    Revocations, Role, Throwaway, Token, Verdict, throwaway,
};
use veilflow_federated::tls;
use veilflow_federated::wire::messages::{
    Ask, EnvoyStatus, Follow, FromEnvoy, Results, Submit, ToEnvoy, Told,
};
use veilflow_federated::wire::{
    Budget, Caller, Chunks, Connection, Dialing, DirectorService, Incoming, Limits, Outgoing, Refusal,
    Security, WireError, dial, serve,
};

use crate::toy::{Outcome, veilflow_of};

/// A director that relays requests and applies what administrators bring.
struct Desk {
    chunks: Chunks,
    relay: Relay,
    revocations: Revocations,
}

fn refused(error: impl ToString) -> Refusal {
    Refusal::Invalid(error.to_string())
}

fn none<T>() -> Result<T, Refusal> {
    Err(Refusal::Unknown("there are no experiments here".to_owned()))
}

impl DirectorService for Desk {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    async fn attach(&self, _: Caller, _: Incoming<FromEnvoy>, _: Outgoing<ToEnvoy>) -> Result<(), Refusal> {
        none()
    }

    async fn submit(&self, _: Caller, _: Submit) -> Result<Summary, Refusal> {
        none()
    }

    async fn list(&self, _: Caller) -> Result<Vec<Summary>, Refusal> {
        Ok(Vec::new())
    }

    async fn show(&self, _: Caller, _: Ask) -> Result<Results, Refusal> {
        none()
    }

    async fn follow(&self, _: Caller, _: Follow, _: Outgoing<Told>) -> Result<(), Refusal> {
        none()
    }

    async fn cancel(&self, _: Caller, _: Ask) -> Result<Summary, Refusal> {
        none()
    }

    async fn envoys(&self, _: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        Ok(Vec::new())
    }

    async fn enroll(
        &self,
        _: SocketAddr,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> Result<EnrollReply, Refusal> {
        let id = self.relay.receive(peer.as_ref(), request, SystemTime::now()).map_err(refused)?;
        self.relay.reply(&id).ok_or_else(|| Refusal::Unknown(id.to_string()))
    }

    async fn pending(&self, _: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        Ok(self.relay.pending())
    }

    async fn publish(&self, _: Caller, publication: Publication) -> Result<(), Refusal> {
        self.relay.answer(publication.answers).map_err(refused)?;
        if let Some(list) = publication.revocations {
            self.revocations.update(&list).map_err(refused)?;
        }
        Ok(())
    }
}

/// A federation with a director that is up.
struct Up {
    dir: tempfile::TempDir,
    made: Throwaway,
    runtime: Runtime,
    url: String,
    revocations: Revocations,
    /// Dropped, it ends the director.
    _up: oneshot::Sender<()>,
}

impl Up {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = throwaway(dir.path(), &["Portland".into()]).unwrap();
        let director = Identity::load(&made.director).unwrap();
        let revocations =
            Revocations::open(&made.director.join("revocations.cbor"), director.authority()).unwrap();
        let relay = Relay::open(&dir.path().join("requests.cbor"), director.authority()).unwrap();
        let budget = Budget { total: 1 << 20, per_peer: 1 << 20, content: 1 << 20 };
        let desk = Desk { chunks: Chunks::new(budget), relay, revocations: revocations.clone() };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let config = tls::server_config(&director, false).unwrap();
        let security = Security::Mutual { config, revocations: revocations.clone() };
        let (up, down) = oneshot::channel::<()>();
        let down = async move { drop(down.await) };
        runtime.spawn(serve(listener, security, Arc::new(desk), Limits::default(), Arc::new(|_| ()), down));
        Self { dir, made, runtime, url, revocations, _up: up }
    }

    fn pki(&self, command: &str, more: &[&str]) -> Outcome {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (ca, admin) = (text(&self.made.authority), text(&self.made.admin));
        let common = ["pki", command, "--ca", &ca, "--director", &self.url, "--identity", &admin];
        let arguments: Vec<_> = common.into_iter().chain(more.iter().copied()).collect();
        veilflow_of(&Registry::new(), &arguments)
    }

    fn run(&self, command: &str, more: &[&str]) -> String {
        let outcome = self.pki(command, more);
        assert_eq!(outcome.code, 0, "{command}: {}", outcome.err);
        outcome.out
    }

    /// A site with a token for this name, and its connection.
    fn site(&self, name: &str) -> (Enrolling, Connection) {
        let ca = self.made.authority.to_str().unwrap();
        let said = veilflow_of(&Registry::new(), &["pki", "token", "--ca", ca, "--name", name]);
        let token: Token = said.out.parse().unwrap();
        let site = Enrolling::start(&self.dir.path().join(name), token, SystemTime::now()).unwrap();
        let dialing = Dialing::enrolling(site.authority()).unwrap();
        (site, self.dial(&dialing).unwrap())
    }

    fn dial(&self, dialing: &Dialing) -> Result<Connection, WireError> {
        self.runtime.block_on(dial(&self.url, dialing, &Limits::default()))
    }

    fn ask(&self, site: &Enrolling, connection: &Connection) -> EnrollReply {
        self.runtime.block_on(connection.enroll(site.request().clone())).unwrap()
    }
}

/// What an answer grants.
fn granted(reply: EnrollReply) -> Granted {
    match reply {
        EnrollReply::Answered(Verdict::Granted(granted)) => granted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn sites_enrol_are_renewed_and_revoked_through_a_director() {
    let up = Up::new();
    let (site, connection) = up.site("Bengaluru");
    let (other, other_connection) = up.site("Chennai");
    assert_eq!(up.ask(&site, &connection), EnrollReply::Pending);
    assert_eq!(up.ask(&other, &other_connection), EnrollReply::Pending);
    let listed: Value = serde_json::from_str(&up.run("requests", &["--output", "json"])).unwrap();
    assert_eq!(listed[0]["name"], "Bengaluru");
    assert_eq!(listed[0]["key"], site.thumbprint().to_string());
    assert!(up.run("requests", &[]).contains("Chennai"));
    // A policy signs one of them, and leaves the other.
    let policy = up.dir.path().join("policy.toml");
    std::fs::write(&policy, "[[enroll]]\nrole = \"envoy\"\nnames = [\"Bengaluru\"]\n").unwrap();
    let said = up.run("sign", &["--policy", policy.to_str().unwrap()]);
    assert!(said.contains("signed Bengaluru (envoy, new)") && said.contains("1 left waiting"), "{said}");
    let reply = up.ask(&site, &connection);
    let identity = site.finish(&granted(reply), SystemTime::now()).unwrap();
    assert_eq!(identity.role(), Role::Envoy);
    assert_eq!(up.ask(&other, &other_connection), EnrollReply::Pending);
    let said = up.run("sign", &["--accept", "Chennai", "--valid", "30d"]);
    assert!(said.contains("signed Chennai"), "{said}");
    let reply = up.ask(&other, &other_connection);
    other.finish(&granted(reply), SystemTime::now()).unwrap();

    // A renewal is asked for with the certificate that ends.
    let dir = identity.dir().to_str().unwrap().to_owned();
    let renew = ["pki", "renew", "--identity", &dir, "--director", &up.url];
    let config = up.dir.path().join("bengaluru.toml");
    let (url, state) = (&up.url, up.dir.path().join("state"));
    let text = format!(
        "name = 'Bengaluru'\ndirector = '{url}'\nidentity = '{dir}'\nstate-dir = '{}'\n[policy]\nallowed-flows = []\n",
        state.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    std::fs::write(&policy, "renewals = true\nvalid = \"2y\"\n").unwrap();
    // By whoever has an identity, or at a site by its configuration.
    for again in [&renew[..], &["envoy", "renew", "--config", config]] {
        let waits = veilflow_of(&Registry::new(), &renew);
        assert!(waits.code > 0 && waits.err.contains("run the same command again"), "{}", waits.err);
        let said = up.run("sign", &["--policy", policy.to_str().unwrap()]);
        assert!(said.contains("signed Bengaluru (envoy, renewal)"), "{said}");
        let before = Identity::load(identity.dir()).unwrap();
        let done = veilflow_of(&Registry::new(), again);
        assert!(done.code == 0 && done.out.contains("Bengaluru is valid until"), "{}{}", done.out, done.err);
        assert_ne!(Identity::load(identity.dir()).unwrap().peer().serial, before.peer().serial);
    }
    let renewed = Identity::load(identity.dir()).unwrap();
    assert_ne!(renewed.peer().serial, identity.peer().serial);

    // A revocation cuts a connection that is open, and refuses the next.
    let dialing = Dialing::with(&renewed, renewed.revocations().unwrap()).unwrap();
    let open = up.dial(&dialing).unwrap();
    let said = up.run("revoke", &["--name", "Bengaluru"]);
    assert!(said.contains("3 certificates revoked") && said.contains("cuts"), "{said}");
    let cut =
        up.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), open.closed()).await });
    cut.unwrap();
    assert!(up.revocations.is_revoked(&renewed.peer().serial));
    let again = up.dial(&dialing).and_then(|connection| up.runtime.block_on(connection.envoys()).map(drop));
    assert!(again.is_err());
    // Everybody else goes on.
    let refused = up.pki("requests", &["--output", "json"]);
    assert_eq!((refused.code, refused.out.as_str()), (0, "[]\n"), "{}", refused.err);

    // What the director would pass on, and what it holds back, a site takes by hand, and never goes back.
    let lists = up.made.authority.join("revocations.cbor");
    let older = up.dir.path().join("Chennai/revocations.cbor");
    let take = |command, list: &Path| {
        let list = list.to_str().unwrap();
        veilflow_of(
            &Registry::new(),
            &["envoy", command, "--config", config, "--take", list, "--output", "json"],
        )
    };
    let taken: Value = serde_json::from_str(&take("revocations", &lists).out).unwrap();
    assert!(taken["revoked"].as_array().unwrap().iter().all(|line| line["name"] == "Bengaluru"), "{taken}");
    assert_eq!(taken["revoked"].as_array().unwrap().len(), 3);
    let stale = take("revocations", &older);
    assert!(stale.code > 0 && stale.err.contains("is here already"), "{}", stale.err);
    let roster = take("roster", &up.made.authority.join("roster.cbor"));
    assert!(roster.code == 0 && roster.out.contains("Chennai"), "{}{}", roster.out, roster.err);
}
