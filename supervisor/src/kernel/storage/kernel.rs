//! `kernel.db`: which apps there are and which name routes to which.

use std::path::{Path, PathBuf};

use fazt_ipc::ids::AppId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::db::{self, Mode, Schema};
use super::error::StorageError;

const SCHEMA: Schema = Schema {
    application: 0x6661_7a6b, // "fazk"
    shrinks: false,
    steps: &[
        "
        CREATE TABLE app(
            id      TEXT PRIMARY KEY,
            name    TEXT NOT NULL UNIQUE,
            created INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        -- Removed with their data kept: a deploy under the same name takes the newest up again.
        CREATE TABLE kept(
            id      TEXT PRIMARY KEY,
            name    TEXT NOT NULL,
            created INTEGER NOT NULL,
            removed INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
    ",
        super::people::schema::SCHEMA,
        super::people::schema::PASSKEYS,
        super::env::SCHEMA,
        super::people::schema::PROOFS,
        super::people::schema::DEPLOYS,
        super::grants::SCHEMA,
        super::jobs::SCHEMA,
        super::pins::SCHEMA,
        super::certificates::SCHEMA,
    ],
};

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRow {
    /// Its id.
    pub id: AppId,
    /// The name that routes to it.
    pub name: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
}

/// The open file.
pub struct KernelDb {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
}

impl KernelDb {
    pub(super) fn open(data: &Path) -> Result<Self, StorageError> {
        let path = data.join("kernel.db");
        let connection = db::open(&path, &SCHEMA, Mode::Create)?;
        Ok(Self { path, connection })
    }

    /// Looks through the whole file.
    ///
    /// # Errors
    /// When it finds damage.
    pub fn check(&self) -> Result<(), StorageError> {
        let found: String = self
            .connection
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(self.fail())?;
        if found == "ok" {
            return Ok(());
        }
        Err(StorageError::Corrupt { path: self.path.display().to_string(), detail: found })
    }

    fn fail(&self) -> impl Fn(rusqlite::Error) -> StorageError {
        |error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => StorageError::Taken("an app of this name"),
            _ => StorageError::sqlite(&self.path, &error),
        }
    }

    /// Every app, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn apps(&self) -> Result<Vec<AppRow>, StorageError> {
        self.rows("SELECT id, name, created FROM app ORDER BY name")
    }

    /// Apps that were removed while their data was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn kept(&self) -> Result<Vec<AppRow>, StorageError> {
        self.rows("SELECT id, name, created FROM kept ORDER BY removed")
    }

    fn rows(&self, sql: &str) -> Result<Vec<AppRow>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        let rows = statement.query_map([], app_row).map_err(self.fail())?;
        rows.collect::<Result<_, _>>().map_err(self.fail())
    }

    /// The newest kept app of this name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn kept_as(&self, name: &str) -> Result<Option<AppRow>, StorageError> {
        let sql = "SELECT id, name, created FROM kept WHERE name = ?1 ORDER BY removed DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.fail())?;
        statement.query_row([name], app_row).optional().map_err(self.fail())
    }

    /// Adds an app; one that was kept is no longer only kept.
    ///
    /// # Errors
    /// [`StorageError::Taken`] when the name routes to another app.
    pub fn insert(&mut self, app: &AppRow) -> Result<(), StorageError> {
        let fail = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => StorageError::Taken("an app of this name"),
            _ => StorageError::sqlite(&self.path, &error),
        };
        let transaction = self.connection.transaction().map_err(fail)?;
        let id = app.id.to_string();
        transaction.execute("DELETE FROM kept WHERE id = ?1", [&id]).map_err(fail)?;
        let created = app.created_unix_ms.cast_signed();
        transaction
            .execute("INSERT INTO app(id, name, created) VALUES(?1, ?2, ?3)", params![id, app.name, created])
            .map_err(fail)?;
        transaction.commit().map_err(fail)
    }

    /// Takes an app out, what was granted to it, what it waits for, and its variables; with `kept_unix_ms` it is remembered among those
    /// whose data is kept, and its variables are kept too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn delete(&mut self, app: AppId, kept_unix_ms: Option<u64>) -> Result<(), StorageError> {
        let fail = |error: rusqlite::Error| StorageError::sqlite(&self.path, &error);
        let transaction = self.connection.transaction().map_err(fail)?;
        let id = app.to_string();
        if let Some(removed) = kept_unix_ms {
            let sql = "INSERT INTO kept(id, name, created, removed) SELECT id, name, created, ?2 FROM app WHERE id = ?1";
            transaction.execute(sql, params![id, removed.cast_signed()]).map_err(fail)?;
        } else {
            transaction.execute("DELETE FROM env WHERE app = ?1", [&id]).map_err(fail)?;
        }
        // Whoever takes the data up again asks again; and what others may of it ends with it.
        transaction.execute("DELETE FROM grants WHERE ?1 IN (app, target)", [&id]).map_err(fail)?;
        super::jobs::forget(&transaction, &id).map_err(fail)?;
        transaction.execute("DELETE FROM pin WHERE app = ?1", [&id]).map_err(fail)?;
        transaction.execute("DELETE FROM app WHERE id = ?1", [&id]).map_err(fail)?;
        transaction.commit().map_err(fail)
    }

    /// Gives an app another name.
    ///
    /// # Errors
    /// [`StorageError::Taken`] when the name routes to another app.
    pub fn rename(&mut self, app: AppId, name: &str) -> Result<(), StorageError> {
        self.connection
            .execute("UPDATE app SET name = ?2 WHERE id = ?1", params![app.to_string(), name])
            .map_err(self.fail())?;
        Ok(())
    }
}

fn app_row(row: &Row<'_>) -> rusqlite::Result<AppRow> {
    let id: String = row.get(0)?;
    let id = id.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(AppRow { id, name: row.get(1)?, created_unix_ms: row.get::<_, i64>(2)?.cast_unsigned() })
}
