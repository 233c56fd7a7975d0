//! Bytes as a [`FrozenRosterMessage`](veilflow_secagg::FrozenRosterMessage).

#![no_main]

#[path = "../../tests/fuzz/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decoders::decode::<veilflow_secagg::FrozenRosterMessage>(bytes);
});
