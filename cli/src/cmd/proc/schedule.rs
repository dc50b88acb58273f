//! `fazt proc run`, `schedules`, `runs`, `jobs`.

use std::process::ExitCode;

use fazt_ipc::control::{ErrorKind, JobInfo, RunInfo, ScheduleInfo};

use crate::client::{Client, part};
use crate::error::{Done, problem};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

/// Runs an entry of `cron` now. Code 1 if it failed.
pub(super) async fn run(client: &Client, app: &str, name: &str, out: Out) -> Done<ExitCode> {
    let path = format!("/api/apps/{}/schedules/{}/run", part(app), part(name));
    let ran: RunInfo = client.order(&path).await?;
    let ok = ran.outcome == "ok";
    out.show(&ran, |ran| {
        let took = text::span(ran.duration_ms);
        let name = text::clean(&ran.name).into_owned();
        if ok {
            out.line(format!("{name}: ok, after {took}"));
        } else {
            let said =
                format!("{name}: {} after {took}: {}", text::clean(&ran.outcome), text::clean(&ran.error));
            out.line(out.paint(Colour::Red, &said));
            out.note(format!("fazt proc logs {} has the stack", text::clean(app)));
        }
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Failed.exit_code()) })
}

pub(super) async fn schedules(client: &Client, app: Option<&str>, out: Out) -> Done {
    let path =
        app.map_or_else(|| "/api/schedules".into(), |app| format!("/api/apps/{}/schedules", part(app)));
    let schedules: Vec<ScheduleInfo> = client.get(&path).await?;
    out.show(&schedules, |schedules| {
        if schedules.is_empty() {
            out.line("No schedule: apps name theirs in app.json, under `cron`");
            return;
        }
        let mut table = Table::new(&["APP", "NAME", "SCHEDULE", "TIMEZONE", "NEXT", "LAST", "WHEN", "WHY"]);
        let now = text::now_ms();
        for entry in schedules {
            let last = entry.last.as_ref();
            let next = match (&*entry.paused, entry.going, entry.next_unix_ms) {
                (why, ..) if !why.is_empty() => "paused".to_owned(),
                (_, true, _) => "goes on".to_owned(),
                (_, _, Some(next)) => format!("in {}", text::span(next.saturating_sub(now))),
                _ => "never".to_owned(),
            };
            let error = last.map_or_else(String::new, |last| last.error.clone());
            table.row([
                entry.app.clone(),
                entry.name.clone(),
                entry.schedule.clone(),
                entry.timezone.clone(),
                next,
                last.map_or_else(|| "-".to_owned(), |last| last.outcome.clone()),
                last.map_or_else(|| "-".to_owned(), |last| text::ago(last.began_unix_ms, now)),
                if entry.paused.is_empty() { error } else { entry.paused.clone() },
            ]);
        }
        out.table(&table);
    })
}

pub(super) async fn runs(client: &Client, app: &str, out: Out) -> Done {
    let runs: Vec<RunInfo> = client.get(&format!("/api/apps/{}/runs", part(app))).await?;
    out.show(&runs, |runs| {
        if runs.is_empty() {
            out.line("It did nothing without a request yet");
            return;
        }
        let mut table = Table::new(&["BEGAN", "KIND", "NAME", ">TRY", "OUTCOME", ">TOOK", "ID", "WHY"]);
        for run in runs {
            table.row([
                text::timestamp(run.began_unix_ms),
                run.kind.clone(),
                if run.name.is_empty() { "-".to_owned() } else { run.name.clone() },
                run.attempt.to_string(),
                run.outcome.clone(),
                text::span(run.duration_ms),
                if run.id.is_empty() { "-".to_owned() } else { run.id.clone() },
                run.error.clone(),
            ]);
        }
        out.table(&table);
    })
}

/// What is done with a job.
pub(super) enum Act {
    /// It is shown among those that wait and run, or those that are dead.
    List { dead: bool },
    /// A dead one is tried again.
    Retry(String),
    /// It is thrown away.
    Discard(String),
}

pub(super) async fn jobs(client: &Client, app: &str, act: Act, out: Out) -> Done {
    let jobs = format!("/api/apps/{}/jobs", part(app));
    match act {
        Act::List { dead } => list(client, &format!("{jobs}?dead={dead}"), dead, out).await,
        Act::Retry(id) => {
            let answer: serde_json::Value = client.order(&format!("{jobs}/{}/retry", part(&id))).await?;
            out.show(&answer, |_| out.line(format!("{} is tried again", text::clean(&id))))
        }
        Act::Discard(id) => {
            client.delete(&format!("{jobs}/{}", part(&id))).await?;
            out.show(&serde_json::json!({}), |_| out.line(format!("{} is thrown away", text::clean(&id))))
        }
    }
}

async fn list(client: &Client, path: &str, dead: bool, out: Out) -> Done {
    let jobs: Vec<JobInfo> = client.get(path).await?;
    out.show(&jobs, |jobs| {
        if jobs.is_empty() {
            out.line(if dead { "No dead letter" } else { "Nothing waits" });
            return;
        }
        let mut table = Table::new(&["ID", "KIND", "NAME", "STATE", "DUE", ">TRIES", ">PAYLOAD", "WHY"]);
        let now = text::now_ms();
        for job in jobs {
            let due = match job.due_unix_ms.checked_sub(now) {
                _ if !job.paused.is_empty() => "paused".to_owned(),
                Some(wait) => format!("in {}", text::span(wait)),
                None => text::ago(job.due_unix_ms, now),
            };
            table.row([
                job.id.clone(),
                job.kind.clone(),
                if job.name.is_empty() { "-".to_owned() } else { job.name.clone() },
                job.state.clone(),
                due,
                job.attempts.to_string(),
                text::bytes(job.payload_bytes),
                if job.paused.is_empty() { job.error.clone() } else { job.paused.clone() },
            ]);
        }
        out.table(&table);
    })
}

/// Only one thing at a time.
pub(super) fn act(dead: bool, retry: Option<String>, discard: Option<String>) -> Done<Act> {
    match (dead, retry, discard) {
        (_, Some(_), Some(_)) => {
            Err(problem(ErrorKind::Invalid, "--retry and --discard are two things", "ask for one of them"))
        }
        (_, Some(id), None) => Ok(Act::Retry(id)),
        (_, None, Some(id)) => Ok(Act::Discard(id)),
        (dead, None, None) => Ok(Act::List { dead }),
    }
}
