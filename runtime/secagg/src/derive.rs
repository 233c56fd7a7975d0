//! HKDF-SHA256: every symmetric key of the protocol, and what it is bound to.
//!
//! | key | secret | info |
//! |---|---|---|
//! | sealing, 64 bytes | ECDH of sealing keys | domain, session, from, to, kind of share |
//! | pair mask, 32 bytes | ECDH of masking keys | domain, session, both names in order, binding |
//! | self mask, 32 bytes | `b` | domain, session, name |
//!
//! *session* is id, round and attempt. *binding* is SHA-256 of H(model), H(plan) and H(roster), so that the masks of
//! clients with different views do not cancel. It is not in the sealing keys: a share must open before there is a
//! model. There is no salt; the fields are encoded as [`Transcript`] does.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    defences::{Defence, stands},
    digest::ModelDigest,
    error::Error,
    keys::AgreedSecret,
    sealing::ShareKind,
    session::Session,
    transcript::{Transcript, domain},
};

/// What every pair mask is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding([u8; 32]);

impl Binding {
    pub(crate) fn new(model: &ModelDigest, plan: &[u8; 32], roster: &[u8; 32]) -> Self {
        let model = if stands(Defence::ModelBinding) { model.as_bytes() } else { &[0; 32] };
        Self(Transcript::new(domain!("binding")).bytes(model).bytes(plan).bytes(roster).hash())
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The key under which one share travels in one direction: used for one message.
pub(crate) fn sealing_key(
    agreed: &AgreedSecret,
    session: &Session,
    from: &str,
    to: &str,
    kind: ShareKind,
) -> Result<Zeroizing<[u8; 64]>, Error> {
    expand(agreed.as_bytes(), &sealing_info(session, from, to, kind))
}

/// The key of the mask that two clients share; the same for both.
pub(crate) fn pair_mask_key(
    agreed: &AgreedSecret,
    session: &Session,
    one: &str,
    other: &str,
    binding: &Binding,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    expand(agreed.as_bytes(), &pair_mask_info(session, one, other, binding))
}

/// The key of the mask that a client puts on top, so that a late input stays closed.
pub(crate) fn self_mask_key(
    seed: &[u8; 32],
    session: &Session,
    name: &str,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    expand(seed, &self_mask_info(session, name))
}

fn sealing_info(session: &Session, from: &str, to: &str, kind: ShareKind) -> Transcript {
    Transcript::new(domain!("sealing-key")).session(session).text(from).text(to).text(kind.name())
}

fn pair_mask_info(session: &Session, one: &str, other: &str, binding: &Binding) -> Transcript {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    Transcript::new(domain!("pair-mask")).session(session).text(first).text(second).bytes(&binding.0)
}

fn self_mask_info(session: &Session, name: &str) -> Transcript {
    Transcript::new(domain!("self-mask")).session(session).text(name)
}

fn expand<const N: usize>(secret: &[u8], info: &Transcript) -> Result<Zeroizing<[u8; N]>, Error> {
    let mut key = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(info.as_bytes(), key.as_mut())
        .map_err(|_| Error::Internal { operation: "key derivation" })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors {
        secret: String,
        session_id: String,
        round: u64,
        attempt: u32,
        model: String,
        plan: String,
        roster: String,
        binding: String,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        key: String,
        names: Vec<String>,
        info: String,
        okm: String,
    }

    #[test]
    fn row_07_known_answers() {
        let v: Vectors = vectors::read(include_str!("vectors/derive.json"));
        let session = Session::new(vectors::bytes(&v.session_id), v.round).with_attempt(v.attempt);
        let model = ModelDigest::from_bytes(vectors::bytes(&v.model));
        let binding = Binding::new(&model, &vectors::bytes(&v.plan), &vectors::bytes(&v.roster));
        assert_eq!(binding.0, vectors::bytes(&v.binding));
        let secret: [u8; 32] = vectors::bytes(&v.secret);
        for case in &v.cases {
            let names: Vec<&str> = case.names.iter().map(String::as_str).collect();
            let info = match (case.key.as_str(), names.as_slice()) {
                ("sealing/seed", [from, to]) => sealing_info(&session, from, to, ShareKind::Seed),
                ("sealing/masking-key", [from, to]) => {
                    sealing_info(&session, from, to, ShareKind::MaskingKey)
                }
                ("pair-mask", [one, other]) => pair_mask_info(&session, one, other, &binding),
                ("self-mask", [name]) => self_mask_info(&session, name),
                other => panic!("unknown case {other:?}"),
            };
            assert_eq!(vectors::hex(info.as_bytes()), case.info, "{}", case.key);
            let okm = match case.okm.len() {
                64 => vectors::hex(&*expand::<32>(&secret, &info).unwrap()),
                128 => vectors::hex(&*expand::<64>(&secret, &info).unwrap()),
                other => panic!("{other} digits"),
            };
            assert_eq!(okm, case.okm, "{}", case.key);
        }
        assert_eq!(v.cases.len(), 5);
    }

    #[test]
    fn row_07_each_field_changes_the_key() {
        let session = Session::new([1; 32], 2);
        let binding = Binding::new(&ModelDigest::from_bytes([2; 32]), &[3; 32], &[4; 32]);
        let base = pair_mask_info(&session, "a", "b", &binding).hash();
        assert_eq!(base, pair_mask_info(&session, "b", "a", &binding).hash(), "both sides derive one key");
        let other_model = Binding::new(&ModelDigest::from_bytes([9; 32]), &[3; 32], &[4; 32]);
        let other_plan = Binding::new(&ModelDigest::from_bytes([2; 32]), &[9; 32], &[4; 32]);
        let other_roster = Binding::new(&ModelDigest::from_bytes([2; 32]), &[3; 32], &[9; 32]);
        let others = [
            pair_mask_info(&session.with_round(3), "a", "b", &binding),
            pair_mask_info(&session.with_attempt(1), "a", "b", &binding),
            pair_mask_info(&Session::new([9; 32], 2), "a", "b", &binding),
            pair_mask_info(&session, "a", "c", &binding),
            pair_mask_info(&session, "a", "b", &other_model),
            pair_mask_info(&session, "a", "b", &other_plan),
            pair_mask_info(&session, "a", "b", &other_roster),
            self_mask_info(&session, "a"),
        ];
        for other in &others {
            assert_ne!(other.hash(), base);
        }
        let seal = |from, to, kind| sealing_info(&session, from, to, kind).hash();
        assert_ne!(seal("a", "b", ShareKind::Seed), seal("b", "a", ShareKind::Seed), "one key per direction");
        assert_ne!(seal("a", "b", ShareKind::Seed), seal("a", "b", ShareKind::MaskingKey));
    }
}
