//! The name of one run of the protocol.

use std::fmt;

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    defences::{Defence, stands},
    error::Error,
    random::Generator,
};

/// One run of the protocol: it is in every key derivation, every associated data and every message.
///
/// Nothing made in one session works in another. A session that failed **before** a masked input was sent may be run
/// again with fresh keys as [`next_attempt`](Self::next_attempt); after that it completes by threshold or it fails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    id: ByteArray<32>,
    round: u64,
    attempt: u32,
}

impl Session {
    /// The first attempt at `round` of what `id` names, for example an experiment.
    pub fn new(id: [u8; 32], round: u64) -> Self {
        Self { id: ByteArray::new(id), round, attempt: 0 }
    }

    /// A session with an id that nobody chose, from the operating system's generator.
    pub fn generate(round: u64) -> Result<Self, Error> {
        let mut id = [0; 32];
        Generator.try_fill_bytes(&mut id).map_err(|_| Error::NoEntropy)?;
        Ok(Self::new(id, round))
    }

    /// The same session with another attempt number.
    #[must_use]
    pub fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same session in another round. A flow that keeps one id over its rounds must count them upwards: a client
    /// refuses a session that is not newer than the last one it took part in under the same id.
    #[must_use]
    pub fn with_round(mut self, round: u64) -> Self {
        self.round = round;
        self.attempt = 0;
        self
    }

    /// The session to use when this one failed before round 2; `None` when the attempts are used up.
    pub fn next_attempt(self) -> Option<Self> {
        self.attempt.checked_add(1).map(|attempt| self.with_attempt(attempt))
    }

    /// What the session belongs to.
    pub fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// The round of the flow.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// How often this round was started before.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Refuses a message that belongs to another session.
    pub(crate) fn check(&self, from: &str, got: &Session) -> Result<(), Error> {
        if self == got || !stands(Defence::SessionBinding) {
            Ok(())
        } else {
            Err(Error::SessionMismatch { from: from.to_owned(), expected: *self, got: *got })
        }
    }
}

/// `3f1c02aa…/round 4/attempt 0`
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.id.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "…/round {}/attempt {}", self.round, self.attempt)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_count_up_and_end() {
        let first = Session::new([7; 32], 3);
        let second = first.next_attempt().unwrap();
        assert!(second > first);
        assert_eq!((second.round(), second.attempt()), (3, 1));
        assert_eq!(first.with_attempt(u32::MAX).next_attempt(), None);
        assert_eq!(second.with_round(4).attempt(), 0);
    }

    #[test]
    fn generated_ids_differ() {
        assert_ne!(Session::generate(0).unwrap(), Session::generate(0).unwrap());
    }

    #[test]
    fn shows_the_start_of_its_id() {
        assert_eq!(Session::new([0xab; 32], 1).to_string(), "abababab…/round 1/attempt 0");
    }
}
