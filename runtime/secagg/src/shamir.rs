//! Shamir's secret sharing over GF(2⁸), byte by byte, for secrets of 32 bytes and at most 255 positions.
//!
//! The field is that of AES (x⁸ + x⁴ + x³ + x + 1), as in the package `shamirsecretsharing`, whose shares it reads in the
//! tests. That package multiplies bit-sliced, which took a hundred times as long: 17 ms for one sharing among 168 with a
//! threshold of 135, and 0.5 ms to rebuild it.
//!
//! **The polynomial** is fixed by its *values*: the secret at 0 and t − 1 random values at 1..t, all from the operating
//! system. That is the distribution of random coefficients, since through t points passes exactly one polynomial of
//! degree t − 1. The other shares are interpolated.
//!
//! **Time.** Positions are public, so Lagrange's coefficients come from tables of logarithms. Secret bytes meet no table
//! and no branch: with ℓ = Σ ℓᵦ·xᵇ a sum Σ ℓᵢ·yᵢ is gathered bit by bit, the secret ANDed with a mask made of the public
//! bit, and the eight sums are put together with seven doublings.
//!
//! A share has no tag. Its sharer commits to it, and to the secret: see [`commitment`](crate::commitment).

use std::fmt;

use rand::TryRng as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{erasable::Erasable, error::Error, random::Generator};

/// One participant's part of a 32-byte secret, while it is secret: no `Serialize`, zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Share(Zeroizing<Erasable<32>>);

impl Share {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(Erasable::new(bytes)))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn to_words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        let (parts, _) = self.0.as_chunks::<8>();
        words.iter_mut().zip(parts).for_each(|(word, part)| *word = u64::from_le_bytes(*part));
        words
    }

    fn from_words(words: &[u64; 4]) -> Self {
        let mut bytes = [0; 32];
        let (parts, _) = bytes.as_chunks_mut::<8>();
        parts.iter_mut().zip(words).for_each(|(part, word)| *part = word.to_le_bytes());
        let share = Self::from_bytes(bytes);
        bytes.zeroize();
        share
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(redacted)")
    }
}

/// Shares for the positions 1 to `count`, any `threshold` of which give the secret and fewer of which tell nothing.
pub(crate) fn split(secret: &[u8; 32], count: u8, threshold: u8) -> Result<Vec<Share>, Error> {
    let free = match threshold.checked_sub(1) {
        Some(free) if threshold <= count => usize::from(free),
        _ => return Err(Error::Internal { operation: "secret sharing" }),
    };
    let mut values = Zeroizing::new(vec![[0; 32]; free]);
    Generator.try_fill_bytes(values.as_flattened_mut()).map_err(|_| Error::NoEntropy)?;
    let known: Vec<(u8, Share)> = (0..=u8::MAX)
        .zip(std::iter::once(secret).chain(&*values).map(|value| Share::from_bytes(*value)))
        .collect();
    let base = Base::new(known.iter().map(|(position, _)| *position))?;
    let rest: Vec<Share> = (threshold..=count)
        .map(|position| Ok(sum(&base.coefficients(position)?, known.iter().map(|(_, share)| share))))
        .collect::<Result<_, Error>>()?;
    Ok(known.into_iter().skip(1).map(|(_, share)| share).chain(rest).collect())
}

/// The secret of which these are shares, by position. Fewer than the threshold give another value, not an error.
pub(crate) fn combine(shares: &[(u8, Share)]) -> Result<Share, Error> {
    let reconstruction = Reconstruction::new(shares.iter().map(|(position, _)| *position))?;
    Ok(reconstruction.secret(shares.iter().map(|(_, share)| share)))
}

/// What rebuilds secrets from shares at the same positions: to find it takes longer than to use it.
pub(crate) struct Reconstruction(Vec<u8>);

impl Reconstruction {
    /// Of secrets from shares at these positions, none of which may be twice among them.
    pub(crate) fn new(positions: impl Iterator<Item = u8>) -> Result<Self, Error> {
        Base::new(positions)?.coefficients(0).map(Self)
    }

    /// The secret with these shares, in the order of the positions.
    pub(crate) fn secret<'a>(&self, shares: impl Iterator<Item = &'a Share>) -> Share {
        sum(&self.0, shares)
    }
}

