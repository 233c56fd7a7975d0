//! Two sessions over a network that may do anything, as the bytes say.

#![no_main]

#[path = "../../tests/fuzz/interleavings.rs"]
mod interleavings;
#[path = "../../tests/fuzz/network.rs"]
mod network;
#[path = "../../tests/fuzz/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    interleavings::run(script);
});
