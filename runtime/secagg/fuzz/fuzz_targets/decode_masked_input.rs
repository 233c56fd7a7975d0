//! Bytes as a [`MaskedInputMessage`](veilflow_secagg::MaskedInputMessage).

#![no_main]

#[path = "../../tests/fuzz/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decoders::decode::<veilflow_secagg::MaskedInputMessage>(bytes);
});
