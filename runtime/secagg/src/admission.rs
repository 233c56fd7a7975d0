//! How a server takes the messages of a round: one as it comes, or all that came together.
//!
//! Either way the same are refused, each with the error that names its sender, and what is refused changes nothing.
//! Together, signatures are looked at in [`batch`](crate::batch)es, and one by one only where a batch does not hold.

use std::collections::BTreeMap;

use crate::{
    cohort::check_sender,
    error::{Error, Stage},
    identity::{Claim, PublicIdentity, Signature, not_holding},
};

/// Whose message was refused, and why.
pub(crate) type Refused = Vec<(String, Error)>;

/// A signature of a message's sender, before it is looked at.
pub(crate) struct Signed<'a> {
    pub(crate) key: &'a PublicIdentity,
    /// SHA-256 of the statement.
    pub(crate) digest: [u8; 32],
    pub(crate) signature: Option<Signature>,
}

impl Signed<'_> {
    fn claim<'a>(&'a self, signer: &'a str) -> Claim<'a> {
        Claim { signer, key: self.key, digest: self.digest, signature: self.signature.as_ref() }
    }
}

/// What came of one message.
pub(crate) fn of_one(refused: Refused) -> Result<(), Error> {
    refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// Puts what is to be kept of each message with those received, and returns those that are refused. `check` looks at
/// all of a message but its signature.
pub(crate) fn take_all<'k, M, R>(
    stage: Stage,
    received: &mut BTreeMap<String, R>,
    messages: impl IntoIterator<Item = (String, M)>,
    is_known: impl Fn(&str) -> bool,
    check: impl Fn(&str, M) -> Result<(R, Option<Signed<'k>>), Error>,
) -> Refused {
    let (mut refused, mut signed) = (Vec::new(), Vec::new());
    for (from, message) in messages {
        let sender = check_sender(stage, &from, is_known(&from), received);
        match sender.and_then(|()| check(&from, message)) {
            Ok((kept, signature)) => {
                signed.extend(signature.map(|signature| (from.clone(), signature)));
                received.insert(from, kept);
            }
            Err(error) => refused.push((from, error)),
        }
    }
    let claims: Vec<Claim<'_>> = signed.iter().map(|(signer, signed)| signed.claim(signer)).collect();
    for signer in not_holding(&claims) {
        received.remove(signer);
        let (from, signer) = (signer.to_owned(), signer.to_owned());
        refused.push((from.clone(), Error::BadSignature { stage, from, signer }));
    }
    refused
}
