//! The bounds of proc: how much of anything one app, one worker or one visitor may make the supervisor hold.

use std::time::Duration;

use fazt_ipc::limits as wire;

/// Warm workers unless the configuration says otherwise: one for the next wake, one while it is replaced.
pub(crate) const POOL_DEFAULT: usize = 2;
/// Idle time of a worker unless the configuration says otherwise.
pub(crate) const IDLE_DEFAULT: Duration = Duration::from_secs(30);
/// Requests that may wait for one app and principal unless the configuration says otherwise.
pub(crate) const QUEUE_DEFAULT: usize = 256;
/// A request waits this long for a worker unless the configuration says otherwise.
pub(crate) const WAKE_DEADLINE_DEFAULT: Duration = Duration::from_secs(10);

/// The launcher answers an order within this time, or the worker counts as not made.
pub(crate) const LAUNCHER_DEADLINE: Duration = Duration::from_secs(10);
/// Cap of a leaf before it is given to an app: limits can only become tighter.
pub(crate) const LEAF_BYTES_MAX: u64 =
    (wire::MEMORY_MIB_MAX as u64 + wire::MEMORY_MIB_BESIDE_HEAP as u64) << 20;
/// What a worker of an app that was never counted is expected to use: several times an idle one.
pub(crate) const WORKER_BYTES_EXPECTED: u64 = 8 << 20;
/// Share of the machine's memory for all workers, in per cent, unless the configuration names bytes.
pub(crate) const BUDGET_PERCENT: u64 = 60;

/// Buffer into which a worker's frames are read; also the largest single read.
pub(crate) const READ_BYTES: usize = 2 * (wire::FRAME_BODY_BYTES_MAX + wire::FRAME_HEADER_BYTES);
/// Bytes that wait to be written to one worker before its senders are held back.
pub(crate) const WRITE_BYTES_HIGH: usize = 256 * 1024;
/// A worker that does not read its socket for this long is killed.
pub(crate) const PROGRESS_DEADLINE: Duration = Duration::from_secs(5);
/// What one worker's calls may make the supervisor hold: arguments that came in pieces, bytes on their way to
/// storage, and answers that the worker has not taken. Its calls wait for room; six of the largest answers fit.
pub(crate) const CALLS_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The same for all workers together.
pub(crate) const CALLS_BYTES_ALL: usize = 96 * 1024 * 1024;
/// Credit for the bytes that follow a call, while somebody reads them.
pub(crate) const UPLOAD_BYTES: u32 = 2 * wire::FRAME_BODY_BYTES_MAX as u32;
/// A worker has this long, and the CPU time of a request, to take a whole answer that is held in memory, and to
/// send the whole of what it announced. It has nothing to wait for.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });
/// A stream of a call ends when no byte of it has moved for this long: an app may wait for its client.
pub(crate) const STALL_DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// What the supervisor adds to a limit that the worker should have kept by itself.
pub(crate) const GRACE: Duration = Duration::from_millis(250);
/// How often a busy worker's deadlines are looked at.
pub(crate) const SWEEP: Duration = Duration::from_millis(250);
/// Loading an app (code sent, top level run) ends within this time.
pub(crate) const LOAD_DEADLINE: Duration = Duration::from_secs(15);
/// A drained worker ends within its requests' deadlines plus this.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// `waitUntil` may go on this long after the response.
pub(crate) const BACKGROUND_MAX: Duration = Duration::from_secs(30);
/// Response credit is given back in steps of this many bytes, to save frames.
pub(crate) const CREDIT_STEP: u32 = wire::CREDIT_BYTES / 4;

/// Workers for one app and principal.
pub(crate) const WORKERS_MAX: usize = 4;
/// First wait after a crash.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Longest wait after crashes.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Crashes that are forgiven before the first wait: a worker that answered requests is replaced at once.
pub(crate) const CRASHES_FREE: u32 = 2;
/// A worker that lived this long has proved itself: crashes before it are forgotten.
pub(crate) const GOOD_TIME: Duration = Duration::from_secs(60);
/// Protocol violations (hostile frames) until an app is quarantined.
pub(crate) const VIOLATIONS_MAX: u32 = 3;

/// Log lines kept in memory for one app.
pub(crate) const LOG_LINES_KEPT: usize = 500;
/// Log bytes kept in memory for one app.
pub(crate) const LOG_BYTES_KEPT: usize = 256 * 1024;
/// Size of a log file at which it is rotated; one older file is kept.
pub(crate) const LOG_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Apps whose log is kept in memory; the others' is in their files.
pub(crate) const LOG_RINGS_MAX: usize = 256;

/// One build or compile job, from the order to the last byte.
pub(crate) const BUILD_DEADLINE: Duration = Duration::from_secs(60);
/// Memory of a build process.
pub(crate) const BUILD_BYTES_MAX: u64 = 512 << 20;
/// Memory of a process for raw SQL: SQLite's own bound, an answer twice over, and the program.
pub(crate) const STORE_BYTES_MAX: u64 = 96 << 20;
/// What a process for raw SQL is expected to use: as much as one that rests, and the cache of SQLite.
pub(crate) const STORE_BYTES_EXPECTED: u64 = 5 << 20;
/// Bytecode of one script: at most this many times its source, plus a page.
pub(crate) const BYTECODE_FACTOR_MAX: usize = 16;

const _: () = assert!(CREDIT_STEP > 0 && CREDIT_STEP * 2 <= wire::CREDIT_BYTES);
const _: () = assert!(CALLS_BYTES_MAX >= 2 * wire::CALL_BYTES_MAX && CALLS_BYTES_MAX <= CALLS_BYTES_ALL / 4);
const _: () = assert!(CALLS_BYTES_MAX >= wire::STREAMS_MAX * UPLOAD_BYTES as usize);
const _: () = assert!(WRITE_BYTES_HIGH >= 2 * wire::FRAME_BODY_BYTES_MAX);
const _: () = assert!(READ_BYTES > wire::FRAME_BODY_BYTES_MAX + wire::FRAME_HEADER_BYTES);
const _: () = assert!(LEAF_BYTES_MAX <= wire::ADDRESS_SPACE_BYTES_MAX);
const _: () = assert!(WORKERS_MAX >= 1 && VIOLATIONS_MAX >= 1);
