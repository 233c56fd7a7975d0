//! A director that listens, over TLS with certificates of a federation.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_bytes::ByteBuf;
use tempfile::TempDir;
use tokio::sync::mpsc;
use veilflow_spec::{Name, from_cbor};

use super::super::{Director, DirectorConfig, Line, Log};
use super::support::{Given, Sums, content, hello, rounds_of, soon, terms};
use crate::deployed::Registry;
use crate::envoy::{Envoy, EnvoyConfig, Notice};
use crate::experiment::State;
use crate::pki::enrolment::Enrolling;
use crate::pki::{
    Authority, EnrollReply, Identity, Order, Peer, Publication, Role, Throwaway, Validity, Verdict, throwaway,
};
use crate::tls;
use crate::wire::messages::{Ask, Content, Follow, FromEnvoy, Lists, ToEnvoy, Told};
use crate::wire::{Connection, Dialing, Incoming, Limits, Outgoing, dial};

/// A federation on this machine.
struct Federation {
    dir: TempDir,
    made: Throwaway,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Federation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = throwaway(dir.path(), &["a".into(), "b".into()]).unwrap();
        Self { dir, made, lines: Arc::default() }
    }

    async fn director(&self) -> Director {
        let lines = Arc::clone(&self.lines);
        let log = move |line: Line| lines.lock().unwrap().push(format!("{}: {line}", line.code()));
        self.director_as(&self.made.director, Arc::new(log)).await
    }

    async fn director_as(&self, identity: &Path, log: Log) -> Director {
        let mut config = DirectorConfig::new(self.dir.path().join("state"), identity);
        config.listen.set_port(0);
        let registry = Registry::new().with(Arc::new(Sums("sums")));
        // Whoever let go of the director before may still be putting it away, its lock among the rest.
        let started = async {
            loop {
                match Director::start(config.clone(), registry.clone(), Arc::clone(&log)).await {
                    Err(error) if error.code() == "journal-locked" => tokio::task::yield_now().await,
                    started => return started.unwrap(),
                }
            }
        };
        soon("the lock of the directory", started).await
    }

    /// A site's whole envoy, and what it tells.
    async fn envoy_as(
        &self,
        director: &Director,
        identity: &Path,
    ) -> (Envoy, mpsc::UnboundedReceiver<Notice>) {
        let text = format!(
            "name = 'a'\ndirector = '{}'\nidentity = '{}'\nstate-dir = 'site'\n[policy]\nallowed-flows = ['sums']\n",
            url(director),
            identity.display()
        );
        let config = EnvoyConfig::parse(&self.dir.path().join("a.toml"), &text).unwrap();
        let (tell, notices) = mpsc::unbounded_channel();
        let log = Arc::new(move |notice: &Notice| drop(tell.send(notice.clone())));
        let registry = Registry::new().with(Arc::new(Sums("sums")));
        (Envoy::start(config, registry, log).await.unwrap(), notices)
    }

    async fn dial(&self, director: &Director, identity: &Path) -> Connection {
        let identity = Identity::load(identity).unwrap();
        let security = Dialing::with(&identity, identity.revocations().unwrap()).unwrap();
        dial(&url(director), &security, &Limits::default()).await.unwrap()
    }
}

fn url(director: &Director) -> String {
    format!("https://{}", director.address())
}

/// The site's end of an envoy's stream.
struct Site {
    to: Outgoing<FromEnvoy>,
    from: Incoming<ToEnvoy>,
}

impl Site {
    async fn attach(connection: &Connection) -> Self {
        let (to, from) = connection.attach().await.unwrap();
        to.send(hello(1, &["sums"])).await.unwrap();
        let mut site = Self { to, from };
        assert!(matches!(site.next().await, ToEnvoy::Welcome { .. }));
        site
    }

    async fn next(&mut self) -> ToEnvoy {
        soon("a message", self.from.next()).await.unwrap().expect("the stream ended")
    }

    async fn task(&mut self) -> Given {
        let ToEnvoy::Task { experiment, task, message: Content::Inline(message), .. } = self.next().await
        else {
            panic!("not a task")
        };
        Given { experiment, task, message: from_cbor(&message).unwrap() }
    }

