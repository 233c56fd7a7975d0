//! What crosses: byte strings of fixed lengths, decoders that refuse others, and nothing secret in `Debug`.

use crate::common::{Cohort, Last, reencode};
use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};
use veilflow_secagg::*;

const STAY: [Last; 3] = [Last::Unmasks; 3];

struct Messages {
    advertise: AdvertiseKeysMessage,
    roster: RosterMessage,
    reveal: FreezeRosterMessage,
    frozen: FrozenRosterMessage,
    share: ShareKeysMessage,
    shares: SharesMessage,
    masked: MaskedInputMessage,
    survivors: SurvivorsMessage,
    word: ConsistencyCheckMessage,
    signatures: SignaturesMessage,
    unmask: UnmaskMessage,
    states: Vec<String>,
}

/// One of each, and each state's `Debug`.
fn messages() -> Messages {
    let mut cohort = Cohort::malicious(3, 0);
    let (_, advertise) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    let (server, mut clients) = cohort.advertise(&STAY);
    let mut states = vec![format!("{server:?}"), format!("{:?}", clients[&0])];
    let (_, roster) = server.freeze().unwrap();
    let (client, reveal) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    states.push(format!("{client:?}"));

    cohort.journals = vec![MemoryJournal::new(); 3];
    let (server, mut clients, frozen) = cohort.frozen(&STAY).unwrap();
    states.push(format!("{server:?}"));
    let (client, share) = clients.remove(&0).unwrap().share_keys(&frozen).unwrap();
    states.push(format!("{client:?}"));

    cohort.journals = vec![MemoryJournal::new(); 3];
    let (server, mut clients) = cohort.share(&STAY).unwrap();
    states.push(format!("{server:?}"));
    let (_, deliveries) = server.deliver().unwrap();
    let shares = deliveries[&cohort.names[0]].clone();
    let client = clients.remove(&0).unwrap().receive_shares(&shares).unwrap();
    states.push(format!("{client:?}"));

    cohort.journals = vec![MemoryJournal::new(); 3];
    let (server, mut clients) = cohort.receive(&STAY).unwrap();
    states.push(format!("{server:?}"));
    let (client, masked) = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap();
    states.push(format!("{client:?}"));

    cohort.journals = vec![MemoryJournal::new(); 3];
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (server, survivors) = server.announce(cohort.model).unwrap();
    states.push(format!("{server:?}"));
    let (client, word) =
        clients.remove(&0).unwrap().check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
    states.push(format!("{client:?}"));

    cohort.journals = vec![MemoryJournal::new(); 3];
    let (server, mut clients, signatures) = cohort.checked(&STAY).unwrap();
    states.push(format!("{server:?}"));
    let unmask = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    Messages {
        advertise,
        roster,
        reveal,
        frozen,
        share,
        shares,
        masked,
        survivors,
        word,
        signatures,
        unmask,
        states,
    }
}

#[test]
fn every_message_survives_the_trip() {
    let m = messages();
    assert_eq!(reencode(&m.advertise), m.advertise);
    assert_eq!(reencode(&m.roster), m.roster);
    assert_eq!(reencode(&m.reveal), m.reveal);
    assert_eq!(reencode(&m.frozen), m.frozen);
    assert_eq!(reencode(&m.share), m.share);
    assert_eq!(reencode(&m.shares), m.shares);
    assert_eq!(reencode(&m.masked), m.masked);
    assert_eq!(reencode(&m.survivors), m.survivors);
    assert_eq!(reencode(&m.word), m.word);
    assert_eq!(reencode(&m.signatures), m.signatures);
    assert_eq!(reencode(&m.unmask), m.unmask);
}

#[test]
fn a_masked_vector_takes_the_bits_of_the_modulus() {
    let size = |length| {
        let plan = Parameters::new().with_min_cohort(2).plan(3, Layout::new(0, length)).unwrap();
        let mut cohort = Cohort::new(plan);
        let (_, mut clients) = cohort.receive(&STAY).unwrap();
        let (_, message) = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap();
        let mut bytes = Vec::new();
        ciborium::into_writer(&message, &mut bytes).unwrap();
        bytes.len()
    };
    // Three clients with values below 2^22: 24 bits an entry.
    assert_eq!(size(3000) - size(2000), 3000);
    assert!(size(0) < 128, "{}", size(0));
}

