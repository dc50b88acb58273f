//! One app for one principal: its workers, the requests that wait for one, and the task that turns the table
//! of `lifecycle.rs`.
//!
//! The edge's tasks open requests on a worker directly, under the slot's lock; only when none can take the
//! request does the slot's task hear of it. The lock is never held across an `await`, and a link's lock may be
//! taken inside it, never the other way round.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::control::State;
use fazt_ipc::ids::{AppId, Generation, RequestId};
use fazt_ipc::launch::Limits;
use fazt_ipc::limits::{LOG_LINES_PER_S_MAX, STREAMS_MAX};
use fazt_ipc::wire::Failure;
use fazt_ipc::wire::worker::{Loaded, LogLevel, Ready};
use tokio::sync::{mpsc, oneshot, watch};

use super::launcher::Exit;
use super::lifecycle::{Action, Event, Life, Why};
use super::link::{self, End, Exchange, Line, Link, NotOpened, Opening, Owner};
use super::metrics::count;
use super::spec::Spec;
use super::trace::Trace;
use super::{DispatchError, RequestBody, Shared, bounds};
use crate::kernel::fs::Code;
use crate::kernel::security::Principal;
use crate::kernel::syscall::Calls;

/// A worker with fewer open requests than this gets the next one, so that one worker's batches stay large.
const SPREAD_ABOVE: usize = 8;

