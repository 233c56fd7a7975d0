//! What a session costs by its plan: bytes, and the operations that no implementation can leave out.
//!
//! The operations are the floor that a benchmark multiplies with what one of each takes on its machine. With N clients,
//! k neighbours each, and every client's vector as long as the plan says:
//!
//! - client = (k + 1) mask streams + 2k key agreements + 2 sharings + k seals, and N signature checks against a
//!   malicious server;
//! - server = as many additions as vectors arrive + a mask stream for each of them + for each of those who dropped out
//!   a stream and a key agreement for each neighbour that arrived + a reconstruction for each of both.
//!
//! A *mask stream* is the keystream for one whole vector, added to it. A *sharing* is among k or, on the complete
//! graph, N; a *seal* is what one neighbour gets. Hashing, quantizing, packing and encoding are not in it.

use serde::Serialize;

use crate::plan::{LEADING, MAX_ENTRIES, Plan};

/// The floor of one client, in operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClientCost {
    /// k + 1: one with each neighbour, and its own.
    pub mask_streams: u64,
    /// 2k elliptic-curve Diffie-Hellman agreements: for sealing and for masking.
    pub key_agreements: u64,
    /// 2 secrets shared: the self-mask's seed and the masking key.
    pub sharings: u64,
    /// k.
    pub seals: u64,
    /// N against a malicious server, else none.
    pub signature_checks: u64,
}

/// The floor of the server, in operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServerCost {
    /// Vectors added to the sum.
    pub additions: u64,
    /// One for each survivor, and one for each survivor among the neighbours of each client that dropped out.
    pub mask_streams: u64,
    /// One for each survivor among the neighbours of each client that dropped out.
    pub key_agreements: u64,
    /// Secrets rebuilt: a survivor's seed or a dropped client's masking key.
    pub reconstructions: u64,
    /// Looked at before anything is passed on, against a malicious server: three of each client, and one more of each
    /// survivor. The floor is without them: many are looked at together, in a part of the time.
    pub signature_checks: u64,
}

/// What one client sends, in bytes, encoded as CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UploadBytes {
    /// Round 0: [`AdvertiseKeysMessage`](crate::AdvertiseKeysMessage).
    pub advertise_keys: u64,
    /// Round 0: [`FreezeRosterMessage`](crate::FreezeRosterMessage).
    pub freeze_roster: u64,
    /// Round 1: [`ShareKeysMessage`](crate::ShareKeysMessage).
    pub share_keys: u64,
    /// Round 2: [`MaskedInputMessage`](crate::MaskedInputMessage).
    pub masked_input: u64,
    /// Round 3: [`ConsistencyCheckMessage`](crate::ConsistencyCheckMessage).
    pub consistency_check: u64,
    /// Round 4: [`UnmaskMessage`](crate::UnmaskMessage).
    pub unmask: u64,
}

impl UploadBytes {
    /// All messages of a session.
    pub fn total(&self) -> u64 {
        let Self { advertise_keys, freeze_roster, share_keys, masked_input, consistency_check, unmask } =
            self;
        [advertise_keys, freeze_roster, share_keys, masked_input, consistency_check, unmask].into_iter().sum()
    }
}

impl Plan {
    /// The largest `max_weight` that fits, with everything else as it is.
    pub fn largest_max_weight(&self) -> u64 {
        self.parameters().largest_max_weight(self.clients())
    }

    /// The largest `quantization_range` that fits, with everything else as it is.
    pub fn largest_quantization_range(&self) -> u64 {
        self.parameters().largest_quantization_range(self.clients())
    }

    /// The longest vector that fits, with everything else as it is. Entries are summed one by one, so only memory limits
    /// it: as many as this machine can address at 8 bytes each.
    pub fn longest_vector(&self) -> usize {
        MAX_ENTRIES.saturating_sub(LEADING).saturating_sub(self.layout().scalars())
    }

    /// The floor of a client that stays to the end, with all its neighbours.
    pub fn client_cost(&self) -> ClientCost {
        let k = self.neighbours() as u64;
        ClientCost {
            mask_streams: k.saturating_add(1),
            key_agreements: k.saturating_mul(2),
            sharings: 2,
            seals: k,
            signature_checks: if self.security().is_malicious() { self.clients() as u64 } else { 0 },
        }
    }

    /// The floor of the server, when so many of the clients shared keys and sent no input. On a sparse graph the number
    /// of neighbours that they have among the survivors is the expected one, rounded up over all of them.
    pub fn server_cost(&self, dropped: usize) -> ServerCost {
        let dropped = dropped.min(self.clients());
        let survivors = self.clients().saturating_sub(dropped);
        let others = self.clients().saturating_sub(1).max(1);
        let pairs =
            (dropped as u128).saturating_mul(self.neighbours() as u128).saturating_mul(survivors as u128);
        let pairs = u64::try_from(pairs.div_ceil(others as u128)).unwrap_or(u64::MAX);
        let survivors = survivors as u64;
        ServerCost {
            additions: survivors,
            mask_streams: survivors.saturating_add(pairs),
            key_agreements: pairs,
            reconstructions: self.clients() as u64,
            signature_checks: self.server_signature_checks(self.clients(), survivors),
        }
    }

    /// Of so many members, of whom so many survived.
    pub(crate) fn server_signature_checks(&self, members: usize, survivors: u64) -> u64 {
        let checks = (members as u64).saturating_mul(3).saturating_add(survivors);
        if self.security().is_malicious() { checks } else { 0 }
    }

