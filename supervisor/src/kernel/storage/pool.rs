//! Which databases are open, and the way to use one: on a blocking thread, never on an asynchronous one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fazt_ipc::ids::AppId;
use tokio::sync::Semaphore;

use super::cartridge::Cartridge;
use super::data::{Clock, Data};
use super::db::{self, Mode};
use super::error::StorageError;
use super::grants::GrantRow;
use super::kernel::{AppRow, KernelDb};
use super::keys::secret;
use super::limits::{BLOCKING_LONG_MAX, BLOCKING_MAX, CARTRIDGES_OPEN_MAX};
use super::spare::Spare;
use super::sql::Sql;
use crate::kernel::security::Sealer;

/// All databases of one data folder.
pub struct Storage {
    apps: PathBuf,
    kernel: Mutex<KernelDb>,
    open: Mutex<Open>,
    data: Data,
    sealer: Sealer,
    sql: Sql,
    quick: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// Readers. A writer has a connection of its own for the length of a deploy, so that reading goes on beside it.
#[derive(Default)]
struct Open {
    tick: u64,
    readers: HashMap<AppId, Reader>,
}

struct Reader {
    tick: u64,
    used: Instant,
    slot: Arc<Mutex<Option<Cartridge>>>,
}

impl Storage {
    /// Opens `kernel.db`; no cartridge.
    ///
    /// # Errors
    /// When the folder or `kernel.db` cannot be used.
    pub fn open(data: &Path) -> Result<Arc<Self>, StorageError> {
        let apps = data.join("apps");
        db::private_folder(&apps)?;
        let clock: Clock = Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        let rows = Data::new(
            apps.clone(),
            secret(data, "cursor")?,
            clock,
            Some(Spare::in_file(&data.join("spare"))),
        );
        Ok(Arc::new(Self {
            sql: Sql::new(apps.clone(), rows.ledger()),
            data: rows,
            sealer: Sealer::new(&secret(data, "seal")?),
            apps,
            kernel: Mutex::new(KernelDb::open(data)?),
            open: Mutex::default(),
            quick: Arc::new(Semaphore::new(BLOCKING_MAX)),
            long: Arc::new(Semaphore::new(BLOCKING_LONG_MAX)),
        }))
    }

    /// What apps store.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Seals what lies in `kernel.db` and must not be read there.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Files of raw SQL.
    #[must_use]
    pub fn sql(&self) -> &Sql {
        &self.sql
    }

    /// What an app's files of raw SQL take. Looks at its folder, once: on a blocking thread.
    #[must_use]
    pub fn sql_bytes(&self, app: AppId) -> u64 {
        let account = self.data.ledger().of(app);
        account.look(&self.folder(app).join("sql"));
        account.sql_bytes()
    }

    /// Folder of an app.
    #[must_use]
    pub fn folder(&self, app: AppId) -> PathBuf {
        self.apps.join(app.to_string())
    }

    pub(super) fn apps_folder(&self) -> &Path {
        &self.apps
    }

    /// Apps, and those of which only the data is kept.
    pub(super) fn rows(&self) -> Result<(Vec<AppRow>, Vec<AppRow>), StorageError> {
        let kernel = lock(&self.kernel);
        Ok((kernel.apps()?, kernel.kept()?))
    }

    /// Every answer of the owner to what apps ask for. Blocks.
    ///
    /// # Errors
    /// When `kernel.db` cannot be read.
    pub fn grants(&self) -> Result<Vec<(AppId, GrantRow)>, StorageError> {
        lock(&self.kernel).grants()
    }

    fn file(&self, app: AppId) -> PathBuf {
        self.folder(app).join("app.fazt")
    }

    /// Runs a short `work` on a blocking thread, few at a time.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn blocking<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        on_thread(Arc::clone(&self.quick), work).await
    }

