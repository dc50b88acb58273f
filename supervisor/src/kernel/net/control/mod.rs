//! The control API: JSON over HTTP/1.1 on `DATA/run/control.sock`, every row of the table in
//! `fazt_ipc::control`. Whoever reaches a handler was admitted by `security`; names, paths and bodies are still
//! checked by whom they concern (`fs` for names, paths and manifests).
//!
//! | task | file |
//! |---|---|
//! | a route | here |
//! | what apps and deploys do | `apps.rs`, `deploys.rs` |
//! | files of an app | `files.rs` |
//! | variables of an app | `env.rs` |
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
mod people;
mod server;
mod socket;
mod storage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use fazt_ipc::control::{App, ErrorKind, Layer};
use http::Method;
use http_body::Body as _;
use tokio::sync::watch;

use super::metrics::Metrics;
use crate::config::Config;
use crate::kernel::fs::{AppInfo, Fs};
use crate::kernel::proc::Proc;
use crate::kernel::security::{Identity, Secret};
use crate::limits::CONTROL_JSON_BYTES_MAX;

pub(crate) use error::Refused;
pub(crate) use socket::bind;

/// What the operations work on.
pub(crate) struct Control {
    /// Apps and files.
    pub(crate) fs: Arc<Fs>,
    /// Who people are.
    pub(crate) identity: Arc<Identity>,
    /// Workers.
    pub(crate) proc: Arc<Proc>,
    /// Counters of the edge.
    pub(crate) metrics: Arc<Metrics>,
    /// The configuration.
    pub(crate) config: Config,
    /// Where HTTP is served.
    pub(crate) addresses: Vec<SocketAddr>,
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

/// Every operation.
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/api/status", get(server::status))
        .route("/api/stop", post(server::stop))
        .route("/api/processes", get(server::processes))
        .route("/api/doctor", get(server::doctor))
        .route("/metrics", get(server::metrics))
        .route("/api/apps", get(apps::list))
        .route("/api/apps/{name}", get(apps::one).delete(apps::remove))
        .route("/api/apps/{name}/rename", post(apps::rename))
        .route("/api/apps/{name}/kill", post(apps::kill))
        .route("/api/apps/{name}/hibernate", post(apps::hibernate))
        .route("/api/apps/{name}/wake", post(apps::wake))
        .route("/api/apps/{name}/restart", post(apps::restart))
        .route("/api/apps/{name}/versions", get(apps::versions))
        .route("/api/apps/{name}/rollback", post(apps::rollback))
        .route("/api/apps/{name}/deploys", post(deploys::plan))
        .route("/api/deploys/{id}/files/{sha256}", put(deploys::put))
        .route("/api/deploys/{id}/commit", post(deploys::commit))
        .route("/api/deploys/{id}", delete(deploys::abort))
        .route("/api/apps/{name}/files", get(files::list))
        .route("/api/apps/{name}/file", get(files::read))
        .route("/api/apps/{name}/env", get(env::list).post(env::change))
        .route("/api/apps/{name}/logs", get(follow::logs))
        .route("/api/apps/{name}/trace", get(follow::trace))
        .route("/api/apps/{name}/collections", get(storage::collections))
        .route("/api/apps/{name}/query", post(storage::query))
        .route("/api/apps/{name}/explain", post(storage::explain))
        .route("/api/storage", get(storage::usage))
        .route("/api/storage/check", get(storage::check))
        .route("/api/users/{name}/export", get(storage::export_user))
        .route("/api/users", get(people::list).post(people::add))
        .route("/api/users/{name}", delete(people::remove))
        .route("/api/users/{name}/password", post(people::password))
        .route("/api/users/{name}/link", post(people::link))
        .route("/api/users/{name}/apps", post(people::admit))
        .route("/api/users/{name}/sessions", get(people::sessions))
        .route("/api/sessions/{id}", delete(people::revoke))
        .route("/api/invites", post(people::invite))
        .route("/api/tokens", get(people::tokens).post(people::new_token))
        .route("/api/tokens/{id}", delete(people::remove_token))
        .route("/api/audit", get(people::audit))
        .fallback(|| async { Refused::new(ErrorKind::NotFound, "no such operation", NEWER) })
        .method_not_allowed_fallback(|| async {
            Refused::new(ErrorKind::Invalid, "not a method of this operation", NEWER)
        })
        .layer(DefaultBodyLimit::max(CONTROL_JSON_BYTES_MAX))
        .layer(from_fn(announced))
        .with_state(control)
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
