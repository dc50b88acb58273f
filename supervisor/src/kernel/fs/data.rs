//! What operators ask about the data of apps. What they look at is confined like an app's own query.

use std::sync::Arc;

use fazt_ipc::ids::{AppId, UserId};

use super::{AppInfo, Fs, FsError, read};
use crate::kernel::security::Actor;
use crate::kernel::storage::data::{
    CollectionUse, DataError, Find, Owned, Reached, Request, Response, SpaceName,
};
use crate::kernel::storage::sql::{Copied, Place};
use crate::kernel::storage::{StorageError, Usage};

/// An app, what its data takes and what its files of raw SQL take, or why that is not known.
pub type Used = (AppInfo, Result<(Usage, u64), StorageError>);

/// A file that was checked: whose, where, and what is wrong with it.
pub type CheckedFile = (Option<String>, String, Result<(), StorageError>);

impl Fs {
    /// What the data of every app takes, by name.
    ///
    /// # Errors
    /// Never for a single app.
    pub async fn usage(&self) -> Result<Vec<Used>, FsError> {
        let mut all = Vec::new();
        for info in self.apps().await? {
            let storage = Arc::clone(&self.shared.storage);
            let app = info.id;
            let usage = self.shared.storage.read(app, move |cartridge| {
                let usage = cartridge.usage()?;
                Ok((usage, storage.sql_bytes(app)))
            });
            let usage = usage.await;
            all.push((info, usage));
        }
        Ok(all)
    }

    /// The collections of an app.
    ///
    /// # Errors
    /// When there is no such app or its cartridge cannot be read.
    pub async fn collections(&self, name: &str) -> Result<Vec<CollectionUse>, FsError> {
        let app = self.row(name)?.id;
        let storage = Arc::clone(&self.shared.storage);
        // Counting may take a while: on a connection of its own.
        Ok(self.shared.storage.long(move || storage.reader(app)?.collections()).await?)
    }

    /// A query as somebody would make it in an app.
    ///
    /// # Errors
    /// As they would be told.
    pub async fn query(&self, whom: Actor, request: Request) -> Result<Response, DataError> {
        self.shared.storage.data().call(whom, request).await
    }

    /// The statement that such a query runs, its plan, and the spaces that it is confined to.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn explain(
        &self,
        whom: Actor,
        space: SpaceName,
        collection: &str,
        find: Find,
    ) -> Result<(String, Vec<String>, Vec<Reached>), DataError> {
        let data = self.shared.storage.data();
        let (sql, plan) = data.explain(whom, space, collection, find).await?;
        Ok((sql, plan, data.reached(whom).await?))
    }

    /// Looks through the server's own database and every app's files, or one app's. Those of raw SQL are looked
    /// through by a process that is locked as for the app.
    ///
    /// # Errors
    /// When there is no such app.
    pub async fn check(&self, name: Option<&str>) -> Result<Vec<CheckedFile>, FsError> {
        let mut rows: Vec<_> = match name {
            Some(name) => vec![self.row(name)?],
            None => read(&self.apps).by_name.values().cloned().collect(),
        };
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let mut checked = Vec::new();
        if name.is_none() {
            let kernel = self.shared.storage.kernel(|kernel| kernel.check()).await;
            checked.push((None, "kernel.db".to_owned(), kernel));
        }
        for row in rows {
            let (app, storage) = (row.id, Arc::clone(&self.shared.storage));
            let sound = self.shared.storage.long(move || storage.reader(app)?.check()).await;
            checked.push((Some(row.name.clone()), format!("apps/{app}/app.fazt"), sound));
            for place in self.sql_files(app).await {
                let file = format!("apps/{app}/sql/{}.db", place.name());
                let detail = match self.shared.storage.sql().check(app, place).await {
                    Ok(detail) => detail,
                    Err(error) => error.error.message,
                };
                let path = file.clone();
                let sound =
                    if detail.is_empty() { Ok(()) } else { Err(StorageError::Corrupt { path, detail }) };
                checked.push((Some(row.name.clone()), file, sound));
            }
        }
        Ok(checked)
    }

    async fn sql_files(&self, app: AppId) -> Vec<Place> {
        let storage = Arc::clone(&self.shared.storage);
        let list = move || Ok::<_, StorageError>(storage.sql().files(app));
        self.shared.storage.blocking(list).await.unwrap_or_default()
    }

    /// What a file of raw SQL of an app holds; none: there is no such file.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub async fn sql_copy(&self, app: AppId, place: Place) -> Result<Option<Copied>, StorageError> {
        self.shared.storage.sql().copy(app, place).await
    }

    /// Hands out what a person owns in an app, on this thread, which must be a blocking one. False: nothing of
    /// them is there.
    ///
    /// # Errors
    /// When the app's cartridge cannot be read.
    pub fn owned_blocking(
        &self,
        app: AppId,
        user: UserId,
        each: &mut dyn FnMut(Owned<'_>) -> bool,
    ) -> Result<bool, StorageError> {
        let cartridge = self.shared.storage.reader(app)?;
        if !cartridge.knows(user)? {
            return Ok(false);
        }
        cartridge.owned(user, each).map(|()| true)
    }

    /// Runs long work on a blocking thread.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.shared.storage.long(work).await
    }
}
