//! Bounds of what comes from elsewhere and is turned into the files of a deploy, asserted against each other.

use fazt_ipc::limits::{FILES_MAX, PATH_BYTES_MAX};

const MIB: usize = 1024 * 1024;

/// A pack or archive as it travels.
pub const PACKED_BYTES_MAX: usize = 20 * MIB;
/// Files of one repository.
pub const REPOSITORY_FILES_MAX: usize = 2_000;
/// One file of a repository.
pub const REPOSITORY_FILE_BYTES_MAX: usize = 5 * MIB;
/// All files of one repository.
pub const REPOSITORY_BYTES_MAX: usize = 50 * MIB;
/// What is unpacked is at most so many times what was packed. Text packs to a tenth.
pub const RATIO_MAX: usize = 100;
/// A very small pack may grow to this in spite of [`RATIO_MAX`].
pub const RATIO_FREE_BYTES: usize = MIB;
/// Objects of one pack: files, folders, the commit; what is outside the chosen folder counts.
pub const OBJECTS_MAX: usize = 50_000;
/// All objects of a pack, unpacked: four times the files, as folders outside the chosen one count.
pub const OBJECTS_BYTES_MAX: usize = 192 * MIB;
/// One object of a pack.
pub const OBJECT_BYTES_MAX: usize = 64 * MIB;
/// Deltas upon deltas; the deepest that `git` itself makes.
pub const DELTA_DEPTH_MAX: usize = 4_095;
/// Folders that are looked into: a tree may name the same folder often.
pub const FOLDERS_MAX: usize = 10_000;
/// Deepest folder.
pub const DEPTH_MAX: usize = 32;
/// Longest name between two slashes, as on common file systems.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a lock file.
pub const LOCK_BYTES_MAX: usize = 8 * MIB;
/// Packages of one app.
pub const PACKAGES_MAX: usize = 1_000;
/// One package as it travels.
pub const PACKAGE_BYTES_MAX: usize = 12 * MIB;
/// All packages of one app as they travel.
pub const PACKAGES_BYTES_MAX: usize = 48 * MIB;
/// Files of one package.
pub const PACKAGE_FILES_MAX: usize = 10_000;
/// One package, unpacked.
pub const PACKAGE_UNPACKED_BYTES_MAX: usize = 64 * MIB;
/// All packages of one app, unpacked.
pub const PACKAGES_UNPACKED_BYTES_MAX: usize = 160 * MIB;
/// What a configuration of Wrangler may have.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// What is said of a repository before it is installed.
pub const PLAN_BYTES_MAX: usize = MIB;
/// Bytes of one piece on the socket to the jail.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;
/// Text of a refusal.
pub const REFUSAL_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(REPOSITORY_FILES_MAX <= FILES_MAX);
const _: () = assert!(REPOSITORY_FILE_BYTES_MAX as u64 <= fazt_ipc::limits::FILE_BYTES_MAX);
const _: () = assert!(REPOSITORY_BYTES_MAX as u64 <= fazt_ipc::limits::VERSION_BYTES_MAX);
const _: () = assert!(REPOSITORY_BYTES_MAX < OBJECTS_BYTES_MAX && OBJECT_BYTES_MAX < OBJECTS_BYTES_MAX);
const _: () =
    assert!(PACKAGE_BYTES_MAX <= PACKAGES_BYTES_MAX && PACKAGES_BYTES_MAX <= PACKAGES_UNPACKED_BYTES_MAX);
const _: () = assert!(DEPTH_MAX * 2 < PATH_BYTES_MAX);