    async fn work(&mut self) {
        let given = self.task().await;
        self.to.send(given.doubled()).await.unwrap();
        assert!(matches!(self.next().await, ToEnvoy::Acknowledged { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_runs_over_tls_and_over_a_restart_of_the_director() {
    let federation = Federation::new();
    let director = federation.director().await;
    let client = federation.dial(&director, &federation.made.client).await;
    let sites = [&federation.made.envoys["a"], &federation.made.envoys["b"]];
    let mut a = Site::attach(&federation.dial(&director, sites[0]).await).await;
    let mut b = Site::attach(&federation.dial(&director, sites[1]).await).await;
    let submit = rounds_of(terms("sums", &["a", "b"]), 2);
    let id = client.submit(submit.clone()).await.unwrap().id;
    a.work().await;
    b.work().await;
    let (of_a, of_b) = (a.task().await, b.task().await);
    let before = std::time::Instant::now();
    soon("its end", director.shutdown()).await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());

    let director = federation.director().await;
    let client = federation.dial(&director, &federation.made.client).await;
    let mut a = Site::attach(&federation.dial(&director, sites[0]).await).await;
    let mut b = Site::attach(&federation.dial(&director, sites[1]).await).await;
    assert_eq!((a.task().await, b.task().await), (of_a.clone(), of_b.clone()));
    assert_eq!(client.submit(submit).await.unwrap().id, id, "a submission whose reply was lost");
    let mut told = client.follow(Follow { id, from: 0, follow: true }).await.unwrap();
    a.to.send(of_a.doubled()).await.unwrap();
    b.to.send(of_b.doubled()).await.unwrap();
    let mut last = None;
    while let Some(message) = soon("all of it", told.next()).await.unwrap() {
        last = Some(message);
    }
    let Some(Told::Over(outcome)) = last else { panic!("{last:?}") };
    assert_eq!(outcome.state, State::Finished, "{outcome:?}");
    let results = client.show(Ask { id }).await.unwrap();
    assert_eq!(results.report, Some(content(&[4.0, 16.0])));
    assert_eq!(client.list().await.unwrap(), [results.summary]);
    let envoys = client.envoys().await.unwrap();
    assert!(envoys.iter().all(|envoy| envoy.online) && envoys.len() == 2);
    soon("its end", director.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_enrols_is_let_in_and_who_is_revoked_is_out_at_once() {
    let federation = Federation::new();
    let director = federation.director().await;
    let admin = federation.dial(&director, &federation.made.admin).await;
    let a = federation.dial(&director, &federation.made.envoys["a"]).await;
    let mut site = Site::attach(&a).await;
    let now = SystemTime::now();
    let mut authority = Authority::open(&federation.made.authority, None).unwrap();
    let valid = Validity(Duration::from_secs(3600));
    let token = authority.token(&Name::from("c"), Role::Envoy, valid, now).unwrap();
    let enrolling = Enrolling::start(&federation.dir.path().join("c"), token, now).unwrap();
    let stranger = Dialing::enrolling(enrolling.authority()).unwrap();
    let stranger = dial(&url(&director), &stranger, &Limits::default()).await.unwrap();
    assert!(stranger.attach().await.is_err() || stranger.list().await.is_err(), "it may only enrol");
    let request = enrolling.request().clone();
    let asked = tokio::spawn(async move { stranger.enroll(request).await });
    // The request is held at the director until it is answered.
    let pending = loop {
        let pending = admin.pending().await.unwrap();
        if let Some(first) = pending.first() {
            break first.request.clone();
        }
    };
    assert_eq!(&pending, enrolling.request());
    let publication = Publication {
        answers: vec![authority.sign(&pending, valid, now).unwrap()],
        roster: Some(authority.roster().unwrap().to_bytes().to_vec().into()),
        revocations: None,
    };
    admin.publish(publication).await.unwrap();
    let EnrollReply::Answered(Verdict::Granted(granted)) = soon("the answer", asked).await.unwrap().unwrap()
    else {
        panic!("not granted")
    };
    enrolling.finish(&granted, now).unwrap();
    assert!(
        matches!(site.next().await, ToEnvoy::Lists(Lists { roster: Some(_), .. })),
        "the others learn of it"
    );
    let c = federation.dial(&director, &federation.dir.path().join("c")).await;
    let mut other = Site::attach(&c).await;

    authority.revoke(&Name::from("a"), now).unwrap();
    let revocations: Option<ByteBuf> = Some(authority.revocations().unwrap().into());
    let publication = Publication { revocations: revocations.clone(), ..Publication::default() };
    admin.publish(publication).await.unwrap();
    let passed_on = ToEnvoy::Lists(Lists { roster: None, revocations });
    assert_eq!(other.next().await, passed_on, "the others learn of it");
    // It may hear the list first.
    let ended = async { while let Ok(Some(ToEnvoy::Lists(_))) = site.from.next().await {} };
    soon("the end of its stream", ended).await;
    soon("the end of its connection", a.closed()).await;
    let lines = federation.lines.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line.starts_with("revoked: ")), "{lines:?}");
    soon("its end", director.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_director_and_a_site_are_renewed_through_the_desk_while_they_run() {
    let mut federation = Federation::new();
    // Of an authority that is as old: certificates with four of their thirty days left.
    let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3600));
    let (month, old) = (Validity(30 * day), now - 26 * day);
    let dir = federation.dir.path().join("old");
    let mut authority = Authority::create(&dir, "old", Validity(365 * day), None, old).unwrap();
    let mut issue = |name: &str, role, hosts: &[&str], at| {
        let hosts = hosts.iter().map(ToString::to_string).collect();
        let path = dir.join(name);
        authority.issue(&Order { name: name.into(), role, hosts, valid: month }, &path, at).unwrap();
        path
    };
    let identity = issue("director", Role::Director, &["127.0.0.1"], old);
    let site = issue("a", Role::Envoy, &[], old);
    federation.made.admin = issue("admin", Role::Admin, &[], now);
    let before = Identity::load(&identity).unwrap();

    let (tell, mut lines) = mpsc::unbounded_channel();
    let log: Log = Arc::new(move |line| {
        let _ = tell.send(line.code());
    });
    let mut logged = async |code| {
        let wait = async { while lines.recv().await.expect("the director is gone") != code {} };
        soon(code, wait).await
    };
    let director = federation.director_as(&identity, log).await;
    logged("renewal-asked").await;
    let (envoy, mut notices) = federation.envoy_as(&director, &site).await;
    let mut noticed = async |kind| {
        let is = |notice: Notice| match notice {
            Notice::Attached => kind == "attached",
            Notice::Certificate(renewal) => kind == renewal.code(),
            _ => false,
        };
        soon(kind, async { while !is(notices.recv().await.expect("the envoy is gone")) {} }).await
    };
    noticed("attached").await;
    noticed("renewal-asked").await;

    // Neither signs for itself: the authority answers both.
    let admin = federation.dial(&director, &federation.made.admin).await;
    let both = async {
        loop {
            let pending = admin.pending().await.unwrap();
            if pending.len() == 2 {
                return pending;
            }
        }
    };
    let pending = soon("both requests", both).await;
    let shown = async || shown(&director, &Identity::load(&federation.made.admin).unwrap()).await;
    assert_eq!(shown().await, *before.peer());
    let answers = pending.iter().map(|pending| authority.sign(&pending.request, month, now).unwrap());
    let answers = answers.collect();
    admin.publish(Publication { answers, ..Publication::default() }).await.unwrap();
    logged("renewed").await;
    noticed("renewed").await;
    // The site comes again at once; the director shows the new one to whoever comes next, and who is there stays.
    noticed("attached").await;
    let renewed = Identity::load(&identity).unwrap();
    let own = async { while shown().await != *renewed.peer() {} };
    soon("its new certificate", own).await;
    for identity in [renewed, Identity::load(&site).unwrap()] {
        assert!(identity.peer().not_after > now + 29 * day);
    }
    assert!(admin.pending().await.unwrap().is_empty());
    envoy.shutdown();
    envoy.wait().await;
    soon("its end", director.shutdown()).await.unwrap();
}

/// Whose certificate a director shows.
async fn shown(director: &Director, identity: &Identity) -> Peer {
    let stream = tokio::net::TcpStream::connect(director.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls::client_config(identity).unwrap());
    let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    Peer::from_der(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap()
}