/// Positions through which polynomials are interpolated.
struct Base {
    positions: Vec<u8>,
    /// For each the logarithm of ∏ (xᵢ − xⱼ) over all others.
    denominators: Vec<u32>,
}

impl Base {
    /// Refuses none, and the same twice.
    fn new(positions: impl Iterator<Item = u8>) -> Result<Self, Error> {
        let positions: Vec<u8> = positions.collect();
        let denominator = |(i, x): (usize, &u8)| {
            let others = positions.iter().enumerate().filter(|(j, _)| *j != i);
            others.map(|(_, other)| logarithm(x ^ other)).sum::<Option<u32>>()
        };
        let denominators: Option<Vec<u32>> = positions.iter().enumerate().map(denominator).collect();
        match denominators {
            Some(denominators) if !positions.is_empty() => Ok(Self { positions, denominators }),
            _ => Err(Error::Internal { operation: "share positions" }),
        }
    }

    /// By what the values at the positions are multiplied, to give together the value at `x`, which is none of them.
    fn coefficients(&self, x: u8) -> Result<Vec<u8>, Error> {
        let distances: Option<Vec<u32>> =
            self.positions.iter().map(|position| logarithm(x ^ position)).collect();
        let distances = distances.ok_or(Error::Internal { operation: "share interpolation" })?;
        let all: u32 = distances.iter().sum();
        // At most 255 logarithms below 255 each, so nothing wraps; GROUP² is a multiple of the group's order.
        let all = all.wrapping_add(GROUP.wrapping_mul(GROUP));
        let both = distances.iter().zip(&self.denominators);
        Ok(both.map(|(distance, other)| power(all.wrapping_sub(*distance).wrapping_sub(*other))).collect())
    }
}

/// Σ cᵢ·yᵢ, of public coefficients and secret values.
fn sum<'a>(coefficients: &[u8], values: impl Iterator<Item = &'a Share>) -> Share {
    let mut sums = Zeroizing::new([[0_u64; 4]; 8]);
    for (coefficient, value) in coefficients.iter().zip(values) {
        let mut words = value.to_words();
        for (sum, bit) in sums.iter_mut().zip(0_u32..) {
            let mask = u64::from(coefficient.wrapping_shr(bit) & 1).wrapping_neg();
            sum.iter_mut().zip(&words).for_each(|(sum, word)| *sum ^= word & mask);
        }
        words.zeroize();
    }
    // Horner's rule over the bits, from the highest.
    let mut total = Zeroizing::new([0_u64; 4]);
    for sum in sums.iter().rev() {
        total.iter_mut().zip(sum).for_each(|(word, sum)| *word = doubled(*word) ^ sum);
    }
    Share::from_words(&total)
}

/// Eight bytes, each multiplied by x.
fn doubled(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // One byte's product is at most 0x1b, so none reaches into the next.
    (word & LOW).wrapping_shl(1) ^ (word.wrapping_shr(7) & ONES).wrapping_mul(0x1b)
}

/// The order of the field's multiplicative group.
const GROUP: u32 = 255;

/// Powers of 3, which generates the group, and logarithms to it; that of 0 is not defined and not used.
const TABLES: ([u8; 256], [u8; 256]) = tables();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
const fn tables() -> ([u8; 256], [u8; 256]) {
    let (mut powers, mut logarithms) = ([0; 256], [0; 256]);
    let (mut exponent, mut value) = (0_u8, 1_u8);
    while exponent < 255 {
        powers[exponent as usize] = value;
        logarithms[value as usize] = exponent;
        // Times 3 is times x and once more.
        value ^= (value << 1) ^ (if value & 0x80 == 0 { 0 } else { 0x1b });
        exponent += 1;
    }
    (powers, logarithms)
}

/// Of a public element, unless it is 0.
fn logarithm(element: u8) -> Option<u32> {
    TABLES.1.get(usize::from(element)).filter(|_| element != 0).map(|exponent| u32::from(*exponent))
}

