//! The whole envoy, with its files, over mutual TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_bytes::ByteBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use veilflow_engine::remote::Parcel;

use super::stage::{Sent, soon};
use super::toy::Toy;
use crate::Registry;
use crate::envoy::{Additions, Envoy, EnvoyConfig, Notice};
use crate::experiment::Summary;
use crate::pki::{Authority, Identity, Throwaway, Validity, throwaway};
use crate::tls;
use crate::wire::messages::*;
use crate::wire::*;

/// An envoy's stream. The call ends when `_over` is dropped.
struct Stream {
    party: Party,
    incoming: Incoming<FromEnvoy>,
    outgoing: Outgoing<ToEnvoy>,
    _over: oneshot::Sender<()>,
}

/// A director that hands its envoys' streams to the test, and does nothing else.
struct Streams {
    chunks: Chunks,
    attached: mpsc::UnboundedSender<Stream>,
}

fn no<T>() -> Result<T, Refusal> {
    Err(Refusal::Denied("this director only has envoys".to_owned()))
}

impl DirectorService for Streams {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    async fn attach(
        &self,
        caller: Caller,
        incoming: Incoming<FromEnvoy>,
        outgoing: Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        let (_over, over) = oneshot::channel();
        let _ = self.attached.send(Stream { party: caller.party(), incoming, outgoing, _over });
        let _ = over.await;
        Ok(())
    }

    async fn submit(&self, _: Caller, _: Submit) -> Result<Summary, Refusal> {
        no()
    }

    async fn list(&self, _: Caller) -> Result<Vec<Summary>, Refusal> {
        no()
    }

    async fn show(&self, _: Caller, _: Ask) -> Result<Results, Refusal> {
        no()
    }

    async fn follow(&self, _: Caller, _: Follow, _: Outgoing<Told>) -> Result<(), Refusal> {
        no()
    }

    async fn cancel(&self, _: Caller, _: Ask) -> Result<Summary, Refusal> {
        no()
    }

    async fn envoys(&self, _: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        no()
    }

    async fn enroll(&self, _: SocketAddr, _: Option<Peer>, _: EnrollRequest) -> Result<EnrollReply, Refusal> {
        no()
    }

    async fn pending(&self, _: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        no()
    }

    async fn publish(&self, _: Caller, _: Publication) -> Result<(), Refusal> {
        no()
    }
}

async fn next(stream: &mut Stream) -> FromEnvoy {
    soon(async { stream.incoming.next().await.unwrap() }).await
}

fn config(folder: &TempDir, made: &Throwaway, director: &str, name: &str) -> EnvoyConfig {
    let identity = made.envoys["Bengaluru"].display();
    let text = format!(
        "name = '{name}'\ndirector = '{director}'\nidentity = '{identity}'\nstate-dir = 'state'\n\
         [policy]\nallowed-flows = ['toy']\n[roster]\nadditions = 'accept'\n"
    );
    EnvoyConfig::parse(&folder.path().join("bengaluru.toml"), &text).unwrap()
}

