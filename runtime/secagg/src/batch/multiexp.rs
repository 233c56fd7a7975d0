//! Σ kᵢ·Pᵢ of many points, for public values: nothing here takes constant time.
//!
//! With buckets (Pippenger, *On the evaluation of powers and related problems*, FOCS 1976): a scalar is Σ dⱼ·2^(c·j) with
//! digits from −2^(c−1) to 2^(c−1). For each j the points are added up by their digit. Then bit by bit: what has an odd
//! digit counts for this bit, and all go on with half of their digit, rounded down. That leaves one point for each bit of
//! a scalar, and Horner's rule.
//!
//! Nearly all additions are of affine points in any order, so that many share one division (Montgomery's trick): six
//! products each, where one to projective coordinates takes eleven and more. 500 signatures took 28,000 of them.

use super::{
    field::Element,
    point::{Affine, Jacobian},
};

/// A point, and a scalar below 2²⁵⁶ in words, the lowest first.
pub(super) type Term = (Affine, [u64; 4]);

const SCALAR_BITS: u32 = 256;

/// So many additions share a division, which takes as long as 270 products, and stay in the cache.
const TOGETHER: usize = 512;

/// `None` only where this module miscounted.
pub(super) fn sum(terms: &[Term]) -> Option<Jacobian> {
    let bits = by_bit(terms, width(terms))?;
    let horner = |high: Jacobian, bit: &Option<Affine>| match bit {
        Some(bit) => high.double().plus(bit),
        None => high.double(),
    };
    Some(bits.iter().rev().fold(Jacobian::NEUTRAL, horner))
}

/// The bits of a digit with which there are the fewest additions: one for each digit of each point, one less for each
/// bucket, which starts with a point, and two for each bucket afterwards.
fn width(terms: &[Term]) -> u32 {
    let words = terms.iter().flat_map(|(_, scalar)| scalar).filter(|word| **word != 0).count();
    let bits = words.saturating_mul(64);
    let additions = |width: &u32| bits.saturating_add(128 << width).checked_div(*width as usize);
    (2..=12).min_by_key(additions).unwrap_or(2)
}

/// The points whose sum, each multiplied by 2^i, is that of the terms.
fn by_bit(terms: &[Term], width: u32) -> Option<Vec<Option<Affine>>> {
    // With the carry out of the highest bit.
    let windows = SCALAR_BITS.checked_add(1)?.div_ceil(width) as usize;
    let mut bits = Sums::new(windows.checked_mul(width as usize)?, Queue::default());
    // A bucket for each absolute value of a digit.
    let mut size = 1_usize.checked_shl(width.checked_sub(1)?)?.checked_add(1)?;
    let (mut buckets, mut queue) = by_digit(terms, width, size, windows)?.finish()?;
    for bit in 0..width as usize {
        let half_size = (size / 2).checked_add(1)?;
        let mut halves = Sums::new(half_size.checked_mul(windows)?, queue);
        for (window, buckets) in buckets.chunks(size).enumerate() {
            let start = window.checked_mul(half_size)?;
            for (digit, point) in buckets.iter().enumerate() {
                let Some(point) = point else { continue };
                if digit % 2 == 1 {
                    bits.add(window.checked_mul(width as usize)?.checked_add(bit)?, *point)?;
                }
                if digit > 1 {
                    halves.add(start.checked_add(digit / 2)?, *point)?;
                }
            }
        }
        (buckets, queue) = halves.finish()?;
        size = half_size;
    }
    Some(bits.finish()?.0)
}

/// The sums of the points that have the same digit, window by window, from that of zero, which stays empty. A point with a
/// negative digit counts as its opposite with the positive one.
fn by_digit(terms: &[Term], width: u32, size: usize, windows: usize) -> Option<Sums> {
    let mut buckets = Sums::new(size.checked_mul(windows)?, Queue::default());
    for (point, scalar) in terms {
        let mut start = 0_usize;
        for digit in Digits::new(*scalar, width) {
            let bucket = start.checked_add(digit.unsigned_abs() as usize)?;
            match digit {
                0 => {}
                1.. => buckets.add(bucket, *point)?,
                _ => buckets.add(bucket, point.opposite())?,
            }
            start = start.checked_add(size)?;
        }
    }
    Some(buckets)
}

