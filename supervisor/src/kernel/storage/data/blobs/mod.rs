//! Blobs: bytes of any length under a key. Short ones lie in the cartridge, long ones in files beside it, which
//! are named by what they hold and the space that holds them.
//!
//! ```text
//! bytes ─▶ stage (.stage/<random>, hashed as they come) ─▶ fsync ─┐
//!                                  turn of the app: rename, fsync of the folder, the row ─▶ WAL synced ─▶ answered
//! a row goes ─▶ WAL synced ─▶ file unlinked, if no row of the app names it
//! ```
//! A crash in between leaves a file that no row names; the sweep finds it. Never a row without its file. The
//! space is part of a file's name, so that nobody learns from time or room taken whether somebody else already
//! keeps the same bytes.
//!
//! | task | file |
//! |---|---|
//! | what may be asked and answered | here |
//! | what is refused before anything runs | `check.rs` |
//! | statements | `rows.rs`, of uploads in parts `uploads.rs` |
//! | bytes on their way in | `stage.rs` |
//! | files, and which go | `files.rs` |

mod check;
mod files;
mod rows;
mod stage;
mod uploads;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

pub(super) use check::check;
pub(super) use files::{Files, folder_of};
pub(in crate::kernel::storage) use rows::files_bytes;
pub(super) use rows::{Blobs, Gone};
pub(in crate::kernel::storage) use stage::clear;
pub use stage::{Content, Kept, Stager, Sums};
pub(super) use uploads::expire;

/// The steps of the cartridge's schema for blobs.
pub(in crate::kernel::storage) const TABLES: &str = "
    CREATE TABLE blob(
        _space   INTEGER NOT NULL,
        key      TEXT NOT NULL,
        version  TEXT NOT NULL,
        size     INTEGER NOT NULL,
        etag     TEXT NOT NULL,
        uploaded INTEGER NOT NULL,
        -- JSON.
        http     TEXT,
        meta     TEXT,
        sums     TEXT,
        -- Name of the file that holds the bytes; none: they are here.
        file     TEXT,
        value    BLOB,
        PRIMARY KEY(_space, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_file ON blob(file, size) WHERE file IS NOT NULL;
    -- An upload in parts that was begun.
    CREATE TABLE blob_upload(
        _space  INTEGER NOT NULL,
        id      TEXT NOT NULL,
        key     TEXT NOT NULL,
        created INTEGER NOT NULL,
        http    TEXT,
        meta    TEXT,
        PRIMARY KEY(_space, id)
    ) STRICT, WITHOUT ROWID;
    -- `id` is that of the upload, a slash and the number with five digits.
    CREATE TABLE blob_part(
        _space INTEGER NOT NULL,
        id     TEXT NOT NULL,
        size   INTEGER NOT NULL,
        etag   TEXT NOT NULL,
        file   TEXT,
        value  BLOB,
        PRIMARY KEY(_space, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blob_part_file ON blob_part(file, size) WHERE file IS NOT NULL;
    INSERT INTO sqlite_stat1(tbl, idx, stat) VALUES
        ('blob', 'blob', '1000000 10000 1'),
        ('blob_upload', 'blob_upload', '10000 100 1'),
        ('blob_part', 'blob_part', '10000 100 1');
";

/// `fazt.storage.blobs`
#[derive(Debug, Clone, PartialEq)]
pub enum BlobCall {
    /// How many bytes there is room for.
    Room,
    /// What is known of a blob.
    Head {
        /// Its key.
        key: String,
    },
    /// A blob and its bytes.
    Get {
        /// Its key.
        key: String,
        /// Which bytes.
        range: Range,
        /// Without the bytes unless this holds.
        only_if: Option<Conditions>,
    },
    /// Makes or replaces a blob.
    Put {
        /// Its key.
        key: String,
        /// Its bytes.
        content: Content,
        /// What goes with them.
        attributes: Attributes,
        /// Nothing is done unless this holds.
        only_if: Option<Conditions>,
    },
    /// Deletes blobs.
    Delete {
        /// Their keys.
        keys: Vec<String>,
    },
    /// Keys in order of their bytes.
    List(BlobList),
    /// Begins an upload in parts.
    Begin {
        /// The key that it is to have.
        key: String,
        /// What goes with it.
        attributes: Attributes,
    },
    /// Keeps a part.
    Part {
        /// The key of the upload.
        key: String,
        /// Its id.
        upload: String,
        /// 1 to 10,000.
        number: u32,
        /// Its bytes.
        content: Content,
    },
    /// The bytes of an upload's parts, to be put together.
    Parts {
        /// The key of the upload.
        key: String,
        /// Its id.
        upload: String,
        /// Number and etag of each, in order.
        parts: Vec<(u32, String)>,
    },
    /// Makes or replaces the blob of an upload, which is over then.
    Complete {
        /// The key of the upload.
        key: String,
        /// Its id.
        upload: String,
        /// All bytes.
        content: Content,
    },
    /// Gives an upload up. Nothing happens if there is none.
    Abort {
        /// The key of the upload.
        key: String,
        /// Its id.
        upload: String,
    },
}

impl BlobCall {
    /// Whether it changes something.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Self::Head { .. } | Self::Get { .. } | Self::List(_) | Self::Parts { .. })
    }
}

/// Which bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// From here, or none: from the start.
    pub offset: Option<u64>,
    /// At most so many.
    pub length: Option<u64>,
    /// Instead: the last ones.
    pub suffix: Option<u64>,
}

/// What must hold of the blob that is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// One of these etags; `*`: any.
    pub matches: Option<Vec<String>>,
    /// None of these etags; `*`: nothing may be there.
    pub differs: Option<Vec<String>>,
    /// Not changed after this, in milliseconds since 1970.
    pub before: Option<u64>,
    /// Changed after this.
    pub after: Option<u64>,
    /// Times count in whole seconds, as in header fields.
    pub seconds: bool,
}

/// What goes with a blob's bytes, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Content type and the like.
    pub http: Option<String>,
    /// The app's own.
    pub meta: Option<String>,
}

