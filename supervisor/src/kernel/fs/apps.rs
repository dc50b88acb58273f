//! Apps as a whole: list, versions, rollback, rename, remove, and their files as people see them.

use std::sync::Arc;

use fazt_ipc::control::{FileInfo, Listing, Version};
use fazt_ipc::ids::AppId;

use super::deploy::access_of;
use super::release::{clean, origin};
use super::shared::unix_ms;
use super::{AppInfo, File, Fs, FsError, Release, lock, name, read, timetable, write};
use crate::kernel::storage::{AppRow, StorageError, VersionRow};

impl Fs {
    /// Every app, by name. One whose cartridge is damaged is among them, and says so.
    ///
    /// # Errors
    /// Never for a single app.
    pub async fn apps(&self) -> Result<Vec<AppInfo>, FsError> {
        let mut rows: Vec<_> = read(&self.apps).by_name.values().cloned().collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let mut apps = Vec::with_capacity(rows.len());
        for row in rows {
            apps.push(self.info(row).await);
        }
        Ok(apps)
    }

    /// One app.
    ///
    /// # Errors
    /// When there is none.
    pub async fn app(&self, name: &str) -> Result<AppInfo, FsError> {
        Ok(self.info(self.row(name)?).await)
    }

    pub(super) fn row(&self, name: &str) -> Result<AppRow, FsError> {
        let found = read(&self.apps).by_name.get(name).cloned();
        found.ok_or_else(|| FsError::NoApp(name.chars().take(80).flat_map(char::escape_default).collect()))
    }

