//! Many ECDSA signatures looked at together: 500 in a sixteenth of the time of one after the other, 16 in an eighth.
//!
//! A signature (r, s) of the digest e under Q holds if the point e/s·G + r/s·Q has the x coordinate r (FIPS 186-5,
//! section 6.4.2). Our [signers](crate::IdentityKey) choose between s and −s, both of which hold, so that this point R has
//! an even y coordinate: then R follows from r, and n signatures are n equations
//!
//! e/s·G + r/s·Q − R = 0,
//!
//! of which one random linear combination is checked, with coefficients of 128 bits that nobody knows before. If one of
//! them does not hold, the combination holds with a chance of 2⁻¹²⁸ (Bellare, Garay and Rabin, Eurocrypt 1998, small
//! exponents test; the group's order is prime).
//!
//! So what passes here passes one by one. The reverse is not true: a signature with an odd y holds too, and so does one
//! of the 2⁻³² part whose x coordinate is above the group's order. The caller looks at each alone where this says no.
//! Where it says no of many it goes on with their halves, with the same coefficients: one that does not hold makes it take
//! 2.5 times as long, and not as long as one after the other (Bernstein, Doumen, Lange and Oosterwijk, *Faster batch
//! forgery identification*, Indocrypt 2012).
//!
//! Everything in here is public, so nothing has to take constant time. That is why it has a field and points of its own,
//! which `p256` keeps in constant time. A mistake in them would not let a bad signature through: one who looked for inputs
//! that are added up wrongly would have to know the coefficients, and where the sum is not 0, `p256` decides, one by one.

mod field;
mod multiexp;
mod point;

use p256::{
    AffinePoint, Scalar, U256,
    ecdsa::Signature,
    elliptic_curve::{ff::BatchInverter, ops::Reduce as _},
};
use rand::TryRng as _;

use self::{field::words, multiexp::Term, point::Affine};
use crate::identity::Claim;

/// Fewer are looked at alone, which takes less than a millisecond.
const FEWEST: usize = 4;

/// So often on average halving looks at a claim at most: where many do not hold, the caller is faster.
const LOOKS: usize = 4;

/// A claim, and what it adds to the combination; `None` where it has no equation.
type Candidate<'c, 'a> = (&'c Claim<'a>, Option<Equation>);

/// What G is multiplied by, and the other two terms.
struct Equation {
    generator: Scalar,
    terms: [Term; 2],
}

/// Those that are yet to be looked at alone, in order; all others hold.
pub(crate) fn doubtful<'c, 'a>(claims: &'c [Claim<'a>]) -> Vec<&'c Claim<'a>> {
    if claims.len() < FEWEST {
        return claims.iter().collect();
    }
    let candidates = candidates(claims);
    if all_hold(&candidates) {
        return Vec::new();
    }
    // In each is one that does not hold.
    let mut parts = vec![&*candidates];
    let mut looks = claims.len().saturating_mul(LOOKS);
    while parts.iter().any(|part| is_divisible(part)) {
        let count = parts.iter().map(|part| part.len()).sum();
        let Some(left) = looks.checked_sub(count) else { break };
        looks = left;
        parts = parts.into_iter().flat_map(halves).flatten().collect();
    }
    parts.into_iter().flatten().map(|(claim, _)| *claim).collect()
}

fn is_divisible(part: &[Candidate<'_, '_>]) -> bool {
    part.len() / 2 >= FEWEST
}

/// Of a part in which one does not hold the halves of which that is true.
fn halves<'p, 'c, 'a>(part: &'p [Candidate<'c, 'a>]) -> [Option<&'p [Candidate<'c, 'a>]>; 2] {
    if !is_divisible(part) {
        return [Some(part), None];
    }
    let (first, second) = part.split_at(part.len() / 2);
    if all_hold(first) {
        [None, Some(second)]
    } else if all_hold(second) {
        [Some(first), None]
    } else {
        [Some(first), Some(second)]
    }
}

/// Whether all hold, or else: perhaps not all.
#[allow(clippy::arithmetic_side_effects, reason = "scalars, which cannot overflow")]
fn all_hold(part: &[Candidate<'_, '_>]) -> bool {
    let mut terms = Vec::with_capacity(part.len().saturating_mul(2).saturating_add(1));
    let mut generator = Scalar::ZERO;
    for (_, equation) in part {
        let Some(equation) = equation else { return false };
        generator += equation.generator;
        terms.extend(equation.terms);
    }
    let Some(point) = Affine::new(&AffinePoint::GENERATOR) else { return false };
    terms.push((point, to_words(&generator)));
    multiexp::sum(&terms).is_some_and(|sum| sum.is_neutral())
}

fn candidates<'c, 'a>(claims: &'c [Claim<'a>]) -> Vec<Candidate<'c, 'a>> {
    let mut coefficients = vec![[0; 16]; claims.len()];
    if rand::rngs::SysRng.try_fill_bytes(coefficients.as_flattened_mut()).is_err() {
        return claims.iter().map(|claim| (claim, None)).collect();
    }
    let signature = |claim: &Claim<'_>| Signature::from_slice(claim.signature?.as_bytes()).ok();
    let signatures: Vec<Option<Signature>> = claims.iter().map(signature).collect();
    let s = |signature: &Option<Signature>| {
        signature.as_ref().map_or(Scalar::ONE, |signature| *signature.split_scalars().1)
    };
    let mut over_s: Vec<Scalar> = signatures.iter().map(s).collect();
    let mut room = over_s.clone();
    BatchInverter::invert_with_external_scratch(&mut over_s, &mut room);
    let parts = signatures.iter().zip(over_s).zip(coefficients);
    claims
        .iter()
        .zip(parts)
        .map(|(claim, ((signature, over_s), coefficient))| {
            let coefficient = Scalar::from(u128::from_le_bytes(coefficient));
            (claim, signature.as_ref().and_then(|signature| equation(claim, signature, over_s, coefficient)))
        })
        .collect()
}

/// The claim's equation times the coefficient.
#[allow(clippy::arithmetic_side_effects, reason = "scalars, which cannot overflow")]
fn equation(
    claim: &Claim<'_>,
    signature: &Signature,
    over_s: Scalar,
    coefficient: Scalar,
) -> Option<Equation> {
    let (r, _) = signature.split_scalars();
    // R has an even y coordinate.
    let opposite_of_r = Affine::with_odd_y(&r.to_bytes().into())?;
    let key = Affine::new(claim.key.point())?;
    let factor = coefficient * over_s;
    Some(Equation {
        generator: factor * Scalar::reduce(&U256::from_be_slice(&claim.digest)),
        terms: [(key, to_words(&(factor * *r))), (opposite_of_r, to_words(&coefficient))],
    })
}

fn to_words(scalar: &Scalar) -> [u64; 4] {
    words(&scalar.to_bytes().into())
}

#[cfg(test)]
mod tests;
