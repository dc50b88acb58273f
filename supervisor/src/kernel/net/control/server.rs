//! Operations on the server itself.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use fazt_ipc::control::{CertificateList, Doctor, Layer, Process, ProcessKind, Status};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::Shared;
use crate::config::TlsMode;

/// `GET /api/status`
pub(super) async fn status(State(control): Shared) -> Json<Status> {
    let proc = control.proc.snapshot();
    Json(Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        uptime_s: control.started.elapsed().as_secs(),
        listen: control.addresses.iter().map(ToString::to_string).collect(),
        url: control.url(None),
        data: control.data.display().to_string(),
        apps: control.fs.count() as u64,
        workers: proc.workers,
        pool: proc.pool,
        workers_bytes: proc.workers_bytes,
        workers_bytes_max: proc.workers_bytes_max,
        requests: control.metrics.total(),
        missing_layers: control.missing.clone(),
        troubled: proc.troubled,
        egress: control.egress.show(control.config.egress.test_network),
    })
}

/// `POST /api/stop`
pub(super) async fn stop(State(control): Shared) -> Json<Value> {
    // Before the answer: from here on the stop is promised.
    (control.stops)();
    control.stop.send_replace(true);
    Json(json!({}))
}

/// `GET /api/processes`
pub(super) async fn processes(State(control): Shared) -> Json<Vec<Process>> {
    let mut processes = control.proc.processes().await;
    if processes.iter().any(|process| process.kind != ProcessKind::Worker) {
        // Files are called by ids. When nobody can say the names, that will do.
        let users = control.identity.users().await.unwrap_or_default();
        for process in processes.iter_mut().filter(|process| process.kind != ProcessKind::Worker) {
            let user = users.iter().find(|account| account.id.to_string() == process.principal);
            if let Some(user) = user {
                process.principal.clone_from(&user.name);
            }
        }
    }
    Json(processes)
}

/// `GET /api/doctor`
pub(super) async fn doctor(State(control): Shared) -> Json<Doctor> {
    let mut layers = control.layers.clone();
    if control.config.egress.test_network {
        layers.push(Layer {
            name: "egress".into(),
            present: false,
            detail: "the test network is open: requests of apps may reach this machine itself, unencrypted, at any port"
                .into(),
            fix: "remove egress.test_network from config.toml and restart the server".into(),
        });
    }
    let found = control.proc.doctor().await;
    let healthy = layers.iter().all(|layer| layer.present) && found.good();
    Json(Doctor { layers, escapes: found.escapes, walls_untried: found.walls_untried, healthy })
}

/// `GET /api/certificates`
pub(super) async fn certificates(State(control): Shared) -> Json<CertificateList> {
    Json(match &control.tls {
        Some(tls) => tls.list(),
        None => {
            CertificateList { mode: TlsMode::Off.name().into(), root_pem: None, certificates: Vec::new() }
        }
    })
}

/// `GET /metrics`
pub(super) async fn metrics(State(control): Shared) -> Response {
    let mut text = control.metrics.text();
    text.push_str(&format!(
        "# HELP fazt_apps Apps installed.\n# TYPE fazt_apps gauge\nfazt_apps {}\n",
        control.fs.count()
    ));
    text.push_str(&control.proc.metrics_text());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
