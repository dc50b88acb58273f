//! Workers: pool, lifecycle, link, limits, logs.
//!
//! `net` calls [`Proc`]; `fs` reaches it through the `Builder` trait. Hostile bytes come in at `link/` (a
//! worker's frames) and `builder/` (what a build process answers) and nowhere else.
//!
//! What never happens here: the supervisor waits for a worker without a deadline; a message from a worker
//! names an app or a person; a frame that is not legal now is answered with anything but a kill; a request's
//! hot path makes a task or a system call of its own.
//!
//! | task | file |
//! |---|---|
//! | a bound | `bounds.rs` |
//! | speak to the launcher | `launcher.rs` |
//! | keep locked workers ready | `pool.rs` |
//! | states of an app's workers | `lifecycle.rs`, run by `slot/` |
//! | frames of one worker | `link/` |
//! | who goes when memory is short | `pressure.rs` |
//! | compile and strip in jails | `builder.rs` |
//! | try escapes | `doctor.rs` |
//! | processes for raw SQL | `stores.rs` |
//! | kill, wake, restart by somebody's word | `orders.rs` |
//! | what others see of workers | `show.rs` |
//! | logs | `logs.rs` |
//! | what apps do without a request: schedules, runs, jobs | `schedule/` |

mod body;
mod bounds;
mod builder;
mod doctor;
mod egress;
mod error;
mod launcher;
mod lifecycle;
mod link;
mod logs;
mod metrics;
mod options;
mod orders;
mod pool;
mod pressure;
pub mod schedule;
mod show;
mod slot;
mod spec;
mod stores;
#[cfg(test)]
mod tests;
mod trace;

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use fazt_ipc::control::{LogLine, TraceLine};
use fazt_ipc::ids::{AppId, RequestId};
use fazt_ipc::wire::kernel::Event as AppEvent;
use fazt_ipc::wire::worker::LogLevel;
use tokio::sync::broadcast;

use super::fs::{Builder, Fs, FsError, Prepare, Release};
use super::security::{Authority, Person, Principal};
use super::storage::sql::Jails;
use builder::JailBuilder;
use launcher::Launcher;
use lifecycle::Event;
use link::{Ended, Exchange, Opening, What};
use logs::Logs;
use metrics::{Metrics, count};
use pool::Pool;
use slot::Slot;
use spec::Spec;
use stores::Store;
use trace::Trace;

pub use body::{BodyError, RequestBody};
pub use doctor::Findings;
pub(crate) use egress::Outward;
pub use error::{DispatchError, ProcError};
pub use link::WorkerBody;
pub use options::ProcOptions;
pub use show::Snapshot;

/// Writes down that an app was quarantined, and why.
type OnQuarantine = dyn Fn(AppId, &str) + Send + Sync;

/// All workers.
pub struct Proc {
    shared: Arc<Shared>,
    builder: Arc<JailBuilder>,
    fs: OnceLock<Arc<Fs>>,
    /// One doctor at a time.
    doctor: tokio::sync::Mutex<()>,
}

/// What all slots share.
pub(crate) struct Shared {
    launcher: Arc<Launcher>,
    pool: Arc<Pool>,
    options: ProcOptions,
    metrics: Metrics,
    logs: Logs,
    slots: Mutex<HashMap<(AppId, Principal), Arc<Slot>>>,
    quarantined: Mutex<HashSet<AppId>>,
    /// Whoever writes down that an app was quarantined, and why.
    on_quarantine: OnceLock<Box<OnQuarantine>>,
    /// Processes of raw SQL by their generation.
    stores: Mutex<HashMap<u64, Arc<Store>>>,
    traces: Mutex<HashMap<AppId, Arc<Trace>>>,
    workers_bytes: AtomicU64,
    budget_bytes: u64,
    room: pressure::Room,
    /// What the calls of all workers may make the supervisor hold.
    calls_bytes: link::Total,
    stopping: AtomicBool,
}

