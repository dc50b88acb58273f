//! Apps from elsewhere: fetched while whoever asked watches, and left as an open deploy. Who stops watching before it
//! is there gives it up.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fazt_ipc::control::{Install, InstallLine, Update};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use tokio::sync::mpsc;

use super::{Control, Refused, Shared};
use crate::kernel::fs::{LINES_MAX, Told, Wanted};

/// `POST /api/installs`
pub(super) async fn install(
    State(control): Shared,
    install: Result<Json<Install>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(Install { source, name, token }) = install?;
    Ok(watched(&control, Wanted::Install { source, name }, token))
}

/// `POST /api/apps/NAME/updates`
pub(super) async fn update(
    State(control): Shared,
    Path(app): Path<String>,
    update: Result<Json<Update>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(Update { reference, token }) = update?;
    Ok(watched(&control, Wanted::Update { app, reference }, token))
}

/// Work that goes on as long as its lines are read.
struct Watched {
    work: Pin<Box<dyn Future<Output = InstallLine> + Send>>,
    lines: mpsc::Receiver<InstallLine>,
    done: bool,
}

impl Watched {
    async fn next(&mut self) -> Option<InstallLine> {
        if self.done {
            return None;
        }
        tokio::select! {
            biased;
            Some(line) = self.lines.recv() => Some(line),
            last = &mut self.work => {
                self.done = true;
                Some(last)
            }
        }
    }
}

fn watched(control: &Arc<Control>, wanted: Wanted, token: Option<String>) -> Response {
    let (told, lines) = mpsc::channel(LINES_MAX);
    let test = control.config.egress.test_network;
    let work = Arc::clone(&control.fs).fetch_app(wanted, token, test, Told(told));
    let watched = Watched { work: Box::pin(work), lines, done: false };
    let lines = stream::unfold(watched, |mut watched| async move {
        let line = watched.next().await?;
        let mut text = serde_json::to_vec(&line).ok()?;
        text.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(text)), watched))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}
