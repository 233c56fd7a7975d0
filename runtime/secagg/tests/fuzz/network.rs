//! A network that drops, repeats, exchanges and changes messages, and knows to whom it did.

use std::collections::BTreeSet;

use serde::{Serialize, de::DeserializeOwned};

use crate::script::Script;

/// One message as it arrives, and whether it is the one that was sent.
pub(crate) struct Arrival<M> {
    pub(crate) message: M,
    pub(crate) is_genuine: bool,
}

pub(crate) struct Network<'a> {
    pub(crate) script: Script<'a>,
    /// Of 256 messages so many are disturbed.
    disturbance: u8,
    /// Everything that was ever sent, in any session, by anybody.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Whose link did anything but carry messages or lose them. Only they may be named.
    pub(crate) disturbed: BTreeSet<String>,
    /// To whom something else arrived than the server sent.
    pub(crate) lied_to: BTreeSet<String>,
}

impl<'a> Network<'a> {
    pub(crate) fn new(mut script: Script<'a>) -> Self {
        let disturbance = script.byte();
        Self { script, disturbance, sent: Vec::new(), disturbed: BTreeSet::new(), lied_to: BTreeSet::new() }
    }

    /// What becomes of a message from `client`. Several may arrive.
    pub(crate) fn up<M: Serialize + DeserializeOwned + PartialEq>(
        &mut self,
        client: &str,
        message: M,
    ) -> Vec<Arrival<M>> {
        let bytes = encode(&message);
        self.sent.push(bytes.clone());
        let genuine = || Arrival { message: decode(&bytes).unwrap(), is_genuine: true };
        if self.script.byte() >= self.disturbance {
            return vec![genuine()];
        }
        let mut arrivals = Vec::new();
        match self.script.byte() % 6 {
            0 => {}
            1 => {
                self.disturbed.insert(client.to_owned());
                arrivals.extend([genuine(), genuine()]);
            }
            kind => {
                self.disturbed.insert(client.to_owned());
                arrivals.extend(self.other(bytes.clone(), &message));
                // The right one still comes, after it or before.
                match kind {
                    2 | 3 => arrivals.push(genuine()),
                    4 => arrivals.insert(0, genuine()),
                    _ => {}
                }
            }
        }
        arrivals
    }

    /// What becomes of a message to `client`, which takes one.
    pub(crate) fn down<M: Serialize + DeserializeOwned + PartialEq>(
        &mut self,
        client: &str,
        message: &M,
    ) -> Option<Arrival<M>> {
        let bytes = encode(message);
        self.sent.push(bytes.clone());
        if self.script.byte() >= self.disturbance {
            return Some(Arrival { message: decode(&bytes).unwrap(), is_genuine: true });
        }
        if self.script.byte().is_multiple_of(2) {
            return None;
        }
        let other = self.other(bytes, message)?;
        if !other.is_genuine {
            self.disturbed.insert(client.to_owned());
            self.lied_to.insert(client.to_owned());
        }
        Some(other)
    }

    /// A changed message, or one of anybody, any session and any round; if it is a message of this kind at all.
    fn other<M: Serialize + DeserializeOwned + PartialEq>(
        &mut self,
        mut bytes: Vec<u8>,
        sent: &M,
    ) -> Option<Arrival<M>> {
        if self.script.byte().is_multiple_of(2) {
            self.script.corrupt(&mut bytes);
        } else {
            // Of the same kind most are near: as many as a round has messages.
            let back = self.script.below(self.sent.len().min(24)) + 1;
            let from = if self.script.byte().is_multiple_of(4) {
                self.script.below(self.sent.len())
            } else {
                self.sent.len() - back
            };
            bytes.clone_from(&self.sent[from]);
        }
        let message: M = decode(&bytes)?;
        Some(Arrival { is_genuine: message == *sent, message })
    }
}

fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    bytes
}

fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Option<M> {
    ciborium::from_reader(bytes).ok()
}
