//! What apps do without a request, between whoever asks for it and the scheduler: `syscall` and `net` change it and ring,
//! `proc` hears the bell and looks.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use fazt_ipc::ids::{AppId, JobId};
use tokio::sync::Notify;

use super::lock;
use super::manifest::{Cron, Manifest};
use super::shared::Shared;
use crate::kernel::storage::jobs::{Added, CronRow, NewJobRow};
use crate::kernel::storage::{KernelDb, Storage, StorageError};

/// Schedules, runs and jobs of all apps.
pub struct Timetable {
    storage: Arc<Storage>,
    /// Apps that something changed for since the scheduler last looked.
    rung: Mutex<HashSet<AppId>>,
    bell: Notify,
}

impl Timetable {
    pub(super) fn new(storage: Arc<Storage>) -> Self {
        Self { storage, rung: Mutex::default(), bell: Notify::new() }
    }

    /// Over a data folder that nobody else has open.
    #[cfg(test)]
    pub(crate) fn alone(storage: Arc<Storage>) -> Self {
        Self::new(storage)
    }

    /// Uses the file.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut KernelDb) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.storage.kernel(work).await
    }

    /// Adds runs and jobs of an app, all or none, and rings.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn add(&self, app: AppId, jobs: Vec<NewJobRow>) -> Result<Added, StorageError> {
        let added = self.with(move |kernel| kernel.add_jobs(app, &jobs)).await?;
        self.ring(app);
        Ok(added)
    }

    /// Takes a run or job back. False: there is none, or it runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn cancel(&self, app: AppId, id: JobId) -> Result<bool, StorageError> {
        self.with(move |kernel| kernel.cancel_job(app, id)).await
    }

    /// Lets a dead letter be tried again. False: there is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn revive(&self, app: AppId, id: JobId, now_unix_ms: u64) -> Result<bool, StorageError> {
        let revived = self.with(move |kernel| kernel.revive_job(app, id, now_unix_ms)).await?;
        self.ring(app);
        Ok(revived)
    }

    /// Something changed for an app.
    pub fn ring(&self, app: AppId) {
        lock(&self.rung).insert(app);
        self.bell.notify_one();
    }

    /// Waits until it rings; the apps for which it did. For one listener.
    pub async fn rung(&self) -> Vec<AppId> {
        loop {
            let apps: Vec<_> = lock(&self.rung).drain().collect();
            if !apps.is_empty() {
                return apps;
            }
            self.bell.notified().await;
        }
    }
}

/// Entries as they are kept, not yet due.
#[must_use]
pub fn entries(cron: &[Cron]) -> Vec<CronRow> {
    let row = |cron: &Cron| CronRow {
        name: cron.name.clone(),
        schedule: cron.schedule.clone(),
        timezone: cron.timezone.clone(),
        run_missed_once: cron.run_missed_once,
        overlaps: cron.overlaps,
        due: None,
    };
    cron.iter().map(row).collect()
}

/// Before another version of an app is live: should the server end in between, the next start looks whether its entries
/// are other ones. `next`: its manifest, where it is known.
pub(super) async fn before(shared: &Shared, app: AppId, next: Option<&Manifest>) -> Result<(), StorageError> {
    let some = next.is_none_or(|manifest| !manifest.cron.is_empty());
    shared
        .timetable
        .with(move |kernel| if some || kernel.has_cron(app)? { kernel.mark_cron(app) } else { Ok(()) })
        .await
}
