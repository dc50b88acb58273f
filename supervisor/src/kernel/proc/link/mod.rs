//! The supervisor's side of the wire to one worker: one task, one socket.
//!
//! `slot/` starts links and decides what they are for; the edge opens requests through [`Link::open`] and
//! reads answers through [`Exchange`] and [`WorkerBody`]. The hot path makes no task, no channel and no system
//! call: a request is encoded into the link's write buffer, the link's task is woken once and writes once for
//! all requests that came in the same turn, and one read brings all answers.
//!
//! | task | file |
//! |---|---|
//! | what is legal, and what follows from it | `wire/` (no IO) |
//! | one request's stream | `entry.rs` |
//! | one worker's system calls | `calls.rs`, answered in `answers.rs` |
//! | memory that calls may take | `allowance.rs` |
//! | socket, deadlines, end | `task.rs` |
//! | what the edge holds | `exchange.rs` |

mod allowance;
mod answers;
mod calls;
mod entry;
mod exchange;
mod task;
mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use fazt_ipc::ids::{Generation, RequestId};
use fazt_ipc::syscall::CallError;
use fazt_ipc::wire::worker::{Done, Loaded, Ready};
use fazt_ipc::wire::{Failure, KernelKind, Phase, WireError};

use super::DispatchError;
use super::launcher::Exit;
use crate::kernel::security::Actor;
use crate::kernel::syscall::{Calls, WholeAnswer};

pub(crate) use allowance::{Allowance, Total};
pub(crate) use exchange::Exchange;
pub use exchange::WorkerBody;
pub(crate) use task::run;
pub(crate) use wire::Ticket;
pub(crate) use wire::{Effect, Line, NotOpened, Opening, Tap, What, Wire};

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What the app said, unless it failed.
    pub(crate) outcome: Result<Done, DispatchError>,
    /// The app does not want it tried again.
    pub(crate) no_retry: bool,
    /// Why it failed, in a line.
    pub(crate) reason: String,
}

/// Why a worker's link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The worker ended by itself.
    Closed,
    /// It broke the protocol.
    Violation(WireError),
    /// It did not keep a limit that it should have kept by itself.
    Deadline(&'static str),
    /// It is torn after running out of CPU time or memory.
    Torn,
    /// The app did not load.
    LoadFailed,
    /// The supervisor wanted it gone.
    Ordered,
}

/// Whoever a link works for: the slot of one app and principal. Called from the link's task; must not block.
pub(crate) trait Owner: Send + Sync {
    /// The worker says what it is.
    fn ready(&self, ready: Ready);
    /// The app's top level ran.
    fn loaded(&self, generation: Generation, loaded: Loaded);
    /// The app did not load. `ended` follows.
    fn load_failed(&self, failure: Failure);
    /// A request failed.
    fn failed(&self, request: RequestId, failure: Failure);
    /// A request failed for a reason that the supervisor found.
    fn fault(&self, request: Option<RequestId>, text: String);
    /// A log line.
    fn log(&self, request: Option<RequestId>, line: Line);
    /// The worker can take requests that it could not take before.
    fn freed(&self);
    /// The worker has used its core up for a while, with several requests open.
    fn crowded(&self);
    /// The worker takes no more requests: it is torn or stuck.
    fn retired(&self, generation: Generation);
    /// It is over. `exit` is missing when the launcher did not tell in time.
    fn ended(&self, generation: Generation, end: End, exit: Option<Exit>);
    /// Who answers its calls.
    fn calls(&self) -> Arc<dyn Calls>;
    /// Whom it acts for, and in which app.
    fn actor(&self) -> Actor;
}

/// Limits that the supervisor holds a worker to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// CPU time of one request.
    pub(crate) cpu: Duration,
    /// Wall time of one request.
    pub(crate) wall: Duration,
    /// Whether a second worker could help a busy one.
    pub(crate) may_grow: bool,
}

