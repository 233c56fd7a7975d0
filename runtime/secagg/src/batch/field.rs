//! The field of P-256's coordinates, for public values: nothing here takes constant time.
//!
//! `p256` has the same field, in constant time and behind function calls: its sums and products took three times as long,
//! and 500 signatures 2.3 times, because a batch is little else.
//!
//! An element is kept as x·2²⁵⁶ mod p (Montgomery, Mathematics of Computation 44, 1985), where
//! p = 2²⁵⁶ − 2²²⁴ + 2¹⁹² + 2⁹⁶ − 1.

use std::{
    hint::select_unpredictable,
    ops::{Add, Mul, Neg, Sub},
};

/// A number of 256 bits, the highest byte first, as words, the lowest first.
pub(super) fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let (words, _) = bytes.as_chunks::<8>();
    let mut from_lowest = words.iter().rev().map(|word| u64::from_be_bytes(*word));
    std::array::from_fn(|_| from_lowest.next().unwrap_or(0))
}

/// A number below p. Four words, the lowest first, always reduced: equal elements have equal words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element([u64; 4]);

const MODULUS: [u64; 4] = [u64::MAX, 0x0000_0000_ffff_ffff, 0, HIGHEST];
const HIGHEST: u64 = 0xffff_ffff_0000_0001;

/// 2⁵¹² mod p.
const SQUARED_RADIX: Element =
    Element([3, 0xffff_fffb_ffff_ffff, 0xffff_ffff_ffff_fffe, 0x0000_0004_ffff_fffd]);

impl Element {
    pub(super) const ZERO: Self = Self([0; 4]);
    /// 2²⁵⁶ mod p.
    pub(super) const ONE: Self = Self([1, 0xffff_ffff_0000_0000, u64::MAX, 0x0000_0000_ffff_fffe]);

    /// Of a number below p.
    pub(super) fn from_words(words: [u64; 4]) -> Self {
        SQUARED_RADIX.times(&Self(words))
    }

    /// Whether the number is odd.
    pub(super) fn is_odd(self) -> bool {
        let Self([lowest, ..]) = self.times(&Self([1, 0, 0, 0]));
        lowest & 1 == 1
    }

    #[inline(always)]
    fn times(&self, other: &Self) -> Self {
        let [a0, a1, a2, a3] = self.0;
        let sum = add_product([0; 5], a0, &other.0);
        let sum = add_product(sum, a1, &other.0);
        let sum = add_product(sum, a2, &other.0);
        let [r0, r1, r2, r3, r4] = add_product(sum, a3, &other.0);
        reduced([r0, r1, r2, r3], r4 != 0)
    }

    #[inline(always)]
    pub(super) fn square(self) -> Self {
        self.times(&self)
    }

