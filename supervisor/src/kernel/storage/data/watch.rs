//! The time that a statement has. SQLite's machine looks at it every so many steps; our own functions, during
//! which the machine stands still, look by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ffi;

/// Bytes of documents that functions walk over between looks at the clock: tens of microseconds.
const LOOK_BYTES: usize = 64 * 1024;
/// What a call of a function costs beside the document.
const CALL_BYTES: usize = 128;

/// A deadline that a connection shares with its functions.
#[derive(Clone)]
pub(super) struct Watch {
    started: Instant,
    /// Milliseconds after `started`.
    deadline_ms: Arc<AtomicU64>,
    walked: Arc<AtomicUsize>,
}

impl Watch {
    /// Without a deadline.
    pub(super) fn endless() -> Self {
        Self {
            started: Instant::now(),
            deadline_ms: Arc::new(AtomicU64::new(u64::MAX)),
            walked: Arc::default(),
        }
    }

    /// Sets the deadline; none: there is none.
    pub(super) fn set(&self, time: Option<Duration>) {
        let deadline = time.map_or(u64::MAX, |time| millis(self.started.elapsed() + time));
        self.deadline_ms.store(deadline, Ordering::Relaxed);
    }

    /// Whether it has passed.
    pub(super) fn late(&self) -> bool {
        let deadline = self.deadline_ms.load(Ordering::Relaxed);
        deadline != u64::MAX && millis(self.started.elapsed()) >= deadline
    }

    /// A function is about to walk over a document.
    ///
    /// # Errors
    /// As an interrupted statement, when the deadline has passed.
    pub(super) fn walk(&self, bytes: usize) -> rusqlite::Result<()> {
        let walked = self.walked.fetch_add(bytes + CALL_BYTES, Ordering::Relaxed) + bytes + CALL_BYTES;
        if walked < LOOK_BYTES {
            return Ok(());
        }
        self.walked.store(0, Ordering::Relaxed);
        if self.late() {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None));
        }
        Ok(())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
}
