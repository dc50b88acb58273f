//! The steps of a deploy. Bodies are streamed to `fs`, which bounds and checks them.

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fazt_ipc::control::{Answer, Consent, DeployPlan, DeployTicket, Deployed, ErrorKind, Review};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::guard::Detail;
use super::{Control, Refused, Shared};
use crate::kernel::fs::{Committed, FsError, Said};
use crate::kernel::security::{Commander, Need, Principal};

/// `POST /api/apps/NAME/deploys`
pub(super) async fn plan(
    State(control): Shared,
    Path(name): Path<String>,
    plan: Result<Json<DeployPlan>, JsonRejection>,
) -> Result<Json<DeployTicket>, Refused> {
    let Json(plan) = plan?;
    Ok(Json(control.fs.plan(&name, plan).await?))
}

/// `PUT /api/deploys/ID/files/SHA256`
pub(super) async fn put(
    State(control): Shared,
    Path((id, sha256)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let pieces = body.into_data_stream().map_err(std::io::Error::other).boxed();
    control.fs.put(&id, &sha256, pieces).await?;
    Ok(Json(json!({})))
}

/// `GET /api/deploys/ID`
pub(super) async fn review(State(control): Shared, Path(id): Path<String>) -> Result<Json<Review>, Refused> {
    Ok(Json(control.fs.review(&id).await?))
}

/// `POST /api/deploys/ID/commit`
///
/// Whoever may only deploy does not decide what an app may: for them it is as if nobody had been asked.
pub(super) async fn commit(
    State(control): Shared,
    Path(id): Path<String>,
    Extension(commander): Extension<Commander>,
    consent: Bytes,
) -> Result<(Extension<Detail>, Json<Deployed>), Refused> {
    let consent = match &consent[..] {
        [] => None,
        text => Some(serde_json::from_slice::<Consent>(text).map_err(|error| {
            Refused::new(ErrorKind::Invalid, format!("the consent cannot be read: {error}"), "")
        })?),
    };
    let decides = commander.may(Need::Server, None).is_ok();
    let said = Said { consent: consent.filter(|_| decides), by: commander.name().to_owned() };
    let done = match control.fs.commit(&id, said).await {
        Err(error @ FsError::Waits { .. }) if !decides => {
            let hint = "nothing has changed; what an app may is for whoever has the scope admin to decide";
            return Err(Refused::new(error.kind(), error.to_string(), hint));
        }
        done => done?,
    };
    let answers = |wanted: Answer| {
        let those = done.permissions.iter().filter(move |info| info.answer == wanted);
        those.map(|info| info.permission.as_str()).collect::<Vec<_>>().join(" ")
    };
    let mut detail = format!("version {}", done.version.number);
    for answer in [Answer::Granted, Answer::Refused, Answer::Unanswered] {
        let list = answers(answer);
        if !list.is_empty() {
            detail.push_str(&format!("; {answer} {list}"));
        }
    }
    if let Some(before) = done.replaced.filter(|_| !done.unchanged) {
        control.healthy(&done, before).await?;
    }
    let deployed = Deployed {
        app: control.app(done.app),
        version: done.version,
        unchanged: done.unchanged,
        files_sent: done.files_sent,
        permissions: done.permissions,
        warnings: done.warnings,
    };
    Ok((Extension(Detail(detail)), Json(deployed)))
}

impl Control {
    /// Starts what was just updated; when that fails, the version `before` is live again.
    async fn healthy(&self, done: &Committed, before: u64) -> Result<(), Refused> {
        let release = self.fs.release(done.app.id).await?;
        // What is not set is told by the warnings, and is nothing that the version before would have instead.
        if !release.has_server() || !release.env.missing().is_empty() {
            return Ok(());
        }
        let Err(error) = self.proc.wake(&release, Principal::Anonymous).await else { return Ok(()) };
        let name = &done.app.name;
        self.fs.rollback(name, Some(before)).await?;
        let number = done.version.number;
        let message =
            format!("version {number} of `{name}` does not start: {error}; version {before} is live again");
        let hint = format!("`fazt proc logs {name}` has the reason with file and line");
        Err(Refused::new(ErrorKind::Failed, message, hint))
    }
}

/// `DELETE /api/deploys/ID`
pub(super) async fn abort(State(control): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    control.fs.abort(&id).await?;
    Ok(Json(json!({})))
}
