//! Memory that a worker's calls may take in the supervisor. A call takes its share before anything is allocated
//! for it, and waits where there is none; the share is given back when what it stood for has gone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::bounds::{CALLS_BYTES_ALL, CALLS_BYTES_MAX};

/// Bytes of one permit: counting each would cost nothing more, but the semaphore counts to 2^29 only.
const UNIT_BYTES: usize = 1024;

/// The allowance of all workers together.
#[derive(Debug, Clone)]
pub(crate) struct Total(Arc<Semaphore>);

impl Default for Total {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CALLS_BYTES_ALL / UNIT_BYTES)))
    }
}

/// The allowance of one worker.
#[derive(Debug)]
pub(crate) struct Allowance {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Part of an allowance, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share {
    own: Option<OwnedSemaphorePermit>,
    all: Option<OwnedSemaphorePermit>,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.min(CALLS_BYTES_MAX).div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

impl Allowance {
    /// Of a worker, out of what there is for all.
    pub(crate) fn of(total: &Total) -> Self {
        Self { own: Arc::new(Semaphore::new(CALLS_BYTES_MAX / UNIT_BYTES)), all: Arc::clone(&total.0) }
    }

    /// Waits for room for `bytes`, at most the whole allowance of a worker. First the worker's own, so that one
    /// that waits for itself does not stand in the way of others.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let units = units(bytes);
        // Neither semaphore is ever closed.
        let own = Arc::clone(&self.own).acquire_many_owned(units).await.ok();
        let all = Arc::clone(&self.all).acquire_many_owned(units).await.ok();
        Share { own, all }
    }

    /// Makes a share as large as `bytes`, if there is room now.
    pub(crate) fn grow(&self, share: &mut Share, bytes: usize) -> bool {
        let more = units(bytes).saturating_sub(share.units());
        let own = Arc::clone(&self.own).try_acquire_many_owned(more);
        let all = Arc::clone(&self.all).try_acquire_many_owned(more);
        let (Ok(own), Ok(all)) = (own, all) else { return false };
        match (&mut share.own, &mut share.all) {
            (Some(mine), Some(ours)) => {
                mine.merge(own);
                ours.merge(all);
            }
            _ => *share = Share { own: Some(own), all: Some(all) },
        }
        true
    }
}

impl Share {
    fn units(&self) -> u32 {
        self.own.as_ref().map_or(0, |permit| u32::try_from(permit.num_permits()).unwrap_or(u32::MAX))
    }

    /// Whether it is as large as `bytes`, or the whole allowance.
    pub(crate) fn holds(&self, bytes: usize) -> bool {
        self.units() >= units(bytes)
    }

    /// Gives back what is over `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let over = self.units().saturating_sub(units(bytes)) as usize;
        for permit in [&mut self.own, &mut self.all].into_iter().flatten() {
            drop(permit.split(over));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_grows_only_into_what_is_free_and_comes_back() {
        let total = Total::default();
        let (one, two) = (Allowance::of(&total), Allowance::of(&total));
        let mut share = one.take(UNIT_BYTES + 1).await;
        assert_eq!(share.units(), 2);
        assert!(one.grow(&mut share, CALLS_BYTES_MAX));
        let mut other = one.take(0).await;
        assert!(!one.grow(&mut other, 1), "all of it is taken");
        assert!(two.grow(&mut Share::default(), CALLS_BYTES_MAX), "another worker has its own");
        share.shrink(UNIT_BYTES);
        assert!(one.grow(&mut other, CALLS_BYTES_MAX - UNIT_BYTES));
        drop((share, other));
        assert_eq!(one.all.available_permits(), CALLS_BYTES_ALL / UNIT_BYTES);
    }

    #[tokio::test]
    async fn more_than_a_worker_may_have_is_the_whole_and_never_waits_for_ever() {
        let total = Total::default();
        let one = Allowance::of(&total);
        assert_eq!(one.take(usize::MAX).await.units() as usize, CALLS_BYTES_MAX / UNIT_BYTES);
        let mut several: Vec<_> = (0..8).map(|_| Allowance::of(&total)).collect();
        let full = |allowance: &Allowance| {
            let mut share = Share::default();
            allowance.grow(&mut share, CALLS_BYTES_MAX).then_some(share)
        };
        let shares: Vec<_> = several.iter().filter_map(full).collect();
        assert_eq!(shares.len(), CALLS_BYTES_ALL / CALLS_BYTES_MAX, "the server's own bound");
        several.clear();
    }
}
