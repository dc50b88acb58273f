//! What others see of a process of raw SQL, and may tell it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fazt_ipc::ids::AppId;
use tokio::sync::Notify;

use super::Place;

/// Whom a process serves.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Whose file.
    pub app: AppId,
    /// Which one.
    pub place: Place,
    /// Its descriptors cannot write.
    pub read_only: bool,
    /// What it does now.
    pub life: Arc<Life>,
}

/// What a process does, or those of one file.
#[derive(Debug)]
pub struct Life {
    /// A tick of the last call while it rests; 0: it does not rest.
    resting: AtomicU64,
    used: AtomicU64,
    active: Mutex<Instant>,
    calls: AtomicU64,
    is_leaving: AtomicBool,
    hibernate: Notify,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            resting: AtomicU64::new(0),
            used: AtomicU64::new(0),
            active: Mutex::new(Instant::now()),
            calls: AtomicU64::new(0),
            is_leaving: AtomicBool::new(false),
            hibernate: Notify::new(),
        }
    }
}

impl Life {
    /// Has it move its WAL and end when it has done what it is doing.
    pub fn hibernate(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.hibernate.notify_one();
    }

    /// Returns when it is told to go.
    pub(in crate::kernel) async fn told(&self) {
        self.hibernate.notified().await;
    }

    /// Since when it rests; none: it works, or was told to go.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        let idle = self.resting_since().is_some() && !self.is_leaving.load(Ordering::Relaxed);
        idle.then(|| self.active())
    }

    /// When it last began or ended something.
    #[must_use]
    pub fn active(&self) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it works now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.resting_since().is_none()
    }

    /// Calls that were answered, since the file was first used.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The tick of the last call, while it rests.
    pub(super) fn resting_since(&self) -> Option<u64> {
        Some(self.resting.load(Ordering::Relaxed)).filter(|&since| since > 0)
    }

    /// Somebody calls, at this tick.
    pub(in crate::kernel) fn is_called(&self, tick: u64) {
        self.used.store(tick, Ordering::Relaxed);
    }

    /// It rests from now on.
    pub(in crate::kernel) fn rests(&self) {
        self.resting.store(self.used.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// There is no process.
    pub(super) fn is_gone(&self) {
        self.resting.store(0, Ordering::Relaxed);
        self.is_leaving.store(false, Ordering::Relaxed);
    }

    /// It begins to work.
    pub(super) fn works(&self) {
        self.resting.store(0, Ordering::Relaxed);
        self.touch();
    }

    /// It has answered.
    pub(super) fn answered(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}
