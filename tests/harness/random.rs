//! Random numbers that can be had again.

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed, `FAZT_SEED` or the clock's, and the numbers that follow from it. Print the seed: it replays a failure.
pub fn seed() -> (u64, impl FnMut() -> u64) {
    let given = std::env::var("FAZT_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64)
    });
    let mut state = seed | 1;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (seed, next)
}

/// Bytes that no compression makes less of.
#[must_use]
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}
