//! `cargo +nightly fuzz run decode` in `ipc/`: coverage-guided, for as long as you like.
#![no_main]

#[path = "../target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    target::decode_everything(bytes);
});
