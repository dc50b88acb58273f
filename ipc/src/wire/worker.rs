//! Messages from a worker to the kernel. Every one is hostile until decoded, legal in its phase and legal on
//! its stream. None carries an app, a user, a role or a path on disk: the socket says who is speaking.

use serde::{Deserialize, Serialize};

use super::{Fields, kinds};

kinds! {
    /// Types of messages from a worker.
    WorkerKind {
        /// Locked down and warm, once, before any app byte. Body: [`Ready`].
        Ready = 0x81,
        /// The app's top level ran. Body: [`Loaded`].
        Loaded = 0x82,
        /// The app did not load; the worker exits. Body: [`Failure`](super::Failure).
        LoadFailed = 0x83,
        /// Announces the bytecode of a module. Body: [`Bytecode`].
        Bytecode = 0x84,
        /// Bytes of the bytecode announced last, raw, until it is whole.
        BytecodeData = 0x85,
        /// Every script has been compiled. No body.
        Compiled = 0x86,
        /// Head of a response. Body: [`Response`]. END: it has no body.
        Response = 0x90,
        /// Bytes of a response's body, raw.
        Body = 0x91,
        /// The request failed. Body: [`Failure`](super::Failure).
        Failed = 0x92,
        /// Response complete and every `waitUntil` settled: the stream is closed. No body.
        Settled = 0x93,
        /// The kernel may send so many more bytes of a request body. Body: `u32`.
        Credit = 0x94,
        /// The app will not read the rest of the request body. No body.
        StopBody = 0x95,
        /// The event is over: its handler and every promise given to `waitUntil`. Body: [`Done`]. `Failed` takes its
        /// place where the handler threw.
        Done = 0x96,
        /// Whatever comes of the event, it is not to be tried again. No body.
        NoRetry = 0x97,
        /// A system call. Body: [`Call`](crate::syscall::Call). END: no bytes follow.
        Call = 0xa0,
        /// Bytes that belong to a call, raw.
        CallBody = 0xa1,
        /// The kernel may send so many more bytes of an answer. Body: `u32`.
        CallCredit = 0xa2,
        /// Announces a call that does not fit a frame: its encoding follows as `CallBody` up to the END, and
        /// nothing else. Body: its length, `u32`.
        LongCall = 0xa3,
        /// The app gives a call up: nothing more follows it, and the kernel ends the answer as soon as it can.
        /// No body.
        CancelCall = 0xa4,
        /// A log line. Stream: the request, or 0. Body: [`Log`].
        Log = 0xb0,
    }
}

/// What a worker says of itself once it is locked down. Believed only for display: the launcher looks for
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`PROTOCOL`](crate::limits::PROTOCOL).
    pub protocol: u16,
    /// Landlock ABI in force; 0: none.
    pub landlock_abi: u8,
    /// Hash of engine and prelude: bytecode made by another build is not loaded.
    pub engine: u64,
}

/// Handlers that the app has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Loaded {
    /// `fetch`
    pub fetch: bool,
    /// `scheduled`
    pub scheduled: bool,
    /// `message`
    pub message: bool,
    /// `queue`
    pub queue: bool,
}

/// What came of an event whose handler did not throw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {
    /// The app asked for another attempt.
    pub retry: bool,
    /// How long it wants to wait for that, in seconds; none: as after a failure.
    pub delay_s: Option<u32>,
}

/// Announces the bytecode of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytecode<'a> {
    /// Path of the script that it was made of.
    pub path: &'a str,
    /// Bytes that follow in `BytecodeData`.
    pub bytes: u32,
}

/// Head of a response: data, not orders. The kernel filters the fields and counts the bytes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response<'a> {
    /// 200 to 599.
    pub status: u16,
    /// Header fields.
    #[serde(borrow)]
    pub fields: Fields<'a>,
    /// Length of the body where the worker has it whole. The kernel holds it to that.
    pub body_bytes: Option<u64>,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// `console.debug`
    Debug,
    /// `console.log`, `console.info`
    Info,
    /// `console.warn`
    Warn,
    /// `console.error`, uncaught exceptions
    Error,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log<'a> {
    /// Severity.
    pub level: LogLevel,
    /// Text, at most [`LOG_LINE_BYTES_MAX`](crate::limits::LOG_LINE_BYTES_MAX), may hold line breaks.
    pub text: &'a str,
    /// File and line of the caller inside the app, `server.js:12`; empty where unknown.
    pub origin: &'a str,
    /// Lines dropped since the one before, because the app wrote too many.
    pub dropped: u32,
}
