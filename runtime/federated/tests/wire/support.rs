//! A director that answers from a script, and ways to it that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use veilflow_engine::remote::Parcel;
use veilflow_federated::pki::Warrant;
use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;
use veilflow_federated::{ExperimentId, State, Summary, Terms};
use veilflow_spec::{Fingerprint, Name};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

pub(crate) fn id(text: &str) -> ExperimentId {
    format!("{text:0>32}").parse().unwrap()
}

pub(crate) fn fingerprint(digit: &str) -> Fingerprint {
    Fingerprint::from([digit.as_bytes()[0]; 32])
}

pub(crate) fn terms() -> Terms {
    Terms {
        flow: "fedavg".to_owned(),
        options: vec!["--rounds=2".to_owned()],
        participants: vec![Name::from("Bengaluru"), Name::from("Portland")],
        seed: 7,
        drop: Vec::new(),
        dropouts: 0.0,
    }
}

pub(crate) fn submission(params: Option<Content>) -> Submit {
    Submit { protocol: PROTOCOL, id: id("1"), terms: terms(), fingerprint: fingerprint("a"), params }
}

pub(crate) fn party(role: &str, name: &str) -> Party {
    Party { role: role.parse().unwrap(), name: Name::from(name) }
}

pub(crate) fn enroll_request() -> EnrollRequest {
    EnrollRequest { warrant: Warrant::Renewal { serial: ByteBuf::new() }, csr: ByteBuf::from([1, 2, 3]) }
}

pub(crate) fn publication() -> Publication {
    Publication { answers: Vec::new(), roster: Some(ByteBuf::from([4])), revocations: None }
}

pub(crate) fn hello() -> FromEnvoy {
    FromEnvoy::Hello { protocol: PROTOCOL, incarnation: [1; 16], flows: Vec::new(), lists: Lists::default() }
}

pub(crate) fn welcome() -> ToEnvoy {
    let (protocol, incarnation, lists) = (PROTOCOL, [2; 16], Lists::default());
    ToEnvoy::Welcome { protocol, incarnation, lists, experiments: Vec::new() }
}

/// Bytes that no compressor and no accident makes equal.
pub(crate) fn bytes(len: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    Bytes::from(out)
}

/// What happened in the director.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An envoy's stream ended so.
    Detached(Name, Result<(), String>),
    /// A follower's call was dropped.
    Unfollowed,
    /// An answer came whole.
    Answer(Name, Bytes),
}

/// A director of which each call answers something that shows what reached it.
pub(crate) struct Script {
    chunks: Chunks,
    seen: mpsc::UnboundedSender<Seen>,
    /// What `show` has for a report.
    pub(crate) report: Mutex<Option<Arc<Parcel>>>,
    /// What each envoy is sent after its `Hello`.
    pub(crate) task: Mutex<Option<Arc<Parcel>>>,
}

pub(crate) fn summary(owner: Name, terms: Terms, fingerprint: Fingerprint, reason: String) -> Summary {
    let (id, state) = (id("1"), State::Pending);
    Summary {
        id,
        terms,
        fingerprint,
        owner,
        state,
        reason,
        submitted_ms: 1,
        started_ms: None,
        ended_ms: None,
    }
}

impl Script {
    async fn talk(
        &self,
        caller: &Caller,
        incoming: &mut Incoming<FromEnvoy>,
        outgoing: &Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        let mut served = None;
        loop {
            let message = match incoming.next().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Refusal::Conflict(error.to_string())),
            };
            let answer = match message {
                FromEnvoy::Hello { .. } => {
                    outgoing.send(welcome()).await.ok();
                    let Some(parcel) = self.task.lock().await.clone() else { continue };
                    let (message, guard) = self.chunks.serve(&parcel, caller.party()).await?;
                    served = Some(guard);
                    task(message)
                }
                FromEnvoy::Done { experiment, task, outcome: Ok(content) } => {
                    let answer = self.chunks.take(&caller.party(), content)?.into_bytes();
                    self.seen.send(Seen::Answer(caller.peer().name.clone(), answer)).ok();
                    ToEnvoy::Acknowledged { experiment, task }
                }
                FromEnvoy::Done { .. } => {
                    // The delivery is over: what it served goes.
                    drop(served.take());
                    ToEnvoy::Alive
                }
                FromEnvoy::Events { .. } => return Err(Refusal::Busy("no events today".to_owned())),
                FromEnvoy::Leaving => return Ok(()),
                FromEnvoy::Alive => ToEnvoy::Alive,
            };
            outgoing.send(answer).await.ok();
        }
    }
}

