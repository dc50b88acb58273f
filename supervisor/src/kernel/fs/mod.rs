//! Apps as files: manifest, deploys, versions, assets, code.
//!
//! `net`, `proc` and `syscall` call it. Everything a deploy brings is hostile: names, paths, manifest,
//! scripts. Nothing here waits for SQLite on an asynchronous thread, and no lock is held across an `await`.
//!
//! | task | file |
//! |---|---|
//! | a field of `app.json` | `manifest/` |
//! | what may be a path | `path.rs` |
//! | the steps of a deploy | `deploy/` |
//! | what operators ask about data | `data.rs` |
//! | which file answers a URL | `asset.rs` |
//! | what a worker is sent | `code.rs` |
//! | variables of an app | `env.rs` |
//! | what the owner granted to an app | `grants.rs` |
//! | when a schedule comes next; runs and jobs that wait | `cron.rs`, `timetable.rs` |
//! | apps from elsewhere | `origin/`, `install/` |

mod apps;
pub mod asset;
pub mod builder;
mod cache;
pub mod code;
pub mod cron;
mod data;
mod deploy;
mod deploys;
pub mod env;
mod error;
mod grants;
mod install;
pub mod manifest;
mod media;
pub mod name;
pub mod origin;
pub mod outbound;
mod path;
mod reach;
mod release;
mod shared;
#[cfg(test)]
mod tests;
pub mod timetable;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use fazt_ipc::control::{Access, PermissionInfo, Version};
use fazt_ipc::ids::AppId;
use tokio::sync::{OwnedMutexGuard, broadcast};

pub use asset::{AssetMatch, Encoding, Encodings, File, Sha256};
pub use builder::{
    BuildError, Builder, Bundled, Compiled, Diagnostic, Inspect, Migrations, Package, Plan, Prepare,
    RepoFile, Source, StripResult, Stripped, Trial, Unpack, Unpacked,
};
pub use code::{Code, CodeModule};
pub use data::{CheckedFile, Used};
pub use error::FsError;
pub use grants::{Grants, Said};
pub use install::{LINES_MAX, Told, Wanted};
pub use manifest::Manifest;
pub use release::{Edition, Release};

use crate::kernel::security::book::Book;
use crate::kernel::storage::sql::Jails;
use crate::kernel::storage::{AppRow, Storage, VersionRow};
use deploy::Deploys;
use outbound::Outbound;
use shared::Shared;
use timetable::Timetable;

/// Largest content that [`Release::content`] should be asked for.
pub const CONTENT_WHOLE_BYTES_MAX: u64 = 1024 * 1024;

/// Settings.
#[derive(Debug, Clone)]
pub struct FsOptions {
    /// Access of an app whose manifest does not say.
    pub access_default: Access,
    /// Versions of one app that are kept for going back.
    pub versions_kept: usize,
    /// Small contents kept in memory, of all apps together.
    pub content_cache_bytes_max: usize,
    /// A deploy that nobody goes on with is thrown away.
    pub deploy_idle_s_max: u64,
    /// Where packages of npm come from, such as `https://registry.example.org`, without a slash at its end.
    pub registry: String,
    /// Largest cartridge: all versions that are kept, with everything built from them.
    pub cartridge_bytes_max: u64,
}

impl Default for FsOptions {
    fn default() -> Self {
        Self {
            access_default: Access::Owner,
            versions_kept: 10,
            content_cache_bytes_max: 8 << 20,
            deploy_idle_s_max: 15 * 60,
            registry: String::new(),
            cartridge_bytes_max: 2 << 30,
        }
    }
}

/// An app as `fs` knows it; address and state are for others to add.
#[derive(Debug, Clone, PartialEq)]
pub struct AppInfo {
    /// Its id.
    pub id: AppId,
    /// The name that routes to it.
    pub name: String,
    /// Who may reach it.
    pub access: Access,
    /// Its active version.
    pub version: Option<Version>,
    /// `manifest.description`
    pub description: String,
    /// Made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Size of its folder on disk.
    pub disk_bytes: u64,
    /// Why the app cannot be read, when it cannot: everything but id and name is then empty.
    pub damaged: Option<String>,
}

