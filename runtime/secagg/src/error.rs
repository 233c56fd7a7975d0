//! What can go wrong in a session, for whom, and what to do next.
//!
//! In a secure flow only [`Error::code`] may leave a site: the messages name sites, counts and sizes.

mod blame;

use std::io;

use thiserror::Error as ThisError;

pub use crate::stage::Stage;
use crate::{
    digest::InputId, quantize::InputError, sealing::ShareKind, security::Security, session::Session,
};

/// A session's failure. A state is consumed by the call that fails: a client that failed is a dropout of the session.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Fewer participants than the reconstruction threshold; nothing of the sum is known.
    #[error(
        "{stage}: {got} of the {required} participants that the threshold needs; missing: {}. \
         Start a new session when they are back, or plan with a lower threshold", list(.missing)
    )]
    BelowThreshold {
        /// The round that fell short.
        stage: Stage,
        /// The threshold t.
        required: usize,
        /// How many took part.
        got: usize,
        /// Who did not.
        missing: Vec<String>,
    },
    /// Enough for the threshold, too few to hide one participant in the sum.
    #[error(
        "{stage}: a cohort of {got}, and the smallest that the parameters and this participant's policy accept is \
         {minimum}; missing: {}. Wait for more participants, or lower min-cohort openly", list(.missing)
    )]
    CohortTooSmall {
        /// The round that fell short.
        stage: Stage,
        /// The smallest accepted cohort.
        minimum: usize,
        /// The cohort's size.
        got: usize,
        /// Who did not take part.
        missing: Vec<String>,
    },
    /// Enough for the threshold and the cohort, too few to add the noise that the plan promises.
    #[error(
        "{stage}: {got} participants add noise, and for the privacy that the plan promises it takes {minimum}, with \
         those whose noise may be known; missing: {}. Wait for more participants, or plan with a smaller min-cohort, \
         where each adds more noise", list(.missing)
    )]
    TooLittleNoise {
        /// The round that fell short.
        stage: Stage,
        /// How many it takes.
        minimum: usize,
        /// How many there are.
        got: usize,
        /// Who did not take part.
        missing: Vec<String>,
    },
    /// This site takes part under differential privacy only.
    #[error(
        "{client}: the plan has no differential privacy, and this site's policy asks for it (max-epsilon)"
    )]
    PrivacyMissing {
        /// The site.
        client: String,
    },
    /// This site has spent what its policy allows.
    #[error(
        "this session would bring what this site has spent to ε = {epsilon:.3} at δ = {delta:e}, and its policy allows \
         {max}; plan with more noise, or raise max-epsilon at the site"
    )]
    PrivacyBudgetSpent {
        /// The site's policy.
        max: f64,
        /// With this session.
        epsilon: f64,
        /// The plan's.
        delta: f64,
    },
    /// The plan's threshold is below what this site accepts.
    #[error("{client}: the plan's threshold is {got}, and this site's policy asks for at least {minimum}")]
    ThresholdBelowPolicy {
        /// The site.
        client: String,
        /// The smallest accepted threshold.
        minimum: usize,
        /// The plan's threshold.
        got: usize,
    },
    /// A plan that was made for a benchmark without its checks.
    #[error(
        "{client} takes no part under a plan that protects nobody: it was made with plan_unchecked, for a benchmark. \
         Make it with plan, which says what would do"
    )]
    PlanRefused {
        /// The client.
        client: String,
    },
    /// The plan is for a weaker setting than this site accepts.
    #[error(
        "{client}: the plan is for a {got} server, and this site's policy asks for {required}; \
         change the parameters, or this site's policy if it trusts the server"
    )]
    SecurityBelowPolicy {
        /// The site.
        client: String,
        /// The weakest accepted setting.
        required: Security,
        /// The plan's setting.
        got: Security,
    },
    /// A malicious setting, and no identity key to sign with or no identities to verify with.
    #[error("{name} has no identities, and against a malicious server everything is signed; give it some")]
    IdentityRequired {
        /// The participant that lacks them.
        name: String,
    },
    /// The identities that a client pins do not have its own key under its own name.
    #[error(
        "{client}: the identity key is not the one that is enrolled under this name; enrol it, or use the other"
    )]
    OwnIdentityUnknown {
        /// The site.
        client: String,
    },
    /// A participant whose identity key is not pinned here.
    #[error("{name}, from {from}, is not among the identities known here; enrol it, or leave it out")]
    IdentityUnknown {
        /// Who handed the name over: the participant itself, or the server with its roster.
        from: String,
        /// The participant.
        name: String,
    },
    /// A signature that is missing or does not hold.
    #[error("{stage}: what {from} gave is not signed by {signer}; do not go on with {from}")]
    BadSignature {
        /// The round.
        stage: Stage,
        /// Who handed it over.
        from: String,
        /// Whose signature it was to be.
        signer: String,
    },
    /// So many adversaries can be in this roster that the plan's threshold does not keep two stories apart.
    #[error(
        "of a roster of {roster}, {colluders} may work for the server by this site's count, and the threshold \
         {threshold} is below {required}; take part in a larger cohort or with a higher threshold"
    )]
    TooManyAdversaries {
        /// Members of the roster.
        roster: usize,
        /// How many of them may work for the server.
        colluders: usize,
        /// The smallest threshold that would do.
        required: usize,
        /// The plan's threshold.
        threshold: usize,
    },
    /// A random value that is not the one that was committed to.
    #[error("what {name} revealed, from {from}, is not what it committed to; do not go on with {from}")]
    WrongReveal {
        /// Who handed it over.
        from: String,
        /// Whose value it is to be.
        name: String,
    },
    /// So many members were left out after their values were known that the server could choose the graph.
    #[error(
        "left out of the frozen roster: {}; with so many the server can choose who is whose neighbour. \
         Start the next attempt without them", list(.missing)
    )]
    TooManyWithheld {
        /// Members of the roster who are not in the frozen one.
        missing: Vec<String>,
    },
    /// Too few signed the survivors that this participant knows; no share was given.
    #[error(
        "{got} of the {required} signatures that a majority of the roster takes; missing: {}. \
         Nothing was unmasked: the server told different stories, or too many left", list(.missing)
    )]
    TooFewSignatures {
        /// More than half of roster and colluders together.
        required: usize,
        /// Signatures that hold.
        got: usize,
        /// Survivors without one.
        missing: Vec<String>,
    },
    /// A name that is empty or too long.
    #[error("a participant's name has {got} bytes; names have 1 to {max}")]
    InvalidName {
        /// Longest name in bytes.
        max: usize,
        /// Its length in bytes.
        got: usize,
    },
    /// The server was started with a list that is not the plan's.
    #[error(
        "the plan is for {expected} clients and {got} different names were invited; make a plan for those invited"
    )]
    WrongInvitation {
        /// Clients in the plan.
        expected: usize,
        /// Distinct names given.
        got: usize,
    },
    /// A message from somebody who is not part of this round.
    #[error("{stage}: a message from {name}, who is not part of this round; drop it")]
    UnknownSender {
        /// The round.
        stage: Stage,
        /// The sender.
        name: String,
    },
    /// Something of somebody who is not part of this round, or no neighbour of this client.
    #[error(
        "{stage}: {from} passes on something of {name}, who is not part of this; do not go on with {from}"
    )]
    StrangerPassedOn {
        /// The round.
        stage: Stage,
        /// Who passed it on.
        from: String,
        /// Whose it is to be.
        name: String,
    },
    /// A second message from the same sender in one round; the first one stands.
    #[error("{stage}: a second message from {name}; the first one stands, drop this one")]
    DuplicateMessage {
        /// The round.
        stage: Stage,
        /// The sender.
        name: String,
    },
    /// A message of another session: a replay, or a participant that is behind.
    #[error("{from}: a message of session {got}, in session {expected}; drop it")]
    SessionMismatch {
        /// The sender.
        from: String,
        /// The session of the receiver.
        expected: Session,
        /// The session in the message.
        got: Session,
    },
    /// The other side planned with other parameters, another number of clients or another layout.
    #[error(
        "{from} works to plan {}, this side to plan {}; give both the same parameters, number of clients and layout",
        short(.got), short(.expected)
    )]
    PlanMismatch {
        /// The sender.
        from: String,
        /// This side's plan digest.
        expected: [u8; 32],
        /// The other side's plan digest.
        got: [u8; 32],
    },
    /// Bytes that are not a point of P-256.
    #[error("{from} gave a public key of {owner} that is not a point of P-256; do not go on with {from}")]
    InvalidPublicKey {
        /// Who handed it over.
        from: String,
        /// Whose key it is to be.
        owner: String,
    },
    /// A public key that appears twice in the roster.
    #[error("{first} and {second} advertise the same public key; leave both out and start a new session")]
    DuplicateKey {
        /// One owner.
        first: String,
        /// The other owner; the same name when one participant used a key twice.
        second: String,
    },
    /// A roster that is not in strictly ascending order of names.
    #[error("the roster names {name} twice or out of order; the server must send the roster that it froze")]
    RosterNotSorted {
        /// The first name out of order.
        name: String,
    },
    /// More members than planned for.
    #[error("a roster of {got}, in a plan for {max} clients; make a plan for all who are invited")]
    RosterTooLarge {
        /// Clients in the plan.
        max: usize,
        /// Members in the roster.
        got: usize,
    },
    /// The roster leaves this client out.
    #[error("{client} is not in the roster that it was sent; it takes part again in the next session")]
    NotInRoster {
        /// This client.
        client: String,
    },
    /// The roster has other keys for this client than it advertised.
    #[error("the roster has other keys for {client} than it advertised; do not go on with this server")]
    OwnKeysReplaced {
        /// This client.
        client: String,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random generator failed; no secret can be made on this machine now")]
    NoEntropy,
    /// A session that is not newer than the last one of the same id.
    #[error(
        "session {got} is not newer than {last}, in which this site already took part; start the next attempt"
    )]
    SessionNotNewer {
        /// The last session under this id.
        last: Session,
        /// The one offered.
        got: Session,
    },
    /// As many rounds as the policy allows are over.
    #[error("this site's policy allows {max} rounds, and it took part in as many; raise max-rounds, or stop")]
    TooManyRounds {
        /// The policy's number.
        max: u64,
    },
    /// As many sessions in a row as the policy allows came to nothing.
    #[error(
        "{max} sessions in a row ended before this site masked an input, and its policy allows no more; find out why they \
         fail, or raise max-unfinished at the site"
    )]
    TooManyUnfinished {
        /// The policy's number.
        max: u64,
    },
    /// Two sums that this site takes part in would differ by a few members only, and tell theirs.
    #[error(
        "this cohort and that of session {earlier} differ by {}; this site's policy asks for no difference or at least \
         {minimum}. It gave no share; go on with the same participants, or with quite others", list(.differing)
    )]
    CohortDifferenceTooSmall {
        /// The session of the other sum.
        earlier: Box<Session>,
        /// The smallest accepted difference.
        minimum: usize,
        /// Who is in one of the two only.
        differing: Vec<String>,
    },
    /// The policy asks for one cohort in all rounds, and this is another one.
    #[error(
        "this is not the cohort of session {first}, on which this site's policy insists; missing: {}; new: {}. \
         Go on with exactly those", list(.missing), list(.unexpected)
    )]
    CohortChanged {
        /// The session of the first sum.
        first: Box<Session>,
        /// Who was in it and is not now.
        missing: Vec<String>,
        /// Who is now and was not.
        unexpected: Vec<String>,
    },
    /// This input was masked before; masking it twice would let a server subtract two sums.
    #[error(
        "input {input} was already masked in session {first} and will not be masked in {now}; \
         train again, or allow it in this site's policy"
    )]
    InputAlreadyMasked {
        /// The input.
        input: InputId,
        /// Where it was masked first. Boxed, so that every `Result` of this crate stays small.
        first: Box<Session>,
        /// Where it was to be masked now.
        now: Session,
    },
    /// The journal could not be read or written, so nothing was sent.
    #[error(
        "the site's journal of masked inputs failed ({kind}); repair it before this site takes part again"
    )]
    JournalUnavailable {
        /// What the storage reported.
        kind: io::ErrorKind,
    },
    /// The input does not fit the plan.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Another number of shares than there are members whom they are for, or of whose secrets they are.
    #[error(
        "{stage}: {from} sent {got} shares where {expected} are due; its view of the roster or of the survivors is \
             another one"
    )]
    WrongShareCount {
        /// The round in which they came.
        stage: Stage,
        /// Who sent them.
        from: String,
        /// One for each member that the round is about.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A sealed share that does not open: changed on its way, or made for another session, pair or roster.
    #[error("{to} cannot open the {kind} share from {from}; this proves neither {from} nor the relay guilty")]
    ShareNotOpened {
        /// Who sealed it.
        from: String,
        /// To whom.
        to: String,
        /// Which share.
        kind: ShareKind,
    },
    /// A masked vector of the wrong length.
    #[error("{from}: a masked vector of {got} bytes; the plan's take {expected}")]
    WrongVectorLength {
        /// The sender.
        from: String,
        /// Bytes of the plan's masked vectors.
        expected: usize,
        /// Bytes received.
        got: usize,
    },
    /// A masked vector with bits set after its last entry.
    #[error("{from}: the bits after the last entry of the masked vector are not zero")]
    PaddingNotZero {
        /// The sender.
        from: String,
    },
    /// The server asks a client that it calls dropped.
    #[error("{client} is asked to unmask a sum without its own input; it answers nothing")]
    NotASurvivor {
        /// This client.
        client: String,
    },
    /// Survivors that never shared keys with this client.
    #[error("survivors who never shared keys in this session: {}; do not go on with this server", list(.names))]
    SurvivorsNotInCohort {
        /// Their names.
        names: Vec<String>,
    },
    /// A share that its sharer signed, and that does not open, or not to what the sharer committed to. Only the two
    /// of the pair can know which of them is wrong.
    #[error("{to} disputes the {kind} share from {from}; this proves neither of them guilty")]
    DisputedPair {
        /// Who dealt it.
        from: String,
        /// Who disputes it.
        to: String,
        /// Which share.
        kind: ShareKind,
    },
    /// A share in round 4 that is not the one its holder was dealt, and accepted.
    #[error(
        "{from} gave a {kind} share of {client} that is not the one it was dealt; its answer is not used"
    )]
    WrongOpening {
        /// Who gave it.
        from: String,
        /// Whose secret it is to be a share of.
        client: String,
        /// Which share.
        kind: ShareKind,
    },
    /// Shares as they were dealt, of a masking key that was not advertised.
    #[error(
        "{client} dealt shares of another masking key than it advertised; no sum was computed, leave it out"
    )]
    WrongMaskingKey {
        /// Whose key.
        client: String,
    },
    /// Shares as they were dealt, of a seed that was not committed to.
    #[error("{client} dealt shares of another seed than it committed to; no sum was computed, leave it out")]
    WrongSeed {
        /// Whose seed.
        client: String,
    },
    /// A total that no set of valid inputs can have.
    #[error(
        "entry {entry} of the unmasked sum is {got}, outside {min} to {max}: masks did not cancel. Were all clients \
         given the same model, and the server its digest?"
    )]
    ImplausibleSum {
        /// Its position.
        entry: usize,
        /// Smallest possible value.
        min: u64,
        /// Largest possible value.
        max: u64,
        /// What came out.
        got: u64,
    },
    /// A sum over nobody.
    #[error("no input was added; add at least one before decoding")]
    NothingToDecode,
    /// A quantized input that was made for another plan.
    #[error("{from}: the input was quantized for plan {}, this sum is for plan {}", short(.got), short(.expected))]
    QuantizedForOtherPlan {
        /// Whose input.
        from: String,
        /// The sum's plan digest.
        expected: [u8; 32],
        /// The input's plan digest.
        got: [u8; 32],
    },
    /// A step of the cryptography that cannot fail on checked input did.
    #[error("{operation} failed on checked input; please report this as a defect")]
    Internal {
        /// Which step.
        operation: &'static str,
    },
}

/// The server, where a message has no sender's name.
pub(crate) const SERVER: &str = "the server";

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

fn short(digest: &[u8; 32]) -> String {
    let mut text: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    text.push('…');
    text
}
