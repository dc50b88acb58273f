//! Schedules, runs and jobs, and what operators do with them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use fazt_ipc::control::{ErrorKind, JobInfo, RunInfo, ScheduleInfo, State as AppState};
use fazt_ipc::ids::{AppId, JobId};
use fazt_ipc::limits::{DEAD_LETTERS_MAX, JOBS_MAX, RUNS_KEPT};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apps::id;
use super::{Control, Refused, Shared};
use crate::kernel::fs::{FsError, Release};
use crate::kernel::proc::schedule::NotRun;
use crate::kernel::storage::jobs::{JobKind, JobRow, JobState, RunRow};

type Answer<T> = Result<Json<T>, Refused>;

/// `GET /api/schedules`
pub(super) async fn all(State(control): Shared) -> Answer<Vec<ScheduleInfo>> {
    let apps = control.fs.timetable().with(|kernel| kernel.busy_apps()).await.map_err(FsError::from)?;
    let mut named: Vec<_> =
        apps.into_iter().filter_map(|app| Some((control.fs.name_of(app)?, app))).collect();
    named.sort();
    let mut all = Vec::new();
    for (_, app) in named {
        // One that is gone by now, or damaged, has nothing to show here; `app list` says so.
        all.extend(of(&control, app).await.unwrap_or_default());
    }
    Ok(Json(all))
}

/// `GET /api/apps/NAME/schedules`
pub(super) async fn schedules(State(control): Shared, Path(name): Path<String>) -> Answer<Vec<ScheduleInfo>> {
    Ok(Json(of(&control, id(&control.fs, &name)?).await?))
}

async fn of(control: &Arc<Control>, app: AppId) -> Result<Vec<ScheduleInfo>, FsError> {
    let rows = control.fs.timetable().with(move |kernel| {
        let rows = kernel.cron(app)?.into_iter().map(|row| {
            let last = kernel.runs(app, Some(&row.name), 1)?.pop();
            let going = kernel.unfinished(app, &row.name)?.is_some();
            Ok((row, last, going))
        });
        rows.collect::<Result<Vec<_>, _>>()
    });
    let rows = rows.await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let release = control.fs.release(app).await?;
    let paused = paused(control, &release);
    let row =
        |(row, last, going): (crate::kernel::storage::jobs::CronRow, Option<RunRow>, bool)| ScheduleInfo {
            app: release.name.clone(),
            name: row.name,
            schedule: row.schedule,
            timezone: row.timezone,
            missed: if row.run_missed_once { "run-once" } else { "skip" }.into(),
            overlap: if row.overlaps { "run" } else { "skip" }.into(),
            next_unix_ms: row.due,
            paused: paused.clone(),
            going,
            last: last.map(run_info),
        };
    Ok(rows.into_iter().map(row).collect())
}

/// Why nothing of an app runs; empty: it does.
fn paused(control: &Control, release: &Release) -> String {
    if !release.may_schedule() {
        return format!("permission `schedule` is not granted: fazt app grant {} schedule", release.name);
    }
    if control.proc.state(release.app) == AppState::Quarantined {
        return "the app is quarantined".into();
    }
    match release.env.missing() {
        [] => String::new(),
        [first, ..] => format!("the variable {first} is required and not set"),
    }
}

/// `GET /api/apps/NAME/runs`
pub(super) async fn runs(State(control): Shared, Path(name): Path<String>) -> Answer<Vec<RunInfo>> {
    let app = id(&control.fs, &name)?;
    let rows = control.fs.timetable().with(move |kernel| kernel.runs(app, None, RUNS_KEPT));
    Ok(Json(rows.await.map_err(FsError::from)?.into_iter().map(run_info).collect()))
}

/// `POST /api/apps/NAME/schedules/ENTRY/run`
pub(super) async fn run(
    State(control): Shared,
    Path((name, entry)): Path<(String, String)>,
) -> Answer<RunInfo> {
    let app = id(&control.fs, &name)?;
    let ran = control.scheduler.run_now(app, entry).await;
    ran.map(run_info).map(Json).map_err(|why| refused(&why, &name))
}

