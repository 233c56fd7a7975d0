//! The aggregator's steps.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use veilflow::engine::SecureAggregator;
use veilflow::prelude::*;
use veilflow::secagg::{
    Aggregate, ConsistencyCheckServer, Error, FreezeRosterServer, MaskedInputServer, ModelDigest, Plan,
    PrivacyAccountant, Session, ShareKeysServer, UnmaskServer,
};

use super::messages::{
    AddressedCiphertexts, Ciphertexts, CollaboratorIndex, FrozenRoster, MaskedUpdate, NewRound, PublicKeys,
    RosterReveal, Shares, Survivors, Word, Words,
};
use super::{out_of_order, protocol};
use crate::report::add_row;
use crate::{Scores, TrainedModel};

/// The aggregator's state. It never holds anything of one site but what the messages say.
pub struct Server {
    model: Vec<f32>,
    plan: Plan,
    session: Session,
    protocol: Protocol,
    /// What the sessions cost each site in privacy.
    spent: PrivacyAccountant,
    rounds: u32,
    results: Vec<Scores>,
}

/// How far the running session has come.
enum Protocol {
    None,
    Freezing(FreezeRosterServer),
    SharingKeys(ShareKeysServer),
    Masking(MaskedInputServer),
    Checking { server: ConsistencyCheckServer, masked: usize },
    Unmasking { server: UnmaskServer, masked: usize },
}

/// What outlasts the process that hosts the aggregator.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    model: Tensor,
    session: Session,
    spent: PrivacyAccountant,
    rounds: u32,
    results: Vec<Scores>,
}

impl Checkpoint for Server {
    type Saved = Saved;

    /// Between two sessions. Of a running one nothing is saved: a later process runs its steps again over what the sites
    /// answered, which is the same session.
    fn save(&self) -> Option<Saved> {
        matches!(self.protocol, Protocol::None).then(|| Saved {
            model: Tensor::vector(self.model.clone()),
            session: self.session,
            spent: self.spent,
            rounds: self.rounds,
            results: self.results.clone(),
        })
    }

    fn restore(&mut self, saved: Saved) -> Result<()> {
        let Saved { model, session, spent, rounds, results } = saved;
        (self.model, self.session, self.spent) = (model.into_values(), session, spent);
        (self.rounds, self.results) = (rounds, results);
        Ok(())
    }
}

impl Protocol {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Protocol::None)
    }
}

impl Server {
    /// An aggregator that starts from `model` and asks `plan.clients()` sites to take part.
    ///
    /// # Errors
    /// If the operating system gives no randomness for the session's name.
    pub fn new(model: Vec<f32>, plan: Plan) -> Result<Self> {
        let session = Session::generate(0).map_err(protocol)?;
        let (spent, results) = (PrivacyAccountant::new(), Vec::new());
        Ok(Self { model, plan, session, protocol: Protocol::None, spent, rounds: 0, results })
    }

    /// Says what is protected and how well, and starts the first round.
    pub(super) fn start(&mut self, rounds: u32, cx: &Context) -> Result<Foreach<NewRound>> {
        self.rounds = rounds;
        let (clients, threshold) = (self.plan.clients(), self.plan.threshold());
        let everybody = clients as u64 * self.plan.parameters().max_weight();
        cx.note(format_args!(
            "secure aggregation of {clients} sites against a {} server, threshold {threshold}; a mean is exact to {:.1e}",
            self.plan.security(),
            self.plan.max_error_of_mean(clients, everybody)
        ));
        if let (Some(one), Some(all)) = (self.plan.privacy_cost(1), self.plan.privacy_cost(rounds.into())) {
            cx.note(format_args!(
                "differential privacy of each site: {one} in each of {rounds} rounds, ε = {:.4} in all; all sites count the \
                 same, and each number of their mean has noise of {:.1e}",
                all.epsilon(),
                self.plan.noise_std_of_mean(clients)
            ));
        }
        if self.plan.min_cohort() == 2 {
            cx.note("min-cohort 2: where only two sites are in a sum, each can compute the other's update from it");
        }
        Ok(self.new_round(0))
    }

    fn new_round(&mut self, round: u32) -> Foreach<NewRound> {
        self.session = self.session.with_round(u64::from(round));
        Foreach::all(NewRound {
            session: self.session,
            parameters: *self.plan.parameters(),
            clients: self.plan.clients(),
            model: Tensor::vector(self.model.clone()),
        })
    }

    /// Round 0: an index for each site that sent its public keys, and the keys of all for each of them.
    pub(super) fn generate_collaborator_index(
        &mut self,
        keys: Inputs<PublicKeys>,
        cx: &Context,
    ) -> Result<Foreach<CollaboratorIndex>> {
        let invited = keys.names().chain(keys.missing().iter().map(|missing| &missing.participant));
        let mut server = SecureAggregator::of(cx)?.server(self.session, self.plan, invited)?;
        receive(keys, cx, |PublicKeys(keys)| keys, |keys| server.receive_all(keys));
        let (server, roster) = server.freeze().map_err(protocol)?;
        self.protocol = Protocol::Freezing(server);
        let members: Vec<Name> = roster.names().map(Name::from).collect();
        Ok(Foreach::only(members, CollaboratorIndex(roster)))
    }

    /// Round 0: everybody's part in the choice of neighbours, for each of them.
    pub(super) fn reveal_roster(
        &mut self,
        reveals: Inputs<RosterReveal>,
        cx: &Context,
    ) -> Result<Foreach<FrozenRoster>> {
        let Protocol::Freezing(mut server) = self.protocol.take() else {
            return Err(out_of_order("reveal_roster"));
        };
        receive(reveals, cx, |RosterReveal(reveal)| reveal, |reveals| server.receive_all(reveals));
        let (server, frozen) = server.reveal().map_err(protocol)?;
        self.protocol = Protocol::SharingKeys(server);
        let members: Vec<Name> = frozen.names().map(Name::from).collect();
        Ok(Foreach::only(members, FrozenRoster(frozen)))
    }

