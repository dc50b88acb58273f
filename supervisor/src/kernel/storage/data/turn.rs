//! A turn of an app: some of its calls, then the disk.
//!
//! ```text
//! call, call, call of one principal: one transaction ─▶ commit ─▶ … ─▶ one fdatasync ─▶ answers
//! ```
//! What many calls change in a row is written once: a transaction goes on as long as the next call is of the same
//! principal. A call that fails is undone by itself. Should SQLite give up the whole transaction for it, the
//! others are run again, each alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fazt_ipc::ids::AppId;
use tokio::runtime::Handle;

use super::engine::{Answer, Ask, Inner, Job, Reply, Slot, lock};
use super::error::{DataError, NO_ROOM, Result};
use super::limits::{
    CONNECTIONS_MAX, FREE_PAGES_KEPT, FREE_PAGES_KEPT_IDLE, RECOVER_MS, STARVED_PAUSE, STARVED_TRIES, TURN,
    TURN_CALLS_MAX,
};
use super::shelf::{self, Again, Caller, Shelf};
use crate::kernel::security::Principal;
use crate::kernel::storage::StorageError;

/// How often expired keys of an app are removed.
const EXPIRE_MS: u64 = 60_000;
/// How long an answer that is ready waits for others, so that they go together.
const HAND_OUT: Duration = Duration::from_millis(1);
/// What a call of an app is told that goes.
pub(super) const REMOVED: &str = "the app was removed";

/// What a call came to.
struct Ran {
    result: Result<Reply>,
    wrote: bool,
    again: Again,
    undone: bool,
}

impl Ran {
    fn refused(error: DataError) -> Self {
        Self { result: Err(error), wrote: false, again: Again::No, undone: false }
    }
}

/// The answers of a turn that nobody has been given yet.
#[derive(Default)]
struct Held {
    /// Of the transaction that is open.
    open: Vec<(Job, Result<Reply>)>,
    /// They wait for the disk.
    kept: Vec<(Answer, Result<Reply>)>,
    /// They wait for the thread that they go to to be woken once for several.
    ready: Vec<(Answer, Result<Reply>)>,
}

impl Held {
    /// Commits what is open. If that fails, its calls wait again in their order, to be run each alone.
    fn commit(&mut self, slot: &Slot, shelf: Option<&mut Shelf>) {
        let Some(shelf) = shelf else { return self.again(slot) };
        match shelf.commit() {
            Ok(()) => self.kept.extend(self.open.drain(..).map(|(job, result)| (job.reply, result))),
            Err(error) if self.open.len() == 1 => {
                self.kept.extend(self.open.drain(..).map(|(job, _)| (job.reply, Err(error.clone()))));
            }
            Err(_) => self.again(slot),
        }
    }

    /// The calls of what was open wait again, to be run each alone.
    fn again(&mut self, slot: &Slot) {
        let mut waiting = lock(&slot.waiting);
        for (mut job, _) in self.open.drain(..).rev() {
            job.alone = true;
            waiting.calls.push_front(job);
        }
    }

    fn hand_out_ready(&mut self) {
        hand_out(std::mem::take(&mut self.ready));
    }

    /// Whether what is read now may be of a write that is on no disk.
    fn holds_writes(&self) -> bool {
        !self.open.is_empty() || !self.kept.is_empty()
    }
}

impl Drop for Held {
    /// A call that panics takes nobody's answer with it that is known.
    fn drop(&mut self) {
        self.hand_out_ready();
    }
}

/// Gives answers to the tasks that wait for them. Each runtime is woken once: one that is woken for every answer
/// takes turns with this thread, and sends its worker one at a time.
fn hand_out(answers: Vec<(Answer, Result<Reply>)>) {
    let mut homes: Vec<(Handle, Vec<_>)> = Vec::new();
    for (Answer { to, home }, result) in answers {
        match homes.iter_mut().find(|(known, _)| known.id() == home.id()) {
            Some((_, answers)) => answers.push((to, result)),
            None => homes.push((home, vec![(to, result)])),
        }
    }
    for (home, answers) in homes {
        home.spawn(async move {
            for (to, result) in answers {
                // Nobody may be waiting any more.
                let _ = to.send(result);
            }
        });
    }
}

impl Job {
    /// Whether it touches a few rows at most.
    fn is_quick(&self) -> bool {
        matches!(&self.ask, Ask::Call(request) if request.is_quick())
    }

    /// Whether it goes on with the transaction that is open.
    fn joins(&self, shelf: &Shelf) -> bool {
        matches!(&self.ask, Ask::Call(request) if !self.alone && shelf.joins(self.principal, request))
    }
}

