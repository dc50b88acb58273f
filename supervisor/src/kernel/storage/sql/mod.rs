//! Raw SQL: files of their own beside the cartridge, each behind a locked process that runs whatever an app wrote.
//!
//! No statement of an app runs in this process, and no byte of these files is looked at here: they are made, opened and
//! handed over as descriptors. What comes back is hostile and is decoded with bounds.
//!
//! ```text
//! call ─▶ queue of its file ─▶ turn of its app ─▶ process (made on demand) ─▶ answer ─▶ JSON
//!                                 idle, or another file needs the room ─▶ socket closed ─▶ WAL moved, gone
//!                                 deadline, nonsense, death ─▶ killed, and made anew for the next call
//! ```
//! One process serves one file: that of a person, of a named space, of the app, or of a binding. Whoever takes one over
//! has what its app gave it anyway. A named space has two: for those who may only read, one whose descriptors cannot
//! write. It sees the file at rest, since one call at a time is on its way to the two of them; and as it remembers
//! nothing of the file from one call to the next, it needs no memory that it shares with the one that writes.
//!
//! | task | file |
//! |---|---|
//! | a bound | `limits.rs` |
//! | which file, how it is made and opened, what it may take | `files.rs` |
//! | queue, processes and deadlines of one file | `actor.rs` |
//! | what is said to a process, and its end | `process.rs` |
//! | what others see of a process, and may tell it | `tenant.rs` |
//! | values and rows as JSON | `json.rs` |

mod actor;
mod files;
mod json;
mod limits;
mod process;
mod tenant;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fazt_ipc::ids::{AppId, SpaceId, UserId};
use fazt_ipc::store::{Form, Statement};
use fazt_ipc::syscall::ErrorCode;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};

use super::data::DataError;
use super::error::StorageError;
use super::quota::{Account, Ledger};
use actor::{Handle, Job};
use limits::{APP_PROCESSES_MAX, APP_TURNS_MAX, CHECK_CPU_MS, PROCESSES_MAX, TURNS_MAX};

pub use files::Copied;
pub use json::values;
pub use tenant::{Life, Tenant};

/// Folder, beside the files of an app, of those as they were before its migrations.
const KEPT: &str = "before";

/// Makes locked processes; `proc` implements it.
pub trait Jails: Send + Sync {
    /// A process in the `store` jail for somebody, or why there is none.
    fn store(&self, tenant: Tenant) -> BoxFuture<'static, Result<Jailed, String>>;
    /// A process of this app did what no SQL can ask for.
    fn compromised(&self, app: AppId, reason: &str);
}

/// Whoever says how much the answer to a call may make the supervisor hold.
pub trait Room: Send {
    /// Returns when it may hold so many bytes, in place of what it might before. Holds nothing while it waits.
    fn make(&mut self, bytes: usize) -> BoxFuture<'_, ()>;
}

/// As much as it likes: for what the kernel asks itself, a little at a time.
impl Room for () {
    fn make(&mut self, _: usize) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A locked process.
pub struct Jailed {
    /// Its socket; non-blocking.
    pub socket: std::os::unix::net::UnixStream,
    /// How it ended, once it has.
    pub exited: oneshot::Receiver<Ended>,
    /// Kills it.
    pub kill: Box<dyn Fn() + Send + Sync>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By a forbidden system call.
    Forbidden,
    /// For its memory.
    Memory,
    /// Otherwise.
    Killed,
}

/// Which file of an app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A person's own.
    User(UserId),
    /// That of a named space.
    Space(SpaceId),
    /// The app's.
    App,
    /// That of a binding, `env.DB`. The name is one of the manifest's, or `DB`.
    Binding(String),
}

/// A call.
#[derive(Debug, Clone)]
pub struct Query {
    /// Refuse what changes something.
    pub read_only: bool,
    /// How the statements are to be taken.
    pub form: Form,
    /// Several: all or none.
    pub statements: Vec<Statement>,
    /// CPU time that it may take.
    pub cpu_ms: u32,
    /// What the app's data and all these files may take together.
    pub quota_bytes: u64,
}

/// Why a call was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Which statement; 0 where none is to blame.
    pub at: u32,
    /// Kind and message; SQLite's own, since the file is the caller's.
    pub error: DataError,
}

impl SqlError {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { at: 0, error: DataError { code, message: message.into(), permission: "" } }
    }
    fn unavailable(message: &str) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }
}

/// The files of raw SQL of all apps.
pub struct Sql {
    inner: Arc<Inner>,
}

struct Inner {
    apps: PathBuf,
    ledger: Arc<Ledger>,
    jails: OnceLock<Arc<dyn Jails>>,
    table: Mutex<Table>,
    processes: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

#[derive(Default)]
struct Table {
    files: HashMap<(AppId, Place), Handle>,
    shares: HashMap<AppId, Arc<Share>>,
    tick: u64,
}

/// What the files of one app share.
struct Share {
    processes: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    account: Arc<Account>,
}

impl Sql {
    /// For the apps in this folder.
    #[must_use]
    pub(in crate::kernel::storage) fn new(apps: PathBuf, ledger: Arc<Ledger>) -> Self {
        Self {
            inner: Arc::new(Inner {
                apps,
                ledger,
                jails: OnceLock::new(),
                table: Mutex::default(),
                processes: Arc::new(Semaphore::new(PROCESSES_MAX)),
                turns: Arc::new(Semaphore::new(TURNS_MAX)),
            }),
        }
    }

    /// Says who makes processes; once.
    pub fn jails(&self, jails: Arc<dyn Jails>) {
        // A second one would be a mistake of the wiring; the first stays.
        let _ = self.inner.jails.set(jails);
    }

