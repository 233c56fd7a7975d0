//! Ctrl-C: the first one cancels, the second one ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::CANCELLED;

/// What a Ctrl-C stops. There is one per process, as there is one terminal.
static RUNNING: Mutex<Option<Arc<dyn Interruptible>>> = Mutex::new(None);
static PRESSED: AtomicBool = AtomicBool::new(false);

/// Something that takes long enough to be interrupted.
pub(crate) trait Interruptible: Send + Sync {
    /// Stops soon, and says so.
    fn cancel(&self);
    /// Leaves the terminal as it was: the program is about to end.
    fn abandon(&self);
}

/// Takes Ctrl-C, and what asks a program to end (SIGTERM, SIGHUP), for the whole process.
pub(crate) fn install() {
    // Fails where a handler is there already: then that one's owner decides.
    let _ = ctrlc::set_handler(|| {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let again = PRESSED.swap(true, Ordering::SeqCst);
        match running {
            Some(running) if !again => running.cancel(),
            Some(running) => {
                running.abandon();
                std::process::exit(i32::from(CANCELLED));
            }
            None => std::process::exit(i32::from(CANCELLED)),
        }
    });
}

/// Makes Ctrl-C stop `what` until the guard is dropped.
pub(crate) fn while_running(what: Arc<dyn Interruptible>) -> Guard {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    Guard
}

pub(crate) struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
