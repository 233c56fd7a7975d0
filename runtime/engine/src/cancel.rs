//! Cancelling a run from outside.

use std::sync::Arc;

use tokio::sync::watch;
use veilflow_spec::Cancellation;

/// Cancels a run: between steps at once, inside a step as soon as it looks at its
/// [`Context`](veilflow_spec::Context). Clones cancel the same run.
#[derive(Clone, Debug)]
pub struct Canceller {
    flag: Cancellation,
    wake: Arc<watch::Sender<bool>>,
}

impl Canceller {
    /// A handle for a run that is yet to start.
    #[expect(
        clippy::new_without_default,
        reason = "`default()` would not say that it is a handle of its own"
    )]
    pub fn new() -> Self {
        Self { flag: Cancellation::new(), wake: Arc::new(watch::Sender::new(false)) }
    }

    /// Cancels the run. It ends with [`RunError::Cancelled`](crate::RunError::Cancelled).
    pub fn cancel(&self) {
        self.flag.cancel();
        self.wake.send_replace(true);
    }

    pub(crate) fn flag(&self) -> &Cancellation {
        &self.flag
    }

    /// Returns when the run is cancelled.
    pub(crate) async fn cancelled(&self) {
        let mut watch = self.wake.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = watch.wait_for(|cancelled| *cancelled).await;
    }
}
