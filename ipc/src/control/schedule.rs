//! What apps do without a request, as the command line shows it.

use serde::{Deserialize, Serialize};

/// A row of `fazt proc schedules`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleInfo {
    /// Name of the app.
    pub app: String,
    /// Name of the entry of `cron`.
    pub name: String,
    /// Five fields.
    pub schedule: String,
    /// IANA time zone.
    pub timezone: String,
    /// `run-once` or `skip`: what happens to a run that was missed.
    pub missed: String,
    /// `run` or `skip`: what happens to a run while the one before it goes on.
    pub overlap: String,
    /// When it is due, in milliseconds since 1970; none: never.
    pub next_unix_ms: Option<u64>,
    /// Why it does not run; empty: it does.
    pub paused: String,
    /// A run waits or goes on.
    pub going: bool,
    /// What became of it last.
    pub last: Option<RunInfo>,
}

/// A row of `fazt proc runs`, and what `fazt proc run` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunInfo {
    /// `cron`, `run` (that the app asked for) or `job`.
    pub kind: String,
    /// Name of the entry or the queue; empty for a run that the app asked for.
    pub name: String,
    /// Its id; empty where no run was made.
    pub id: String,
    /// For which time it was meant, in milliseconds since 1970; of a job, when it was enqueued.
    pub scheduled_unix_ms: u64,
    /// When it began.
    pub began_unix_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Which attempt it was, from 1; 0: there was none.
    pub attempt: u32,
    /// `ok`; `failed`, `dead` (not tried again); `retry`, `held`, `interrupted` (tried again); `missed`, `overlapped` (not
    /// begun).
    pub outcome: String,
    /// Why it failed, in a line; empty: it did not.
    pub error: String,
}

/// A row of `fazt proc jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JobInfo {
    /// Its id.
    pub id: String,
    /// `cron`, `run` (that the app asked for) or `job`.
    pub kind: String,
    /// Name of the entry or the queue; empty for a run that the app asked for.
    pub name: String,
    /// `waiting`, `running` or `dead`.
    pub state: String,
    /// When it is due, in milliseconds since 1970.
    pub due_unix_ms: u64,
    /// Attempts that were made.
    pub attempts: u32,
    /// Bytes of its payload.
    pub payload_bytes: u64,
    /// Why the last attempt failed; empty: it did not.
    pub error: String,
    /// Why it does not run; empty: it does, or it is dead.
    pub paused: String,
}
