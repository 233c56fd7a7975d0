//! The rounds, by name.

/// A round of the protocol, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Round 0: public keys.
    AdvertiseKeys,
    /// Round 0, second exchange: random values for a roster that all sign.
    FreezeRoster,
    /// Round 1: sealed shares.
    ShareKeys,
    /// Round 2: masked inputs.
    MaskedInput,
    /// Round 3: signatures on what everybody was told.
    ConsistencyCheck,
    /// Round 4: shares that remove the masks.
    Unmask,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AdvertiseKeys => "advertise keys",
            Self::FreezeRoster => "freeze roster",
            Self::ShareKeys => "share keys",
            Self::MaskedInput => "masked input",
            Self::ConsistencyCheck => "consistency check",
            Self::Unmask => "unmask",
        })
    }
}
