//! The steps of a deploy as callers see them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::control::{DeployPlan, DeployTicket, OriginInfo};
use fazt_ipc::ids::{AppId, VersionId};
use futures_util::stream::BoxStream;

use super::deploy::{self, Deploy};
use super::release::Release;
use super::shared::unix_ms;
use super::{Committed, Fs, FsError, Manifest, Said, Sha256, apps, env, grants, lock, name, write};
use crate::kernel::storage::{AppRow, StorageError};

impl Fs {
    /// First step of a deploy: checks the list and says which contents the server does not have. The app need
    /// not exist yet; it is made by the commit.
    ///
    /// # Errors
    /// When name or list are refused.
    pub async fn plan(&self, name: &str, plan: DeployPlan) -> Result<DeployTicket, FsError> {
        name::check(name)?;
        let files = deploy::check(plan)?;
        let mut contents: Vec<Sha256> = files.iter().map(|file| file.sha256).collect();
        contents.sort_unstable();
        contents.dedup();
        let missing = match self.target(name).await? {
            Some(app) => {
                self.shared.storage.read(app.id, move |cartridge| cartridge.missing(&contents)).await?
            }
            None => contents,
        };
        let ticket = format!("dep_{:032x}", rand::random::<u128>());
        let folder = self.shared.storage.deploys().join(&ticket);
        let made = folder.clone();
        self.shared.storage.blocking(move || crate::kernel::storage::private_folder(&made)).await?;
        let opened = lock(&self.deploys).insert(ticket, name.to_owned(), files, &missing, folder.clone());
        if opened.is_err() {
            self.clear(folder).await;
        }
        opened
    }

    /// The app that a deploy of this name goes to: the one that has it, or one that was removed and kept.
    pub(super) async fn target(&self, name: &str) -> Result<Option<AppRow>, FsError> {
        if let Ok(row) = self.row(name) {
            return Ok(Some(row));
        }
        let name = name.to_owned();
        Ok(self.shared.storage.kernel(move |kernel| kernel.kept_as(&name)).await?)
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
        let sha256 = Sha256::parse(sha256).ok_or_else(|| {
            FsError::BadDeploy("a content is named by 64 lowercase hexadecimal digits".into())
        })?;
        let (folder, bytes) = {
            let mut deploys = lock(&self.deploys);
            let open = deploys.get(deploy)?;
            let bytes = open.wanted.get(&sha256).copied();
            (open.folder.clone(), bytes)
        };
        let bytes = bytes
            .ok_or_else(|| FsError::BadDeploy(format!("content {sha256} is not missing in this deploy")))?;
        deploy::receive(&self.shared, folder, sha256, bytes, body).await?;
        lock(&self.deploys).get(deploy)?.got.insert(sha256);
        Ok(())
    }

    /// Last step: checks everything, builds, and makes the version live in one transaction. Goes on to its end
    /// even when the caller goes away.
    ///
    /// # Errors
    /// When something is refused or fails. Nothing has changed then; the deploy stays open for another try.
    pub async fn commit(self: &Arc<Self>, deploy: &str, said: Said) -> Result<Committed, FsError> {
        let ticket = deploy.to_owned();
        let taken = {
            let mut deploys = lock(&self.deploys);
            let open = deploys.get(&ticket)?;
            open.busy = true;
            open.clone()
        };
        self.finish(move |fs| async move {
            let outcome = fs.commit_alone(&taken, &said).await;
            if outcome.is_ok() {
                lock(&fs.deploys).open.remove(&ticket);
                fs.clear(taken.folder).await;
            } else if let Some(open) = lock(&fs.deploys).open.get_mut(&ticket) {
                open.busy = false;
            }
            outcome
        })
        .await
    }

