//! The listening end: each connection is admitted, authenticated, bounded in all it may take, and ended at once when its
//! certificate no longer counts.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::answer::{Connected, Server};
use super::census::{Census, Place};
use super::error::WireError;
use super::limits::{CONNECTION_WINDOW, FRAME_BYTES, Limits, STREAM_WINDOW};
use super::log::{Incident, LogLine, Logger};
use super::security::{Security, require_loopback};
use super::service::DirectorService;
use crate::pki::{Peer, Revocations};

/// Serves until `shutdown` is done: then nothing new is accepted, and what runs has [`Limits::drain`] to end.
///
/// # Errors
/// [`WireError::Plaintext`] without TLS on anything but a loopback address; [`WireError::Listener`] where the socket is
/// none. A peer's misbehaviour is no error: it is told to `log`.
pub async fn serve<S: DirectorService>(
    listener: TcpListener,
    security: Security,
    service: Arc<S>,
    limits: Limits,
    log: Logger,
    shutdown: impl Future<Output = ()>,
) -> Result<(), WireError> {
    let local = listener.local_addr()?;
    if matches!(security, Security::InsecureLoopback) {
        require_loopback(local)?;
    }
    // Dropped when this returns, which ends whatever calls are left.
    let (_alive, stopped) = watch::channel(());
    let (close, closing) = watch::channel(false);
    let drain = limits.drain;
    let server = Arc::new(Server { service, security, limits, log, stopped });
    let census = Census::default();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match census.admit(address.ip(), &server.limits) {
                Ok(place) => {
                    let connection = Connection { server: Arc::clone(&server), address, place };
                    connections.spawn(connection.run(stream, closing.clone()));
                }
                Err(incident) => server.tell(address, None, incident),
            },
            Err(error) => {
                server.tell(local, None, Incident::Accept(error.to_string()));
                // Out of descriptors: the next try finds some once a connection has ended, and not before.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    close.send_replace(true);
    let drained = timeout(drain, async { while connections.join_next().await.is_some() {} });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

impl<S> Server<S> {
    pub(crate) fn tell(&self, address: SocketAddr, peer: Option<&Peer>, incident: Incident) {
        (self.log)(LogLine { address, party: peer.map(Into::into), incident });
    }
}

struct Connection<S> {
    server: Arc<Server<S>>,
    address: SocketAddr,
    place: Place,
}

impl<S: DirectorService> Connection<S> {
    async fn run(mut self, stream: TcpStream, closing: watch::Receiver<bool>) {
        // Small messages are not held back for more; a socket that cannot do so still works.
        stream.set_nodelay(true).ok();
        let server = Arc::clone(&self.server);
        let (peer, incident) = match &server.security {
            Security::InsecureLoopback => {
                self.place.authenticated();
                (None, self.talk(stream, None, closing).await)
            }
            Security::Mutual { config, revocations } => {
                match self.handshake(stream, Arc::clone(config), revocations).await {
                    Ok((stream, peer)) => {
                        let over = self.talk(stream, peer.as_ref(), closing).await;
                        (peer, over)
                    }
                    Err((peer, incident)) => (peer, Some(incident)),
                }
            }
        };
        if let Some(incident) = incident {
            server.tell(self.address, peer.as_ref(), incident);
        }
    }

    /// The secure connection and whose it is: nobody's, where it came without a certificate.
    async fn handshake(
        &mut self,
        stream: TcpStream,
        config: Arc<rustls::ServerConfig>,
        revocations: &Revocations,
    ) -> Result<(tokio_rustls::server::TlsStream<TcpStream>, Option<Peer>), (Option<Peer>, Incident)> {
        let limit = self.server.limits.handshake;
        let stream = timeout(limit, TlsAcceptor::from(config).accept(stream))
            .await
            .map_err(|_| (None, Incident::HandshakeTimeout(limit)))?
            .map_err(|error| (None, Incident::Handshake(error.to_string())))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = match certificate {
            None => None,
            Some(certificate) => {
                let peer = Peer::from_der(certificate)
                    .map_err(|error| (None, Incident::Certificate(error.to_string())))?;
                if revocations.is_revoked(&peer.serial) {
                    return Err((Some(peer), Incident::Revoked));
                }
                self.place.authenticated();
                Some(peer)
            }
        };
        Ok((stream, peer))
    }

    /// Answers requests until the connection ends, and says why where that was not in good order.
    async fn talk(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Option<&Peer>,
        mut closing: watch::Receiver<bool>,
    ) -> Option<Incident> {
        let limits = &self.server.limits;
        let asked = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(Connected::new(peer.cloned(), self.address));
        let answering = {
            let (server, asked) = (Arc::clone(&self.server), Arc::clone(&asked));
            hyper::service::service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let (server, connected) = (Arc::clone(&server), Arc::clone(&connected));
                async move { Ok::<_, Infallible>(server.answer(connected, request).await) }
            })
        };
        let mut connection = pin!(self.protocol().serve_connection(TokioIo::new(io), answering));
        let mut unworthy = pin!(self.unworthy(peer));
        let mut first_request = pin!(sleep(limits.first_request));
        let mut waits_for_request = true;
        let mut open = true;
        loop {
            tokio::select! {
                result = connection.as_mut() => return result.err().map(|error| Incident::Broken(reason(&error))),
                incident = &mut unworthy => return Some(incident),
                () = &mut first_request, if waits_for_request => {
                    if !asked.load(Ordering::Relaxed) {
                        return Some(Incident::NoRequest(limits.first_request));
                    }
                    waits_for_request = false;
                }
                _ = closing.wait_for(|closing| *closing), if open => {
                    open = false;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    fn protocol(&self) -> http2::Builder<TokioExecutor> {
        let limits = &self.server.limits;
        let mut protocol = http2::Builder::new(TokioExecutor::new());
        protocol
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.keepalive)
            .keep_alive_timeout(limits.keepalive_timeout)
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES)
            .auto_date_header(false);
        protocol
    }

    /// Returns when the connection may not go on.
    async fn unworthy(&self, peer: Option<&Peer>) -> Incident {
        let Security::Mutual { revocations, .. } = &self.server.security else {
            return std::future::pending().await;
        };
        let Some(peer) = peer else {
            let limit = self.server.limits.unauthenticated_for;
            sleep(limit).await;
            return Incident::Unauthenticated(limit);
        };
        let left = peer.not_after.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::select! {
            () = revocations.until_revoked(&peer.serial) => Incident::Revoked,
            () = sleep(left) => Incident::Expired,
        }
    }
}

/// The innermost cause: the outer ones say "connection error".
fn reason(error: &hyper::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    match error.downcast_ref::<io::Error>() {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => "cut off".to_owned(),
        _ => error.to_string(),
    }
}