/// Which blobs to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobList {
    /// Start of the keys.
    pub prefix: String,
    /// Of keys that hold this after the prefix only the start up to there is given, once.
    pub delimiter: Option<String>,
    /// Keys after this one.
    pub after: Option<String>,
    /// Keys and starts of the page, at most 1,000.
    pub limit: Option<u32>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// A blob without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its key.
    pub key: String,
    /// Made anew with each put.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// MD5 in hexadecimal; of parts: the MD5 of theirs and how many.
    pub etag: String,
    /// When it was put, in milliseconds since 1970.
    pub uploaded_unix_ms: u64,
    /// As put.
    pub attributes: Attributes,
    /// Other checksums that were put with it, as JSON.
    pub sums: Option<String>,
}

/// Bytes of a blob.
#[derive(Debug, Clone)]
pub enum Bytes {
    /// Short ones.
    Whole(Vec<u8>),
    /// Of a file: from where, and how many.
    File(Arc<File>, u64, u64),
    /// Of a file that is not open yet, one of many: how many.
    Later(PathBuf, u64),
}

/// Files are the same where they are one.
impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(two)) => one == two,
            (Self::Later(one, bytes), Self::Later(two, other)) => (one, bytes) == (two, other),
            (Self::File(one, from, bytes), Self::File(two, other_from, other_bytes)) => {
                Arc::ptr_eq(one, two) && (from, bytes) == (other_from, other_bytes)
            }
            _ => false,
        }
    }
}

/// What a call on blobs gives.
#[derive(Debug, Clone, PartialEq)]
pub enum BlobAnswer {
    /// Bytes that there is room for.
    Room(u64),
    /// A blob; none: there is none, or a condition did not hold.
    Info(Option<BlobInfo>),
    /// A blob and the bytes asked for: where they start, and they themselves; none: a condition did not hold.
    Found(Option<(BlobInfo, Option<(u64, Bytes)>)>),
    /// How many were deleted.
    Deleted(u32),
    /// A page.
    Page {
        /// In order.
        items: Vec<BlobInfo>,
        /// Starts of keys.
        prefixes: Vec<String>,
        /// Where the next page starts.
        cursor: Option<String>,
    },
    /// The id of an upload.
    Upload(String),
    /// The etag of a part.
    Part(String),
    /// The bytes of parts, in order, and the etag that the whole will have.
    Parts(Vec<Bytes>, String),
    /// Nothing to say.
    Done,
}
