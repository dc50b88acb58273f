//! What somebody orders of an app's workers: the owner, or whoever takes leave away from a user.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use fazt_ipc::control::State;
use fazt_ipc::ids::{AppId, UserId};
use futures_util::future::BoxFuture;

use super::lifecycle::Event;
use super::slot::Slot;
use super::spec::Spec;
use super::{DispatchError, Proc};
use crate::kernel::fs::{Release, Trial};
use crate::kernel::security::Principal;

impl Proc {
    /// Kills the app's workers and its processes of raw SQL. How many there were.
    pub fn kill(&self, app: AppId) -> u64 {
        self.order(app, Event::Kill) + self.shared.kill_stores(app)
    }

    /// Lets the app's workers and its processes of raw SQL finish what they do, and go. How many there were.
    pub fn hibernate(&self, app: AppId) -> u64 {
        self.order(app, Event::Hibernate) + self.shared.hibernate_stores(app)
    }

    fn order(&self, app: AppId, event: Event) -> u64 {
        let slots = self.shared.slots_of(app);
        let workers = slots.iter().map(|slot| slot.view().links.len() as u64).sum();
        slots.iter().for_each(|slot| slot.tell(event));
        workers
    }

    /// Ends what runs for a user, in one app or in all: they may act no more, or not as they could. Requests in
    /// flight end with it; one that comes later, with leave, gets a new worker.
    pub fn end(&self, user: UserId, app: Option<AppId>) {
        let mut gone = Vec::new();
        self.shared.map().retain(|(of, principal), slot| {
            let keep = *principal != Principal::User(user) || app.is_some_and(|app| app != *of);
            if !keep {
                gone.push(Arc::clone(slot));
            }
            keep
        });
        gone.iter().for_each(|slot| slot.end());
        self.shared.end_stores(user, app);
    }

    /// Wakes the app for `principal`: the owner's word, which also ends back-off and quarantine. Returns when
    /// it is loaded. How many workers were started.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn wake(
        self: &Arc<Self>,
        release: &Arc<Release>,
        principal: Principal,
    ) -> Result<u64, DispatchError> {
        self.is_set_up(release, None)?;
        self.shared.pardon(release.app);
        let slot = self.slot(release, principal, None);
        self.come_up(&slot, Event::Wake).await
    }

    /// Replaces the app's workers by new ones; requests in flight finish on the old.
    ///
    /// # Errors
    /// When the new ones do not come up.
    pub async fn restart(self: &Arc<Self>, release: &Arc<Release>) -> Result<u64, DispatchError> {
        self.is_set_up(release, None)?;
        self.shared.pardon(release.app);
        let mut slots = self.shared.slots_of(release.app);
        if slots.is_empty() {
            slots.push(self.slot(release, Principal::Anonymous, None));
        }
        let mut workers = 0;
        for slot in slots {
            workers += self.come_up(&slot, Event::Restart).await?;
        }
        Ok(workers)
    }

    /// What tries versions before anybody is led to them.
    #[must_use]
    pub fn trial(self: &Arc<Self>) -> Arc<dyn Trial> {
        // Not held by what it holds.
        Arc::new(Trials(Arc::downgrade(self)))
    }

    /// Starts a worker with the release beside those that there are, and ends it.
    async fn try_out(&self, release: &Arc<Release>) -> Result<(), DispatchError> {
        let slot = Slot::start(Arc::clone(&self.shared), Principal::Anonymous, None, Spec::of(release));
        let came = self.come_up(&slot, Event::Wake).await;
        slot.tell(Event::Stop);
        came.map(drop)
    }

    pub(super) async fn come_up(&self, slot: &Arc<Slot>, event: Event) -> Result<u64, DispatchError> {
        let wakes = self.shared.metrics.wakes.load(Ordering::Relaxed);
        if event == Event::Wake && matches!(slot.view().state, State::Running | State::Idle) {
            return Ok(0);
        }
        let mut states = slot.watch();
        states.mark_unchanged();
        slot.tell(event);
        let up = async {
            loop {
                if states.changed().await.is_err() {
                    return Err(DispatchError::Stopping);
                }
                match *states.borrow_and_update() {
                    State::Starting => {}
                    State::Running | State::Idle => return Ok(()),
                    State::Hibernated | State::Backoff => return Err(DispatchError::LoadFailed),
                    State::Quarantined => return Err(DispatchError::Quarantined),
                }
            }
        };
        tokio::time::timeout(self.shared.options.wake_deadline, up)
            .await
            .map_err(|_| DispatchError::WakeTimeout)??;
        Ok(self.shared.metrics.wakes.load(Ordering::Relaxed).saturating_sub(wakes).max(1))
    }
}

/// See [`Proc::trial`].
struct Trials(Weak<Proc>);

impl Trial for Trials {
    fn start(&self, release: Arc<Release>) -> BoxFuture<'static, Result<(), String>> {
        let proc = self.0.upgrade();
        Box::pin(async move {
            let proc = proc.ok_or_else(|| DispatchError::Stopping.to_string())?;
            proc.try_out(&release).await.map_err(|error| error.to_string())
        })
    }
}
