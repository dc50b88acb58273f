//! Every bound of the worker that the contract does not have already.

/// JavaScript stack. The thread has 8 MiB (`RLIMIT_STACK`), of which Rust frames need little.
pub const STACK_BYTES_MAX: usize = 1024 * 1024;

/// Decompressed bytes handed to JavaScript at a time.
pub const INFLATE_BLOCK_BYTES: usize = 64 * 1024;

/// A gzip header (with the file name and comment it may carry) that is longer is refused.
pub const GZIP_HEADER_BYTES_MAX: usize = 64 * 1024;

/// Promise jobs between two looks at the CPU budget.
pub const JOBS_PER_TICK: u32 = 1024;

/// Room that a read from the socket is given at least.
pub const READ_BYTES_MIN: usize = 16 * 1024;

/// A read buffer that has grown beyond this is given back when it is empty.
pub const READ_BYTES_HIGH: usize = 32 * 1024;

/// A worker without anything open gives memory back when nothing came for so long. Collecting garbage takes it
/// about a millisecond, and the next request a few page faults.
pub const REST_AFTER_MS: u32 = 500;

/// CPU time of a turn after which what is ready is written, rather than with the rest of the batch.
pub const LONG_TURN_NS: u64 = 500_000;

/// Bytes of output after which a batch is written before it is whole.
pub const WRITE_BYTES_HIGH: usize = 256 * 1024;

/// What an exhausted heap may still take while the engine unwinds; within `MEMORY_MIB_BESIDE_HEAP`.
pub const UNWIND_BYTES: usize = 1024 * 1024;

const _: () = assert!(UNWIND_BYTES < (fazt_ipc::limits::MEMORY_MIB_BESIDE_HEAP as usize) << 20);
