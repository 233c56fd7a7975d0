//! Bytes as a [`SurvivorsMessage`](veilflow_secagg::SurvivorsMessage).

#![no_main]

#[path = "../../tests/fuzz/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decoders::decode::<veilflow_secagg::SurvivorsMessage>(bytes);
});
