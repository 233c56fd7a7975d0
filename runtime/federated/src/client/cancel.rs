//! Cancelling from elsewhere.

use tokio::sync::watch;

/// Cancels a client's experiments: at the director, not only here. Clones cancel the same.
#[derive(Clone, Debug)]
pub struct Canceller(watch::Sender<bool>);

impl Default for Canceller {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Canceller {
    /// Cancels.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn cancelled(&self) {
        // Fails when the last sender is gone, and this is one.
        let _ = self.0.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}
