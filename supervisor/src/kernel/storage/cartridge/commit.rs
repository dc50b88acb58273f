//! Writing a cartridge: one transaction for each change.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use fazt_ipc::ids::VersionId;
use rusqlite::config::DbConfig;
use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::super::data::{DataSchema, schema};
use super::super::error::StorageError;
use super::super::limits::COPY_BYTES;
use super::super::value::{Encoding, Sha256};
use super::{Cartridge, VersionRow};

/// Everything that one deploy adds.
#[derive(Debug)]
pub struct Change {
    /// The version.
    pub version: NewVersion,
    /// Contents that are not here yet, and compressed forms of those that are.
    pub contents: Vec<NewContent>,
    /// Scripts that were built.
    pub built: Vec<NewBuilt>,
    /// Versions that are kept, the new one among them.
    pub keep: usize,
    /// The one that was active before is kept as well, however old: it may be wanted back.
    pub keep_before: bool,
    /// What the version says about its data.
    pub data: DataSchema,
}

/// A version to add.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in VersionRow")]
pub struct NewVersion {
    pub id: VersionId,
    pub label: String,
    pub description: String,
    pub access: Option<String>,
    pub origin: Option<String>,
    pub tree: Sha256,
    pub created_unix_ms: u64,
    pub files: Vec<NewFile>,
}

/// A file of it.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "as in FileRow")]
pub struct NewFile {
    pub path: String,
    pub sha256: Sha256,
    pub bytes: u64,
    pub built: Option<Sha256>,
}

/// A content, in files beside the database.
#[derive(Debug, Clone)]
pub struct NewContent {
    /// Its hash, checked by the caller.
    pub sha256: Sha256,
    /// Where its bytes are; none: the cartridge has them.
    pub bytes: Option<PathBuf>,
    /// Compression was tried, with these outcomes.
    pub encodings: Option<Vec<(Encoding, PathBuf)>>,
}

/// What was built from a script. Parts that are none are here already.
#[derive(Debug, Clone)]
pub struct NewBuilt {
    /// Its name.
    pub key: Sha256,
    /// See [`super::Built`].
    pub stripped: Option<super::Built>,
    /// Engine and bytecode.
    pub bytecode: Option<(u64, Vec<u8>)>,
}

impl Cartridge {
    /// Adds a version and makes it the active one; prunes versions and whatever no version uses.
    ///
    /// # Errors
    /// When the file cannot be written, and [`StorageError::Refused`] when the data that is there does not fit
    /// the version. Nothing has changed then.
    pub fn commit(&mut self, change: &Change) -> Result<VersionRow, StorageError> {
        let path = self.path.clone();
        let fail = move |error: rusqlite::Error| StorageError::sqlite(&path, &error);
        // An index is made by sorting all of a collection: not in memory, which is everyone's.
        self.connection.pragma_update(None, "temp_store", "file").map_err(&fail)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fail)?;
        for content in &change.contents {
            insert_content(&transaction, content, &fail)?;
        }
        insert_built(&transaction, &change.built).map_err(&fail)?;
        let before = if change.keep_before { active(&transaction).map_err(&fail)? } else { None };
        let number = insert_version(&transaction, &change.version).map_err(&fail)?;
        schema::migrate(&transaction, number, &change.data, &fail)?;
        transaction
            .execute("INSERT OR REPLACE INTO active(one, number) VALUES(1, ?1)", [number])
            .map_err(&fail)?;
        prune(&transaction, change.keep, before).map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        self.active()?.ok_or_else(|| self.damaged("the version just added is not there"))
    }

    /// Ends a writer whose commit the disk did not take. What such a commit left in the WAL looks whole: it would
    /// count when the file is next opened after a crash. An empty one takes its place.
    pub(in super::super) fn give_up(self) {
        let connection = &self.connection;
        let emptied = (|| {
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            // It is enough that whoever opens the file sees it.
            connection.pragma_update(None, "synchronous", "OFF")?;
            let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            connection.pragma_update(None, "user_version", version)
        })();
        if let Err(error) = emptied {
            tracing::warn!(path = %self.path.display(), %error, "what the disk did not take may come back after a crash");
        }
        let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Bounds the file: what would make it larger fails as on a full disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bound(&mut self, bytes_max: u64) -> Result<(), StorageError> {
        let page: u32 =
            self.connection.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(self.fail())?;
        let pages = (bytes_max / u64::from(page.max(1))).clamp(1, u64::from(u32::MAX) - 2);
        let sql = format!("PRAGMA max_page_count={pages}");
        self.connection.query_row(&sql, [], |_| Ok(())).map_err(self.fail())
    }

    /// Makes a version the active one; false when there is none of this number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn activate(&mut self, number: u64) -> Result<bool, StorageError> {
        let sql =
            "INSERT OR REPLACE INTO active(one, number) SELECT 1, number FROM version WHERE number = ?1";
        let changed = self.connection.execute(sql, [number.cast_signed()]).map_err(self.fail())?;
        Ok(changed == 1)
    }

    /// Adds what was built after the deploy, for another engine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_built(&mut self, built: &[NewBuilt]) -> Result<(), StorageError> {
        let fail = self.fail();
        let transaction = self.connection.transaction().map_err(&fail)?;
        insert_built(&transaction, built).map_err(&fail)?;
        prune_built(&transaction).map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }
}

