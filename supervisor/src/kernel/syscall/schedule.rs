//! `fazt.proc.*`: runs and jobs for later. Whose they are follows from the release; what they carry is the app's word and
//! comes back to the app alone.

use std::time::{SystemTime, UNIX_EPOCH};

use fazt_ipc::ids::JobId;
use fazt_ipc::limits::{
    DEAD_LETTERS_MAX, JOB_DELAY_S_MAX, JOBS_BATCH_MAX, JOBS_BYTES_MAX, JOBS_MAX, PAYLOAD_BYTES_MAX,
    QUEUE_NAME_BYTES_MAX,
};
use fazt_ipc::syscall::{
    Call, CallError, ErrorCode, JobKind as ShownKind, JobReply, JobState as ShownState, JobTime, NewJob,
    Reply,
};

use super::Answer;
use crate::kernel::fs::Release;
use crate::kernel::storage::StorageError;
use crate::kernel::storage::jobs::{Added, JobKind, JobRow, JobState, NewJobRow};

/// What one list shows.
const LISTED_MAX: usize = 1_000;

/// Answers a call of an app that may.
pub(super) async fn answer(release: &Release, call: Call) -> Result<Answer, CallError> {
    let reply = match call {
        Call::ProcSchedule { when, payload } => schedule(release, when, payload).await?,
        Call::ProcEnqueue { queue, jobs, delay_ms } => enqueue(release, queue, jobs, delay_ms).await?,
        Call::ProcCancel { id } => {
            // What is no id is nobody's.
            let cancelled = match id.parse() {
                Ok(id) => {
                    release.timetable().cancel(release.app, id).await.map_err(|error| outsider(&error))?
                }
                Err(_) => false,
            };
            Reply::ProcCancel(cancelled)
        }
        _ => Reply::ProcList(list(release).await?),
    };
    Ok(Answer::Reply(reply))
}

async fn schedule(release: &Release, when: JobTime, payload: Option<String>) -> Result<Reply, CallError> {
    let now = unix_ms();
    if let Some(payload) = &payload {
        small(payload)?;
    }
    let due = when.unix_ms.unwrap_or_else(|| now.saturating_add(when.in_ms.unwrap_or(0))).max(now);
    soon(due - now)?;
    let job = NewJobRow {
        id: JobId::new(now, rand::random()),
        kind: JobKind::Once,
        name: String::new(),
        at_unix_ms: due,
        due_unix_ms: due,
        payload,
    };
    let id = job.id.to_string();
    add(release, vec![job]).await?;
    Ok(Reply::ProcSchedule(id))
}

async fn enqueue(
    release: &Release,
    queue: String,
    jobs: Vec<NewJob>,
    delay_ms: Option<u64>,
) -> Result<Reply, CallError> {
    name(&queue)?;
    if jobs.len() > JOBS_BATCH_MAX {
        let message = format!("{} jobs at once; at most {JOBS_BATCH_MAX}", jobs.len());
        return Err(CallError::new(ErrorCode::TooLarge, message));
    }
    let now = unix_ms();
    let mut rows = Vec::with_capacity(jobs.len());
    for (at, job) in jobs.into_iter().enumerate() {
        small(&job.payload)?;
        let delay_ms = job.delay_ms.or(delay_ms).unwrap_or(0);
        soon(delay_ms)?;
        // In the order in which they were given, as far as ids sort.
        let random = (at as u128) << 72 | rand::random::<u128>() >> 56;
        rows.push(NewJobRow {
            id: JobId::new(now, random),
            kind: JobKind::Queue,
            name: queue.clone(),
            at_unix_ms: now,
            due_unix_ms: now + delay_ms,
            payload: Some(job.payload),
        });
    }
    let ids = rows.iter().map(|row| row.id.to_string()).collect();
    if !rows.is_empty() {
        add(release, rows).await?;
    }
    Ok(Reply::ProcEnqueue(ids))
}

