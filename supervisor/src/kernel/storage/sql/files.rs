//! Files of raw SQL: `sql/<name>.db` in an app's folder, and its WAL beside it. Everything here blocks.
//!
//! A new file is made by this process, empty and with a WAL, so that whoever is handed it never needs a journal. Later
//! nobody here opens it as a database again: what it holds is an app's.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::Connection;
use rustix::fs::FlockOperation;

use super::Place;
use super::limits::LOCK_DEADLINE;
use crate::kernel::storage::data::limits::RESERVE_BYTES;
use crate::kernel::storage::error::StorageError;

/// A database and its WAL, open and locked.
pub(super) struct Opened {
    pub(super) database: OwnedFd,
    pub(super) wal: OwnedFd,
}

impl Place {
    /// Name of its file, without what follows the dot. Ids are made by the kernel, names of bindings are checked when
    /// the app is deployed; none holds a slash or starts with a dot.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::User(user) => user.to_string(),
            Self::Space(space) => space.to_string(),
            Self::App => "app".to_owned(),
            Self::Binding(name) => format!("app.{name}"),
        }
    }

    /// The file of this name.
    fn of(name: &str) -> Option<Self> {
        match name.strip_prefix("app") {
            Some("") => Some(Self::App),
            Some(rest) => rest.strip_prefix('.').map(|name| Self::Binding(name.to_owned())),
            None => name.parse().map(Self::User).or_else(|_| name.parse().map(Self::Space)).ok(),
        }
    }
}

/// Opens a file, which is made when it is not there. Waits for the process that had it before.
pub(super) fn open(folder: &Path, name: &str) -> Result<Opened, StorageError> {
    // Not the folders above it: an app that was just removed does not come back so.
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StorageError::io(folder, &error));
        }
        _ => {}
    }
    let (path, wal) = (folder.join(format!("{name}.db")), folder.join(format!("{name}.db-wal")));
    let fail = |error: io::Error| StorageError::io(&path, &error);
    let database = match read_write(&path, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(folder, name)?;
            read_write(&path, false).map_err(fail)?
        }
        other => other.map_err(fail)?,
    };
    let patience = Instant::now() + LOCK_DEADLINE;
    loop {
        // The lock is on what is open, and so stays with the process that it is handed to.
        match rustix::fs::flock(&database, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < patience => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Err(error) => return Err(fail(error.into())),
        }
    }
    let wal = read_write(&wal, true).map_err(fail)?;
    // The names must be on the disk before anything in the files is acknowledged.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(Opened { database: database.into(), wal: wal.into() })
}

/// Opens a file, which is made when it is not there, so that nobody can write to it through what is handed over.
/// `is_ours`: a process of ours that writes has it, and it cannot be another one's.
pub(super) fn open_to_read(folder: &Path, name: &str, is_ours: bool) -> Result<Opened, StorageError> {
    if !is_ours {
        // Waits for whoever had it before.
        drop(open(folder, name)?);
    }
    let read = |ending: &str| {
        let path = folder.join(format!("{name}{ending}"));
        let opened = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(&path);
        opened.and_then(plain).map(OwnedFd::from).map_err(|error| StorageError::io(&path, &error))
    };
    Ok(Opened { database: read(".db")?, wal: read(".db-wal")? })
}

/// What a file holds, at one moment. No name leads to these.
#[derive(Debug)]
pub struct Copied {
    /// The database.
    pub database: File,
    /// Its WAL, where no process could move it.
    pub wal: Option<File>,
}

/// Copies a file that nobody has open. Bytes only: nobody here reads it as a database.
pub(super) fn copy(folder: &Path, name: &str) -> Result<Copied, StorageError> {
    let Opened { database, wal } = open(folder, name)?;
    let fail = |error: io::Error| StorageError::io(&folder.join(format!("{name}.db")), &error);
    let (mut database, mut wal) = (File::from(database), File::from(wal));
    let size = |file: &File| file.metadata().map(|about| about.len());
    let (bytes, wal_bytes) = (size(&database).map_err(fail)?, size(&wal).map_err(fail)?);
    let free = rustix::fs::statvfs(folder).map_err(|error| fail(error.into()))?;
    if free.f_bavail.saturating_mul(free.f_frsize) < bytes.saturating_add(wal_bytes) + RESERVE_BYTES {
        return Err(StorageError::Full(folder.display().to_string()));
    }
    let copied = |from: &mut File| -> io::Result<File> {
        let path = folder.join(format!(".{name}.copy"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        io::copy(from, &mut file)?;
        io::Seek::rewind(&mut file)?;
        Ok(file)
    };
    Ok(Copied {
        wal: if wal_bytes > 0 { Some(copied(&mut wal).map_err(fail)?) } else { None },
        database: copied(&mut database).map_err(fail)?,
    })
}

/// Gives a copy its name in a folder, in place of an older one. The WAL goes first: a database without it is one of an
/// earlier moment, one with that of another would be none.
pub(super) fn keep(folder: &Path, name: &str, copied: Copied) -> Result<PathBuf, StorageError> {
    let (path, wal) = (folder.join(format!("{name}.db")), folder.join(format!("{name}.db-wal")));
    let done = || -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for old in [&path, &wal] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for (from, to) in [(copied.wal, &wal), (Some(copied.database), &path)] {
            let Some(mut from) = from else { continue };
            let mut file = read_write(to, true)?;
            io::copy(&mut from, &mut file)?;
            file.sync_all()?;
        }
        File::open(folder)?.sync_all()
    };
    done().map_err(|error| StorageError::io(&path, &error)).map(|()| path)
}

/// The files of a folder.
pub(super) fn list(folder: &Path) -> Vec<Place> {
    let mut places = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let place = name.to_str().and_then(|name| Place::of(name.strip_suffix(".db")?));
        places.extend(place);
    }
    places.sort_by_key(Place::name);
    places
}

const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn read_write(path: &Path, create: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .mode(0o600)
        .custom_flags(NOFOLLOW)
        .open(path)?;
    plain(file)
}

fn plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// An empty database with a WAL, at its name whole or not at all.
fn make(folder: &Path, name: &str) -> Result<(), StorageError> {
    let (path, new) = (folder.join(format!("{name}.db")), folder.join(format!(".{name}.new")));
    let fail = |error: io::Error| StorageError::io(&path, &error);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
        _ => {}
    }
    drop(read_write(&new, true).map_err(fail)?);
    let made = (|| -> rusqlite::Result<()> {
        let connection = Connection::open(&new)?;
        connection.pragma_update(None, "page_size", fazt_ipc::store::limits::PAGE_BYTES.cast_signed())?;
        // Before anything is in it: what is deleted can be given back to the disk later.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
        connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    })();
    made.map_err(|error| StorageError::sqlite(&path, &error))?;
    let done = File::open(&new).and_then(|file| file.sync_all()).and_then(|()| fs::rename(&new, &path));
    done.map_err(fail)
}