fn insert_content(
    transaction: &Transaction<'_>,
    content: &NewContent,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<(), StorageError> {
    let coded = content.encodings.is_some();
    if let Some(path) = &content.bytes {
        let (file, size) = staged(path)?;
        let sql = "INSERT INTO content(sha256, size, coded, bytes) VALUES(?1, ?2, ?3, zeroblob(?2))
            ON CONFLICT(sha256) DO NOTHING";
        let mut statement = transaction.prepare_cached(sql).map_err(fail)?;
        // Two deploys that overlapped may bring the same content.
        if statement.execute(params![content.sha256.0, size, coded]).map_err(fail)? == 1 {
            copy(transaction, "content", path, file, fail)?;
        }
    } else if coded {
        let sql = "UPDATE content SET coded = 1 WHERE sha256 = ?1";
        transaction.prepare_cached(sql).and_then(|mut s| s.execute([content.sha256.0])).map_err(fail)?;
    }
    for (encoding, path) in content.encodings.iter().flatten() {
        let (file, size) = staged(path)?;
        let sql = "INSERT INTO encoding(content, encoding, size, bytes)
            SELECT id, ?2, ?3, zeroblob(?3) FROM content WHERE sha256 = ?1 ON CONFLICT DO NOTHING";
        let mut statement = transaction.prepare_cached(sql).map_err(fail)?;
        if statement.execute(params![content.sha256.0, *encoding as u8, size]).map_err(fail)? == 1 {
            copy(transaction, "encoding", path, file, fail)?;
        }
    }
    Ok(())
}

fn staged(path: &PathBuf) -> Result<(File, i64), StorageError> {
    let fail = |error: std::io::Error| StorageError::io(path, &error);
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    Ok((file, size.cast_signed()))
}

/// Fills the row inserted last, a piece at a time: no content is in memory whole.
fn copy(
    transaction: &Transaction<'_>,
    table: &str,
    path: &std::path::Path,
    mut file: File,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<(), StorageError> {
    let row = transaction.last_insert_rowid();
    let mut blob = transaction.blob_open("main", table, "bytes", row, false).map_err(fail)?;
    let mut buffer = vec![0; COPY_BYTES.min(blob.len().max(1))];
    loop {
        let bytes = file.read(&mut buffer).map_err(|error| StorageError::io(path, &error))?;
        if bytes == 0 {
            return blob.close().map_err(fail);
        }
        blob.write_all(&buffer[..bytes]).map_err(|error| match error.get_ref() {
            // The blob's `Write` wraps SQLite's error.
            Some(inner) if inner.is::<rusqlite::Error>() => match error.downcast() {
                Ok(error) => fail(error),
                Err(error) => StorageError::io(path, &error),
            },
            _ => StorageError::io(path, &error),
        })?;
    }
}

fn insert_built(transaction: &Transaction<'_>, built: &[NewBuilt]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO built(key, imports, map, code) VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    let mut insert_bytecode = transaction.prepare_cached(
        "INSERT INTO bytecode(key, engine, bytes) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for row in built {
        if let Some(stripped) = &row.stripped {
            insert.execute(params![row.key.0, stripped.imports, stripped.map, stripped.code])?;
        }
        if let Some((engine, bytes)) = &row.bytecode {
            insert_bytecode.execute(params![row.key.0, engine.cast_signed(), bytes])?;
        }
    }
    Ok(())
}

fn insert_version(transaction: &Transaction<'_>, version: &NewVersion) -> rusqlite::Result<i64> {
    let number: i64 =
        transaction.query_row("SELECT coalesce(max(number), 0) + 1 FROM version", [], |row| row.get(0))?;
    let bytes: u64 = version.files.iter().map(|file| file.bytes).sum();
    transaction.execute(
        "INSERT INTO version(number, id, label, description, access, tree, files, bytes, created, origin)
            VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            number,
            version.id.to_string(),
            version.label,
            version.description,
            version.access,
            version.tree.0,
            i64::try_from(version.files.len()).unwrap_or(i64::MAX),
            bytes.cast_signed(),
            version.created_unix_ms.cast_signed(),
            version.origin,
        ],
    )?;
    // A content that is missing leaves NULL, which the column refuses: the transaction ends.
    let mut insert = transaction.prepare_cached(
        "INSERT INTO file(version, path, content, built)
            VALUES(?1, ?2, (SELECT id FROM content WHERE sha256 = ?3), ?4)",
    )?;
    for file in &version.files {
        insert.execute(params![number, file.path, file.sha256.0, file.built.map(|key| key.0)])?;
    }
    Ok(number)
}

/// Keeps the newest versions and the active one; drops what no version uses any more.
fn active(transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
    transaction.query_row("SELECT number FROM active", [], |row| row.get(0)).optional()
}

/// Keeps the newest, the active one, and the one that was active before.
fn prune(transaction: &Transaction<'_>, keep: usize, before: Option<i64>) -> rusqlite::Result<()> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    transaction.execute(
        "DELETE FROM version WHERE number NOT IN (SELECT number FROM version ORDER BY number DESC LIMIT ?1)
            AND number NOT IN (SELECT number FROM active) AND number IS NOT ?2",
        params![keep, before],
    )?;
    transaction.execute("DELETE FROM content WHERE id NOT IN (SELECT content FROM file)", [])?;
    prune_built(transaction)
}

fn prune_built(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .execute("DELETE FROM built WHERE key NOT IN (SELECT built FROM file WHERE built IS NOT NULL)", [])?;
    transaction.execute(
        "DELETE FROM bytecode WHERE key NOT IN (SELECT built FROM file WHERE built IS NOT NULL)",
        [],
    )?;
    Ok(())
}
