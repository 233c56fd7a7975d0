//! The aggregator's steps.

use veilflow::prelude::*;
use veilflow::secagg::{
    AdvertiseKeysServer, Aggregate, ConsistencyCheckServer, FreezeRosterServer, MaskedInputServer,
    ModelDigest, Plan, Session, ShareKeysServer, UnmaskServer,
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
        Ok(Self { model, plan, session, protocol: Protocol::None, rounds: 0, results: Vec::new() })
    }

    /// Says what is protected and how well, and starts the first round.
    pub(super) fn start(&mut self, rounds: u32, cx: &Context) -> Result<Foreach<NewRound>> {
        self.rounds = rounds;
        let (clients, threshold) = (self.plan.clients(), self.plan.threshold());
        let everybody = clients as u64 * self.plan.parameters().max_weight();
        cx.note(format_args!(
            "secure aggregation of {clients} sites, threshold {threshold}; a mean is exact to {:.1e}",
            self.plan.max_error_of_mean(clients, everybody)
        ));
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
        _cx: &Context,
    ) -> Result<Foreach<CollaboratorIndex>> {
        let invited = keys.names().chain(keys.missing().iter().map(|missing| &missing.participant));
        let invited: Vec<_> = invited.map(Name::to_string).collect();
        let mut server = AdvertiseKeysServer::new(self.session, self.plan, invited).map_err(protocol)?;
        for (name, PublicKeys(message)) in keys {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
        let (server, roster) = server.freeze().map_err(protocol)?;
        self.protocol = Protocol::Freezing(server);
        let members: Vec<Name> = roster.names().map(Name::from).collect();
        Ok(Foreach::only(members, CollaboratorIndex(roster)))
    }

    /// Round 0: everybody's part in the choice of neighbours, for each of them.
    pub(super) fn reveal_roster(
        &mut self,
        reveals: Inputs<RosterReveal>,
        _cx: &Context,
    ) -> Result<Foreach<FrozenRoster>> {
        let Protocol::Freezing(mut server) = self.protocol.take() else {
            return Err(out_of_order("reveal_roster"));
        };
        for (name, RosterReveal(message)) in reveals {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
        let (server, frozen) = server.reveal().map_err(protocol)?;
        self.protocol = Protocol::SharingKeys(server);
        let members: Vec<Name> = frozen.names().map(Name::from).collect();
        Ok(Foreach::only(members, FrozenRoster(frozen)))
    }

    /// Round 1: the sealed shares, sorted by the site that each is addressed to.
    pub(super) fn filter_ciphertexts(
        &mut self,
        ciphertexts: Inputs<Ciphertexts>,
        _cx: &Context,
    ) -> Result<Foreach<AddressedCiphertexts>> {
        let Protocol::SharingKeys(mut server) = self.protocol.take() else {
            return Err(out_of_order("filter_ciphertexts"));
        };
        for (name, Ciphertexts(message)) in ciphertexts {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
        let (server, addressed) = server.deliver().map_err(protocol)?;
        self.protocol = Protocol::Masking(server);
        Ok(Foreach::each(addressed.into_iter().map(|(name, shares)| (name, AddressedCiphertexts(shares)))))
    }

    /// Round 2: adds up the masked updates. The sites that are in the sum are told who is.
    pub(super) fn join(
        &mut self,
        updates: Inputs<MaskedUpdate>,
        _cx: &Context,
    ) -> Result<Foreach<Survivors>> {
        let Protocol::Masking(mut server) = self.protocol.take() else { return Err(out_of_order("join")) };
        let masked = updates.len();
        for (name, MaskedUpdate(message)) in updates {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
        let (server, survivors) = server.announce(ModelDigest::of_f32(&self.model)).map_err(protocol)?;
        self.protocol = Protocol::Checking { server, masked };
        let names: Vec<Name> = survivors.names().map(Name::from).collect();
        Ok(Foreach::only(names, Survivors(survivors)))
    }

    /// Round 3: the words of the sites that are in the sum, for each that gave its own.
    pub(super) fn forward_words(&mut self, words: Inputs<Word>, _cx: &Context) -> Result<Foreach<Words>> {
        let Protocol::Checking { mut server, masked } = self.protocol.take() else {
            return Err(out_of_order("forward_words"));
        };
        let confirmed: Vec<Name> = words.names().cloned().collect();
        for (name, Word(message)) in words {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
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
        let unmasked = shares.len();
        for (name, Shares(message)) in shares {
            server.receive(name.as_str(), message).map_err(protocol)?;
        }
        let aggregate = server.aggregate().map_err(protocol)?;
        for (parameter, change) in self.model.iter_mut().zip(aggregate.mean()) {
            *parameter += change;
        }
        let scores = scores(&aggregate)?;
        add_row(&scores, cx);
        cx.metric("masked", masked as f64);
        cx.metric("dropped", self.plan.clients().saturating_sub(masked) as f64);
        cx.metric("unmasked", unmasked as f64);
        self.results.push(scores);
        if cx.round() + 1 < self.rounds {
            return Ok(Loop::Again(self.new_round(cx.round() + 1)));
        }
        Ok(Loop::Done(TrainedModel::new(&self.model, std::mem::take(&mut self.results))?))
    }
}

fn scores(aggregate: &Aggregate) -> Result<Scores> {
    let &[aggregated_model, train_loss, local_model] = aggregate.scalars() else {
        return Err(StepError::msg(format!("a sum of {} scalars", aggregate.scalars().len())));
    };
    Ok(Scores { aggregated_model, train_loss, local_model })
}
