//! Takes calls from any task, runs them on a few threads, and acknowledges writes when they are on the disk.
//!
//! ```text
//! call ─▶ queue of its app ─▶ ready ─▶ a thread takes a turn: answer, answer, …, one fdatasync, acknowledge
//!                               ▲                                     │ more came meanwhile
//!                               └─────────────────────────────────────┘ behind the other apps
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
use tokio::sync::{Semaphore, oneshot};

use super::super::spare::Spare;
use super::blobs::Stager;
use super::disk::Disk;
use super::error::{DataError, NO_ROOM, Result};
use super::lanes::{Debt, Lanes};
use super::limits::{
    BLOB_THREADS, BUSY_PATIENCE, CONNECTIONS_MAX, FREE_PAGES_KEPT, FREE_PAGES_KEPT_IDLE, OPS_PER_S,
    QUEUE_MAX, RECLAIMED_PER_LOOK, RECOVER_MS, STARVED_PAUSE, STARVED_TRIES, THREADS, TURN, TURN_CALLS_MAX,
};
use super::look::Reached;
use super::request::{Find, Request, Response, SpaceName};
use super::shelf::{self, Again, Caller, Shelf};
use crate::kernel::security::{Actor, Principal};
use crate::kernel::storage::StorageError;
use crate::kernel::storage::quota::Ledger;

/// How often expired keys of an app are removed.
const EXPIRE_MS: u64 = 60_000;
/// What a call of an app is told that goes.
const REMOVED: &str = "the app was removed";

/// Tells the time: milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The data of all apps.
pub struct Data {
    inner: Arc<Inner>,
}

struct Inner {
    apps: PathBuf,
    cursor_key: [u8; 32],
    clock: Clock,
    disk: Disk,
    /// What else takes of the apps' quotas.
    ledger: Arc<Ledger>,
    blob_threads: Arc<Semaphore>,
    slots: Mutex<HashMap<AppId, Arc<Slot>>>,
    /// Apps that were removed. Ids are not used again.
    removed: Mutex<HashSet<AppId>>,
    ready: Mutex<Ready>,
    wake: Condvar,
    tick: AtomicU64,
}

#[derive(Default)]
struct Ready {
    lanes: Lanes<Arc<Slot>>,
    threads: usize,
    idle: usize,
    stop: bool,
}

/// One app: who waits, and what is open.
struct Slot {
    app: AppId,
    waiting: Mutex<Waiting>,
    shelf: Mutex<Option<Shelf>>,
    /// What is open was opened before a deploy.
    stale: AtomicBool,
    /// The app goes: nothing is opened any more.
    closed: AtomicBool,
    /// The disk failed, and what it has is not known: nothing is written before that is made good.
    unsound: AtomicBool,
    /// When that was last tried.
    tried: AtomicU64,
    /// Another app needs the memory that this one holds.
    shrink: AtomicBool,
    /// Bytes of blobs that are on their way in.
    staging: Arc<AtomicU64>,
    /// Connections of the shelf, for those that do not hold it.
    open: AtomicUsize,
    used: AtomicU64,
    expired: AtomicU64,
}

struct Waiting {
    calls: VecDeque<Job>,
    /// It is among the ready, or a thread has it.
    scheduled: bool,
    second: Instant,
    calls_this_second: u32,
    debt: Debt,
}

/// A call that waits.
struct Job {
    principal: Principal,
    ask: Ask,
    /// Until then it waits for a deploy that has the file.
    until: Instant,
    /// How often there was no memory for it.
    starved: u32,
    reply: oneshot::Sender<Result<Reply>>,
}

/// What a call came to.
struct Ran {
    result: Result<Reply>,
    wrote: bool,
    again: Again,
}

impl Ran {
    fn refused(error: DataError) -> Self {
        Self { result: Err(error), wrote: false, again: Again::No }
    }
}

enum Ask {
    Call(Request),
    Explain(SpaceName, String, Find),
    Reach,
}

