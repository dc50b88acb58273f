//! What operators see of an app's data: how much there is, of which kind, and whose. Never what a query of an app
//! gives: that is confined, and asked for through `data/`.

use fazt_ipc::ids::UserId;
use rusqlite::{Connection, OptionalExtension};

use super::super::data::blobs::files_bytes as blobs_files_bytes;
use super::super::data::schema::Layout;
use super::super::data::{CollectionUse, Owned, look};
use super::super::error::StorageError;
use super::Cartridge;

/// What an app's data takes, and may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of data in the file, with its indexes.
    pub data_bytes: u64,
    /// Bytes of blobs in files beside it.
    pub blobs_bytes: u64,
    /// Quota of those, and of raw SQL.
    pub data_bytes_max: u64,
    /// Keys and documents.
    pub rows: u64,
    /// Quota of those.
    pub rows_max: u64,
    /// Bytes of deployed files, their compressed forms, and what was built from them.
    pub files_bytes: u64,
}

/// Bytes of everything that was deployed.
pub(in crate::kernel::storage) fn files_bytes(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row(
        "SELECT coalesce((SELECT sum(size) FROM content), 0) + coalesce((SELECT sum(size) FROM encoding), 0)
            + coalesce((SELECT sum(length(code) + length(map) + length(imports)) FROM built), 0)
            + coalesce((SELECT sum(length(bytes)) FROM bytecode), 0)",
        [],
        |row| row.get(0),
    )
}

impl Cartridge {
    /// How much there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        let fail = self.fail();
        let layout = Layout::load(&self.connection).map_err(&fail)?;
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let pages =
            number("PRAGMA page_count").map_err(&fail)? - number("PRAGMA freelist_count").map_err(&fail)?;
        let bytes = pages * number("PRAGMA page_size").map_err(&fail)?;
        let files = files_bytes(&self.connection).map_err(&fail)?;
        // Not counted yet: nothing was stored since the file was made.
        let rows: Option<i64> =
            self.connection.query_row("SELECT rows FROM tally", [], |row| row.get(0)).map_err(&fail)?;
        Ok(Usage {
            data_bytes: u64::try_from(bytes - files).unwrap_or(0),
            blobs_bytes: blobs_files_bytes(&self.connection).map_err(&fail)?,
            data_bytes_max: u64::from(layout.quota_mib()) << 20,
            rows: rows.map_or(0, |rows| u64::try_from(rows).unwrap_or(0)),
            rows_max: layout.rows_max(),
            files_bytes: u64::try_from(files).unwrap_or(0),
        })
    }

    /// Every collection that there has been, with its documents counted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn collections(&self) -> Result<Vec<CollectionUse>, StorageError> {
        look::collections(&self.connection).map_err(self.fail())
    }

    /// Hands everything out that a person owns here, as it was at one moment. `each` says whether to go on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn owned(&self, user: UserId, each: &mut dyn FnMut(Owned<'_>) -> bool) -> Result<(), StorageError> {
        let transaction = self.connection.unchecked_transaction().map_err(self.fail())?;
        look::owned(&transaction, &self.path, user, each).map_err(self.fail())
    }

    /// Whether there is any data of a person.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn knows(&self, user: UserId) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM member WHERE who = ?1 LIMIT 1";
        let found = self.connection.query_row(sql, [user.to_string()], |_| Ok(())).optional();
        Ok(found.map_err(self.fail())?.is_some())
    }
}
