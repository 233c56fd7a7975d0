//! Waiting for what happens elsewhere, with an end to it.

use std::sync::{Condvar, MutexGuard};
use std::time::{Duration, Instant};

/// How long a test waits for what has to come. Nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` gives something, or fails the test.
pub(crate) fn wait<S, T>(
    changed: &Condvar,
    mut state: MutexGuard<'_, S>,
    patience: Duration,
    what: &str,
    mut done: impl FnMut(&mut S) -> Option<T>,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(value) = done(&mut state) {
            return value;
        }
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "waited {patience:?} for {what}");
        state = changed.wait_timeout(state, left).unwrap().0;
    }
}
