//! When timers are due. What they do is in `prelude/timers.js`.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use fazt_ipc::limits::TIMERS_MAX;

/// Timers by deadline.
#[derive(Debug, Default)]
pub struct Timers {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_deadline: BTreeSet<(u64, u32)>,
    by_id: HashMap<u32, u64>,
}

impl Timers {
    /// Sets a timer, or sets it anew. False: there are too many.
    pub(crate) fn set(&self, id: u32, deadline_ns: u64) -> bool {
        self.clear(id);
        let mut inner = self.inner.borrow_mut();
        if inner.by_id.len() >= TIMERS_MAX {
            return false;
        }
        inner.by_id.insert(id, deadline_ns);
        inner.by_deadline.insert((deadline_ns, id));
        true
    }

    pub(crate) fn clear(&self, id: u32) {
        let mut inner = self.inner.borrow_mut();
        if let Some(deadline) = inner.by_id.remove(&id) {
            inner.by_deadline.remove(&(deadline, id));
        }
    }

    /// The next deadline.
    #[must_use]
    pub fn next_ns(&self) -> Option<u64> {
        self.inner.borrow().by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a timer that is due.
    pub(crate) fn take_due(&self, now_ns: u64) -> Option<u32> {
        let mut inner = self.inner.borrow_mut();
        let (deadline, id) = *inner.by_deadline.first()?;
        if deadline > now_ns {
            return None;
        }
        inner.by_deadline.remove(&(deadline, id));
        inner.by_id.remove(&id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_by_deadline_and_then_by_age() {
        let timers = Timers::default();
        for (id, deadline) in [(1, 30), (2, 10), (3, 10), (4, 20)] {
            assert!(timers.set(id, deadline));
        }
        timers.clear(4);
        assert_eq!(timers.next_ns(), Some(10));
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(25)).collect();
        assert_eq!(due, [2, 3]);
        assert_eq!(timers.next_ns(), Some(30));
    }

    #[test]
    fn there_is_a_last_timer() {
        let timers = Timers::default();
        assert!((0..TIMERS_MAX as u32).all(|id| timers.set(id, 1)));
        assert!(!timers.set(TIMERS_MAX as u32, 1));
    }
}