/// One app for one principal.
pub(crate) struct Slot {
    pub(crate) app: AppId,
    pub(crate) principal: Principal,
    trace: Arc<Trace>,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    events: mpsc::UnboundedSender<Event>,
    state: watch::Sender<State>,
    /// A worker has gone.
    pub(crate) gone: tokio::sync::Notify,
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
    pub(crate) fn start(shared: Arc<Shared>, principal: Principal, spec: Arc<Spec>) -> Arc<Self> {
        let (events, receiver) = mpsc::unbounded_channel();
        let slot = Arc::new(Self {
            app: spec.app,
            principal,
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
        });
        tokio::spawn(run(Arc::clone(&slot), receiver));
        slot
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// The version that its workers run.
    pub(crate) fn version(&self) -> fazt_ipc::ids::VersionId {
        self.inner().spec.version
    }

    /// Name of the app.
    pub(crate) fn name(&self) -> String {
        self.inner().spec.name.clone()
    }

    /// The app has another version or name. Requests from now on go to new workers.
    pub(crate) fn renew(&self, spec: Arc<Spec>) {
        let mut inner = self.inner();
        if inner.spec.version == spec.version {
            inner.spec = spec;
            return;
        }
        inner.spec = spec;
        inner.retire_all();
        let wanted = !inner.queue.is_empty();
        drop(inner);
        self.tell(Event::Released { wanted });
    }

    /// Answers a request.
    pub(crate) async fn dispatch(
        self: &Arc<Self>,
        opening: &Opening<'_>,
        body: RequestBody,
    ) -> Result<http::Response<link::WorkerBody>, DispatchError> {
        // The fast path: a worker is there.
        match self.open(opening) {
            Ok(Some((link, ticket))) => return Exchange::new(link, ticket, body).response().await,
            Ok(None) => {}
            Err(error) => return Err(error),
        }
        let asked = Instant::now();
        let deadline = asked + self.shared.options.wake_deadline;
        loop {
            let told = self.wait_turn()?;
            match tokio::time::timeout_at(deadline.into(), told).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(_)) => return Err(DispatchError::Stopping),
                Err(_) => return Err(DispatchError::WakeTimeout),
            }
            if let Some((link, ticket)) = self.open(opening)? {
                let response = Exchange::new(link, ticket, body).response().await;
                self.shared.metrics.cold_start(asked.elapsed());
                return response;
            }
        }
    }

    /// Opens the request on the worker that suits best. None: it has to wait.
    fn open(&self, opening: &Opening<'_>) -> Result<Option<(Arc<Link>, link::Ticket)>, DispatchError> {
        let inner = self.inner();
        let open = |link: &Arc<Link>| match link.open(opening) {
            Ok(ticket) => Ok(Some((Arc::clone(link), ticket))),
            Err(NotOpened::Full) => Ok(None),
            Err(NotOpened::TooLarge) => Err(DispatchError::RequestTooLarge),
        };
        match inner.links.as_slice() {
            [] => Ok(None),
            [only] => open(only),
            several => {
                let mut best: Option<(usize, &Arc<Link>)> = None;
                for link in several {
                    let Some(load) = link.load() else { continue };
                    if load < SPREAD_ABOVE {
                        return open(link);
                    }
                    if best.is_none_or(|(least, _)| load < least) {
                        best = Some((load, link));
                    }
                }
                best.map_or(Ok(None), |(_, link)| open(link))
            }
        }
    }

    /// Joins the queue.
    fn wait_turn(&self) -> Result<oneshot::Receiver<Result<(), DispatchError>>, DispatchError> {
        let mut inner = self.inner();
        if inner.stopped {
            return Err(DispatchError::Stopping);
        }
        match inner.life.state {
            State::Quarantined => return Err(DispatchError::Quarantined),
            State::Backoff => return Err(inner.backoff()),
            _ => {}
        }
        if inner.queue.len() >= self.shared.options.queue {
            // Those whose client went away do not count.
            inner.queue.retain(|waiting| !waiting.is_closed());
            if inner.queue.len() >= self.shared.options.queue {
                return Err(DispatchError::Overloaded);
            }
        }
        let (tell, told) = oneshot::channel();
        inner.queue.push_back(tell);
        drop(inner);
        self.tell(Event::Wanted);
        Ok(told)
    }

    /// Lets as many waiting requests go on as workers can take.
    fn serve_queue(&self) {
        let mut inner = self.inner();
        if inner.queue.is_empty() {
            return;
        }
        let mut room: usize = inner
            .links
            .iter()
            .filter_map(|link| link.load())
            .map(|load| STREAMS_MAX.saturating_sub(load))
            .sum();
        while room > 0 {
            let Some(waiting) = inner.queue.pop_front() else { break };
            if waiting.send(Ok(())).is_ok() {
                room -= 1;
            }
        }
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

    /// Whether a process of it lives.
    pub(crate) fn has_workers(&self) -> bool {
        let inner = self.inner();
        !inner.links.is_empty() || !inner.leaving.is_empty() || inner.starting > 0
    }

    fn log(&self, level: LogLevel, request: Option<RequestId>, origin: String, text: String) {
        self.shared.logs.add(self.app, level, &self.principal.to_string(), request, origin, text);
    }

    /// Gives a worker the app.
    async fn give(self: Arc<Self>, spec: Arc<Spec>, epoch: u64) {
        if let Err(why) = self.try_give(&spec, epoch).await {
            tracing::warn!(app = %spec.name, %why, "no worker");
            self.log(LogLevel::Error, None, String::new(), format!("no worker could be started: {why}"));
            let mut inner = self.inner();
            inner.starting -= 1;
            let others = !inner.links.is_empty() || inner.starting > 0;
            inner.reason = why;
            drop(inner);
            if !others {
                self.tell(Event::NoWorker);
            }
        }
    }

    async fn try_give(self: &Arc<Self>, spec: &Arc<Spec>, epoch: u64) -> Result<(), String> {
        let code = spec.code().await.map_err(|error| error.to_string())?;
        let warm = self.shared.pool.take().await.map_err(|error| error.to_string())?;
        let generation = warm.generation;
        let tightened = self
            .shared
            .launcher
            .limit(generation, Limits { memory_bytes: spec.leaf_bytes(), cpu_permille: 0, cpu_weight: 0 });
        let may_grow = self.workers_max() > 1;
        let link = Link::new(generation, warm.pid, spec.budget(may_grow), warm.wire);
        self.trace.attach(&link);
        {
            let mut inner = self.inner();
            if inner.epoch != epoch || inner.stopped {
                inner.starting -= 1;
                drop(inner);
                self.shared.launcher.kill(generation);
                return Ok(());
            }
            if let Err(error) = link.send(|wire| spec.load(&code, wire)) {
                drop(inner);
                self.shared.launcher.kill(generation);
                return Err(error.to_string());
            }
            inner.starting -= 1;
            inner.links.push(Arc::clone(&link));
        }
        count(&self.shared.metrics.wakes);
        let owner = Arc::new(Work {
            slot: Arc::clone(self),
            calls: Arc::clone(&spec.calls),
            code,
            said: Mutex::new((Instant::now(), 0)),
        });
        let launcher = Arc::clone(&self.shared.launcher);
        tokio::spawn(link::run(Arc::clone(&link), warm.socket, warm.exited, launcher, owner));
        // Requests may follow at once: the worker answers them when its top level is done.
        self.serve_queue();
        tokio::spawn(async move {
            if let Ok(Err(refusal)) = tightened.await {
                tracing::error!(?refusal, %generation, "limits of a worker could not be set");
                link.kill();
            }
        });
        Ok(())
    }

    fn workers_max(&self) -> usize {
        match self.shared.options.cores {
            0 | 1 => 1,
            cores => cores.min(bounds::WORKERS_MAX),
        }
    }

    /// Turns the table once.
    fn turn(self: &Arc<Self>, event: Event) {
        let mut inner = self.inner();
        let before = inner.life;
        // A request may have found its place between its word and this turn.
        if event == Event::Wanted && inner.queue.is_empty() {
            return;
        }
        let (life, actions) = before.step(event);
        inner.life = life;
        if before.state != life.state {
            tracing::debug!(app = %inner.spec.name, from = ?before.state, to = ?life.state, ?event, "lifecycle");
        }
        for action in actions {
            match action {
                Action::Start => self.spawn_give(&mut inner),
                Action::StartAnother => {
                    let full =
                        inner.links.iter().all(|link| link.load().is_none_or(|load| load >= STREAMS_MAX));
                    let all = inner.links.len() + inner.starting;
                    if inner.starting == 0 && (all < self.workers_max() || (full && inner.links.is_empty())) {
                        self.spawn_give(&mut inner);
                    }
                }
                Action::DrainAll => {
                    inner.retire_all();
                }
                Action::KillAll => {
                    inner.retire_all();
                    inner.leaving.iter().for_each(|link| link.kill());
                }
                Action::FailQueue(why) => {
                    let error = match why {
                        Why::Backoff => inner.backoff(),
                        Why::Quarantined => DispatchError::Quarantined,
                        Why::NoWorker => DispatchError::NoWorker,
                        Why::Stopping => DispatchError::Stopping,
                    };
                    for waiting in inner.queue.drain(..) {
                        let _ = waiting.send(Err(error.clone()));
                    }
                }
                Action::ArmBackoff(wait) => inner.backoff_until = Instant::now() + wait,
                Action::Report => {
                    let reason = &inner.reason;
                    tracing::warn!(app = %inner.spec.name, state = ?life.state, %reason, "an app is in trouble");
                    if life.state == State::Quarantined {
                        count(&self.shared.metrics.quarantines);
                        self.shared.quarantine(self.app, self.principal, reason);
                    }
                }
            }
        }
        if event == Event::Stop {
            inner.stopped = true;
        }
        self.state.send_if_modified(|state| std::mem::replace(state, life.state) != life.state);
    }

    fn spawn_give(self: &Arc<Self>, inner: &mut Inner) {
        inner.starting += 1;
        tokio::spawn(Arc::clone(self).give(Arc::clone(&inner.spec), inner.epoch));
    }

    /// When the task must look again without being told.
    fn next_look(&self) -> Option<Instant> {
        let inner = self.inner();
        match inner.life.state {
            State::Backoff => Some(inner.backoff_until),
            State::Running | State::Idle => {
                let idle = self.shared.options.idle;
                drop(inner);
                Some(self.idle_since().map_or_else(|| Instant::now() + idle, |since| since + idle))
            }
            _ => None,
        }
    }

    /// Looks at what only the clock tells.
    fn look(self: &Arc<Self>) {
        let now = Instant::now();
        let (life, waits, proven) = {
            let inner = self.inner();
            let over = inner.life.state == State::Backoff && now >= inner.backoff_until;
            let proven = inner.links.iter().any(|link| now >= link.born() + bounds::GOOD_TIME);
            (inner.life, over.then_some(!inner.queue.is_empty()), proven)
        };
        if let Some(wanted) = waits {
            self.turn(Event::BackoffOver { wanted });
            return;
        }
        if proven && life.crashes > 0 {
            self.turn(Event::GoodTime);
        }
        if matches!(life.state, State::Running | State::Idle) {
            match self.idle_since() {
                None => self.turn(Event::Busy),
                Some(since) => {
                    self.turn(Event::Quiet);
                    if now >= since + self.shared.options.idle {
                        self.turn(Event::IdleOver);
                    }
                }
            }
        }
    }
}

