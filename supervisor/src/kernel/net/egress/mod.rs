//! Requests to elsewhere: whoever may send one hands it over here, and gets its answer as it comes. Apps come by their
//! `fetch`, through `syscall`; the kernel itself by [`Fs::outbound`](crate::kernel::fs::Fs::outbound), as
//! `fs/outbound.rs` shows.
//!
//! ```text
//! fetch ─▶ turn of its caller ─▶ process (made on demand) ─▶ link ─▶ answer, as it is taken
//!                                   idle for a minute ─▶ socket closed, gone
//!                                   nonsense, death ─▶ killed, made anew for the next request after a pause
//! ```
//! No connection to elsewhere is opened in this process, no name looked up, and nothing that comes from there is
//! interpreted but the frames it travels in.
//!
//! | task | file |
//! |---|---|
//! | what is said to egress, what it may say | `link.rs` |
//! | what is remembered of requests | `log.rs` |
//! | what is checked and filled in for an app | `syscall/fetch.rs` |

mod link;
mod log;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fazt_ipc::control::{EgressLine, EgressState};
use fazt_ipc::egress::limits::{KERNEL_BYTES_MAX, KERNEL_WALL_MS_MAX, STREAMS_MAX};
use fazt_ipc::egress::{BEGIN, READY, Request};
use fazt_ipc::ids::AppId;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::kernel::fs::outbound::{
    Answered, Caller, Fault, FaultKind, Outbound, Outgoing, Receiving, Sending,
};
use link::{Link, Response};
use log::Entry;
pub(crate) use log::Log;

/// Requests of one app at once; further ones wait for their turn, within their own time.
const APP_TURNS_MAX: usize = 16;
/// Requests of one purpose of the kernel at once.
const KERNEL_TURNS_MAX: usize = 16;
/// Requests of all apps at once: those of the kernel find room beside them.
const APPS_TURNS_MAX: usize = STREAMS_MAX - 2 * KERNEL_TURNS_MAX;
/// Callers whose turns are counted before those without any are forgotten.
const CALLERS_MAX: usize = 256;
/// From the order to the greeting.
const START: Duration = Duration::from_secs(10);
/// A process that nobody used for so long goes.
const IDLE: Duration = Duration::from_secs(60);
/// Between two processes that ended by themselves: doubles from the first to the last.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];
/// A process that lived so long starts the pauses anew.
const HEALTHY: Duration = Duration::from_secs(60);

/// A process that was started.
pub(crate) struct Started {
    /// As the host sees it.
    pub(crate) pid: u32,
    /// Its socket.
    pub(crate) socket: std::os::unix::net::UnixStream,
    /// How it ended, in words, once it has.
    pub(crate) exited: oneshot::Receiver<String>,
    /// Kills it.
    pub(crate) kill: Box<dyn Fn() + Send + Sync>,
}

/// Makes a process; `proc` does.
pub(crate) type Start = Box<dyn Fn() -> BoxFuture<'static, Result<Started, String>> + Send + Sync>;

/// See the module.
pub(crate) struct Egress {
    start: Start,
    state: tokio::sync::Mutex<State>,
    /// A process has gone for good.
    gone: Notify,
    shown: Mutex<Shown>,
    callers: Mutex<Callers>,
    apps: Arc<Semaphore>,
    log: Log,
}

#[derive(Default)]
struct State {
    link: Option<Arc<Link>>,
    /// When the next may start, and after which pause.
    back_off: Option<(Instant, Duration)>,
}

/// What others see.
#[derive(Debug, Clone, Default)]
struct Shown {
    pid: Option<u32>,
    starts: u32,
    failures: u32,
    why: String,
}

/// Who takes turns with themselves: an app, or a purpose of the kernel.
type Turns = Result<AppId, &'static str>;

#[derive(Default)]
struct Callers {
    turns: HashMap<Turns, Arc<Semaphore>>,
    /// Never given out twice, so that nobody is led into another one's.
    lanes: HashMap<Caller, u64>,
    last: u64,
}

impl Callers {
    fn of(&mut self, caller: Caller) -> (u64, Arc<Semaphore>) {
        if self.turns.len() > CALLERS_MAX {
            // Whoever waits or has a turn holds another reference.
            self.turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        if self.lanes.len() > CALLERS_MAX {
            self.lanes.clear();
        }
        let (turns, most) = match caller {
            Caller::App(app, _) => (Ok(app), APP_TURNS_MAX),
            Caller::Kernel(purpose) => (Err(purpose), KERNEL_TURNS_MAX),
        };
        let turns = self.turns.entry(turns).or_insert_with(|| Arc::new(Semaphore::new(most)));
        let next = self.last + 1;
        let lane = *self.lanes.entry(caller).or_insert(next);
        self.last = self.last.max(lane);
        (lane, Arc::clone(turns))
    }
}

impl Egress {
    /// Starts no process before it is needed.
    pub(crate) fn new(start: Start) -> Arc<Self> {
        Arc::new(Self {
            start,
            state: tokio::sync::Mutex::default(),
            gone: Notify::new(),
            shown: Mutex::default(),
            callers: Mutex::default(),
            apps: Arc::new(Semaphore::new(APPS_TURNS_MAX)),
            log: Log::default(),
        })
    }