/// One worker, as the rest of the supervisor holds it.
pub(crate) struct Link {
    /// Its number.
    pub(crate) generation: Generation,
    /// As the host sees it.
    pub(crate) pid: u32,
    pub(crate) budget: Budget,
    /// What its calls may make the supervisor hold.
    allowance: Allowance,
    born: Instant,
    inner: Mutex<Inner>,
    memory_bytes: AtomicU64,
    cpu_us: AtomicU64,
    /// It used its core up when that was last counted.
    crowded: AtomicBool,
}

struct Inner {
    wire: Wire,
    /// The link's task, while it sleeps.
    task: Option<Waker>,
    /// Somebody wants it gone.
    order: Option<Order>,
    /// When a request was last opened or settled.
    active: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Kill,
    Drain,
    /// It broke the protocol in a way that showed late.
    Breach(WireError),
}

impl Link {
    /// For a worker that is locked and has said so or is about to.
    pub(crate) fn new(
        generation: Generation,
        pid: u32,
        budget: Budget,
        allowance: Allowance,
        wire: Wire,
    ) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            generation,
            pid,
            budget,
            allowance,
            born: now,
            inner: Mutex::new(Inner { wire, task: None, order: None, active: now }),
            memory_bytes: AtomicU64::new(0),
            cpu_us: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a request on this worker.
    pub(crate) fn open(self: &Arc<Self>, opening: &Opening<'_>) -> Result<Ticket, NotOpened> {
        let now = Instant::now();
        let mut inner = self.inner();
        let ticket = inner.wire.open(opening, now + self.budget.wall)?;
        inner.active = now;
        inner.kick();
        Ok(ticket)
    }

    /// Puts messages for the worker together, in one go, and wakes the task.
    pub(crate) fn send(
        &self,
        fill: impl FnOnce(&mut Wire) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let mut inner = self.inner();
        let sent = fill(&mut inner.wire);
        inner.kick();
        sent
    }

    /// Sends a whole answer to a call, if it is short enough for that. It changed nothing, so that it may be asked
    /// for again if not.
    fn send_at_once(&self, stream: u32, outcome: Result<WholeAnswer, CallError>) -> bool {
        let (outcome, bytes) = match outcome {
            Ok((reply, bytes)) => (Ok(reply), bytes),
            Err(error) => (Err(error), None),
        };
        let mut inner = self.inner();
        let sent = inner.wire.reply_whole(stream, &outcome, bytes.as_deref());
        inner.kick();
        sent
    }

    /// Requests open on it, if it takes any more.
    pub(crate) fn load(&self) -> Option<usize> {
        let inner = self.inner();
        inner.wire.accepting().then(|| inner.wire.open_streams())
    }

    /// Requests that it has not settled.
    pub(crate) fn open_streams(&self) -> usize {
        self.inner().wire.open_streams()
    }

    /// Requests that it has settled.
    pub(crate) fn answered(&self) -> u64 {
        self.inner().wire.answered()
    }

