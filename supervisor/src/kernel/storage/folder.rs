//! Folders of apps. One that is being made or removed carries a mark, so that an interrupted step is told
//! from a folder that somebody put there, which is never deleted.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fazt_ipc::ids::AppId;

use super::data;
use super::db::private_folder;
use super::error::StorageError;
use super::kernel::AppRow;
use super::pool::Storage;

const MARK: &str = ".unfinished";
/// Holds the number of the version that is live while another one is tried.
const TRIAL: &str = ".trial";

impl Storage {
    /// Where contents of open deploys wait. Emptied at start.
    #[must_use]
    pub fn deploys(&self) -> PathBuf {
        self.apps_folder().join(".deploys")
    }

    /// Makes the folder of a new app, marked as unfinished until `kernel.db` has the app.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make_folder(&self, app: AppId) -> Result<(), StorageError> {
        private_folder(&self.folder(app))?;
        self.mark(app)
    }

    /// Marks an app's folder: it goes at the next start unless `kernel.db` has the app.
    ///
    /// # Errors
    /// When the mark cannot be made. A folder that is missing needs none.
    pub fn mark(&self, app: AppId) -> Result<(), StorageError> {
        let folder = self.folder(app);
        let path = folder.join(MARK);
        let fail = |error: std::io::Error| StorageError::io(&path, &error);
        match File::create(&path) {
            Ok(_) => sync(&folder).and_then(|()| sync(self.apps_folder())).map_err(fail),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }

    /// Takes the mark away.
    ///
    /// # Errors
    /// When it stays.
    pub fn unmark(&self, app: AppId) -> Result<(), StorageError> {
        let path = self.folder(app).join(MARK);
        gone(fs::remove_file(&path)).map_err(|error| StorageError::io(&path, &error))
    }

    /// Remembers which version is live while another one is tried: the next start goes back to it, unless
    /// [`Self::end_trial`] was called.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin_trial(&self, app: AppId, before: u64) -> Result<(), StorageError> {
        let folder = self.folder(app);
        let path = folder.join(TRIAL);
        let done = || {
            let mut file = File::create(&path)?;
            std::io::Write::write_all(&mut file, before.to_string().as_bytes())?;
            file.sync_all()?;
            sync(&folder)
        };
        done().map_err(|error| StorageError::io(&path, &error))
    }

    /// What is live now stays so.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn end_trial(&self, app: AppId) -> Result<(), StorageError> {
        let folder = self.folder(app);
        let path = folder.join(TRIAL);
        gone(fs::remove_file(&path))
            .and_then(|()| sync(&folder))
            .map_err(|error| StorageError::io(&path, &error))
    }

    /// Goes back to the version that was live before a trial that a crash ended.
    fn give_up_trial(&self, app: AppId) -> Result<(), StorageError> {
        let Ok(text) = fs::read_to_string(self.folder(app).join(TRIAL)) else { return Ok(()) };
        // Half written, nothing had begun.
        if let Ok(before) = text.parse() {
            self.change(app, false, |cartridge| cartridge.activate(before))?;
        }
        self.end_trial(app)
    }

    /// Deletes an app's folder.
    ///
    /// # Errors
    /// When something of it stays.
    pub(super) fn delete_folder(&self, app: AppId) -> Result<(), StorageError> {
        let path = self.folder(app);
        // The mark goes last with the folder itself: an interrupted deletion is taken up at the next start.
        if let Ok(entries) = fs::read_dir(&path) {
            for entry in entries.flatten().filter(|entry| entry.file_name() != MARK) {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let removed =
                    if is_folder { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
                gone(removed).map_err(|error| StorageError::io(&entry.path(), &error))?;
            }
        }
        gone(fs::remove_dir_all(&path)).map_err(|error| StorageError::io(&path, &error))
    }

    /// At start: empties the folder of open deploys, finishes interrupted steps. Gives every app.
    ///
    /// # Errors
    /// When `kernel.db` or the folders cannot be read.
    pub fn sweep(&self) -> Result<Vec<AppRow>, StorageError> {
        let deploys = self.deploys();
        gone(fs::remove_dir_all(&deploys)).map_err(|error| StorageError::io(&deploys, &error))?;
        private_folder(&deploys)?;
        let (apps, kept) = self.rows()?;
        let known = |id: AppId| apps.iter().chain(&kept).any(|row| row.id == id);
        let folder = self.apps_folder();
        let entries = fs::read_dir(folder).map_err(|error| StorageError::io(folder, &error))?;
        for entry in entries.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<AppId>().ok()) else {
                continue;
            };
            let marked = entry.path().join(MARK).exists();
            data::blobs::clear(&entry.path().join("blobs"));
            let done = match (known(id), marked) {
                (true, _) if entry.path().join(TRIAL).exists() => {
                    self.give_up_trial(id).and_then(|()| self.unmark(id))
                }
                (true, true) => self.unmark(id),
                (false, true) => self.delete_folder(id),
                // Empty: stopped before the mark was made, or after it was gone. Nothing is lost with it.
                (false, false) if fs::remove_dir(entry.path()).is_ok() => Ok(()),
                (false, false) => {
                    tracing::warn!(path = %entry.path().display(), "a folder of an app that kernel.db does not know; left alone");
                    Ok(())
                }
                (true, false) => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(%error, "clearing up after an interrupted deploy");
            }
        }
        Ok(apps)
    }

    /// Bytes of an app's folder.
    #[must_use]
    pub fn disk_bytes(&self, app: AppId) -> u64 {
        fn walk(path: &Path, depth: usize) -> u64 {
            let Ok(entries) = fs::read_dir(path) else { return 0 };
            entries
                .flatten()
                .map(|entry| match entry.metadata() {
                    Ok(data) if data.is_dir() && depth < 8 => walk(&entry.path(), depth + 1),
                    Ok(data) if data.is_file() => data.len(),
                    _ => 0,
                })
                .sum()
        }
        walk(&self.folder(app), 0)
    }
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes names in a folder survive a power cut.
fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
