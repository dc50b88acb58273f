//! The way of what was written to the disk, and what follows when the disk fails.
//!
//! A failed sync says that pages are lost which the kernel of the system may go on showing as if they were
//! there, and the next sync says nothing of it any more. So a file whose sync failed is closed without another
//! write, what is shown of it is thrown away, and it is opened as after a power cut: whatever the disk really
//! has is moved from the WAL into the file, synced, before a write is taken again.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{Advice, fadvise};

use super::super::cartridge;
use super::super::db::{self, Mode};
use super::super::spare::Spare;
use super::limits::{LOOK, RESERVE_BYTES};
use crate::kernel::storage::StorageError;

/// Syncs the bytes of a file that belongs to the cartridge at a path.
pub(super) type Sync = Arc<dyn Fn(&Path, &File) -> io::Result<()> + Send + std::marker::Sync>;

/// Tells how many bytes are free where a path is.
pub(super) type Free = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + std::marker::Sync>;

/// The disk that cartridges are on.
pub(super) struct Disk {
    sync: Sync,
    free: Free,
    /// When it was last looked how much is free, and what it was.
    looked: Mutex<Option<(Instant, u64)>>,
    /// Held for opening files when it is full.
    spare: Option<Spare>,
}

impl Disk {
    pub(super) fn new(sync: Sync, free: Free) -> Self {
        Self { sync, free, looked: Mutex::default(), spare: None }
    }

    /// The one there is.
    pub(super) fn real(spare: Option<Spare>) -> Self {
        let free = |path: &Path| {
            let of = rustix::fs::statvfs(path)?;
            Ok(of.f_bavail.saturating_mul(of.f_frsize))
        };
        Self { spare, ..Self::new(Arc::new(|_, file| file.sync_data()), Arc::new(free)) }
    }

    /// Opens a file, if the disk is full with some of the room that is held for it.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn opened<T>(
        &self,
        mut open: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        loop {
            match open() {
                Err(StorageError::Full(_)) if self.spare.as_ref().is_some_and(Spare::give) => {}
                done => return done,
            }
        }
    }

    /// Holds room again that was given and is free.
    pub(super) fn refill(&self) {
        if let Some(spare) = &self.spare {
            spare.refill();
        }
    }

    /// Whether an app may write. The last bytes are kept: most of them for whatever frees some, and all for the
    /// kernel's own tables, which record on a full disk too.
    pub(super) fn has_room(&self, folder: &Path, frees: bool) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let free = match *looked {
            Some((when, free)) if now.saturating_duration_since(when) < LOOK => free,
            _ => {
                // What cannot be asked is found out by writing.
                let free = (self.free)(folder).unwrap_or(u64::MAX);
                *looked = Some((now, free));
                free
            }
        };
        free >= if frees { RESERVE_BYTES / 2 } else { RESERVE_BYTES }
    }

    pub(super) fn sync(&self, cartridge: &Path, file: &File) -> io::Result<()> {
        (self.sync)(cartridge, file)
    }

    /// Makes good a cartridge whose sync failed; nothing of data has it open.
    ///
    /// # Errors
    /// When the disk goes on failing, or somebody reads the file just now.
    pub(super) fn recover(&self, cartridge: &Path) -> Result<(), StorageError> {
        let io = |error: io::Error| StorageError::io(cartridge, &error);
        let unsynced = |error: io::Error| {
            let (path, detail) = (cartridge.display().to_string(), error.to_string());
            StorageError::Disk { path, detail }
        };
        let sqlite = |error: rusqlite::Error| StorageError::sqlite(cartridge, &error);
        let wal = wal_of(cartridge);
        for path in [cartridge, &wal] {
            match File::open(path) {
                // What is clean is forgotten; what is not is on its way.
                Ok(file) => fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| io(error.into()))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
        let connection = db::open(cartridge, &cartridge::SCHEMA, Mode::Existing)?;
        let busy: bool =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(sqlite)?;
        if busy {
            let detail = "somebody reads it just now".into();
            return Err(StorageError::Failed { path: cartridge.display().to_string(), detail });
        }
        drop(connection);
        for path in [cartridge, &wal] {
            match File::open(path) {
                Ok(file) => self.sync(cartridge, &file).map_err(unsynced)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io(error)),
            }
        }
        match cartridge.parent() {
            Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(unsynced),
            None => Ok(()),
        }
    }
}

/// The WAL of a cartridge.
pub(super) fn wal_of(cartridge: &Path) -> PathBuf {
    let mut name = cartridge.to_owned().into_os_string();
    name.push("-wal");
    PathBuf::from(name)
}