/// The slot's task: the only one that turns the table.
async fn run(slot: Arc<Slot>, mut events: mpsc::UnboundedReceiver<Event>) {
    loop {
        let next = slot.next_look();
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                // Before an owner's or the budget's word counts, the state is what the workers do now.
                if event == Event::Evict {
                    slot.look();
                }
                slot.turn(event);
                let inner = slot.inner();
                if inner.stopped && inner.links.is_empty() && inner.leaving.is_empty() && inner.starting == 0 {
                    return;
                }
            }
            () = timer => slot.look(),
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

/// One worker's work for the slot.
struct Work {
    slot: Arc<Slot>,
    calls: Arc<dyn Calls>,
    code: Arc<Code>,
    /// Start of the second, and lines in it.
    said: Mutex<(Instant, u32)>,
}

impl Work {
    fn failure(&self, request: Option<RequestId>, failure: &Failure) -> String {
        let mut text = failure.message.clone();
        if !failure.stack.is_empty() {
            text.push('\n');
            text.push_str(&self.code.map_text(&failure.stack));
        }
        let origin = first_place(&text);
        self.slot.log(LogLevel::Error, request, origin, text.clone());
        text
    }
}

impl Owner for Work {
    fn ready(&self, _: Ready) {}

    fn loaded(&self, _: Generation, loaded: Loaded) {
        if !loaded.fetch {
            let text = "the app's main module exports no `fetch` handler";
            self.slot.log(LogLevel::Warn, None, String::new(), text.into());
        }
        self.slot.tell(Event::Loaded);
        self.slot.serve_queue();
    }

    fn load_failed(&self, failure: Failure) {
        let text = self.failure(None, &failure);
        self.slot.inner().reason = format!("does not load: {}", text.lines().next().unwrap_or_default());
    }

    fn failed(&self, request: RequestId, failure: Failure) {
        count(&self.slot.shared.metrics.failures);
        self.failure(Some(request), &failure);
    }

    fn fault(&self, request: Option<RequestId>, text: String) {
        count(&self.slot.shared.metrics.failures);
        self.slot.log(LogLevel::Error, request, String::new(), text);
    }

    fn log(&self, request: Option<RequestId>, line: Line) {
        // The worker keeps to the same bound; a hostile one does not.
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.0.elapsed() >= Duration::from_secs(1) {
                *said = (Instant::now(), 0);
            }
            said.1 += 1;
            if said.1 > 2 * LOG_LINES_PER_S_MAX {
                return;
            }
        }
        if line.dropped > 0 {
            let text = format!("{} lines were dropped: at most {LOG_LINES_PER_S_MAX} a second", line.dropped);
            self.slot.log(LogLevel::Warn, None, String::new(), text);
        }
        self.slot.log(line.level, request, self.code.map_text(&line.origin), line.text);
    }

    fn freed(&self) {
        self.slot.serve_queue();
    }

    fn crowded(&self) {
        self.slot.tell(Event::Crowded);
    }

    fn retired(&self, generation: Generation) {
        let mut inner = self.slot.inner();
        if let Some(at) = inner.links.iter().position(|link| link.generation == generation) {
            let link = inner.links.remove(at);
            inner.leaving.push(link);
        }
        let (others, wanted) = (!inner.links.is_empty() || inner.starting > 0, !inner.queue.is_empty());
        drop(inner);
        self.slot.tell(Event::Ended { others, wanted });
    }

    fn ended(&self, generation: Generation, end: End, exit: Option<Exit>) {
        let slot = &self.slot;
        let mut inner = slot.inner();
        let current = inner.links.iter().any(|link| link.generation == generation);
        inner.links.retain(|link| link.generation != generation);
        inner.leaving.retain(|link| link.generation != generation);
        let (others, wanted) = (!inner.links.is_empty() || inner.starting > 0, !inner.queue.is_empty());
        let compromised = exit.is_some_and(|exit| exit.signal == SIGSYS);
        let event = match &end {
            _ if compromised => Event::Compromised,
            End::Violation(_) => Event::Violation { others, wanted },
            End::Deadline(_) | End::LoadFailed => Event::Crashed { others, wanted },
            End::Closed if current || exit.is_none_or(|exit| exit.code != 0) => {
                Event::Crashed { others, wanted }
            }
            End::Closed | End::Torn | End::Ordered => Event::Ended { others, wanted },
        };
        let text = describe(&end, exit);
        if !matches!(event, Event::Ended { .. }) && end != End::LoadFailed {
            inner.reason.clone_from(&text);
        }
        drop(inner);
        match event {
            Event::Ended { .. } => {}
            Event::Violation { .. } => count(&slot.shared.metrics.violations),
            _ => count(&slot.shared.metrics.crashes),
        }
        if !matches!(event, Event::Ended { .. }) {
            tracing::warn!(app = %slot.name(), %generation, %text, "a worker ended");
            if end != End::LoadFailed {
                slot.log(LogLevel::Error, None, String::new(), format!("the worker ended: {text}"));
            }
        }
        slot.tell(event);
        slot.gone.notify_one();
    }

    fn calls(&self) -> Arc<dyn Calls> {
        Arc::clone(&self.calls)
    }
}

