//! Many ECDSA signatures looked at together: about a third of the time of one after the other.
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
//!
//! Everything in here is public, so nothing has to take constant time.

use p256::{
    AffinePoint, ProjectivePoint, Scalar, U256,
    ecdsa::Signature,
    elliptic_curve::{
        ops::{Invert as _, LinearCombination as _, Reduce as _},
        point::DecompressPoint as _,
        subtle::Choice,
    },
};
use rand::TryRng as _;

use crate::identity::Claim;

/// As many as share the doublings, while the tables of their points stay in the cache.
pub(crate) const CHUNK: usize = 64;

/// Below this the caller is as fast.
const FEWEST: usize = 4;

/// Whether all hold, or else: perhaps not all.
pub(crate) fn all_hold(claims: &[Claim<'_>]) -> bool {
    claims.len() >= FEWEST && claims.chunks(CHUNK).all(|chunk| chunk_holds(chunk).unwrap_or(false))
}

#[allow(clippy::arithmetic_side_effects, reason = "scalars and points, which cannot overflow")]
fn chunk_holds(claims: &[Claim<'_>]) -> Option<bool> {
    let mut terms = Vec::with_capacity(claims.len().saturating_mul(2).saturating_add(1));
    let mut base = Scalar::ZERO;
    for claim in claims {
        let signature = Signature::from_slice(claim.signature?.as_bytes()).ok()?;
        let (r, s) = signature.split_scalars();
        let point = Option::<AffinePoint>::from(AffinePoint::decompress(&r.to_bytes(), Choice::from(0)))?;
        let coefficient = coefficient()?;
        let over_s = coefficient * *s.invert_vartime();
        base += over_s * Scalar::reduce(&U256::from_be_slice(&claim.digest));
        terms.push((claim.key.point(), over_s * *r));
        terms.push((-ProjectivePoint::from(point), coefficient));
    }
    terms.push((ProjectivePoint::GENERATOR, base));
    Some(ProjectivePoint::lincomb_vartime(terms.as_slice()) == ProjectivePoint::IDENTITY)
}

/// 128 random bits.
fn coefficient() -> Option<Scalar> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).ok()?;
    Some(Scalar::from(u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        IdentityKey, Stage,
        identity::{Signature as Sent, verify_all},
        transcript::Transcript,
    };

    struct Signed {
        keys: Vec<IdentityKey>,
        digests: Vec<[u8; 32]>,
        signatures: Vec<Sent>,
        names: Vec<String>,
    }

    impl Signed {
        fn new(count: usize) -> Self {
            let keys: Vec<IdentityKey> = (0..count).map(|_| IdentityKey::generate().unwrap()).collect();
            let statements: Vec<_> = (0..count as u64).map(|i| Transcript::new("test").int(i)).collect();
            let signatures =
                keys.iter().zip(&statements).map(|(key, statement)| key.sign(statement)).collect();
            let digests = statements.iter().map(Transcript::hash).collect();
            Self { keys, digests, signatures, names: (0..count).map(|i| i.to_string()).collect() }
        }

        /// Whether the batch says yes, and who is named one by one.
        fn look(&self) -> (bool, Option<String>) {
            let publics: Vec<_> = self.keys.iter().map(IdentityKey::public).collect();
            let claim = |i: usize| Claim {
                signer: &self.names[i],
                key: &publics[i],
                digest: self.digests[i],
                signature: Some(&self.signatures[i]),
            };
            let claims: Vec<_> = (0..self.keys.len()).map(claim).collect();
            let named = verify_all(Stage::AdvertiseKeys, "relay", &claims).err();
            let named = named.map(|error| match error {
                crate::Error::BadSignature { signer, .. } => signer,
                other => panic!("{other}"),
            });
            (all_hold(&claims), named)
        }
    }

    #[test]
    fn row_04_signatures_that_hold_one_by_one_hold_together() {
        for count in [4, 5, CHUNK, 2 * CHUNK + 1] {
            assert_eq!(Signed::new(count).look(), (true, None), "{count}");
        }
        assert_eq!(Signed::new(3).look(), (false, None), "so few are looked at one by one");
    }

    #[test]
    fn row_04_one_that_does_not_hold_is_found_among_many() {
        for bad in [0, 63, 64, 69] {
            let mut other_statement = Signed::new(70);
            other_statement.digests[bad][31] ^= 1;
            let mut other_key = Signed::new(70);
            other_key.keys[bad] = IdentityKey::generate().unwrap();
            let mut noise = Signed::new(70);
            let mut bytes = *noise.signatures[bad].as_bytes();
            bytes[63] ^= 1;
            noise.signatures[bad] = Sent::from_bytes(bytes);
            for changed in [other_statement, other_key, noise] {
                assert_eq!(changed.look(), (false, Some(bad.to_string())));
            }
        }
        let mut exchanged = Signed::new(8);
        exchanged.signatures.swap(2, 5);
        assert_eq!(exchanged.look(), (false, Some("2".to_owned())));
    }

    /// Another signer may not choose its sign as ours do, and signs validly all the same.
    #[test]
    fn row_04_the_other_sign_holds_one_by_one() {
        let mut signed = Signed::new(6);
        let signature = Signature::from_slice(signed.signatures[3].as_bytes()).unwrap();
        let (r, s) = signature.split_scalars();
        let other = Signature::from_scalars(*r, -*s).unwrap();
        signed.signatures[3] = Sent::from_bytes(other.to_bytes().into());
        assert_eq!(signed.look(), (false, None));
    }
}
