//! The fuzz harnesses of `fuzz/`, with a fixed number of cases from fixed seeds: what a stable toolchain can do in
//! seconds. `cargo +nightly fuzz run interleavings` goes on from here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod decoders;
mod interleavings;
mod network;
mod script;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use veilflow_secagg::*;

/// Noise, of which a fuzzer would choose.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Noise decodes to nothing, as a rule, so each message is also changed a little.
fn decode_all<M: decoders::Message>(messages: &[Vec<u8>]) {
    let own: Vec<&Vec<u8>> = messages.iter().filter(|bytes| decoders::decode::<M>(bytes)).collect();
    assert!(!own.is_empty(), "one of the messages of a session is of this kind");
    let mut changed = 0;
    for seed in 0..600 {
        let noise = noise(seed, 16);
        decoders::decode::<M>(&noise);
        let mut bytes = own[seed as usize % own.len()].clone();
        script::Script::new(&noise).corrupt(&mut bytes);
        changed += usize::from(decoders::decode::<M>(&bytes));
    }
    assert!(changed > 0, "some of the changed ones decode");
}

#[test]
fn row_16_decoders_refuse_or_understand() {
    let messages = interleavings::messages(&noise(0, 0));
    decode_all::<AdvertiseKeysMessage>(&messages);
    decode_all::<RosterMessage>(&messages);
    decode_all::<FreezeRosterMessage>(&messages);
    decode_all::<FrozenRosterMessage>(&messages);
    decode_all::<ShareKeysMessage>(&messages);
    decode_all::<SharesMessage>(&messages);
    decode_all::<MaskedInputMessage>(&messages);
    decode_all::<SurvivorsMessage>(&messages);
    decode_all::<ConsistencyCheckMessage>(&messages);
    decode_all::<SignaturesMessage>(&messages);
    decode_all::<UnmaskMessage>(&messages);
}

/// An undisturbed network: all sums come out.
#[test]
fn silence_gives_every_sum() {
    for setting in 0..interleavings::SETTINGS {
        let outcomes = interleavings::run(&[setting]);
        assert_eq!(outcomes.sums, 2, "{setting}");
    }
}

#[test]
fn row_13_interleavings_give_the_right_sum_or_an_error_that_names_no_innocent() {
    let mut total = interleavings::Outcomes::default();
    for seed in 0..160 {
        let mut script = noise(seed, 400);
        script[0] = (seed % 4) as u8;
        // From hardly disturbed to hopeless.
        script[1] = [0, 6, 20, 60][seed as usize / 4 % 4];
        total += interleavings::run(&script);
    }
    // The harness sees all that it is for.
    assert!(total.sums > 100 && total.errors > 200 && total.named > 100 && total.tampered > 5, "{total:?}");
}
