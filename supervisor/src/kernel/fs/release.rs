//! One immutable version of an app in memory: its manifest, the index of its files, its code on demand.

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::control::{Access, OriginInfo};
use fazt_ipc::ids::{AppId, VersionId};
use fazt_ipc::syscall::{DirEntry, EntryKind, FileStat};
use fazt_ipc::wire::kernel::BindingKind;

use super::asset::{self, AssetMatch, Encoding, File, Index};
use super::code::{self, Code};
use super::deploy::access_of;
use super::env::Env;
use super::error::FsError;
use super::grants::Grants;
use super::manifest::Manifest;
use super::outbound::Outbound;
use super::shared::Shared;
use super::timetable::Timetable;
use crate::kernel::security::book::Book as _;
use crate::kernel::security::{Actor, Denied, Permission, follow};
use crate::kernel::storage::data::Data;
use crate::kernel::storage::sql::Sql;
use crate::kernel::storage::{StorageError, VersionRow};

/// An active version. Requests in flight keep theirs while a deploy puts another in its place.
pub struct Release {
    /// The app.
    pub app: AppId,
    /// The name that routes to it.
    pub name: String,
    /// This version.
    pub version: VersionId,
    /// Counts the deploys from 1.
    pub number: u64,
    /// Its manifest.
    pub manifest: Arc<Manifest>,
    /// Who may reach it, the default of the server filled in.
    pub access: Access,
    /// What was set for its workers.
    pub env: Env,
    /// What its owner granted; changes while it runs.
    pub(super) grants: Arc<Grants>,
    pub(super) row: VersionRow,
    pub(super) index: Index,
    shared: Arc<Shared>,
}

/// What a worker was given: a version, and variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    version: VersionId,
    env: u64,
}

impl Edition {
    /// A version without variables.
    #[cfg(test)]
    pub(crate) const fn plain(version: VersionId) -> Self {
        Self { version, env: 0 }
    }
}

impl Release {
    /// Reads the active version of an app.
    pub(super) async fn load(shared: &Arc<Shared>, app: AppId, name: String) -> Result<Self, FsError> {
        let found = shared
            .storage
            .read(app, |cartridge| {
                let Some(row) = cartridge.active()? else { return Ok(None) };
                let files = cartridge.files(row.number)?;
                let manifest = files.iter().find(|file| file.path == "app.json").map(|file| file.sha256);
                let manifest = match manifest {
                    Some(sha256) => cartridge.content(sha256, Encoding::Identity, 0, usize::MAX)?,
                    None => None,
                };
                Ok(Some((row, files, manifest)))
            })
            .await?;
        let Some((row, files, text)) = found else { return Err(FsError::NoVersion(name)) };
        let mut manifest = match text {
            Some(text) => Manifest::parse(&text).map_err(FsError::Manifest)?,
            None => Manifest::default(),
        };
        manifest.complete(
            |path| files.iter().any(|file| file.path == path),
            |folder| {
                files
                    .iter()
                    .any(|file| file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
            },
        )?;
        let rows = shared.storage.kernel(move |kernel| kernel.env(app)).await?;
        Ok(Self {
            env: Env::new(rows, &manifest.env),
            grants: shared.grants.of(app),
            app,
            name,
            version: row.id,
            number: row.number,
            access: row.access.as_deref().and_then(access_of).unwrap_or(shared.options.access_default),
            manifest: Arc::new(manifest),
            row,
            index: Index::new(files),
            shared: Arc::clone(shared),
        })
    }

    /// What the assets say to this path. `path` starts with `/`, is percent-decoded once, and carries no
    /// query.
    #[must_use]
    pub fn asset(&self, path: &str) -> AssetMatch<'_> {
        asset::find(&self.index, self.manifest.assets.as_deref(), self.manifest.spa, path)
    }

    /// What apps store: this app's part follows from whoever asks.
    #[must_use]
    pub fn data(&self) -> &Data {
        self.shared.storage.data()
    }

    /// What its workers are given.
    #[must_use]
    pub fn edition(&self) -> Edition {
        Edition { version: self.version, env: self.env.revision() }
    }

    /// Names and values of its variables, for a worker and nobody else.
    ///
    /// # Errors
    /// When a value was sealed under another key.
    pub fn variables(&self) -> Result<Vec<(String, String)>, FsError> {
        self.env.open(self.shared.storage.sealer(), self.app, &self.manifest.env)
    }

    /// The value of one variable, for what leaves the server in its place and nobody else.
    ///
    /// # Errors
    /// When it was sealed under another key.
    pub fn secret(&self, name: &str) -> Result<Option<String>, FsError> {
        self.env.open_one(self.shared.storage.sealer(), self.app, name)
    }

    /// The way to servers elsewhere; none: there is none.
    #[must_use]
    pub fn outbound(&self) -> Option<Arc<dyn Outbound>> {
        self.shared.outbound.get().cloned()
    }

    /// Files of raw SQL.
    #[must_use]
    pub fn sql(&self) -> &Sql {
        self.shared.storage.sql()
    }

    /// Whether the app has a database of this name in its own space: a binding.
    #[must_use]
    pub fn has_database(&self, name: &str) -> bool {
        let bindings = self.manifest.bindings();
        bindings.iter().any(|(known, kind)| known == name && *kind == BindingKind::D1)
    }

    /// What the app does without a request.
    #[must_use]
    pub fn timetable(&self) -> &Arc<Timetable> {
        &self.shared.timetable
    }

