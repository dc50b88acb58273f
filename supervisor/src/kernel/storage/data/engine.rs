//! Takes calls from any task, runs them on a few threads, and acknowledges writes when they are on the disk.
//!
//! ```text
//! call ─▶ queue of its app ─▶ ready ─▶ a thread takes a turn: answer, answer, …, one fdatasync, acknowledge
//!   │                           ▲                                     │ more came meanwhile
//!   │                           └─────────────────────────────────────┘ behind the other apps
//!   └─ a read that nothing is in the way of is answered at once, on the thread that it came in on
//! ```
//! One thread at a time works on an app, so nothing waits for a lock inside SQLite. There is no timer: what
//! queued while the disk was busy is the next batch. An answer that may have seen an unsynced write waits with
//! it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::ids::AppId;
use fazt_ipc::syscall::ErrorCode;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use super::super::spare::Spare;
use super::blobs::Stager;
use super::disk::Disk;
use super::error::{DataError, Result};
use super::lanes::{Debt, Lanes};
use super::limits::{
    AT_ONCE, AT_ONCE_BURST, AT_ONCE_SHARE, AT_ONCE_SHARE_OF_ALL, BLOB_THREADS, BUSY_PATIENCE, FORGIVEN,
    HEAVY, OPS_PER_S, QUEUE_MAX, RECLAIMED_PER_LOOK, SLOW_MS, THREADS,
};
use super::look::Reached;
use super::request::{Find, Request, Response, SpaceName};
use super::shelf::{Caller, Shelf};
use super::turn::REMOVED;
use crate::kernel::security::{Actor, Principal};
use crate::kernel::storage::StorageError;
use crate::kernel::storage::quota::Ledger;

/// Tells the time: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The data of all apps.
pub struct Data {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) apps: PathBuf,
    pub(super) cursor_key: [u8; 32],
    pub(super) clock: Clock,
    pub(super) disk: Disk,
    /// What else takes of the apps' quotas.
    pub(super) ledger: Arc<Ledger>,
    blob_threads: Arc<Semaphore>,
    pub(super) slots: Mutex<HashMap<AppId, Arc<Slot>>>,
    /// Apps that were removed. Ids are not used again.
    removed: Mutex<HashSet<AppId>>,
    /// What reads of all apps took that were answered at once.
    at_once: Mutex<Debt>,
    ready: Mutex<Ready>,
    wake: Condvar,
    pub(super) tick: AtomicU64,
}

#[derive(Default)]
struct Ready {
    lanes: Lanes<Arc<Slot>>,
    threads: usize,
    idle: usize,
    stop: bool,
}

/// One app: who waits, and what is open.
pub(super) struct Slot {
    pub(super) app: AppId,
    pub(super) waiting: Mutex<Waiting>,
    pub(super) shelf: Mutex<Option<Shelf>>,
    /// What is open was opened before a deploy.
    pub(super) stale: AtomicBool,
    /// The app goes: nothing is opened any more.
    pub(super) closed: AtomicBool,
    /// The disk failed, and what it has is not known: nothing is written before that is made good.
    pub(super) unsound: AtomicBool,
    /// When that was last tried.
    pub(super) tried: AtomicU64,
    /// Another app needs the memory that this one holds.
    pub(super) shrink: AtomicBool,
    /// Bytes of blobs that are on their way in.
    staging: Arc<AtomicU64>,
    /// Connections of the shelf, for those that do not hold it.
    pub(super) open: AtomicUsize,
    pub(super) used: AtomicU64,
    /// Reads take long just now: they go to the queue until then.
    slow_until: AtomicU64,
    pub(super) expired: AtomicU64,
}

pub(super) struct Waiting {
    pub(super) calls: VecDeque<Job>,
    /// It is among the ready, or a thread has it.
    pub(super) scheduled: bool,
    second: Instant,
    calls_this_second: u32,
    debt: Debt,
    /// What reads took that were answered at once.
    at_once: Debt,
}

