//! CPU time of what runs now. The engine asks every few thousand steps; past the budget it throws what no
//! `catch` or `finally` sees, and the worker is recycled.

use std::cell::Cell;

use crate::sys;

/// The budget of one turn. The clock is read at the first tick, so that short turns cost no system call.
#[derive(Debug, Default)]
pub struct Budget {
    limit_ns: Cell<u64>,
    /// Used by earlier turns of the same request.
    before_ns: Cell<u64>,
    started_ns: Cell<u64>,
    exceeded: Cell<bool>,
}

impl Budget {
    /// Sets the budget of every turn from now on; 0: none.
    pub fn set_limit_ms(&self, limit_ms: u32) {
        self.limit_ns.set(u64::from(limit_ms) * 1_000_000);
    }

    /// The budget in milliseconds.
    #[must_use]
    pub fn limit_ms(&self) -> u64 {
        self.limit_ns.get() / 1_000_000
    }

    /// Starts a turn of something that has used `before_ns` already.
    pub fn begin(&self, before_ns: u64) {
        self.before_ns.set(before_ns);
        self.started_ns.set(0);
    }

    /// What the turn has used, as far as it was measured, with what came before.
    #[must_use]
    pub fn used_ns(&self) -> u64 {
        let started = self.started_ns.get();
        let now = if started == 0 { 0 } else { sys::thread_cpu_ns().saturating_sub(started) };
        self.before_ns.get() + now
    }

    /// Whether to stop.
    pub fn tick(&self) -> bool {
        let limit = self.limit_ns.get();
        if limit == 0 {
            return false;
        }
        if self.started_ns.get() == 0 {
            self.started_ns.set(sys::thread_cpu_ns().max(1));
        }
        if self.used_ns() > limit {
            self.exceeded.set(true);
        }
        self.exceeded.get()
    }

    /// What the turn has used, as far as it was measured.
    #[must_use]
    pub fn turn_ns(&self) -> u64 {
        self.used_ns() - self.before_ns.get()
    }

    /// Whether the turn was long enough to be measured.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started_ns.get() != 0
    }

    /// Whether the budget was ever exceeded: the engine is torn then.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }
}
