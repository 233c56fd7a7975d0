//! SecAgg's hidden participant at the aggregator.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use veilflow_secagg::{
    AdvertiseKeysServer, ConsistencyCheckServer, Error, FreezeRosterServer, MaskedInputServer, ModelDigest,
    NumShares, Parameters, Plan, PrivacyAccountant, PrivacyCost, Session, ShareKeysServer, UnmaskServer,
};
use veilflow_spec::{
    Cause, Context, Each, Foreach, HiddenRole, Inputs, Means, MessageDigest, Missing, Name, Opening, Result,
    SecureSum, Sum, from_cbor, to_cbor,
};

use super::messages::{
    AddressedShares, FrozenRoster, MaskedInput, NewSession, PublicKeys, RevealedShares, Roster, RosterReveal,
    SealedShares, Survivors, Word, Words,
};
use super::place::SecureAggregator;
use super::{out_of_order, plan, protocol};

/// SecAgg's hidden participant at the aggregator. It never holds anything of one site but what the messages say.
pub struct SecAggServer {
    parameters: Parameters,
    place: SecureAggregator,
    /// The last session; the next one has the same id and a higher round.
    session: Session,
    opened: bool,
    stage: Stage,
    message: Option<MessageDigest>,
    /// What the running session costs each site in privacy, if anything.
    cost: Option<PrivacyCost>,
    /// What all sessions that came to masked inputs cost.
    spent: PrivacyAccountant,
    /// Those whom the session lost before its sum was made.
    lost: Vec<Missing>,
    /// Those who sent what the protocol refuses, in any round.
    refused: Vec<Missing>,
}

/// What outlasts the aggregator's process, between two sessions.
#[derive(Serialize, Deserialize)]
struct Saved {
    session: Session,
    opened: bool,
    spent: PrivacyAccountant,
}

/// How far the running session has come.
enum Stage {
    None,
    Advertising(AdvertiseKeysServer),
    Freezing(FreezeRosterServer),
    Sharing(ShareKeysServer),
    Masking(MaskedInputServer),
    Checking(ConsistencyCheckServer),
    Unmasking(UnmaskServer),
}

impl SecAggServer {
    pub(super) fn new(parameters: Parameters, place: SecureAggregator, cx: &Context) -> Result<Self> {
        let session = place.session(cx)?;
        let (stage, lost, refused) = (Stage::None, Vec::new(), Vec::new());
        let (cost, spent) = (None, PrivacyAccountant::new());
        Ok(Self {
            parameters,
            place,
            session,
            opened: false,
            stage,
            message: None,
            cost,
            spent,
            lost,
            refused,
        })
    }

