//! One connection to the director, made again when it is lost.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::error::Error;
use crate::wire::{Connection, Dialing, Limits, WireError, dial};

/// The first wait before a connection is made again, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How often in a row a director that never answered may end a connection: in TLS 1.3 it refuses a certificate only when the
/// handshake is over for the client.
const STRANGER: u32 = 3;

pub(super) struct Link {
    director: String,
    dialing: Dialing,
    limits: Limits,
    connection: Mutex<Option<Connection>>,
    /// Whether the director ever answered.
    answered: AtomicBool,
    pub(super) patience: Duration,
}

/// What has failed in a row, and since when.
pub(super) struct Retry<'a> {
    link: &'a Link,
    wait: Duration,
    since: Option<Instant>,
    tries: u32,
}

impl Link {
    /// Connects, once: who cannot connect at first has most likely been told a wrong address.
    pub(super) async fn connect(director: &str, dialing: Dialing) -> Result<Self, Error> {
        let limits = Limits::default();
        let connection = dial(director, &dialing, &limits).await?;
        Ok(Self {
            director: director.to_owned(),
            dialing,
            limits,
            connection: Mutex::new(Some(connection)),
            answered: AtomicBool::new(false),
            patience: Duration::from_secs(60),
        })
    }

    pub(super) fn director(&self) -> &str {
        &self.director
    }

    pub(super) fn retry(&self) -> Retry<'_> {
        Retry { link: self, wait: FIRST, since: None, tries: 0 }
    }

    /// The connection, or a new one.
    pub(super) async fn connection(&self, retry: &mut Retry<'_>) -> Result<Connection, Error> {
        loop {
            // Held while it is made: calls that wait for it get the same one.
            let mut connection = self.connection.lock().await;
            if let Some(connection) = &*connection {
                return Ok(connection.clone());
            }
            match dial(&self.director, &self.dialing, &self.limits).await {
                Ok(made) => {
                    *connection = Some(made.clone());
                    return Ok(made);
                }
                Err(error) => {
                    drop(connection);
                    retry.failed(error).await?;
                }
            }
        }
    }

    /// Makes a call, again over a new connection where that may help. What is called has to bear being done twice.
    pub(super) async fn call<T, F>(&self, call: impl Fn(Connection) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, WireError>>,
    {
        let mut retry = self.retry();
        loop {
            let connection = self.connection(&mut retry).await?;
            match call(connection).await {
                Ok(answer) => {
                    retry.worked();
                    return Ok(answer);
                }
                Err(error) => retry.failed(error).await?,
            }
        }
    }
}

impl Retry<'_> {
    /// Something was answered: patience starts anew.
    pub(super) fn worked(&mut self) {
        self.wait = FIRST;
        self.since = None;
        self.link.answered.store(true, Ordering::Relaxed);
    }

    /// Waits until it may be tried again, over another connection.
    ///
    /// # Errors
    /// The error itself where trying again does not help, [`Error::NotLetIn`] where the director never answered, and [`Error::Away`] where it has not helped for too long.
    pub(super) async fn failed(&mut self, error: WireError) -> Result<(), Error> {
        if !error.is_transient() {
            return Err(error.into());
        }
        *self.link.connection.lock().await = None;
        self.tries += 1;
        if !self.link.answered.load(Ordering::Relaxed) && self.tries >= STRANGER {
            let director = self.link.director.clone();
            return Err(Error::NotLetIn { director, source: Box::new(error) });
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let waited = since.elapsed();
        if waited + self.wait > self.link.patience {
            return Err(Error::Away {
                director: self.link.director.clone(),
                waited,
                source: Box::new(error),
            });
        }
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST);
        Ok(())
    }
}