/// A deploy that is live.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The app as it is now.
    pub app: AppInfo,
    /// Its new version; the old one where nothing had changed.
    pub version: Version,
    /// Nothing had changed.
    pub unchanged: bool,
    /// Contents that travelled.
    pub files_sent: u64,
    /// What it asks for, and what was said to it.
    pub permissions: Vec<PermissionInfo>,
    /// Things worth knowing that are not errors.
    pub warnings: Vec<String>,
}

/// Releases kept in memory, by the bytes of their indexes. 500 apps of 50 files are 4 MB.
const RELEASES_BYTES_MAX: usize = 12 << 20;
/// How often idle deploys and idle cartridges are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// A cartridge that nobody reads for so long is closed.
const CARTRIDGE_IDLE: Duration = Duration::from_secs(120);

/// All apps.
pub struct Fs {
    shared: Arc<Shared>,
    apps: RwLock<Apps>,
    releases: cache::Cache<AppId, Arc<Release>>,
    /// Active versions, for lists; filled when first asked for.
    summaries: Mutex<HashMap<AppId, Option<VersionRow>>>,
    deploys: Mutex<Deploys>,
    /// Whoever changes an app holds the lock of its name.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// Apps from elsewhere are fetched one after the other.
    turns: install::Turns,
    changes: broadcast::Sender<AppId>,
    /// Counts changes.
    epoch: Mutex<u64>,
}

/// What `kernel.db` says, in memory.
#[derive(Default)]
struct Apps {
    by_name: HashMap<String, AppRow>,
    names: HashMap<AppId, String>,
}

impl Apps {
    fn insert(&mut self, row: AppRow) {
        self.names.insert(row.id, row.name.clone());
        self.by_name.insert(row.name.clone(), row);
    }

    fn remove(&mut self, id: AppId) -> Option<AppRow> {
        let name = self.names.remove(&id)?;
        self.by_name.remove(&name)
    }
}

