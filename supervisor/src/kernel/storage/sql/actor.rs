//! One file: its queue, its process, its deadlines. One task owns all of it.
//!
//! ```text
//! ┌──────────┐ call ┌──────────┐ READY, two descriptors ┌─────────┐ answer ┌─────────┐
//! │ sleeping │─────▶│ starting │───────────────────────▶│ running │◀──────▶│ resting │
//! └──────────┘      └──────────┘                        └─────────┘  call  └─────────┘
//!      ▲ pause            │ no process                       │ deadline,        │ idle, or room is needed:
//!      └──────────────────┴──────────────────────────────────┘ nonsense, death  │ the socket closes
//!      └────────────────────────────────────────────────────────────────────────┘
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fazt_ipc::ids::AppId;
use fazt_ipc::store::limits::REQUEST_BYTES_MAX;
use fazt_ipc::store::{Answer, EXIT_DAMAGED, EXIT_LATE, Fault, Malformed, Request, encode, read_answer};
use fazt_ipc::syscall::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::files::{self, Copied};
use super::limits::{
    BACK_OFF, IDLE, MEMORY_DEADLINE, QUEUE_MAX, ROOM_DEADLINE, SMALL_BYTES, TAKE_DEADLINE, WALL_FACTOR,
    WALL_MORE,
};
use super::process::{self, Broken, Process};
use super::{Ended, Inner, Life, Place, Query, Room, Share, SqlError, Tenant, json, lock};
use crate::kernel::storage::StorageError;
use crate::kernel::storage::quota::Size;

/// What waits for its turn.
pub(super) enum Job {
    /// A call, and whoever says how much of its answer may be held.
    Call(Query, Box<dyn Room>, oneshot::Sender<Result<String, SqlError>>),
    /// The file as it is, while nobody writes to it.
    Copy(oneshot::Sender<Result<Copied, StorageError>>),
}

/// Those of a file: one that may write, one whose descriptors cannot.
const WRITER: usize = 0;
const READER: usize = 1;

/// The way to a file's task. The task ends, and its process with it, when this is dropped.
pub(super) struct Handle {
    jobs: mpsc::Sender<Job>,
    life: Arc<Life>,
}

impl Handle {
    pub(super) fn start(inner: Arc<Inner>, share: Arc<Share>, app: AppId, place: Place) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let handle = Self { jobs, life: Arc::default() };
        let file = FileTask {
            folder: inner.apps.join(app.to_string()).join("sql"),
            name: place.name(),
            inner,
            share,
            app,
            place,
            queue,
            life: Arc::clone(&handle.life),
            processes: [None, None],
            turns: None,
            pause: None,
        };
        tokio::spawn(file.run());
        handle
    }

    pub(super) fn send(&self, job: Job, tick: u64) -> Result<(), ()> {
        self.life.is_called(tick);
        self.jobs.try_send(job).map_err(drop)
    }

    pub(super) fn resting_since(&self) -> Option<u64> {
        self.life.resting_since()
    }

    pub(super) fn hibernate(&self) {
        self.life.hibernate();
    }
}

struct FileTask {
    inner: Arc<Inner>,
    share: Arc<Share>,
    app: AppId,
    place: Place,
    folder: PathBuf,
    name: String,
    queue: mpsc::Receiver<Job>,
    life: Arc<Life>,
    processes: [Option<Process>; 2],
    /// Of the app and of all, while a statement runs.
    turns: Option<[OwnedSemaphorePermit; 2]>,
    /// Since when and how long no process is made.
    pause: Option<(Instant, Duration)>,
}

impl FileTask {
    async fn run(mut self) {
        loop {
            let resting = self.processes.iter().any(Option::is_some);
            if resting {
                self.life.rests();
            } else {
                self.life.is_gone();
            }
            let job = tokio::select! {
                biased;
                // Before the next call: it would find a process that is not there.
                (which, ended) = process::any_ended(&mut self.processes) => {
                    self.processes[which] = None;
                    self.has_ended(Some(ended));
                    continue;
                }
                job = self.queue.recv() => job,
                () = self.life.told(), if resting => {
                    self.sleep().await;
                    continue;
                }
                () = tokio::time::sleep(IDLE) => {
                    self.sleep().await;
                    if self.forget() {
                        return;
                    }
                    continue;
                }
            };
            self.life.works();
            // Nobody can call any more: the app goes, and the process is killed.
            match job {
                None => return,
                Some(Job::Call(query, room, reply)) if !reply.is_closed() => {
                    let answer = self.answer(query, room).await;
                    self.turns = None;
                    self.life.answered();
                    let _ = reply.send(answer);
                }
                Some(Job::Copy(reply)) if !reply.is_closed() => {
                    let _ = reply.send(self.copy().await);
                }
                Some(_) => {}
            }
        }
    }

