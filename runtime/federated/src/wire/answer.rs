//! The answering end of each call: who may make it, its message within the limits, and what the service says.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::{Request, Response};
use hyper::body::Incoming as RequestBody;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::server::Grpc;
use tonic::{Status, Streaming};

use super::chunks::{Chunks, Party};
use super::codec::{Cbor, ChunksIn, ChunksOut};
use super::error::{Refusal, WireError};
use super::limits::{ANSWER_BYTES, Limits};
use super::log::{Incident, Logger};
use super::messages::ChunkHash;
use super::method::Method;
use super::packing::{Compression, Packed};
use super::security::{Security, claimed_peer};
use super::service::{Caller, DirectorService, Held};
use super::stream::{Incoming, Outgoing};
use crate::pki::Peer;

/// The most bytes of a message from somebody without a certificate.
const STRANGER_BYTES: usize = 64 * 1024;

/// A director's listening end.
pub(crate) struct Server<S> {
    pub(crate) service: Arc<S>,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    pub(crate) log: Logger,
    /// Its other end goes when the server does.
    pub(crate) stopped: watch::Receiver<()>,
}

/// What is known of a connection.
pub(crate) struct Connected {
    peer: Option<Peer>,
    address: SocketAddr,
    held: Arc<Held>,
}

impl Connected {
    pub(crate) fn new(peer: Option<Peer>, address: SocketAddr) -> Self {
        Self { peer, address, held: Arc::default() }
    }
}

/// A call under way.
#[derive(Clone)]
struct Call {
    method: Method,
    peer: Option<Peer>,
    address: SocketAddr,
    log: Logger,
    message_bytes: usize,
    patience: Duration,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

impl<S: DirectorService> Server<S> {
    /// Answers one request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        connected: Arc<Connected>,
        request: Request<RequestBody>,
    ) -> Response<Body> {
        let address = connected.address;
        let Some(method) = Method::of(request.uri().path()) else {
            let path: String = request.uri().path().chars().take(100).collect();
            self.tell(address, connected.peer.as_ref(), Incident::NoSuchCall(path.clone()));
            return Status::from(Refusal::Unknown(format!("the call {path}"))).into_http();
        };
        let peer = match &self.security {
            Security::Mutual { .. } => Ok(connected.peer.clone()),
            Security::InsecureLoopback => claimed_peer(request.headers()),
        };
        let admitted = peer.and_then(|peer| method.authorize(peer.as_ref()).map(|()| peer));
        let peer = match admitted {
            Ok(peer) => peer,
            Err(refusal) => {
                let why = refusal.to_string();
                self.tell(address, connected.peer.as_ref(), Incident::Refused { method, why });
                return Status::from(refusal).into_http();
            }
        };
        let call = Call {
            method,
            address,
            log: Arc::clone(&self.log),
            message_bytes: if peer.is_some() { self.limits.message_bytes } else { STRANGER_BYTES },
            patience: self.limits.request,
            peer,
        };
        self.dispatch(call, &connected, request).await
    }

