//! What may be said of a failure outside the site, and who provably caused it.

use super::Error;

impl Error {
    /// A short name of the failure that tells nothing about data: the one thing that may leave a site.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BelowThreshold { .. } => "below-threshold",
            Self::CohortTooSmall { .. } => "cohort-too-small",
            Self::ThresholdBelowPolicy { .. } => "threshold-below-policy",
            Self::PlanRefused { .. } => "plan-refused",
            Self::SecurityBelowPolicy { .. } => "security-below-policy",
            Self::IdentityRequired { .. } => "identity-required",
            Self::OwnIdentityUnknown { .. } => "own-identity-unknown",
            Self::IdentityUnknown { .. } => "identity-unknown",
            Self::BadSignature { .. } => "bad-signature",
            Self::TooManyAdversaries { .. } => "too-many-adversaries",
            Self::WrongReveal { .. } => "wrong-reveal",
            Self::TooManyWithheld { .. } => "too-many-withheld",
            Self::TooFewSignatures { .. } => "too-few-signatures",
            Self::TooLittleNoise { .. } => "too-little-noise",
            Self::PrivacyMissing { .. } => "privacy-missing",
            Self::PrivacyBudgetSpent { .. } => "privacy-budget-spent",
            Self::InvalidName { .. } => "invalid-name",
            Self::WrongInvitation { .. } => "wrong-invitation",
            Self::UnknownSender { .. } => "unknown-sender",
            Self::StrangerPassedOn { .. } => "stranger-passed-on",
            Self::DuplicateMessage { .. } => "duplicate-message",
            Self::SessionMismatch { .. } => "session-mismatch",
            Self::PlanMismatch { .. } => "plan-mismatch",
            Self::InvalidPublicKey { .. } => "invalid-public-key",
            Self::DuplicateKey { .. } => "duplicate-key",
            Self::RosterNotSorted { .. } => "roster-not-sorted",
            Self::RosterTooLarge { .. } => "roster-too-large",
            Self::NotInRoster { .. } => "not-in-roster",
            Self::OwnKeysReplaced { .. } => "own-keys-replaced",
            Self::NoEntropy => "no-entropy",
            Self::SessionNotNewer { .. } => "session-not-newer",
            Self::TooManyRounds { .. } => "too-many-rounds",
            Self::TooManyUnfinished { .. } => "too-many-unfinished",
            Self::CohortDifferenceTooSmall { .. } => "cohort-difference-too-small",
            Self::CohortChanged { .. } => "cohort-changed",
            Self::InputAlreadyMasked { .. } => "input-already-masked",
            Self::JournalUnavailable { .. } => "journal-unavailable",
            Self::Input(error) => error.code(),
            Self::WrongShareCount { .. } => "wrong-share-count",
            Self::ShareNotOpened { .. } => "share-not-opened",
            Self::WrongVectorLength { .. } => "wrong-vector-length",
            Self::PaddingNotZero { .. } => "padding-not-zero",
            Self::NotASurvivor { .. } => "not-a-survivor",
            Self::SurvivorsNotInCohort { .. } => "survivors-not-in-cohort",
            Self::WrongMaskingKey { .. } => "wrong-masking-key",
            Self::WrongSeed { .. } => "wrong-seed",
            Self::WrongOpening { .. } => "wrong-opening",
            Self::DisputedPair { .. } => "disputed-pair",
            Self::ImplausibleSum { .. } => "implausible-sum",
            Self::NothingToDecode => "nothing-to-decode",
            Self::QuantizedForOtherPlan { .. } => "quantized-for-other-plan",
            Self::Internal { .. } => "internal",
        }
    }

    /// Who sent what the error is about. Empty where nobody did, where it was the server, or where the evidence does
    /// not tell one party from another: a share that does not open accuses sharer and relay alike.
    pub fn culprits(&self) -> Vec<&str> {
        match self {
            Self::UnknownSender { name, .. } | Self::DuplicateMessage { name, .. } => vec![name],
            Self::SessionMismatch { from, .. }
            | Self::PlanMismatch { from, .. }
            | Self::IdentityUnknown { from, .. }
            | Self::BadSignature { from, .. }
            | Self::WrongReveal { from, .. }
            | Self::WrongShareCount { from, .. }
            | Self::WrongVectorLength { from, .. }
            | Self::PaddingNotZero { from }
            | Self::WrongOpening { from, .. }
            | Self::InvalidPublicKey { from, .. }
            | Self::StrangerPassedOn { from, .. }
            | Self::QuantizedForOtherPlan { from, .. } => vec![from],
            Self::WrongMaskingKey { client } | Self::WrongSeed { client } => vec![client],
            Self::BelowThreshold { .. }
            | Self::CohortTooSmall { .. }
            | Self::TooLittleNoise { .. }
            | Self::PrivacyMissing { .. }
            | Self::PrivacyBudgetSpent { .. }
            | Self::ThresholdBelowPolicy { .. }
            | Self::PlanRefused { .. }
            | Self::SecurityBelowPolicy { .. }
            | Self::IdentityRequired { .. }
            | Self::OwnIdentityUnknown { .. }
            | Self::TooManyAdversaries { .. }
            | Self::TooFewSignatures { .. }
            | Self::TooManyWithheld { .. }
            | Self::InvalidName { .. }
            | Self::WrongInvitation { .. }
            | Self::DuplicateKey { .. }
            | Self::RosterNotSorted { .. }
            | Self::RosterTooLarge { .. }
            | Self::NotInRoster { .. }
            | Self::OwnKeysReplaced { .. }
            | Self::NoEntropy
            | Self::SessionNotNewer { .. }
            | Self::TooManyRounds { .. }
            | Self::TooManyUnfinished { .. }
            | Self::CohortDifferenceTooSmall { .. }
            | Self::CohortChanged { .. }
            | Self::InputAlreadyMasked { .. }
            | Self::JournalUnavailable { .. }
            | Self::Input(_)
            | Self::ShareNotOpened { .. }
            | Self::NotASurvivor { .. }
            | Self::SurvivorsNotInCohort { .. }
            | Self::DisputedPair { .. }
            | Self::ImplausibleSum { .. }
            | Self::NothingToDecode
            | Self::Internal { .. } => Vec::new(),
        }
    }
}
