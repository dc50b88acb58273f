//! Logs and traces: one JSON document a line, as they come, until the reader goes or the server stops.

use std::collections::VecDeque;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use fazt_ipc::control::LogLine;
use fazt_ipc::wire::worker::LogLevel;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use super::super::edge::unix_ms;
use super::apps::id;
use super::{Refused, Shared};

#[derive(Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    pub(super) since_ms: u64,
    #[serde(default)]
    pub(super) follow: bool,
}

/// `GET /api/apps/NAME/logs?since_ms=T&follow=BOOL`
pub(super) async fn logs(
    State(control): Shared,
    Path(name): Path<String>,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(since) = since?;
    let app = id(&control.fs, &name)?;
    let (lines, more) = control.proc.logs(app, since.since_ms).await;
    let follow = since.follow.then(|| (more, control.stop.subscribe()));
    Ok(answer(lines.into(), follow, Some(skipped)))
}

/// `GET /api/apps/NAME/trace`
pub(super) async fn trace(State(control): Shared, Path(name): Path<String>) -> Result<Response, Refused> {
    let app = id(&control.fs, &name)?;
    let follow = (control.proc.trace(app), control.stop.subscribe());
    Ok(answer(VecDeque::new(), Some(follow), None))
}

/// `GET /api/apps/NAME/egress?since_ms=T&follow=BOOL`
pub(super) async fn egress(
    State(control): Shared,
    Path(name): Path<String>,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(since) = since?;
    let app = id(&control.fs, &name)?;
    let (lines, more) = control.egress.log().of(app, since.since_ms);
    let follow = since.follow.then(|| (more, control.stop.subscribe()));
    Ok(answer(lines, follow, None))
}

/// What the log says in place of lines that came faster than the reader took them.
fn skipped(lines: u64) -> LogLine {
    LogLine {
        unix_ms: unix_ms(),
        level: LogLevel::Warn,
        principal: String::new(),
        request: String::new(),
        origin: String::new(),
        text: format!("{lines} lines came too fast to be shown"),
    }
}

pub(super) type Follow<T> = Option<(broadcast::Receiver<T>, watch::Receiver<bool>)>;

/// Lines that are there, and those to come.
pub(super) fn answer<T>(first: VecDeque<T>, follow: Follow<T>, skipped: Option<fn(u64) -> T>) -> Response
where
    T: Serialize + Clone + Send + 'static,
{
    let lines = stream::unfold((first, follow), move |(mut first, mut follow)| async move {
        let line = match first.pop_front() {
            Some(line) => line,
            None => next(follow.as_mut()?, skipped).await?,
        };
        let mut text = serde_json::to_vec(&line).ok()?;
        text.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), (first, follow)))
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The next line; none when there will be no more.
async fn next<T: Clone>(
    (more, stop): &mut (broadcast::Receiver<T>, watch::Receiver<bool>),
    skipped: Option<fn(u64) -> T>,
) -> Option<T> {
    loop {
        let received = tokio::select! {
            received = more.recv() => received,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        match (received, skipped) {
            (Ok(line), _) => return Some(line),
            (Err(RecvError::Lagged(lines)), Some(skipped)) => return Some(skipped(lines)),
            (Err(RecvError::Lagged(_)), None) => {}
            (Err(RecvError::Closed), _) => return None,
        }
    }
}