    /// Runs SQL on a file, which is made when it is not there; `room` says when there is memory for its answer. Gives a JSON list with one object for each statement:
    /// `{"columns": […], "rows": [[…], …], "meta": {…}}`. A change is answered when it is on the disk.
    ///
    /// # Errors
    /// What is wrong with the SQL, or why it cannot be done now. Nothing has changed then, but after `Unavailable`,
    /// when it is not known.
    pub async fn call(
        &self,
        app: AppId,
        place: Place,
        query: Query,
        room: Box<dyn Room>,
    ) -> Result<String, SqlError> {
        let (reply, answer) = oneshot::channel();
        self.inner.submit(app, place, Job::Call(query, room, reply))?;
        answer.await.unwrap_or_else(|_| Err(SqlError::unavailable("the app's data was closed; try again")))
    }

    /// The files of an app. On a blocking thread.
    #[must_use]
    pub fn files(&self, app: AppId) -> Vec<Place> {
        files::list(&self.inner.folder(app))
    }

    /// Has a process look through a file. Gives what is wrong with it, nothing when it is sound.
    ///
    /// # Errors
    /// When no process can.
    pub async fn check(&self, app: AppId, place: Place) -> Result<String, SqlError> {
        let query = Query {
            read_only: true,
            form: Form::Check,
            statements: Vec::new(),
            cpu_ms: CHECK_CPU_MS,
            quota_bytes: 0,
        };
        let said = self.call(app, place, query, Box::new(())).await?;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let rows = said[0]["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lines: Vec<_> = rows.iter().filter_map(|row| row[0].as_str()).collect();
        Ok(match lines[..] {
            ["ok"] => String::new(),
            [] => "the process that looks through it says nothing".to_owned(),
            _ => lines.join("; "),
        })
    }

    /// What a file of an app holds, at one moment; none: there is no such file. Calls on it wait meanwhile.
    ///
    /// # Errors
    /// When it cannot be read, or there is no room for a copy.
    pub async fn copy(&self, app: AppId, place: Place) -> Result<Option<Copied>, StorageError> {
        let path = self.inner.folder(app).join(format!("{}.db", place.name()));
        if !path.exists() {
            return Ok(None);
        }
        let failed = |detail: String| StorageError::Failed { path: path.display().to_string(), detail };
        let (reply, answer) = oneshot::channel();
        let busy = self.inner.submit(app, place, Job::Copy(reply));
        busy.map_err(|error| failed(error.error.message))?;
        answer.await.unwrap_or_else(|_| Err(failed("the app's data was closed".into()))).map(Some)
    }

    /// Whether there is such a file.
    #[must_use]
    pub fn exists(&self, app: AppId, place: &Place) -> bool {
        self.inner.folder(app).join(format!("{}.db", place.name())).exists()
    }

    /// Copies a file of an app to where it stays until it is copied so again, and says where that is. None: there is
    /// no such file. Calls on it wait meanwhile. The copy is no part of what the app may take.
    ///
    /// # Errors
    /// When it cannot be read, or there is no room for a copy.
    pub async fn keep(&self, app: AppId, place: Place) -> Result<Option<PathBuf>, StorageError> {
        let name = place.name();
        let Some(copied) = self.copy(app, place).await? else { return Ok(None) };
        let folder = self.inner.folder(app).join(KEPT);
        let kept = tokio::task::spawn_blocking(move || files::keep(&folder, &name, copied)).await;
        kept.unwrap_or_else(|died| Err(StorageError::Failed { path: KEPT.into(), detail: died.to_string() }))
            .map(Some)
    }

    /// Ends the processes of an app that goes.
    pub fn close(&self, app: AppId) {
        let mut table = lock(&self.inner.table);
        table.shares.remove(&app);
        // Without a handle its task kills its process and ends.
        table.files.retain(|(of, _), _| *of != app);
    }

    /// Processes that run now.
    #[must_use]
    pub fn processes(&self) -> usize {
        PROCESSES_MAX - self.inner.processes.available_permits()
    }
}

impl Inner {
    fn folder(&self, app: AppId) -> PathBuf {
        self.apps.join(app.to_string()).join("sql")
    }

    fn submit(self: &Arc<Self>, app: AppId, place: Place, job: Job) -> Result<(), SqlError> {
        let mut table = lock(&self.table);
        table.tick += 1;
        let tick = table.tick;
        let share = table.shares.entry(app).or_insert_with(|| {
            Arc::new(Share {
                processes: Arc::new(Semaphore::new(APP_PROCESSES_MAX)),
                turns: Arc::new(Semaphore::new(APP_TURNS_MAX)),
                account: self.ledger.of(app),
            })
        });
        let share = Arc::clone(share);
        let key = (app, place);
        let handle = table
            .files
            .entry(key.clone())
            .or_insert_with(|| Handle::start(Arc::clone(self), share, key.0, key.1));
        handle.send(job, tick).map_err(|()| {
            SqlError::new(ErrorCode::RateLimited, "too many statements wait for this database; slow down")
        })
    }

    /// Has the file go to sleep that was used least recently, of one app or of all.
    fn make_room(&self, app: Option<AppId>) {
        let table = lock(&self.table);
        let resting = table.files.iter().filter(|((of, _), _)| app.is_none_or(|app| app == *of));
        let oldest =
            resting.filter_map(|(_, handle)| Some((handle.resting_since()?, handle))).min_by_key(|one| one.0);
        if let Some((_, handle)) = oldest {
            handle.hibernate();
        }
    }
}

/// A panic leaves the table as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