async fn add(release: &Release, rows: Vec<NewJobRow>) -> Result<(), CallError> {
    let timetable = release.timetable();
    if !release.data().has_room() {
        let message = "the server's disk is almost full: nothing more is kept for later";
        return Err(CallError::new(ErrorCode::Unavailable, message));
    }
    match timetable.add(release.app, rows).await.map_err(|error| outsider(&error))? {
        Added::All => Ok(()),
        Added::Full => Err(CallError::new(
            ErrorCode::QuotaExceeded,
            format!(
                "too much waits: an app has at most {JOBS_MAX} runs and jobs, of {} MiB together",
                JOBS_BYTES_MAX >> 20
            ),
        )),
        Added::Gone => Err(CallError::new(ErrorCode::Unavailable, "the app was removed")),
    }
}

async fn list(release: &Release) -> Result<Vec<JobReply>, CallError> {
    let app = release.app;
    let rows = release.timetable().with(move |kernel| {
        let mut rows = kernel.jobs(app, false, LISTED_MAX)?;
        let left = LISTED_MAX - rows.len();
        rows.extend(kernel.jobs(app, true, left.min(DEAD_LETTERS_MAX))?);
        Ok(rows)
    });
    Ok(rows.await.map_err(|error| outsider(&error))?.into_iter().map(shown).collect())
}

fn shown(row: JobRow) -> JobReply {
    JobReply {
        id: row.id.to_string(),
        kind: if row.kind == JobKind::Queue { ShownKind::Job } else { ShownKind::Run },
        name: row.name,
        state: match row.state {
            JobState::Waits => ShownState::Waiting,
            JobState::Runs => ShownState::Running,
            JobState::Dead => ShownState::Dead,
        },
        due: row.due_unix_ms,
        attempts: row.attempts,
        error: row.error,
    }
}

fn name(queue: &str) -> Result<(), CallError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=QUEUE_NAME_BYTES_MAX).contains(&queue.len()) && queue.bytes().all(plain) {
        return Ok(());
    }
    let message =
        format!("a queue is named by 1 to {QUEUE_NAME_BYTES_MAX} letters, digits, hyphens and underscores");
    Err(CallError::new(ErrorCode::InvalidArgument, message))
}

fn small(payload: &str) -> Result<(), CallError> {
    if payload.len() <= PAYLOAD_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "a payload of {} bytes of JSON; at most {PAYLOAD_BYTES_MAX}: keep what is larger in storage, and its key in the payload",
        payload.len()
    );
    Err(CallError::new(ErrorCode::TooLarge, message))
}

fn soon(delay_ms: u64) -> Result<(), CallError> {
    if delay_ms <= JOB_DELAY_S_MAX * 1_000 {
        return Ok(());
    }
    let message = format!("too far ahead: at most {} days", JOB_DELAY_S_MAX / 86_400);
    Err(CallError::new(ErrorCode::InvalidArgument, message))
}

/// What the app learns of an error; the operator's log has the rest.
fn outsider(error: &StorageError) -> CallError {
    tracing::warn!(%error, "runs and jobs of an app cannot be kept or read");
    CallError::new(ErrorCode::Unavailable, "runs and jobs cannot be kept or read now")
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_payloads_and_times_have_bounds() {
        for good in ["mail", "a", "JOBS_2", "x-y", &"q".repeat(QUEUE_NAME_BYTES_MAX)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"q".repeat(QUEUE_NAME_BYTES_MAX + 1)] {
            assert_eq!(name(bad).map_err(|error| error.code), Err(ErrorCode::InvalidArgument), "{bad:?}");
        }
        assert!(small(&"x".repeat(PAYLOAD_BYTES_MAX)).is_ok());
        let error = small(&"x".repeat(PAYLOAD_BYTES_MAX + 1)).map_err(|error| error.code);
        assert_eq!(error, Err(ErrorCode::TooLarge));
        assert!(soon(JOB_DELAY_S_MAX * 1_000).is_ok());
        assert!(soon(u64::MAX).is_err());
    }
}