    /// What apps reached.
    pub(crate) const fn log(&self) -> &Log {
        &self.log
    }

    /// What `fazt proc status` says.
    pub(crate) fn show(&self, test_network: bool) -> EgressState {
        let Shown { pid, starts, failures, why } =
            self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        EgressState { pid, starts, failures, last_failure: why, test_network }
    }

    fn shown(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The lane of a caller, and its turn.
    async fn turn(&self, caller: Caller) -> (u64, [Option<OwnedSemaphorePermit>; 2]) {
        let (lane, own) = self.callers.lock().unwrap_or_else(PoisonError::into_inner).of(caller);
        let all = matches!(caller, Caller::App(..)).then(|| Arc::clone(&self.apps));
        // First the caller's own, so that one that waits for itself is not in the way of others. Neither is closed.
        let own = own.acquire_owned().await.ok();
        let all = match all {
            Some(all) => all.acquire_owned().await.ok(),
            None => None,
        };
        (lane, [own, all])
    }

    /// A process that lives, made if there is none.
    async fn link(self: &Arc<Self>) -> Result<Arc<Link>, Fault> {
        let mut state = loop {
            let gone = self.gone.notified();
            let state = self.state.lock().await;
            match &state.link {
                Some(link) if link.lives() => return Ok(Arc::clone(link)),
                // The launcher lets one live at a time: the next waits for its end.
                Some(_) => drop(state),
                None => break state,
            }
            gone.await;
        };
        if let Some((due, _)) = state.back_off {
            tokio::time::sleep_until(due.into()).await;
        }
        match self.begin().await {
            Ok(link) => {
                state.link = Some(Arc::clone(&link));
                Ok(link)
            }
            Err(why) => {
                tracing::error!(%why, "no process for connections to elsewhere");
                state.pause();
                self.shown(|shown| {
                    shown.failures += 1;
                    shown.why.clone_from(&why);
                });
                let message = "the server cannot open connections to elsewhere now; its log says why";
                Err(Fault::new(FaultKind::Gone, message))
            }
        }
    }

    async fn begin(self: &Arc<Self>) -> Result<Arc<Link>, String> {
        let Started { pid, socket, exited, kill } = (self.start)().await?;
        let greeted = async {
            socket.set_nonblocking(true)?;
            let mut socket = UnixStream::from_std(socket)?;
            let mut word = [0; READY.len()];
            socket.read_exact(&mut word).await?;
            if &word != READY {
                return Err(std::io::Error::from(std::io::ErrorKind::InvalidData));
            }
            socket.write_all(BEGIN).await?;
            Ok(socket)
        };
        let socket = match tokio::time::timeout(START, greeted).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                kill();
                return Err(format!("it does not begin: {error}"));
            }
            Err(_) => {
                kill();
                return Err("it does not begin in time".into());
            }
        };
        let link = Link::start(socket);
        self.shown(|shown| {
            shown.pid = Some(pid);
            shown.starts += 1;
        });
        tokio::spawn(Arc::clone(self).keep(Arc::clone(&link), exited, kill));
        Ok(link)
    }

    /// Stays with a process until it is gone.
    async fn keep(
        self: Arc<Self>,
        link: Arc<Link>,
        mut exited: oneshot::Receiver<String>,
        kill: Box<dyn Fn() + Send + Sync>,
    ) {
        let begun = Instant::now();
        let idle = async {
            loop {
                let wait = link.idle().map_or(IDLE, |since| IDLE.saturating_sub(since.elapsed()));
                if wait.is_zero() && link.close_idle() {
                    return;
                }
                tokio::time::sleep(wait.max(Duration::from_millis(100))).await;
            }
        };
        let why = tokio::select! {
            exit = &mut exited => Some(exit.unwrap_or_else(|_| "the launcher is gone".into())),
            () = link.closed() => Some("it broke the protocol, or closed its socket".into()),
            () = idle => None,
        };
        link.die();
        kill();
        if !exited.is_terminated() {
            // How it ended was not why; a launcher that does not say so is no reason to wait for ever.
            let _ = tokio::time::timeout(START, &mut exited).await;
        }
        let mut state = self.state.lock().await;
        state.link = None;
        self.shown(|shown| shown.pid = None);
        match why {
            None => state.back_off = None,
            Some(why) => {
                tracing::error!(%why, "the process for connections to elsewhere has ended; it is made anew when it is needed");
                if begun.elapsed() >= HEALTHY {
                    state.back_off = None;
                }
                state.pause();
                self.shown(|shown| {
                    shown.failures += 1;
                    shown.why.clone_from(&why);
                });
            }
        }
        drop(state);
        self.gone.notify_waiters();
    }