/// A call that waits.
pub(super) struct Job {
    pub(super) principal: Principal,
    pub(super) ask: Ask,
    /// Until then it waits for a deploy that has the file.
    pub(super) until: Instant,
    /// How often there was no memory for it.
    pub(super) starved: u32,
    /// It shares no transaction: the one that it shared was undone.
    pub(super) alone: bool,
    pub(super) reply: Answer,
}

/// Where an answer goes.
pub(super) struct Answer {
    pub(super) to: oneshot::Sender<Result<Reply>>,
    /// Who runs the task that waits for it.
    pub(super) home: Handle,
}

/// What is asked.
pub(super) enum Ask {
    Call(Request),
    Explain(SpaceName, String, Find),
    Reach,
}

/// What was found.
pub(super) enum Reply {
    Response(Response),
    Explained(String, Vec<String>),
    Reached(Vec<Reached>),
}

impl Data {
    /// For the apps in this folder. Nothing is opened and no thread started before the first call.
    #[must_use]
    pub(in crate::kernel::storage) fn new(
        apps: PathBuf,
        cursor_key: [u8; 32],
        clock: Clock,
        spare: Option<Spare>,
    ) -> Self {
        Self::on(Disk::real(spare), apps, cursor_key, clock)
    }

    /// On a disk of one's own.
    pub(super) fn on(disk: Disk, apps: PathBuf, cursor_key: [u8; 32], clock: Clock) -> Self {
        let inner = Inner {
            apps,
            cursor_key,
            clock,
            disk,
            ledger: Arc::default(),
            blob_threads: Arc::new(Semaphore::new(BLOB_THREADS)),
            slots: Mutex::default(),
            removed: Mutex::default(),
            at_once: Mutex::new(Debt::none(Instant::now(), AT_ONCE_SHARE_OF_ALL)),
            ready: Mutex::default(),
            wake: Condvar::new(),
            tick: AtomicU64::new(1),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers a call of an app's principal. A write is answered when it is on the disk.
    ///
    /// # Errors
    /// What the app did wrong, or why it cannot be done now. Nothing has changed then, but after `Unavailable`
    /// from a failing disk, when it is not known.
    pub async fn call(&self, actor: Actor, request: Request) -> Result<Response> {
        match self.ask(actor, Ask::Call(request)).await? {
            Reply::Response(response) => Ok(response),
            _ => Err(DataError::unavailable("storage answered something else")),
        }
    }

    /// Answers a call right here, if it only reads and nothing is in its way: nobody waits, everything that it
    /// needs is open, and it takes a moment, with what `make` makes of it; none, if that is too long to be sent at
    /// once. None: [`Self::call`] it.
    #[must_use]
    pub fn at_once<T>(
        &self,
        actor: Actor,
        request: &Request,
        make: impl FnOnce(Result<Response>) -> Option<T>,
    ) -> Option<T> {
        self.inner.at_once(actor, request, make)
    }

    /// The statement that a `find` runs as a principal, and SQLite's plan for it: what the security layer made
    /// of the query.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn explain(
        &self,
        actor: Actor,
        space: SpaceName,
        collection: &str,
        find: Find,
    ) -> Result<(String, Vec<String>)> {
        match self.ask(actor, Ask::Explain(space, collection.to_owned(), find)).await? {
            Reply::Explained(sql, plan) => Ok((sql, plan)),
            _ => Err(DataError::unavailable("storage answered something else")),
        }
    }

    /// The spaces that everything is confined to which a principal asks.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn reached(&self, actor: Actor) -> Result<Vec<Reached>> {
        match self.ask(actor, Ask::Reach).await? {
            Reply::Reached(spaces) => Ok(spaces),
            _ => Err(DataError::unavailable("storage answered something else")),
        }
    }

    async fn ask(&self, actor: Actor, ask: Ask) -> Result<Reply> {
        let (to, answer) = oneshot::channel();
        let now = Instant::now();
        let reply = Answer { to, home: Handle::current() };
        let job = Job {
            principal: actor.principal(),
            ask,
            until: now + BUSY_PATIENCE,
            starved: 0,
            alone: false,
            reply,
        };
        self.inner.submit(actor.app(), job, now)?;
        answer.await.unwrap_or_else(|_| Err(DataError::unavailable("storage is shutting down")))
    }

