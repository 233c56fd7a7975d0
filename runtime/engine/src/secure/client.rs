//! SecAgg's hidden participant at a site.

use veilflow_secagg::{
    ConsistencyCheckClient, FreezeRosterClient, Input, InputId, MaskInputClient, ModelDigest, Parameters,
    ReceiveSharesClient, ShareKeysClient, UnmaskClient,
};
use veilflow_spec::{Context, HiddenRole, MessageDigest, Parts, Result, SecureSum, StepError};

use super::messages::{
    AddressedShares, FrozenRoster, MaskedInput, NewSession, PublicKeys, RevealedShares, Roster, RosterReveal,
    SealedShares, Survivors, Word, Words,
};
use super::place::SecureSite;
use super::{out_of_order, plan, protocol};

/// SecAgg's hidden participant at a site: its secrets never leave it, and outlast no session.
pub struct SecAggClient {
    parameters: Parameters,
    /// How often the setup of a session may be started.
    attempts: u32,
    /// The site's own: its identity, its policy, and what it masked before.
    site: SecureSite,
    secrets: Secrets,
    /// What the site was given in this session.
    message: Option<MessageDigest>,
}

/// How far the running session has come. Each step takes what the step before left.
enum Secrets {
    None,
    Keys(Box<FreezeRosterClient>),
    Frozen(Box<ShareKeysClient>),
    OwnShares(Box<ReceiveSharesClient>),
    EverybodysShares(Box<MaskInputClient>),
    Masked(Box<ConsistencyCheckClient>),
    Confirmed(Box<UnmaskClient>),
}

impl SecAggClient {
    pub(super) fn new(parameters: Parameters, attempts: u32, site: SecureSite) -> Self {
        Self { parameters, attempts, site, secrets: Secrets::None, message: None }
    }

    fn take(&mut self) -> Secrets {
        std::mem::replace(&mut self.secrets, Secrets::None)
    }

    /// Round 0: two fresh key pairs. The secrets of an earlier session end here, if they are still there.
    pub(super) fn generate_keys<T: SecureSum>(
        &mut self,
        new: &NewSession,
        cx: &Context,
    ) -> Result<PublicKeys> {
        self.close();
        if new.session.attempt() >= self.attempts {
            // Each attempt draws the neighbours anew, so a server must not have as many as it likes.
            let text = format!("{}: the flow allows {} attempts at a session", new.session, self.attempts);
            return Err(StepError::with_code("too-many-attempts", text));
        }
        let plan = plan::<T>(&self.parameters, new.clients)?;
        let client = self.site.client(cx.participant(), plan)?;
        let keys = client.advertise_keys(new.session, &mut self.site.journal());
        let (keys, message) = keys.map_err(protocol)?;
        self.secrets = Secrets::Keys(Box::new(keys));
        Ok(PublicKeys(message))
    }

    /// Round 0: checks the roster; what it contributes to the neighbour graph leaves.
    pub(super) fn freeze_roster(&mut self, roster: &Roster, _cx: &Context) -> Result<RosterReveal> {
        let Secrets::Keys(keys) = self.take() else { return Err(out_of_order("freeze_roster")) };
        let (frozen, message) = keys.freeze_roster(&roster.0).map_err(protocol)?;
        self.secrets = Secrets::Frozen(Box::new(frozen));
        Ok(RosterReveal(message))
    }

    /// Round 1: shares of its two secrets leave, each sealed for the one site that keeps it.
    pub(super) fn share_keys(&mut self, roster: &FrozenRoster, _cx: &Context) -> Result<SealedShares> {
        let Secrets::Frozen(keys) = self.take() else { return Err(out_of_order("share_keys")) };
        let (own_shares, message) = keys.share_keys(&roster.0).map_err(protocol)?;
        self.secrets = Secrets::OwnShares(Box::new(own_shares));
        Ok(SealedShares(message))
    }

    /// Round 1: opens the shares that the others sealed for this site. They stay.
    pub(super) fn receive_shares(&mut self, shares: AddressedShares, _cx: &Context) -> Result<()> {
        let Secrets::OwnShares(own) = self.take() else { return Err(out_of_order("receive_shares")) };
        self.secrets = Secrets::EverybodysShares(Box::new(own.receive_shares(&shares.0).map_err(protocol)?));
        Ok(())
    }

    /// What the site was given: its masks cancel only among sites that were given the same.
    pub(super) fn bind(&mut self, message: MessageDigest) {
        self.message = Some(message);
    }

    /// Round 2: the weight, the scalars and the vector leave as one masked vector.
    pub(super) fn mask<T: SecureSum>(&mut self, input: &T, cx: &Context) -> Result<MaskedInput> {
        let (Secrets::EverybodysShares(shares), Some(message)) = (self.take(), self.message.take()) else {
            return Err(out_of_order("mask"));
        };
        let parts = Parts::of(input, self.parameters.clipping_range())?;
        let input = Input { weight: input.weight(), scalars: parts.scalars(), vector: parts.vector() };
        let model = ModelDigest::from_bytes(*message.as_bytes());
        // One place of the run: whatever the server calls the session, its input is masked once.
        let turns: Vec<u8> = cx.loops().iter().flat_map(|turn| turn.to_be_bytes()).collect();
        let place =
            InputId::of_parts([&b"secure-join"[..], cx.origin().path.as_bytes(), &turns, message.as_bytes()]);
        // Numbers that any step would get which masks at this site and turn what was made of this message.
        let mut rng = cx.rng_for(message.as_bytes());
        let masked = shares.mask_input(model, place, &input, &mut rng, &mut self.site.journal());
        let (masked, message) = masked.map_err(protocol)?;
        self.secrets = Secrets::Masked(Box::new(masked));
        Ok(MaskedInput(message))
    }

    /// Round 3: its word leaves on whose inputs are in the sum, and on what it was given.
    pub(super) fn check_consistency(&mut self, survivors: &Survivors, _cx: &Context) -> Result<Word> {
        let Secrets::Masked(masked) = self.take() else { return Err(out_of_order("check_consistency")) };
        let (confirmed, message) =
            masked.check_consistency(&survivors.0, &mut self.site.journal()).map_err(protocol)?;
        self.secrets = Secrets::Confirmed(Box::new(confirmed));
        Ok(Word(message))
    }

    /// Round 4: one share for each other site, of its seed if its input is in the sum and of its masking key if not.
    pub(super) fn unmask(&mut self, words: &Words, _cx: &Context) -> Result<RevealedShares> {
        let Secrets::Confirmed(confirmed) = self.take() else { return Err(out_of_order("unmask")) };
        Ok(RevealedShares(confirmed.unmask(&words.0).map_err(protocol)?))
    }
}

impl HiddenRole for SecAggClient {
    fn close(&mut self) {
        self.secrets = Secrets::None;
        self.message = None;
    }
}