enum Reply {
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
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let job = Job { principal: actor.principal(), ask, until: now + BUSY_PATIENCE, starved: 0, reply };
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
                debt: Debt::none(now),
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
                expired: AtomicU64::new(0),
            })
        });
        Ok(Arc::clone(slot))
    }

    fn submit(self: &Arc<Self>, app: AppId, job: Job, now: Instant) -> Result<()> {
        let slot = self.slot(app, now)?;
        let mut waiting = lock(&slot.waiting);
        if now.saturating_duration_since(waiting.second) >= Duration::from_secs(1) {
            waiting.second = now;
            waiting.calls_this_second = 0;
        }
        waiting.calls_this_second = waiting.calls_this_second.saturating_add(1);
        if waiting.calls.len() >= QUEUE_MAX || waiting.calls_this_second > OPS_PER_S {
            let message = "the app asks its storage for more than it answers; slow down";
            return Err(DataError::new(ErrorCode::RateLimited, message));
        }
        waiting.calls.push_back(job);
        if waiting.scheduled {
            return Ok(());
        }
        waiting.scheduled = true;
        let heavy = waiting.debt.is_heavy(now);
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
            let more = waiting.scheduled.then(|| waiting.debt.is_heavy(now));
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

    /// Answers some calls of an app. Gives the time that they took, without that of the disk.
    fn turn(&self, slot: &Slot) -> Duration {
        let mut shelf = lock(&slot.shelf);
        if slot.stale.swap(false, Ordering::AcqRel) {
            shelf.take();
        }
        let now_ms = (self.clock)();
        slot.used.store(now_ms, Ordering::Relaxed);
        let sound = self.is_sound(slot, &mut shelf, now_ms);
        let started = Instant::now();
        // Answers that wait for the disk, and whether it ever failed.
        let mut held = Vec::new();
        let mut synced = Ok(());
        for _ in 0..TURN_CALLS_MAX {
            let Some(mut job) = lock(&slot.waiting).calls.pop_front() else { break };
            if job.reply.is_closed() {
                continue;
            }
            if let Some(error) = self.refusal(&job.ask, shelf.as_ref(), sound) {
                let _ = job.reply.send(Err(error));
                continue;
            }
            let mut ran = self.run(slot, &mut shelf, &job);
            slot.count(&shelf);
            match ran.again {
                Again::No => {}
                Again::Stale => {
                    synced = self.sync(&mut shelf);
                    if synced.is_err() {
                        lock(&slot.waiting).calls.push_front(job);
                        break;
                    }
                    shelf.take();
                    ran = self.run(slot, &mut shelf, &job);
                }
                Again::Busy if started < job.until => {
                    // Behind those that only read.
                    lock(&slot.waiting).calls.push_back(job);
                    break;
                }
                Again::Busy => {}
                Again::Starved => {
                    self.relieve(slot, &mut shelf, job.principal);
                    ran = self.run(slot, &mut shelf, &job);
                    if ran.again == Again::Starved && job.starved < STARVED_TRIES {
                        // Those that hold it are told, and do something just now.
                        job.starved += 1;
                        std::thread::sleep(STARVED_PAUSE);
                        lock(&slot.waiting).calls.push_back(job);
                        break;
                    }
                }
            }
            if slot.shrink.swap(false, Ordering::Relaxed)
                && let Some(shelf) = shelf.as_mut()
            {
                shelf.shrink(None);
            }
            if ran.wrote || !held.is_empty() {
                held.push((job.reply, ran.result));
            } else {
                // Nobody may be waiting any more.
                let _ = job.reply.send(ran.result);
            }
            if shelf.as_ref().is_some_and(|shelf| shelf.broken) || started.elapsed() >= TURN {
                break;
            }
        }
        let used = started.elapsed();
        synced = synced.and_then(|()| self.sync(&mut shelf));
        if let Err(error) = &synced {
            tracing::error!(app = %slot.app, %error, "writes did not reach the disk");
            slot.unsound.store(true, Ordering::Release);
            slot.tried.store(0, Ordering::Relaxed);
            if let Some(shelf) = shelf.take() {
                shelf.abandon();
            }
        }
        for (reply, result) in held {
            let result = match &synced {
                Ok(()) => result,
                Err(_) => Err(DataError::unavailable(
                    "the server's disk failed; whether the change was kept is not known",
                )),
            };
            let _ = reply.send(result);
        }
        if shelf.as_ref().is_some_and(|shelf| shelf.broken) {
            // A file put right from a backup must be seen at the next try.
            shelf.take();
        }
        slot.count(&shelf);
        let last = slot.expired.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last) >= EXPIRE_MS {
            slot.expired.store(now_ms, Ordering::Relaxed);
            if last > 0
                && sound
                && let Some(shelf) = shelf.as_mut()
            {
                shelf.expire(now_ms);
                if self.disk.has_room(&self.apps, true) {
                    shelf.reclaim(FREE_PAGES_KEPT);
                }
            }
        }
        used
    }

    /// Why a write is not even tried.
    fn refusal(&self, ask: &Ask, shelf: Option<&Shelf>, sound: bool) -> Option<DataError> {
        let Ask::Call(request) = ask else { return None };
        if !request.writes() {
            return None;
        }
        if !sound {
            return Some(DataError::unavailable(
                "the server's disk failed: nothing is written before it works again; reading goes on",
            ));
        }
        if self.disk.has_room(&self.apps, false) {
            return None;
        }
        // What fits into pages that are free in the file makes it no larger.
        let frees = request.frees() || shelf.is_some_and(Shelf::has_free_pages);
        let room = frees && self.disk.has_room(&self.apps, true);
        (!room).then(|| DataError::unavailable(NO_ROOM))
    }

    fn sync(&self, shelf: &mut Option<Shelf>) -> std::io::Result<()> {
        shelf.as_mut().map_or(Ok(()), |shelf| shelf.sync(&self.disk))
    }

    /// Whether it is known what the disk has; tries to make it so when it is not.
    fn is_sound(&self, slot: &Slot, shelf: &mut Option<Shelf>, now_ms: u64) -> bool {
        if !slot.unsound.load(Ordering::Acquire) {
            return true;
        }
        if now_ms.saturating_sub(slot.tried.load(Ordering::Relaxed)) < RECOVER_MS {
            return false;
        }
        slot.tried.store(now_ms, Ordering::Relaxed);
        self.make_good(slot, shelf).is_ok()
    }

    fn make_good(&self, slot: &Slot, shelf: &mut Option<Shelf>) -> std::result::Result<(), StorageError> {
        if let Some(shelf) = shelf.take() {
            shelf.abandon();
        }
        match self.disk.recover(&self.file(slot.app)) {
            Ok(()) => {
                tracing::info!(app = %slot.app, "the disk works again; what it has was made good");
                slot.unsound.store(false, Ordering::Release);
                Ok(())
            }
            Err(error) => {
                tracing::error!(app = %slot.app, %error, "the disk goes on failing; writes are refused");
                Err(error)
            }
        }
    }

    /// Gives pages of an idle file back, in at most so many pieces: whoever calls meanwhile waits for one of them.
    /// Whether nothing is left to do and nobody calls.
    fn reclaim(&self, slot: &Slot, pieces: &mut u32) -> bool {
        loop {
            if lock(&slot.waiting).scheduled {
                return false;
            }
            let Ok(mut shelf) = slot.shelf.try_lock() else { return false };
            let Some(open) = shelf.as_mut() else { return true };
            let little = open.free_pages().map_or(true, |free| free <= FREE_PAGES_KEPT_IDLE);
            if little || !self.disk.has_room(&self.apps, true) {
                return true;
            }
            if *pieces == 0 {
                return false;
            }
            *pieces -= 1;
            if !open.reclaim(FREE_PAGES_KEPT_IDLE) {
                return true;
            }
        }
    }

    fn file(&self, app: AppId) -> PathBuf {
        self.apps.join(app.to_string()).join("app.fazt")
    }

    /// SQLite has no memory left for a call: closes what nobody uses just now, of this app all but the caller's.
    fn relieve(&self, slot: &Slot, own: &mut Option<Shelf>, principal: Principal) {
        let slots: Vec<_> = lock(&self.slots).values().cloned().collect();
        for other in slots.iter().filter(|other| other.app != slot.app) {
            match other.shelf.try_lock() {
                Ok(mut shelf) => {
                    if let Some(open) = shelf.as_mut() {
                        open.shrink(None);
                    }
                    other.count(&shelf);
                }
                Err(_) => other.shrink.store(true, Ordering::Relaxed),
            }
        }
        if let Some(own) = own {
            own.shrink(Some(principal));
        }
        slot.count(own);
    }

    fn run(&self, slot: &Slot, shelf: &mut Option<Shelf>, job: &Job) -> Ran {
        let open = match shelf {
            Some(open) => open,
            _ if slot.closed.load(Ordering::Acquire) => return Ran::refused(DataError::unavailable(REMOVED)),
            closed => {
                self.make_room(slot, None, 2);
                let (file, account) = (self.file(slot.app), self.ledger.of(slot.app));
                match self.disk.opened(|| Shelf::open(slot.app, &file, Arc::clone(&account))) {
                    Ok(open) => closed.insert(open),
                    Err(error) => {
                        let again = if matches!(error, StorageError::Starved(_)) {
                            Again::Starved
                        } else {
                            Again::No
                        };
                        return Ran { again, ..Ran::refused(shelf::refused(&error)) };
                    }
                }
            }
        };
        if !open.has(job.principal) {
            self.make_room(slot, Some(open), 1);
        }
        let caller = Caller {
            principal: job.principal,
            now_ms: (self.clock)(),
            tick: self.tick.fetch_add(1, Ordering::Relaxed),
            cursor_key: &self.cursor_key,
        };
        match &job.ask {
            Ask::Call(request) => {
                let outcome = open.run(&caller, request);
                let result = outcome.result.map(Reply::Response);
                Ran { result, wrote: outcome.wrote, again: outcome.again }
            }
            Ask::Explain(space, collection, find) => {
                let explained = open.explain_find(&caller, *space, collection, find);
                let result = explained.map(|(sql, plan)| Reply::Explained(sql, plan));
                Ran { result, wrote: false, again: Again::No }
            }
            Ask::Reach => {
                let result = open.reached(job.principal).map(Reply::Reached);
                Ran { result, wrote: false, again: Again::No }
            }
        }
    }

    /// Closes the connections that were used least recently until there is room for `more`. Those in use by
    /// other threads stay, so that nobody waits here.
    fn make_room(&self, slot: &Slot, mut own: Option<&mut Shelf>, more: usize) {
        while self.connections() + more > CONNECTIONS_MAX {
            let slots: Vec<_> = lock(&self.slots).values().cloned().collect();
            let oldest = slots
                .iter()
                .filter(|other| other.app != slot.app)
                .filter_map(|other| {
                    let shelf = other.shelf.try_lock().ok()?;
                    // An app of which only the kernel's connection is open goes first.
                    Some((shelf.as_ref()?.oldest().unwrap_or(0), other))
                })
                .min_by_key(|(used, _)| *used);
            let mine = own.as_ref().and_then(|own| own.oldest());
            match (oldest, mine) {
                (Some((used, other)), mine) if mine.is_none_or(|mine| used <= mine) => {
                    let Ok(mut shelf) = other.shelf.try_lock() else { continue };
                    if let Some(open) = shelf.as_mut() {
                        open.close_oldest();
                        if open.oldest().is_none() {
                            shelf.take();
                        }
                    }
                    other.count(&shelf);
                }
                (_, Some(_)) => {
                    if let Some(own) = own.as_deref_mut() {
                        own.close_oldest();
                        slot.open.store(own.connections(), Ordering::Relaxed);
                    }
                }
                // Everything is in use: more than the bound for a moment.
                (_, None) => return,
            }
        }
    }

    /// Connections open now.
    fn connections(&self) -> usize {
        lock(&self.slots).values().map(|slot| slot.open.load(Ordering::Relaxed)).sum()
    }
}

impl Slot {
    fn count(&self, shelf: &Option<Shelf>) {
        self.open.store(shelf.as_ref().map_or(0, Shelf::connections), Ordering::Relaxed);
    }
}

/// A panic leaves a queue as it was and a database as its last transaction left it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
