//! What a plan says about its messages, beside the messages.

use crate::common::{Cohort, Last, identity_of};
use serde::Serialize;
use veilflow_secagg::*;

fn encoded(message: &impl Serialize) -> u64 {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    bytes.len() as u64
}

/// Each message of one client, as it is sent.
fn sent(cohort: &mut Cohort) -> [u64; 6] {
    let last = vec![Last::Unmasks; cohort.names.len()];
    let mut sizes = [0; 6];
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    sizes[0] = encoded(&message);
    let (server, mut clients) = cohort.advertise(&last);
    let (_, roster) = server.freeze().unwrap();
    sizes[1] = encoded(&clients.remove(&0).unwrap().freeze_roster(&roster).unwrap().1);
    cohort.journals = vec![MemoryJournal::new(); last.len()];
    let (_, mut clients, roster) = cohort.frozen(&last).unwrap();
    sizes[2] = encoded(&clients.remove(&0).unwrap().share_keys(&roster).unwrap().1);
    cohort.journals = vec![MemoryJournal::new(); last.len()];
    let (_, mut clients) = cohort.receive(&last).unwrap();
    sizes[3] = encoded(&cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap().1);
    cohort.journals = vec![MemoryJournal::new(); last.len()];
    let (server, mut clients) = cohort.masked(&last).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    sizes[4] = encoded(
        &clients.remove(&0).unwrap().check_consistency(&survivors, &mut cohort.journals[0]).unwrap().1,
    );
    cohort.journals = vec![MemoryJournal::new(); last.len()];
    let (_, mut clients, signatures) = cohort.checked(&last).unwrap();
    sizes[5] = encoded(&clients.remove(&0).unwrap().unmask(&signatures).unwrap());
    sizes
}

#[test]
fn a_plan_knows_the_bytes_of_every_upload() {
    let malicious = Security::Malicious { adversaries: 0.05 };
    for (security, clients, shares, name_bytes) in [
        (Security::SemiHonest, 4, NumShares::default(), 7),
        (malicious, 10, NumShares::default(), 7),
        (Security::SemiHonest, 40, NumShares::Auto, 24),
        (malicious, 12, NumShares::Auto, 3),
    ] {
        let parameters = Parameters::new().with_security(security).with_num_shares(shares);
        let mut cohort = Cohort::new(parameters.plan(clients, Layout::new(2, 300)).unwrap());
        cohort.names = (0..clients).map(|i| format!("{i:0name_bytes$}")).collect();
        cohort.keys = cohort.names.iter().map(|name| (name.clone(), identity_of(name))).collect();
        let upload = cohort.plan.upload();
        let planned = [
            upload.advertise_keys,
            upload.freeze_roster,
            upload.share_keys,
            upload.masked_input,
            upload.consistency_check,
            upload.unmask,
        ];
        assert_eq!(planned, sent(&mut cohort), "{security} {clients}");
        assert_eq!(upload.total(), planned.iter().sum::<u64>());
        // Everything but the vector stays below 600 bytes for each neighbour, and a thousand for none.
        let rest = upload.total() - cohort.plan.masked_bytes() as u64;
        assert!(rest < 1000 + 600 * cohort.plan.neighbours() as u64, "{upload:?}");
    }
}