impl Shared {
    fn map(&self) -> MutexGuard<'_, HashMap<(AppId, Principal), Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store_table(&self) -> MutexGuard<'_, HashMap<u64, Arc<Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn banned(&self) -> MutexGuard<'_, HashSet<AppId>> {
        self.quarantined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.map().values().cloned().collect()
    }

    fn slots_of(&self, app: AppId) -> Vec<Arc<Slot>> {
        self.map().values().filter(|slot| slot.app == app).cloned().collect()
    }

    /// The trace of an app: there before its first worker is.
    fn trace_of(&self, app: AppId) -> Arc<Trace> {
        Arc::clone(self.traces.lock().unwrap_or_else(PoisonError::into_inner).entry(app).or_default())
    }

    /// The app is compromised: so are its workers for everyone else, and after a restart of the server.
    fn quarantine(&self, app: AppId, by: Option<Principal>, reason: &str) {
        let is_known = self.is_quarantined(app);
        self.banned().insert(app);
        if !is_known {
            count(&self.metrics.quarantines);
            if let Some(write) = self.on_quarantine.get() {
                write(app, reason);
            }
            if let Err(error) = std::fs::write(self.mark(app), reason) {
                tracing::error!(%app, %error, "a quarantine cannot be written down");
            }
        }
        for slot in self.slots_of(app) {
            if Some(slot.principal) != by {
                slot.tell(Event::Compromised);
            }
        }
    }

    fn is_quarantined(&self, app: AppId) -> bool {
        self.banned().contains(&app) || self.mark(app).exists()
    }

    /// The owner says that the app is fine.
    fn pardon(&self, app: AppId) {
        self.banned().remove(&app);
        let _ = std::fs::remove_file(self.mark(app));
    }

    /// The file that keeps an app quarantined while the server does not run.
    fn mark(&self, app: AppId) -> std::path::PathBuf {
        self.options.data.join("apps").join(app.to_string()).join("quarantined")
    }
}

impl Proc {
    /// Takes over the channel to the launcher and starts filling the pool. Must run inside the runtime. `lost`
    /// runs when the launcher goes away or closes the channel: without it no worker can be made or killed, and
    /// those that live die with it, so the server can only stop.
    ///
    /// # Errors
    /// When the channel or the data folder cannot be used.
    pub fn start(
        launcher: OwnedFd,
        options: ProcOptions,
        lost: impl FnOnce() + Send + 'static,
    ) -> Result<Arc<Self>, ProcError> {
        let logs = Logs::start(&options.data)
            .map_err(|source| ProcError::Io { path: options.data.clone(), source })?;
        let launcher = Launcher::start(launcher, lost).map_err(ProcError::Channel)?;
        let pool = Pool::start(Arc::clone(&launcher), options.pool);
        let builder = Arc::new(JailBuilder::new(Arc::clone(&launcher), Arc::clone(&pool)));
        let budget_bytes = pressure::budget_bytes(options.budget_bytes);
        let shared = Arc::new(Shared {
            launcher,
            pool,
            options,
            metrics: Metrics::default(),
            logs,
            slots: Mutex::default(),
            quarantined: Mutex::default(),
            on_quarantine: OnceLock::new(),
            stores: Mutex::default(),
            traces: Mutex::default(),
            workers_bytes: AtomicU64::new(0),
            budget_bytes,
            room: pressure::Room::default(),
            calls_bytes: link::Total::default(),
            stopping: AtomicBool::new(false),
        });
        let trigger = if shared.options.heed_pressure { pressure::trigger() } else { None };
        tokio::spawn(pressure::watch(Arc::clone(&shared), trigger));
        Ok(Arc::new(Self { shared, builder, fs: OnceLock::new(), doctor: tokio::sync::Mutex::default() }))
    }

    /// What deploys need from jails.
    #[must_use]
    pub fn builder(self: &Arc<Self>) -> Arc<dyn Builder> {
        Arc::clone(&self.builder) as Arc<dyn Builder>
    }

    /// What installs need from jails.
    #[must_use]
    pub fn prepare(self: &Arc<Self>) -> Arc<dyn Prepare> {
        Arc::clone(&self.builder) as Arc<dyn Prepare>
    }

    /// Says who writes down that an app was quarantined, and why; once.
    pub fn on_quarantine(&self, write: impl Fn(AppId, &str) + Send + Sync + 'static) {
        // A second one would be a mistake of the wiring; the first stays.
        let _ = self.shared.on_quarantine.set(Box::new(write));
    }

