//! What the scheduler needs of the rest of the kernel, as a trait so that tests can be the rest.

use std::sync::Arc;

use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::wire::kernel::{Event, EventKind};
use futures_util::future::BoxFuture;

use super::super::Proc;
use super::super::link::Ended;
use crate::kernel::fs::{Fs, FsError, Release, timetable};
use crate::kernel::storage::jobs::{Claimed, CronRow, JobKind};

/// Why an app cannot be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// There is no such app, or nothing of it is live.
    Gone,
    /// It cannot be read now.
    Later,
}

/// Apps, and what they do.
pub(super) trait Stage: Send + Sync + 'static {
    /// A live version.
    type App: Send + Sync + 'static;

    /// The live version of an app.
    fn look(&self, app: AppId) -> BoxFuture<'_, Result<Arc<Self::App>, Absent>>;
    /// Whether it may do anything without a request.
    fn may(&self, app: &Self::App) -> bool;
    /// Its entries.
    fn entries(&self, app: &Self::App) -> Vec<CronRow>;
    /// Has it do something.
    fn run(&self, app: Arc<Self::App>, claimed: Claimed, now_unix_ms: u64) -> BoxFuture<'static, Ended>;
}

/// The kernel.
pub(super) struct Kernel {
    pub(super) proc: Arc<Proc>,
    pub(super) fs: Arc<Fs>,
}

impl Stage for Kernel {
    type App = Release;

    fn look(&self, app: AppId) -> BoxFuture<'_, Result<Arc<Release>, Absent>> {
        Box::pin(async move {
            self.fs.release(app).await.map_err(|error| match error {
                FsError::NoApp(_) | FsError::NoVersion(_) => Absent::Gone,
                error => {
                    tracing::warn!(%app, %error, "the schedules of an app wait until it can be read");
                    Absent::Later
                }
            })
        })
    }

    fn may(&self, app: &Release) -> bool {
        app.may_schedule()
    }

    fn entries(&self, app: &Release) -> Vec<CronRow> {
        timetable::entries(&app.manifest.cron)
    }

    fn run(&self, app: Arc<Release>, claimed: Claimed, now_unix_ms: u64) -> BoxFuture<'static, Ended> {
        let proc = Arc::clone(&self.proc);
        Box::pin(async move {
            let Claimed { job, payload } = claimed;
            let id = job.id.to_string();
            let entry =
                app.manifest.cron.iter().find(|cron| job.kind == JobKind::Cron && cron.name == job.name);
            let event = Event {
                id: RequestId::new(now_unix_ms, rand::random()),
                kind: if job.kind == JobKind::Queue { EventKind::Queue } else { EventKind::Scheduled },
                name: &job.name,
                cron: entry.map_or("", |cron| &cron.event),
                job: &id,
                unix_ms: job.at_unix_ms,
                attempt: job.attempts,
            };
            proc.event(&app, event, payload.unwrap_or_default().into()).await
        })
    }
}
