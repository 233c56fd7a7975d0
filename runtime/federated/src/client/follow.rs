//! Following an experiment, over as many connections as it takes.

use super::FederatedRuntime;
use super::error::Error;
use crate::experiment::{ExperimentId, Outcome};
use crate::wire::messages::{Follow, Told};
use crate::wire::{Connection, WireError};

impl FederatedRuntime {
    /// Tells of an experiment: its state, its events from the number `from` on, and how it ended. With `follow` this
    /// returns when it is over, and otherwise when all there is was told; `None` where it is not over.
    ///
    /// A connection that is lost is made again and goes on behind what was told. A director that was restarted goes on
    /// from its last checkpoint and tells anew what came after: an event's number says what it replaces.
    ///
    /// # Errors
    /// A refusal, such as of an id that nobody has; a director that stays away.
    pub async fn follow(
        &self,
        id: ExperimentId,
        from: u64,
        follow: bool,
        told: &mut (dyn FnMut(&Told) + Send),
    ) -> Result<Option<Outcome>, Error> {
        let mut next = from;
        let mut retry = self.link.retry();
        loop {
            let connection = self.link.connection(&mut retry).await?;
            let from = next;
            let mut told = |news: &Told| {
                retry.worked();
                if let Told::Event(event) = news {
                    next = event.sequence + 1;
                    self.observers.iter().for_each(|observer| observer.event(event));
                }
                told(news);
            };
            match listen(&connection, Follow { id, from, follow }, &mut told).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => retry.failed(error).await?,
            }
        }
    }
}

/// Listens on one connection until it is over.
async fn listen(
    connection: &Connection,
    follow: Follow,
    told: &mut (dyn FnMut(&Told) + Send),
) -> Result<Option<Outcome>, WireError> {
    let to_the_end = follow.follow;
    let mut incoming = connection.follow(follow).await?;
    let mut outcome = None;
    while let Some(news) = incoming.next().await? {
        told(&news);
        if let Told::Over(over) = news {
            outcome = Some(over);
        }
    }
    if outcome.is_none() && to_the_end {
        return Err(WireError::Lost(
            "the director ended the stream before the experiment was over".to_owned(),
        ));
    }
    Ok(outcome)
}
