//! Bounds of raw SQL, asserted against each other. What an app may write into one statement is what Cloudflare's D1
//! takes, so that programs written for it run unchanged; the rest is what keeps a process small.

use std::time::Duration;

/// Longest statement, and longest script of several.
pub const SQL_BYTES_MAX: usize = 100_000;
/// Longest text, blob or row.
pub const VALUE_BYTES_MAX: usize = 2_000_000;
/// Values that one statement may bind.
pub const VALUES_MAX: usize = 100;
/// Columns of a table, and of a result.
pub const COLUMNS_MAX: usize = 100;
/// Statements of one batch, and scripts of one call.
pub const STATEMENTS_MAX: usize = 1_000;
/// Bound values of one call together.
pub const REQUEST_VALUES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows of one call's answer.
pub const ROWS_MAX: usize = 10_000;
/// Values and names of columns in one call's answer.
pub const ROWS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest message of an error; SQLite's own quote the statement.
pub const MESSAGE_BYTES_MAX: usize = 2_000;

/// One request on the socket: values, statements, and what says how long they are.
pub const REQUEST_BYTES_MAX: usize = REQUEST_VALUES_BYTES_MAX + STATEMENTS_MAX * 64 + 1024 * 1024;
/// One answer on the socket.
pub const ANSWER_BYTES_MAX: usize = ROWS_BYTES_MAX + STATEMENTS_MAX * 128 + 64 * 1024;

/// Page of a database file.
pub const PAGE_BYTES: u64 = 4096;
/// SQLite's memory; more is an error of the statement.
pub const HEAP_BYTES_MAX: i64 = 32 * 1024 * 1024;
/// SQLite's page cache.
pub const CACHE_KIB: i64 = 2 * 1024;
/// What a WAL may have beyond twice the database: a transaction that changes everything, and one that is small.
pub const WAL_BYTES_MORE: u64 = 16 * 1024 * 1024;
/// What is left of a WAL after a call: a longer one is moved into the database.
pub const WAL_BYTES_KEPT: i64 = 1024 * 1024;
/// Free pages that a database keeps after a call, in bytes: more are given back to the disk.
pub const FREE_BYTES_KEPT: u64 = 256 * 1024;
/// Pages that are given back after one call: what that takes is added to its time.
pub const FREE_PAGES_AT_ONCE: u64 = 8_192;
/// CPU time for moving a WAL and giving pages back, beside that of the call.
pub const TIDY_CPU: Duration = Duration::from_secs(10);
/// Instructions of SQLite's machine between looks at the clock.
pub const PROGRESS_OPS: i32 = 1_000;
/// CPU time that a statement gets beyond its budget before the process ends itself: some functions of SQLite never
/// look at the clock.
pub const CPU_GRACE: Duration = Duration::from_millis(250);

const _: () = assert!(SQL_BYTES_MAX < REQUEST_BYTES_MAX && VALUE_BYTES_MAX < REQUEST_VALUES_BYTES_MAX);
const _: () = assert!(VALUE_BYTES_MAX < ROWS_BYTES_MAX && ROWS_BYTES_MAX < ANSWER_BYTES_MAX);
const _: () = assert!(HEAP_BYTES_MAX as usize > 4 * VALUE_BYTES_MAX);