fn refused(why: &NotRun, app: &str) -> Refused {
    let (kind, hint) = match why {
        NotRun::NoApp => (ErrorKind::NotFound, "deploy a version first: fazt app deploy".into()),
        NotRun::NotGranted => (
            ErrorKind::PermissionDenied,
            format!(
                "ask for it in app.json ({{ \"permissions\": {{ \"schedule\": true }} }}), then fazt app grant {app} schedule"
            ),
        ),
        NotRun::NoEntry(known) if known.is_empty() => {
            (ErrorKind::NotFound, "app.json names runs under `cron`".into())
        }
        NotRun::NoEntry(known) => (ErrorKind::NotFound, format!("there are {}", known.join(", "))),
        NotRun::Running => (
            ErrorKind::Conflict,
            format!("wait for it: fazt proc runs {app}; or \"overlap\": \"run\" in app.json"),
        ),
        NotRun::Full => (ErrorKind::TooLarge, format!("fazt proc jobs {app} shows what waits")),
        NotRun::Stopping => (ErrorKind::Failed, String::new()),
        NotRun::Storage(_) => (ErrorKind::Failed, "fazt storage check looks at the databases".into()),
    };
    Refused::new(kind, why.to_string(), hint)
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    dead: bool,
}

/// `GET /api/apps/NAME/jobs`
pub(super) async fn jobs(
    State(control): Shared,
    Path(name): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Vec<JobInfo>> {
    let Query(Which { dead }) = which?;
    let app = id(&control.fs, &name)?;
    let rows_max = if dead { DEAD_LETTERS_MAX } else { JOBS_MAX };
    let rows = control.fs.timetable().with(move |kernel| kernel.jobs(app, dead, rows_max));
    let rows = rows.await.map_err(FsError::from)?;
    let paused = match dead || rows.is_empty() {
        true => String::new(),
        false => paused(&control, &*control.fs.release(app).await?),
    };
    Ok(Json(rows.into_iter().map(|row| job_info(row, &paused)).collect()))
}

/// `POST /api/apps/NAME/jobs/JOB/retry`
pub(super) async fn retry(
    State(control): Shared,
    Path((name, job)): Path<(String, String)>,
) -> Answer<Value> {
    let app = id(&control.fs, &name)?;
    let job_id = job_id(&job, &name)?;
    let now = unix_ms();
    if control.fs.timetable().revive(app, job_id, now).await.map_err(FsError::from)? {
        return Ok(Json(json!({})));
    }
    let found = control.fs.timetable().with(move |kernel| kernel.job(app, job_id)).await;
    match found.map_err(FsError::from)? {
        Some(_) => Err(Refused::new(ErrorKind::Conflict, "it is no dead letter: it is tried anyway", "")),
        None => Err(no_job(&job, &name)),
    }
}

/// `DELETE /api/apps/NAME/jobs/JOB`
pub(super) async fn discard(
    State(control): Shared,
    Path((name, job)): Path<(String, String)>,
) -> Answer<Value> {
    let app = id(&control.fs, &name)?;
    let job_id = job_id(&job, &name)?;
    if control.fs.timetable().cancel(app, job_id).await.map_err(FsError::from)? {
        return Ok(Json(json!({})));
    }
    let found = control.fs.timetable().with(move |kernel| kernel.job(app, job_id)).await;
    match found.map_err(FsError::from)? {
        Some(_) => Err(Refused::new(
            ErrorKind::Conflict,
            "it goes on just now",
            format!("fazt proc kill {name} ends it; then it waits for another attempt"),
        )),
        None => Err(no_job(&job, &name)),
    }
}

fn job_id(text: &str, app: &str) -> Result<JobId, Refused> {
    text.parse().map_err(|_| no_job(text, app))
}

fn no_job(text: &str, app: &str) -> Refused {
    let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
    Refused::new(
        ErrorKind::NotFound,
        format!("there is no job `{shown}`"),
        format!("fazt proc jobs {app} lists them, with --dead those that failed"),
    )
}

const fn kind(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Cron => "cron",
        JobKind::Once => "run",
        JobKind::Queue => "job",
    }
}

fn run_info(row: RunRow) -> RunInfo {
    RunInfo {
        kind: kind(row.kind).into(),
        name: row.name,
        id: row.job,
        scheduled_unix_ms: row.at_unix_ms,
        began_unix_ms: row.began_unix_ms,
        duration_ms: row.ms,
        attempt: row.attempt,
        outcome: row.outcome,
        error: row.error,
    }
}

fn job_info(row: JobRow, paused: &str) -> JobInfo {
    JobInfo {
        id: row.id.to_string(),
        kind: kind(row.kind).into(),
        name: row.name,
        state: match row.state {
            JobState::Waits => "waiting",
            JobState::Runs => "running",
            JobState::Dead => "dead",
        }
        .into(),
        due_unix_ms: row.due_unix_ms,
        attempts: row.attempts,
        payload_bytes: row.bytes,
        error: row.error,
        paused: paused.into(),
    }
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
