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

/// Blobs up to this size lie in the cartridge, longer ones in files.
pub const BLOB_INLINE_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a blob that are written and hashed at a time.
pub const BLOB_WRITE_BYTES: usize = 256 * 1024;
/// Threads that write, hash and read the bytes of blobs, of all apps together.
pub const BLOB_THREADS: usize = 4;
/// Longest key of a blob, without the name of a binding.
pub const BLOB_KEY_BYTES_MAX: usize = 1_024;
/// Most bytes of what is kept with a blob: its content type and the like, and the app's own.
pub const BLOB_ATTRIBUTES_BYTES_MAX: usize = 8 * 1024;
/// Blobs that one call deletes.
pub const BLOBS_DELETED_MAX: usize = 1_000;
/// Highest number of a part.
pub const BLOB_PARTS_MAX: u32 = 10_000;
/// Smallest part but the last, as R2 and S3 have it.
pub const BLOB_PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// How long an upload in parts may take before it is given up.
pub const BLOB_UPLOAD_MS: u64 = 7 * 24 * 3600 * 1000;

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
/// Threads that apps may have at once which use much of them; the rest is for the others.
pub const HEAVY_THREADS: usize = 2;
/// Time of threads that an app has used of late from which on it is one of those.
pub const HEAVY: Duration = Duration::from_millis(100);
/// What is remembered of it at most: it is forgotten at [`FORGIVEN`] of the time that passes.
pub const DEBT_MAX: Duration = Duration::from_secs(2);
/// One part in so many: an app that uses a quarter of a thread for long is not a heavy one.
pub const FORGIVEN: u32 = 4;
/// How long a statement waits for a deploy's transaction before it is another app's turn.
pub const BUSY: Duration = Duration::from_millis(50);
/// How long a call waits for one, turn after turn.
pub const BUSY_PATIENCE: Duration = Duration::from_secs(5);
/// How often a call is tried again for which SQLite has no memory left, because others hold it.
pub const STARVED_TRIES: u32 = 20;
/// And after how long: together longer than a statement takes.
pub const STARVED_PAUSE: Duration = Duration::from_millis(20);
/// What apps leave free on the disk, so that the kernel can still record and apps can still delete.
pub const RESERVE_BYTES: u64 = 16 * 1024 * 1024;
/// How often it is looked how much is free. A write in between is bounded by what a turn writes.
pub const LOOK: Duration = Duration::from_millis(50);
/// How often it is tried to make good a file whose disk has failed.
pub const RECOVER_MS: u64 = 1_000;
/// Time of one statement on a processor.
pub const STATEMENT: Duration = Duration::from_millis(250);
/// So many times that on the wall's clock, for one that waits for the disk.
pub const WALL_FACTOR: u64 = 8;
/// What a read may take on the thread that it comes in on, which serves others too: about fifty times what one
/// document takes that is in memory.
pub const AT_ONCE: Duration = Duration::from_micros(500);
/// The longest value that is read so: longer ones are many pages, of which each may come from the disk.
pub const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// What such reads of an app, and of all together, may take before the next ones go to the queue.
pub const AT_ONCE_BURST: Duration = Duration::from_millis(5);
/// One part in so many of the time that passes: what those of an app may take for long.
pub const AT_ONCE_SHARE: u32 = 4;
/// The same for those of all apps.
pub const AT_ONCE_SHARE_OF_ALL: u32 = 2;
/// How long reads of an app go to the queue after one that took longer: its disk or its documents are slow.
pub const SLOW_MS: u64 = 100;
/// Instructions of SQLite's machine between looks at the clock.
pub const PROGRESS_OPS: i32 = 1_000;
/// SQLite's memory in this process.
pub const HEAP_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Keys and documents for each MiB of an app's quota: of 128 bytes and less the rows are used up before the bytes.
pub const ROWS_PER_MIB: u64 = 8_192;
/// Calls a second of one app for long, and at once after a pause.
pub const OPS_PER_S: u32 = 100_000;
/// Prepared statements kept by one connection.
pub const STATEMENTS_KEPT: usize = 32;
/// Longest text of one that is kept. What SQLite makes of it is about eight times as large.
pub const STATEMENT_KEPT_BYTES: usize = 1_024;
/// Statements of which a connection remembers whether they sort.
pub const PLANS_KEPT: usize = 128;
/// Most that a statement holds to bring a page into an order that no index has: ordering keys and ids, no bodies.
pub const SORT_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most that any statement holds beside the page cache: the largest document, some times over, or a page to sort.
pub const STATEMENT_HEAP_MAX: usize = 10 * 1024 * 1024;
/// Expired keys removed in one turn.
pub const EXPIRED_PER_TURN: u32 = 200;
/// Pages given back to the disk at a time, 2 MiB: others of the file move into their places, which takes a few
/// milliseconds.
pub const RECLAIMED_AT_ONCE: u32 = 512;
/// Pages that a file in use keeps for what is written next, 4 MiB; and one that nobody uses.
pub const FREE_PAGES_KEPT: u32 = 1_024;
/// See [`FREE_PAGES_KEPT`].
pub const FREE_PAGES_KEPT_IDLE: u32 = 64;
/// Times that [`RECLAIMED_AT_ONCE`] is given back in one look for idle files; the next look goes on.
pub const RECLAIMED_PER_LOOK: u32 = 16;

// A row carries its body, its id and its ordering keys.
pub(super) const ROW_BYTES_MAX: usize = VALUE_BYTES_MAX + 256 * 1024;

const _: () = assert!(CONNECTIONS_MAX as i64 * PAGE_CACHE_KIB * 1024 <= HEAP_BYTES_MAX / 3);
// With every other connection closed there is room for what the threads do.
const _: () = assert!(((THREADS * STATEMENT_HEAP_MAX) as i64) < HEAP_BYTES_MAX);
const _: () = assert!(
    (PAGE_ITEMS_MAX as usize + 1) * (ORDER_FIELDS_MAX * (ORDER_KEY_BYTES + 24) + KEY_BYTES_MAX + 64)
        <= SORT_BYTES_MAX
);
const _: () = assert!(STARVED_PAUSE.as_millis() * STARVED_TRIES as u128 > STATEMENT.as_millis());
const _: () = assert!(SORT_BYTES_MAX * 2 <= STATEMENT_HEAP_MAX && HEAVY_THREADS < THREADS);
const _: () = assert!(PAGE_BYTES_MAX > VALUE_BYTES_MAX && BATCH_BYTES_MAX >= VALUE_BYTES_MAX);
const _: () = assert!(BLOB_INLINE_BYTES_MAX + 64 * 1024 < VALUE_BYTES_MAX);
const _: () = assert!((BLOB_KEY_BYTES_MAX + BINDING_BYTES_MAX + 64) * 4 / 3 < CURSOR_BYTES_MAX);
const _: () = assert!(PREFIX_BYTES_MAX < ORDER_KEY_BYTES);
const _: () = assert!(IN_VALUES_MAX <= WHERE_VALUES_MAX);
const _: () =
    assert!((ORDER_FIELDS_MAX * (ORDER_KEY_BYTES + 64) + KEY_BYTES_MAX + 64) * 4 / 3 < CURSOR_BYTES_MAX);
