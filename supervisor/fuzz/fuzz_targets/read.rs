//! `cargo +nightly fuzz run read` in `supervisor/`: coverage-guided, for as long as you like.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fazt_supervisor::build::read_everything(bytes);
});
