//! Clock and randomness, so that a test can turn them.

use std::time::{SystemTime, UNIX_EPOCH};

/// What decisions take from the world.
pub trait World: Send + Sync + 'static {
    /// Now, in milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Fills `bytes` with randomness that nobody can guess.
    fn fill(&self, bytes: &mut [u8]);
}

/// The clock of the machine and the generator of the process, which the system seeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl World for Real {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }
}

/// A clock that stands until it is moved, and randomness that only looks like it.
#[cfg(test)]
pub(crate) struct Fixed {
    now_ms: std::sync::atomic::AtomicU64,
    count: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl Fixed {
    pub(crate) fn at(now_ms: u64) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { now_ms: now_ms.into(), count: 0.into() })
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
impl World for Fixed {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn fill(&self, bytes: &mut [u8]) {
        use sha2::Digest as _;
        let count = self.count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        for (at, chunk) in bytes.chunks_mut(32).enumerate() {
            let block = sha2::Sha256::digest([count.to_le_bytes(), (at as u64).to_le_bytes()].concat());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}