    pub(super) async fn info(&self, row: AppRow) -> AppInfo {
        let app = row.id;
        let cached = lock(&self.summaries).get(&app).cloned();
        let active = match cached {
            Some(active) => Ok(active),
            None => {
                let epoch = *lock(&self.epoch);
                let found = self.shared.storage.read(app, |cartridge| cartridge.active()).await;
                if let Ok(found) = &found {
                    self.unless_changed(epoch, || {
                        lock(&self.summaries).insert(app, found.clone());
                    });
                }
                found
            }
        };
        let (active, damaged) = match active {
            Ok(active) => (active, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let storage = Arc::clone(&self.shared.storage);
        let disk = self.shared.storage.blocking(move || Ok::<_, StorageError>(storage.disk_bytes(app))).await;
        let access = active.as_ref().and_then(|row| row.access.as_deref()).and_then(access_of);
        AppInfo {
            id: app,
            name: row.name,
            access: access.unwrap_or(self.shared.options.access_default),
            description: active.as_ref().map(|row| row.description.clone()).unwrap_or_default(),
            version: active.as_ref().map(version),
            created_unix_ms: row.created_unix_ms,
            disk_bytes: disk.unwrap_or(0),
            damaged,
        }
    }

    /// Versions kept, newest first.
    ///
    /// # Errors
    /// When there is no such app or its cartridge cannot be read.
    pub async fn versions(&self, name: &str) -> Result<Vec<Version>, FsError> {
        let app = self.row(name)?.id;
        let rows = self.shared.storage.read(app, |cartridge| cartridge.versions()).await?;
        Ok(rows.iter().map(version).collect())
    }

    /// Makes an earlier version active: this number, or the newest one below the active one.
    ///
    /// # Errors
    /// When there is no such app or version, or its cartridge cannot be written.
    pub async fn rollback(self: &Arc<Self>, name: &str, number: Option<u64>) -> Result<Version, FsError> {
        let name = name.to_owned();
        self.finish(move |fs| async move {
            let _alone = fs.lock(name.clone()).await;
            let app = fs.row(&name)?.id;
            let rows = fs.shared.storage.read(app, |cartridge| cartridge.versions()).await?;
            let active = rows.iter().find(|row| row.active).map(|row| row.number);
            let target = match number {
                Some(number) => number,
                // Newest first.
                None => rows
                    .iter()
                    .map(|row| row.number)
                    .find(|number| active.is_some_and(|active| *number < active))
                    .ok_or_else(|| FsError::NothingEarlier(name.clone()))?,
            };
            timetable::before(&fs.shared, app, None).await?;
            let storage = Arc::clone(&fs.shared.storage);
            let done = fs
                .shared
                .storage
                .blocking(move || storage.change(app, false, |cartridge| cartridge.activate(target)))
                .await?;
            if !done {
                return Err(FsError::UnknownVersion { app: name, number: target });
            }
            fs.changed(app);
            let row = fs.shared.storage.read(app, |cartridge| cartridge.active()).await?;
            row.as_ref().map(version).ok_or(FsError::NoVersion(name))
        })
        .await
    }

    /// Takes an app away. With `keep_data` its folder stays, and deploying under the same name takes it up
    /// again.
    ///
    /// # Errors
    /// When there is none, or its files cannot be removed.
    pub async fn remove(self: &Arc<Self>, name: &str, keep_data: bool) -> Result<(), FsError> {
        let name = name.to_owned();
        self.finish(move |fs| async move {
            let _alone = fs.lock(name.clone()).await;
            let app = fs.row(&name)?.id;
            let storage = Arc::clone(&fs.shared.storage);
            if !keep_data {
                let storage = Arc::clone(&storage);
                fs.shared.storage.blocking(move || storage.mark(app)).await?;
            }
            let kept = keep_data.then(unix_ms);
            storage.kernel(move |kernel| kernel.delete(app, kept)).await?;
            // From here on the app is gone, whatever happens to its files.
            write(&fs.apps).remove(app);
            fs.shared.grants.remove(app);
            fs.changed(app);
            let gone = move || {
                if !keep_data {
                    return storage.remove(app);
                }
                storage.close(app);
                Ok(())
            };
            Ok(fs.shared.storage.blocking(gone).await?)
        })
        .await
    }

    /// Gives an app another name.
    ///
    /// # Errors
    /// When there is none, or the name is not one, or is taken: also by itself, because nothing would change.
    pub async fn rename(self: &Arc<Self>, from: &str, to: &str) -> Result<AppInfo, FsError> {
        name::check(to)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.finish(move |fs| async move {
            // In one order, so that two renames across each other do not wait for one another.
            let (first, second) = if from <= to { (&from, &to) } else { (&to, &from) };
            let _first = fs.lock(first.clone()).await;
            let _second = if first == second { None } else { Some(fs.lock(second.clone()).await) };
            let mut row = fs.row(&from)?;
            if from == to {
                return Err(FsError::SameName(to));
            }
            if fs.route(&to).is_some() {
                return Err(FsError::NameTaken(to));
            }
            let (app, name) = (row.id, to.clone());
            let renamed = fs.shared.storage.kernel(move |kernel| kernel.rename(app, &name)).await;
            match renamed {
                Err(StorageError::Taken(_)) => return Err(FsError::NameTaken(to)),
                other => other?,
            }
            row.name = to;
            {
                let mut apps = write(&fs.apps);
                apps.remove(row.id);
                apps.insert(row.clone());
            }
            fs.changed(row.id);
            Ok(fs.info(row).await)
        })
        .await
    }

    /// Runs to its end even when the caller goes away: a change that is half done in memory would be worse
    /// than one nobody waited for.
    pub(super) async fn finish<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, FsError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, FsError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(self)))
            .await
            .unwrap_or_else(|error| Err(FsError::BadDeploy(format!("the change was cut off: {error}"))))
    }

    /// What a path of the active version is, and what is in it. An empty path: the top.
    ///
    /// # Errors
    /// When app or path do not exist.
    pub async fn list(&self, name: &str, path: &str) -> Result<Listing, FsError> {
        let release = self.release(self.row(name)?.id).await?;
        let path = clean(path);
        if let Some(file) = release.index.get(path) {
            return Ok(Listing { entry: file_info(path, file), children: Vec::new() });
        }
        let skip = if path.is_empty() { 0 } else { path.len() + 1 };
        let mut entry = folder_info(path);
        let mut children: Vec<FileInfo> = Vec::new();
        for (below, file) in release.index.below(path) {
            let info = file_info(below, file);
            entry.bytes += info.bytes;
            entry.stored_bytes += info.stored_bytes;
            match below[skip..].find('/') {
                None => children.push(info),
                Some(end) => {
                    let folder = &below[..skip + end];
                    let at = children.iter().position(|child| child.dir && child.path == folder);
                    let at = at.unwrap_or_else(|| {
                        children.push(folder_info(folder));
                        children.len() - 1
                    });
                    children[at].bytes += info.bytes;
                    children[at].stored_bytes += info.stored_bytes;
                }
            }
        }
        if children.is_empty() && !path.is_empty() {
            return Err(FsError::NoFile(path.into()));
        }
        children.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Listing { entry, children })
    }

    /// A file of the active version, to be read in pieces with [`Release::content_range`].
    ///
    /// # Errors
    /// When app or file do not exist.
    pub async fn file(&self, name: &str, path: &str) -> Result<(Arc<Release>, File), FsError> {
        let release = self.release(self.row(name)?.id).await?;
        match release.deployed(path).await {
            Err(FsError::NoFile(_)) if release.index.below(clean(path)).next().is_some() => {
                Err(FsError::Folder(path.into()))
            }
            found => found.map(|file| (release, file)),
        }
    }

    /// Checks a cartridge as a whole.
    ///
    /// # Errors
    /// What is damaged.
    pub async fn verify(&self, app: AppId) -> Result<(), FsError> {
        Ok(self.shared.storage.read(app, |cartridge| cartridge.check()).await?)
    }
}

fn folder_info(path: &str) -> FileInfo {
    let (sha256, media_type) = (String::new(), String::new());
    FileInfo { path: path.into(), dir: true, bytes: 0, stored_bytes: 0, sha256, media_type }
}

fn file_info(path: &str, file: &File) -> FileInfo {
    let forms = file.encodings;
    FileInfo {
        path: path.into(),
        dir: false,
        bytes: file.bytes,
        stored_bytes: file.bytes + u64::from(forms.gzip) + u64::from(forms.brotli) + u64::from(forms.zstd),
        sha256: file.sha256.to_string(),
        media_type: file.media_type.into(),
    }
}

pub(super) fn version(row: &VersionRow) -> Version {
    Version {
        id: row.id,
        number: row.number,
        version: row.label.clone(),
        tree_sha256: row.tree.to_string(),
        files: row.files,
        bytes: row.bytes,
        created_unix_ms: row.created_unix_ms,
        active: row.active,
        origin: origin(row),
    }
}

impl Release {
    /// This version, as lists show it.
    #[must_use]
    pub fn summary(&self) -> Version {
        version(&self.row)
    }
}