    #[inline(always)]
    pub(super) fn double(self) -> Self {
        self.plus(&self)
    }

    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (self.0, other.0);
        let (r0, carry) = a0.carrying_add(b0, false);
        let (r1, carry) = a1.carrying_add(b1, carry);
        let (r2, carry) = a2.carrying_add(b2, carry);
        let (r3, carry) = a3.carrying_add(b3, carry);
        reduced([r0, r1, r2, r3], carry)
    }

    #[inline(always)]
    fn minus(&self, other: &Self) -> Self {
        let (difference, below_zero) = difference(&self.0, &other.0);
        let mask = select_unpredictable(below_zero, u64::MAX, 0);
        let ([d0, d1, d2, d3], [m0, m1, m2, m3]) = (difference, MODULUS);
        let (r0, carry) = d0.carrying_add(m0 & mask, false);
        let (r1, carry) = d1.carrying_add(m1 & mask, carry);
        let (r2, carry) = d2.carrying_add(m2 & mask, carry);
        let (r3, _) = d3.carrying_add(m3 & mask, carry);
        Self([r0, r1, r2, r3])
    }

    /// x to the power of 2^times.
    fn squared(self, times: u32) -> Self {
        (0..times).fold(self, |power, _| power.square())
    }

    /// 1/x, or zero of zero: x to the power of p − 2.
    #[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
    pub(super) fn inverse(self) -> Self {
        let ones @ [_, _, _, _, _, ones32] = self.powers();
        // In binary 32 ones, 31 zeros and a one, 96 zeros, 94 ones, a zero and a one.
        let start = (ones32.squared(32) * self).squared(128) * ones32;
        let ends = [32, 16, 8, 4, 2].into_iter().zip(ones.iter().rev());
        let start = ends.fold(start, |power, (length, ones)| power.squared(length) * *ones);
        start.squared(2) * self
    }

    /// One of the two square roots, if there are any: x to the power of (p + 1)/4, as p is 3 modulo 4.
    #[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
    pub(super) fn root(self) -> Option<Self> {
        let [.., ones32] = self.powers();
        // In binary 32 ones, 31 zeros and a one, 95 zeros and a one, 94 zeros.
        let root = ((ones32.squared(32) * self).squared(96) * self).squared(94);
        (root.square() == self).then_some(root)
    }

    /// x to the powers that are 1, 2, 4, 8, 16 and 32 ones in binary.
    #[allow(clippy::arithmetic_side_effects, reason = "field elements, which cannot overflow")]
    fn powers(self) -> [Self; 6] {
        let twice = |ones: Self, length: u32| ones.squared(length) * ones;
        let ones2 = twice(self, 1);
        let ones4 = twice(ones2, 2);
        let ones8 = twice(ones4, 4);
        let ones16 = twice(ones8, 8);
        [self, ones2, ones4, ones8, ones16, twice(ones16, 16)]
    }
}

/// (sum + a·b)/2⁶⁴ mod p, below 2p where b is below p and the sum below 2p.
#[inline(always)]
fn add_product(sum: [u64; 5], a: u64, b: &[u64; 4]) -> [u64; 5] {
    let ([s0, s1, s2, s3, s4], [b0, b1, b2, b3]) = (sum, *b);
    let ((low0, high0), (low1, high1)) = (a.carrying_mul(b0, 0), a.carrying_mul(b1, 0));
    let ((low2, high2), (low3, high3)) = (a.carrying_mul(b2, 0), a.carrying_mul(b3, 0));
    let (s0, carry) = s0.carrying_add(low0, false);
    let (s1, carry) = s1.carrying_add(low1, carry);
    let (s2, carry) = s2.carrying_add(low2, carry);
    let (s3, carry) = s3.carrying_add(low3, carry);
    let (s4, _) = s4.carrying_add(0, carry);
    let (s1, carry) = s1.carrying_add(high0, false);
    let (s2, carry) = s2.carrying_add(high1, carry);
    let (s3, carry) = s3.carrying_add(high2, carry);
    // At most 2p + (2⁶⁴ − 1)·p, which is below 2³²⁰.
    let (s4, _) = s4.carrying_add(high3, carry);
    // Plus s0·p, whose lowest word cancels s0, because p is −1 modulo 2⁶⁴.
    let (low, high) = s0.carrying_mul(HIGHEST, 0);
    let (s1, carry) = s1.carrying_add(s0 << 32, false);
    let (s2, carry) = s2.carrying_add(s0 >> 32, carry);
    let (s3, carry) = s3.carrying_add(low, carry);
    let (s4, carry) = s4.carrying_add(high, carry);
    [s1, s2, s3, s4, carry.into()]
}

/// Of a number below 2p, its bit 256 apart. No branch: it would be guessed wrongly every fourth time.
#[inline(always)]
fn reduced(words: [u64; 4], highest: bool) -> Element {
    let (difference, below) = difference(&words, &MODULUS);
    let ([w0, w1, w2, w3], [d0, d1, d2, d3], is_reduced) = (words, difference, below && !highest);
    Element([
        select_unpredictable(is_reduced, w0, d0),
        select_unpredictable(is_reduced, w1, d1),
        select_unpredictable(is_reduced, w2, d2),
        select_unpredictable(is_reduced, w3, d3),
    ])
}