    /// Takes in the bytes of a blob of an app, up to `room`, which [`Room`](super::blobs::BlobCall::Room) says.
    /// `sums`: names of checksums wanted beside MD5.
    ///
    /// # Errors
    /// When the app was removed.
    pub fn stager(&self, actor: Actor, room: u64, sums: &[&str]) -> Result<Stager> {
        let slot = self.inner.slot(actor.app(), Instant::now())?;
        let folder = self.inner.apps.join(actor.app().to_string()).join("blobs");
        let threads = Arc::clone(&self.inner.blob_threads);
        Ok(Stager::new(folder, room, sums, Arc::clone(&slot.staging), threads))
    }

    /// The threads on which bytes of blobs are read.
    #[must_use]
    pub fn blob_threads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.blob_threads)
    }

    /// An app has another version: what is open of its data is opened anew.
    pub fn reload(&self, app: AppId) {
        if let Some(slot) = lock(&self.inner.slots).get(&app) {
            slot.stale.store(true, Ordering::Release);
        }
    }

    /// Closes an app's data; waits for the turn that uses it. The next call opens it again. On a blocking
    /// thread.
    pub fn close(&self, app: AppId) {
        let slot = lock(&self.inner.slots).get(&app).cloned();
        if let Some(slot) = slot {
            let mut shelf = lock(&slot.shelf);
            shelf.take();
            slot.count(&shelf);
        }
    }

    /// Whether apps may have anything kept: the last bytes of the disk are the kernel's.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.inner.disk.has_room(&self.inner.apps, false)
    }

    /// Makes good what a failed disk left of an app's file, if it did, before somebody else writes it. On a
    /// blocking thread.
    ///
    /// # Errors
    /// When the disk goes on failing, or somebody reads the file just now.
    pub fn make_good(&self, app: AppId) -> std::result::Result<(), StorageError> {
        let slot = lock(&self.inner.slots).get(&app).cloned();
        let Some(slot) = slot.filter(|slot| slot.unsound.load(Ordering::Acquire)) else { return Ok(()) };
        let mut shelf = lock(&slot.shelf);
        let done = self.inner.make_good(&slot, &mut shelf);
        slot.count(&shelf);
        done
    }

    /// Somebody else's sync of an app's file failed: nothing is written before [`Self::make_good`].
    pub fn suspect(&self, app: AppId) {
        if let Ok(slot) = self.inner.slot(app, Instant::now()) {
            slot.unsound.store(true, Ordering::Release);
        }
    }

    /// Closes an app's data for good, because its files are about to be deleted. On a blocking thread.
    pub fn remove(&self, app: AppId) {
        // Before the slot goes, so that no call makes another one.
        lock(&self.inner.removed).insert(app);
        self.inner.ledger.forget(app);
        let slot = lock(&self.inner.slots).remove(&app);
        if let Some(slot) = slot {
            slot.closed.store(true, Ordering::Release);
            lock(&slot.shelf).take();
        }
    }

    /// Whether an app was removed since the server started.
    #[must_use]
    pub fn is_removed(&self, app: AppId) -> bool {
        lock(&self.inner.removed).contains(&app)
    }

    /// Closes what nobody used for a while, after it gave back what it could to the disk. On a blocking thread.
    pub fn close_idle(&self, idle: Duration) {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let now = (self.inner.clock)();
        let slots: Vec<_> = lock(&self.inner.slots).values().cloned().collect();
        let mut pieces = RECLAIMED_PER_LOOK;
        for slot in slots {
            // One that is unsound is not closed as if it were not, nor forgotten.
            if now.saturating_sub(slot.used.load(Ordering::Relaxed)) >= idle_ms
                && !slot.unsound.load(Ordering::Acquire)
                && self.inner.reclaim(&slot, &mut pieces)
                && let Ok(mut shelf) = slot.shelf.try_lock()
            {
                shelf.take();
                slot.count(&shelf);
                drop(shelf);
                let mut slots = lock(&self.inner.slots);
                // Ours and the table's: nobody is about to call.
                if Arc::strong_count(&slot) == 2 && lock(&slot.waiting).calls.is_empty() {
                    slots.remove(&slot.app);
                }
            }
        }
    }

    /// What files of raw SQL take of the apps' quotas.
    pub(in crate::kernel::storage) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.inner.ledger)
    }

    /// Opens a file of an app, if the disk is full with some of the room that is held for it.
    ///
    /// # Errors
    /// Those of `open`.
    pub(in crate::kernel::storage) fn opened<T>(
        &self,
        open: impl FnMut() -> std::result::Result<T, StorageError>,
    ) -> std::result::Result<T, StorageError> {
        self.inner.disk.opened(open)
    }

    /// Holds room again that was given for that and is free.
    pub(in crate::kernel::storage) fn refill(&self) {
        self.inner.disk.refill();
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.connections()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        lock(&self.inner.ready).stop = true;
        self.inner.wake.notify_all();
    }
}

