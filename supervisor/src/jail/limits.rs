//! Bounds of the launcher, asserted against each other.

use std::time::Duration;

use fazt_ipc::limits::{ADDRESS_SPACE_BYTES_MAX, MEMORY_MIB_BESIDE_HEAP, MEMORY_MIB_MAX, STORAGE_MIB_MAX};

const MIB: u64 = 1024 * 1024;

/// First uid of the range for jailed processes.
pub(super) const UID_FIRST: u32 = 2_000_000;
/// Uids in that range. More than processes, so that a uid rests before it is used again.
pub(super) const UIDS: u32 = 65_536;
/// The supervisor's uid where `/etc/passwd` does not name one: below the range, above people.
pub(super) const UID_SUPERVISOR: u32 = 1_999_000;
/// The uid of the process that opens connections to elsewhere, where `/etc/passwd` does not name one.
pub(super) const UID_EGRESS: u32 = 1_999_001;
/// Jailed processes at once.
pub(super) const PROCESSES_MAX: usize = 4_096;

/// From the order to the first byte of the child.
pub(super) const SPAWN_WALL: Duration = Duration::from_secs(5);
/// From the signal to stop until the supervisor is killed. Longer than its own drain.
pub(super) const DRAIN_WALL: Duration = Duration::from_secs(40);
/// Pause before the supervisor is started again: doubles from the first to the last.
pub(super) const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// A supervisor that lived so long starts the pauses anew.
pub(super) const HEALTHY: Duration = Duration::from_secs(60);
/// Between two tries to remove a leaf that is not empty yet.
pub(super) const SWEEP: Duration = Duration::from_millis(5);
/// How long sealing a program may be refused because a page of it is in use.
pub(super) const SEAL_WAIT: Duration = Duration::from_secs(5);
/// Answers that wait for a supervisor which does not read; then no further order is read.
pub(super) const ANSWERS_MAX: usize = 256;

/// `memory.max` of a worker: the largest heap that a manifest may ask for, and what lies beside it.
pub(super) const WORKER_MEMORY_BYTES_MAX: u64 = (MEMORY_MIB_MAX + MEMORY_MIB_BESIDE_HEAP) as u64 * MIB;
/// `memory.max` of a process that tries an escape without seccomp: the program, and nothing to spend.
pub(super) const WALLS_MEMORY_BYTES_MAX: u64 = 16 * MIB;
/// `memory.max` of a build.
pub(super) const BUILD_MEMORY_BYTES_MAX: u64 = 1024 * MIB;
/// `RLIMIT_AS` of a build: its allocator reserves far more than it uses.
pub(super) const BUILD_ADDRESS_SPACE_BYTES_MAX: u64 = 8 * 1024 * MIB;
/// `memory.max` of a store: SQLite's own bound, an answer twice over, and the program.
pub(super) const STORE_MEMORY_BYTES_MAX: u64 = 96 * MIB;
/// `memory.max` of egress: what both directions of all streams may hold, as much again in connections, and 64 MiB for
/// windows of decompression and answers that are kept.
pub(super) const EGRESS_MEMORY_BYTES_MAX: u64 = 128 * MIB;
/// Descriptors of egress: a connection for each request, as many that are kept, and questions to name servers.
pub(super) const EGRESS_FILES: u64 = 1_024;
/// Descriptors of every other jailed process.
pub(super) const JAIL_FILES: u64 = 16;
/// Largest file that a store may write: the most storage that a manifest may ask for, and its WAL.
pub(super) const STORE_FILE_BYTES_MAX: u64 = 2 * STORAGE_MIB_MAX as u64 * MIB + 64 * MIB;
/// `pids.max` of a worker: itself, and one for the moment between fork and exec of the kernel's accounting.
pub(super) const WORKER_PIDS: u32 = 2;
/// Most that an order may ask for, in thousandths of one CPU.
pub(super) const CPU_PERMILLE_MAX: u32 = 64_000;
/// Share of the machine's memory that all jailed processes together may have.
pub(super) const POOL_MEMORY_PERCENT: u64 = 60;
/// Descriptors that the launcher may open: three for a process that is being made, one for one that lives, and
/// what lies below the numbers that children overwrite.
pub(super) const LAUNCHER_FILES: u64 = PROCESSES_MAX as u64 * 4 + 256;
/// Descriptors that the supervisor may open: connections, cartridges, workers.
pub(super) const SUPERVISOR_FILES: u64 = 65_536;

/// Period of `cpu.max`. Short, so that a worker at its cap pauses for milliseconds.
pub(super) const CPU_PERIOD_US: u64 = 20_000;
/// Least quota that the kernel takes.
pub(super) const CPU_QUOTA_US_MIN: u64 = 1_000;

const _: () = assert!(WORKER_MEMORY_BYTES_MAX <= ADDRESS_SPACE_BYTES_MAX);
const _: () = assert!(BUILD_MEMORY_BYTES_MAX <= BUILD_ADDRESS_SPACE_BYTES_MAX);
const _: () = assert!(UID_SUPERVISOR < UID_FIRST && UID_EGRESS < UID_FIRST && UID_EGRESS != UID_SUPERVISOR);
const _: () = assert!(4 * fazt_ipc::egress::limits::STREAMS_MAX as u64 <= EGRESS_FILES);
const _: () = assert!(
    4 * fazt_ipc::egress::limits::STREAMS_MAX as u64 * fazt_ipc::egress::limits::CREDIT_BYTES as u64
        <= EGRESS_MEMORY_BYTES_MAX
);
const _: () = assert!(PROCESSES_MAX * 8 <= UIDS as usize);
const _: () = assert!(CPU_QUOTA_US_MIN <= CPU_PERIOD_US);