/// a − b modulo 2²⁵⁶, and whether it is below zero.
#[inline(always)]
fn difference(a: &[u64; 4], b: &[u64; 4]) -> ([u64; 4], bool) {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (*a, *b);
    let (d0, borrow) = a0.borrowing_sub(b0, false);
    let (d1, borrow) = a1.borrowing_sub(b1, borrow);
    let (d2, borrow) = a2.borrowing_sub(b2, borrow);
    let (d3, borrow) = a3.borrowing_sub(b3, borrow);
    ([d0, d1, d2, d3], borrow)
}

impl Add for Element {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.plus(&other)
    }
}

impl Sub for Element {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.minus(&other)
    }
}

impl Mul for Element {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.times(&other)
    }
}

impl Neg for Element {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Self::ZERO.minus(&self)
    }
}

#[cfg(test)]
mod tests {
    use p256::{
        NistP256,
        elliptic_curve::{PrimeField as _, hazmat::FieldArithmetic},
    };
    use proptest::{prelude::*, sample::select};

    use super::*;

    /// The same field in `p256`.
    type Reference = <NistP256 as FieldArithmetic>::FieldElement;

    fn element(reference: Reference) -> Element {
        Element::from_words(words(&reference.to_repr().into()))
    }

    fn reference(words: [u64; 4]) -> Option<Reference> {
        let mut bytes = [0; 32];
        let (parts, _) = bytes.as_chunks_mut::<8>();
        parts.iter_mut().rev().zip(words).for_each(|(part, word)| *part = word.to_be_bytes());
        Reference::from_repr(bytes.into()).into()
    }

    /// Random words, and those around which carries go wrong.
    fn any_reference() -> impl Strategy<Value = Reference> {
        let [m0, m1, m2, m3] = MODULUS;
        let special = vec![0, 1, 2, 1 << 32, 1 << 63, m0, m0 - 1, m1, m1 + 1, m2, m3, m3 - 1, m3 + 1];
        let word = prop_oneof![any::<u64>(), select(special)];
        proptest::array::uniform4(word).prop_filter_map("below p", reference)
    }

    fn agree(a: Reference, b: Reference) {
        let (own_a, own_b) = (element(a), element(b));
        assert_eq!(own_a + own_b, element(a + b), "{a:?} + {b:?}");
        assert_eq!(own_a - own_b, element(a - b), "{a:?} - {b:?}");
        assert_eq!(own_a * own_b, element(a * b), "{a:?} * {b:?}");
        assert_eq!(own_a.double(), element(a.double()), "{a:?}");
        assert_eq!(own_a.square(), element(a.square()), "{a:?}");
        assert_eq!(-own_a, element(-a), "{a:?}");
        assert_eq!(own_a.is_odd(), bool::from(a.is_odd()), "{a:?}");
        assert_eq!(own_a == own_b, a == b);
        assert_eq!(own_a.inverse(), element(a.invert().unwrap_or(Reference::ZERO)), "{a:?}");
        match (own_a.root(), Option::<Reference>::from(a.sqrt())) {
            (Some(own), Some(root)) => assert!(own == element(root) || own == element(-root), "{a:?}"),
            (own, root) => assert!(own.is_none() && root.is_none(), "{a:?}"),
        }
    }

    #[test]
    fn at_the_ends_it_is_the_field_of_p256() {
        let from_below = [0_u64, 1, 2, 3, u64::MAX].map(Reference::from);
        // From both ends in either form: as it is written, and as it is kept, times 2²⁵⁶.
        let radix = (0..256).fold(Reference::ONE, |power, _| power.double());
        let ends: Vec<Reference> = from_below
            .into_iter()
            .flat_map(|small| [small, -small])
            .flat_map(|end| [end, end * radix, end * radix.invert().unwrap()])
            .collect();
        for a in &ends {
            ends.iter().for_each(|b| agree(*a, *b));
        }
        assert_eq!(Element::ONE, element(Reference::ONE));
        assert_eq!(Element::ZERO, element(Reference::ZERO));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn it_is_the_field_of_p256(a in any_reference(), b in any_reference()) {
            agree(a, b);
        }
    }
}
