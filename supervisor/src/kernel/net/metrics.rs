//! Counters of the edge, in the text format of Prometheus. Written on the hot path, so each is one atomic.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A worker.
    App,
    /// A deployed file.
    File,
    /// The edge itself: refusals, health, the home page.
    Edge,
}

impl Source {
    const ALL: [(Self, &'static str); 3] = [(Self::App, "app"), (Self::File, "file"), (Self::Edge, "edge")];
}

/// Upper ends of the latency histogram, in microseconds.
const BUCKETS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// Counters of the edge.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By source, then by the hundreds of the status.
    requests: [[AtomicU64; 5]; 3],
    latency: [Histogram; 3],
    /// Fields that workers tried to set and may not.
    pub(crate) fields_dropped: AtomicU64,
    /// Connections open now.
    pub(crate) connections: AtomicU64,
    /// Connections ever.
    pub(crate) connections_total: AtomicU64,
    /// Connections closed at once: too many of them.
    pub(crate) connections_refused: AtomicU64,
    /// Connections closed because their client was too slow or idle for too long.
    pub(crate) connections_timed_out: AtomicU64,
    /// Connections that ended before TLS was agreed.
    pub(crate) handshakes_failed: AtomicU64,
    /// Requests refused for their rate or number.
    pub(crate) limited: AtomicU64,
}

impl Metrics {
    /// Counts an answer whose head is ready.
    pub(crate) fn answered(&self, source: Source, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.requests[source as usize][class].fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let histogram = &self.latency[source as usize];
        let bucket = BUCKETS_US.iter().position(|&end| us <= end).unwrap_or(BUCKETS_US.len());
        histogram.buckets[bucket].fetch_add(1, Relaxed);
        histogram.sum_us.fetch_add(us, Relaxed);
    }

    /// Answers since start.
    pub(crate) fn total(&self) -> u64 {
        self.requests.iter().flatten().map(|count| count.load(Relaxed)).sum()
    }

    /// The text that `GET /metrics` answers.
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(4096);
        // Writing to a String does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("# HELP fazt_requests_total Requests answered, by what answered and class of status.\n");
        out.push_str("# TYPE fazt_requests_total counter\n");
        for (source, name) in Source::ALL {
            for (class, count) in self.requests[source as usize].iter().enumerate() {
                let (class, count) = (class + 1, count.load(Relaxed));
                writeln!(out, "fazt_requests_total{{source=\"{name}\",class=\"{class}xx\"}} {count}")?;
            }
        }
        out.push_str(
            "# HELP fazt_request_seconds Time from the head of a request to the head of its answer.\n",
        );
        out.push_str("# TYPE fazt_request_seconds histogram\n");
        for (source, name) in Source::ALL {
            let histogram = &self.latency[source as usize];
            let mut sum = 0;
            for (at, count) in histogram.buckets.iter().enumerate() {
                sum += count.load(Relaxed);
                let end = BUCKETS_US.get(at).map_or("+Inf".into(), |&us| seconds(us));
                writeln!(out, "fazt_request_seconds_bucket{{source=\"{name}\",le=\"{end}\"}} {sum}")?;
            }
            let total = seconds(histogram.sum_us.load(Relaxed));
            writeln!(out, "fazt_request_seconds_sum{{source=\"{name}\"}} {total}")?;
            writeln!(out, "fazt_request_seconds_count{{source=\"{name}\"}} {sum}")?;
        }
        for (name, kind, help, value) in [
            ("fazt_connections", "gauge", "Connections open now.", &self.connections),
            ("fazt_connections_total", "counter", "Connections accepted.", &self.connections_total),
            (
                "fazt_connections_refused_total",
                "counter",
                "Connections over a bound.",
                &self.connections_refused,
            ),
            (
                "fazt_connections_timed_out_total",
                "counter",
                "Connections closed for slowness or idleness.",
                &self.connections_timed_out,
            ),
            (
                "fazt_handshakes_failed_total",
                "counter",
                "Connections that ended before TLS was agreed.",
                &self.handshakes_failed,
            ),
            ("fazt_requests_limited_total", "counter", "Requests answered 429.", &self.limited),
            (
                "fazt_fields_dropped_total",
                "counter",
                "Header fields that workers tried to set and may not.",
                &self.fields_dropped,
            ),
        ] {
            let value = value.load(Relaxed);
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")?;
        }
        if let Some(bytes) = memory_bytes() {
            writeln!(
                out,
                "# HELP fazt_supervisor_pss_bytes Memory of the supervisor, its share of shared pages counted.\n\
                 # TYPE fazt_supervisor_pss_bytes gauge\nfazt_supervisor_pss_bytes {bytes}"
            )?;
        }
        Ok(())
    }
}

fn seconds(us: u64) -> String {
    format!("{}", us as f64 / 1e6)
}

/// The proportional set size of this process; none where `/proc` does not say.
fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_upwards() {
        let metrics = Metrics::default();
        metrics.answered(Source::App, 200, Duration::from_micros(300));
        metrics.answered(Source::App, 503, Duration::from_secs(60));
        let text = metrics.text();
        for line in [
            "fazt_requests_total{source=\"app\",class=\"2xx\"} 1",
            "fazt_requests_total{source=\"app\",class=\"5xx\"} 1",
            "fazt_requests_total{source=\"file\",class=\"2xx\"} 0",
            "fazt_request_seconds_bucket{source=\"app\",le=\"0.00025\"} 0",
            "fazt_request_seconds_bucket{source=\"app\",le=\"0.0005\"} 1",
            "fazt_request_seconds_bucket{source=\"app\",le=\"30\"} 1",
            "fazt_request_seconds_bucket{source=\"app\",le=\"+Inf\"} 2",
            "fazt_request_seconds_count{source=\"app\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(metrics.total(), 2);
    }
}
