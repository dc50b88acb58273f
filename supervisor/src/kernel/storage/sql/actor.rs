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

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fazt_ipc::ids::AppId;
use fazt_ipc::store::limits::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};
use fazt_ipc::store::{
    Answer, EXIT_DAMAGED, EXIT_LATE, FILES, Fault, Malformed, READY, Request, encode, length, read_answer,
};
use fazt_ipc::syscall::ErrorCode;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::files::{self, Opened};
use super::limits::{
    BACK_OFF, CLOSE_DEADLINE, IDLE, QUEUE_MAX, ROOM_DEADLINE, SMALL_BYTES, START_DEADLINE, WALL_FACTOR,
    WALL_MORE,
};
use super::{Ended, Inner, Jailed, Life, Place, Query, Share, SqlError, Tenant, json, lock};
use crate::kernel::storage::StorageError;
use crate::kernel::storage::quota::Size;

/// A call that waits.
pub(super) struct Job {
    pub(super) query: Query,
    pub(super) reply: oneshot::Sender<Result<String, SqlError>>,
}

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
            process: None,
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
    process: Option<Process>,
    /// Since when and how long no process is made.
    pause: Option<(Instant, Duration)>,
}

struct Process {
    stream: UnixStream,
    exited: oneshot::Receiver<Ended>,
    kill: Box<dyn Fn() + Send + Sync>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Drop for Process {
    fn drop(&mut self) {
        (self.kill)();
    }
}

/// Why there is no answer of the process.
enum Broken {
    /// It is gone.
    Gone,
    /// It takes too long.
    Late,
    /// It said what it may not.
    Hostile(Malformed),
}

impl FileTask {
    async fn run(mut self) {
        loop {
            let resting = self.process.is_some();
            if resting {
                self.life.rests()
            } else {
                self.life.is_gone()
            }
            let gone = async {
                match &mut self.process {
                    Some(process) => (&mut process.exited).await.unwrap_or(Ended::Killed),
                    None => std::future::pending().await,
                }
            };
            let job = tokio::select! {
                biased;
                // Before the next call: it would find a process that is not there.
                ended = gone => {
                    self.process = None;
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
            let Some(Job { query, reply }) = job else { return };
            if reply.is_closed() {
                continue;
            }
            let answer = self.answer(query).await;
            self.life.answered();
            let _ = reply.send(answer);
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

    async fn answer(&mut self, query: Query) -> Result<String, SqlError> {
        let closed = |_| SqlError::unavailable("the server is stopping");
        if self.process.is_none() {
            self.process = Some(self.start().await?);
        }
        // The app's turn first: whoever waits for it holds no turn of others.
        let _turns = (
            Arc::clone(&self.share.turns).acquire_owned().await.map_err(closed)?,
            Arc::clone(&self.inner.turns).acquire_owned().await.map_err(closed)?,
        );
        let Query { read_only, form, statements, cpu_ms, quota_bytes } = query;
        let mut request = Request { read_only, bytes_max: 0, cpu_ms, form, statements };
        request.bytes_max = self.share.account.lend(&self.name, quota_bytes, false);
        let half = self.try_once(&request, quota_bytes).await;
        if !half.as_ref().is_err_and(|error| error.error.code == ErrorCode::QuotaExceeded) {
            return half;
        }
        // Nothing was changed. What an interrupted call left behind may have gone meanwhile, too.
        request.bytes_max = self.share.account.lend(&self.name, quota_bytes, true);
        self.try_once(&request, quota_bytes).await
    }

    /// Runs a request that has been lent room, and gives back what it did not use.
    async fn try_once(&mut self, request: &Request, quota_bytes: u64) -> Result<String, SqlError> {
        let mut logical = 0;
        let done = self.run_once(request, quota_bytes, &mut logical).await;
        let mut size = Size::of(&self.folder, &self.name);
        // Part of it may be in the WAL only.
        size.database = size.database.max(logical);
        self.share.account.settle(&self.name, size);
        done
    }

    async fn run_once(
        &mut self,
        request: &Request,
        quota_bytes: u64,
        logical: &mut u64,
    ) -> Result<String, SqlError> {
        let Some(process) = &mut self.process else { return Err(SqlError::unavailable("no process")) };
        let cpu_ms = request.cpu_ms;
        let too_long = |_| {
            SqlError::new(
                ErrorCode::TooLarge,
                format!("a call with more than {REQUEST_BYTES_MAX} bytes of values"),
            )
        };
        let request = encode(request, REQUEST_BYTES_MAX).map_err(too_long)?;
        let wall = WALL_MORE + WALL_FACTOR * Duration::from_millis(u64::from(cpu_ms));
        let talk = tokio::time::timeout(wall, converse(&mut process.stream, &request));
        let broken = match talk.await {
            Ok(Ok(answer)) => match self.read(answer, quota_bytes, logical).await {
                Ok(done) => {
                    self.pause = None;
                    return done;
                }
                Err(malformed) => Broken::Hostile(malformed),
            },
            Ok(Err(broken)) => broken,
            Err(_) => Broken::Late,
        };
        Err(self.broken(broken, cpu_ms).await)
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
    async fn broken(&mut self, broken: Broken, cpu_ms: u32) -> SqlError {
        let Some(process) = self.process.take() else { return SqlError::unavailable("no process") };
        let unknown = "the database's process ended; whether a change was kept is not known";
        if !matches!(broken, Broken::Gone) {
            (process.kill)();
        }
        let ended = end(process).await;
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

    /// Has the process move its WAL and end.
    async fn sleep(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        self.life.works();
        let _ = process.stream.shutdown().await;
        let ended = end(process).await;
        self.has_ended(ended);
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

    async fn start(&mut self) -> Result<Process, SqlError> {
        if let Some((since, pause)) = self.pause {
            tokio::time::sleep_until((since + pause).into()).await;
        }
        let room = [
            self.room(&self.share.processes, Some(self.app)).await?,
            self.room(&self.inner.processes, None).await?,
        ];
        match self.spawn(room).await {
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

    async fn spawn(&self, room: [OwnedSemaphorePermit; 2]) -> Result<Process, SqlError> {
        let no_process = || SqlError::unavailable("no database process can be made now; try again");
        let jails = self.inner.jails.get().ok_or_else(no_process)?;
        let (share, folder, name) = (Arc::clone(&self.share), self.folder.clone(), self.name.clone());
        let open = move || {
            let opened = files::open(&folder, &name);
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
        let tenant = Tenant { app: self.app, place: self.place.clone(), life: Arc::clone(&self.life) };
        let jailed = jails.store(tenant).await.map_err(|error| {
            tracing::error!(app = %self.app, error, "no process for raw SQL");
            no_process()
        })?;
        let Jailed { socket, exited, kill } = jailed;
        let stream = UnixStream::from_std(socket).map_err(|_| no_process())?;
        let mut process = Process { stream, exited, kill, _room: room };
        let greeted = tokio::time::timeout(START_DEADLINE, greet(&mut process.stream, &opened)).await;
        match greeted {
            Ok(Ok(())) => Ok(process),
            _ => {
                tracing::error!(app = %self.app, file = self.name, "a process for raw SQL does not begin");
                Err(no_process())
            }
        }
    }
}

async fn greet(stream: &mut UnixStream, opened: &Opened) -> std::io::Result<()> {
    let mut word = [0; READY.len()];
    stream.read_exact(&mut word).await?;
    if &word != READY {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let fds = [opened.database.as_fd(), opened.wal.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    // Nothing was sent before: there is room.
    let sent = rustix::net::sendmsg(
        stream.as_fd(),
        &[IoSlice::new(FILES)],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )?;
    if sent == FILES.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
}

async fn converse(stream: &mut UnixStream, request: &[u8]) -> Result<Vec<u8>, Broken> {
    let gone = |_| Broken::Gone;
    stream.write_all(request).await.map_err(gone)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(gone)?;
    let bytes = length(head, ANSWER_BYTES_MAX).map_err(Broken::Hostile)?;
    // Grows with what comes, not with what is announced.
    let mut answer = Vec::with_capacity(bytes.min(SMALL_BYTES));
    let came = stream.take(bytes as u64).read_to_end(&mut answer).await.map_err(gone)?;
    if came == bytes { Ok(answer) } else { Err(Broken::Gone) }
}

async fn end(mut process: Process) -> Option<Ended> {
    tokio::time::timeout(CLOSE_DEADLINE, &mut process.exited).await.ok()?.ok()
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