impl Inner {
    fn slot(&self, app: AppId, now: Instant) -> Result<Arc<Slot>> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(&app) {
            return Ok(Arc::clone(slot));
        }
        if lock(&self.removed).contains(&app) {
            return Err(DataError::unavailable(REMOVED));
        }
        let slot = slots.entry(app).or_insert_with(|| {
            let waiting = Waiting {
                calls: VecDeque::new(),
                scheduled: false,
                second: now,
                calls_this_second: 0,
                debt: Debt::none(now, FORGIVEN),
                at_once: Debt::none(now, AT_ONCE_SHARE),
            };
            Arc::new(Slot {
                app,
                waiting: Mutex::new(waiting),
                shelf: Mutex::new(None),
                stale: AtomicBool::new(false),
                closed: AtomicBool::new(false),
                unsound: AtomicBool::new(false),
                tried: AtomicU64::new(0),
                shrink: AtomicBool::new(false),
                staging: Arc::default(),
                open: AtomicUsize::new(0),
                used: AtomicU64::new(0),
                slow_until: AtomicU64::new(0),
                expired: AtomicU64::new(0),
            })
        });
        Ok(Arc::clone(slot))
    }

    fn at_once<T>(
        &self,
        actor: Actor,
        request: &Request,
        make: impl FnOnce(Result<Response>) -> Option<T>,
    ) -> Option<T> {
        if !request.reads_rows() {
            return None;
        }
        let slot = lock(&self.slots).get(&actor.app()).cloned()?;
        let began = Instant::now();
        let now_ms = (self.clock)();
        if slot.stale.load(Ordering::Acquire) || now_ms < slot.slow_until.load(Ordering::Relaxed) {
            return None;
        }
        if lock(&self.at_once).reaches(AT_ONCE_BURST, began) {
            return None;
        }
        let mut shelf = slot.shelf.try_lock().ok()?;
        let mut waiting = lock(&slot.waiting);
        if waiting.scheduled || waiting.at_once.reaches(AT_ONCE_BURST, began) || !waiting.admits(began) {
            return None;
        }
        drop(waiting);
        let caller = Caller {
            principal: actor.principal(),
            now_ms,
            tick: self.tick.fetch_add(1, Ordering::Relaxed),
            cursor_key: &self.cursor_key,
        };
        let read = || shelf.as_mut()?.read_at_once(&caller, request, AT_ONCE);
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|_| {
            tracing::error!(app = %slot.app, "a read of data panicked");
            shelf.take();
            None
        });
        slot.count(&shelf);
        drop(shelf);
        slot.used.store(now_ms, Ordering::Relaxed);
        let read = answer.is_some();
        let answer = answer.and_then(make);
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        lock(&self.at_once).add(took, now);
        lock(&slot.waiting).at_once.add(took, now);
        if took >= AT_ONCE || (read && answer.is_none()) {
            slot.slow_until.store((self.clock)() + SLOW_MS, Ordering::Relaxed);
        }
        answer
    }

    fn submit(self: &Arc<Self>, app: AppId, job: Job, now: Instant) -> Result<()> {
        let slot = self.slot(app, now)?;
        let mut waiting = lock(&slot.waiting);
        if !waiting.admits(now) || waiting.calls.len() >= QUEUE_MAX {
            let message = "the app asks its storage for more than it answers; slow down";
            return Err(DataError::new(ErrorCode::RateLimited, message));
        }
        waiting.calls.push_back(job);
        if waiting.scheduled {
            return Ok(());
        }
        waiting.scheduled = true;
        let heavy = waiting.debt.reaches(HEAVY, now);
        drop(waiting);
        self.enqueue(slot, heavy)
    }

    fn enqueue(self: &Arc<Self>, slot: Arc<Slot>, heavy: bool) -> Result<()> {
        let mut ready = lock(&self.ready);
        ready.lanes.push(slot, heavy);
        if ready.idle >= ready.lanes.len() || ready.threads >= THREADS {
            self.wake.notify_one();
            return Ok(());
        }
        let inner = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("fazt-data".into()).spawn(move || inner.work());
        match spawned {
            Ok(_) => ready.threads += 1,
            Err(error) if ready.threads == 0 => {
                tracing::error!(%error, "no thread for storage");
                if let Some(slot) = ready.lanes.take_back(heavy) {
                    let mut waiting = lock(&slot.waiting);
                    waiting.scheduled = false;
                    waiting.calls.clear();
                }
                return Err(DataError::unavailable("the server has no thread left for storage"));
            }
            // Those that run take it in their turn.
            Err(_) => self.wake.notify_one(),
        }
        Ok(())
    }

    fn work(&self) {
        let mut ready = lock(&self.ready);
        loop {
            let (slot, heavy) = loop {
                if ready.stop {
                    return;
                }
                if let Some(next) = ready.lanes.pop() {
                    break next;
                }
                ready.idle += 1;
                ready = self.wake.wait(ready).unwrap_or_else(PoisonError::into_inner);
                ready.idle -= 1;
            };
            drop(ready);
            // A panic is one call's: its caller is told by the channel that goes away.
            let turn = std::panic::AssertUnwindSafe(|| self.turn(&slot));
            let used = std::panic::catch_unwind(turn).unwrap_or_else(|_| {
                tracing::error!(app = %slot.app, "a call on data panicked");
                lock(&slot.shelf).take();
                Duration::ZERO
            });
            let mut waiting = lock(&slot.waiting);
            let now = Instant::now();
            waiting.debt.add(used, now);
            waiting.scheduled = !waiting.calls.is_empty();
            let more = waiting.scheduled.then(|| waiting.debt.reaches(HEAVY, now));
            drop(waiting);
            ready = lock(&self.ready);
            ready.lanes.done(heavy);
            if let Some(heavy) = more {
                ready.lanes.push(slot, heavy);
            }
            // One of them is this thread's.
            if ready.idle > 0 && ready.lanes.len() > 1 {
                self.wake.notify_one();
            }
        }
    }

    /// Connections open now.
    pub(super) fn connections(&self) -> usize {
        lock(&self.slots).values().map(|slot| slot.open.load(Ordering::Relaxed)).sum()
    }
}

impl Waiting {
    /// Counts a call. Whether the app keeps to its rate.
    fn admits(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.calls_this_second = 0;
        }
        self.calls_this_second = self.calls_this_second.saturating_add(1);
        self.calls_this_second <= OPS_PER_S
    }
}

impl Slot {
    pub(super) fn count(&self, shelf: &Option<Shelf>) {
        self.open.store(shelf.as_ref().map_or(0, Shelf::connections), Ordering::Relaxed);
    }
}

/// A panic leaves a queue as it was and a database as its last transaction left it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