    /// Runs the work of a deploy on a blocking thread. It may take seconds, and has threads of its own so that
    /// nobody's reading waits behind it.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn long<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        on_thread(Arc::clone(&self.long), work).await
    }

    /// Uses `kernel.db`.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn kernel<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut KernelDb) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let this = Arc::clone(self);
        self.blocking(move || work(&mut lock(&this.kernel))).await
    }

    /// Uses `kernel.db` on this thread, which must be a blocking one.
    pub(super) fn kernel_blocking<T>(&self, work: impl FnOnce(&mut KernelDb) -> T) -> T {
        work(&mut lock(&self.kernel))
    }

    /// Reads a cartridge, opening it when it is not.
    ///
    /// # Errors
    /// Those of `work`, and when the cartridge cannot be opened.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        app: AppId,
        work: impl FnOnce(&mut Cartridge) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let this = Arc::clone(self);
        self.blocking(move || this.read_blocking(app, work)).await
    }

    /// [`Self::read`] on this thread, which must be a blocking one.
    ///
    /// # Errors
    /// As there.
    pub fn read_blocking<T>(
        &self,
        app: AppId,
        work: impl FnOnce(&mut Cartridge) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.data.is_removed(app) {
            let path = self.file(app).display().to_string();
            return Err(StorageError::Failed { path, detail: "the app was removed".into() });
        }
        let slot = self.slot(app);
        let mut cartridge = lock(&slot);
        let open = match &mut *cartridge {
            Some(open) => open,
            closed => match self.data.opened(|| Cartridge::open(&self.file(app), Mode::Existing)) {
                Ok(open) => closed.insert(open),
                // Reading goes on although the disk is full and nothing is left of what was held: alone, for this
                // once, so that no writer waits long.
                Err(StorageError::Full(_)) => {
                    return work(&mut Cartridge::open(&self.file(app), Mode::Alone)?);
                }
                Err(error) => return Err(error),
            },
        };
        let result = work(open);
        if matches!(result, Err(StorageError::Corrupt { .. })) {
            // A file put right from a backup must be seen at the next try.
            *cartridge = None;
        }
        result
    }

    /// Changes a cartridge on this thread, which must be a blocking one; `create`: it is made for it. Reading goes
    /// on beside it. After a failed sync, its own or one of data, nothing is written before what the disk has is
    /// made good.
    ///
    /// # Errors
    /// Those of `work`, and when it cannot be opened, made or made good.
    pub fn change<T>(
        &self,
        app: AppId,
        create: bool,
        work: impl FnOnce(&mut Cartridge) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.data.make_good(app)?;
        let mut writer =
            Cartridge::open(&self.file(app), if create { Mode::Create } else { Mode::Existing })?;
        let done = work(&mut writer);
        match &done {
            // It goes on as the app's reader, where that has none: closing the last connection of a file and opening
            // the next costs several syncs.
            Ok(_) => {
                let slot = self.slot(app);
                lock(&slot).get_or_insert(writer);
            }
            Err(StorageError::Disk { .. }) => {
                writer.give_up();
                self.data.suspect(app);
            }
            Err(_) => {}
        }
        done
    }

    /// Looks at a cartridge for long on this thread, which must be a blocking one: by a connection of its own, so
    /// that nobody's reading waits.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reader(&self, app: AppId) -> Result<Cartridge, StorageError> {
        Cartridge::open(&self.file(app), Mode::Existing)
    }

    /// Closes a cartridge once nobody uses it. On a blocking thread.
    pub fn close(&self, app: AppId) {
        self.data.close(app);
        self.sql.close(app);
        let reader = lock(&self.open).readers.remove(&app);
        drop(reader);
    }

    /// Closes an app's files for good and deletes them: whoever still asks finds nothing to open. On a blocking
    /// thread.
    ///
    /// # Errors
    /// When something of them stays.
    pub fn remove(&self, app: AppId) -> Result<(), StorageError> {
        self.data.remove(app);
        self.close(app);
        self.delete_folder(app)
    }

    /// Closes the cartridges that nobody used for a while, on this thread, which must be a blocking one.
    pub fn close_idle(&self, idle: Duration) {
        self.data.close_idle(idle);
        let mut closing = Vec::new();
        lock(&self.open).readers.retain(|_, reader| {
            let keep = reader.used.elapsed() < idle;
            if !keep {
                closing.push(Arc::clone(&reader.slot));
            }
            keep
        });
        drop(closing);
        self.data.refill();
    }

    /// Cartridges open now.
    #[must_use]
    pub fn open_count(&self) -> usize {
        lock(&self.open).readers.len()
    }

    fn slot(&self, app: AppId) -> Arc<Mutex<Option<Cartridge>>> {
        let mut open = lock(&self.open);
        open.tick += 1;
        let tick = open.tick;
        if let Some(reader) = open.readers.get_mut(&app) {
            reader.tick = tick;
            reader.used = Instant::now();
            return Arc::clone(&reader.slot);
        }
        let mut evicted = None;
        if open.readers.len() >= CARTRIDGES_OPEN_MAX {
            let oldest = open.readers.iter().min_by_key(|(_, reader)| reader.tick).map(|(&app, _)| app);
            evicted = oldest.and_then(|oldest| open.readers.remove(&oldest));
        }
        let slot = Arc::default();
        open.readers.insert(app, Reader { tick, used: Instant::now(), slot: Arc::clone(&slot) });
        drop(open);
        // Closing moves the WAL into the file: not while the table is locked.
        drop(evicted);
        slot
    }
}

async fn on_thread<T, E>(
    permits: Arc<Semaphore>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StorageError> + Send + 'static,
{
    let failed = |detail: String| StorageError::Failed { path: "database thread".into(), detail };
    let permit = permits.acquire_owned().await.map_err(|error| failed(error.to_string()))?;
    let work = move || {
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(error.to_string()))?
}

/// A panic in `work` leaves a database as its last transaction left it: the lock stays usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
