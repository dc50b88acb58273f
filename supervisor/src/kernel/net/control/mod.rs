//! The control API: JSON over HTTP on `DATA/run/control.sock`, and at the OS origin for whoever shows a token: every
//! row of the table in `table.rs`. Whoever reaches a handler was admitted by `security`; names, paths and bodies are
//! still checked by whom they concern (`fs` for names, paths and manifests).
//!
//! | task | file |
//! |---|---|
//! | an operation: its route, its types, who may | `table.rs` |
//! | the check of who may, the audit log | `guard.rs` |
//! | its description | `openapi.rs` |
//! | what apps and deploys do | `apps.rs`, `deploys.rs` |
//! | files of an app | `files.rs` |
//! | variables of an app | `env.rs` |
//! | schedules, runs and jobs | `schedule.rs` |
//! | state, processes, metrics | `server.rs` |
//! | users, sessions, tokens, the audit log | `people.rs` |
//! | logs and traces as they come | `follow.rs` |
//! | what apps store, a person's archive | `storage.rs`, `export.rs` |
//! | the socket and who may speak | `socket.rs` |

mod apps;
mod deploys;
mod env;
mod error;
mod export;
mod files;
mod follow;
mod grants;
mod guard;
mod installs;
mod openapi;
mod people;
mod schedule;
mod server;
mod socket;
mod storage;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use fazt_ipc::control::{App, ErrorKind, Layer};
use http::Method;
use http_body::Body as _;
use tokio::sync::watch;

use super::egress::Egress;
use super::metrics::Metrics;
use super::tls::Tls;
use crate::config::Config;
use crate::kernel::fs::{AppInfo, Fs};
use crate::kernel::proc::Proc;
use crate::kernel::proc::schedule::Scheduler;
use crate::kernel::security::{Commander, Identity, Secret};
use crate::limits::CONTROL_JSON_BYTES_MAX;
use table::TABLE;

pub(crate) use error::Refused;
pub(crate) use guard::unproved;
pub(crate) use socket::bind;

/// What the operations work on.
pub(crate) struct Control {
    /// Apps and files.
    pub(crate) fs: Arc<Fs>,
    /// Who people are.
    pub(crate) identity: Arc<Identity>,
    /// Workers.
    pub(crate) proc: Arc<Proc>,
    /// Requests to elsewhere.
    pub(crate) egress: Arc<Egress>,
    /// What apps do without a request.
    pub(crate) scheduler: Arc<Scheduler>,
    /// Counters of the edge.
    pub(crate) metrics: Arc<Metrics>,
    /// The configuration.
    pub(crate) config: Config,
    /// Where HTTP is served, and behind that HTTPS.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Port of HTTPS; none: it is off.
    pub(crate) tls_port: Option<u16>,
    /// Certificates; none: it is off.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Data folder.
    pub(crate) data: PathBuf,
    /// Layers of the sandbox on this machine.
    pub(crate) layers: Vec<Layer>,
    /// Layers that are missing and allowed to be.
    pub(crate) missing: Vec<String>,
    /// When the server started.
    pub(crate) started: Instant,
    /// Tells the server to stop.
    pub(crate) stop: watch::Sender<bool>,
    /// Tells the launcher that it was told so: a server that dies while it drains is not started again.
    pub(crate) stops: Box<dyn Fn() + Send + Sync>,
}

/// What a handler is given.
type Shared = axum::extract::State<Arc<Control>>;

impl Control {
    /// URL of the OS origin; apps have their name before its host.
    pub(crate) fn url(&self, app: Option<&str>) -> String {
        let host =
            app.map_or_else(|| self.config.domain.clone(), |app| format!("{app}.{}", self.config.domain));
        if let Some(port) = self.tls_port {
            return if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") };
        }
        match self.addresses.first().map(SocketAddr::port) {
            None | Some(80) => format!("http://{host}"),
            Some(port) => format!("http://{host}:{port}"),
        }
    }

    /// URL of a link that lets somebody in once.
    pub(crate) fn join_url(&self, link: &Secret) -> String {
        format!("{}/join/{}", self.url(None), link.expose())
    }

    /// An app as the command line shows it.
    fn app(&self, info: AppInfo) -> App {
        let damaged = info.damaged.map(|why| format!("damaged: {why}"));
        App {
            url: self.url(Some(&info.name)),
            state: self.proc.state(info.id),
            id: info.id,
            name: info.name,
            access: info.access,
            version: info.version,
            description: damaged.unwrap_or(info.description),
            created_unix_ms: info.created_unix_ms,
            disk_bytes: info.disk_bytes,
        }
    }
}

/// Where operations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// At the control socket, by whoever was admitted there.
    Socket,
    /// At the OS origin, by whoever showed a token; the request then carries its [`Commander`].
    Net,
}

/// Every operation that is had at this door.
pub(crate) fn router(control: Arc<Control>, door: Door) -> Router {
    let mut router = Router::new();
    for operation in TABLE.iter().filter(|operation| door == Door::Socket || openapi::is_remote(operation)) {
        let guard = from_fn_with_state((Arc::clone(&control), operation), guard::guard);
        router = router.route(operation.path, (operation.route)().route_layer(guard));
    }
    let router = router
        .fallback(|| async { Refused::new(ErrorKind::NotFound, "no such operation", NEWER) })
        .method_not_allowed_fallback(|| async {
            Refused::new(ErrorKind::Invalid, "not a method of this operation", NEWER)
        })
        .layer(DefaultBodyLimit::max(CONTROL_JSON_BYTES_MAX))
        .layer(from_fn(announced))
        .with_state(control);
    match door {
        Door::Socket => router.layer(Extension(Commander::console())),
        Door::Net => router,
    }
}

/// Refuses a body that says itself that it is too large, before it is waited for. Contents of files, which are
/// `PUT`, have their bound in the plan.
async fn announced(request: Request, next: Next) -> Response {
    let bytes = request.body().size_hint().lower();
    if request.method() != Method::PUT && bytes > CONTROL_JSON_BYTES_MAX as u64 {
        let message = format!("a body of {bytes} bytes; at most {CONTROL_JSON_BYTES_MAX}");
        return Refused::new(ErrorKind::TooLarge, message, "").into_response();
    }
    next.run(request).await
}

const NEWER: &str =
    "the command line may be of another version than the server; restart the server after an upgrade";

/// Where the socket is.
pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join("run").join("control.sock")
}
