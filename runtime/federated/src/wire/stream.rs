//! The two directions of a long-lived call.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tonic::Streaming;

use super::error::WireError;

/// What the other end sends.
pub struct Incoming<T>(Option<Streaming<T>>);

impl<T> Incoming<T> {
    pub(crate) fn new(messages: Streaming<T>) -> Self {
        Self(Some(messages))
    }

    /// The next message; none once the other end has said its last. At a director none may also mean that the peer is
    /// gone: HTTP/2 does not tell a call that was dropped from one that ended.
    ///
    /// # Errors
    /// [`WireError::Lost`] where the connection ended, [`WireError::Refused`] where the other end ended the call with a
    /// refusal or sent something that is no message. After an error there is nothing more.
    pub async fn next(&mut self) -> Result<Option<T>, WireError> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

impl<T> Stream for Incoming<T> {
    type Item = Result<T, WireError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(messages) = &mut self.0 else { return Poll::Ready(None) };
        let next = ready!(messages.poll_next_unpin(cx));
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(next.map(|message| message.map_err(WireError::from)))
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Incoming")
    }
}

/// What goes to the other end, which reads as fast as it can: a bounded queue. Clones share it; the call's direction
/// ends when the last is dropped.
pub struct Outgoing<T>(mpsc::Sender<T>);

/// The other end is gone, or ended the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end is gone")]
pub struct Gone;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// The other end is gone.
    #[error("the other end is gone")]
    Gone,
    /// The other end does not keep up.
    #[error("the other end does not keep up")]
    Full,
}

impl<T> Clone for Outgoing<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Outgoing<T> {
    /// A queue of so many messages and its other end.
    pub(crate) fn channel(queue: usize) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        (Self(sender), receiver)
    }

    /// Queues a message, when there is room.
    ///
    /// # Errors
    /// [`Gone`]. A message that was queued may still be lost with the connection.
    pub async fn send(&self, message: T) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|_| Gone)
    }

    /// Queues a message where there is room at once.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn try_send(&self, message: T) -> Result<(), NotQueued> {
        self.0.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotQueued::Full,
            mpsc::error::TrySendError::Closed(_) => NotQueued::Gone,
        })
    }

    /// Returns when the other end is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

impl<T> fmt::Debug for Outgoing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outgoing")
    }
}
