//! Whatever bytes come, decoding them neither panics nor allocates more than a small multiple of them.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use veilflow_engine::remote::Pieces;
use veilflow_federated::ExperimentId;
use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;
use veilflow_spec::{Tensor, read_cbor, to_cbor};

/// What a decoder may allocate beside a multiple of its input: serde's first guess for a sequence, one for each level.
const SLACK: u64 = 256 * 1024;
/// How much larger than its bytes a message may be in memory.
const FACTOR: u64 = 64;

/// Decodes as one kind of message, and checks what it took.
fn bounded<T: DeserializeOwned>(bytes: &[u8]) -> bool {
    let mut good = false;
    let taken = allocation_counter::measure(|| good = decode::<T>(bytes).is_ok());
    assert!(
        taken.bytes_max <= FACTOR * bytes.len() as u64 + SLACK,
        "{} for {}",
        taken.bytes_max,
        bytes.len()
    );
    good
}

fn decode_as_everything(bytes: &[u8]) {
    bounded::<FromEnvoy>(bytes);
    bounded::<ToEnvoy>(bytes);
    bounded::<Submit>(bytes);
    bounded::<Follow>(bytes);
    bounded::<Ask>(bytes);
    bounded::<Told>(bytes);
    bounded::<Results>(bytes);
    bounded::<Vec<ChunkHash>>(bytes);
    bounded::<Vec<EnvoyStatus>>(bytes);
    bounded::<EnrollRequest>(bytes);
    bounded::<Publication>(bytes);
    bounded::<Refusal>(bytes);
}

fn hello() -> FromEnvoy {
    let flow = OfferedFlow { name: "fedavg".to_owned(), version: 1, fingerprint: Some([7; 32].into()) };
    FromEnvoy::Hello {
        protocol: PROTOCOL,
        incarnation: [9; 16],
        flows: vec![flow; 3],
        lists: Lists { roster: 12, revocations: 3 },
    }
}

/// CBOR's heads, with arguments of any size: nearer to messages than random bytes are.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let item = (0..8_u8, 0..32_u8, any::<u64>(), vec(any::<u8>(), 0..6)).prop_map(
        |(major, info, argument, rest)| {
            let width = if (24..28).contains(&info) { 1 << (info - 24) } else { 0 };
            let mut bytes = vec![major << 5 | info];
            bytes.extend_from_slice(&argument.to_be_bytes()[8 - width..]);
            bytes.extend(rest);
            bytes
        },
    );
    vec(item, 0..40).prop_map(|items| items.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_are_decoded_within_bounds(bytes in vec(any::<u8>(), 0..4096)) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn random_items_are_decoded_within_bounds(bytes in heads()) {
        decode_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_are_decoded_within_bounds(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&hello()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        decode_as_everything(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(!bounded::<FromEnvoy>(&bytes), "a cut message counts as whole");
    }

    #[test]
    fn what_is_encoded_is_decoded(experiment in any::<[u8; 16]>(), from in any::<u64>(), follow in any::<bool>()) {
        let hex: String = experiment.iter().map(|byte| format!("{byte:02x}")).collect();
        let message = Follow { id: hex.parse::<ExperimentId>().unwrap(), from, follow };
        prop_assert_eq!(decode::<Follow>(&encode(&message).unwrap()).unwrap(), message);
    }
}

#[test]
fn claims_without_bytes_take_no_memory() {
    // An array, a map, a text and a byte string of 2^62, alone and where a message has one.
    for major in [2_u8, 3, 4, 5] {
        let claim = [&[major << 5 | 27][..], &(1_u64 << 62).to_be_bytes()].concat();
        for bytes in [claim.clone(), [b"\xa1\x66Inline".as_slice(), &claim].concat()] {
            assert!(!bounded::<Content>(&bytes));
            assert!(!bounded::<Vec<ChunkHash>>(&bytes));
            assert!(matches!(decode::<Content>(&bytes), Err(Malformed::Claim { .. })));
        }
    }
}

#[test]
fn what_our_encoder_does_not_write_is_not_read() {
    let deep = [vec![0x81; MAX_DEPTH + 1], vec![0]].concat();
    assert_eq!(decode::<()>(&deep), Err(Malformed::Depth(MAX_DEPTH)));
    let as_deep_as_allowed = [vec![0x81; MAX_DEPTH], vec![0]].concat();
    assert!(matches!(decode::<()>(&as_deep_as_allowed), Err(Malformed::Kind(_))));
    for foreign in
        [&[0xc0, 0][..], &[0x9f, 0xff], &[0xbf, 0xff], &[0x5f, 0xff], &[0xff], &[0xf8, 0xff], &[0x1c]]
    {
        assert!(matches!(decode::<()>(foreign), Err(Malformed::Foreign { at: 0, .. })), "{foreign:?}");
    }
    assert_eq!(decode::<()>(&[0xf6, 0xf6]), Err(Malformed::Trailing(1)));
    assert_eq!(decode::<()>(&[]), Err(Malformed::Truncated(0)));
    assert_eq!(decode::<()>(&[0xf6]), Ok(()));
}

#[test]
fn a_model_is_read_without_a_second_copy() {
    let model = Tensor::vector((0..4 << 20).map(|value| value as f32).collect());
    let bytes = 4 * model.values().len() as u64;
    let encoded = to_cbor(&model).unwrap();
    let pieces: Pieces = encoded.chunks(1 << 20).map(Bytes::copy_from_slice).collect();
    drop(encoded);
    let mut read = None;
    let taken = allocation_counter::measure(|| read = Some(read_cbor::<Tensor>(pieces).unwrap()));
    assert_eq!(read.unwrap(), model);
    // The values grow by doubling: for a moment there is a half beside the whole. Nothing else is as large.
    assert!(taken.bytes_max < bytes * 3 / 2 + (4 << 20), "{} bytes for {bytes}", taken.bytes_max);
}
