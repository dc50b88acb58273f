//! Counters of workers, readable by the edge as Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the histogram of cold starts, in microseconds.
const BUCKETS_US: [u64; 12] =
    [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 512_000, 2_000_000, 10_000_000];

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Requests handed to a worker or refused.
    pub(crate) requests: AtomicU64,
    /// Requests that got no answer from their app.
    pub(crate) failures: AtomicU64,
    /// Workers that were given an app.
    pub(crate) wakes: AtomicU64,
    /// Workers that crashed or overran a limit.
    pub(crate) crashes: AtomicU64,
    /// Workers killed for what they sent.
    pub(crate) violations: AtomicU64,
    /// Apps quarantined.
    pub(crate) quarantines: AtomicU64,
    /// Workers that went for want of memory.
    pub(crate) evictions: AtomicU64,
    cold: [AtomicU64; BUCKETS_US.len() + 1],
    cold_us: AtomicU64,
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Metrics {
    /// Notes how long a request that had to wake its app waited for the head of the answer.
    pub(crate) fn cold_start(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|&bound| us <= bound).unwrap_or(BUCKETS_US.len());
        count(&self.cold[bucket]);
        self.cold_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The counters as text.
    pub(crate) fn text(&self, out: &mut String) {
        let counters = [
            ("fazt_app_requests_total", "Requests for apps with code.", &self.requests),
            ("fazt_app_failures_total", "Requests that got no answer from their app.", &self.failures),
            ("fazt_worker_wakes_total", "Workers that were given an app.", &self.wakes),
            ("fazt_worker_crashes_total", "Workers that crashed or overran a limit.", &self.crashes),
            ("fazt_worker_violations_total", "Workers killed for what they sent.", &self.violations),
            ("fazt_app_quarantines_total", "Apps quarantined.", &self.quarantines),
            ("fazt_worker_evictions_total", "Workers that went for want of memory.", &self.evictions),
        ];
        for (name, help, value) in counters {
            let value = value.load(Ordering::Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        let name = "fazt_worker_cold_start_seconds";
        let _ =
            writeln!(out, "# HELP {name} From a request that had to wake its app to the head of its answer.");
        let _ = writeln!(out, "# TYPE {name} histogram");
        let mut sum = 0;
        for (bucket, bound_us) in self.cold.iter().zip(BUCKETS_US) {
            sum += bucket.load(Ordering::Relaxed);
            let bound = Duration::from_micros(bound_us).as_secs_f64();
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {sum}");
        }
        sum += self.cold[BUCKETS_US.len()].load(Ordering::Relaxed);
        let total = Duration::from_micros(self.cold_us.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {sum}\n{name}_sum {total}\n{name}_count {sum}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        for ms in [1, 3, 30_000] {
            metrics.cold_start(Duration::from_millis(ms));
        }
        let mut text = String::new();
        metrics.text(&mut text);
        assert!(text.contains("le=\"0.001\"} 1\n"), "{text}");
        assert!(text.contains("le=\"0.004\"} 2\n"), "{text}");
        assert!(text.contains("le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("_count 3\n"));
    }
}
