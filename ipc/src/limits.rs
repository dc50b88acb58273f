//! Every bound of the contract in one place, asserted against each other.

/// Version of the wire protocol. A worker that announces another one is not given code.
pub const PROTOCOL: u16 = 3;

/// Bytes of a frame header on the wire.
pub const FRAME_HEADER_BYTES: usize = 16;
/// Largest frame body.
pub const FRAME_BODY_BYTES_MAX: usize = 64 * 1024;
/// Streams that may be open at once in each direction of one worker.
pub const STREAMS_MAX: usize = 64;
/// Body bytes that a sender may have on the way without credit from the receiver, each stream and direction. What a
/// worker sends after a call begins without any: the kernel grants it when it has made room.
pub const CREDIT_BYTES: u32 = 256 * 1024;
/// Arguments of one call that are announced and follow in pieces: a batch of documents, and what goes with it.
pub const CALL_BYTES_MAX: usize = 5 * 1024 * 1024;
/// An answer that is announced and follows in pieces. What is larger are bytes that follow a reply.
pub const REPLY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Header fields of one request or response.
pub const HEADERS_MAX: usize = 64;
/// Names and values of all header fields of one message together.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Longest request target.
pub const URL_BYTES_MAX: usize = 16 * 1024;
/// Longest request method.
pub const METHOD_BYTES_MAX: usize = 32;

/// One log line; longer ones are cut by the worker and again by the supervisor.
pub const LOG_LINE_BYTES_MAX: usize = 4 * 1024;
/// Log lines that a worker may write in a second before the rest is dropped and counted.
pub const LOG_LINES_PER_S_MAX: u32 = 100;
/// Message and stack of one error that a worker reports.
pub const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Longest path of a file in an app, in bytes.
pub const PATH_BYTES_MAX: usize = 512;
/// Files in one version of an app.
pub const FILES_MAX: usize = 2_000;
/// One file of an app.
pub const FILE_BYTES_MAX: u64 = 25 * 1024 * 1024;
/// All files of one version together.
pub const VERSION_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// One script module.
pub const MODULE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// All modules that one worker may be sent.
pub const MODULES_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Modules that one worker may be sent.
pub const MODULES_MAX: usize = FILES_MAX;
/// Bytes of `app.json`.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// JavaScript heap of a worker unless the manifest says otherwise.
pub const MEMORY_MIB_DEFAULT: u32 = 32;
/// Smallest and largest JavaScript heap that a manifest may ask for.
pub const MEMORY_MIB_MIN: u32 = 8;
/// See [`MEMORY_MIB_MIN`].
pub const MEMORY_MIB_MAX: u32 = 256;
/// Room beside the JavaScript heap for stack, code and buffers: `memory.max` is the heap plus this.
pub const MEMORY_MIB_BESIDE_HEAP: u32 = 8;
/// Address space of a worker (`RLIMIT_AS`), the second of three memory limits.
pub const ADDRESS_SPACE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// CPU time of one request unless the manifest says otherwise.
pub const CPU_MS_DEFAULT: u32 = 1_000;
/// Most CPU time of one request that a manifest may ask for.
pub const CPU_MS_MAX: u32 = 30_000;
/// Wall time of one request unless the manifest says otherwise.
pub const WALL_S_DEFAULT: u32 = 30;
/// Most wall time of one request that a manifest may ask for.
pub const WALL_S_MAX: u32 = 300;
/// Storage of one app unless the manifest says otherwise.
pub const STORAGE_MIB_DEFAULT: u32 = 256;
/// Most storage that a manifest may ask for.
pub const STORAGE_MIB_MAX: u32 = 64 * 1024;

/// Longest name of a variable of an app.
pub const ENV_NAME_BYTES_MAX: usize = 63;
/// Variables that an app may be given.
pub const ENV_VARIABLES_MAX: usize = 128;
/// Value of one variable: a service account's key with its certificate fits.
pub const ENV_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Names and values that were set for one app, together.
pub const ENV_BYTES_MAX: usize = 32 * 1024;
/// Names and defaults in one manifest, together.
pub const ENV_DEFAULTS_BYTES_MAX: usize = 12 * 1024;

/// JSON that goes with a run or job that an app asked for.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Name of a queue.
pub const QUEUE_NAME_BYTES_MAX: usize = 64;
/// Runs and jobs of one app that wait or run.
pub const JOBS_MAX: usize = 10_000;
/// Their payloads together. Dead letters have a bound of their own.
pub const JOBS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Jobs that one call enqueues, as on Workers.
pub const JOBS_BATCH_MAX: usize = 100;
/// How far ahead a run or job may be, in seconds: a year.
pub const JOB_DELAY_S_MAX: u64 = 366 * 24 * 3600;
/// Attempts at a run or job before it is a dead letter.
pub const ATTEMPTS_MAX: u32 = 5;
/// Dead letters of one app; the oldest goes for a new one.
pub const DEAD_LETTERS_MAX: usize = 200;
/// Runs of one app that are remembered.
pub const RUNS_KEPT: usize = 200;
/// Entries of `cron` in one manifest.
pub const CRON_MAX: usize = 32;

/// Live timers in one worker.
pub const TIMERS_MAX: usize = 10_000;
/// Bytes of one launcher message, in either direction.
pub const LAUNCH_BYTES: usize = 64;

const _: () = assert!(CREDIT_BYTES as usize >= 2 * FRAME_BODY_BYTES_MAX);
const _: () = assert!(HEADER_BYTES_MAX + URL_BYTES_MAX + METHOD_BYTES_MAX + 4096 < FRAME_BODY_BYTES_MAX);
// One frame configures a worker. Beside the variables it holds names and their lengths.
const _: () = assert!(ENV_BYTES_MAX + ENV_DEFAULTS_BYTES_MAX + 8 * 1024 < FRAME_BODY_BYTES_MAX);
const _: () = assert!(ENV_NAME_BYTES_MAX + ENV_VALUE_BYTES_MAX <= ENV_BYTES_MAX);
const _: () = assert!(ERROR_BYTES_MAX + 1024 < FRAME_BODY_BYTES_MAX);
const _: () = assert!(LOG_LINE_BYTES_MAX + 1024 < FRAME_BODY_BYTES_MAX);
const _: () = assert!(MEMORY_MIB_MIN <= MEMORY_MIB_DEFAULT && MEMORY_MIB_DEFAULT <= MEMORY_MIB_MAX);
const _: () =
    assert!((MEMORY_MIB_MAX + MEMORY_MIB_BESIDE_HEAP) as u64 * 1024 * 1024 <= ADDRESS_SPACE_BYTES_MAX);
const _: () = assert!(FRAME_BODY_BYTES_MAX < CALL_BYTES_MAX && FRAME_BODY_BYTES_MAX < REPLY_BYTES_MAX);
const _: () = assert!(MODULE_BYTES_MAX <= MODULES_BYTES_MAX);
// A payload is under way without the worker having to ask, and a batch is one call.
const _: () = assert!(PAYLOAD_BYTES_MAX <= CREDIT_BYTES as usize);
const _: () = assert!(PAYLOAD_BYTES_MAX + 1024 < CALL_BYTES_MAX && PAYLOAD_BYTES_MAX <= JOBS_BYTES_MAX);
const _: () = assert!(CPU_MS_DEFAULT <= CPU_MS_MAX && WALL_S_DEFAULT <= WALL_S_MAX);
