//! Shamir's secret sharing over GF(2⁸), byte by byte, on the constant-time field of `shamirsecretsharing`.
//!
//! The package's own `create_keyshares` draws the polynomial from a generator inside the process. Our secrets come
//! from the operating system only, so the polynomial is fixed by its *values*: the secret at 0 and t − 1 random values
//! at 1..t. That is the same distribution, since through t points passes exactly one polynomial of degree t − 1. The
//! other shares are interpolated. The package interpolates at 0 only; in characteristic 2 moving every point by `x`
//! moves the polynomial, so its value at `x` is the interpolation at 0 of the points moved by `x`.
//!
//! A share has no tag. Its sharer commits to it, and to the secret: see [`commitment`](crate::commitment).

use std::fmt;

use rand::TryRng as _;
use shamirsecretsharing::hazmat::combine_keyshares;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{error::Error, random::Generator};

/// One participant's part of a 32-byte secret, while it is secret: no `Serialize`, zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Share(Zeroizing<[u8; 32]>);

impl Share {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(redacted)")
    }
}

/// Shares for the positions 1 to `count`, any `threshold` of which give the secret and fewer of which tell nothing.
pub(crate) fn split(secret: &[u8; 32], count: u8, threshold: u8) -> Result<Vec<Share>, Error> {
    if threshold == 0 || threshold > count {
        return Err(Error::Internal { operation: "secret sharing" });
    }
    let mut points = vec![(0, Share::from_bytes(*secret))];
    for position in 1..threshold {
        let mut value = Zeroizing::new([0; 32]);
        Generator.try_fill_bytes(value.as_mut()).map_err(|_| Error::NoEntropy)?;
        points.push((position, Share(value)));
    }
    let rest =
        (threshold..=count).map(|position| interpolate(&points, position)).collect::<Result<Vec<_>, _>>()?;
    Ok(points.into_iter().skip(1).map(|(_, share)| share).chain(rest.into_iter().map(Share)).collect())
}

/// The secret of which these are shares, by position. Fewer than the threshold give another value, not an error.
pub(crate) fn combine(shares: &[(u8, Share)]) -> Result<Zeroizing<[u8; 32]>, Error> {
    interpolate(shares, 0)
}

