//! `app.fazt`: the deployed versions of one app, and its data (`../data/`).
//!
//! The structure is the kernel's alone; contents are bytes that nobody here interprets. A version is added,
//! made active and an old one pruned in one transaction, or not at all.

mod commit;
mod look;
mod read;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::data::blobs::TABLES as BLOBS;
use super::data::schema::{TABLES, TALLY};
use super::db::{self, Mode, Schema};
use super::error::StorageError;
use super::value::Sha256;

pub use commit::{Change, NewBuilt, NewContent, NewFile, NewVersion};
pub use look::Usage;
pub(super) use look::files_bytes;
pub use read::{Built, FileRow, VersionRow};

pub(super) const SCHEMA: Schema = Schema {
    application: 0x6661_7a74, // "fazt"
    shrinks: true,
    steps: &[
        "
        -- Bytes stand last in their rows, so that reading a size does not walk over them.
        CREATE TABLE content(
            id     INTEGER PRIMARY KEY,
            sha256 BLOB NOT NULL UNIQUE CHECK(length(sha256) = 32),
            size   INTEGER NOT NULL,
            -- Compression was tried; forms that gained nothing are not stored.
            coded  INTEGER NOT NULL,
            bytes  BLOB NOT NULL
        ) STRICT;
        CREATE TABLE encoding(
            content  INTEGER NOT NULL REFERENCES content(id) ON DELETE CASCADE,
            encoding INTEGER NOT NULL,
            size     INTEGER NOT NULL,
            bytes    BLOB NOT NULL,
            UNIQUE(content, encoding)
        ) STRICT;
        CREATE TABLE version(
            number      INTEGER PRIMARY KEY,
            id          TEXT NOT NULL UNIQUE,
            label       TEXT NOT NULL,
            description TEXT NOT NULL,
            access      TEXT,
            tree        BLOB NOT NULL,
            files       INTEGER NOT NULL,
            bytes       INTEGER NOT NULL,
            created     INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE file(
            version INTEGER NOT NULL REFERENCES version(number) ON DELETE CASCADE,
            path    TEXT NOT NULL,
            content INTEGER NOT NULL REFERENCES content(id),
            -- Names what was built from a script; none for other files.
            built   BLOB,
            PRIMARY KEY(version, path)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX file_content ON file(content);
        CREATE TABLE active(
            one    INTEGER PRIMARY KEY CHECK(one = 1),
            number INTEGER NOT NULL REFERENCES version(number)
        ) STRICT;
        -- A script that was looked at. Empty code: the engine loads the source as it is.
        CREATE TABLE built(
            key     BLOB PRIMARY KEY CHECK(length(key) = 32),
            imports BLOB NOT NULL,
            map     BLOB NOT NULL,
            code    BLOB NOT NULL
        ) STRICT;
        CREATE TABLE bytecode(
            key    BLOB NOT NULL,
            engine INTEGER NOT NULL,
            bytes  BLOB NOT NULL,
            PRIMARY KEY(key, engine)
        ) STRICT;
    ",
        TABLES,
        TALLY,
        BLOBS,
        // Where a version came from, as JSON.
        "ALTER TABLE version ADD COLUMN origin TEXT;",
    ],
};

/// An open cartridge.
pub struct Cartridge {
    path: PathBuf,
    connection: Connection,
}

impl Cartridge {
    pub(super) fn open(path: &Path, mode: Mode) -> Result<Self, StorageError> {
        if mode != Mode::Create && !path.exists() {
            let detail = "the file is missing".into();
            return Err(StorageError::Corrupt { path: path.display().to_string(), detail });
        }
        let connection = db::open(path, &SCHEMA, mode)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    fn fail(&self) -> impl Fn(rusqlite::Error) -> StorageError + use<> {
        let path = self.path.clone();
        move |error| StorageError::sqlite(&path, &error)
    }

    fn damaged(&self, detail: impl Into<String>) -> StorageError {
        StorageError::Corrupt { path: self.path.display().to_string(), detail: detail.into() }
    }
}

/// Reads a hash column.
fn hash(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Sha256> {
    row.get::<_, [u8; 32]>(index).map(Sha256)
}