impl Fs {
    /// The databases, for what else lies in that of the apps.
    #[must_use]
    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.shared.storage
    }

    /// What is remembered of people: it lies in the same database as the apps.
    #[must_use]
    pub fn book(&self) -> Arc<dyn Book> {
        Arc::clone(&self.shared.storage) as Arc<dyn Book>
    }

    /// Opens the data folder and clears away what an interrupted deploy or removal left. A damaged cartridge
    /// does not make it fail: only its app does. Must run inside the runtime.
    ///
    /// # Errors
    /// When the folder or `kernel.db` cannot be used.
    pub async fn open(
        data: &Path,
        builder: Arc<dyn Builder>,
        options: FsOptions,
    ) -> Result<Arc<Self>, FsError> {
        let data = data.to_owned();
        let opened = tokio::task::spawn_blocking(move || -> Result<_, FsError> {
            let storage = Storage::open(&data)?;
            let rows = storage.sweep()?;
            let grants = storage.grants()?;
            Ok((storage, rows, grants))
        });
        let (storage, rows, grants) = opened
            .await
            .map_err(|error| FsError::BadDeploy(format!("opening the data folder: {error}")))??;
        let mut apps = Apps::default();
        rows.into_iter().for_each(|row| apps.insert(row));
        let fs = Arc::new(Self {
            shared: Arc::new(Shared::new(storage, builder, options, grants)),
            apps: RwLock::new(apps),
            releases: cache::Cache::new(RELEASES_BYTES_MAX),
            summaries: Mutex::default(),
            deploys: Mutex::default(),
            locks: Mutex::default(),
            turns: install::Turns::default(),
            changes: broadcast::channel(1024).0,
            epoch: Mutex::new(0),
        });
        let _ = fs.shared.fs.set(Arc::downgrade(&fs));
        tokio::spawn(sweep(Arc::downgrade(&fs)));
        Ok(fs)
    }

    /// What apps do without a request.
    #[must_use]
    pub fn timetable(&self) -> &Arc<Timetable> {
        &self.shared.timetable
    }

    /// Says who makes processes for raw SQL; once.
    pub fn run_sql_in(&self, jails: Arc<dyn Jails>) {
        self.shared.storage.sql().jails(jails);
    }

    /// Says who asks servers elsewhere; once.
    pub fn reach_out_by(&self, outbound: Arc<dyn Outbound>) {
        // A second one would be a mistake of the wiring; the first stays.
        let _ = self.shared.outbound.set(outbound);
    }

    /// The way to servers elsewhere; none: there is none.
    #[must_use]
    pub fn outbound(&self) -> Option<Arc<dyn Outbound>> {
        self.shared.outbound.get().cloned()
    }

    /// Says in which jails what comes from elsewhere is taken apart; once.
    pub fn prepare_in(&self, prepare: Arc<dyn Prepare>) {
        // A second one would be a mistake of the wiring; the first stays.
        let _ = self.shared.prepare.set(prepare);
    }

    /// Says who tries versions that come from elsewhere; once.
    pub fn try_with(&self, trial: Arc<dyn Trial>) {
        // A second one would be a mistake of the wiring; the first stays.
        let _ = self.shared.trial.set(trial);
    }

    /// The app that a name routes to.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<AppId> {
        read(&self.apps).by_name.get(name).map(|row| row.id)
    }

    /// The name that routes to an app.
    #[must_use]
    pub fn name_of(&self, app: AppId) -> Option<String> {
        read(&self.apps).names.get(&app).cloned()
    }

    /// How many apps there are.
    #[must_use]
    pub fn count(&self) -> usize {
        read(&self.apps).by_name.len()
    }

    /// The active version, if it is in memory: the hot path.
    #[must_use]
    pub fn release_cached(&self, app: AppId) -> Option<Arc<Release>> {
        self.releases.get(&app)
    }

    /// The active version.
    ///
    /// # Errors
    /// When there is no such app or version, or its cartridge cannot be read.
    pub async fn release(&self, app: AppId) -> Result<Arc<Release>, FsError> {
        if let Some(release) = self.release_cached(app) {
            return Ok(release);
        }
        // One at a time for each app: a crowd at the door of a sleeping app reads its index once.
        let _alone = self.lock(format!("release {app}")).await;
        if let Some(release) = self.release_cached(app) {
            return Ok(release);
        }
        let name = self.name_of(app).ok_or_else(|| FsError::NoApp(app.to_string()))?;
        let epoch = *lock(&self.epoch);
        let release = Arc::new(Release::load(&self.shared, app, name).await?);
        self.unless_changed(epoch, || {
            self.releases.put(app, Arc::clone(&release), release.index.bytes() + 2048);
        });
        Ok(release)
    }

    /// Tells when an app's active version changed, or it was renamed or removed. A receiver that lags must
    /// take every app as changed.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<AppId> {
        self.changes.subscribe()
    }

    /// Forgets what is in memory about an app, and tells everyone.
    fn changed(&self, app: AppId) {
        let mut epoch = lock(&self.epoch);
        *epoch += 1;
        self.shared.storage.data().reload(app);
        self.releases.remove(&app);
        lock(&self.summaries).remove(&app);
        drop(epoch);
        // Nobody may be listening.
        let _ = self.changes.send(app);
    }

    /// Keeps what was read, unless something changed while it was read: an older version must not hide one
    /// that went live meanwhile.
    fn unless_changed(&self, epoch: u64, keep: impl FnOnce()) {
        let now = lock(&self.epoch);
        if *now == epoch {
            keep();
        }
    }

    /// Waits for the lock of a name.
    async fn lock(&self, name: String) -> OwnedMutexGuard<()> {
        let mutex = {
            let mut locks = lock(&self.locks);
            if locks.len() > 256 {
                locks.retain(|_, mutex| mutex.strong_count() > 0);
            }
            match locks.get(&name).and_then(Weak::upgrade) {
                Some(mutex) => mutex,
                None => {
                    let mutex = Arc::default();
                    locks.insert(name, Arc::downgrade(&mutex));
                    mutex
                }
            }
        };
        mutex.lock_owned().await
    }
}

/// Throws idle deploys away and closes idle cartridges, as long as there is an [`Fs`].
async fn sweep(fs: Weak<Fs>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(fs) = fs.upgrade() else { return };
        fs.drop_idle_deploys().await;
        let storage = Arc::clone(&fs.shared.storage);
        let closed = fs.shared.storage.blocking(move || -> Result<(), FsError> {
            storage.close_idle(CARTRIDGE_IDLE);
            Ok(())
        });
        if let Err(error) = closed.await {
            tracing::warn!(%error, "closing idle cartridges");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
