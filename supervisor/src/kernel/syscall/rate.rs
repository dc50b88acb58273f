//! How often one worker may call: a bucket of tokens, told the time from outside.

use std::time::{Duration, Instant};

/// Calls a second that a worker may make for long.
const CALLS_PER_S: u32 = 2_000;
/// Calls that it may make at once after a pause.
const CALLS_BURST: u32 = 4_000;

/// The bucket of one worker.
#[derive(Debug)]
pub struct Rate {
    tokens: u32,
    filled: Instant,
}

impl Rate {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { tokens: CALLS_BURST, filled: now }
    }

    /// Takes one call out of the bucket; false: too many.
    pub fn take(&mut self, now: Instant) -> bool {
        let step = Duration::from_secs(1) / CALLS_PER_S;
        let since = now.saturating_duration_since(self.filled);
        if since >= step {
            let earned = u32::try_from(since.as_nanos() / step.as_nanos()).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(CALLS_BURST);
            // The rest of a step is kept, so that a steady caller loses nothing to rounding.
            self.filled = if earned >= CALLS_BURST { now } else { self.filled + step * earned };
        }
        let allowed = self.tokens > 0;
        self.tokens -= u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_then_the_steady_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!((0..10_000).filter(|_| rate.take(start)).count() as u32, CALLS_BURST);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..10_000).filter(|_| rate.take(later)).count() as u32, CALLS_PER_S);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..10_000).filter(|_| rate.take(much_later)).count() as u32, CALLS_BURST);
    }
}