    /// Takes the file out of the table, unless somebody calls.
    fn forget(&mut self) -> bool {
        let mut table = lock(&self.inner.table);
        if !self.queue.is_empty() {
            return false;
        }
        table.files.remove(&(self.app, self.place.clone()));
        true
    }

    async fn answer(&mut self, query: Query, mut room: Box<dyn Room>) -> Result<String, SqlError> {
        let Query { read_only, form, statements, cpu_ms, quota_bytes } = query;
        let which = if read_only { READER } else { WRITER };
        if self.processes[which].is_none() {
            self.processes[which] = Some(self.start(which).await?);
        }
        let mut request = Request { read_only, bytes_max: 0, cpu_ms, form, statements };
        if which == READER {
            return self.run_once(&request, quota_bytes, &mut 0, &mut *room).await;
        }
        request.bytes_max = self.share.account.lend(&self.name, quota_bytes, false);
        let half = self.try_once(&request, quota_bytes, &mut *room).await;
        if !half.as_ref().is_err_and(|error| error.error.code == ErrorCode::QuotaExceeded) {
            return half;
        }
        // Nothing was changed. What an interrupted call left behind may have gone meanwhile, too.
        request.bytes_max = self.share.account.lend(&self.name, quota_bytes, true);
        self.try_once(&request, quota_bytes, &mut *room).await
    }

    /// Runs a request that has been lent room, and gives back what it did not use.
    async fn try_once(
        &mut self,
        request: &Request,
        quota_bytes: u64,
        room: &mut dyn Room,
    ) -> Result<String, SqlError> {
        let mut logical = 0;
        let done = self.run_once(request, quota_bytes, &mut logical, room).await;
        let mut size = Size::of(&self.folder, &self.name);
        if size.wal > 0 {
            // Part of it may be there only.
            size.database = size.database.max(logical);
        }
        self.share.account.settle(&self.name, size);
        done
    }

