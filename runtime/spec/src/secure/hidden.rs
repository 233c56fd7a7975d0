//! What protocols keep beside the user's participants.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_bytes::ByteBuf;

use crate::error::Result;
use crate::graph::{Broadcast, wrong_type};
use crate::inputs::Missing;

/// A hidden participant: one of the two roles of a [`SecureProtocol`](crate::SecureProtocol).
pub trait HiddenRole: Any + Send {
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

    /// What of the role at the aggregator outlasts its process, between two sessions. Nothing secret: the server of a
    /// protocol has no secrets.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Puts a fresh role where the saved one was.
    ///
    /// # Errors
    /// Bytes that [`save`](Self::save) does not write.
    fn restore(&mut self, _saved: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// The hidden participants at one place: at the aggregator, or at one site. A runtime keeps it for the length of a
/// run beside the user's participant, and hands it to each step.
#[derive(Default)]
pub struct Hidden {
    /// By the path of the secure join.
    roles: BTreeMap<Arc<str>, Box<dyn HiddenRole>>,
    /// What an earlier process saved of roles that are not made yet.
    saved: BTreeMap<String, ByteBuf>,
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
            let mut role = make()?;
            if let Some(saved) = self.saved.get(&**path) {
                role.restore(saved)?;
            }
            self.saved.remove(&**path);
            self.roles.insert(Arc::clone(path), Box::new(role));
        }
        self.role_mut(path).ok_or_else(wrong_type::<R>)
    }

    fn role_mut<R: HiddenRole>(&mut self, path: &str) -> Option<&mut R> {
        let role: &mut dyn Any = &mut **self.roles.get_mut(path)?;
        role.downcast_mut()
    }

    /// What of the roles at the aggregator outlasts the process, by the paths of their joins.
    pub fn save(&self) -> BTreeMap<String, ByteBuf> {
        let made = self.roles.iter().map(|(path, role)| (path.to_string(), ByteBuf::from(role.save())));
        self.saved.clone().into_iter().chain(made).collect()
    }

    /// The roles of an earlier process: each goes on from what it saved when it is first needed.
    pub fn restored(saved: BTreeMap<String, ByteBuf>) -> Self {
        Self { saved, ..Self::default() }
    }

    /// Keeps the message that the user's first step will take.
    pub(crate) fn keep_message(&mut self, path: &Arc<str>, message: &Broadcast) {
        self.messages.insert(Arc::clone(path), Arc::clone(message));
    }

    pub(crate) fn take_message(&mut self, path: &str) -> Option<Broadcast> {
        self.messages.remove(path)
    }

    pub(crate) fn refused(&self, path: &str) -> Vec<Missing> {
        self.roles.get(path).map_or_else(Vec::new, |role| role.refused())
    }

    pub(crate) fn close<R: HiddenRole>(&mut self, path: &str) {
        self.messages.remove(path);
        if let Some(role) = self.role_mut::<R>(path) {
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
