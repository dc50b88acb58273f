//! The files of an app's blobs: `ab/cdef…`, named by what they hold.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::stage::Staged;

/// Folders that one sweep looks into, of 256.
const FOLDERS_PER_SWEEP: u8 = 8;

/// Makes a folder, and those above it, that only this user can enter.
pub(super) fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The files of one app, as the thread that holds its data uses them.
#[derive(Debug, Default)]
pub(in super::super) struct Files {
    folder: PathBuf,
    /// Those that may have lost their last row, to be looked at when the disk has the rows.
    loose: Vec<String>,
    /// The folder that is swept next.
    next: u8,
}

impl Files {
    /// Beside the cartridge.
    pub(in super::super) fn beside(cartridge: &Path) -> Self {
        Self { folder: folder_of(cartridge), loose: Vec::new(), next: 0 }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        let (folder, rest) = name.split_at(name.len().min(2));
        self.folder.join(folder).join(rest)
    }

    /// Opens a file that a row names.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.path(name))
    }

    /// Moves a staged file to where it is kept, for good. Gives its name, which goes into the row next.
    pub(super) fn keep(&mut self, staged: &Staged, space: i64) -> io::Result<String> {
        let mut name = Sha256::new();
        name.update(space.to_le_bytes());
        name.update(staged.sha256);
        let name: String = name.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.path(&name);
        // Should the row not come to be, the file has none.
        self.loose.push(name.clone());
        if let Some(parent) = path.parent() {
            if !parent.is_dir() {
                private(parent)?;
                sync(&self.folder)?;
                // The folder of blobs may be as new.
                self.folder.parent().map_or(Ok(()), sync)?;
            }
            match fs::rename(&staged.path, &path) {
                // The call is run again, and the first time got further.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_file() => {}
                moved => moved?,
            }
            sync(parent)?;
        }
        Ok(name)
    }

    /// A row that named this file goes.
    pub(super) fn loosen(&mut self, name: String) {
        self.loose.push(name);
    }

    /// Deletes the files that lost their last row. Only when the disk has what the rows say now.
    pub(in super::super) fn settle(&mut self, connection: &Connection) {
        for name in std::mem::take(&mut self.loose) {
            match is_named(connection, &name) {
                Ok(true) => {}
                Ok(false) => drop(fs::remove_file(self.path(&name))),
                // The sweep will find it.
                Err(error) => tracing::debug!(%error, "whether a file is in use is not known"),
            }
        }
    }

    /// Looks for files that no row names, in some of the folders: what a crash left.
    pub(in super::super) fn sweep(&mut self, connection: &Connection) {
        if !self.folder.is_dir() {
            return;
        }
        for _ in 0..FOLDERS_PER_SWEEP {
            let prefix = format!("{:02x}", self.next);
            self.next = self.next.wrapping_add(1);
            let Ok(entries) = fs::read_dir(self.folder.join(&prefix)) else { continue };
            for entry in entries.flatten() {
                let Some(rest) = entry.file_name().to_str().map(str::to_owned) else { continue };
                if matches!(is_named(connection, &format!("{prefix}{rest}")), Ok(false)) {
                    tracing::info!(path = %entry.path().display(), "a file of a blob that no row names");
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}

/// Where the blobs of a cartridge lie.
pub(in super::super) fn folder_of(cartridge: &Path) -> PathBuf {
    cartridge.with_file_name("blobs")
}

fn is_named(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS(SELECT 1 FROM blob WHERE file = ?1) OR EXISTS(SELECT 1 FROM blob_part WHERE file = ?1)";
    connection.prepare_cached(sql)?.query_row([name], |row| row.get(0))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
