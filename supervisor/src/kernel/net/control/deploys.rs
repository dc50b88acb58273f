//! The steps of a deploy. Bodies are streamed to `fs`, which bounds and checks them.

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fazt_ipc::control::{Answer, Consent, DeployPlan, DeployTicket, Deployed, ErrorKind, Review};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::guard::Detail;
use super::{Refused, Shared};
use crate::kernel::fs::{FsError, Said};
use crate::kernel::security::{Commander, Need};

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

/// `DELETE /api/deploys/ID`
pub(super) async fn abort(State(control): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    control.fs.abort(&id).await?;
    Ok(Json(json!({})))
}
