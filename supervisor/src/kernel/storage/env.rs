//! `kernel.db`: variables of apps. Their values are here sealed, under a key that lies beside the database.

use fazt_ipc::ids::AppId;
use rusqlite::params;

use super::error::StorageError;
use super::kernel::KernelDb;

/// The step of the schema that makes the table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE env(
        app     TEXT NOT NULL,
        name    TEXT NOT NULL,
        sealed  BLOB NOT NULL,
        secret  INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        PRIMARY KEY(app, name)
    ) STRICT, WITHOUT ROWID;
";

/// A variable as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvRow {
    /// Its name.
    pub name: String,
    /// Its value, sealed.
    pub sealed: Vec<u8>,
    /// It was a secret when it was set.
    pub secret: bool,
    /// Set, in milliseconds since 1970.
    pub changed_unix_ms: u64,
}

/// What the seal of a value is bound to.
#[must_use]
pub fn env_place(app: AppId, name: &str) -> Vec<u8> {
    // Neither part can hold the byte between them.
    format!("env\0{app}\0{name}").into_bytes()
}

impl KernelDb {
    /// Variables of an app, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn env(&self, app: AppId) -> Result<Vec<EnvRow>, StorageError> {
        let fail = |error: rusqlite::Error| StorageError::sqlite(&self.path, &error);
        let sql = "SELECT name, sealed, secret, changed FROM env WHERE app = ?1 ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql).map_err(fail)?;
        let row = |row: &rusqlite::Row<'_>| {
            Ok(EnvRow {
                name: row.get(0)?,
                sealed: row.get(1)?,
                secret: row.get(2)?,
                changed_unix_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        };
        let rows = statement.query_map([app.to_string()], row).map_err(fail)?;
        rows.collect::<Result<_, _>>().map_err(fail)
    }

    /// Sets variables of an app and takes others away, in one transaction.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn change_env(&mut self, app: AppId, set: &[EnvRow], unset: &[String]) -> Result<(), StorageError> {
        let path = self.path.clone();
        let fail = |error: rusqlite::Error| StorageError::sqlite(&path, &error);
        let app = app.to_string();
        let transaction = self.connection.transaction().map_err(fail)?;
        for row in set {
            let sql = "INSERT INTO env(app, name, sealed, secret, changed) VALUES(?1, ?2, ?3, ?4, ?5)
                ON CONFLICT(app, name) DO UPDATE
                SET sealed = excluded.sealed, secret = excluded.secret, changed = excluded.changed";
            let changed = row.changed_unix_ms.cast_signed();
            transaction
                .execute(sql, params![app, row.name, row.sealed, row.secret, changed])
                .map_err(fail)?;
        }
        for name in unset {
            transaction
                .execute("DELETE FROM env WHERE app = ?1 AND name = ?2", params![app, name])
                .map_err(fail)?;
        }
        transaction.commit().map_err(fail)
    }
}
