//! Opens one SQLite file the way every file of Fazt is opened: private, hardened, durable.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::data;
use super::error::StorageError;
use super::limits;

/// A schema and the steps that lead to it.
pub(super) struct Schema {
    /// `application_id`: which kind of file this is.
    pub application: i32,
    /// Step n leads from version n to n + 1. Steps are only ever added.
    pub steps: &'static [&'static str],
    /// Pages that nothing uses can be given back one by one. Holds for a file that is made now.
    pub shrinks: bool,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is there.
    Existing,
    /// Made when it is not there.
    Create,
    /// Nobody else has it open meanwhile. Needs no shared memory file, and so no room on the disk.
    Alone,
}

/// Opens or makes a file. A file of another kind, a damaged or a newer one is refused.
pub(super) fn open(path: &Path, schema: &Schema, mode: Mode) -> Result<Connection, StorageError> {
    let fail = |error: std::io::Error| StorageError::io(path, &error);
    if mode == Mode::Create {
        // Made before SQLite sees it, so that nobody else can ever read it; WAL and SHM copy its mode.
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|e| StorageError::sqlite(path, &e))?;
    if mode == Mode::Create && schema.shrinks {
        // Before the first table: in another file it says nothing.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(|e| StorageError::sqlite(path, &e))?;
    }
    if mode == Mode::Alone {
        connection
            .query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))
            .map_err(|e| StorageError::sqlite(path, &e))?;
    }
    harden(&connection).map_err(|e| StorageError::sqlite(path, &e))?;
    migrate(&mut connection, path, schema)?;
    Ok(connection)
}

/// Settings of every connection. The structure of a file is not believed: a damaged or planted schema must
/// not make SQLite call functions or overwrite its own tables.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_millis(limits::BUSY_MS_MAX))?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // Negative: KiB. SQLite's own default of 2 MiB for each open file would be the whole budget.
    connection.pragma_update(None, "cache_size", -limits::PAGE_CACHE_KIB)?;
    connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", limits::CHECKPOINT_PAGES)?;
    connection.query_row(&format!("PRAGMA journal_size_limit={}", limits::WAL_BYTES_KEPT), [], |_| Ok(()))
}

fn migrate(connection: &mut Connection, path: &Path, schema: &Schema) -> Result<(), StorageError> {
    let fail = |e: rusqlite::Error| StorageError::sqlite(path, &e);
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(fail)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fail)?;
    let known = u32::try_from(schema.steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StorageError::Newer { path: path.display().to_string(), found, known });
    }
    if found > 0 && application != schema.application {
        let detail = format!("application id {application:#x}: not a file of this kind");
        return Err(StorageError::Corrupt { path: path.display().to_string(), detail });
    }
    if found == known {
        return Ok(());
    }
    let transaction = connection.transaction().map_err(fail)?;
    for step in &schema.steps[found as usize..] {
        transaction.execute_batch(step).map_err(fail)?;
    }
    transaction.pragma_update(None, "application_id", schema.application).map_err(fail)?;
    transaction.pragma_update(None, "user_version", known).map_err(fail)?;
    transaction.commit().map_err(fail)
}

/// Makes a folder that only this user can enter; one that exists is made so.
pub(crate) fn private_folder(path: &Path) -> Result<(), StorageError> {
    let fail = |error: std::io::Error| StorageError::io(path, &error);
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(fail)?;
    let mode = fs::metadata(path).map_err(fail)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(fail)?;
    }
    Ok(())
}

impl StorageError {
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Failed { path, detail: error.to_string() },
        }
    }

    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let (path, detail) = (path.display().to_string(), error.to_string());
        // The file of shared memory beside the WAL could not be made or grown.
        let shared_memory = error.sqlite_error().is_some_and(|error| {
            matches!(error.extended_code, ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMOPEN)
        });
        if shared_memory {
            return Self::Full(path);
        }
        let disk = error.sqlite_error().is_some_and(|error| {
            let writing = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC, ffi::SQLITE_IOERR_WRITE];
            writing.contains(&error.extended_code)
        });
        if disk {
            return Self::Disk { path, detail };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(path),
            _ if data::starved(error) => Self::Starved(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, detail },
            _ => Self::Failed { path, detail },
        }
    }
}