    /// Round 1: the sealed shares, sorted by the site that each is addressed to.
    pub(super) fn filter_ciphertexts(
        &mut self,
        ciphertexts: Inputs<Ciphertexts>,
        cx: &Context,
    ) -> Result<Foreach<AddressedCiphertexts, Each>> {
        let Protocol::SharingKeys(mut server) = self.protocol.take() else {
            return Err(out_of_order("filter_ciphertexts"));
        };
        receive(ciphertexts, cx, |Ciphertexts(sealed)| sealed, |sealed| server.receive_all(sealed));
        let (server, addressed) = server.deliver().map_err(protocol)?;
        self.protocol = Protocol::Masking(server);
        Ok(Foreach::each(addressed.into_iter().map(|(name, shares)| (name, AddressedCiphertexts(shares)))))
    }

    /// Round 2: adds up the masked updates. The sites that are in the sum are told who is.
    pub(super) fn join(&mut self, updates: Inputs<MaskedUpdate>, cx: &Context) -> Result<Foreach<Survivors>> {
        let Protocol::Masking(mut server) = self.protocol.take() else { return Err(out_of_order("join")) };
        if let Some(cost) = self.plan.privacy_cost(1) {
            // Whether the session ends well or not: from here on there is a sum to be seen.
            self.spent.charge(&cost);
        }
        // A masked vector has no signature: each is added as it is.
        let add =
            |(name, update): (String, _)| server.receive(&name, update).err().map(|error| (name, error));
        let masked = receive(
            updates,
            cx,
            |MaskedUpdate(update)| update,
            |updates| updates.into_iter().filter_map(add).collect(),
        );
        let (server, survivors) = server.announce(ModelDigest::of_f32(&self.model)).map_err(protocol)?;
        self.protocol = Protocol::Checking { server, masked };
        let names: Vec<Name> = survivors.names().map(Name::from).collect();
        Ok(Foreach::only(names, Survivors(survivors)))
    }

    /// Round 3: the words of the sites that are in the sum, for each that gave its own.
    pub(super) fn forward_words(&mut self, words: Inputs<Word>, cx: &Context) -> Result<Foreach<Words>> {
        let Protocol::Checking { mut server, masked } = self.protocol.take() else {
            return Err(out_of_order("forward_words"));
        };
        receive(words, cx, |Word(word)| word, |words| server.receive_all(words));
        let confirmed: Vec<Name> = server.received().map(Name::from).collect();
        let (server, words) = server.forward().map_err(protocol)?;
        self.protocol = Protocol::Unmasking { server, masked };
        Ok(Foreach::only(confirmed, Words(words)))
    }

    /// Round 4: takes the masks off the sum. Its mean is added to the model.
    pub(super) fn reconstruct(
        &mut self,
        shares: Inputs<Shares>,
        cx: &Context,
    ) -> Result<Loop<Foreach<NewRound>, TrainedModel>> {
        let Protocol::Unmasking { mut server, masked } = self.protocol.take() else {
            return Err(out_of_order("reconstruct"));
        };
        let threads = NonZeroUsize::new(cx.cpus()).unwrap_or(NonZeroUsize::MIN);
        let unmasked =
            receive(shares, cx, |Shares(shares)| shares, |shares| server.receive_all(shares, threads));
        let aggregate = server.aggregate_with(threads).map_err(protocol)?;
        for (parameter, change) in self.model.iter_mut().zip(aggregate.mean()) {
            *parameter += change;
        }
        let scores = scores(&aggregate)?;
        add_row(&scores, cx);
        cx.metric("masked", masked as f64);
        cx.metric("dropped", self.plan.clients().saturating_sub(masked) as f64);
        cx.metric("unmasked", unmasked as f64);
        match aggregate.privacy() {
            Some(cost) => {
                cx.metric("epsilon", cost.epsilon());
                cx.metric("epsilon_total", self.spent.total(cost.delta()).epsilon());
            }
            // With privacy nobody counts what it clips.
            None => cx.metric("clipped", aggregate.clipped() as f64),
        }
        self.results.push(scores);
        if cx.round() + 1 < self.rounds {
            return Ok(Loop::Again(self.new_round(cx.round() + 1)));
        }
        Ok(Loop::Done(TrainedModel::new(&self.model, std::mem::take(&mut self.results))?))
    }
}

/// Hands on what arrived, all of a round together, so that its signatures are checked together, and says how much of it
/// is used. A site whose message `receive_all` refuses is left out, like one that did not answer.
fn receive<T, M>(
    inputs: Inputs<T>,
    cx: &Context,
    message: impl Fn(T) -> M,
    receive_all: impl FnOnce(Vec<(String, M)>) -> Vec<(String, Error)>,
) -> usize {
    let arrived = inputs.len();
    let messages = inputs.into_iter().map(|(name, input)| (name.to_string(), message(input)));
    let refused = receive_all(messages.collect());
    for (_, error) in &refused {
        cx.note(format_args!("left out: {error}"));
    }
    arrived.saturating_sub(refused.len())
}

fn scores(aggregate: &Aggregate) -> Result<Scores> {
    let &[aggregated_model, train_loss, local_model] = aggregate.scalars() else {
        return Err(StepError::msg(format!("a sum of {} scalars", aggregate.scalars().len())));
    };
    Ok(Scores { aggregated_model, train_loss, local_model })
}
