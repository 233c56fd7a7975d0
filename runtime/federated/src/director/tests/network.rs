//! A director that listens, over TLS with certificates of a federation.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use veilflow_spec::{Name, from_cbor};

use super::super::{Director, DirectorConfig, Line};
use super::support::{Given, Sums, content, hello, rounds_of, soon, terms};
use crate::deployed::Registry;
use crate::experiment::State;
use crate::pki::enrolment::Enrolling;
use crate::pki::{
    Authority, EnrollReply, Identity, Publication, Role, Throwaway, Validity, Verdict, throwaway,
};
use crate::tls;
use crate::wire::messages::{Ask, Content, Follow, FromEnvoy, ToEnvoy, Told};
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
        let mut config = DirectorConfig::new(self.dir.path().join("state"), &self.made.director);
        config.listen.set_port(0);
        let registry = Registry::new().with(Arc::new(Sums("sums")));
        let lines = Arc::clone(&self.lines);
        let log = Arc::new(move |line: Line| lines.lock().unwrap().push(format!("{}: {line}", line.code())));
        Director::start(config, registry, log).await.unwrap()
    }

    async fn dial(&self, director: &Director, identity: &Path) -> Connection {
        let identity = Identity::load(identity).unwrap();
        let security = Dialing::Mutual(tls::client_config(&identity).unwrap());
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
    let stranger = Dialing::Mutual(tls::enrolling_client_config(enrolling.authority()).unwrap());
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
    assert!(matches!(site.next().await, ToEnvoy::Roster(_)), "the others learn of it");
    let c = federation.dial(&director, &federation.dir.path().join("c")).await;
    let _c = Site::attach(&c).await;

    authority.revoke(&Name::from("a"), now).unwrap();
    let revocations = Some(authority.revocations().unwrap().into());
    admin.publish(Publication { revocations, ..Publication::default() }).await.unwrap();
    let ended = soon("the end of its stream", site.from.next()).await;
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    soon("the end of its connection", a.closed()).await;
    let lines = federation.lines.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line.starts_with("revoked: ")), "{lines:?}");
    soon("its end", director.shutdown()).await.unwrap();
}
