//! The collaborator's steps.

use veilflow::engine::SecureSite;
use veilflow::prelude::*;
use veilflow::secagg::{
    ConsistencyCheckClient, FreezeRosterClient, Input, InputId, Layout, MaskInputClient, ModelDigest,
    ReceiveSharesClient, ShareKeysClient, UnmaskClient,
};
use veilflow::spec::MessageDigest;

use super::messages::{
    AddressedCiphertexts, Ciphertexts, CollaboratorIndex, FrozenRoster, MaskedUpdate, NewRound, PublicKeys,
    RosterReveal, Shares, Survivors, Word, Words,
};
use super::{SCALARS, out_of_order, protocol};
use crate::{Cnn, LocalTraining, Scores};

/// A collaborator: all that it holds stays where it is.
pub struct Site {
    training: LocalTraining,
    secrets: Secrets,
}

/// The secrets of the running session. Each step takes those that the step before left, so they are gone when
/// a session ends early and the next one starts.
enum Secrets {
    None,
    Keys(FreezeRosterClient),
    Frozen(ShareKeysClient),
    OwnShares(ReceiveSharesClient),
    EverybodysShares(MaskInputClient),
    Masked(ConsistencyCheckClient),
    Confirmed(UnmaskClient),
}

impl Secrets {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Secrets::None)
    }
}

impl Site {
    /// A site that trains on its own digits.
    pub fn new(training: LocalTraining) -> Self {
        Self { training, secrets: Secrets::None }
    }

    /// Round 0: two fresh key pairs, one to seal shares with and one to mask with. The public keys leave, signed with the
    /// site's identity key, if the session meets the site's policy.
    pub(super) fn generate_keys(&mut self, round: &NewRound, cx: &Context) -> Result<PublicKeys> {
        self.training.receive(&round.model, cx)?;
        let plan = round.parameters.plan(round.clients, Layout::new(SCALARS, Cnn::PARAMETERS));
        let plan = plan.map_err(|error| StepError::with_code(error.code(), error))?;
        let site = SecureSite::of(cx)?;
        let client = site.client(cx.participant(), plan)?;
        let (keys, message) = client.advertise_keys(round.session, &mut site.journal()).map_err(protocol)?;
        self.secrets = Secrets::Keys(keys);
        Ok(PublicKeys(message))
    }

    /// Round 0: checks that the index holds its own keys and nobody's twice. Its random part in the choice of
    /// neighbours leaves; it committed to it with its keys, so nobody could wait for the others' parts.
    pub(super) fn freeze_roster(&mut self, index: &CollaboratorIndex, _cx: &Context) -> Result<RosterReveal> {
        let Secrets::Keys(keys) = self.secrets.take() else { return Err(out_of_order("freeze_roster")) };
        let (frozen, message) = keys.freeze_roster(&index.0).map_err(protocol)?;
        self.secrets = Secrets::Frozen(frozen);
        Ok(RosterReveal(message))
    }

    /// Round 1: its two secrets (the seed of its own mask and its masking key) in shares, t of which give the
    /// secret back. Each share leaves sealed for the one site that keeps it.
    pub(super) fn generate_ciphertexts(
        &mut self,
        roster: &FrozenRoster,
        _cx: &Context,
    ) -> Result<Ciphertexts> {
        let Secrets::Frozen(keys) = self.secrets.take() else {
            return Err(out_of_order("generate_ciphertexts"));
        };
        let (own_shares, message) = keys.share_keys(&roster.0).map_err(protocol)?;
        self.secrets = Secrets::OwnShares(own_shares);
        Ok(Ciphertexts(message))
    }

    /// Round 1: opens the shares that the others sealed for this site. They stay.
    pub(super) fn decrypt_ciphertexts(
        &mut self,
        ciphertexts: AddressedCiphertexts,
        _cx: &Context,
    ) -> Result<()> {
        let Secrets::OwnShares(shares) = self.secrets.take() else {
            return Err(out_of_order("decrypt_ciphertexts"));
        };
        self.secrets = Secrets::EverybodysShares(shares.receive_shares(&ciphertexts.0).map_err(protocol)?);
        Ok(())
    }

    /// Validates the round's model. The score stays.
    pub(super) fn aggregated_model_validation(&mut self, (): (), cx: &Context) -> Result<()> {
        self.training.validate_aggregated_model(cx)
    }

    /// Trains the round's model. The trained model and the loss stay.
    pub(super) fn train(&mut self, (): (), cx: &Context) -> Result<()> {
        self.training.train(cx)
    }

    /// Round 2: validates the trained model; then the number of examples, the scores and the update leave as one
    /// masked vector.
    pub(super) fn local_model_validation(&mut self, (): (), cx: &Context) -> Result<MaskedUpdate> {
        self.training.validate_local_model(cx)?;
        let Secrets::EverybodysShares(shares) = self.secrets.take() else {
            return Err(out_of_order("local_model_validation"));
        };
        let Scores { aggregated_model, train_loss, local_model } = self.training.scores();
        let update = self.training.update()?;
        let input = Input {
            weight: self.training.examples(),
            scalars: &[aggregated_model, train_loss, local_model],
            vector: &update,
        };
        // The masks are bound to the model: they cancel only among sites that were given the same one.
        let model = ModelDigest::of_f32(self.training.received());
        let round = cx.round().to_le_bytes();
        let id =
            InputId::of_parts([&b"secagg-mnist"[..], cx.origin().path.as_bytes(), &round, model.as_bytes()]);
        // The site's journal knows what it masked before, so that it masks nothing in a second session.
        let mut journal = SecureSite::of(cx)?.journal();
        // The numbers that round: those of any flow that masks here and now what was trained from this model.
        let given = MessageDigest::of(&Tensor::vector(self.training.received().to_vec()))?;
        let mut rng = cx.rng_for(given.as_bytes());
        let (masked, message) =
            shares.mask_input(model, id, &input, &mut rng, &mut journal).map_err(protocol)?;
        self.secrets = Secrets::Masked(masked);
        Ok(MaskedUpdate(message))
    }

    /// Round 3: its word leaves on whose updates are in the sum and on the model that it was given. A site whose story
    /// differs from that of the others reveals nothing.
    pub(super) fn check_consistency(&mut self, survivors: &Survivors, cx: &Context) -> Result<Word> {
        let Secrets::Masked(masked) = self.secrets.take() else {
            return Err(out_of_order("check_consistency"));
        };
        let (confirmed, message) =
            masked.check_consistency(&survivors.0, &mut SecureSite::of(cx)?.journal()).map_err(protocol)?;
        self.secrets = Secrets::Confirmed(confirmed);
        Ok(Word(message))
    }

    /// Round 4: one share for each other site, of its seed if its update is in the sum and of its masking key if
    /// not, never both. With that the session is over for this site.
    pub(super) fn reveal_shares(&mut self, words: &Words, _cx: &Context) -> Result<Shares> {
        let Secrets::Confirmed(confirmed) = self.secrets.take() else {
            return Err(out_of_order("reveal_shares"));
        };
        Ok(Shares(confirmed.unmask(&words.0).map_err(protocol)?))
    }
}