    async fn dispatch(
        self: Arc<Self>,
        call: Call,
        connected: &Connected,
        request: Request<RequestBody>,
    ) -> Response<Body> {
        let service = Arc::clone(&self.service);
        let Some(peer) = call.peer.clone() else {
            // Everything else was refused.
            let from = call.address;
            return call.unary(request, async move |m| service.enroll(from, None, m).await).await;
        };
        let caller = Caller::new(peer, call.address, Arc::clone(&connected.held));
        let (chunks, party) = (service.chunks().clone(), caller.party());
        match call.method {
            Method::Attach => {
                let (queue, stopped) = (self.limits.queue, self.stopped.clone());
                let attach = async move |messages| {
                    Ok(answers(queue, stopped, |outgoing| async move {
                        service.attach(caller, Incoming::new(messages), outgoing).await
                    }))
                };
                call.respond(Cbor::default(), request, attach).await
            }
            Method::Follow => {
                let (queue, stopped, patience) = (self.limits.queue, self.stopped.clone(), call.patience);
                let follow = async move |mut messages| {
                    let message = only(&mut messages, patience).await?;
                    Ok(answers(queue, stopped, |outgoing| async move {
                        let gone = outgoing.clone();
                        tokio::select! {
                            over = service.follow(caller, message, outgoing) => over,
                            () = gone.closed() => Ok(()),
                        }
                    }))
                };
                call.respond(Cbor::default(), request, follow).await
            }
            Method::Fetch => {
                let (patience, compression) = (call.patience, self.limits.compression);
                let fetch = async move |mut messages| {
                    Ok(fetch(chunks, party, compression, only(&mut messages, patience).await?))
                };
                call.respond(ChunksOut::default(), request, fetch).await
            }
            Method::Store => {
                let patience = call.patience;
                let store = async move |messages| {
                    let stored = store(&chunks, &party, messages, patience).await?;
                    Ok(stream::once(async move { Ok(stored) }).boxed())
                };
                call.respond(ChunksIn::default(), request, store).await
            }
            Method::Missing => {
                call.unary(request, async move |hashes: Vec<ChunkHash>| Ok(chunks.missing(&party, &hashes)))
                    .await
            }
            Method::Submit => call.unary(request, async move |m| service.submit(caller, m).await).await,
            Method::List => call.unary(request, async move |()| service.list(caller).await).await,
            Method::Show => call.unary(request, async move |m| service.show(caller, m).await).await,
            Method::Cancel => call.unary(request, async move |m| service.cancel(caller, m).await).await,
            Method::Envoys => call.unary(request, async move |()| service.envoys(caller).await).await,
            Method::Enroll => {
                let from = call.address;
                call.unary(request, async move |m| service.enroll(from, Some(caller.peer().clone()), m).await)
                    .await
            }
            Method::Pending => call.unary(request, async move |()| service.pending(caller).await).await,
            Method::Publish => call.unary(request, async move |m| service.publish(caller, m).await).await,
        }
    }
}

impl Call {
    /// One message in, one out.
    async fn unary<M, R, F>(
        self,
        request: Request<RequestBody>,
        answer: impl FnOnce(M) -> F + Send,
    ) -> Response<Body>
    where
        M: DeserializeOwned + Send + 'static,
        R: Serialize + Send + Sync + 'static,
        F: Future<Output = Result<R, Refusal>> + Send,
    {
        let patience = self.patience;
        let once = async move |mut messages: Streaming<M>| {
            let message = only(&mut messages, patience).await?;
            let answer = answer(message).await?;
            Ok(stream::once(async move { Ok(answer) }).boxed())
        };
        self.respond(Cbor::default(), request, once).await
    }

    /// Messages in, messages out.
    async fn respond<C, F>(
        self,
        codec: C,
        request: Request<RequestBody>,
        answer: impl FnOnce(Streaming<C::Decode>) -> F + Send,
    ) -> Response<Body>
    where
        C: Codec,
        C::Encode: Sync,
        F: Future<Output = Result<Answers<C::Encode>, Status>> + Send,
    {
        let message_bytes = if self.method == Method::Store { Packed::MAX_BYTES } else { self.message_bytes };
        let mut answer = Some(answer);
        let call = &self;
        let service = tower::service_fn(move |request: tonic::Request<Streaming<C::Decode>>| {
            let answer = answer.take();
            async move {
                let Some(answer) = answer else {
                    return Err(Refusal::Internal("a request was taken for two".to_owned()).into());
                };
                let answered = answer(request.into_inner()).await;
                answered.map(tonic::Response::new).inspect_err(|status| call.refused(status))
            }
        });
        Grpc::new(codec)
            .max_decoding_message_size(message_bytes)
            .max_encoding_message_size(ANSWER_BYTES)
            .streaming(service, request)
            .await
    }

