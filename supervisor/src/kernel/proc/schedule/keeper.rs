//! The scheduler's task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::ids::{AppId, JobId};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;

use super::NotRun;
use super::agenda::{Agenda, Due};
use super::clock::Clock;
use super::policy::{self, judge};
use super::stage::{Absent, Stage};
use crate::kernel::fs::cron::Schedule;
use crate::kernel::fs::timetable::Timetable;
use crate::kernel::storage::jobs::{
    Added, Claimed, CronRow, Finish, Fire, JobKind, JobRow, NewJobRow, NextDue, RunRow,
};
use crate::kernel::storage::{KernelDb, StorageError};

/// What is so late was missed: the server was off, or asleep.
pub(super) const LATE_MS: u64 = 60_000;
/// A clock that goes back by no more than this was only trimmed.
const TRIM_MS: u64 = 1_000;
/// What could not be read or written is tried again after this time.
const AGAIN_MS: u64 = 10_000;
/// The same for putting away what ended.
const AGAIN: Duration = Duration::from_secs(1);

/// What somebody wants of the scheduler.
pub(super) enum Order {
    /// An entry is to run now.
    Run { app: AppId, name: String, tell: oneshot::Sender<Result<RunRow, NotRun>> },
    /// Nothing more is to begin.
    Stop,
}

/// An attempt that is over.
struct Over {
    app: AppId,
    job: JobId,
    /// It was put away so; none: it could not be, and is run again after the next start.
    run: Option<RunRow>,
}

/// The task.
pub(super) struct Keeper<S: Stage> {
    stage: Arc<S>,
    timetable: Arc<Timetable>,
    clock: Arc<dyn Clock>,
    orders: mpsc::UnboundedReceiver<Order>,
    changes: broadcast::Receiver<AppId>,
    agenda: Agenda,
    going: JoinSet<Over>,
    /// Who waits for the end of a run.
    waiting: HashMap<JobId, oneshot::Sender<Result<RunRow, NotRun>>>,
    /// When it last looked at the clock.
    seen_unix_ms: u64,
    stopping: bool,
}

impl<S: Stage> Keeper<S> {
    pub(super) fn new(
        stage: Arc<S>,
        timetable: Arc<Timetable>,
        clock: Arc<dyn Clock>,
        orders: mpsc::UnboundedReceiver<Order>,
        changes: broadcast::Receiver<AppId>,
    ) -> Self {
        Self {
            stage,
            timetable,
            seen_unix_ms: clock.now_unix_ms(),
            clock,
            orders,
            changes,
            agenda: Agenda::default(),
            going: JoinSet::new(),
            waiting: HashMap::new(),
            stopping: false,
        }
    }

    /// Runs until it is told to stop and everything is put away.
    pub(super) async fn run(mut self) {
        self.begin().await;
        loop {
            self.look_at_clock().await;
            while !self.stopping
                && let Some(due) = self.agenda.due(self.clock.now_unix_ms())
            {
                self.turn(due).await;
            }
            if self.stopping && self.going.is_empty() {
                return;
            }
            let (clock, timetable) = (Arc::clone(&self.clock), Arc::clone(&self.timetable));
            let next = if self.stopping { None } else { self.agenda.next() };
            tokio::select! {
                // What ended makes room for what is due.
                biased;
                Some(over) = self.going.join_next() => self.over(over.ok()).await,
                order = self.orders.recv(), if !self.stopping => match order {
                    Some(Order::Run { app, name, tell }) => self.order(app, name, tell).await,
                    Some(Order::Stop) | None => self.stopping = true,
                },
                changed = self.changes.recv(), if !self.stopping => match changed {
                    Ok(app) => self.sync(app).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => self.sync_all().await,
                    Err(broadcast::error::RecvError::Closed) => self.stopping = true,
                },
                apps = timetable.rung(), if !self.stopping => {
                    for app in apps {
                        self.heard(app).await;
                    }
                },
                () = clock.until(next), if !self.stopping => {}
            }
        }
    }

    /// The server starts: what ran waits again, and everything that is due is known.
    async fn begin(&mut self) {
        let now = self.clock.now_unix_ms();
        loop {
            let begun = self.timetable.with(move |kernel| {
                let again = kernel.recover_jobs(now)?;
                realign(kernel, now)?;
                let stale = kernel.stale_apps()?;
                let apps = kernel.busy_apps()?;
                let next = apps.into_iter().map(|app| Ok((app, kernel.next_due(app)?)));
                Ok((again, stale, next.collect::<Result<Vec<_>, StorageError>>()?))
            });
            match begun.await {
                Ok((again, stale, apps)) => {
                    if again > 0 {
                        tracing::info!(
                            runs = again,
                            "runs that the server did not see to their end begin again"
                        );
                    }
                    apps.into_iter().for_each(|(app, next)| self.agenda.set(app, next));
                    for app in stale {
                        self.sync(app).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "schedules cannot be read");
                    self.clock.until(Some(self.clock.now_unix_ms() + AGAIN_MS)).await;
                }
            }
        }
    }

