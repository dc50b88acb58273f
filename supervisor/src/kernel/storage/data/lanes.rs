//! Whose turn it is. Apps wait in two lanes: those that have used little of the threads of late, and those that
//! have used much. Heavy ones never have all threads, and never none while they wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::limits::{DEBT_MAX, HEAVY_THREADS};

/// Those that wait, first come first served in each lane.
pub(super) struct Lanes<T> {
    light: VecDeque<T>,
    heavy: VecDeque<T>,
    heavy_now: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { light: VecDeque::new(), heavy: VecDeque::new(), heavy_now: 0 }
    }
}

impl<T> Lanes<T> {
    pub(super) fn push(&mut self, item: T, heavy: bool) {
        if heavy { self.heavy.push_back(item) } else { self.light.push_back(item) }
    }

    /// The next one that may have a thread, and whether it is a heavy one, to be told to [`Self::done`].
    pub(super) fn pop(&mut self) -> Option<(T, bool)> {
        let light = |lanes: &mut Self| lanes.light.pop_front().map(|item| (item, false));
        let heavy = |lanes: &mut Self| {
            let item = lanes.heavy.pop_front()?;
            lanes.heavy_now += 1;
            Some((item, true))
        };
        match self.heavy_now {
            0 => heavy(self).or_else(|| light(self)),
            now if now < HEAVY_THREADS => light(self).or_else(|| heavy(self)),
            _ => light(self),
        }
    }

    /// A turn is over.
    pub(super) fn done(&mut self, heavy: bool) {
        self.heavy_now -= usize::from(heavy);
    }

    pub(super) fn len(&self) -> usize {
        self.light.len() + self.heavy.len()
    }

    /// The one that was pushed last, when there was no thread for it.
    pub(super) fn take_back(&mut self, heavy: bool) -> Option<T> {
        if heavy { self.heavy.pop_back() } else { self.light.pop_back() }
    }
}

/// The time of threads that an app has used of late. Some of it is forgiven with the time that passes.
#[derive(Debug)]
pub(super) struct Debt {
    used: Duration,
    at: Instant,
    /// One part in so many of that.
    forgiven: u32,
}

impl Debt {
    pub(super) fn none(now: Instant, forgiven: u32) -> Self {
        Self { used: Duration::ZERO, at: now, forgiven }
    }

    fn forgive(&mut self, now: Instant) {
        self.used = self.used.saturating_sub(now.saturating_duration_since(self.at) / self.forgiven);
        self.at = now;
    }

    /// It has used some.
    pub(super) fn add(&mut self, used: Duration, now: Instant) {
        self.forgive(now);
        self.used = (self.used + used).min(DEBT_MAX);
    }

    /// Whether it is as much as that.
    pub(super) fn reaches(&mut self, most: Duration, now: Instant) -> bool {
        self.forgive(now);
        self.used >= most
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::{AT_ONCE_BURST, AT_ONCE_SHARE, FORGIVEN, HEAVY};
    use super::*;

    #[test]
    fn heavy_ones_have_some_threads_and_never_all() {
        let mut lanes = Lanes::default();
        for n in 0..5 {
            lanes.push(n, true);
        }
        lanes.push(10, false);
        lanes.push(11, false);
        assert_eq!(lanes.pop(), Some((0, true)), "one heavy always");
        assert_eq!(lanes.pop(), Some((10, false)), "then those that use little");
        assert_eq!(lanes.pop(), Some((11, false)));
        assert_eq!(lanes.pop(), Some((1, true)));
        assert_eq!(lanes.pop(), None, "the other threads are kept free");
        lanes.push(12, false);
        assert_eq!(lanes.pop(), Some((12, false)));
        lanes.done(true);
        assert_eq!(lanes.pop(), Some((2, true)));
        assert_eq!(lanes.len(), 2);
    }

    #[test]
    fn what_was_used_is_forgiven_with_time() {
        let start = Instant::now();
        let mut debt = Debt::none(start, FORGIVEN);
        debt.add(HEAVY - Duration::from_millis(1), start);
        assert!(!debt.reaches(HEAVY, start));
        debt.add(Duration::from_millis(1), start);
        assert!(debt.reaches(HEAVY, start));
        assert!(!debt.reaches(HEAVY, start + Duration::from_millis(4)), "a quarter of the time that passed");
        debt.add(Duration::from_secs(3600), start);
        assert!(!debt.reaches(HEAVY, start + DEBT_MAX * FORGIVEN), "nothing is held against an app for long");
    }

    #[test]
    fn reads_at_once_may_take_their_share_of_a_thread_for_long() {
        let (start, step) = (Instant::now(), Duration::from_millis(1));
        let mut debt = Debt::none(start, AT_ONCE_SHARE);
        let (mut now, mut taken) = (start, Duration::ZERO);
        for _ in 0..10_000 {
            now += step;
            if !debt.reaches(AT_ONCE_BURST, now) {
                debt.add(step, now);
                taken += step;
            }
        }
        let fair = (now - start) / AT_ONCE_SHARE;
        assert!(taken >= fair && taken <= fair + AT_ONCE_BURST + step, "{taken:?} of {:?}", now - start);
    }
}