    fn refused(&self, status: &Status) {
        let why = WireError::from(status.clone()).to_string();
        let incident = Incident::Refused { method: self.method, why };
        (self.log)(super::log::LogLine {
            address: self.address,
            party: self.peer.as_ref().map(Party::from),
            incident,
        });
    }
}

/// The one message of a request.
async fn only<M>(messages: &mut Streaming<M>, patience: Duration) -> Result<M, Status> {
    next(messages, patience)
        .await?
        .ok_or_else(|| Refusal::Malformed("a request without a message".to_owned()).into())
}

/// The next message of a request, within the time for it.
async fn next<M>(messages: &mut Streaming<M>, patience: Duration) -> Result<Option<M>, Status> {
    let late = |_| Status::from(Refusal::Invalid(format!("no whole message arrived within {patience:?}")));
    timeout(patience, messages.message()).await.map_err(late)?
}

/// The chunks of these hashes, each looked up when its turn comes.
fn fetch(chunks: Chunks, party: Party, compression: Compression, hashes: Vec<ChunkHash>) -> Answers<Packed> {
    let pack = move |hash| {
        let unknown =
            || Refusal::Unknown(format!("the chunk {hash}: nothing that is meant for {party} holds it"));
        let found = chunks.get(&party, &hash).ok_or_else(unknown);
        async move { Ok(found?.pack(compression).await) }
    };
    stream::iter(hashes).map(pack).buffered(compression.ahead()).boxed()
}

/// Stores chunks, each hashed while the next one arrives, and says how many there were.
async fn store(
    chunks: &Chunks,
    party: &Party,
    mut messages: Streaming<Packed>,
    patience: Duration,
) -> Result<u64, Status> {
    let mut count = 0;
    let mut arrived = next(&mut messages, patience).await?;
    while let Some(chunk) = arrived {
        let hashing = tokio::task::spawn_blocking(move || chunk.settle());
        let (hashed, following) = tokio::join!(hashing, next(&mut messages, patience));
        let (hash, chunk) =
            hashed.map_err(|error| Refusal::Internal(format!("a chunk was not hashed: {error}")))??;
        let chunk = chunk.ok_or_else(|| Refusal::Busy("there is no memory for a chunk".to_owned()))?;
        chunks.put(party, hash, chunk)?;
        count += 1;
        arrived = following?;
    }
    Ok(count)
}

/// Runs the service's end of a stream on a task of its own, and gives what it sends.
fn answers<T, F>(
    queue: usize,
    mut stopped: watch::Receiver<()>,
    run: impl FnOnce(Outgoing<T>) -> F,
) -> Answers<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let (outgoing, queue) = Outgoing::channel(queue);
    let (end, ended) = oneshot::channel();
    let running = run(outgoing);
    tokio::spawn(async move {
        let over = tokio::select! {
            over = running => over,
            _ = stopped.changed() => Err(Refusal::Leaving),
        };
        // Nobody listens where the peer is gone.
        end.send(over).ok();
    });
    Sending { queue, ended: Some(ended), error: None }.boxed()
}

/// What a service sends, until it returns: clones of its [`Outgoing`] that live on keep nothing open.
struct Sending<T> {
    queue: mpsc::Receiver<T>,
    ended: Option<oneshot::Receiver<Result<(), Refusal>>>,
    error: Option<Status>,
}

impl<T> Stream for Sending<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(ended) = &mut self.ended
            && let Poll::Ready(over) = ended.poll_unpin(cx)
        {
            self.ended = None;
            self.error = match over {
                Ok(Ok(())) => None,
                Ok(Err(refusal)) => Some(refusal.into()),
                Err(_) => Some(Refusal::Internal("the call ended without an answer".to_owned()).into()),
            };
            self.queue.close();
        }
        match self.queue.poll_recv(cx) {
            Poll::Ready(Some(message)) => Poll::Ready(Some(Ok(message))),
            // The queue is empty for good. How it ended comes last, and is told when the service returns.
            Poll::Ready(None) if self.ended.is_none() => Poll::Ready(self.error.take().map(Err)),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
