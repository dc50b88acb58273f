//! `kernel.db`: which commit a tag was when an app was installed from it.

use fazt_ipc::ids::AppId;
use rusqlite::{OptionalExtension as _, params};

use super::error::StorageError;
use super::kernel::KernelDb;

/// The step of the schema that makes the table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE pin(
        app    TEXT NOT NULL,
        url    TEXT NOT NULL,
        tag    TEXT NOT NULL,
        oid    TEXT NOT NULL,
        PRIMARY KEY(app, url, tag)
    ) STRICT, WITHOUT ROWID;
";

impl KernelDb {
    /// The commit that a tag was for an app.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pinned(&self, app: AppId, url: &str, tag: &str) -> Result<Option<String>, StorageError> {
        let sql = "SELECT oid FROM pin WHERE app = ?1 AND url = ?2 AND tag = ?3";
        let found = self.connection.query_row(sql, params![app.to_string(), url, tag], |row| row.get(0));
        found.optional().map_err(|error| StorageError::sqlite(&self.path, &error))
    }

    /// Remembers which commit a tag is; what was remembered before stays.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pin(&mut self, app: AppId, url: &str, tag: &str, commit: &str) -> Result<(), StorageError> {
        let sql = "INSERT OR IGNORE INTO pin(app, url, tag, oid) VALUES(?1, ?2, ?3, ?4)";
        let done = self.connection.execute(sql, params![app.to_string(), url, tag, commit]);
        done.map(drop).map_err(|error| StorageError::sqlite(&self.path, &error))
    }
}
