//! One app for one principal: its workers, the requests that wait for one, and the task that turns the table
//! of `lifecycle.rs`.
//!
//! The edge's tasks open requests on a worker directly, under the slot's lock; only when none can take the
//! request does the slot's task hear of it. The lock is never held across an `await`, and a link's lock may be
//! taken inside it, never the other way round.
//!
//! | task | file |
//! |---|---|
//! | a request finds its worker, or waits | `queue.rs` |
//! | the table's actions, and the clock | `turn.rs` |
//! | a worker is given the app | `give.rs` |
//! | what a worker says, and how it ends | `work.rs`, in words `ending.rs` |

mod ending;
mod give;
mod queue;
mod turn;
mod work;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::control::State;
use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::wire::worker::LogLevel;
use tokio::sync::{mpsc, oneshot, watch};

pub(super) use ending::SIGSYS;

use super::lifecycle::{Event, Life};
use super::link::Link;
use super::spec::Spec;
use super::trace::Trace;
use super::{DispatchError, Shared, bounds};
use crate::kernel::fs::Edition;
use crate::kernel::security::{Person, Principal};

/// One app for one principal.
pub(crate) struct Slot {
    pub(crate) app: AppId,
    pub(crate) principal: Principal,
    person: Option<Arc<Person>>,
    trace: Arc<Trace>,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    events: mpsc::UnboundedSender<Event>,
    state: watch::Sender<State>,
    /// A worker has gone.
    gone: tokio::sync::Notify,
    /// What one of its workers used when that was last counted.
    bytes: AtomicU64,
}

struct Inner {
    life: Life,
    spec: Arc<Spec>,
    /// Workers of the current version.
    links: Vec<Arc<Link>>,
    /// Workers that finish what they have.
    leaving: Vec<Arc<Link>>,
    /// Workers that are being given the app.
    starting: usize,
    /// Counts what made starting workers obsolete: a kill, a new version.
    epoch: u64,
    queue: VecDeque<oneshot::Sender<Result<(), DispatchError>>>,
    backoff_until: Instant,
    /// What last went wrong.
    reason: String,
    stopped: bool,
}

impl Slot {
    /// Makes the slot and its task.
    pub(crate) fn start(
        shared: Arc<Shared>,
        principal: Principal,
        person: Option<Arc<Person>>,
        spec: Arc<Spec>,
    ) -> Arc<Self> {
        let (events, receiver) = mpsc::unbounded_channel();
        let slot = Arc::new(Self {
            app: spec.app,
            principal,
            person,
            trace: shared.trace_of(spec.app),
            shared,
            inner: Mutex::new(Inner {
                life: Life::NEW,
                spec,
                links: Vec::new(),
                leaving: Vec::new(),
                starting: 0,
                epoch: 0,
                queue: VecDeque::new(),
                backoff_until: Instant::now(),
                reason: String::new(),
                stopped: false,
            }),
            events,
            state: watch::channel(State::Hibernated).0,
            gone: tokio::sync::Notify::new(),
            bytes: AtomicU64::new(0),
        });
        tokio::spawn(turn::run(Arc::clone(&slot), receiver));
        slot
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// For tables: the person's name where it is one.
    pub(crate) fn who(&self) -> String {
        self.person.as_ref().map_or_else(|| self.principal.to_string(), |person| person.name().to_owned())
    }

    /// Whom it acts for may act no more: what runs is killed, who waits is told, and nobody is let in again.
    pub(crate) fn end(&self) {
        let mut inner = self.inner();
        inner.stopped = true;
        inner.retire_all();
        inner.leaving.iter().for_each(|link| link.kill());
        drop(inner);
        self.tell(Event::Kill);
        self.tell(Event::Stop);
    }

    /// The version that its workers run, and the variables that they have.
    pub(crate) fn edition(&self) -> Edition {
        self.inner().spec.edition
    }

    /// Name of the app.
    pub(crate) fn name(&self) -> String {
        self.inner().spec.name.clone()
    }

    /// The app has another version, other variables or another name. Requests from now on go to new workers.
    pub(crate) fn renew(&self, spec: Arc<Spec>) {
        let mut inner = self.inner();
        if inner.spec.edition == spec.edition {
            inner.spec = spec;
            return;
        }
        inner.spec = spec;
        inner.retire_all();
        let wanted = !inner.queue.is_empty();
        drop(inner);
        self.tell(Event::Released { wanted });
    }

    /// Everything that `ps` shows of it; the state as it is this moment.
    pub(crate) fn view(&self) -> View {
        let inner = self.inner();
        let links: Vec<_> = inner.links.iter().chain(&inner.leaving).cloned().collect();
        let busy = links.iter().any(|link| link.open_streams() > 0);
        let state = match inner.life.state {
            State::Running | State::Idle if busy => State::Running,
            State::Running | State::Idle => State::Idle,
            state => state,
        };
        View {
            name: inner.spec.name.clone(),
            state,
            links,
            cap_bytes: inner.spec.leaf_bytes(),
            reason: inner.reason.clone(),
        }
    }

    /// Watches the state.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Since when all its workers are idle; none: one is busy or none is there.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let inner = self.inner();
        if inner.links.is_empty() || inner.starting > 0 {
            return None;
        }
        inner.links.iter().map(|link| link.idle_since()).try_fold(None, |latest: Option<Instant>, idle| {
            idle.map(|idle| Some(latest.map_or(idle, |latest| latest.max(idle))))
        })?
    }