fn power(exponent: u32) -> u8 {
    TABLES.0.get(exponent.wrapping_rem(GROUP) as usize).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use shamirsecretsharing::hazmat::{combine_keyshares, create_keyshares};

    use super::*;
    use crate::vectors;

    /// The value at `x` of the polynomial through the points.
    fn interpolate(points: &[(u8, Share)], x: u8) -> Result<Share, Error> {
        let base = Base::new(points.iter().map(|(position, _)| *position))?;
        Ok(sum(&base.coefficients(x)?, points.iter().map(|(_, share)| share)))
    }

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
                assert_eq!(*combine(window).unwrap().as_bytes(), vectors::bytes(&case.secret));
            }
            let mut points = vec![(0, Share::from_bytes(vectors::bytes(&case.secret)))];
            points.extend_from_slice(&all[..t - 1]);
            for (position, share) in &all[t - 1..] {
                assert_eq!(interpolate(&points, *position).unwrap(), *share, "position {position}");
            }
        }
    }

    #[test]
    fn every_position_of_the_field_can_hold_a_share() {
        let secret = [0x5a; 32];
        let shares: Vec<(u8, Share)> = (1..=255).zip(split(&secret, 255, 3).unwrap()).collect();
        assert_eq!(shares.len(), 255);
        for at in [[0, 1, 2], [0, 127, 254], [252, 253, 254]] {
            assert_eq!(*combine(&at.map(|i| shares[i].clone())).unwrap().as_bytes(), secret);
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
        assert_eq!(*combine(&points).unwrap().as_bytes(), secret);
        assert_eq!(interpolate(&points, theirs[5][0]).unwrap().as_bytes()[..], theirs[5][1..]);
    }

    #[test]
    fn the_package_reads_ours() {
        for (count, threshold) in [(2, 2), (9, 5), (100, 67), (255, 200)] {
            let secret = [threshold; 32];
            let ours = split(&secret, count, threshold).unwrap();
            let keyshare = |(position, share): (u8, &Share)| {
                let mut bytes = vec![position];
                bytes.extend_from_slice(share.as_bytes());
                bytes
            };
            let theirs: Vec<Vec<u8>> = (1..=255).zip(&ours).map(keyshare).collect();
            let last = &theirs[usize::from(count - threshold)..];
            assert_eq!(combine_keyshares(last).unwrap(), secret, "{threshold} of {count}");
        }
    }

    /// By the schoolbook, a bit at a time.
    #[test]
    fn the_field_is_that_of_aes() {
        let double = |a: u8| (a << 1) ^ (if a & 0x80 == 0 { 0 } else { 0x1b });
        let product = |a: u8, b: u8| {
            let (mut sum, mut power) = (0, a);
            for bit in 0..8 {
                if b >> bit & 1 == 1 {
                    sum ^= power;
                }
                power = double(power);
            }
            sum
        };
        assert_eq!(product(0x57, 0x83), 0xc1, "FIPS 197, section 4.2");
        for a in 1..=255 {
            for b in 1..=255 {
                assert_eq!(power(logarithm(a).unwrap() + logarithm(b).unwrap()), product(a, b));
            }
            let word = u64::from_le_bytes([a, 0, 0xff, 1, a, 0x80, 0x7f, a]);
            assert_eq!(doubled(word).to_le_bytes(), word.to_le_bytes().map(double));
        }
        assert_eq!(logarithm(0), None);
    }

    #[test]
    fn a_position_that_comes_twice_is_an_error() {
        let share = Share::from_bytes([1; 32]);
        assert!(combine(&[(1, share.clone()), (2, share.clone()), (1, share.clone())]).is_err());
        assert!(interpolate(&[(1, share.clone()), (2, share)], 2).is_err());
        assert!(combine(&[]).is_err());
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
            prop_assert_eq!(*combine(&take(&shares, &positions)).unwrap().as_bytes(), secret);
        }

        /// Chance would make them equal once in 2²⁵⁶.
        #[test]
        fn fewer_than_t_do_not((secret, count, threshold, positions) in picked(false)) {
            let shares = split(&secret, count, threshold).unwrap();
            prop_assert_ne!(*combine(&take(&shares, &positions)).unwrap().as_bytes(), secret);
        }

        /// For t − 1 shares and *any* other secret there is a polynomial: they exclude nothing.
        #[test]
        fn t_minus_one_shares_fit_every_secret(other: [u8; 32], secret: [u8; 32], count in 3_u8..10) {
            let shares = split(&secret, count, 3).unwrap();
            let mut points = take(&shares, &[1, 2]);
            points.push((0, Share::from_bytes(other)));
            let third = interpolate(&points, 3).unwrap();
            let forged = [points[0].clone(), points[1].clone(), (3, third)];
            prop_assert_eq!(*combine(&forged).unwrap().as_bytes(), other);
        }
    }
}
