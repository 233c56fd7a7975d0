//! What the wire costs: an empty call, messages over a stream, and one large content to one receiver and to ten, beside
//! a plain TCP copy of as many bytes in the same run. All on loopback, over TLS with a throw-away authority.
//!
//! `cargo bench -p veilflow-federated --bench transport`
#![allow(clippy::expect_used, reason = "a benchmark that cannot run says so and stops")]

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use veilflow_engine::remote::Parcel;
use veilflow_federated::pki::{Identity, Revocations, Throwaway, throwaway};
use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;
use veilflow_federated::{Summary, tls};
use veilflow_spec::Name;

/// The large content.
const LARGE: usize = 64 << 20;
/// Its receivers.
const RECEIVERS: usize = 10;

/// Answers what is measured, and serves the large content to every envoy that attaches.
struct Echo {
    chunks: Chunks,
    model: Arc<Parcel>,
    served: Mutex<Vec<Served>>,
}

fn not_here() -> Refusal {
    Refusal::Invalid("not in this benchmark".to_owned())
}

impl DirectorService for Echo {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    async fn attach(
        &self,
        caller: Caller,
        mut incoming: Incoming<FromEnvoy>,
        outgoing: Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        let (_, served) = self.chunks.serve(&self.model, caller.party()).await?;
        self.served.lock().expect("no panic").push(served);
        while let Ok(Some(_)) = incoming.next().await {
            outgoing.send(ToEnvoy::Alive).await.ok();
        }
        Ok(())
    }

    async fn submit(&self, _: Caller, _: Submit) -> Result<Summary, Refusal> {
        Err(not_here())
    }

    async fn list(&self, _: Caller) -> Result<Vec<Summary>, Refusal> {
        Ok(Vec::new())
    }

    async fn show(&self, _: Caller, _: Ask) -> Result<Results, Refusal> {
        Err(not_here())
    }

    async fn follow(&self, _: Caller, _: Follow, _: Outgoing<Told>) -> Result<(), Refusal> {
        Err(not_here())
    }

    async fn cancel(&self, _: Caller, _: Ask) -> Result<Summary, Refusal> {
        Err(not_here())
    }

    async fn envoys(&self, _: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        Ok(Vec::new())
    }

    async fn enroll(&self, _: SocketAddr, _: Option<Peer>, _: EnrollRequest) -> Result<EnrollReply, Refusal> {
        Err(not_here())
    }

    async fn pending(&self, _: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        Ok(Vec::new())
    }

    async fn publish(&self, _: Caller, _: Publication) -> Result<(), Refusal> {
        Err(not_here())
    }
}

struct Bench {
    runtime: Runtime,
    federation: Throwaway,
    _dir: tempfile::TempDir,
    address: SocketAddr,
    content: Content,
}

impl Bench {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let names: Vec<Name> = (0..RECEIVERS).map(|number| format!("Site{number}").into()).collect();
        let federation = throwaway(dir.path(), &names).expect("a federation");
        let identity = Identity::load(&federation.director).expect("a director");
        let revocations = Revocations::none(identity.authority());
        let config = tls::server_config(&identity, true).expect("a configuration");
        let mut bytes = vec![0; LARGE];
        // No two chunks are equal: equal ones would cross once.
        StdRng::seed_from_u64(1).fill_bytes(&mut bytes);
        let content = Content::new(&bytes, &hash_chunks(&bytes));
        assert_eq!(content.chunks().iter().collect::<BTreeSet<_>>().len(), LARGE / CHUNK_BYTES);
        let model = Arc::new(Parcel::new(bytes));
        let echo = Echo { chunks: Chunks::new(Budget::default()), model, served: Mutex::default() };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(
            listener,
            Security::Mutual { config, revocations },
            Arc::new(echo),
            Limits::default(),
            Arc::new(|_| ()),
            std::future::pending(),
        ));
        Self { runtime, federation, _dir: dir, address, content }
    }

    async fn dial(&self, identity: &std::path::Path) -> Connection {
        let identity = Identity::load(identity).expect("an identity");
        let security =
            Dialing::with(&identity, Revocations::none(identity.authority())).expect("a configuration");
        let url = format!("https://127.0.0.1:{}", self.address.port());
        dial(&url, &security, &Limits::default()).await.expect("a connection")
    }
}