    fn take(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::None)
    }

    /// Hands on what arrived, all of a round together. Those who did not come back and those whom `receive` refuses are
    /// dropouts both. Returns how many are none.
    fn lose<T, M>(
        &mut self,
        step: &str,
        inputs: Inputs<T>,
        message: impl Fn(T) -> M,
        receive: impl FnOnce(Vec<(String, M)>) -> Vec<(String, Error)>,
    ) -> usize {
        self.lost.extend_from_slice(inputs.missing());
        let arrived = inputs.len();
        let messages = inputs.into_iter().map(|(name, input)| (name.to_string(), message(input)));
        let mut refused = receive(messages.collect());
        refused.sort_by(|(one, _), (other, _)| one.cmp(other));
        let used = arrived.saturating_sub(refused.len());
        for (name, error) in refused {
            let at_fault = error.culprits().contains(&name.as_str());
            let (step, code) = (step.to_owned(), error.code().to_owned());
            let cause = Cause::Refused { step, code, at_fault };
            let missing = Missing { participant: name.into(), cause };
            self.refused.push(missing.clone());
            self.lost.push(missing);
        }
        used
    }

    /// Names the session: the id of this run and join, and a round that only goes up; or the next attempt at it, without
    /// those whom it lost.
    pub(super) fn open_session<T: SecureSum>(
        &mut self,
        opening: Opening,
        cx: &Context,
    ) -> Result<Foreach<NewSession>> {
        self.close();
        let clients = opening.invited().len();
        let plan = plan::<T>(&self.parameters, clients)?;
        if !self.opened {
            self.opened = true;
            self.introduce(&plan, cx);
        } else if opening.attempt() == 0 {
            self.session = self.session.with_round(self.session.round().saturating_add(1));
        }
        self.session = self.session.with_attempt(opening.attempt());
        self.lost = opening.missing().to_vec();
        let server = self.place.server(self.session, plan, opening.invited())?;
        self.message = Some(opening.message());
        self.cost = plan.privacy_cost(1);
        self.stage = Stage::Advertising(server);
        Ok(Foreach::only(opening.invited(), NewSession { session: self.session, clients }))
    }

    /// Says once what is protected, against whom and how well.
    fn introduce(&self, plan: &Plan, cx: &Context) {
        let (clients, security) = (plan.clients(), plan.security());
        let error = plan.max_error_of_mean(clients, clients as u64 * self.parameters.max_weight());
        let threshold = plan.threshold();
        cx.note(format_args!(
            "secure aggregation of {clients} sites against a {security} server, threshold {threshold}; \
             a mean is exact to {error:.1e}"
        ));
        if let Some(cost) = plan.privacy_cost(1) {
            let noise = plan.noise_std_of_mean(clients);
            cx.note(format_args!(
                "differential privacy of each site: {cost} in each round; all sites count the same, and each number of \
                 their mean has noise of {noise:.1e}"
            ));
        }
        let neighbours = plan.neighbours();
        if neighbours + 1 < clients {
            cx.note(format_args!("each site shares its secrets with {neighbours} others in a random graph"));
        } else if self.parameters.num_shares() == NumShares::Auto {
            cx.note(format_args!(
                "{clients} sites are too few for a sparse graph against so many adversaries: all share with all"
            ));
        }
        if plan.min_cohort() == 2 {
            cx.note(
                "min-cohort 2: where only two sites are in a sum, each can compute the other's part of it",
            );
        }
    }

    /// Round 0: the public keys of all, for each of them.
    pub(super) fn collect_keys(
        &mut self,
        keys: Inputs<PublicKeys>,
        _cx: &Context,
    ) -> Result<Foreach<Roster>> {
        let Stage::Advertising(mut server) = self.take() else { return Err(out_of_order("collect_keys")) };
        self.lose("generate_keys", keys, |PublicKeys(keys)| keys, |keys| server.receive_all(keys));
        let (server, roster) = server.freeze().map_err(protocol)?;
        self.stage = Stage::Freezing(server);
        let members: Vec<Name> = roster.names().map(Name::from).collect();
        Ok(Foreach::only(members, Roster(roster)))
    }

    /// Round 0: what the members contributed to the neighbour graph, for each of them.
    pub(super) fn reveal_roster(
        &mut self,
        reveals: Inputs<RosterReveal>,
        _cx: &Context,
    ) -> Result<Foreach<FrozenRoster>> {
        let Stage::Freezing(mut server) = self.take() else { return Err(out_of_order("reveal_roster")) };
        self.lose(
            "freeze_roster",
            reveals,
            |RosterReveal(reveal)| reveal,
            |reveals| server.receive_all(reveals),
        );
        let (server, frozen) = server.reveal().map_err(protocol)?;
        self.stage = Stage::Sharing(server);
        let members: Vec<Name> = frozen.names().map(Name::from).collect();
        Ok(Foreach::only(members, FrozenRoster(frozen)))
    }

    /// Round 1: the sealed shares, sorted by the site that each is addressed to.
    pub(super) fn deliver_shares(
        &mut self,
        shares: Inputs<SealedShares>,
        _cx: &Context,
    ) -> Result<Foreach<AddressedShares, Each>> {
        let Stage::Sharing(mut server) = self.take() else { return Err(out_of_order("deliver_shares")) };
        self.lose("share_keys", shares, |SealedShares(shares)| shares, |shares| server.receive_all(shares));
        let (server, addressed) = server.deliver().map_err(protocol)?;
        self.stage = Stage::Masking(server);
        Ok(Foreach::each(addressed.into_iter().map(|(name, shares)| (name, AddressedShares(shares)))))
    }

    /// Round 2: adds up the masked inputs. Those who are in the sum are told who is.
    pub(super) fn add_up(
        &mut self,
        inputs: Inputs<MaskedInput>,
        _cx: &Context,
    ) -> Result<Foreach<Survivors>> {
        let (Stage::Masking(mut server), Some(message)) = (self.take(), self.message) else {
            return Err(out_of_order("add_up"));
        };
        if let Some(cost) = &self.cost {
            // Whether the session ends well or not: from here on there is a sum to be seen.
            self.spent.charge(cost);
        }
        // A masked vector has no signature: each is added as it is.
        let add = |(name, input): (String, _)| server.receive(&name, input).err().map(|error| (name, error));
        self.lose(
            "mask",
            inputs,
            |MaskedInput(input)| input,
            |inputs| inputs.into_iter().filter_map(add).collect(),
        );
        let model = ModelDigest::from_bytes(*message.as_bytes());
        let (server, survivors) = server.announce(model).map_err(protocol)?;
        self.stage = Stage::Checking(server);
        let names: Vec<Name> = survivors.names().map(Name::from).collect();
        Ok(Foreach::only(names, Survivors(survivors)))
    }

    /// Round 3: the words of those in the sum, for each of them that gave its own.
    pub(super) fn forward_words(&mut self, words: Inputs<Word>, _cx: &Context) -> Result<Foreach<Words>> {
        let Stage::Checking(mut server) = self.take() else { return Err(out_of_order("forward_words")) };
        // Who is missing from here on is in the sum all the same.
        let lost = std::mem::take(&mut self.lost);
        self.lose("check_consistency", words, |Word(word)| word, |words| server.receive_all(words));
        self.lost = lost;
        let confirmed: Vec<Name> = server.received().map(Name::from).collect();
        let (server, words) = server.forward().map_err(protocol)?;
        self.stage = Stage::Unmasking(server);
        Ok(Foreach::only(confirmed, Words(words)))
    }

    /// Round 4: takes the masks off the sum.
    pub(super) fn reconstruct<T: SecureSum>(
        &mut self,
        shares: Inputs<RevealedShares>,
        cx: &Context,
    ) -> Result<Sum<T>> {
        let Stage::Unmasking(mut server) = self.take() else { return Err(out_of_order("reconstruct")) };
        let lost = std::mem::take(&mut self.lost);
        let threads = NonZeroUsize::new(cx.cpus()).unwrap_or(NonZeroUsize::MIN);
        let unmasked = self.lose(
            "unmask",
            shares,
            |RevealedShares(shares)| shares,
            |shares| server.receive_all(shares, threads),
        );
        let aggregate = server.aggregate_with(threads).map_err(protocol)?;
        let survivors: Vec<_> = aggregate.survivors().iter().map(|name| Name::from(name.as_str())).collect();
        cx.metric("masked", survivors.len() as f64);
        cx.metric("dropped", lost.len() as f64);
        cx.metric("unmasked", unmasked as f64);
        match aggregate.privacy() {
            Some(cost) => {
                cx.metric("epsilon", cost.epsilon());
                cx.metric("epsilon_total", self.spent.total(cost.delta()).epsilon());
            }
            // With privacy nobody counts what it clips.
            None => cx.metric("clipped", aggregate.clipped() as f64),
        }
        let range = self.parameters.clipping_range();
        let mut means = Means::new(aggregate.scalars(), aggregate.mean(), range);
        let total_weight = aggregate.total_weight();
        Ok(Sum::new(T::read(total_weight, &mut means)?, total_weight, survivors, lost))
    }
}

impl HiddenRole for SecAggServer {
    fn close(&mut self) {
        self.stage = Stage::None;
        self.message = None;
        self.cost = None;
        self.lost.clear();
        self.refused.clear();
    }

    fn save(&self) -> Vec<u8> {
        let saved = Saved { session: self.session, opened: self.opened, spent: self.spent };
        // Writing to a vector fails for no value of this type.
        to_cbor(&saved).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) -> Result<()> {
        let saved: Saved = from_cbor(saved)?;
        (self.session, self.opened, self.spent) = (saved.session, saved.opened, saved.spent);
        Ok(())
    }

    fn refused(&self) -> Vec<Missing> {
        self.refused.clone()
    }
}
