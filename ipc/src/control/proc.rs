//! Processes, health and logs, as the command line shows them.

use serde::{Deserialize, Serialize};

use super::EgressState;
use crate::wire::worker::LogLevel;

/// State of one app for one principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No process.
    Hibernated,
    /// A process is being given the app.
    Starting,
    /// Serving at least one request.
    Running,
    /// Alive, nothing to do.
    Idle,
    /// Crashed too often; waiting before the next try.
    Backoff,
    /// Showed proof of compromise; only the owner may wake it.
    Quarantined,
}

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ProcessKind {
    /// Runs the app's JavaScript for somebody.
    Worker,
    /// Runs the app's own SQL on one file.
    Sql,
    /// The same for those who may only read: its descriptors cannot write.
    #[serde(rename = "sql-read")]
    SqlRead,
}

/// A row of `fazt proc ps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// Name of the app.
    pub app: String,
    /// `anonymous`, `service` or a user's name; of raw SQL whose file it serves: a user's name, the id of a space, `app`,
    /// or `app.` and the name of a binding.
    pub principal: String,
    /// What it is for.
    pub kind: ProcessKind,
    /// State.
    pub state: State,
    /// Process, if there is one.
    pub pid: Option<u32>,
    /// Generation, if there is a process.
    #[serde(rename = "gen")]
    pub generation: Option<u64>,
    /// Memory in use.
    pub mem_bytes: u64,
    /// Memory allowed.
    pub cap_bytes: u64,
    /// CPU time used.
    pub cpu_ms: u64,
    /// Requests answered by this process.
    pub reqs: u64,
    /// Since when nothing happened.
    pub idle_ms: u64,
}

/// `fazt proc status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Status {
    /// Version of Fazt.
    pub version: String,
    /// Process of the supervisor.
    pub pid: u32,
    /// Time since start.
    pub uptime_s: u64,
    /// Addresses on which HTTP is served.
    pub listen: Vec<String>,
    /// URL of the OS origin.
    pub url: String,
    /// Data folder.
    pub data: String,
    /// Apps installed.
    pub apps: u64,
    /// Workers by state.
    pub workers: Vec<(State, u64)>,
    /// Warm workers in the pool.
    pub pool: u64,
    /// Memory of all workers and processes of raw SQL.
    pub workers_bytes: u64,
    /// Budget for all workers.
    pub workers_bytes_max: u64,
    /// Requests since start.
    pub requests: u64,
    /// Layers of the sandbox that this machine lacks; apps run without them only under `--dev`.
    pub missing_layers: Vec<String>,
    /// Apps in back-off or quarantine, and why.
    pub troubled: Vec<Troubled>,
    /// The process that opens connections to elsewhere.
    #[serde(default)]
    pub egress: EgressState,
}

/// An app that needs its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Troubled {
    /// Name of the app.
    pub app: String,
    /// Backoff or quarantined.
    pub state: State,
    /// What happened.
    pub reason: String,
}

/// How many workers a command reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// Workers killed, hibernated or woken.
    pub workers: u64,
}

/// `fazt proc doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Doctor {
    /// Layers in the order in which they are put on.
    pub layers: Vec<Layer>,
    /// Escapes tried in a real worker.
    pub escapes: Vec<Escape>,
    /// Why the escapes were not tried without seccomp as well; empty: they were.
    pub walls_untried: String,
    /// All layers are there, at least one escape was tried and every one was stopped; without seccomp, every one
    /// that reaches out of its process.
    pub healthy: bool,
}

/// A layer of the sandbox on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Layer {
    /// Name, as in `sandbox.allow_missing`.
    pub name: String,
    /// There and in force.
    pub present: bool,
    /// Version or state, for people.
    pub detail: String,
    /// What to do when it is missing.
    pub fix: String,
}

/// One escape that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Escape {
    /// What was tried.
    pub name: String,
    /// It came to nothing.
    pub stopped: bool,
    /// The layer that stopped it, or what it got.
    pub by: String,
    /// The same without seccomp, by the other layers; none: not tried.
    pub walls: Option<Walls>,
}

/// What the layers beside seccomp make of an escape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Walls {
    /// One of them stopped it.
    pub stopped: bool,
    /// It reaches nothing outside its process, so that it goes through is no hole.
    pub contained: bool,
    /// The layer, with the kernel's answer; or what it got.
    pub by: String,
}

/// A line of an app's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Severity.
    pub level: LogLevel,
    /// `anonymous`, `service` or a user's name.
    pub principal: String,
    /// Request, or empty.
    pub request: String,
    /// File and line in the app, or empty.
    pub origin: String,
    /// Text.
    pub text: String,
}

/// A frame between kernel and worker, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TraceLine {
    /// When, in microseconds since the trace began.
    pub at_us: u64,
    /// Worker.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// `>` to the worker, `<` from it.
    pub direction: char,
    /// Name of the message.
    pub kind: String,
    /// Stream.
    pub stream: u32,
    /// Bytes of the body.
    pub bytes: u32,
    /// The message in short; never a body.
    pub detail: String,
}
