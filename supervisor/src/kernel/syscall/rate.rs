//! How often one worker may call: buckets of tokens, told the time from outside.

use std::time::{Duration, Instant};

use fazt_ipc::syscall::{Call, CallError, ErrorCode};

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Calls a second that a worker may make for long.
    calls_per_s: u32,
    /// Calls that it may make at once after a pause.
    burst: u32,
    /// What an app that makes more should do.
    advice: &'static str,
}

/// Storage: more than a worker reaches that does anything with what it reads, so that only a loop meets it. What
/// the disk and the statements take is bounded for each app where they run.
const STORAGE: Pace = Pace {
    calls_per_s: 50_000,
    burst: 100_000,
    advice: "read several documents with one `find` or `list`, write several with one `batch`",
};
/// Runs and jobs: each is written into the server's own database, one after the other.
const LATER: Pace = Pace { calls_per_s: 50, burst: 500, advice: "enqueue several jobs with one `sendBatch`" };
/// Everything else: each may open a file or a connection.
const OTHERS: Pace = Pace { calls_per_s: 2_000, burst: 4_000, advice: "slow down" };

/// The buckets of one worker.
#[derive(Debug)]
pub struct Rate {
    storage: Bucket,
    later: Bucket,
    others: Bucket,
}

#[derive(Debug)]
struct Bucket {
    pace: Pace,
    tokens: u32,
    filled: Instant,
}

impl Rate {
    /// Full buckets.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let full = |pace: Pace| Bucket { pace, tokens: pace.burst, filled: now };
        Self { storage: full(STORAGE), later: full(LATER), others: full(OTHERS) }
    }

    /// Takes one call out of its bucket.
    ///
    /// # Errors
    /// `RateLimited`, with what would be right, when the bucket is empty.
    pub fn take(&mut self, call: &Call, now: Instant) -> Result<(), CallError> {
        match call.row().noun {
            "proc" => self.later.charge(now),
            noun if noun.starts_with("storage.") => self.storage.charge(now),
            _ => self.others.charge(now),
        }
    }

    /// The same for a call whose arguments are still to come, and with them what it is: they are costly enough
    /// for the slower bucket.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_long(&mut self, now: Instant) -> Result<(), CallError> {
        self.others.charge(now)
    }
}

impl Bucket {
    fn charge(&mut self, now: Instant) -> Result<(), CallError> {
        if self.take(now) {
            return Ok(());
        }
        let Pace { calls_per_s, advice, .. } = self.pace;
        let message = format!("a worker may make {calls_per_s} of these calls a second for long: {advice}");
        Err(CallError::new(ErrorCode::RateLimited, message))
    }

    fn take(&mut self, now: Instant) -> bool {
        let Pace { calls_per_s, burst, .. } = self.pace;
        let step = Duration::from_secs(1) / calls_per_s;
        let since = now.saturating_duration_since(self.filled);
        if since >= step {
            let earned = u32::try_from(since.as_nanos() / step.as_nanos()).unwrap_or(u32::MAX);
            self.tokens = self.tokens.saturating_add(earned).min(burst);
            // The rest of a step is kept, so that a steady caller loses nothing to rounding.
            self.filled = if earned >= burst { now } else { self.filled + step * earned };
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
        let key = || Call::KvGet { space: String::new(), key: "k".into() };
        let file = || Call::FsStat { path: "a".into() };
        let later = || Call::ProcList {};
        for (call, pace) in [(key(), STORAGE), (later(), LATER), (file(), OTHERS)] {
            let start = Instant::now();
            let mut rate = Rate::new(start);
            let mut taken = |now| (0..200_000).filter(|_| rate.take(&call, now).is_ok()).count() as u32;
            assert_eq!(taken(start), pace.burst);
            assert_eq!(taken(start + Duration::from_secs(1)), pace.calls_per_s);
            assert_eq!(taken(start + Duration::from_secs(3600)), pace.burst);
        }
    }

    #[test]
    fn storage_has_a_bound_of_its_own_that_says_what_would_be_right() {
        let now = Instant::now();
        let mut rate = Rate::new(now);
        let call = Call::DocsCount { space: String::new(), collection: "c".into(), filter: None };
        let refused = (0..=STORAGE.burst).find_map(|_| rate.take(&call, now).err()).expect("a bound");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert!(refused.message.contains("50000") && refused.message.contains("batch"), "{refused}");
        assert!(rate.take(&Call::FsStat { path: "a".into() }, now).is_ok(), "files have their own");
    }
}
