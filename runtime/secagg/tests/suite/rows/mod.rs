//! The rows of `SECURITY.md`, attacked from outside: through messages and calls only.

mod blame;
mod cohorts;
mod malformed;
mod roster;
mod sessions;
mod stories;

use serde_json::json;
use veilflow_secagg::*;

use crate::common::{Cohort, Last};

pub(crate) const STAY: [Last; 4] = [Last::Unmasks; 4];

pub(crate) fn four() -> Cohort {
    Cohort::of(4, 3)
}

pub(crate) type Clients = Vec<(usize, UnmaskClient)>;

/// Round 3.
pub(crate) fn confirm(
    cohort: &Cohort,
    (mut server, survivors): (ConsistencyCheckServer, SurvivorsMessage),
    clients: impl IntoIterator<Item = (usize, ConsistencyCheckClient)>,
) -> (UnmaskServer, Clients, SignaturesMessage) {
    let mut next = Vec::new();
    for (i, client) in clients {
        let (client, message) = client.check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
        server.receive(&cohort.names[i], message).unwrap();
        next.push((i, client));
    }
    let (server, signatures) = server.forward().unwrap();
    (server, next, signatures)
}

/// Round 4.
pub(crate) fn finish(
    cohort: &Cohort,
    mut server: UnmaskServer,
    clients: Clients,
    signatures: &SignaturesMessage,
) -> Result<Aggregate, Error> {
    for (i, client) in clients {
        server.receive(&cohort.names[i], client.unmask(signatures).unwrap()).unwrap();
    }
    server.aggregate()
}

/// What a server can forward: any words that it has.
pub(crate) fn signatures_of(
    cohort: &Cohort,
    words: Vec<(String, ConsistencyCheckMessage)>,
) -> SignaturesMessage {
    let signatures = words.into_iter().map(|(name, word)| (name, json!(word)["signature"].clone()));
    let signatures: serde_json::Map<_, _> = signatures.collect();
    serde_json::from_value(json!({ "session": cohort.session, "signatures": signatures })).unwrap()
}