    /// Whether it may do anything without a request: the permission `schedule`.
    #[must_use]
    pub fn may_schedule(&self) -> bool {
        self.may(&Permission::Schedule)
    }

    /// Where this version came from, if it was installed from elsewhere.
    #[must_use]
    pub fn origin(&self) -> Option<OriginInfo> {
        origin(&self.row)
    }

    /// The live version of the app of another name.
    pub async fn other(&self, name: &str) -> Option<Arc<Self>> {
        let fs = self.shared.fs.get()?.upgrade()?;
        fs.release(fs.route(name)?).await.ok()
    }

    /// Whom a worker of this app acts for in another one: the same person, if they may use it.
    ///
    /// # Errors
    /// When they may not, or it is nobody.
    pub async fn follow(&self, actor: Actor, other: &Self) -> Result<Actor, Denied> {
        let user = actor.principal().user().ok_or(Denied::SignIn)?;
        let storage = Arc::clone(&self.shared.storage);
        // Whoever cannot be looked up is nobody.
        let look = move || Ok::<_, StorageError>(storage.account(user).ok().flatten());
        let account = self.shared.storage.blocking(look).await.ok().flatten();
        follow(actor, account.as_ref(), other.app, other.access)
    }

    /// Whether there is code to run.
    #[must_use]
    pub fn has_server(&self) -> bool {
        self.manifest.main.is_some()
    }

    /// A content that is in memory already: the hot path.
    #[must_use]
    pub fn content_cached(&self, file: &File, encoding: Encoding) -> Option<Bytes> {
        self.shared.contents.get(&(file.sha256, encoding))
    }

    /// A whole content. Small ones stay in memory for a while; for one over
    /// [`CONTENT_WHOLE_BYTES_MAX`](super::CONTENT_WHOLE_BYTES_MAX) use [`Self::content_range`].
    ///
    /// # Errors
    /// When the cartridge cannot be read, or has no such content.
    pub async fn content(&self, file: &File, encoding: Encoding) -> Result<Bytes, FsError> {
        self.shared.content(self.app, file, encoding).await
    }

    /// Some bytes of a content, at most `bytes_max` from `offset`; fewer at its end.
    ///
    /// # Errors
    /// When the cartridge cannot be read, or has no such content.
    pub async fn content_range(
        &self,
        file: &File,
        encoding: Encoding,
        offset: u64,
        bytes_max: u32,
    ) -> Result<Bytes, FsError> {
        self.shared.range(self.app, file, encoding, offset, bytes_max as usize).await
    }

    /// The modules as a worker is sent them. Give it back when they are sent: it is as large as the app's
    /// code, and asking again is cheap.
    ///
    /// # Errors
    /// When the app has no code, or the cartridge cannot be read.
    pub async fn code(&self) -> Result<Arc<Code>, FsError> {
        code::load(&self.shared, self.app, &self.name, self.number, &self.manifest).await
    }
}

/// Where a version came from.
pub(super) fn origin(row: &VersionRow) -> Option<OriginInfo> {
    serde_json::from_str(row.origin.as_deref()?).ok()
}

/// The app's own files, for its system calls `fazt.fs.*`. Paths are relative; a leading `/` is allowed.
/// Asynchronous although the index is in memory, so that it may one day not be.
impl Release {
    /// What a path is. An empty path: the top.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn stat(&self, path: &str) -> Result<FileStat, FsError> {
        let path = clean(path);
        if let Some(file) = self.index.get(path) {
            return Ok(FileStat {
                path: path.into(),
                kind: EntryKind::File,
                bytes: file.bytes,
                sha256: file.sha256.to_string(),
                media_type: file.media_type.into(),
            });
        }
        if !path.is_empty() && self.index.below(path).next().is_none() {
            return Err(FsError::NoFile(path.into()));
        }
        let (sha256, media_type) = (String::new(), String::new());
        Ok(FileStat { path: path.into(), kind: EntryKind::Dir, bytes: 0, sha256, media_type })
    }

    /// What is in a folder, sorted by name. An empty path: the top.
    ///
    /// # Errors
    /// When it does not exist or is a file.
    pub async fn entries(&self, path: &str) -> Result<Vec<DirEntry>, FsError> {
        let path = clean(path);
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        let mut entries: Vec<DirEntry> = Vec::new();
        for (below, file) in self.index.below(path) {
            let (name, rest) = below[skip..].split_once('/').unwrap_or((&below[skip..], ""));
            if rest.is_empty() {
                entries.push(DirEntry { name: name.into(), kind: EntryKind::File, bytes: file.bytes });
            } else if entries.last().is_none_or(|last| last.name != name || last.kind != EntryKind::Dir) {
                entries.push(DirEntry { name: name.into(), kind: EntryKind::Dir, bytes: 0 });
            }
        }
        if entries.is_empty() && !path.is_empty() {
            return Err(FsError::NoFile(path.into()));
        }
        // By whole paths `a-b` stands before `a/c`; by names it stands behind `a`.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(entries)
    }

    /// A file, to be read with [`Release::content_range`].
    ///
    /// # Errors
    /// When it does not exist or is a folder.
    pub async fn deployed(&self, path: &str) -> Result<File, FsError> {
        let path = clean(path);
        self.index.get(path).cloned().ok_or_else(|| FsError::NoFile(path.into()))
    }
}

pub(super) fn clean(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path).trim_end_matches('/')
}
