//! `kernel.db`: what apps do without a request. Entries of `cron`, runs and jobs that wait, dead letters, and what came
//! of those that were.
//!
//! `fs` calls it for apps and for the scheduler, which decides; here is what must be true in the file at any moment.
//! Payloads are hostile and never looked into.
//!
//! ```text
//!            fire (cron)                    claim                finish: done
//! entry ──────────────────▶ waits ─────────────────▶ runs ─────────────────────────▶ gone
//! an app asks ────────────▶   ▲                       │ │ again later
//!                             └───────────────────────┘ └──────▶ dead ──retry──▶ waits
//!                              the server starts: whatever ran waits again
//! ```

mod keep;
mod look;

pub(super) use keep::forget;

use fazt_ipc::ids::{AppId, JobId};
use rusqlite::{Row, types::Type};

use super::error::StorageError;
use super::kernel::KernelDb;

/// The step of the schema that makes the tables.
pub(super) const SCHEMA: &str = "
    -- Entries of the live version of each app; follows from its manifest.
    CREATE TABLE cron(
        app      TEXT NOT NULL,
        name     TEXT NOT NULL,
        schedule TEXT NOT NULL,
        timezone TEXT NOT NULL,
        -- A run that was missed is made up for once.
        missed   INTEGER NOT NULL,
        -- A run starts while the one before it goes on.
        overlaps INTEGER NOT NULL,
        -- Null: it never comes.
        due      INTEGER,
        PRIMARY KEY(app, name)
    ) STRICT, WITHOUT ROWID;
    -- Apps whose live version may have other entries.
    CREATE TABLE cron_stale(app TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE job(
        id       TEXT NOT NULL UNIQUE,
        app      TEXT NOT NULL,
        -- 0 of an entry, 1 a run that the app asked for, 2 a job.
        kind     INTEGER NOT NULL CHECK(kind BETWEEN 0 AND 2),
        name     TEXT NOT NULL,
        -- 0 waits, 1 runs, 2 dead.
        state    INTEGER NOT NULL CHECK(state BETWEEN 0 AND 2),
        -- For which time it was meant; of a job, when it was enqueued.
        at       INTEGER NOT NULL,
        due      INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        error    TEXT NOT NULL,
        bytes    INTEGER NOT NULL,
        payload  TEXT
    ) STRICT;
    CREATE INDEX job_app ON job(app, state, due, id, bytes);
    CREATE TABLE run(
        n        INTEGER PRIMARY KEY AUTOINCREMENT,
        app      TEXT NOT NULL,
        kind     INTEGER NOT NULL,
        name     TEXT NOT NULL,
        job      TEXT NOT NULL,
        at       INTEGER NOT NULL,
        began    INTEGER NOT NULL,
        ms       INTEGER NOT NULL,
        attempt  INTEGER NOT NULL,
        outcome  TEXT NOT NULL,
        error    TEXT NOT NULL
    ) STRICT;
    CREATE INDEX run_app ON run(app, n);
    CREATE INDEX run_name ON run(app, kind, name, n);
";

/// What a run or job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A run of an entry of `cron`.
    Cron,
    /// A run that the app asked for.
    Once,
    /// A job of a queue.
    Queue,
}

impl JobKind {
    const ALL: [Self; 3] = [Self::Cron, Self::Once, Self::Queue];
}

/// Where it is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// For its time.
    Waits,
    /// The app has it, or had it when the server ended.
    Runs,
    /// It failed for good.
    Dead,
}

impl JobState {
    const ALL: [Self; 3] = [Self::Waits, Self::Runs, Self::Dead];
}

/// An entry of `cron`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronRow {
    /// Its name, unique in the app.
    pub name: String,
    /// Five fields.
    pub schedule: String,
    /// IANA name.
    pub timezone: String,
    /// A run that was missed is made up for once.
    pub run_missed_once: bool,
    /// A run starts while the one before it goes on.
    pub overlaps: bool,
    /// When it is due, in milliseconds since 1970; none: never.
    pub due: Option<u64>,
}