pub(crate) fn task_key() -> veilflow_engine::remote::TaskKey {
    veilflow_engine::remote::TaskKey { path: "0.1".into(), loops: [2, 0].into(), attempt: 0 }
}

fn task(message: Content) -> ToEnvoy {
    let (experiment, terms, fingerprint, task) = (id("1"), terms(), fingerprint("a"), task_key());
    ToEnvoy::Task { experiment, terms, fingerprint, task, setup: None, message }
}

/// Tells when it is dropped.
struct Tells(mpsc::UnboundedSender<Seen>);

impl Drop for Tells {
    fn drop(&mut self) {
        self.0.send(Seen::Unfollowed).ok();
    }
}

impl DirectorService for Script {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    async fn attach(
        &self,
        caller: Caller,
        mut incoming: Incoming<FromEnvoy>,
        outgoing: Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        let over = self.talk(&caller, &mut incoming, &outgoing).await;
        let told = over.clone().map_err(|refusal| refusal.to_string());
        self.seen.send(Seen::Detached(caller.peer().name.clone(), told)).ok();
        over
    }

    async fn submit(&self, caller: Caller, submit: Submit) -> Result<Summary, Refusal> {
        if submit.protocol != PROTOCOL {
            return Err(Refusal::Protocol { director: PROTOCOL, yours: submit.protocol });
        }
        if submit.fingerprint != fingerprint("a") {
            let (director, yours) = (fingerprint("a"), submit.fingerprint);
            return Err(Refusal::FlowMismatch { flow: submit.terms.flow, director, yours });
        }
        let params = match submit.params {
            Some(content) => self.chunks.take(&caller.party(), content)?.len() as usize,
            None => 0,
        };
        let owner = caller.peer().name.clone();
        Ok(summary(owner, submit.terms, submit.fingerprint, format!("{params} bytes of parameters")))
    }

    async fn list(&self, caller: Caller) -> Result<Vec<Summary>, Refusal> {
        Ok(vec![summary(caller.peer().name.clone(), terms(), fingerprint("a"), "listed".to_owned())])
    }

    async fn show(&self, caller: Caller, ask: Ask) -> Result<Results, Refusal> {
        if ask.id != id("1") {
            return Err(Refusal::Unknown(format!("the experiment {}", ask.id)));
        }
        let report = match self.report.lock().await.clone() {
            Some(parcel) => {
                Some(caller.serve::<Refusal>(&self.chunks, "report", async { Ok(parcel) }).await?)
            }
            None => None,
        };
        let summary = summary(caller.peer().name.clone(), terms(), fingerprint("a"), "shown".to_owned());
        Ok(Results { summary, outcome: None, report })
    }

    async fn follow(&self, caller: Caller, follow: Follow, outgoing: Outgoing<Told>) -> Result<(), Refusal> {
        let _tells = Tells(self.seen.clone());
        for number in follow.from..3 {
            let summary = summary(caller.peer().name.clone(), terms(), fingerprint("a"), number.to_string());
            outgoing.send(Told::State(summary)).await.ok();
        }
        if follow.follow {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn cancel(&self, caller: Caller, _: Ask) -> Result<Summary, Refusal> {
        Ok(summary(caller.peer().name.clone(), terms(), fingerprint("a"), "cancelled".to_owned()))
    }

    async fn envoys(&self, caller: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        let name = caller.peer().name.clone();
        Ok(vec![EnvoyStatus {
            name,
            online: true,
            updated_ms: 5,
            running: None,
            flow: None,
            flows: Vec::new(),
        }])
    }

    async fn enroll(
        &self,
        from: SocketAddr,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> Result<EnrollReply, Refusal> {
        assert!(from.ip().is_loopback());
        match peer {
            None if request == enroll_request() => Ok(EnrollReply::Pending),
            peer => Err(Refusal::Conflict(format!("{peer:?} already enrolled"))),
        }
    }

    async fn pending(&self, _: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        Ok(vec![PendingRequest { request: enroll_request(), received_ms: 3 }])
    }

    async fn publish(&self, caller: Caller, publication: Publication) -> Result<(), Refusal> {
        assert_eq!(publication, self::publication());
        assert_eq!(caller.peer().name.as_str(), "Ada");
        Ok(())
    }
}

/// A director that is being served, and what it tells.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
    log: Mutex<mpsc::UnboundedReceiver<LogLine>>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), WireError>>,
}

impl Running {
    /// Serves in plaintext.
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::serve(limits, Budget::default(), Security::InsecureLoopback).await
    }

