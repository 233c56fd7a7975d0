//! The dialling end: one connection to a director, and its calls.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming as ResponseBody;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;

use super::codec::{Cbor, ChunksIn, ChunksOut};
use super::cut::Cut;
use super::error::WireError;
use super::limits::{ANSWER_BYTES, CONNECTION_WINDOW, FRAME_BYTES, Limits, STREAM_WINDOW};
use super::messages::{Ask, ChunkHash, EnvoyStatus, Follow, FromEnvoy, Results, Submit, ToEnvoy, Told};
use super::method::Method;
use super::packing::{Compression, Packed, Packing};
use super::security::{Dialing, PARTY_HEADER, require_loopback};
use super::stream::{Incoming, Outgoing};
use crate::experiment::Summary;
use crate::pki::{EnrollReply, EnrollRequest, Peer, PendingRequest, Publication, Revocations};

/// The port of a director whose address names none.
pub const DEFAULT_PORT: u16 = 50050;

/// How long a unary call may take.
const CALL: Duration = Duration::from_secs(60);

/// A connection to a director. It is not made again when it is lost: [`dial`] makes another. A clone is the same
/// connection, which ends when the last of them and their calls do.
#[derive(Clone)]
pub struct Connection {
    calls: Grpc<Calls>,
    queue: usize,
    compression: Compression,
    over: watch::Receiver<Option<String>>,
}

/// Connects to a director: `https://HOST:PORT`, or without TLS `http://127.0.0.1:PORT`.
///
/// # Errors
/// [`WireError::Url`], [`WireError::Connect`], [`WireError::Handshake`], [`WireError::Revoked`], [`WireError::Timeout`], and
/// [`WireError::Plaintext`] for plaintext to anything but a loopback address.
pub async fn dial(url: &str, security: &Dialing, limits: &Limits) -> Result<Connection, WireError> {
    let target = Target::parse(url, security)?;
    let connecting = async {
        let stream = target.connect(matches!(security, Dialing::InsecureLoopback(_))).await?;
        match security {
            Dialing::InsecureLoopback(party) => {
                let party = party.as_ref().map(|party| HeaderValue::try_from(party.to_string()));
                let party = party.transpose().map_err(|error| target.invalid(error))?;
                Connection::new(stream, &target, party, limits, std::future::pending()).await
            }
            Dialing::Mutual { config, revocations } => {
                let name =
                    ServerName::try_from(target.host.clone()).map_err(|error| target.invalid(error))?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                let stream =
                    stream.map_err(|source| WireError::Handshake { address: target.authority(), source })?;
                let director = target.director(stream.get_ref().1)?;
                if revocations.as_ref().is_some_and(|list| list.is_revoked(&director.serial)) {
                    return Err(WireError::Revoked { address: target.authority(), name: director.name });
                }
                let unworthy = unworthy(director, revocations.clone());
                Connection::new(stream, &target, None, limits, unworthy).await
            }
        }
    };
    timeout(limits.handshake, connecting)
        .await
        .map_err(|_| WireError::Timeout { what: "connecting to the director", after: limits.handshake })?
}

