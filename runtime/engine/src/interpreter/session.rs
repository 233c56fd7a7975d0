//! Secure joins in a walk: a protocol's setup, which may be started again, and its rounds, which may not.

use std::collections::BTreeMap;
use std::sync::Arc;

use veilflow_spec::graph::{Block, Given, Needs, Refused, Secure, Value};
use veilflow_spec::{Missing, Name, Quorum};

use super::{Interpreter, internal};
use crate::error::RunError;
use crate::event::EventKind;
use crate::port::Port;

/// A secure join that is being walked.
pub(crate) struct Group {
    /// What the user's steps start from.
    pub(super) message: Given,
    pub(super) invited: usize,
    pub(super) needs: Needs,
    /// Whom it lost so far.
    pub(super) lost: BTreeMap<Name, Missing>,
    /// How often its setup was started before.
    pub(super) attempt: u32,
    /// Whether a setup that fails now may be started again.
    pub(super) attempts_left: bool,
    /// Asks whom the protocol left out by itself.
    pub(super) refused: Refused,
}

impl<A: Send + 'static, P> Interpreter<A, P> {
    /// Runs a secure join: its protocol's blocks with the user's steps among them, and then the aggregator's step.
    pub(super) async fn secure<C: Send + 'static>(
        &mut self,
        secure: &Secure<A, C>,
        value: Value,
    ) -> Result<Value, RunError>
    where
        P: Port<C>,
    {
        let join = &secure.join().info().name;
        let round = self.round();
        let refused = |error| RunError::SecureJoin { join: join.to_string(), round, error };
        let payloads = self.payloads(join, secure.address(value).map_err(internal)?)?;
        let invited: Vec<Name> = payloads.keys().cloned().collect();
        let needs = secure.needs(invited.len()).map_err(refused)?;
        let message = secure.message(payloads).map_err(refused)?;
        // Computed before anything is sent, as a message that cannot be encoded would fail at every site.
        message.digest().map_err(refused)?;
        self.group = Some(Group {
            message,
            invited: invited.len(),
            needs,
            lost: BTreeMap::new(),
            attempt: 0,
            attempts_left: secure.attempts() > 1,
            refused: Arc::clone(secure.refused()),
        });
        let sum = self.session(secure, invited).await;
        // However it ended, nothing of the session is left behind.
        self.group = None;
        self.port.close(secure.path(), secure.close_client());
        if let Some(seat) = &mut self.aggregator {
            secure.close_server()(&mut seat.hidden);
        }
        self.step(secure.join(), sum?).await
    }

    /// Runs a secure join's setup until it succeeds, as often as it may be started, and then the rest: once.
    async fn session<C: Send + 'static>(
        &mut self,
        secure: &Secure<A, C>,
        mut invited: Vec<Name>,
    ) -> Result<Value, RunError>
    where
        P: Port<C>,
    {
        let mut attempt = 0;
        let (place, loops) = (self.place.len(), self.loops.len());
        let inputs = loop {
            let Some(group) = &self.group else { return Err(no_group()) };
            let missing = group.lost.values().cloned().collect();
            let opening = secure.opening(&group.message, invited.clone(), attempt, missing);
            let error = match self.walk(secure.setup(), opening.map_err(internal)?, &[]).await {
                Ok(inputs) => break inputs,
                Err(error) => self.ended(error),
            };
            attempt += 1;
            // A walk that failed stays where it was.
            self.place.truncate(place);
            self.loops.truncate(loops);
            if !self.may_start_again(secure, &mut invited, attempt, &error) {
                return Err(error);
            }
            self.port.close(secure.path(), secure.close_client());
            let Some(group) = &self.group else { return Err(no_group()) };
            self.stream.emit(|| EventKind::Restarted {
                join: secure.join().info().name.to_string(),
                loops: self.loops.as_slice().into(),
                attempt,
                missing: group.lost.values().cloned().collect(),
                error: error.to_string(),
            });
        };
        self.walk(secure.rounds(), inputs, &[]).await.map_err(|error| self.ended(error))
    }

    /// Whether a setup that failed may be started again: somebody was lost, for otherwise it would fail again, and
    /// enough are left. `invited` are then those.
    fn may_start_again<C>(
        &mut self,
        secure: &Secure<A, C>,
        invited: &mut Vec<Name>,
        attempt: u32,
        error: &RunError,
    ) -> bool {
        let Some(group) = &mut self.group else { return false };
        let failed = matches!(error, RunError::BelowQuorum { .. } | RunError::SecureSession { .. });
        let before = invited.len();
        invited.retain(|name| !group.lost.contains_key(name));
        let quorum = quorum(secure).of(group.invited);
        if !failed || attempt >= secure.attempts() || invited.len() == before || invited.len() < quorum {
            return false;
        }
        match secure.needs(invited.len()) {
            Ok(needs) if needs.inputs <= invited.len() => {
                group.needs = needs;
                group.attempt = attempt;
                group.attempts_left = attempt + 1 < secure.attempts();
                true
            }
            _ => false,
        }
    }

    /// What ended a secure session: with the aggregator's error, those are named whom it had lost by then.
    fn ended(&self, error: RunError) -> RunError {
        match (error, &self.group) {
            (RunError::Aggregator { step, round, error }, Some(group)) => {
                let missing = group.lost.values().cloned().collect();
                RunError::SecureSession { step, round, error, missing }
            }
            (error, _) => error,
        }
    }
}

/// The quorum of a secure join, which all of its exchanges have.
fn quorum<A, C>(secure: &Secure<A, C>) -> Quorum {
    match secure.rounds().first() {
        Some(Block::Fan(fan)) => fan.quorum(),
        // A builder puts the fan-out there in which the inputs are made.
        _ => Quorum::ALL,
    }
}

fn no_group() -> RunError {
    RunError::Internal("a secure join without its state".to_owned())
}
