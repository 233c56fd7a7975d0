//! The director: it registers envoys, queues experiments and hosts the aggregator of each.
//!
//! ```text
//! client ── submit ──► queue ── a slot is free, all participants are online ──► run: a thread that walks the graph
//!                                                                                │  ▲
//! reader ◄── journal ◄── events, transitions, answers ◄──────────────────────────┤  │ courier
//!                                                                                ▼  │
//! envoy  ◄══ one stream, tasks and answers ═══════════════════════════════════► its open tasks
//! ```
//!
//! What is told was written down before. A director that is killed goes on, at its next start, with every experiment that
//! ran: from the last step of the aggregator, and inside a secure session from the answers that were recorded. Tasks keep
//! their keys, so an envoy that has done one answers with what it has. A director that is told to end stops in the same
//! way: it cancels nothing.
//!
//! An envoy is its certificate's name at every message, whatever the message says. The director holds no key that could
//! make a certificate: it relays requests and answers, rosters and revocations that the federation's authority signed.

mod config;
mod core;
mod courier;
mod desk;
mod envoys;
mod error;
mod experiment;
mod log;
mod run;
mod service;
mod upkeep;

use std::fmt;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use veilflow_spec::StepError;

pub use self::config::DirectorConfig;
use self::core::{Core, Identities, Parts};
use self::desk::Desk;
use self::envoys::{EnvoyLimits, Envoys};
pub use self::error::DirectorError;
pub use self::log::{Line, Log};
use self::service::Service;
use self::upkeep::Upkeep;
use crate::deployed::Registry;
use crate::journal::StateDir;
use crate::tls;
use crate::wire::{Chunks, Security, WireError, serve};

/// How long runs may take to stop where they are. A step that looks at nothing is left to end with the process.
const STOP: Duration = Duration::from_secs(5);

/// A director that runs. Dropped without [`shutdown`](Self::shutdown), it goes on until its runtime ends.
pub struct Director {
    address: SocketAddr,
    core: Arc<Core>,
    serving: JoinHandle<Result<(), WireError>>,
    /// Sent, it ends the server.
    stop: oneshot::Sender<()>,
    /// What goes on until it is closed.
    background: Vec<JoinHandle<()>>,
}

impl Director {
    /// Starts a director with the flows of this program. It goes on with the experiments of its state directory, and
    /// listens when this returns. Needs tokio's multi-threaded runtime.
    ///
    /// # Errors
    /// A configuration, an identity, a state directory or an address that cannot be used.
    pub async fn start(config: DirectorConfig, registry: Registry, log: Log) -> Result<Self, DirectorError> {
        config.validate(&registry)?;
        let address = config.listen;
        let failed = |source| DirectorError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = config.limits.clone();
        let made_log = Arc::clone(&log);
        let runtime = tokio::runtime::Handle::current();
        let made = spawn_blocking(move || {
            let _runtime = runtime.enter();
            make(config, registry, made_log)
        });
        let Made { core, desk, security, upkeep } =
            made.await.map_err(|error| DirectorError::Internal(error.to_string()))??;
        let lines = Arc::clone(&log);
        let peers: crate::wire::Logger = Arc::new(move |line| lines(Line::Peer(line)));
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service { core: Arc::clone(&core), desk });
        let serving = tokio::spawn(async move {
            let stopped = async {
                if stopped.await.is_err() {
                    // Its handle was dropped, not told to stop.
                    future::pending::<()>().await;
                }
            };
            serve(listener, security, service, limits, peers, stopped).await
        });
        let mut background = vec![tokio::spawn(Arc::clone(&core).schedule())];
        if let Some(upkeep) = upkeep {
            let core = Arc::clone(&core);
            background.push(tokio::spawn(async move {
                tokio::select! {
                    () = core.closed() => {}
                    () = upkeep.run() => {}
                }
            }));
        }
        log(Line::Listening { address });
        Ok(Self { address, core, serving, stop, background })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when the server ended by itself, which is a failure of its socket.
    ///
    /// # Errors
    /// Why.
    pub async fn ended(&mut self) -> Result<(), DirectorError> {
        match (&mut self.serving).await {
            Ok(ended) => ended.map_err(DirectorError::Wire),
            Err(error) => Err(DirectorError::Internal(error.to_string())),
        }
    }

    /// Ends it within seconds: nothing new is taken, sessions end, and what runs stops where it is, to be gone on with by
    /// the next process on the same state directory.
    ///
    /// # Errors
    /// A server that failed.
    pub async fn shutdown(self) -> Result<(), DirectorError> {
        self.core.close();
        // The server may have ended by itself.
        self.stop.send(()).ok();
        let ended = self.serving.await.map_err(|error| DirectorError::Internal(error.to_string()))?;
        for task in self.background {
            // The next director on the same state directory finds nobody in it.
            task.await.map_err(|error| DirectorError::Internal(error.to_string()))?;
        }
        if timeout(STOP, self.core.idle()).await.is_err() {
            let log = &self.core.parts.log;
            log(Line::Problem(format!(
                "a step of an aggregator did not end within {STOP:?}: it is run again at the next start"
            )));
        }
        (self.core.parts.log)(Line::Stopped);
        ended.map_err(DirectorError::Wire)
    }
}

impl fmt::Debug for Director {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Director").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a director is made of.
struct Made {
    core: Arc<Core>,
    /// None without certificates, like its upkeep.
    desk: Option<Arc<Desk>>,
    security: Security,
    upkeep: Option<Upkeep>,
}

/// Everything but the socket. Blocks.
fn make(config: DirectorConfig, registry: Registry, log: Log) -> Result<Made, DirectorError> {
    let state = StateDir::open(&config.state_dir)?;
    let (identity, renew_before) = (config.load_identity()?, config.renew_before);
    let wake = Arc::new(Notify::new());
    let limits = EnvoyLimits { grace: config.reconnect_grace, envoys: config.envoys };
    let envoys = Envoys::new(Chunks::new(config.budget), limits, Arc::clone(&wake), Arc::clone(&log))
        .map_err(DirectorError::NoEntropy)?;
    let (upkeep, security) = match identity {
        None => (None, Security::InsecureLoopback),
        Some(identity) => {
            let desk = Arc::new(Desk::open(&identity, state.path())?);
            let revocations = desk.revocations().clone();
            // Who has no certificate yet may enrol, and nothing else.
            let (tls, shown) = tls::renewable_server_config(&identity, false)?;
            let (envoys, log) = (Arc::clone(&envoys), Arc::clone(&log));
            let upkeep = Upkeep { identity, renew_before, shown, desk, envoys, log };
            (Some(upkeep), Security::Mutual { config: tls, revocations })
        }
    };
    let desk = upkeep.as_ref().map(|upkeep| Arc::clone(&upkeep.desk));
    let identities: Identities = match &desk {
        Some(desk) => {
            envoys.pass_on(|lists| lists.roster = desk.roster());
            let desk = Arc::clone(desk);
            Arc::new(move || desk.identities())
        }
        None => Arc::new(|| {
            let text = "this director runs without certificates, so it knows nobody's identity key";
            Err(StepError::with_code("no-roster", text))
        }),
    };
    let core = Core::new(Parts {
        registry,
        places: config.flows,
        slots: config.slots,
        queue: config.queue,
        device: config.device,
        state,
        envoys,
        wake,
        identities,
        log,
    })?;
    Ok(Made { core, desk, security, upkeep })
}

#[cfg(test)]
mod tests;