/// The digits of a scalar, the lowest first, until the rest are zero.
struct Digits {
    rest: [u64; 4],
    carry: u64,
    width: u32,
}

impl Digits {
    fn new(scalar: [u64; 4], width: u32) -> Self {
        Self { rest: scalar, carry: 0, width }
    }
}

impl Iterator for Digits {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        if self.rest == [0; 4] && self.carry == 0 {
            return None;
        }
        let ([r0, r1, r2, r3], width) = (self.rest, self.width);
        let above = 64_u32.wrapping_sub(width);
        let all = 1_u64.wrapping_shl(width);
        let digit = (r0 & all.wrapping_sub(1)).wrapping_add(self.carry);
        let shifted = |low: u64, high: u64| low.wrapping_shr(width) | high.wrapping_shl(above);
        self.rest = [shifted(r0, r1), shifted(r1, r2), shifted(r2, r3), r3.wrapping_shr(width)];
        let is_high = digit > all / 2;
        self.carry = is_high.into();
        Some(if is_high { digit.wrapping_sub(all) } else { digit }.cast_signed())
    }
}

/// Sums of points, by number.
struct Sums {
    /// `None` is the neutral point.
    sums: Vec<Option<Affine>>,
    queue: Queue,
}

/// What is yet to be added up. It is empty in between, and handed on for its memory.
#[derive(Default)]
struct Queue {
    /// To which sum both belong.
    pairs: Vec<(usize, Affine, Affine)>,
    /// What are pairs while others are added up.
    next: Vec<(usize, Affine, Affine)>,
    /// Of the pairs: their divisors, each with the product of those before it.
    divisors: Vec<(Element, Element)>,
}

impl Sums {
    fn new(count: usize, queue: Queue) -> Self {
        Self { sums: vec![None; count], queue }
    }

    /// `None` where there is no such sum.
    #[inline]
    fn add(&mut self, number: usize, point: Affine) -> Option<()> {
        if self.queue.pairs.len() >= TOGETHER {
            self.add_pairs()?;
        }
        self.place(number, point)
    }

    #[inline]
    fn place(&mut self, number: usize, point: Affine) -> Option<()> {
        let sum = self.sums.get_mut(number)?;
        match sum.take() {
            None => *sum = Some(point),
            Some(other) if other.is_opposite(&point) => {}
            Some(other) => self.queue.pairs.push((number, other, point)),
        }
        Some(())
    }

    #[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
    fn add_pairs(&mut self) -> Option<()> {
        let next = std::mem::take(&mut self.queue.next);
        let mut pairs = std::mem::replace(&mut self.queue.pairs, next);
        let mut divisors = std::mem::take(&mut self.queue.divisors);
        let mut product = Element::ONE;
        for (_, first, second) in &pairs {
            let run = first.run(second);
            divisors.push((run, product));
            product = product * run;
        }
        let mut inverse = product.inverse();
        while let (Some((number, first, second)), Some((run, before))) = (pairs.pop(), divisors.pop()) {
            let sum = first.plus(&second, inverse * before);
            inverse = inverse * run;
            self.place(number, sum)?;
        }
        (self.queue.next, self.queue.divisors) = (pairs, divisors);
        Some(())
    }

    fn finish(mut self) -> Option<(Vec<Option<Affine>>, Queue)> {
        while !self.queue.pairs.is_empty() {
            self.add_pairs()?;
        }
        Some((self.sums, self.queue))
    }
}

#[cfg(test)]
mod tests {
    use p256::{AffinePoint, ProjectivePoint, Scalar, elliptic_curve::Generate as _};
    use proptest::prelude::*;