/// Each byte string in a message, made one byte longer, one byte shorter and empty: none decodes.
fn refuses_other_lengths<M: Serialize + DeserializeOwned + std::fmt::Debug>(message: &M) -> usize {
    fn strings<'a>(value: &'a mut Value, found: &mut Vec<&'a mut Vec<u8>>) {
        match value {
            Value::Bytes(bytes) => found.push(bytes),
            Value::Array(items) => items.iter_mut().for_each(|item| strings(item, found)),
            Value::Map(pairs) => pairs.iter_mut().for_each(|(_, item)| strings(item, found)),
            _ => {}
        }
    }
    let value = Value::serialized(message).unwrap();
    let mut tried = 0;
    for position in 0.. {
        let changes: [fn(&mut Vec<u8>); 3] = [|b| b.push(0), |b| b.truncate(b.len() - 1), |b| b.truncate(1)];
        for change in changes {
            let mut copy = value.clone();
            let mut found = Vec::new();
            strings(&mut copy, &mut found);
            let Some(bytes) = found.get_mut(position) else { return tried };
            change(bytes);
            assert!(copy.deserialized::<M>().is_err(), "byte string {position}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn row_16_byte_strings_of_other_lengths_do_not_decode() {
    let m = messages();
    // Three changes each: session id, plan, two keys, H(r), a signature.
    assert_eq!(refuses_other_lengths(&m.advertise), 3 * 6);
    assert_eq!(refuses_other_lengths(&m.roster), 3 * (2 + 3 * 4));
    assert_eq!(refuses_other_lengths(&m.reveal), 3 * 3);
    assert_eq!(refuses_other_lengths(&m.frozen), 3 * (1 + 3 * 3));
    // For each recipient one string; delivered with a signature and a path of one node.
    assert_eq!(refuses_other_lengths(&m.share), 3 * (4 + 2));
    assert_eq!(refuses_other_lengths(&m.shares), 3 * (1 + 2 * 3));
    // A masked vector's length depends on the plan: the server refuses it, not the decoder.
    assert_eq!(refuses_other_lengths(&m.survivors), 3);
    assert_eq!(refuses_other_lengths(&m.word), 3 * 2);
    assert_eq!(refuses_other_lengths(&m.signatures), 3 * (1 + 3));
    assert_eq!(refuses_other_lengths(&m.unmask), 3 * (1 + 3));
}

#[test]
fn row_11_states_show_their_session_only() {
    for state in messages().states {
        let (name, rest) = state.split_once(' ').unwrap();
        assert!(name.ends_with("Client") || name.ends_with("Server"), "{state}");
        assert_eq!(rest, "{ session: Session(07070707…/round 1/attempt 0), .. }", "{state}");
    }
}

#[test]
fn row_11_debug_of_messages_shows_no_share_and_no_entry() {
    let m = messages();
    // The bytes of an array are numbers in brackets.
    let shows_bytes =
        |text: &str| text.split('[').skip(1).any(|list| list.starts_with(|c: char| c.is_ascii_digit()));
    let unmask = format!("{:?}", m.unmask);
    assert_eq!(unmask.matches("RevealedShare(redacted)").count(), 3);
    assert!(!shows_bytes(&unmask), "{unmask}");
    assert!(format!("{:?}", m.masked).contains("bytes: 18"));
    for text in [format!("{:?}", m.share), format!("{:?}", m.shares)] {
        assert!(text.contains("SealedShare(80 bytes)") && !shows_bytes(&text), "{text}");
    }
}

#[test]
fn row_11_codes_and_culprits_carry_no_data() {
    let error = Error::Input(InputError::WeightAboveMaximum { max: 1000, got: 4711 });
    assert!(error.to_string().contains("4711"), "the site's own log may say it");
    assert_eq!(error.code(), "weight-above-maximum");
    assert!(error.code().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
    assert!(error.culprits().is_empty());
}
