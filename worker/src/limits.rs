//! Every bound of the worker that the contract does not have already.

/// JavaScript stack. The thread has 8 MiB (`RLIMIT_STACK`), of which Rust frames need little.
pub const STACK_BYTES_MAX: usize = 1024 * 1024;

/// Decompressed bytes handed to JavaScript at a time.
pub const INFLATE_BLOCK_BYTES: usize = 64 * 1024;

/// A gzip header (with the file name and comment it may carry) that is longer is refused.
pub const GZIP_HEADER_BYTES_MAX: usize = 64 * 1024;
