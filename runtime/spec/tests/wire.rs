//! Messages as bytes: what is written is read again, and what is hostile is refused without a panic.

#![allow(clippy::expect_used, reason = "these are tests")]

extern crate veilflow_spec as veilflow;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use veilflow::{Cause, Missing, Name, Tensor};

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("a vector takes all bytes");
    bytes
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    ciborium::from_reader(bytes).map_err(|error| error.to_string())
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.values().iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn a_tensor_comes_back_to_the_last_bit(rows in 0_usize..5, columns in 0_usize..5, seed: u32) {
        let values = (0..rows * columns).map(|at| f32::from_bits(seed.wrapping_mul(at as u32 + 1))).collect();
        let tensor = Tensor::new([rows, columns], values).unwrap();
        let again: Tensor = read(&write(&tensor)).unwrap();
        prop_assert_eq!(again.shape(), tensor.shape());
        // By bits: a NaN is not equal to itself.
        prop_assert_eq!(bits(&again), bits(&tensor));
    }

    #[test]
    fn a_shape_and_bytes_from_anybody_fit_or_are_refused(
        shape in prop::collection::vec(prop_oneof![0_usize..4, any::<usize>()], 0..4),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if let Ok(tensor) = read::<Tensor>(&write(&(&shape, ByteBuf::from(bytes.clone())))) {
            prop_assert_eq!(tensor.values().len() * 4, bytes.len());
            prop_assert_eq!(tensor.to_le_bytes(), bytes);
            let empty = shape.contains(&0);
            prop_assert_eq!(tensor.values().len(), if empty { 0 } else { shape.iter().product() });
        }
    }

    #[test]
    fn any_bytes_are_a_tensor_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read::<Tensor>(&bytes);
    }
}

#[test]
fn a_scalar_and_an_empty_tensor_travel() {
    for tensor in
        [Tensor::new([], vec![7.0]).unwrap(), Tensor::vector(vec![]), Tensor::new([0, 9], vec![]).unwrap()]
    {
        assert_eq!(read::<Tensor>(&write(&tensor)).unwrap(), tensor);
    }
}

#[test]
fn a_tensor_costs_four_bytes_a_value() {
    let bytes = write(&Tensor::vector(vec![1.5; 1000]));
    assert!(bytes.len() < 4000 + 16, "{} bytes", bytes.len());
}

#[test]
fn tensors_that_lie_are_refused() {
    let lie = |shape: &[u64], bytes: usize| {
        read::<Tensor>(&write(&(shape, ByteBuf::from(vec![0; bytes])))).unwrap_err()
    };
    assert!(lie(&[1], 3).contains("3 bytes are no whole number of 32-bit floats"));
    assert!(lie(&[2, 3], 20).contains("a tensor of shape [2, 3] holds 6 values, got 5"));
    assert!(lie(&[u64::MAX, u64::MAX], 4).contains("more than addressable"));
    // 2^32 × 2^32 wraps to 0, which would let a huge shape pass as an empty tensor.
    assert!(lie(&[1 << 32, 1 << 32], 0).contains("more than addressable"));
}

#[test]
fn a_byte_string_that_announces_more_than_it_holds_is_refused() {
    // [[2^60], bytes of length 2^60]: nothing of that size may be set aside for it.
    let mut bytes = vec![0x82, 0x81, 0x1b];
    bytes.extend((1_u64 << 60).to_be_bytes());
    bytes.push(0x5b);
    bytes.extend((1_u64 << 60).to_be_bytes());
    assert!(read::<Tensor>(&bytes).is_err());
    // An array of 2^60 sides.
    let mut bytes = vec![0x82, 0x9b];
    bytes.extend((1_u64 << 60).to_be_bytes());
    assert!(read::<Tensor>(&bytes).is_err());
}

#[test]
fn who_is_missing_and_why_travels() {
    let causes = [
        Cause::Failed { step: "train".into(), code: "step-failed".into(), text: Some("no data".into()) },
        Cause::Panicked { step: "train".into(), text: None },
        Cause::NotBuilt { text: Some("no disk".into()) },
        Cause::Deadline(Duration::from_millis(1500)),
        Cause::Busy,
        Cause::DroppedOut { step: "train".into() },
        Cause::Cancelled,
    ];
    for cause in causes {
        let missing = Missing { participant: "Bengaluru".into(), cause };
        assert_eq!(read::<Missing>(&write(&missing)).unwrap(), missing);
        let withheld = missing.cause.clone().without_text();
        let text = withheld.to_string();
        assert!(!text.contains("no data") && !text.contains("no disk"), "{text}");
    }
}

#[test]
fn names_are_written_as_text() {
    let by_name = BTreeMap::from([(Name::from("Turin"), 1_u8), (Name::from("Bengaluru"), 2)]);
    let as_text: BTreeMap<String, u8> = read(&write(&by_name)).unwrap();
    assert_eq!(as_text.keys().collect::<Vec<_>>(), ["Bengaluru", "Turin"]);
}