    /// A clock that went back must not make an entry wait until it is as late again.
    async fn look_at_clock(&mut self) {
        let now = self.clock.now_unix_ms();
        let went_back = now + TRIM_MS < self.seen_unix_ms;
        self.seen_unix_ms = now;
        if went_back {
            let realigned = self.timetable.with(move |kernel| {
                kernel.bring_forward(now + policy::BACKOFF_MAX_MS)?;
                realign(kernel, now)
            });
            let realigned = realigned.await;
            if let Err(error) = realigned {
                tracing::error!(%error, "the clock went back, and schedules cannot be changed");
            }
            self.agenda.forget_times();
            self.sync_all().await;
        }
    }

    /// Does what is due in an app.
    async fn turn(&mut self, due: Due) {
        let (app, begin, now) = (due.app, due.begin, self.clock.now_unix_ms());
        let live = match self.stage.look(app).await {
            Ok(live) if self.stage.may(&live) => live,
            Ok(_) => return self.agenda.pause(app, true),
            Err(Absent::Gone) => return self.forget(app).await,
            Err(Absent::Later) => return self.agenda.postpone(app, now + AGAIN_MS),
        };
        let turned = self.timetable.with(move |kernel| {
            let fires = fires(kernel, app, now)?;
            let claimed = kernel.turn_jobs(app, &fires, now, begin)?;
            Ok((claimed, kernel.next_due(app)?))
        });
        match turned.await {
            Ok((claimed, next)) => {
                if let Some(claimed) = claimed {
                    self.go(app, live, claimed);
                }
                self.agenda.set(app, next);
            }
            Err(error) => {
                tracing::error!(%app, %error, "what is due cannot be written down, and waits");
                self.agenda.postpone(app, now + AGAIN_MS);
            }
        }
    }

    fn go(&mut self, app: AppId, live: Arc<S::App>, claimed: Claimed) {
        self.agenda.begun(app, self.clock.now_unix_ms());
        let (clock, timetable) = (Arc::clone(&self.clock), Arc::clone(&self.timetable));
        let job = claimed.job.clone();
        let began = clock.now_unix_ms();
        let running = self.stage.run(live, claimed, began);
        self.going.spawn(async move {
            let ended = running.await;
            let now = clock.now_unix_ms();
            let verdict = judge(&job, &ended, now, clock.jitter());
            let run = RunRow {
                kind: job.kind,
                name: job.name.clone(),
                job: job.id.to_string(),
                at_unix_ms: job.at_unix_ms,
                began_unix_ms: began,
                ms: now.saturating_sub(began),
                attempt: job.attempts,
                outcome: verdict.outcome.into(),
                error: verdict.error,
            };
            let put_away = put_away(&timetable, app, &job, verdict.finish, &run).await;
            Over { app, job: job.id, run: put_away.then_some(run) }
        });
    }

    /// An attempt is over.
    async fn over(&mut self, over: Option<Over>) {
        // None: it panicked, which is a mistake of ours. Its place stays taken until the next start, which runs it again.
        let Some(Over { app, job, run }) = over else { return };
        self.agenda.ended(app);
        self.refresh(app).await;
        // Whoever waits is told of the first attempt, also if there will be another.
        if let (Some(tell), Some(run)) = (self.waiting.remove(&job), run) {
            let _ = tell.send(Ok(run));
        }
    }

    /// Somebody wants an entry to run now.
    async fn order(&mut self, app: AppId, name: String, tell: oneshot::Sender<Result<RunRow, NotRun>>) {
        match self.add_run(app, &name).await {
            Ok(job) => {
                // Who no longer waits is not remembered.
                self.waiting.retain(|_, tell| !tell.is_closed());
                self.waiting.insert(job, tell);
                self.refresh(app).await;
            }
            Err(why) => {
                let _ = tell.send(Err(why));
            }
        }
    }

