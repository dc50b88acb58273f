//! Bounds of raw SQL in the kernel. Those of a statement are in `fazt_ipc::store::limits`.

use std::time::Duration;

/// Processes at once, of all apps; the least recently used goes to sleep. Each takes 2 to 3 MB while it rests.
pub(super) const PROCESSES_MAX: usize = 48;
/// Processes of one app at once.
pub(super) const APP_PROCESSES_MAX: usize = 12;
/// Statements that run at once, of all apps.
pub(super) const TURNS_MAX: usize = 16;
/// Statements of one app that run at once: what one app asks for leaves the others their share of the CPUs.
pub(super) const APP_TURNS_MAX: usize = 2;
/// Calls that may wait for one file.
pub(super) const QUEUE_MAX: usize = 256;
/// A process without a call for so long goes.
pub(super) const IDLE: Duration = Duration::from_secs(15);
/// A call waits this long for room for its process.
pub(super) const ROOM_DEADLINE: Duration = Duration::from_secs(10);
/// From the order for a process to its greeting.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(10);
/// A process that was told to go moves its WAL and does so within this time.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(10);
/// The file of a process that just ended is free within this time.
pub(super) const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// Wall time of a call beyond its CPU time: other processes may have the CPUs meanwhile, and the disk takes its time.
pub(super) const WALL_MORE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });
/// Wall time for each unit of CPU time that a call may take.
pub(super) const WALL_FACTOR: u32 = 8;
/// An answer waits this long for memory in the supervisor; it is thrown away then.
pub(super) const MEMORY_DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 20 });
/// From the head of an answer, when there is memory for it, to its last byte: it lies ready.
pub(super) const TAKE_DEADLINE: Duration = Duration::from_secs(10);
/// CPU time in which a file is looked through for damage.
pub(super) const CHECK_CPU_MS: u32 = 60_000;
/// First and longest pause before a process is made again that did not end well.
pub(super) const BACK_OFF: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// Answers shorter than this become JSON without another thread.
pub(super) const SMALL_BYTES: usize = 64 * 1024;
/// The JSON of an answer: text grows when it is quoted, bytes when they become text.
pub(super) const JSON_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(APP_PROCESSES_MAX < PROCESSES_MAX && APP_TURNS_MAX < TURNS_MAX);
const _: () = assert!(JSON_BYTES_MAX > fazt_ipc::store::limits::ROWS_BYTES_MAX);
