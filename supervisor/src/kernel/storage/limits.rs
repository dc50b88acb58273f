//! Bounds of databases.

/// Cartridges open at once; the least recently used is closed for another. Each takes about 200 KB; what is asked
/// for often (releases, contents, code) is kept in memory beyond that.
pub(super) const CARTRIDGES_OPEN_MAX: usize = 16;
/// Longest wait for another connection's lock. Only the kernel opens these files, and it queues.
pub(super) const BUSY_MS_MAX: u64 = 5_000;
/// Page cache of one connection.
pub(super) const PAGE_CACHE_KIB: i64 = 128;
/// Pages in the WAL after which a commit also moves them into the file.
pub(super) const CHECKPOINT_PAGES: i64 = 1_000;
/// What a WAL is cut to after it has been moved.
pub(super) const WAL_BYTES_KEPT: i64 = 1024 * 1024;
/// Short blocking operations at once, of all databases together: threads cost memory.
pub(super) const BLOCKING_MAX: usize = 4;
/// Long ones: compressing and committing of deploys.
pub(super) const BLOCKING_LONG_MAX: usize = 2;
/// Bytes copied at a time between files and databases.
pub(super) const COPY_BYTES: usize = 64 * 1024;
/// Room that is held on the disk for opening databases when it is full, at most: shared memory of as many as are
/// open at once.
pub(super) const SPARE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// And of a small disk one part in so many.
pub(super) const SPARE_PART: u64 = 16;
/// Given for one file: 32 KiB of shared memory, and what a file system adds.
pub(super) const SPARE_PIECE_BYTES: u64 = 64 * 1024;

const _: () = assert!(CARTRIDGES_OPEN_MAX as i64 * PAGE_CACHE_KIB <= 4 * 1024);