    async fn carry(
        self: Arc<Self>,
        outgoing: Outgoing,
        body: Option<Box<dyn Sending>>,
        entry: &mut Option<Logged>,
    ) -> Result<Answered, Fault> {
        let begun = Instant::now();
        let Outgoing { caller, method, url, fields, hosts, redirect, cache, decode, bytes_max, wall } =
            outgoing;
        let late = || Fault::new(FaultKind::Late, format!("it took longer than {} s in all", wall.as_secs()));
        let ready = async {
            let (lane, turn) = self.turn(caller).await;
            Ok::<_, Fault>((lane, turn, self.link().await?))
        };
        let (lane, turn, link) = tokio::time::timeout(wall, ready).await.map_err(|_| late())??;
        let left = wall.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        let request = Request {
            lane,
            method,
            url,
            fields,
            hosts,
            redirect,
            cache,
            decode,
            bytes_max: bytes_max.min(KERNEL_BYTES_MAX),
            wall_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX).min(KERNEL_WALL_MS_MAX),
        };
        // Egress keeps the time; if it does not, it is kept here.
        let until = Instant::now() + left + Duration::from_secs(2);
        let fetched = tokio::time::timeout_at(until.into(), link.fetch(request, body)).await;
        let (head, response) = fetched.map_err(|_| late())??;
        if let Some(logged) = entry {
            logged.entry(|entry| entry.head(head.status, &head.url));
        }
        let body = Body { response, until, turn, logged: entry.take(), bytes: 0 };
        Ok(Answered { head, body: Box::new(body) })
    }
}

impl State {
    fn pause(&mut self) {
        let [first, last] = BACK_OFF;
        let pause = self.back_off.map_or(first, |(_, pause)| (pause * 2).min(last));
        self.back_off = Some((Instant::now() + pause, pause));
    }
}

/// Writes a request down when it has ended, however that is.
struct Logged {
    egress: Arc<Egress>,
    app: AppId,
    entry: Option<Entry>,
    bytes: u64,
}

impl Logged {
    fn entry(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            change(entry);
        }
    }

    fn end(&mut self, line: impl FnOnce(Entry) -> EgressLine) {
        if let Some(entry) = self.entry.take() {
            self.egress.log.add(self.app, line(entry));
        }
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.end(|entry| entry.cut(bytes));
    }
}

/// The body of an answer, with everything that ends with it.
struct Body {
    response: Response,
    until: Instant,
    #[expect(dead_code, reason = "held until the body has ended")]
    turn: [Option<OwnedSemaphorePermit>; 2],
    logged: Option<Logged>,
    bytes: u64,
}

impl Receiving for Body {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Fault>> {
        Box::pin(async move {
            let next = tokio::time::timeout_at(self.until.into(), self.response.next()).await;
            let next = next.unwrap_or_else(|_| Err(Fault::new(FaultKind::Late, "it took too long in all")));
            match next {
                Ok(Ok(bytes)) => {
                    self.bytes += bytes.len() as u64;
                    if let Some(logged) = &mut self.logged {
                        logged.bytes = self.bytes;
                    }
                    Ok(Some(bytes))
                }
                Ok(Err(used)) => {
                    if let Some(mut logged) = self.logged.take() {
                        logged.end(|entry| entry.done(used));
                    }
                    Ok(None)
                }
                Err(fault) => {
                    if let Some(mut logged) = self.logged.take() {
                        logged.end(|entry| entry.failed(&fault));
                    }
                    Err(fault)
                }
            }
        })
    }
}

/// The app and the name of the principal, where an app asks.
fn whose(caller: Caller) -> Option<(AppId, String)> {
    match caller {
        Caller::App(app, principal) => Some((app, principal.to_string())),
        Caller::Kernel(_) => None,
    }
}

/// What `fs` and `syscall` are given: they hold it, and it holds nothing of theirs.
pub(crate) struct Way(pub(crate) Arc<Egress>);

impl Outbound for Way {
    fn fetch(
        &self,
        request: Outgoing,
        body: Option<Box<dyn Sending>>,
    ) -> BoxFuture<'static, Result<Answered, Fault>> {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            let mut logged = whose(request.caller).map(|(app, principal)| Logged {
                egress: Arc::clone(&egress),
                app,
                entry: Some(Entry::new(principal, &request.method, &request.url)),
                bytes: 0,
            });
            let outcome = egress.carry(request, body, &mut logged).await;
            if let (Err(fault), Some(logged)) = (&outcome, &mut logged) {
                logged.end(|entry| entry.failed(fault));
            }
            outcome
        })
    }

    fn refused(&self, caller: Caller, method: &str, url: &str, why: &str) {
        if let Some((app, principal)) = whose(caller) {
            self.0.log.add(app, Entry::new(principal, method, url).refused(why));
        }
    }
}
