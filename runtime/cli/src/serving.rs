//! Parts that run until they are told to end: a director, an envoy.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::clock;
use crate::console::Log;
use crate::error::CliError;
use crate::interrupt::{self, Guard, Interruptible};

/// The threads of a part.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Threads)
}

/// A line of a part's log.
pub(crate) fn log(log: &Log, line: impl Display) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    log.line(format_args!("{} {line}", clock::utc(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))));
}

/// Ctrl-C, or what asks a program to end. The first time it drains, the second time it ends at once.
pub(crate) struct Told {
    told: watch::Receiver<bool>,
    _guard: Guard,
}

impl Told {
    pub(crate) fn listen(log: &Log) -> Self {
        let (tell, told) = watch::channel(false);
        Self { told, _guard: interrupt::while_running(Arc::new(Draining { log: log.clone(), tell })) }
    }

    /// Returns when the part is to end.
    pub(crate) async fn until_signalled(&mut self) {
        // Fails when nobody can tell any more, which is when this is gone too.
        let _ = self.told.wait_for(|told| *told).await;
    }
}

struct Draining {
    log: Log,
    tell: watch::Sender<bool>,
}

impl Interruptible for Draining {
    fn cancel(&self) {
        log(&self.log, "told to end: what runs is finished first; told again, it ends at once");
        self.tell.send_replace(true);
    }

    fn abandon(&self) {}
}
