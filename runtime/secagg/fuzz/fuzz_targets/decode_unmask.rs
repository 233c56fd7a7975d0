//! Bytes as a [`UnmaskMessage`](veilflow_secagg::UnmaskMessage).

#![no_main]

#[path = "../../tests/fuzz/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decoders::decode::<veilflow_secagg::UnmaskMessage>(bytes);
});