/// A federation with a director that is up, and the site's notices.
struct World {
    folder: TempDir,
    made: Throwaway,
    url: String,
    chunks: Chunks,
    streams: mpsc::UnboundedReceiver<Stream>,
    tell: mpsc::UnboundedSender<Notice>,
    notices: mpsc::UnboundedReceiver<Notice>,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let made = throwaway(&folder.path().join("pki"), &["Bengaluru".into(), "Portland".into()]).unwrap();
        let director = Identity::load(&made.director).unwrap();
        let security = Security::Mutual {
            config: tls::server_config(&director, false).unwrap(),
            revocations: Revocations::none(director.authority()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let chunks = Chunks::new(Budget::default());
        let (attached, streams) = mpsc::unbounded_channel();
        let service = Arc::new(Streams { chunks: chunks.clone(), attached });
        let log: Logger = Arc::new(|_| {});
        tokio::spawn(serve(listener, security, service, Limits::default(), log, std::future::pending()));
        let (tell, notices) = mpsc::unbounded_channel();
        Self { folder, made, url, chunks, streams, tell, notices }
    }

    async fn envoy(&self, flow: Toy) -> Envoy {
        let registry = Registry::new().with(Arc::new(flow));
        let tell = self.tell.clone();
        let log = Arc::new(move |notice: &Notice| drop(tell.send(notice.clone())));
        let config = config(&self.folder, &self.made, &self.url, "Bengaluru");
        Envoy::start(config, registry, log).await.unwrap()
    }

    /// The next notice that `pick` wants.
    async fn noticed<T>(&mut self, pick: impl Fn(Notice) -> Option<T>) -> T {
        soon(async {
            loop {
                if let Some(picked) = pick(self.notices.recv().await?) {
                    return Some(picked);
                }
            }
        })
        .await
    }
}

#[tokio::test]
async fn an_envoy_leaves_a_revoked_director_and_says_why() {
    let mut world = World::new().await;
    let envoy = world.envoy(Toy::new().0).await;
    let mut stream = soon(world.streams.recv()).await;
    let FromEnvoy::Hello { lists, .. } = next(&mut stream).await else { panic!("no hello") };
    let (protocol, incarnation, none) = (PROTOCOL, [1; 16], Lists::default());
    let welcome = ToEnvoy::Welcome { protocol, incarnation, lists: none, experiments: Vec::new() };
    stream.outgoing.send(welcome).await.unwrap();
    let mut authority = Authority::open(&world.made.authority, None).unwrap();
    let mut revoke = |name: &str| {
        authority.revoke(&name.into(), SystemTime::now()).unwrap();
        ToEnvoy::Lists(Lists { roster: None, revocations: Some(authority.revocations().unwrap().into()) })
    };
    let (first, second) = (revoke("Portland"), revoke("director"));
    let in_force = |notice| match notice {
        Notice::Revocations { version, revoked } => Some((version, revoked)),
        _ => None,
    };
    stream.outgoing.send(first.clone()).await.unwrap();
    assert_eq!(world.noticed(in_force).await, (lists.revocations + 1, 1));
    // The director itself brings the list that ends it: it can only hold it back, not change it.
    stream.outgoing.send(second).await.unwrap();
    assert_eq!(world.noticed(in_force).await, (lists.revocations + 2, 2));
    let revoked = |notice| match notice {
        Notice::Detached { code, reason, .. } => (code == "director-revoked").then_some(reason),
        _ => None,
    };
    let reason = world.noticed(revoked).await;
    assert!(reason.contains("the certificate of director at localhost:"), "{reason}");
    // Again and again, and also when it is started anew: the list is in the state folder.
    world.noticed(revoked).await;
    envoy.shutdown();
    envoy.wait().await;
    let envoy = world.envoy(Toy::new().0).await;
    world.noticed(|notice| matches!(notice, Notice::Started { .. }).then_some(())).await;
    world.noticed(revoked).await;
    assert!(world.streams.try_recv().is_err(), "nothing was said to it");
    envoy.shutdown();
    envoy.wait().await;
}

#[tokio::test]
async fn large_messages_and_answers_and_a_roster_cross_over_mutual_tls() {
    let mut world = World::new().await;
    let (flow, mut performing, _happened) = Toy::new();
    let envoy = world.envoy(flow).await;
    let mut stream = soon(world.streams.recv()).await;
    assert_eq!(stream.party, Party::envoy("Bengaluru".into()));
    let FromEnvoy::Hello { lists: before, .. } = next(&mut stream).await else { panic!("no hello") };
    let mut authority = Authority::open(&world.made.authority, None).unwrap();
    let day = Validity(Duration::from_secs(24 * 3600));
    let newer = authority.sign_roster(day, SystemTime::now()).unwrap().to_bytes().to_vec();
    let lists = Lists { roster: Some(ByteBuf::from(newer)), revocations: None };
    let (protocol, incarnation) = (PROTOCOL, [1; 16]);
    let welcome = ToEnvoy::Welcome { protocol, incarnation, lists, experiments: Vec::new() };
    stream.outgoing.send(welcome).await.unwrap();
    let pinned = world.noticed(|notice| match notice {
        Notice::RosterPinned { version, .. } => Some(version),
        _ => None,
    });
    assert!(pinned.await > before.roster);

    // Some chunks and a little more, no two alike.
    let bytes: Vec<u8> = (0..3_300_001_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let parcel = Arc::new(Parcel::new(bytes.clone()));
    let (message, _served) = world.chunks.serve(&parcel, stream.party.clone()).await.unwrap();
    let sent = Sent::new();
    let ToEnvoy::Task { experiment, terms, fingerprint, task, setup, .. } = sent.task("1") else { panic!() };
    let task = ToEnvoy::Task { experiment, terms, fingerprint, task, setup, message };
    stream.outgoing.send(task).await.unwrap();
    let running = soon(performing.recv()).await;
    assert!(running.message == bytes);
    let answer: Vec<u8> = bytes.iter().rev().copied().collect();
    running.end(Ok(&answer));
    let FromEnvoy::Done { outcome: Ok(content), .. } = next(&mut stream).await else { panic!("not done") };
    assert!(matches!(content, Content::Chunks { .. }));
    assert!(world.chunks.take(&stream.party, content).unwrap().into_bytes() == answer);
    stream.outgoing.send(sent.acknowledged("1")).await.unwrap();
    envoy.shutdown();
    assert_eq!(next(&mut stream).await, FromEnvoy::Leaving);
    assert_eq!(stream.incoming.next().await.unwrap(), None);
    drop(stream);
    envoy.wait().await;
}

#[tokio::test]
async fn an_envoy_says_at_its_start_whose_keys_it_does_not_trust_yet() {
    let folder = TempDir::new().unwrap();
    let made = throwaway(&folder.path().join("pki"), &["Bengaluru".into(), "Portland".into()]).unwrap();
    let (flow, _performing, _happened) = Toy::new();
    let registry = Registry::new().with(Arc::new(flow));
    let mut config = config(&folder, &made, "https://localhost:1", "Bengaluru");
    config.additions = Additions::Approve;
    let (tell, mut notices) = mpsc::unbounded_channel();
    let log = Arc::new(move |notice: &Notice| drop(tell.send(notice.clone())));
    let _envoy = Envoy::start(config, registry, log).await.unwrap();
    let waiting = soon(async {
        while let Some(notice) = notices.recv().await {
            if let Notice::RosterPinned { waiting, .. } = notice {
                return Some(waiting);
            }
        }
        None
    });
    assert_eq!(waiting.await, ["Portland"]);
}

#[tokio::test]
async fn an_envoy_does_not_start_with_anothers_name_or_in_anothers_folder() {
    let folder = TempDir::new().unwrap();
    let made = throwaway(&folder.path().join("pki"), &["Bengaluru".into()]).unwrap();
    let (flow, _performing, _happened) = Toy::new();
    let registry = Registry::new().with(Arc::new(flow));
    let start = async |name| {
        let config = config(&folder, &made, "https://localhost:1", name);
        Envoy::start(config, registry.clone(), Arc::new(|_: &Notice| {})).await
    };
    let error = start("Portland").await.unwrap_err();
    assert_eq!(error.code(), "other-name");
    assert!(error.to_string().contains("`Portland`") && error.to_string().contains("`Bengaluru`"), "{error}");
    let first = start("Bengaluru").await.unwrap();
    assert_eq!(start("Bengaluru").await.unwrap_err().code(), "journal-locked");
    first.shutdown();
    first.wait().await;
    start("Bengaluru").await.unwrap();
}