/// The value at `x` of the polynomial through the points, none of which may be at `x`.
fn interpolate(points: &[(u8, Share)], x: u8) -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut moved: Vec<Vec<u8>> = points
        .iter()
        .map(|(position, share)| {
            let mut keyshare = Vec::with_capacity(33);
            keyshare.push(position ^ x);
            keyshare.extend_from_slice(share.as_bytes());
            keyshare
        })
        .collect();
    let combined = combine_keyshares(&moved).map(Zeroizing::new);
    moved.iter_mut().for_each(|keyshare| keyshare.zeroize());
    let failed = || Error::Internal { operation: "share interpolation" };
    let combined = combined.map_err(|_| failed())?;
    let value = <&[u8; 32]>::try_from(combined.as_slice()).map_err(|_| failed())?;
    Ok(Zeroizing::new(*value))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use shamirsecretsharing::hazmat::create_keyshares;

    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        secret: String,
        threshold: u8,
        /// All shares of positions 1, 2, …
        shares: Vec<String>,
    }

    fn shares(case: &Case) -> Vec<(u8, Share)> {
        (1..).zip(&case.shares).map(|(x, share)| (x, Share::from_bytes(vectors::bytes(share)))).collect()
    }

    #[test]
    fn row_07_known_answers() {
        let vectors: Vectors = vectors::read(include_str!("vectors/shamir.json"));
        assert_eq!(vectors.cases.len(), 3);
        for case in &vectors.cases {
            let (all, t) = (shares(case), usize::from(case.threshold));
            for window in all.windows(t) {
                assert_eq!(*combine(window).unwrap(), vectors::bytes(&case.secret));
            }
            let mut points = vec![(0, Share::from_bytes(vectors::bytes(&case.secret)))];
            points.extend_from_slice(&all[..t - 1]);
            for (position, share) in &all[t - 1..] {
                assert_eq!(
                    *interpolate(&points, *position).unwrap(),
                    *share.as_bytes(),
                    "position {position}"
                );
            }
        }
    }

    #[test]
    fn every_position_of_the_field_can_hold_a_share() {
        let secret = [0x5a; 32];
        let shares: Vec<(u8, Share)> = (1..=255).zip(split(&secret, 255, 3).unwrap()).collect();
        assert_eq!(shares.len(), 255);
        for at in [[0, 1, 2], [0, 127, 254], [252, 253, 254]] {
            assert_eq!(*combine(&at.map(|i| shares[i].clone())).unwrap(), secret);
        }
    }

    #[test]
    fn reads_the_packages_own_shares() {
        let secret = [0xc3; 32];
        let theirs = create_keyshares(&secret, 6, 4).unwrap();
        let points: Vec<(u8, Share)> = theirs[1..5]
            .iter()
            .map(|share| (share[0], Share::from_bytes(share[1..].try_into().unwrap())))
            .collect();
        assert_eq!(*combine(&points).unwrap(), secret);
        assert_eq!(interpolate(&points, theirs[5][0]).unwrap()[..], theirs[5][1..]);
    }

    #[test]
    fn row_07_two_sharings_of_one_secret_differ() {
        assert_ne!(split(&[1; 32], 3, 2).unwrap(), split(&[1; 32], 3, 2).unwrap());
    }

    #[test]
    fn impossible_thresholds_are_errors() {
        assert!(split(&[1; 32], 3, 0).is_err());
        assert!(split(&[1; 32], 3, 4).is_err());
    }

    #[test]
    fn debug_is_redacted() {
        let share = Share::from_bytes([0xee; 32]);
        assert_eq!(format!("{share:?}"), "Share(redacted)");
    }

    /// A sharing and some of its positions.
    fn picked(enough: bool) -> impl Strategy<Value = ([u8; 32], u8, u8, Vec<u8>)> {
        (2_u8..=12).prop_flat_map(|count| (Just(count), 2..=count)).prop_flat_map(
            move |(count, threshold)| {
                let (t, all) = (usize::from(threshold), (1..=count).collect::<Vec<_>>());
                let sizes = if enough { t..=all.len() } else { 1..=t - 1 };
                (any::<[u8; 32]>(), Just(count), Just(threshold), subsequence(all, sizes))
            },
        )
    }

    fn take(shares: &[Share], positions: &[u8]) -> Vec<(u8, Share)> {
        positions.iter().map(|x| (*x, shares[usize::from(*x) - 1].clone())).collect()
    }

    proptest! {
        #[test]
        fn any_t_shares_do((secret, count, threshold, positions) in picked(true)) {
            let shares = split(&secret, count, threshold).unwrap();
            prop_assert_eq!(*combine(&take(&shares, &positions)).unwrap(), secret);
        }

        /// Chance would make them equal once in 2²⁵⁶.
        #[test]
        fn fewer_than_t_do_not((secret, count, threshold, positions) in picked(false)) {
            let shares = split(&secret, count, threshold).unwrap();
            prop_assert_ne!(*combine(&take(&shares, &positions)).unwrap(), secret);
        }

        /// For t − 1 shares and *any* other secret there is a polynomial: they exclude nothing.
        #[test]
        fn t_minus_one_shares_fit_every_secret(other: [u8; 32], secret: [u8; 32], count in 3_u8..10) {
            let shares = split(&secret, count, 3).unwrap();
            let mut points = take(&shares, &[1, 2]);
            points.push((0, Share::from_bytes(other)));
            let third = Share(interpolate(&points, 3).unwrap());
            let forged = [points[0].clone(), points[1].clone(), (3, third)];
            prop_assert_eq!(*combine(&forged).unwrap(), other);
        }
    }
}