    async fn add_run(&self, app: AppId, name: &str) -> Result<JobId, NotRun> {
        let live = self.stage.look(app).await.map_err(|_| NotRun::NoApp)?;
        let entries = self.stage.entries(&live);
        let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
            return Err(NotRun::NoEntry(entries.into_iter().map(|entry| entry.name).collect()));
        };
        if !self.stage.may(&live) {
            return Err(NotRun::NotGranted);
        }
        let now = self.clock.now_unix_ms();
        let id = JobId::new(now, rand::random());
        let (name, overlaps) = (name.to_owned(), entry.overlaps);
        let added = self.timetable.with(move |kernel| {
            if !overlaps && kernel.unfinished(app, &name)?.is_some() {
                return Ok(None);
            }
            let kind = JobKind::Cron;
            let job = NewJobRow { id, kind, name, at_unix_ms: now, due_unix_ms: now, payload: None };
            kernel.add_jobs(app, &[job]).map(Some)
        });
        match added.await? {
            Some(Added::All) => Ok(id),
            Some(Added::Full) => Err(NotRun::Full),
            Some(Added::Gone) => Err(NotRun::NoApp),
            None => Err(NotRun::Running),
        }
    }

    /// The live version of an app may be another one, or may do other things.
    async fn sync(&mut self, app: AppId) {
        let live = match self.stage.look(app).await {
            Ok(live) => live,
            Err(Absent::Gone) => return self.forget(app).await,
            Err(Absent::Later) => {
                return self.agenda.postpone(app, self.clock.now_unix_ms() + AGAIN_MS);
            }
        };
        self.agenda.pause(app, !self.stage.may(&live));
        let (entries, now) = (self.stage.entries(&live), self.clock.now_unix_ms());
        let synced = self.timetable.with(move |kernel| {
            renew(kernel, app, entries, now)?;
            kernel.next_due(app)
        });
        match synced.await {
            Ok(next) => self.agenda.set(app, next),
            Err(error) => {
                tracing::error!(%app, %error, "schedules of a new version cannot be written down, and wait");
                self.agenda.postpone(app, now + AGAIN_MS);
            }
        }
    }

    async fn sync_all(&mut self) {
        let apps = self.timetable.with(|kernel| kernel.busy_apps()).await.unwrap_or_default();
        for app in apps {
            self.sync(app).await;
        }
    }

    /// It rang for an app: something was added, or it may again what it might not.
    async fn heard(&mut self, app: AppId) {
        if self.agenda.is_paused(app) {
            self.sync(app).await;
        } else {
            self.refresh(app).await;
        }
    }

    /// Something was added for an app, or ended.
    async fn refresh(&mut self, app: AppId) {
        let next = self.timetable.with(move |kernel| kernel.next_due(app)).await;
        match next {
            Ok(next) => self.agenda.set(app, next),
            Err(error) => {
                tracing::error!(%app, %error, "what is due cannot be read, and waits");
                let now = self.clock.now_unix_ms();
                self.agenda.set(app, NextDue { entry: None, job: Some(now) });
                self.agenda.postpone(app, now + AGAIN_MS);
            }
        }
    }

    async fn forget(&mut self, app: AppId) {
        self.agenda.remove(app);
        // Mostly done by whoever removed the app.
        if let Err(error) = self.timetable.with(move |kernel| kernel.forget_jobs(app)).await {
            tracing::warn!(%app, %error, "schedules of an app that is gone stay until the next start");
        }
    }
}

/// Puts an attempt away. It must not count as never made because the disk was full for a while.
async fn put_away(timetable: &Timetable, app: AppId, job: &JobRow, finish: Finish, run: &RunRow) -> bool {
    const TRIES: u32 = 30;
    let id = job.id;
    for _ in 0..TRIES {
        let (finish, run) = (finish.clone(), run.clone());
        match timetable.with(move |kernel| kernel.finish_job(app, id, &finish, &run)).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::error!(%app, %id, %error, "the end of a run cannot be written down yet");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    false
}

/// What the entries that are due come to.
fn fires(kernel: &KernelDb, app: AppId, now: u64) -> Result<Vec<Fire>, StorageError> {
    let mut fires = Vec::new();
    for row in kernel.cron(app)? {
        let Some(due_unix_ms) = row.due.filter(|due| *due <= now) else { continue };
        let run = if now - due_unix_ms > LATE_MS && !row.run_missed_once {
            Err("missed")
        } else if !row.overlaps && kernel.unfinished(app, &row.name)?.is_some() {
            Err("overlapped")
        } else {
            Ok(JobId::new(now, rand::random()))
        };
        fires.push(Fire { next_unix_ms: next(&row, now), name: row.name, due_unix_ms, run });
    }
    Ok(fires)
}

fn next(row: &CronRow, now: u64) -> Option<u64> {
    Schedule::parse(&row.schedule, &row.timezone).ok()?.after(now)
}

/// Puts the entries of the live version in place. One that stays as it was stays due when it was.
fn renew(kernel: &mut KernelDb, app: AppId, entries: Vec<CronRow>, now: u64) -> Result<(), StorageError> {
    let known = kernel.cron(app)?;
    let rows: Vec<CronRow> = entries
        .into_iter()
        .map(|entry| {
            let same = known.iter().find(|row| CronRow { due: None, ..(*row).clone() } == entry);
            let due = same.map_or_else(|| next(&entry, now), |row| row.due);
            CronRow { due, ..entry }
        })
        .collect();
    let is_same = rows.len() == known.len() && rows.iter().all(|row| known.contains(row));
    if is_same && !kernel.is_cron_marked(app)? {
        return Ok(());
    }
    kernel.set_cron(app, &rows)
}

/// No entry is due later than it would be if it were made now.
fn realign(kernel: &mut KernelDb, now: u64) -> Result<(), StorageError> {
    for app in kernel.busy_apps()? {
        let known = kernel.cron(app)?;
        let earlier = |row: &CronRow| next(row, now).filter(|next| row.due.is_none_or(|due| due > *next));
        if known.iter().any(|row| earlier(row).is_some()) {
            let rows: Vec<_> =
                known.iter().map(|row| CronRow { due: earlier(row).or(row.due), ..row.clone() }).collect();
            kernel.set_due(app, &rows)?;
        }
    }
    Ok(())
}
