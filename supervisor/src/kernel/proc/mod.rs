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
//! | states of an app's workers | `lifecycle.rs`, run by `slot.rs` |
//! | frames of one worker | `link/` |
//! | who goes when memory is short | `pressure.rs` |
//! | compile and strip in jails | `builder.rs` |
//! | logs | `logs.rs` |

mod body;
mod bounds;
mod error;
mod launcher;
mod link;
mod options;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use fazt_ipc::control::{LogLine, Process, State, TraceLine, Troubled};
use fazt_ipc::ids::{AppId, RequestId};
use tokio::sync::broadcast;

use super::fs::{Builder, Fs, Release};
use super::security::{Authority, Principal};

pub use body::{BodyError, RequestBody};
pub use error::{DispatchError, ProcError};
pub use link::WorkerBody;
pub use options::ProcOptions;

/// All workers.
pub struct Proc {}

/// What `status` tells of workers.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Apps and principals by state.
    pub workers: Vec<(State, u64)>,
    /// Warm workers in the pool.
    pub pool: u64,
    /// Memory of all workers, as last counted.
    pub workers_bytes: u64,
    /// Budget for all workers.
    pub workers_bytes_max: u64,
    /// Requests since start.
    pub requests: u64,
    /// Apps in back-off or quarantine.
    pub troubled: Vec<Troubled>,
}

impl Proc {
    /// Takes over the channel to the launcher and starts filling the pool. Must run inside the runtime. When
    /// the launcher goes away the process exits at once.
    ///
    /// # Errors
    /// When the channel or the data folder cannot be used.
    pub fn start(launcher: OwnedFd, options: ProcOptions) -> Result<Arc<Self>, ProcError> {
        let _ = (launcher, options);
        Ok(Arc::new(Self {}))
    }

    /// What deploys need from jails.
    #[must_use]
    pub fn builder(self: &Arc<Self>) -> Arc<dyn Builder> {
        Arc::new(NoBuilder)
    }

    /// Follows the changes of apps: new versions get new workers, removed apps lose theirs. Spawns its task.
    pub fn follow(self: &Arc<Self>, fs: Arc<Fs>) {
        let _ = fs;
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
        let _ = (release, authority, id, origin, request);
        Err(DispatchError::NoWorker)
    }

    /// Every app that has a worker or is in trouble, for `ps` and `top`. Asks the launcher what they use.
    pub async fn processes(&self) -> Vec<Process> {
        Vec::new()
    }

    /// State of the app's busiest worker.
    #[must_use]
    pub fn state(&self, app: AppId) -> State {
        let _ = app;
        State::Hibernated
    }

    /// What `status` tells.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::default()
    }

    /// Kills the app's workers. How many there were.
    pub fn kill(&self, app: AppId) -> u64 {
        let _ = app;
        0
    }

    /// Lets the app's workers finish what they do, and go. How many there were.
    pub fn hibernate(&self, app: AppId) -> u64 {
        let _ = app;
        0
    }

    /// Wakes the app for `principal`: the owner's word, which also ends back-off and quarantine. Returns when
    /// it is loaded. How many workers were started.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn wake(
        self: &Arc<Self>,
        release: &Arc<Release>,
        principal: Principal,
    ) -> Result<u64, DispatchError> {
        let _ = (release, principal);
        Err(DispatchError::NoWorker)
    }

    /// Replaces the app's workers by new ones; requests in flight finish on the old.
    ///
    /// # Errors
    /// When the new ones do not come up.
    pub async fn restart(self: &Arc<Self>, release: &Arc<Release>) -> Result<u64, DispatchError> {
        self.wake(release, Principal::Anonymous).await
    }

    /// Log lines of an app not older than `since_unix_ms`, and those to come. Reads files: may take a while.
    pub async fn logs(&self, app: AppId, since_unix_ms: u64) -> (Vec<LogLine>, broadcast::Receiver<LogLine>) {
        let _ = (app, since_unix_ms);
        (Vec::new(), broadcast::channel(1).1)
    }

    /// Frames of the app's workers as they pass, until the receiver is dropped.
    #[must_use]
    pub fn trace(&self, app: AppId) -> broadcast::Receiver<TraceLine> {
        let _ = app;
        broadcast::channel(1).1
    }

    /// Counters of workers for Prometheus, in its text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        String::new()
    }

    /// Stops: new requests are refused, those in flight finish within their deadlines, workers go.
    pub async fn drain(&self) {}
}

struct NoBuilder;

impl Builder for NoBuilder {
    fn strip(
        &self,
        _: Vec<super::fs::Source>,
    ) -> futures_util::future::BoxFuture<'static, Result<Vec<super::fs::StripResult>, super::fs::BuildError>>
    {
        Box::pin(async { Err(super::fs::BuildError::Unavailable("not started".into())) })
    }
    fn compile(
        &self,
        _: Vec<super::fs::Source>,
    ) -> futures_util::future::BoxFuture<'static, Result<super::fs::Compiled, super::fs::BuildError>> {
        Box::pin(async { Err(super::fs::BuildError::Unavailable("not started".into())) })
    }
    fn engine(&self) -> Option<u64> {
        None
    }
}