    /// When any of its workers last had to do; none: there are none.
    pub(crate) fn active(&self) -> Option<Instant> {
        self.inner().links.iter().map(|link| link.active()).max()
    }

    /// Its workers that have loaded the app, or have tried to for longer than that, and how many others have it.
    pub(crate) fn living(&self, patience: Duration) -> (Vec<Arc<Link>>, usize) {
        let inner = self.inner();
        let all = inner.links.iter().chain(&inner.leaving);
        let (loaded, loading): (Vec<_>, Vec<_>) =
            all.cloned().partition(|link| link.is_loaded() || link.born().elapsed() >= patience);
        (loaded, loading.len())
    }

    /// Cap of one of its workers.
    pub(crate) fn cap_bytes(&self) -> u64 {
        self.inner().spec.leaf_bytes()
    }

    /// What the next of its workers will use: what the last one did; without one, what those of others do.
    pub(crate) fn expected_bytes(&self, mean: u64) -> u64 {
        match self.bytes.load(Ordering::Relaxed) {
            0 => mean.max(bounds::WORKER_BYTES_EXPECTED).min(self.cap_bytes()),
            bytes => bytes,
        }
    }

    /// Notes what one of its workers uses.
    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns when no process of it lives.
    pub(crate) async fn emptied(&self) {
        loop {
            let mut gone = pin!(self.gone.notified());
            gone.as_mut().enable();
            if !self.has_workers() {
                return;
            }
            gone.await;
        }
    }

    /// Whether a process of it lives.
    pub(crate) fn has_workers(&self) -> bool {
        let inner = self.inner();
        !inner.links.is_empty() || !inner.leaving.is_empty() || inner.starting > 0
    }

    fn log(&self, level: LogLevel, request: Option<RequestId>, origin: String, text: String) {
        self.shared.logs.add(self.app, level, &self.principal.to_string(), request, origin, text);
    }

    fn workers_max(&self) -> usize {
        match self.shared.options.cores {
            0 | 1 => 1,
            cores => cores.min(bounds::WORKERS_MAX),
        }
    }
}

impl Inner {
    /// No worker of now takes another request; each goes when it has finished.
    fn retire_all(&mut self) {
        self.epoch += 1;
        for link in self.links.drain(..) {
            link.drain();
            self.leaving.push(link);
        }
    }

    /// Since when the worker that was idle longest is idle, where it is not the only one.
    fn extra_idle_since(&self) -> Option<Instant> {
        if self.links.len() < 2 {
            return None;
        }
        self.links.iter().filter_map(|link| link.idle_since()).min()
    }

    /// Lets every worker but the last go that had nothing to do for the idle time.
    fn retire_extra(&mut self, now: Instant, idle: Duration) {
        while let Some(since) = self.extra_idle_since()
            && now >= since + idle
            && let Some(at) = self.links.iter().position(|link| link.idle_since() == Some(since))
        {
            let link = self.links.remove(at);
            link.drain();
            self.leaving.push(link);
        }
    }

    fn backoff(&self) -> DispatchError {
        DispatchError::Backoff(self.backoff_until.saturating_duration_since(Instant::now()))
    }
}

/// What `ps` shows of a slot.
pub(crate) struct View {
    /// Name of the app.
    pub(crate) name: String,
    /// State this moment.
    pub(crate) state: State,
    /// Its workers.
    pub(crate) links: Vec<Arc<Link>>,
    /// Cap of each.
    pub(crate) cap_bytes: u64,
    /// What last went wrong.
    pub(crate) reason: String,
}
