//! Every bound of the worker that the contract does not have already.

/// JavaScript stack. The thread has 8 MiB (`RLIMIT_STACK`), of which Rust frames need little.
pub const STACK_BYTES_MAX: usize = 1024 * 1024;
