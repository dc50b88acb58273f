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
//! | which file answers a URL | `asset.rs` |
//! | what a worker is sent | `code.rs` |

pub mod asset;
pub mod builder;
pub mod code;
mod error;
pub mod manifest;
mod release;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::control::{Access, DeployPlan, DeployTicket, Listing, Version};
use fazt_ipc::ids::AppId;
use fazt_ipc::syscall::{DirEntry, FileStat};
use futures_util::stream::BoxStream;
use tokio::sync::broadcast;

pub use asset::{AssetMatch, Encoding, Encodings, File, Sha256};
pub use builder::{BuildError, Builder, Compiled, Diagnostic, Source, StripResult, Stripped};
pub use code::{Code, CodeModule};
pub use error::FsError;
pub use manifest::Manifest;
pub use release::Release;

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
}

impl Default for FsOptions {
    fn default() -> Self {
        Self {
            access_default: Access::Owner,
            versions_kept: 10,
            content_cache_bytes_max: 8 << 20,
            deploy_idle_s_max: 15 * 60,
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
    /// Things worth knowing that are not errors.
    pub warnings: Vec<String>,
}

/// All apps.
pub struct Fs {
    changes: broadcast::Sender<AppId>,
}

impl Fs {
    /// Opens the data folder. A damaged cartridge does not make it fail: only its app does.
    ///
    /// # Errors
    /// When the folder or `kernel.db` cannot be used.
    pub async fn open(
        data: &Path,
        builder: Arc<dyn Builder>,
        options: FsOptions,
    ) -> Result<Arc<Self>, FsError> {
        let _ = (data, builder, options);
        Ok(Arc::new(Self { changes: broadcast::channel(1024).0 }))
    }

    /// The app that a name routes to.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<AppId> {
        let _ = name;
        None
    }

    /// How many apps there are.
    #[must_use]
    pub fn count(&self) -> usize {
        0
    }

    /// The active version, if it is in memory: the hot path.
    #[must_use]
    pub fn release_cached(&self, app: AppId) -> Option<Arc<Release>> {
        let _ = app;
        None
    }

    /// The active version.
    ///
    /// # Errors
    /// When there is no such app or version, or its cartridge cannot be read.
    pub async fn release(&self, app: AppId) -> Result<Arc<Release>, FsError> {
        Err(FsError::NoApp(app.to_string()))
    }

    /// Tells when an app's active version changed, or it was renamed or removed. A receiver that lags must
    /// take every app as changed.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<AppId> {
        self.changes.subscribe()
    }

    /// Every app, by name.
    ///
    /// # Errors
    /// When `kernel.db` cannot be read.
    pub async fn apps(&self) -> Result<Vec<AppInfo>, FsError> {
        Ok(Vec::new())
    }

    /// One app.
    ///
    /// # Errors
    /// When there is none.
    pub async fn app(&self, name: &str) -> Result<AppInfo, FsError> {
        Err(FsError::NoApp(name.into()))
    }

    /// Versions kept, newest first.
    ///
    /// # Errors
    /// When there is no such app or its cartridge cannot be read.
    pub async fn versions(&self, name: &str) -> Result<Vec<Version>, FsError> {
        Err(FsError::NoApp(name.into()))
    }

    /// Makes an earlier version active: this number, or the one deployed before the active one.
    ///
    /// # Errors
    /// When there is no such app or version, or its cartridge cannot be written.
    pub async fn rollback(&self, name: &str, number: Option<u64>) -> Result<Version, FsError> {
        let _ = number;
        Err(FsError::NoApp(name.into()))
    }

    /// Takes an app away. With `keep_data` its folder stays, and deploying under the same name takes it up
    /// again.
    ///
    /// # Errors
    /// When there is none, or its files cannot be removed.
    pub async fn remove(&self, name: &str, keep_data: bool) -> Result<(), FsError> {
        let _ = keep_data;
        Err(FsError::NoApp(name.into()))
    }

    /// Gives an app another name.
    ///
    /// # Errors
    /// When there is none, or the name is not one, or is taken.
    pub async fn rename(&self, name: &str, to: &str) -> Result<AppInfo, FsError> {
        let _ = to;
        Err(FsError::NoApp(name.into()))
    }

    /// First step of a deploy: checks the list and says which contents the server does not have. The app need
    /// not exist yet.
    ///
    /// # Errors
    /// When name or list are refused.
    pub async fn plan(&self, name: &str, plan: DeployPlan) -> Result<DeployTicket, FsError> {
        let _ = plan;
        Err(FsError::NoApp(name.into()))
    }

    /// Second step, once for each missing content.
    ///
    /// # Errors
    /// When the deploy is not open, or the bytes are not those of the plan.
    pub async fn put(
        &self,
        deploy: &str,
        sha256: &str,
        body: BoxStream<'_, Result<Bytes, std::io::Error>>,
    ) -> Result<(), FsError> {
        let _ = (sha256, body);
        Err(FsError::NoDeploy(deploy.into()))
    }

    /// Last step: checks everything, builds, and makes the version live in one transaction.
    ///
    /// # Errors
    /// When something is refused or fails. Nothing has changed then; the deploy stays open for another try.
    pub async fn commit(&self, deploy: &str) -> Result<Committed, FsError> {
        Err(FsError::NoDeploy(deploy.into()))
    }

    /// Throws a deploy away.
    ///
    /// # Errors
    /// When it is not open.
    pub async fn abort(&self, deploy: &str) -> Result<(), FsError> {
        Err(FsError::NoDeploy(deploy.into()))
    }

    /// What a path of the active version is, and what is in it. An empty path: the top.
    ///
    /// # Errors
    /// When app or path do not exist.
    pub async fn list(&self, name: &str, path: &str) -> Result<Listing, FsError> {
        let _ = path;
        Err(FsError::NoApp(name.into()))
    }

    /// A file of the active version, to be read in pieces with [`Release::content_range`].
    ///
    /// # Errors
    /// When app or file do not exist.
    pub async fn file(&self, name: &str, path: &str) -> Result<(Arc<Release>, File), FsError> {
        let _ = path;
        Err(FsError::NoApp(name.into()))
    }
}

/// The app's own files, for its system calls `fazt.fs.*`. Paths are relative; a leading `/` is allowed.
impl Release {
    /// What a path is.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn stat(&self, path: &str) -> Result<FileStat, FsError> {
        Err(FsError::NoFile(path.into()))
    }

    /// What is in a folder, sorted by name. An empty path: the top.
    ///
    /// # Errors
    /// When it does not exist or is a file.
    pub async fn entries(&self, path: &str) -> Result<Vec<DirEntry>, FsError> {
        Err(FsError::NoFile(path.into()))
    }

    /// A file, to be read with [`Release::content_range`].
    ///
    /// # Errors
    /// When it does not exist or is a folder.
    pub async fn deployed(&self, path: &str) -> Result<File, FsError> {
        Err(FsError::NoFile(path.into()))
    }
}
