use p256::{
    ProjectivePoint,
    elliptic_curve::{Generate as _, point::AffineCoordinates as _},
};

use super::*;
use crate::{
    IdentityKey, PublicIdentity, Stage,
    identity::{Signature as Sent, not_holding, verify_all},
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
        let signatures = keys.iter().zip(&statements).map(|(key, statement)| key.sign(statement)).collect();
        let digests = statements.iter().map(Transcript::hash).collect();
        Self { keys, digests, signatures, names: (0..count).map(|i| i.to_string()).collect() }
    }

    /// What anybody could have signed who chooses keys and nonces: each key with each nonce.
    fn chosen(keys: &[Scalar], nonces: &[Scalar]) -> Self {
        let mut signed = Self::new(0);
        for (key, nonce) in keys.iter().flat_map(|key| nonces.iter().map(move |nonce| (*key, *nonce))) {
            let digest = Scalar::generate();
            let point = (ProjectivePoint::GENERATOR * nonce).to_affine();
            let r = Scalar::reduce(&U256::from_be_slice(&point.x()));
            let s = (digest + r * key) * nonce.invert().unwrap();
            let s = if point.y_is_odd().into() { -s } else { s };
            signed.keys.push(IdentityKey::from_bytes(&key.to_bytes().into()).unwrap());
            signed.digests.push(digest.to_bytes().into());
            signed.signatures.push(sent(&r, &s));
            signed.names.push(signed.names.len().to_string());
        }
        signed
    }

    fn with_claims<R>(&self, look: impl FnOnce(&[Claim<'_>]) -> R) -> R {
        let publics: Vec<PublicIdentity> = self.keys.iter().map(IdentityKey::public).collect();
        let claim = |i: usize| Claim {
            signer: &self.names[i],
            key: &publics[i],
            digest: self.digests[i],
            signature: Some(&self.signatures[i]),
        };
        look(&(0..self.keys.len()).map(claim).collect::<Vec<_>>())
    }

    /// Whether the batch says yes, and who is named one by one.
    fn look(&self) -> (bool, Option<String>) {
        self.with_claims(|claims| {
            let named = verify_all(Stage::AdvertiseKeys, "relay", claims).err();
            let named = named.map(|error| match error {
                crate::Error::BadSignature { signer, .. } => signer,
                other => panic!("{other}"),
            });
            (doubtful(claims).is_empty(), named)
        })
    }

    /// Who is yet to be looked at alone, and who then does not hold.
    fn found(&self) -> (Vec<usize>, Vec<usize>) {
        self.with_claims(|claims| {
            let doubtful = doubtful(claims).into_iter().map(|claim| claim.signer.parse().unwrap());
            (doubtful.collect(), not_holding(claims).map(|signer| signer.parse().unwrap()).collect())
        })
    }

    fn spoil(&mut self, number: usize) {
        self.digests[number][31] ^= 1;
    }

    fn change_sign(&mut self, number: usize) {
        let (r, s) = self.scalars(number);
        self.signatures[number] = sent(&r, &-s);
    }

    fn scalars(&self, number: usize) -> (Scalar, Scalar) {
        let signature = Signature::from_slice(self.signatures[number].as_bytes()).unwrap();
        let (r, s) = signature.split_scalars();
        (*r, *s)
    }
}

fn sent(r: &Scalar, s: &Scalar) -> Sent {
    Sent::from_bytes(Signature::from_scalars(*r, *s).unwrap().to_bytes().into())
}

#[test]
fn row_04_signatures_that_hold_one_by_one_hold_together() {
    for count in [4, 5, 64, 129] {
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
    signed.change_sign(3);
    assert_eq!(signed.look(), (false, None));
    // Where all do so, halving gives up, and each is looked at once.
    let mut all = Signed::new(70);
    (0..70).for_each(|number| all.change_sign(number));
    assert_eq!(all.found(), ((0..70).collect(), vec![]));
}

#[test]
fn few_are_looked_at_alone_for_one_that_does_not_hold() {
    for bad in [0, 34, 35, 69] {
        let mut signed = Signed::new(70);
        signed.spoil(bad);
        let (doubtful, not_holding) = signed.found();
        assert!(doubtful.contains(&bad) && doubtful.len() < 2 * FEWEST, "{doubtful:?}");
        assert_eq!(not_holding, [bad]);
    }
    for step in [1, 2, 9, 30] {
        let mut signed = Signed::new(70);
        let bad: Vec<usize> = (0..70).step_by(step).collect();
        bad.iter().for_each(|bad| signed.spoil(*bad));
        let (doubtful, not_holding) = signed.found();
        assert!(doubtful.is_sorted() && doubtful.len() <= bad.len() * 2 * FEWEST, "{doubtful:?}");
        assert_eq!(not_holding, bad);
    }
}

#[test]
fn what_is_no_signature_is_found_among_many() {
    let mut signed = Signed::new(20);
    let (_, s) = signed.scalars(7);
    // No point has this x coordinate.
    let mut r = Scalar::ONE;
    while Affine::with_odd_y(&r.to_bytes().into()).is_some() {
        r += Scalar::ONE;
    }
    signed.signatures[7] = sent(&r, &s);
    signed.signatures[12] = Sent::from_bytes([0; 64]);
    signed.signatures[13] = Sent::from_bytes([0xff; 64]);
    assert_eq!(signed.found().1, [7, 12, 13]);
    let nobody = signed.with_claims(|claims| {
        let unsigned: Vec<_> = claims.iter().map(|claim| Claim { signature: None, ..*claim }).collect();
        not_holding(&unsigned).count()
    });
    assert_eq!(nobody, 20);
}

/// Points then meet themselves and their opposites in every sum of the batch.
#[test]
fn row_04_chosen_keys_and_nonces_that_are_equal_or_opposite() {
    let secret = Scalar::generate();
    let scalars = [Scalar::ONE, Scalar::from(2_u64), secret].into_iter().flat_map(|one| [one, -one]);
    let scalars: Vec<Scalar> = scalars.collect();
    let signed = Signed::chosen(&scalars, &scalars);
    assert_eq!(signed.found(), (vec![], vec![]));
    for bad in [0, 7, 14, 35] {
        let mut signed = Signed::chosen(&scalars, &scalars);
        signed.spoil(bad);
        assert_eq!(signed.found().1, [bad]);
    }
    // Signatures of which R is the key or its opposite, and s is anything.
    let mut forged = Signed::chosen(&scalars, &scalars);
    for (key, signature) in forged.keys.iter().zip(&mut forged.signatures) {
        let r = Scalar::reduce(&U256::from_be_slice(&key.public().point().x()));
        *signature = sent(&r, &secret);
    }
    let (doubtful, not_holding) = forged.found();
    assert_eq!((doubtful.len(), not_holding.len()), (36, 36));
}

#[test]
fn row_04_errors_that_cancel_each_other_are_seen() {
    let (key, nonce) = (Scalar::generate(), Scalar::generate());
    let mut signed = Signed::chosen(&[key], &[nonce; 8]);
    // The left sides of the two equations are off by G and −G.
    for (number, sign) in [(2, Scalar::ONE), (5, -Scalar::ONE)] {
        let (_, s) = signed.scalars(number);
        let digest = Scalar::reduce(&U256::from_be_slice(&signed.digests[number]));
        signed.digests[number] = (digest + sign * s).to_bytes().into();
    }
    assert_eq!(signed.found().1, [2, 5]);
}