/// Where a director is.
struct Target {
    url: String,
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str, security: &Dialing) -> Result<Self, WireError> {
        let wrong = |why: &str| WireError::Url { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        let scheme = match security {
            Dialing::Mutual { .. } => "https",
            Dialing::InsecureLoopback(_) => "http",
        };
        if uri.scheme_str() != Some(scheme) {
            return Err(wrong(&format!("with this identity it starts with `{scheme}://`")));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it ends after the port"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { url: url.to_owned(), scheme, host, port: uri.port_u16().unwrap_or(DEFAULT_PORT) })
    }

    fn invalid(&self, why: impl fmt::Display) -> WireError {
        WireError::Url { url: self.url.clone(), why: why.to_string() }
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whose certificate the other end has shown.
    fn director(&self, tls: &rustls::ClientConnection) -> Result<Peer, WireError> {
        let shown = tls.peer_certificates().and_then(<[_]>::first).map(|der| Peer::from_der(der));
        // TLS has read it already.
        let source = match shown {
            Some(Ok(peer)) => return Ok(peer),
            Some(Err(error)) => io::Error::new(io::ErrorKind::InvalidData, error),
            None => io::Error::new(io::ErrorKind::InvalidData, "no certificate was shown"),
        };
        Err(WireError::Handshake { address: self.authority(), source })
    }

    /// The first of the host's addresses that answers.
    async fn connect(&self, loopback_only: bool) -> Result<TcpStream, WireError> {
        let unreachable = |source| WireError::Connect { address: self.authority(), source };
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(unreachable)?.collect();
        if loopback_only {
            addresses.iter().copied().try_for_each(require_loopback)?;
        }
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        Ok(stream)
    }
}

/// Returns when a connection to this director may not go on, and says why.
async fn unworthy(director: Peer, revocations: Option<Revocations>) -> String {
    let left = director.not_after.duration_since(SystemTime::now()).unwrap_or_default();
    let revoked = async {
        match &revocations {
            Some(list) => list.until_revoked(&director.serial).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = revoked => format!("the certificate of {} is revoked", director.name),
        () = sleep(left) => format!("the certificate of {} has ended", director.name),
    }
}

impl Connection {
    /// `unworthy` ends it.
    async fn new(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        target: &Target,
        party: Option<HeaderValue>,
        limits: &Limits,
        unworthy: impl Future<Output = String> + Send + 'static,
    ) -> Result<Self, WireError> {
        let mut protocol = http2::Builder::new(TokioExecutor::new());
        protocol
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.keepalive)
            .keep_alive_timeout(limits.keepalive_timeout)
            .keep_alive_while_idle(true)
            .max_header_list_size(limits.header_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES);
        let lost = |error: hyper::Error| WireError::Lost(error.to_string());
        let (tell, over) = watch::channel(None);
        let tells = tell.clone();
        let unworthy = async move {
            let why = unworthy.await;
            tells.send_replace(Some(why.clone()));
            why
        };
        let io = TokioIo::new(Cut::new(io, unworthy.boxed()));
        let (sender, connection) = protocol.handshake(io).await.map_err(lost)?;
        tokio::spawn(async move {
            let end = match connection.await {
                Ok(()) => "it was closed".to_owned(),
                Err(error) => {
                    std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
                }
            };
            // Who cut it has said why.
            tell.send_if_modified(|over| over.is_none() && over.replace(end).is_none());
        });
        let origin = Uri::builder()
            .scheme(target.scheme)
            .authority(target.authority())
            .path_and_query("/")
            .build()
            .map_err(|error| target.invalid(error))?;
        let calls =
            Grpc::with_origin(Calls { sender, party }, origin).max_decoding_message_size(ANSWER_BYTES);
        Ok(Self { calls, queue: limits.queue, compression: limits.compression, over })
    }

    /// Returns when the connection is gone, and says why.
    pub async fn closed(&self) -> String {
        let mut over = self.over.clone();
        let end = over.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        end.unwrap_or_else(|| "it was closed".to_owned())
    }

    /// Attaches an envoy: what it says, and what it is told.
    ///
    /// # Errors
    /// As every call: [`WireError::Refused`] and [`WireError::Lost`].
    pub async fn attach(&self) -> Result<(Outgoing<FromEnvoy>, Incoming<ToEnvoy>), WireError> {
        let (outgoing, queue) = Outgoing::channel(self.queue);
        let answers = self.stream(Method::Attach, ReceiverStream::new(queue)).await?;
        Ok((outgoing, answers))
    }

    /// Submits an experiment.
    ///
    /// # Errors
    /// As every call.
    pub async fn submit(&self, submit: Submit) -> Result<Summary, WireError> {
        self.unary(Method::Submit, submit).await
    }

    /// All experiments.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self) -> Result<Vec<Summary>, WireError> {
        self.unary(Method::List, ()).await
    }

    /// What an experiment left.
    ///
    /// # Errors
    /// As every call.
    pub async fn show(&self, ask: Ask) -> Result<Results, WireError> {
        self.unary(Method::Show, ask).await
    }

    /// The events of an experiment.
    ///
    /// # Errors
    /// As every call.
    pub async fn follow(&self, follow: Follow) -> Result<Incoming<Told>, WireError> {
        self.stream(Method::Follow, tokio_stream::once(follow)).await
    }

    /// Cancels an experiment.
    ///
    /// # Errors
    /// As every call.
    pub async fn cancel(&self, ask: Ask) -> Result<Summary, WireError> {
        self.unary(Method::Cancel, ask).await
    }

    /// All envoys that the director knows.
    ///
    /// # Errors
    /// As every call.
    pub async fn envoys(&self) -> Result<Vec<EnvoyStatus>, WireError> {
        self.unary(Method::Envoys, ()).await
    }

    /// Asks for a certificate, and waits as long as the director lets it wait.
    ///
    /// # Errors
    /// As every call.
    pub async fn enroll(&self, request: EnrollRequest) -> Result<EnrollReply, WireError> {
        let (method, request) = (Method::Enroll, tonic::Request::new(request));
        let mut calls = self.calls.clone();
        let answer = calls.unary(request, PathAndQuery::from_static(method.path()), Cbor::default()).await?;
        Ok(answer.into_inner())
    }

    /// The requests that wait for the authority.
    ///
    /// # Errors
    /// As every call.
    pub async fn pending(&self) -> Result<Vec<PendingRequest>, WireError> {
        self.unary(Method::Pending, ()).await
    }

    /// Brings the director what the authority signed.
    ///
    /// # Errors
    /// As every call.
    pub async fn publish(&self, publication: Publication) -> Result<(), WireError> {
        self.unary(Method::Publish, publication).await
    }

    /// Which of these chunks the director does not have from here.
    ///
    /// # Errors
    /// As every call.
    pub async fn missing(&self, hashes: Vec<ChunkHash>) -> Result<Vec<ChunkHash>, WireError> {
        self.unary(Method::Missing, hashes).await
    }

    /// These chunks, in this order. Nothing is checked yet: see [`Download`](super::Download).
    pub(crate) async fn fetch(&self, hashes: Vec<ChunkHash>) -> Result<tonic::Streaming<Packed>, WireError> {
        let request = tonic::Request::new(tokio_stream::once(hashes));
        let path = PathAndQuery::from_static(Method::Fetch.path());
        let mut calls = self.calls.clone().max_decoding_message_size(Packed::MAX_BYTES);
        Ok(calls.streaming(request, path, ChunksIn::default()).await?.into_inner())
    }

    /// Stores chunks as fast as the director takes them, and returns how many there were.
    pub(crate) async fn store(
        &self,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<u64, WireError> {
        let compression = self.compression;
        let pack = move |chunk| Packing::new(chunk).pack(compression);
        let packed = chunks.map(pack).buffered(compression.ahead());
        let path = PathAndQuery::from_static(Method::Store.path());
        let mut calls = self.calls.clone();
        let answer = calls.client_streaming(tonic::Request::new(packed), path, ChunksOut::default()).await?;
        Ok(answer.into_inner())
    }

    async fn unary<M, R>(&self, method: Method, message: M) -> Result<R, WireError>
    where
        M: Serialize + Send + Sync + 'static,
        R: DeserializeOwned + Send + Sync + 'static,
    {
        let mut calls = self.calls.clone();
        let path = PathAndQuery::from_static(method.path());
        let answer = calls.unary(tonic::Request::new(message), path, Cbor::default());
        let answer = timeout(CALL, answer)
            .await
            .map_err(|_| WireError::Timeout { what: "the director's answer", after: CALL })?;
        Ok(answer?.into_inner())
    }

    async fn stream<M, R>(
        &self,
        method: Method,
        messages: impl Stream<Item = M> + Send + 'static,
    ) -> Result<Incoming<R>, WireError>
    where
        M: Serialize + Send + Sync + 'static,
        R: DeserializeOwned + Send + Sync + 'static,
    {
        let mut calls = self.calls.clone();
        let path = PathAndQuery::from_static(method.path());
        let answer = calls.streaming(tonic::Request::new(messages), path, Cbor::default());
        let answer = timeout(CALL, answer)
            .await
            .map_err(|_| WireError::Timeout { what: "the director's answer", after: CALL })?;
        Ok(Incoming::new(answer?.into_inner()))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("over", &*self.over.borrow()).finish_non_exhaustive()
    }
}

/// Sends requests over the connection, with the name of the caller where nothing else says it.
#[derive(Clone)]
struct Calls {
    sender: http2::SendRequest<Body>,
    party: Option<HeaderValue>,
}

impl tower::Service<Request<Body>> for Calls {
    type Response = Response<ResponseBody>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(party) = &self.party {
            request.headers_mut().insert(PARTY_HEADER, party.clone());
        }
        self.sender.send_request(request).boxed()
    }
}