    /// What a client sends when nobody drops out, and round and attempt are below 24; each message has up to 12 bytes
    /// more in later ones. What a transport puts around it is not in it.
    pub fn upload(&self) -> UploadBytes {
        let k = self.neighbours() as u64;
        let session = ("session", map(&[("id", string(32)), ("round", 1), ("attempt", 1)]));
        let hash = string(32);
        let signature = ("signature", if self.security().is_malicious() { string(64) } else { NULL });
        // On the complete graph a client keeps a share of its own seed, and gives it with the others'.
        let (own_commitment, seeds) =
            if self.is_complete() { (hash, k.saturating_add(1)) } else { (NULL, k) };
        UploadBytes {
            advertise_keys: map(&[
                session,
                ("plan", hash),
                ("sealing_key", string(65)),
                ("masking_key", string(65)),
                ("commitment", hash),
                signature,
            ]),
            freeze_roster: map(&[session, ("randomness", hash), signature]),
            share_keys: map(&[
                session,
                ("seed_commitment", hash),
                ("own_commitment", own_commitment),
                ("shares", list(k, string(224))),
                signature,
            ]),
            masked_input: map(&[session, ("entries", string(self.masked_bytes() as u64))]),
            consistency_check: map(&[session, signature]),
            unmask: map(&[session, ("seeds", list(seeds, string(64))), ("masking_keys", list(0, 0))]),
        }
    }
}

// Sizes in CBOR (RFC 8949, section 3).

/// An absent value.
const NULL: u64 = 1;

/// What stands before so many bytes or items.
fn head(count: u64) -> u64 {
    match count {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

/// A string of so many bytes, or a text.
fn string(bytes: u64) -> u64 {
    head(bytes).saturating_add(bytes)
}

/// So many entries of this size.
fn list(entries: u64, size: u64) -> u64 {
    head(entries).saturating_add(entries.saturating_mul(size))
}

/// Named fields, with the size of each value.
fn map(fields: &[(&str, u64)]) -> u64 {
    let sizes = fields.iter().map(|(name, value)| string(name.len() as u64).saturating_add(*value));
    head(fields.len() as u64).saturating_add(sizes.sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, NumShares, Parameters, Security};

    fn plan(clients: usize, shares: NumShares, security: Security) -> Plan {
        let parameters =
            Parameters::new().with_num_shares(shares).with_security(security).with_dropouts(0.05);
        parameters.plan(clients, Layout::new(1, 1000)).unwrap()
    }

    #[test]
    fn the_floors_by_hand() {
        let all = plan(100, NumShares::default(), Security::default());
        let client = all.client_cost();
        assert_eq!((client.mask_streams, client.key_agreements, client.sharings), (100, 198, 2));
        assert_eq!((client.seals, client.signature_checks), (99, 100));
        let none = all.server_cost(0);
        assert_eq!((none.additions, none.mask_streams, none.key_agreements), (100, 100, 0));
        // Each of ten had the other ninety as neighbours.
        let tenth = all.server_cost(10);
        assert_eq!((tenth.additions, tenth.mask_streams, tenth.key_agreements), (90, 90 + 900, 900));
        assert_eq!((none.reconstructions, tenth.reconstructions), (100, 100));
        assert_eq!((none.signature_checks, tenth.signature_checks), (400, 390));

        let few = plan(1000, NumShares::Auto, Security::SemiHonest);
        let client = few.client_cost();
        assert_eq!((few.neighbours(), client.mask_streams, client.key_agreements), (30, 31, 60));
        assert_eq!((client.seals, client.signature_checks), (30, 0));
        // 100 · 30 · 900 / 999, rounded up.
        let tenth = few.server_cost(100);
        assert_eq!((tenth.mask_streams, tenth.key_agreements), (900 + 2703, 2703));
        assert_eq!((few.server_cost(5000).mask_streams, few.server_cost(0).signature_checks), (0, 0));
    }

    #[test]
    fn the_largest_that_fit_fit() {
        let base = Parameters::new().with_modulus_range(1 << 40);
        let plan = base.plan(7, Layout::new(3, 10)).unwrap();
        let fits = |parameters: Parameters, vector| parameters.plan(7, Layout::new(3, vector)).is_ok();
        for (largest, with) in [
            (plan.largest_max_weight(), Parameters::with_max_weight as fn(Parameters, u64) -> Parameters),
            (plan.largest_quantization_range(), Parameters::with_quantization_range),
        ] {
            assert!(fits(with(base, largest), 10) && !fits(with(base, largest + 1), 10), "{largest}");
        }
        let longest = plan.longest_vector();
        assert!(fits(base, longest) && !fits(base, longest + 1));
    }

    /// At the default range for up to 1,024 clients, beside the vector in 32-bit floats: 32 bits an entry at most.
    #[test]
    fn a_masked_vector_is_no_longer_than_the_plain_one() {
        let parameters =
            Parameters::new().with_num_shares(NumShares::Auto).with_security(Security::SemiHonest);
        for (clients, bits) in [(3, 24), (32, 27), (100, 29), (512, 31), (1000, 32), (1024, 32)] {
            let plan = parameters.plan(clients, Layout::new(0, 100_000)).unwrap();
            assert_eq!(plan.entry_bits(), bits, "{clients}");
            // The two entries before the vector, the session and the fields' names: less than one neighbour takes.
            let upload = plan.upload().masked_input;
            assert!(upload < 400_000 + 100, "{clients}: {upload}");
        }
    }
}