    async fn run_once(
        &mut self,
        request: &Request,
        quota_bytes: u64,
        logical: &mut u64,
        room: &mut dyn Room,
    ) -> Result<String, SqlError> {
        let (cpu_ms, which) = (request.cpu_ms, if request.read_only { READER } else { WRITER });
        let too_long = |_| {
            SqlError::new(
                ErrorCode::TooLarge,
                format!("a call with more than {REQUEST_BYTES_MAX} bytes of values"),
            )
        };
        let request = encode(request, REQUEST_BYTES_MAX).map_err(too_long)?;
        if self.turns.is_none() {
            // The app's turn first: whoever waits for it holds no turn of others.
            let closed = |_| SqlError::unavailable("the server is stopping");
            self.turns = Some([
                Arc::clone(&self.share.turns).acquire_owned().await.map_err(closed)?,
                Arc::clone(&self.inner.turns).acquire_owned().await.map_err(closed)?,
            ]);
        }
        let Some(process) = &mut self.processes[which] else {
            return Err(SqlError::unavailable("no process"));
        };
        let wall = WALL_MORE + WALL_FACTOR * Duration::from_millis(u64::from(cpu_ms));
        let bytes = match tokio::time::timeout(wall, process.ask(&request)).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(broken)) => return Err(self.broken(which, broken, cpu_ms).await),
            Err(_) => return Err(self.broken(which, Broken::Late, cpu_ms).await),
        };
        // The statement is done. Waiting for memory is nobody else's trouble.
        self.turns = None;
        let has_room =
            tokio::time::timeout(MEMORY_DEADLINE, room.make(json::held_bytes(bytes))).await.is_ok();
        let taken = tokio::time::timeout(TAKE_DEADLINE, process.take(bytes, has_room)).await;
        let broken = match taken {
            Ok(Ok(_)) if !has_room => {
                return Err(SqlError::unavailable(
                    "the answer is large, and there was no memory for it; what it changed was kept. Ask for less, with LIMIT, or later",
                ));
            }
            Ok(Ok(answer)) => match self.read(answer, quota_bytes, logical).await {
                Ok(done) => {
                    self.pause = None;
                    return done;
                }
                Err(malformed) => Broken::Hostile(malformed),
            },
            Ok(Err(broken)) => broken,
            Err(_) => Broken::Gone,
        };
        Err(self.broken(which, broken, cpu_ms).await)
    }

    /// The file as it is, with nobody at it.
    async fn copy(&mut self) -> Result<Copied, StorageError> {
        if self.processes[WRITER].is_none() && Size::of(&self.folder, &self.name).wal > 0 {
            // Somebody died and left a WAL: a process moves it. A file that is damaged is copied as it is.
            self.processes[WRITER] = self.start(WRITER).await.ok();
        }
        self.sleep().await;
        let (folder, name) = (self.folder.clone(), self.name.clone());
        let copied = tokio::task::spawn_blocking(move || files::copy(&folder, &name)).await;
        copied.unwrap_or_else(|_| {
            let path = self.folder.join(&self.name).display().to_string();
            Err(StorageError::Failed { path, detail: "it could not be copied".into() })
        })
    }

    /// What an answer says. A process that lost its file or its disk is of no more use.
    async fn read(
        &mut self,
        answer: Vec<u8>,
        quota: u64,
        logical: &mut u64,
    ) -> Result<Result<String, SqlError>, Malformed> {
        let small = answer.len() <= SMALL_BYTES;
        let read = move || -> Result<_, Malformed> {
            Ok(match read_answer(&answer)? {
                Answer::Failed { at, fault, message } => Err((at, fault, message.to_owned())),
                done @ Answer::Done { bytes, .. } => Ok((json::text(&done)?, bytes)),
            })
        };
        let read = if small {
            read()
        } else {
            tokio::task::spawn_blocking(read).await.unwrap_or(Err(Malformed("it could not be read")))
        };
        match read? {
            Ok((Ok(text), bytes)) => {
                *logical = bytes;
                Ok(Ok(text))
            }
            Ok((Err(json::TooLong), _)) => Ok(Err(SqlError::new(
                ErrorCode::TooLarge,
                "the change was made, but its answer is too large: ask for less, with LIMIT",
            ))),
            Err((at, fault, message)) => {
                if matches!(fault, Fault::Disk | Fault::Damaged | Fault::Memory) {
                    tracing::warn!(app = %self.app, file = self.name, ?fault, message, "raw SQL");
                    self.sleep().await;
                }
                let mut error = refusal(fault, message, quota);
                error.at = at;
                Ok(Err(error))
            }
        }
    }

    /// The process is of no more use: finds out why, and what to say.
    async fn broken(&mut self, which: usize, broken: Broken, cpu_ms: u32) -> SqlError {
        let Some(process) = self.processes[which].take() else { return SqlError::unavailable("no process") };
        let unknown = "the database's process ended; whether a change was kept is not known";
        if !matches!(broken, Broken::Gone) {
            process.kill();
        }
        let ended = process.ended().await;
        self.pause_again();
        let late = || {
            SqlError::new(
                ErrorCode::InvalidQuery,
                format!(
                    "the statement took too long: more than {cpu_ms} ms of CPU time (limits.cpuMs in app.json)"
                ),
            )
        };
        match (broken, ended) {
            (_, Some(Ended::Forbidden)) => {
                self.compromised("its raw SQL made a system call that no statement can ask for");
                SqlError::unavailable(unknown)
            }
            (Broken::Hostile(malformed), _) => {
                self.compromised(&malformed.to_string());
                SqlError::unavailable(unknown)
            }
            (Broken::Late, _) | (_, Some(Ended::Code(EXIT_LATE))) => late(),
            (Broken::Gone, Some(Ended::Code(EXIT_DAMAGED))) => {
                SqlError::unavailable("the database file is damaged; the operator can restore it")
            }
            (Broken::Gone, Some(Ended::Memory)) => SqlError::new(
                ErrorCode::TooLarge,
                "the statement takes more memory than a database process may have",
            ),
            (Broken::Gone, ended) => {
                tracing::error!(app = %self.app, file = self.name, ?ended, "a process of raw SQL ended");
                SqlError::unavailable(unknown)
            }
        }
    }

    fn compromised(&self, reason: &str) {
        tracing::error!(app = %self.app, file = self.name, reason, "raw SQL");
        if let Some(jails) = self.inner.jails.get() {
            jails.compromised(self.app, reason);
        }
    }

    /// Has the processes move the WAL and end. The one that reads goes first: it finds nothing half moved.
    async fn sleep(&mut self) {
        self.life.works();
        for which in [READER, WRITER] {
            let Some(mut process) = self.processes[which].take() else { continue };
            process.close().await;
            let ended = process.ended().await;
            self.has_ended(ended);
        }
    }

    /// A process that nobody was waiting for has ended.
    fn has_ended(&self, ended: Option<Ended>) {
        self.share.account.settle(&self.name, Size::of(&self.folder, &self.name));
        if ended == Some(Ended::Forbidden) {
            self.compromised("its raw SQL made a system call that no statement can ask for");
        }
    }

    fn pause_again(&mut self) {
        let [first, last] = BACK_OFF;
        let pause = self.pause.map_or(first, |(_, pause)| (pause * 2).min(last));
        self.pause = Some((Instant::now(), pause));
    }

    async fn start(&mut self, which: usize) -> Result<Process, SqlError> {
        if let Some((since, pause)) = self.pause {
            tokio::time::sleep_until((since + pause).into()).await;
        }
        let room = [
            self.room(&self.share.processes, Some(self.app)).await?,
            self.room(&self.inner.processes, None).await?,
        ];
        match self.spawn(which, room).await {
            Ok(process) => Ok(process),
            Err(error) => {
                self.pause_again();
                Err(error)
            }
        }
    }

    /// Room for one more process: somebody who rests makes it.
    async fn room(
        &self,
        semaphore: &Arc<Semaphore>,
        app: Option<AppId>,
    ) -> Result<OwnedSemaphorePermit, SqlError> {
        if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
            return Ok(permit);
        }
        let busy = || SqlError::unavailable("too many databases are in use; try again");
        let end = Instant::now() + ROOM_DEADLINE;
        loop {
            self.inner.make_room(app);
            let waiting = Arc::clone(semaphore).acquire_owned();
            match tokio::time::timeout(Duration::from_millis(100), waiting).await {
                Ok(permit) => return permit.map_err(|_| busy()),
                Err(_) if Instant::now() >= end => return Err(busy()),
                Err(_) => {}
            }
        }
    }

    async fn spawn(&self, which: usize, room: [OwnedSemaphorePermit; 2]) -> Result<Process, SqlError> {
        let no_process = || SqlError::unavailable("no database process can be made now; try again");
        let jails = self.inner.jails.get().ok_or_else(no_process)?;
        let (share, folder, name) = (Arc::clone(&self.share), self.folder.clone(), self.name.clone());
        let is_ours = self.processes[WRITER].is_some();
        let open = move || {
            let opened = match which {
                READER => files::open_to_read(&folder, &name, is_ours),
                _ => files::open(&folder, &name),
            };
            share.account.look(&folder);
            opened
        };
        let opened = tokio::task::spawn_blocking(open).await.map_err(|_| no_process())?;
        let opened = opened.map_err(|error| {
            tracing::error!(app = %self.app, %error, "a file of raw SQL");
            match error {
                StorageError::Full(_) => SqlError::unavailable("there is no room on the server's disk"),
                _ => SqlError::unavailable("the database file cannot be opened; the server's log says why"),
            }
        })?;
        let tenant = Tenant {
            app: self.app,
            place: self.place.clone(),
            read_only: which == READER,
            life: Arc::clone(&self.life),
        };
        let jailed = jails.store(tenant).await.map_err(|error| {
            tracing::error!(app = %self.app, error, "no process for raw SQL");
            no_process()
        })?;
        match Process::begin(jailed, &opened, which == READER, room).await {
            Some(process) => Ok(process),
            None => {
                tracing::error!(app = %self.app, file = self.name, "a process for raw SQL does not begin");
                Err(no_process())
            }
        }
    }
}