/// A run or job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What it is.
    pub kind: JobKind,
    /// Name of the entry or the queue; empty for a run that the app asked for.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// For which time it was meant; of a job, when it was enqueued. In milliseconds since 1970.
    pub at_unix_ms: u64,
    /// When it is due.
    pub due_unix_ms: u64,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Why the last one failed; empty: it did not.
    pub error: String,
    /// Bytes of its payload.
    pub bytes: u64,
}

/// What became of an attempt, or of a time at which there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// What it was.
    pub kind: JobKind,
    /// Name of the entry or the queue.
    pub name: String,
    /// The run or job; empty where none was made.
    pub job: String,
    /// For which time it was meant.
    pub at_unix_ms: u64,
    /// When it began.
    pub began_unix_ms: u64,
    /// How long it took.
    pub ms: u64,
    /// Which attempt it was, from 1; 0: there was none.
    pub attempt: u32,
    /// What became of it, in a word.
    pub outcome: String,
    /// Why it failed; empty: it did not.
    pub error: String,
}

/// How an attempt is put away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It is done, or not to be tried again and nobody's letter.
    Gone,
    /// It waits again.
    Again {
        /// When it is due.
        due_unix_ms: u64,
        /// The attempt does not count.
        free: bool,
    },
    /// It is a dead letter.
    Dead,
}

/// What an entry that is due comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fire {
    /// Name of the entry.
    pub name: String,
    /// When it was due: nothing happens if it no longer is.
    pub due_unix_ms: u64,
    /// When it is due next; none: never.
    pub next_unix_ms: Option<u64>,
    /// Id of the run that it makes, or why there is none: `missed`.
    pub run: Result<JobId, &'static str>,
}

/// A run or job that its app is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The attempt counted.
    pub job: JobRow,
    /// JSON.
    pub payload: Option<String>,
}

/// Something to be kept for later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJobRow {
    /// Its id.
    pub id: JobId,
    /// What it is.
    pub kind: JobKind,
    /// Name of the entry or the queue.
    pub name: String,
    /// For which time it is meant; of a job, now.
    pub at_unix_ms: u64,
    /// When it is due.
    pub due_unix_ms: u64,
    /// JSON.
    pub payload: Option<String>,
}

/// When an app next has something to do, in milliseconds since 1970; none: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NextDue {
    /// An entry of `cron`.
    pub entry: Option<u64>,
    /// A run or job that waits.
    pub job: Option<u64>,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// They wait.
    All,
    /// The app has too many, or too much in them; none was added.
    Full,
    /// There is no such app.
    Gone,
}

const COLUMNS: &str = "id, kind, name, state, at, due, attempts, error, bytes";

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    let id: String = row.get(0)?;
    let wrong = |at, error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error));
    Ok(JobRow {
        id: id.parse().map_err(|error| wrong(0, error))?,
        kind: kind(row.get(1)?),
        name: row.get(2)?,
        state: JobState::ALL[usize::from(row.get::<_, u8>(3)?).min(2)],
        at_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        due_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
        attempts: row.get(6)?,
        error: row.get(7)?,
        bytes: row.get::<_, i64>(8)?.cast_unsigned(),
    })
}

fn kind(number: u8) -> JobKind {
    JobKind::ALL[usize::from(number).min(2)]
}

fn cron_row(row: &Row<'_>) -> rusqlite::Result<CronRow> {
    Ok(CronRow {
        name: row.get(0)?,
        schedule: row.get(1)?,
        timezone: row.get(2)?,
        run_missed_once: row.get(3)?,
        overlaps: row.get(4)?,
        due: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
    })
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        kind: kind(row.get(0)?),
        name: row.get(1)?,
        job: row.get(2)?,
        at_unix_ms: row.get::<_, i64>(3)?.cast_unsigned(),
        began_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        ms: row.get::<_, i64>(5)?.cast_unsigned(),
        attempt: row.get(6)?,
        outcome: row.get(7)?,
        error: row.get(8)?,
    })
}

fn app_id(row: &Row<'_>) -> rusqlite::Result<AppId> {
    let id: String = row.get(0)?;
    id.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

impl KernelDb {
    fn failed(&self) -> impl Fn(rusqlite::Error) -> StorageError + use<> {
        let path = self.path.clone();
        move |error| StorageError::sqlite(&path, &error)
    }
}
