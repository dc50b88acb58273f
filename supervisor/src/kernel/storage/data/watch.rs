//! The time that a statement has. SQLite's machine looks at it every so many steps; our own functions, during
//! which the machine stands still, look by themselves.
//!
//! It is the thread's own time on a processor: a machine that is busy with something else interrupts nobody's
//! query. Waiting for the disk is bounded by the clock on the wall.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ffi;
use rustix::time::{ClockId, clock_gettime};

use super::limits::WALL_FACTOR;

/// Bytes of documents that functions walk over between looks at the clock: tens of microseconds.
const LOOK_BYTES: usize = 64 * 1024;
/// What a call of a function costs beside the document.
const CALL_BYTES: usize = 128;
/// A time that has not begun: the first look begins it. Short statements never look, and cost no clock.
const NOT_BEGUN: u64 = u64::MAX;

/// A deadline that a connection shares with its functions.
#[derive(Clone)]
pub(super) struct Watch {
    started: Instant,
    inner: Arc<Inner>,
}

struct Inner {
    /// Time that the statement has, in microseconds; `u64::MAX`: as much as it wants.
    time_us: AtomicU64,
    /// When its processor time is over, in microseconds of its thread.
    cpu_end_us: AtomicU64,
    /// When it is over at the latest, in microseconds after `started`.
    wall_end_us: AtomicU64,
    walked: AtomicUsize,
}

impl Watch {
    /// Without a deadline.
    pub(super) fn endless() -> Self {
        let inner = Inner {
            time_us: AtomicU64::new(u64::MAX),
            cpu_end_us: AtomicU64::new(NOT_BEGUN),
            wall_end_us: AtomicU64::new(NOT_BEGUN),
            walked: AtomicUsize::new(0),
        };
        Self { started: Instant::now(), inner: Arc::new(inner) }
    }

    /// Gives the next statement this time; none: as much as it wants. One thread at a time uses a connection.
    pub(super) fn set(&self, time: Option<Duration>) {
        self.inner.time_us.store(time.map_or(u64::MAX, micros), Ordering::Relaxed);
        self.inner.cpu_end_us.store(NOT_BEGUN, Ordering::Relaxed);
    }

    /// Whether it has passed.
    pub(super) fn late(&self) -> bool {
        let time = self.inner.time_us.load(Ordering::Relaxed);
        if time == u64::MAX {
            return false;
        }
        let (cpu, wall) = (thread_us(), micros(self.started.elapsed()));
        if self.inner.cpu_end_us.load(Ordering::Relaxed) == NOT_BEGUN {
            self.inner.cpu_end_us.store(cpu + time, Ordering::Relaxed);
            self.inner.wall_end_us.store(wall + time * WALL_FACTOR, Ordering::Relaxed);
        }
        cpu >= self.inner.cpu_end_us.load(Ordering::Relaxed)
            || wall >= self.inner.wall_end_us.load(Ordering::Relaxed)
    }

    /// A function is about to walk over a document.
    ///
    /// # Errors
    /// As an interrupted statement, when the deadline has passed.
    pub(super) fn walk(&self, bytes: usize) -> rusqlite::Result<()> {
        let bytes = bytes + CALL_BYTES;
        let walked = self.inner.walked.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if walked < LOOK_BYTES {
            return Ok(());
        }
        self.inner.walked.store(0, Ordering::Relaxed);
        if self.late() {
            return Err(interrupted());
        }
        Ok(())
    }
}

/// What a statement says whose time is over.
pub(super) fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

/// Time that this thread has had a processor.
fn thread_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let us = time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1_000;
    // Never mistaken for a time that has not begun.
    us.min(NOT_BEGUN / 2)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_looks_at_the_clock_after_so_many_bytes() {
        let watch = Watch::endless();
        watch.walk(LOOK_BYTES).expect("no deadline");
        watch.set(Some(Duration::ZERO));
        watch.walk(LOOK_BYTES / 2).expect("not looked yet");
        let error = watch.clone().walk(LOOK_BYTES / 2).expect_err("late");
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        watch.set(None);
        watch.walk(LOOK_BYTES).expect("no deadline any more");
    }

    #[test]
    fn time_that_the_thread_does_not_have_is_not_counted() {
        let watch = Watch::endless();
        watch.set(Some(Duration::from_millis(200)));
        assert!(!watch.late(), "it begins");
        std::thread::sleep(Duration::from_millis(220));
        assert!(!watch.late(), "the thread slept");
        let end = Instant::now() + Duration::from_secs(20);
        while !watch.late() {
            assert!(Instant::now() < end, "it has worked for long enough");
        }
    }
}