    pub(crate) async fn serve(limits: Limits, budget: Budget, security: Security) -> Self {
        let (seen, sees) = mpsc::unbounded_channel();
        let (log, logged) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (report, task) = Default::default();
        let script = Arc::new(Script { chunks: Chunks::new(budget), seen, report, task });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let logger: Logger = Arc::new(move |line| drop(log.send(line)));
        let service = Arc::clone(&script);
        let served = tokio::spawn(async move {
            serve(listener, security, service, limits, logger, async { drop(stopped.await) }).await
        });
        Self { address, script, seen: sees, log: Mutex::new(logged), stop: Some(stop), served }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn chunks(&self) -> &Chunks {
        &self.script.chunks
    }

    pub(crate) async fn dial(&self, role: &str, name: &str) -> Connection {
        dial_at(self.address, role, name).await.unwrap()
    }

    pub(crate) async fn sees(&mut self) -> Seen {
        soon("what the director sees", self.seen.recv()).await.unwrap()
    }

    /// The next line of the log with this code; others are passed over.
    pub(crate) async fn logged(&self, code: &str) -> LogLine {
        let mut log = self.log.lock().await;
        let find = async {
            loop {
                let line = log.recv().await.unwrap();
                if line.incident.code() == code {
                    return line;
                }
            }
        };
        soon(code, find).await
    }

    /// Shows that nothing is disturbed: somebody else's call goes through.
    pub(crate) async fn still_serves(&self) {
        let client = self.dial("client", "Calm").await;
        assert_eq!(soon("a list", client.list()).await.unwrap().len(), 1);
    }

    pub(crate) fn shut_down(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn served(self) -> Result<(), WireError> {
        soon("the end of serving", self.served).await.unwrap()
    }
}

pub(crate) async fn dial_at(address: SocketAddr, role: &str, name: &str) -> Result<Connection, WireError> {
    let security = Dialing::InsecureLoopback(Some(party(role, name)));
    dial(&format!("http://{address}"), &security, &Limits::default()).await
}

/// What a [`Proxy`] does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Lets it through.
    Open,
    /// Cuts each connection after so many bytes from the director.
    CutAfter(usize),
    /// Keeps connections and passes nothing on.
    Silent,
}

/// Something between an envoy and its director.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    passed: watch::Sender<usize>,
    sent: watch::Sender<usize>,
}

impl Proxy {
    pub(crate) async fn before(director: SocketAddr, way: Way) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, ways) = watch::channel(way);
        let ((passed, _), (sent, _)) = (watch::channel(0), watch::channel(0));
        let count = (sent.clone(), passed.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(director).await.unwrap();
                tokio::spawn(pass(near, far, ways.clone(), count.clone()));
            }
        });
        Self { address, way, passed, sent }
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// How many bytes came from the director, in all connections together.
    pub(crate) fn passed(&self) -> usize {
        *self.passed.borrow()
    }

    /// How many bytes went to the director, in all connections together.
    pub(crate) fn sent(&self) -> usize {
        *self.sent.borrow()
    }
}

async fn pass(
    near: TcpStream,
    far: TcpStream,
    mut way: watch::Receiver<Way>,
    (sent, passed): (watch::Sender<usize>, watch::Sender<usize>),
) {
    let (mut near_reads, mut near_writes) = near.into_split();
    let (mut far_reads, mut far_writes) = far.into_split();
    let mut up = way.clone();
    let upward = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            up.wait_for(|way| *way != Way::Silent).await.ok();
            let Ok(read @ 1..) = near_reads.read(&mut buffer).await else { return };
            sent.send_modify(|sent| *sent += read);
            up.wait_for(|way| *way != Way::Silent).await.ok();
            if far_writes.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let downward = async {
        let mut buffer = vec![0; 64 * 1024];
        let mut here = 0;
        loop {
            let Ok(read @ 1..) = far_reads.read(&mut buffer).await else { return };
            way.wait_for(|way| *way != Way::Silent).await.ok();
            here += read;
            passed.send_modify(|passed| *passed += read);
            if matches!(*way.borrow(), Way::CutAfter(limit) if here > limit) {
                return;
            }
            if near_writes.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}
