//! One quota for two kinds of files: the cartridge with its blobs, which the data's threads write, and the files of raw
//! SQL, which processes write. Both sides read here what the other one takes.
//!
//! A call of raw SQL is lent room before it begins: half of what is left, and when that does not do, all of it. What it
//! did not use is given back when it has ended; so whatever runs at the same time finds room of its own. Together they
//! overshoot the quota by no more than [`WAL_BYTES_KEPT`] for each file of raw SQL in use, and by what one call on data
//! writes that was at it in the moment the room was lent.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fazt_ipc::ids::AppId;
#[cfg(doc)]
use fazt_ipc::store::limits::WAL_BYTES_KEPT;

/// The accounts of all apps.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<HashMap<AppId, Arc<Account>>>);

impl Ledger {
    /// That of an app.
    pub(super) fn of(&self, app: AppId) -> Arc<Account> {
        Arc::clone(lock(&self.0).entry(app).or_default())
    }

    /// The app is gone; its id is not used again.
    pub(super) fn forget(&self, app: AppId) {
        lock(&self.0).remove(&app);
    }
}

/// What one app takes of its quota.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By the name of the file; none before the folder was looked at.
    files: Mutex<Option<HashMap<String, Entry>>>,
    /// The sum of them.
    sql_bytes: AtomicU64,
    /// What the data takes, as last told; only while somebody wants to know.
    data_bytes: AtomicU64,
    is_wanted: AtomicBool,
}

/// One file of raw SQL.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    size: Size,
    /// What a call that runs may make of it; 0: none runs.
    lent_bytes: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.size.sum().max(self.lent_bytes)
    }
}

/// A database and its WAL, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) database: u64,
    pub(super) wal: u64,
}

impl Size {
    /// Of the files of this name; what is not there is 0. Blocks shortly.
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        let bytes = |ending: &str| {
            let about = std::fs::symlink_metadata(folder.join(format!("{name}{ending}")));
            about.map_or(0, |about| about.len())
        };
        Self { database: bytes(".db"), wal: bytes(".db-wal") }
    }

    fn sum(self) -> u64 {
        self.database.saturating_add(self.wal)
    }
}

impl Account {
    /// Looks at the files of a folder, if nobody has yet. Blocks.
    pub(super) fn look(&self, folder: &Path) {
        let mut files = lock(&self.files);
        if files.is_some() {
            return;
        }
        let mut found = HashMap::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".db")) {
                found.insert(name.to_owned(), Entry { size: Size::of(folder, name), lent_bytes: 0 });
            }
        }
        self.sum(&found);
        *files = Some(found);
    }

    /// Bytes of all files of raw SQL, with the room that is lent.
    pub(super) fn sql_bytes(&self) -> u64 {
        self.sql_bytes.load(Ordering::Acquire)
    }

    /// Whether somebody wants to know what the data takes.
    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// From now on whoever writes data says what it takes.
    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// What the data takes, without deployed files.
    pub(super) fn tell(&self, data_bytes: u64) {
        self.data_bytes.store(data_bytes, Ordering::Release);
    }

    /// Lends a call on a file room out of the quota: half of what is left, or all of it. Gives the bytes that the
    /// database may have.
    pub(super) fn lend(&self, name: &str, quota_bytes: u64, whole: bool) -> u64 {
        let mut files = lock(&self.files);
        let files = files.get_or_insert_default();
        let others: u64 =
            files.iter().filter(|(other, _)| *other != name).map(|(_, entry)| entry.bytes()).sum();
        let entry = files.entry(name.to_owned()).or_default();
        let own = entry.size.sum();
        let taken = self.data_bytes.load(Ordering::Acquire).saturating_add(others).saturating_add(own);
        let room = quota_bytes.saturating_sub(taken);
        entry.lent_bytes = own.saturating_add(if whole { room } else { room / 2 });
        let most = entry.lent_bytes.saturating_sub(entry.size.wal);
        self.sum(files);
        most
    }

    /// The call has ended, and this is what it left.
    pub(super) fn settle(&self, name: &str, size: Size) {
        let mut files = lock(&self.files);
        let files = files.get_or_insert_default();
        files.insert(name.to_owned(), Entry { size, lent_bytes: 0 });
        self.sum(files);
    }

    fn sum(&self, files: &HashMap<String, Entry>) {
        let sum = files.values().fold(0, |sum: u64, entry| sum.saturating_add(entry.bytes()));
        self.sql_bytes.store(sum, Ordering::Release);
    }
}

/// A panic leaves the books as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_lent_once_and_what_is_not_used_comes_back() {
        let account = Account::default();
        let size = |database, wal| Size { database, wal };
        account.tell(20);
        assert_eq!(account.lend("a", 100, false), 40);
        assert_eq!(account.lend("b", 100, false), 20, "half of what the first one left");
        assert_eq!(account.sql_bytes(), 60);
        account.settle("a", size(30, 10));
        account.settle("b", size(0, 0));
        assert_eq!(account.sql_bytes(), 40);
        assert_eq!(account.lend("a", 100, true), 70, "its WAL counts too");
        assert_eq!(account.lend("b", 100, true), 0);
        account.tell(90);
        account.settle("a", size(30, 0));
        assert_eq!(account.lend("a", 100, true), 30, "what is there may stay");
    }
}
