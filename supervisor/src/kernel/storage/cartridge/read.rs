//! Reading a cartridge.

use fazt_ipc::ids::VersionId;
use rusqlite::{OptionalExtension, Row, params};

use super::super::error::StorageError;
use super::super::value::{Encoding, Encodings, Sha256};
use super::{Cartridge, hash};

/// A version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its id.
    pub id: VersionId,
    /// Counts the deploys from 1.
    pub number: u64,
    /// Version for people, from the manifest.
    pub label: String,
    /// From the manifest.
    pub description: String,
    /// From the manifest, as it is spelled there, or what follows from where it came from.
    pub access: Option<String>,
    /// Where it came from, as JSON; none: out of a folder.
    pub origin: Option<String>,
    /// Hash of all paths and contents.
    pub tree: Sha256,
    /// Files.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Deployed, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// It is the one that runs.
    pub active: bool,
}

/// A file of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Path inside the app.
    pub path: String,
    /// Its content.
    pub sha256: Sha256,
    /// Size.
    pub bytes: u64,
    /// Compressed forms that exist.
    pub encodings: Encodings,
    /// Names what was built from it.
    pub built: Option<Sha256>,
}

/// What was built from a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Module specifiers, as the layer above encodes them.
    pub imports: Vec<u8>,
    /// Positions, as the layer above encodes them.
    pub map: Vec<u8>,
    /// JavaScript; empty: the source itself.
    pub code: Vec<u8>,
}

const VERSION: &str =
    "SELECT v.number, v.id, v.label, v.description, v.access, v.tree, v.files, v.bytes, v.created,
    v.number IS (SELECT number FROM active), v.origin FROM version v";

impl Cartridge {
    /// Every version, newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn versions(&self) -> Result<Vec<VersionRow>, StorageError> {
        let sql = format!("{VERSION} ORDER BY v.number DESC");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.fail())?;
        let rows = statement.query_map([], version_row).map_err(self.fail())?;
        rows.collect::<Result<_, _>>().map_err(self.fail())
    }

    /// The version that runs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn active(&self) -> Result<Option<VersionRow>, StorageError> {
        let sql = format!("{VERSION} WHERE v.number = (SELECT number FROM active)");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.fail())?;
        statement.query_row([], version_row).optional().map_err(self.fail())
    }

    /// Files of a version, by path.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn files(&self, number: u64) -> Result<Vec<FileRow>, StorageError> {
        let sql = "SELECT f.path, c.sha256, c.size, f.built,
                coalesce((SELECT size FROM encoding WHERE content = c.id AND encoding = 1), 0),
                coalesce((SELECT size FROM encoding WHERE content = c.id AND encoding = 2), 0),
                coalesce((SELECT size FROM encoding WHERE content = c.id AND encoding = 3), 0)
            FROM file f JOIN content c ON c.id = f.content WHERE f.version = ?1 ORDER BY f.path";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        let rows = statement
            .query_map([number.cast_signed()], |row| {
                Ok(FileRow {
                    path: row.get(0)?,
                    sha256: hash(row, 1)?,
                    bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                    built: row.get::<_, Option<[u8; 32]>>(3)?.map(Sha256),
                    encodings: Encodings { gzip: row.get(4)?, brotli: row.get(5)?, zstd: row.get(6)? },
                })
            })
            .map_err(self.fail())?;
        rows.collect::<Result<_, _>>().map_err(self.fail())
    }

    /// Which of these contents are not here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn missing(&self, contents: &[Sha256]) -> Result<Vec<Sha256>, StorageError> {
        let sql = "SELECT 1 FROM content WHERE sha256 = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        let mut missing = Vec::new();
        for content in contents {
            if !statement.exists([content.0]).map_err(self.fail())? {
                missing.push(*content);
            }
        }
        Ok(missing)
    }

    /// Which of these contents were never tried to compress.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn uncoded(&self, contents: &[Sha256]) -> Result<Vec<Sha256>, StorageError> {
        let sql = "SELECT 1 FROM content WHERE sha256 = ?1 AND coded = 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        let mut uncoded = Vec::new();
        for content in contents {
            if !statement.exists([content.0]).map_err(self.fail())? {
                uncoded.push(*content);
            }
        }
        Ok(uncoded)
    }

    /// Bytes of a content from `offset`, at most `bytes_max`; none when there is no such content or form.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn content(
        &self,
        sha256: Sha256,
        encoding: Encoding,
        offset: u64,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, StorageError> {
        let row: Option<i64> = if encoding == Encoding::Identity {
            self.id_of("SELECT id FROM content WHERE sha256 = ?1", params![sha256.0])?
        } else {
            let sql = "SELECT e.rowid FROM encoding e JOIN content c ON c.id = e.content
                WHERE c.sha256 = ?1 AND e.encoding = ?2";
            self.id_of(sql, params![sha256.0, encoding as u8])?
        };
        let Some(row) = row else { return Ok(None) };
        let table = if encoding == Encoding::Identity { "content" } else { "encoding" };
        let blob = self.connection.blob_open("main", table, "bytes", row, true).map_err(self.fail())?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        let mut bytes = vec![0; bytes_max.min(blob.len() - offset)];
        blob.read_at_exact(&mut bytes, offset).map_err(self.fail())?;
        let whole = offset == 0 && bytes.len() == blob.len();
        if whole && encoding == Encoding::Identity && Sha256::of(&bytes) != sha256 {
            return Err(self.damaged(format!("content {sha256} does not have that hash")));
        }
        Ok(Some(bytes))
    }

    fn id_of(&self, sql: &str, params: impl rusqlite::Params) -> Result<Option<i64>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        statement.query_row(params, |row| row.get(0)).optional().map_err(self.fail())
    }

    /// What was built under this name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn built(&self, key: Sha256) -> Result<Option<Built>, StorageError> {
        let sql = "SELECT imports, map, code FROM built WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        statement
            .query_row([key.0], |row| Ok(Built { imports: row.get(0)?, map: row.get(1)?, code: row.get(2)? }))
            .optional()
            .map_err(self.fail())
    }

    /// Bytecode of this name for this engine.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytecode(&self, key: Sha256, engine: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT bytes FROM bytecode WHERE key = ?1 AND engine = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        statement
            .query_row(params![key.0, engine.cast_signed()], |row| row.get(0))
            .optional()
            .map_err(self.fail())
    }

    /// SQLite's own check of the whole file.
    ///
    /// # Errors
    /// When it finds damage.
    pub fn check(&self) -> Result<(), StorageError> {
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(self.fail())?;
        if found == "ok" { Ok(()) } else { Err(self.damaged(found)) }
    }
}

pub(super) fn version_row(row: &Row<'_>) -> rusqlite::Result<VersionRow> {
    let id: String = row.get(1)?;
    let id = id.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let count = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
    Ok(VersionRow {
        number: count(0)?,
        id,
        label: row.get(2)?,
        description: row.get(3)?,
        access: row.get(4)?,
        tree: hash(row, 5)?,
        files: count(6)?,
        bytes: count(7)?,
        created_unix_ms: count(8)?,
        active: row.get(9)?,
        origin: row.get(10)?,
    })
}