    async fn commit_alone(&self, deploy: &Deploy, said: &Said) -> Result<Committed, FsError> {
        let _alone = self.lock(deploy.name.clone()).await;
        let routed = self.route(&deploy.name).is_some();
        let (fresh, row) = match self.target(&deploy.name).await? {
            Some(row) => (false, row),
            None => {
                let now = unix_ms();
                let id = AppId::new(now, rand::random());
                (true, AppRow { id, name: deploy.name.clone(), created_unix_ms: now })
            }
        };
        let app = row.id;
        let id = VersionId::new(unix_ms(), rand::random());
        let replaced = match deploy.source.as_ref().is_some_and(|source| source.update) && routed {
            true => {
                self.shared.storage.read(app, |cartridge| cartridge.active()).await?.map(|row| row.number)
            }
            false => None,
        };
        // Whoever has the version before in memory goes on with it until `changed`; whoever would read it now waits.
        let unread = match replaced {
            Some(_) => Some(self.lock(format!("release {app}")).await),
            None => None,
        };
        if let Some(before) = replaced {
            let storage = Arc::clone(&self.shared.storage);
            self.shared.storage.blocking(move || storage.begin_trial(app, before)).await?;
        }
        let decide = |manifest: &Manifest| self.decide(&deploy.name, app, manifest, said);
        let mut outcome = match deploy::commit(&self.shared, app, fresh, deploy, id, &decide).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.take_back(app, fresh, replaced).await;
                return Err(error);
            }
        };
        // Both before anybody is led to the new code.
        if deploy.source.is_some() && !outcome.unchanged {
            let release = Release::load(&self.shared, app, deploy.name.clone()).await;
            let started = match release {
                Ok(release) => self.start_once(release).await,
                Err(error) => Err(error.to_string()),
            };
            match (started, replaced) {
                (Ok(()), _) => {}
                (Err(why), Some(before)) => {
                    self.take_back(app, fresh, replaced).await;
                    let (app, number) = (deploy.name.clone(), outcome.row.number);
                    return Err(FsError::NoStart { app, number, before, why });
                }
                // Nothing is lost by it, and its log is there to be read.
                (Err(why), None) => outcome.warnings.push(format!(
                    "it does not start: {why}; `fazt proc logs {}` has the reason with file and line",
                    deploy.name
                )),
            }
        }
        if let Some(source) = deploy.source.as_ref().filter(|source| !source.migrations.is_empty()) {
            let quota = u64::from(outcome.manifest.limits.storage_mib) << 20;
            match self.migrate(app, quota, &source.migrations).await {
                Ok(said) => outcome.warnings.extend(said),
                Err(error) => {
                    self.take_back(app, fresh, replaced).await;
                    return Err(error);
                }
            }
        }
        if replaced.is_some() {
            let storage = Arc::clone(&self.shared.storage);
            let ended = self.shared.storage.blocking(move || storage.end_trial(app)).await;
            if let Err(error) = ended {
                // The next start would go back: better now, with a word.
                self.take_back(app, fresh, replaced).await;
                return Err(error.into());
            }
        }
        drop(unread);
        if !routed {
            let inserted = row.clone();
            if let Err(error) = self.shared.storage.kernel(move |kernel| kernel.insert(&inserted)).await {
                if fresh {
                    self.undo(app).await;
                }
                return Err(match error {
                    StorageError::Taken(_) => FsError::NameTaken(deploy.name.clone()),
                    other => other.into(),
                });
            }
            write(&self.apps).insert(row.clone());
            let storage = Arc::clone(&self.shared.storage);
            if let Err(error) = self.shared.storage.blocking(move || storage.unmark(app)).await {
                // The app is in kernel.db: the next start takes the mark away.
                tracing::warn!(%app, %error, "the mark of an unfinished app stays");
            }
        }
        // After the version: what was granted to one that did not come to be would be the next one's.
        let answered = self.answer(app, std::mem::take(&mut outcome.answers), &said.by).await;
        if !outcome.unchanged || !routed {
            self.changed(app);
        }
        answered?;
        if let Some(OriginInfo { url, reference, commit, .. }) =
            deploy.source.as_ref().map(|of| of.origin.clone())
            && reference.starts_with("refs/tags/")
        {
            self.shared.storage.kernel(move |kernel| kernel.pin(app, &url, &reference, &commit)).await?;
        }
        let permissions = grants::list(&outcome.manifest, &self.shared.grants.of(app));
        if let Some(source) = &deploy.source {
            outcome.warnings.extend(source.warnings.iter().cloned());
        }
        if outcome.manifest.env.iter().any(|variable| variable.required) {
            // The version is live whether or not this can be told.
            let rows = self.env_rows(app).await.unwrap_or_default();
            outcome.warnings.extend(env::warnings(&row.name, &rows, &outcome.manifest.env));
        }
        Ok(Committed {
            app: self.info(row).await,
            version: apps::version(&outcome.row),
            unchanged: outcome.unchanged,
            files_sent: deploy.got.len() as u64,
            permissions,
            warnings: outcome.warnings,
        })
    }

    /// Starts a version once. One that lacks a variable cannot, and what lacks is told by the warnings.
    async fn start_once(&self, release: Release) -> Result<(), String> {
        match self.shared.trial.get() {
            Some(trial) if release.has_server() && release.env.missing().is_empty() => {
                trial.start(Arc::new(release)).await
            }
            _ => Ok(()),
        }
    }

    /// Takes back a version that does not start, or whose migrations failed.
    async fn take_back(&self, app: AppId, fresh: bool, replaced: Option<u64>) {
        if fresh {
            return self.undo(app).await;
        }
        let storage = Arc::clone(&self.shared.storage);
        let Some(number) = replaced else { return };
        let back = move || {
            let done = storage.change(app, false, |cartridge| cartridge.activate(number))?;
            // What cannot be taken back now is at the next start.
            storage.end_trial(app).map(|()| done)
        };
        match self.shared.storage.blocking(back).await {
            Ok(true) => {}
            Ok(false) => tracing::error!(%app, number, "the version to go back to is not there"),
            Err(error) => tracing::warn!(%app, %error, "a version that was to be taken back stays"),
        }
        self.changed(app);
    }

    /// Takes back the folder of an app that did not come to be.
    async fn undo(&self, app: AppId) {
        let storage = Arc::clone(&self.shared.storage);
        if let Err(error) = self.shared.storage.blocking(move || storage.remove(app)).await {
            tracing::warn!(%app, %error, "the folder of a deploy that failed stays until the next start");
        }
    }

    /// The name of the app that an open deploy goes to.
    #[must_use]
    pub fn deploy_name(&self, deploy: &str) -> Option<String> {
        lock(&self.deploys).open.get(deploy).map(|open| open.name.clone())
    }

    /// Throws a deploy away.
    ///
    /// # Errors
    /// When it is not open.
    pub async fn abort(&self, deploy: &str) -> Result<(), FsError> {
        let folder = {
            let mut deploys = lock(&self.deploys);
            deploys.get(deploy)?;
            deploys.open.remove(deploy).map(|open| open.folder)
        };
        if let Some(folder) = folder {
            self.clear(folder).await;
        }
        Ok(())
    }

    /// Throws deploys away that nobody goes on with.
    pub(super) async fn drop_idle_deploys(&self) {
        let idle = Duration::from_secs(self.shared.options.deploy_idle_s_max);
        let mut folders = Vec::new();
        lock(&self.deploys).open.retain(|_, open| {
            let keep = open.busy || open.touched.elapsed() < idle;
            if !keep {
                folders.push(open.folder.clone());
            }
            keep
        });
        for folder in folders {
            self.clear(folder).await;
        }
    }

    async fn clear(&self, folder: std::path::PathBuf) {
        let cleared = self.shared.storage.blocking(move || {
            std::fs::remove_dir_all(&folder).map_err(FsError::io(folder.display().to_string()))
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "contents of a finished deploy stay until the next start");
        }
    }
}
