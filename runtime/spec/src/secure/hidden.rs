//! What protocols keep beside the user's participants.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Broadcast, wrong_type};
use crate::inputs::Missing;

/// A hidden participant: one of the two roles of a [`SecureProtocol`](crate::SecureProtocol).
pub trait HiddenRole: Send + 'static {
    /// A session is over, however it ended: drops all of its secrets, and keeps only what later sessions must know.
    ///
    /// A runtime calls it after every secure join, whether it completed, failed, was cancelled or timed out; for a
    /// site that was late, as soon as its task returns.
    fn close(&mut self);

    /// Whom the role at the aggregator left out of the running session because of what they sent, with
    /// [`Cause::Refused`](crate::Cause::Refused). The runtime knows of all the others.
    fn refused(&self) -> Vec<Missing> {
        Vec::new()
    }
}

/// The hidden participants at one place: at the aggregator, or at one site. A runtime keeps it for the length of a
/// run beside the user's participant, and hands it to each step.
#[derive(Default)]
pub struct Hidden {
    /// By the path of the secure join.
    roles: BTreeMap<Arc<str>, Box<dyn Any + Send>>,
    messages: BTreeMap<Arc<str>, Broadcast>,
}

impl Hidden {
    /// The role of the join at `path`, which `make` makes when it is first needed.
    pub(crate) fn role<R: HiddenRole>(
        &mut self,
        path: &Arc<str>,
        make: impl FnOnce() -> Result<R>,
    ) -> Result<&mut R> {
        if !self.roles.contains_key(path) {
            self.roles.insert(Arc::clone(path), Box::new(make()?));
        }
        self.roles.get_mut(path).and_then(|role| role.downcast_mut()).ok_or_else(wrong_type::<R>)
    }

    /// Keeps the message that the user's first step will take.
    pub(crate) fn keep_message(&mut self, path: &Arc<str>, message: &Broadcast) {
        self.messages.insert(Arc::clone(path), Arc::clone(message));
    }

    pub(crate) fn take_message(&mut self, path: &str) -> Option<Broadcast> {
        self.messages.remove(path)
    }

    pub(crate) fn refused<R: HiddenRole>(&self, path: &str) -> Vec<Missing> {
        self.roles.get(path).and_then(|role| role.downcast_ref::<R>()).map_or_else(Vec::new, R::refused)
    }

    pub(crate) fn close<R: HiddenRole>(&mut self, path: &str) {
        self.messages.remove(path);
        if let Some(role) = self.roles.get_mut(path).and_then(|role| role.downcast_mut::<R>()) {
            role.close();
        }
    }
}

/// Names no content: it is secret.
impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hidden").field(&self.roles.keys()).finish()
    }
}