impl Inner {
    /// Answers some calls of an app. Gives the time that they took, without that of the disk.
    pub(super) fn turn(&self, slot: &Slot) -> Duration {
        let mut shelf = lock(&slot.shelf);
        if slot.stale.swap(false, Ordering::AcqRel) {
            shelf.take();
        }
        let now_ms = (self.clock)();
        slot.used.store(now_ms, Ordering::Relaxed);
        let sound = self.is_sound(slot, &mut shelf, now_ms);
        let started = Instant::now();
        let mut held = Held::default();
        let mut synced = Ok(());
        let (mut calls, mut handed_out) = (0, started);
        while calls < TURN_CALLS_MAX {
            let Some(mut job) = lock(&slot.waiting).calls.pop_front() else { break };
            if job.reply.to.is_closed() {
                continue;
            }
            if shelf.as_ref().is_some_and(|shelf| shelf.is_open() && !job.joins(shelf)) {
                // If it fails, those that are to be run again come first.
                lock(&slot.waiting).calls.push_front(job);
                held.commit(slot, shelf.as_mut());
                continue;
            }
            calls += 1;
            if !job.is_quick() || handed_out.elapsed() >= HAND_OUT {
                // What is ready does not wait for a call that may take long.
                held.hand_out_ready();
                handed_out = Instant::now();
            }
            if let Some(error) = self.refusal(&job.ask, shelf.as_ref(), sound) {
                held.ready.push((job.reply, Err(error)));
                continue;
            }
            let mut ran = self.run(slot, &mut shelf, &job);
            slot.count(&shelf);
            if ran.undone {
                let late = started.elapsed() >= TURN || shelf.as_ref().is_some_and(|shelf| shelf.broken);
                if ran.again == Again::Starved {
                    self.relieve(slot, &mut shelf, job.principal);
                }
                job.alone = true;
                lock(&slot.waiting).calls.push_front(job);
                held.again(slot);
                if late {
                    break;
                }
                continue;
            }
            match ran.again {
                Again::No => {}
                Again::Stale => {
                    held.commit(slot, shelf.as_mut());
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
                    held.commit(slot, shelf.as_mut());
                    self.relieve(slot, &mut shelf, job.principal);
                    ran = self.run(slot, &mut shelf, &job);
                    if ran.again == Again::Starved && job.starved < STARVED_TRIES {
                        // Those that hold it are told, and do something just now.
                        job.starved += 1;
                        held.hand_out_ready();
                        std::thread::sleep(STARVED_PAUSE);
                        lock(&slot.waiting).calls.push_back(job);
                        break;
                    }
                }
            }
            if shelf.as_ref().is_some_and(Shelf::is_open) {
                let alone = job.alone;
                held.open.push((job, ran.result));
                if alone {
                    held.commit(slot, shelf.as_mut());
                }
            } else if ran.wrote || held.holds_writes() {
                held.kept.push((job.reply, ran.result));
            } else {
                held.ready.push((job.reply, ran.result));
            }
            if slot.shrink.swap(false, Ordering::Relaxed)
                && let Some(shelf) = shelf.as_mut()
            {
                held.commit(slot, Some(shelf));
                shelf.shrink(None);
            }
            if shelf.as_ref().is_some_and(|shelf| shelf.broken) || started.elapsed() >= TURN {
                break;
            }
        }
        held.commit(slot, shelf.as_mut());
        held.hand_out_ready();
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
        if synced.is_err() {
            let why = "the server's disk failed; whether the change was kept is not known";
            held.kept.iter_mut().for_each(|(_, result)| *result = Err(DataError::unavailable(why)));
        }
        hand_out(std::mem::take(&mut held.kept));
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

    pub(super) fn make_good(
        &self,
        slot: &Slot,
        shelf: &mut Option<Shelf>,
    ) -> std::result::Result<(), StorageError> {
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
    pub(super) fn reclaim(&self, slot: &Slot, pieces: &mut u32) -> bool {
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
                Ran { result, wrote: outcome.wrote, again: outcome.again, undone: outcome.undone }
            }
            Ask::Explain(space, collection, find) => {
                let explained = open.explain_find(&caller, *space, collection, find);
                let result = explained.map(|(sql, plan)| Reply::Explained(sql, plan));
                Ran { result, wrote: false, again: Again::No, undone: false }
            }
            Ask::Reach => {
                let result = open.reached(job.principal).map(Reply::Reached);
                Ran { result, wrote: false, again: Again::No, undone: false }
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
}