    use super::*;
    use crate::batch::to_words;

    /// Whether the sum is that of `p256`, term by term.
    fn agrees(terms: &[(ProjectivePoint, Scalar)]) -> bool {
        let expected: ProjectivePoint = terms.iter().map(|(point, scalar)| *point * *scalar).sum();
        let term = |(point, scalar): &_| Some((Affine::new(&AffinePoint::from(point))?, to_words(scalar)));
        let terms: Vec<Term> = terms.iter().filter_map(term).collect();
        let sum = sum(&terms).unwrap();
        match Affine::new(&AffinePoint::from(-expected)) {
            Some(opposite) => !sum.is_neutral() && sum.plus(&opposite).is_neutral(),
            None => sum.is_neutral(),
        }
    }

    fn any_scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            (-3_i32..=3).prop_map(small),
            any::<u128>().prop_map(Scalar::from),
            proptest::array::uniform32(any::<u8>()).prop_map(|seed| {
                use rand::SeedableRng as _;
                Scalar::generate_from_rng(&mut rand_chacha::ChaCha8Rng::from_seed(seed))
            }),
        ]
    }

    fn small(number: i32) -> Scalar {
        let absolute = Scalar::from(u64::from(number.unsigned_abs()));
        if number < 0 { -absolute } else { absolute }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Few different points, so that buckets hold equal and opposite ones.
        #[test]
        fn it_is_the_sum_of_the_products(
            terms in prop::collection::vec(((1_i32..4), any::<bool>(), any_scalar()), 0..40),
        ) {
            let point = |number: i32, sign| ProjectivePoint::GENERATOR * small(if sign { -number } else { number });
            let terms: Vec<_> =
                terms.into_iter().map(|(number, sign, scalar)| (point(number, sign), scalar)).collect();
            prop_assert!(agrees(&terms));
        }

        #[test]
        fn digits_add_up_to_the_scalar(scalar in any_scalar(), width in 2_u32..=12) {
            let digits: Vec<i64> = Digits::new(to_words(&scalar), width).collect();
            prop_assert!(digits.len() as u32 <= (SCALAR_BITS + 1).div_ceil(width));
            prop_assert!(digits.iter().all(|digit| digit.unsigned_abs() <= 1 << (width - 1)));
            let base = Scalar::from(1_u64 << width);
            let sum = digits.iter().rev().fold(Scalar::ZERO, |high, digit| high * base + small(*digit as i32));
            prop_assert_eq!(sum, scalar);
        }
    }

    #[test]
    fn many_points_equal_and_opposite() {
        let point = ProjectivePoint::GENERATOR * Scalar::generate();
        let scalars: Vec<Scalar> = (0..600).map(|_| Scalar::generate()).collect();
        let equal: Vec<_> = scalars.iter().map(|scalar| (point, *scalar)).collect();
        assert!(agrees(&equal));
        let both = |(point, scalar): &(ProjectivePoint, Scalar)| [(*point, *scalar), (-*point, *scalar)];
        let mut opposite: Vec<_> = equal.iter().flat_map(both).collect();
        assert!(agrees(&opposite));
        opposite.rotate_left(1);
        opposite.push((point, Scalar::ONE));
        assert!(agrees(&opposite));
        let different: Vec<_> =
            scalars.iter().map(|scalar| (ProjectivePoint::GENERATOR * *scalar, *scalar)).collect();
        assert!(agrees(&different));
    }

    #[test]
    fn the_sum_of_none_and_of_zeros_is_neutral() {
        let generator = ProjectivePoint::GENERATOR;
        assert!(agrees(&[]));
        assert!(agrees(&[(generator, Scalar::ZERO); 5]));
        assert!(agrees(&[(generator, Scalar::ONE), (generator, -Scalar::ONE)]));
        assert!(agrees(&[(generator, -Scalar::ONE)]));
    }
}