/// Signal of a forbidden system call, on every Linux that Fazt runs on but MIPS.
const SIGSYS: i32 = 31;

fn describe(end: &End, exit: Option<Exit>) -> String {
    let how = match exit {
        Some(Exit { oom: true, .. }) => "killed by the kernel for memory".to_owned(),
        Some(Exit { signal: SIGSYS, .. }) => "killed for a system call that no app needs".to_owned(),
        Some(Exit { signal: 0, code, .. }) => format!("exit code {code}"),
        Some(Exit { signal, .. }) => format!("signal {signal}"),
        None => "the launcher did not say how".to_owned(),
    };
    match end {
        End::Closed => how,
        End::Violation(error) => format!("killed for what it sent: {error}"),
        End::Deadline(what) => format!("killed: {what}"),
        End::Torn => "recycled after it ran out of CPU time or memory".to_owned(),
        End::LoadFailed => "the app did not load".to_owned(),
        End::Ordered => "as ordered".to_owned(),
    }
}

/// `file:line` of the first frame of a stack that is the app's own.
fn first_place(text: &str) -> String {
    let place = |line: &str| {
        let line = line.trim().strip_prefix("at ")?;
        let inside = line.rsplit_once('(').map_or(line, |(_, place)| place.trim_end_matches(')'));
        let (rest, column) = inside.rsplit_once(':')?;
        let (file, row) = rest.rsplit_once(':')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(column) && digits(row)).then(|| format!("{file}:{row}"))
    };
    text.lines().find_map(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_of_a_stack_is_the_apps_own_line() {
        for (text, place) in [
            ("Error: x\n    at f (lib/a.js:3:7)\n    at server.js:9:1", "lib/a.js:3"),
            ("Error: x\n    at server.js:9:1", "server.js:9"),
            ("Error: x\n    at native\n    at <anonymous> (server.js:2:5)", "server.js:2"),
            ("Error: no stack", ""),
            ("at :::", ""),
        ] {
            assert_eq!(first_place(text), place, "{text}");
        }
    }
}
