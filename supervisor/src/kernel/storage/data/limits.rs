//! Bounds of what apps store and ask, asserted against each other.

use std::time::Duration;

/// Largest document or value, in bytes of JSON.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a document.
pub const DEPTH_MAX: usize = 32;
/// Items of one list and keys of one object.
pub const ITEMS_MAX: usize = 10_000;
/// Longest key of `kv` and longest id of a document.
pub const KEY_BYTES_MAX: usize = 512;
/// Longest name of a binding. What it keeps is under keys that begin with it and a slash, beyond
/// [`KEY_BYTES_MAX`].
pub const BINDING_BYTES_MAX: usize = 64;
/// Most bytes of the metadata of a key.
pub const META_BYTES_MAX: usize = 1024;
/// Shortest time to live that is more than a rounding error, and the longest: ten years.
pub const TTL_S_MAX: u64 = 10 * 366 * 24 * 3600;

/// Bytes of a `where`.
pub const WHERE_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of `$and`, `$or` and `$not`.
pub const WHERE_DEPTH_MAX: usize = 8;
/// Values that one `where` may compare with.
pub const WHERE_VALUES_MAX: usize = 200;
/// Values of one `$in`.
pub const IN_VALUES_MAX: usize = 100;
/// Longest `$prefix`.
pub const PREFIX_BYTES_MAX: usize = 512;
/// Fields that one `order` may name.
pub const ORDER_FIELDS_MAX: usize = 4;
/// Longest path of a field, and its parts.
pub const FIELD_BYTES_MAX: usize = 256;
/// Parts of a dotted path.
pub const FIELD_PARTS_MAX: usize = 8;
/// Items of one page, and what it is without a limit.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// See [`PAGE_ITEMS_MAX`].
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// Bytes of one page. A page that would be larger ends earlier and has a cursor.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest cursor: four ordering keys and an id, in base 64.
pub const CURSOR_BYTES_MAX: usize = 8 * 1024;
/// Operations of one batch.
pub const BATCH_MAX: usize = 1_000;
/// Bytes of all documents of one batch.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of an ordering key before it is cut and completed by a hash.
pub const ORDER_KEY_BYTES: usize = 1_000;

/// Longest name of a named space.
pub const SPACE_NAME_BYTES_MAX: usize = 200;
/// Spaces of one person in one app: membership is looked up in every statement.
pub const SPACES_OF_ONE_MAX: u32 = 1_000;
/// Members of one space.
pub const MEMBERS_MAX: u32 = 1_000;
/// Invitations of one space that nobody used yet.
pub const INVITES_MAX: u32 = 100;
/// How long an invitation code is good for.
pub const INVITE_MS: u64 = 7 * 24 * 3600 * 1000;

/// Connections open at once, of all apps together, 62 KB each; the least recently used is closed.
pub const CONNECTIONS_MAX: usize = 72;
/// Page cache of one: a page of 20 documents with its index stays in it.
pub const PAGE_CACHE_KIB: i64 = 256;
/// Threads that take turns over apps. Most of their time is waiting for the disk.
pub const THREADS: usize = 4;
/// Calls of one app that may wait.
pub const QUEUE_MAX: usize = 2_048;
/// Calls of one app that one turn answers before it is another app's turn.
pub const TURN_CALLS_MAX: usize = 256;
/// Time of one turn after which it is another app's turn.
pub const TURN: Duration = Duration::from_millis(20);
/// Time of one statement.
pub const STATEMENT: Duration = Duration::from_millis(250);
/// Instructions of SQLite's machine between looks at the clock.
pub const PROGRESS_OPS: i32 = 1_000;
/// SQLite's memory in this process.
pub const HEAP_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Calls a second of one app for long, and at once after a pause.
pub const OPS_PER_S: u32 = 100_000;
/// Prepared statements kept by one connection.
pub const STATEMENTS_KEPT: usize = 48;
/// Expired keys removed in one turn.
pub const EXPIRED_PER_TURN: u32 = 200;

// A row carries its body, its id and its ordering keys.
pub(super) const ROW_BYTES_MAX: usize = VALUE_BYTES_MAX + 256 * 1024;

const _: () = assert!(CONNECTIONS_MAX as i64 * PAGE_CACHE_KIB * 1024 <= HEAP_BYTES_MAX / 3);
const _: () = assert!(PAGE_BYTES_MAX > VALUE_BYTES_MAX && BATCH_BYTES_MAX >= VALUE_BYTES_MAX);
const _: () = assert!(PREFIX_BYTES_MAX < ORDER_KEY_BYTES);
const _: () = assert!(IN_VALUES_MAX <= WHERE_VALUES_MAX);
const _: () =
    assert!((ORDER_FIELDS_MAX * (ORDER_KEY_BYTES + 64) + KEY_BYTES_MAX + 64) * 4 / 3 < CURSOR_BYTES_MAX);