    /// What raw SQL needs from jails.
    #[must_use]
    pub fn stores(&self) -> Arc<dyn Jails> {
        let launcher = Arc::clone(&self.shared.launcher);
        Arc::new(stores::StoreJails { launcher, shared: Arc::downgrade(&self.shared) })
    }

    /// Follows the changes of apps: new versions get new workers, removed apps lose theirs. Spawns its task.
    pub fn follow(self: &Arc<Self>, fs: Arc<Fs>) {
        let mut changes = fs.changes();
        let _ = self.fs.set(Arc::clone(&fs));
        let proc = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                match changes.recv().await {
                    Ok(app) => proc.changed(&fs, app).await,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let apps: HashSet<_> = proc.shared.slots().iter().map(|slot| slot.app).collect();
                        for app in apps {
                            proc.changed(&fs, app).await;
                        }
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    async fn changed(&self, fs: &Fs, app: AppId) {
        let slots = self.shared.slots_of(app);
        if slots.is_empty() {
            return;
        }
        match fs.release(app).await {
            Ok(release) => {
                let spec = Spec::of(&release);
                slots.iter().for_each(|slot| slot.renew(Arc::clone(&spec)));
            }
            Err(FsError::NoApp(_) | FsError::NoVersion(_)) => {
                for slot in slots {
                    slot.tell(Event::Stop);
                    self.shared.map().remove(&(app, slot.principal));
                }
                self.shared.logs.forget(app);
                self.shared.banned().remove(&app);
                self.shared.traces.lock().unwrap_or_else(PoisonError::into_inner).remove(&app);
            }
            // What cannot be read now is asked for again by the next request.
            Err(error) => tracing::warn!(%app, %error, "a changed app cannot be read"),
        }
    }

    /// The slot of an app and principal, on the version that is active.
    fn slot(&self, release: &Arc<Release>, principal: Principal, person: Option<&Arc<Person>>) -> Arc<Slot> {
        let known = self.shared.map().get(&(release.app, principal)).cloned();
        let Some(slot) = known else {
            return self.make_slot(principal, person.cloned(), Spec::of(release));
        };
        if slot.edition() != release.edition() {
            // The caller's release may be the older one: a request that was on its way when the app changed.
            let active = self.fs.get().and_then(|fs| fs.release_cached(release.app));
            let active = active.as_ref().unwrap_or(release);
            if slot.edition() != active.edition() {
                slot.renew(Spec::of(active));
            }
        }
        slot
    }

    fn make_slot(&self, principal: Principal, person: Option<Arc<Person>>, spec: Arc<Spec>) -> Arc<Slot> {
        let app = spec.app;
        let mut slots = self.shared.map();
        if let Some(slot) = slots.get(&(app, principal)) {
            return Arc::clone(slot);
        }
        let slot = Slot::start(Arc::clone(&self.shared), principal, person, spec);
        slots.insert((app, principal), Arc::clone(&slot));
        drop(slots);
        if self.shared.is_quarantined(app) {
            slot.tell(Event::Compromised);
        }
        slot
    }

    /// Has the app answer a request. `origin` is what the client sees in front of the path:
    /// `http://notes.localhost:8080`. The request's head has been judged and cleaned by the edge, and so must
    /// be the answer's.
    ///
    /// # Errors
    /// When there is no answer; see [`DispatchError::http_status`].
    pub async fn dispatch(
        self: &Arc<Self>,
        release: &Arc<Release>,
        authority: Authority,
        id: RequestId,
        origin: &str,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<WorkerBody>, DispatchError> {
        if authority.app() != release.app {
            return Err(DispatchError::NoWorker);
        }
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(DispatchError::Stopping);
        }
        self.is_set_up(release, Some(id))?;
        let slot = self.slot(release, authority.principal(), authority.person());
        self.serve(&slot, id, origin, request).await
    }

    /// Has the app do something that nobody asked over HTTP, as itself. `payload` is JSON; empty: there is none.
    pub(crate) async fn event(
        self: &Arc<Self>,
        release: &Arc<Release>,
        event: AppEvent<'_>,
        payload: bytes::Bytes,
    ) -> Ended {
        let outcome = self.try_event(release, event, payload).await;
        outcome.unwrap_or_else(|error| Ended {
            no_retry: false,
            reason: error.to_string(),
            outcome: Err(error),
        })
    }

    async fn try_event(
        self: &Arc<Self>,
        release: &Arc<Release>,
        event: AppEvent<'_>,
        payload: bytes::Bytes,
    ) -> Result<Ended, DispatchError> {
        if !release.has_server() {
            return Err(DispatchError::NoHandler);
        }
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(DispatchError::Stopping);
        }
        self.is_set_up(release, Some(event.id))?;
        Ok(self.occur(&self.slot(release, Principal::Service, None), event, payload).await)
    }

    async fn occur(&self, slot: &Arc<Slot>, event: AppEvent<'_>, payload: bytes::Bytes) -> Ended {
        count(&self.shared.metrics.requests);
        let opening = Opening { id: event.id, what: What::Event(event), body: !payload.is_empty() };
        match slot.place(&opening).await {
            Ok((link, ticket)) => {
                let body = RequestBody::new(http_body_util::Full::new(payload));
                Exchange::new(link, ticket, body).ended().await
            }
            Err(error) => Ended { no_retry: false, reason: error.to_string(), outcome: Err(error) },
        }
    }

    /// An app without a variable that it requires is not started; its log says which.
    fn is_set_up(&self, release: &Release, id: Option<RequestId>) -> Result<(), DispatchError> {
        let missing = release.env.missing();
        if missing.is_empty() {
            return Ok(());
        }
        let text = format!(
            "not started: {} required and not set; set with fazt app env {} set {}",
            if missing.len() == 1 {
                format!("{} is", missing[0])
            } else {
                format!("{} are", missing.join(", "))
            },
            release.name,
            missing[0],
        );
        self.shared.logs.add(release.app, LogLevel::Error, "", id, String::new(), text);
        Err(DispatchError::NotSetUp)
    }

    async fn serve(
        &self,
        slot: &Arc<Slot>,
        id: RequestId,
        origin: &str,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<WorkerBody>, DispatchError> {
        count(&self.shared.metrics.requests);
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut url = String::with_capacity(origin.len() + path.len());
        url.push_str(origin);
        url.push_str(path);
        let opening = Opening {
            id,
            what: What::Request { method: head.method.as_str(), url: &url, headers: &head.headers },
            body: matches!(body, RequestBody::Stream(_)),
        };
        // The fast path: a worker is there. The head goes before the wait: as long as its bytes live, its
        // connection cannot read into the same buffer again and takes another one for each request.
        if let Some((link, ticket)) = slot.open(&opening)? {
            drop((url, head));
            return Exchange::new(link, ticket, body).response().await;
        }
        slot.dispatch(&opening, body).await
    }

    /// Log lines of an app not older than `since_unix_ms`, and those to come. Reads files: may take a while.
    pub async fn logs(&self, app: AppId, since_unix_ms: u64) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        self.shared.logs.read(app, since_unix_ms).await
    }

    /// Writes a warning about an answer into an app's log, for its author.
    pub(crate) fn remark(&self, app: AppId, id: RequestId, text: String) {
        self.shared.logs.add(app, LogLevel::Warn, "", Some(id), String::new(), text);
    }

    /// Frames of the app's workers as they pass, until the receiver is dropped.
    #[must_use]
    pub fn trace(&self, app: AppId) -> broadcast::Receiver<TraceLine> {
        let trace = self.shared.trace_of(app);
        let lines = trace.join();
        for slot in self.shared.slots_of(app) {
            for link in slot.view().links {
                trace.attach(&link);
            }
        }
        lines
    }

    /// Tries every known escape in locked processes of their own, and tells what stopped each. Apps go on.
    pub async fn doctor(&self) -> Findings {
        let _turn = self.doctor.lock().await;
        doctor::escapes(&self.shared.launcher).await
    }

    /// Stops: new requests are refused, those in flight finish within their deadlines, workers go.
    pub async fn drain(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.pool.stop();
        let slots = self.shared.slots();
        slots.iter().for_each(|slot| slot.tell(Event::Stop));
        let end = Instant::now() + bounds::LAUNCHER_DEADLINE;
        for slot in slots {
            if tokio::time::timeout_at(end.into(), slot.emptied()).await.is_err() {
                break;
            }
        }
    }
}