/// The time of so many repetitions of something asynchronous.
fn timed<F: Future<Output = ()>>(runtime: &Runtime, times: u64, mut each: impl FnMut() -> F) -> Duration {
    runtime.block_on(async {
        let began = Instant::now();
        for _ in 0..times {
            each().await;
        }
        began.elapsed()
    })
}

fn small(criterion: &mut Criterion) {
    let bench = Bench::start();
    let client = bench.runtime.block_on(bench.dial(&bench.federation.client));
    criterion.bench_function("empty call", |bencher| {
        bencher.iter_custom(|times| {
            timed(&bench.runtime, times, || async { drop(client.envoys().await.expect("an answer")) })
        });
    });
    let site = bench.federation.envoys.values().next().expect("a site");
    let envoy = bench.runtime.block_on(bench.dial(site));
    let (say, hear) = bench.runtime.block_on(envoy.attach()).expect("a stream");
    let hear = tokio::sync::Mutex::new(hear);
    criterion.bench_function("empty hop over the stream", |bencher| {
        bencher.iter_custom(|times| {
            timed(&bench.runtime, times, || async {
                say.send(FromEnvoy::Alive).await.expect("a director");
                hear.lock().await.next().await.expect("an answer");
            })
        });
    });
    const BATCH: u64 = 1000;
    let mut group = criterion.benchmark_group("stream");
    group.throughput(Throughput::Elements(2 * BATCH));
    group.bench_function("messages", |bencher| {
        bencher.iter_custom(|times| {
            timed(&bench.runtime, times, || async {
                let saying = async {
                    for _ in 0..BATCH {
                        say.send(FromEnvoy::Alive).await.expect("a director");
                    }
                };
                let hearing = async {
                    let mut hear = hear.lock().await;
                    for _ in 0..BATCH {
                        hear.next().await.expect("an answer");
                    }
                };
                tokio::join!(saying, hearing);
            })
        });
    });
    group.finish();
}

/// Sends as many bytes as the large content to so many receivers, with nothing around them.
async fn copy(bytes: &Bytes, receivers: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let bytes = bytes.clone();
    let sending = tokio::spawn(async move {
        let sends = (0..receivers).map(async |_| listener.accept().await.expect("a receiver").0);
        let sends = join_all(sends).await.into_iter().map(|mut stream| {
            let bytes = bytes.clone();
            tokio::spawn(async move { stream.write_all(&bytes).await.expect("a receiver") })
        });
        join_all(sends).await;
    });
    let receiving = (0..receivers).map(|_| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a sender");
            let mut received = Vec::with_capacity(LARGE);
            stream.read_to_end(&mut received).await.expect("all bytes");
            assert_eq!(received.len(), LARGE);
        })
    });
    for done in join_all(receiving).await {
        done.expect("a receiver");
    }
    sending.await.expect("a sender");
}

fn large(criterion: &mut Criterion) {
    let bench = Bench::start();
    let bytes = Bytes::from(vec![7_u8; LARGE]);
    let envoys: Vec<_> =
        bench.runtime.block_on(join_all(bench.federation.envoys.values().map(async |site| {
            let envoy = bench.dial(site).await;
            let (say, mut hear) = envoy.attach().await.expect("a stream");
            // Its answer shows that the content is served.
            say.send(FromEnvoy::Alive).await.expect("a director");
            hear.next().await.expect("an answer");
            (envoy, say, hear)
        })));
    for receivers in [1, RECEIVERS] {
        let mut group = criterion.benchmark_group(format!("{} MiB to {receivers}", LARGE >> 20));
        group.throughput(Throughput::Bytes((LARGE * receivers) as u64)).sample_size(10);
        group.bench_function("plain TCP", |bencher| {
            bencher.iter_custom(|times| timed(&bench.runtime, times, || copy(&bytes, receivers)));
        });
        group.bench_function("wire", |bencher| {
            bencher.iter_custom(|times| {
                timed(&bench.runtime, times, || async {
                    let fetching = envoys.iter().take(receivers).map(|(envoy, ..)| {
                        let (envoy, content) = (envoy.clone(), bench.content.clone());
                        tokio::spawn(async move { envoy.fetch_content(content, LARGE as u64).await })
                    });
                    for fetched in join_all(fetching).await {
                        let fetched = fetched.expect("a receiver").expect("the content");
                        assert_eq!(fetched.len(), LARGE as u64);
                    }
                })
            });
        });
        group.finish();
    }
}

criterion_group!(benches, small, large);
criterion_main!(benches);