    /// Since when nothing was open; none: something is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let inner = self.inner();
        (inner.wire.open_streams() == 0 && inner.wire.phase() == Phase::Running).then_some(inner.active)
    }

    /// Whether the app's top level has run.
    pub(crate) fn is_loaded(&self) -> bool {
        self.inner().wire.phase() >= Phase::Running
    }

    /// When it was last given a request or settled one.
    pub(crate) fn active(&self) -> Instant {
        self.inner().active
    }

    /// When it was assigned.
    pub(crate) const fn born(&self) -> Instant {
        self.born
    }

    /// Memory as last counted, and CPU time.
    pub(crate) fn usage(&self) -> (u64, u64) {
        (self.memory_bytes.load(Ordering::Relaxed), self.cpu_us.load(Ordering::Relaxed))
    }

    /// Whether it used its core up when that was last counted.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Notes what the launcher counted.
    pub(crate) fn note_usage(&self, usage: super::launcher::Usage) {
        self.memory_bytes.store(usage.memory_bytes, Ordering::Relaxed);
        self.cpu_us.store(usage.cpu_us, Ordering::Relaxed);
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        let mut inner = self.inner();
        inner.wire.refuse_more();
        inner.order = Some(Order::Kill);
        inner.kick();
    }

    /// Ends it: what it sent, and was only now looked into, is not legal.
    fn breach(&self, error: WireError) {
        let mut inner = self.inner();
        inner.wire.refuse_more();
        if inner.order != Some(Order::Kill) {
            inner.order = Some(Order::Breach(error));
        }
        inner.kick();
    }

    /// Lets it finish what is open, then go.
    pub(crate) fn drain(&self) {
        let mut inner = self.inner();
        inner.wire.refuse_more();
        if inner.order.is_none() {
            inner.order = Some(Order::Drain);
            if inner.wire.open_streams() > 0 {
                let _ = inner.wire.send_raw(KernelKind::Drain, 0, false, &[]);
            }
        }
        inner.kick();
    }

    /// Shows frames to `tap` from now on, or no more.
    pub(crate) fn tap(&self, tap: Option<Tap>) {
        self.inner().wire.set_tap(tap);
    }
}

impl Inner {
    /// Wakes the task. Once: until it has slept again it needs no other.
    fn kick(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

/// Plays one batch of a fuzzer's worker against the machine: true when every frame was legal.
#[cfg(test)]
pub(crate) fn fuzz_once<R>(rng: &mut R, traffic: impl Fn(&mut R, u32) -> Vec<u8>) -> bool {
    use fazt_ipc::wire::kernel::{Configure, Event, EventKind, Start};
    let now = Instant::now();
    let mut wire = Wire::new();
    let ready = Ready { protocol: fazt_ipc::limits::PROTOCOL, landlock_abi: 0, engine: 0 };
    let configure = Configure {
        app: fazt_ipc::ids::AppId::new(0, 0),
        app_name: String::new(),
        app_version: String::new(),
        memory_bytes: 0,
        cpu_ms: 0,
        user: None,
        env: Vec::new(),
        bindings: Vec::new(),
        compatibility_date: String::new(),
        assets: String::new(),
        spa: false,
    };
    let mut frame = |kind: u8, body: &[u8]| {
        let header = fazt_ipc::frame::Header { body_bytes: body.len() as u32, kind, end: false, stream: 0 };
        let bytes = [&header.encode()[..], body].concat();
        wire.receive(&bytes, now).expect("legal");
        if kind == 0x81 {
            wire.send(KernelKind::Configure, 0, false, &configure).expect("legal");
            wire.send(KernelKind::Start, 0, false, &Start { main: "a" }).expect("legal");
            wire.accept();
        }
    };
    let mut body = Vec::new();
    fazt_ipc::codec::encode(&ready, &mut body).expect("small");
    frame(0x81, &body);
    frame(0x82, &[1, 0, 0, 0]);
    let headers = http::HeaderMap::new();
    let id = RequestId::new(1, 1);
    let what = What::Request { method: "GET", url: "http://a/", headers: &headers };
    let opening = Opening { id, what, body: false };
    let ticket = wire.open(&opening, now + Duration::from_secs(1)).expect("a stream");
    let event = Event { id, kind: EventKind::Queue, name: "", cron: "", job: "", unix_ms: 0, attempt: 1 };
    let opening = Opening { id, what: What::Event(event), body: true };
    let event = wire.open(&opening, now + Duration::from_secs(1)).expect("a stream");
    let bytes = traffic(rng, 1);
    let mut rest = bytes.as_slice();
    let legal = loop {
        match wire.receive(rest, now) {
            Ok(0) => break true,
            Ok(used) => rest = &rest[used..],
            Err(_) => break false,
        }
    };
    wire.sweep(now + Duration::from_secs(60), Duration::ZERO);
    wire.close(&DispatchError::Died);
    wire.release(ticket, now);
    wire.release(event, now);
    legal
}