fn refusal(fault: Fault, message: String, quota: u64) -> SqlError {
    let (code, message) = match fault {
        Fault::Query => (ErrorCode::InvalidQuery, message),
        Fault::TooLarge => (ErrorCode::TooLarge, message),
        Fault::ReadOnly => {
            (ErrorCode::PermissionDenied, "you may read this space, not write in it".to_owned())
        }
        Fault::Late => (
            ErrorCode::InvalidQuery,
            format!("the statement took too long (limits.cpuMs in app.json); nothing was changed: {message}"),
        ),
        Fault::Memory => (ErrorCode::TooLarge, format!("the statement takes too much memory: {message}")),
        Fault::Quota => (
            ErrorCode::QuotaExceeded,
            format!(
                "the app's storage of {} MiB is used up: delete something, or ask the owner for more (limits.storageMiB in app.json): {message}",
                quota >> 20
            ),
        ),
        Fault::DiskFull => {
            (ErrorCode::Unavailable, "there is no room on the server's disk; reading goes on".to_owned())
        }
        Fault::Disk => (ErrorCode::Unavailable, "the server's disk failed".to_owned()),
        Fault::Damaged => {
            (ErrorCode::Unavailable, "the database file is damaged; the operator can restore it".to_owned())
        }
    };
    SqlError::new(code, message)
}
