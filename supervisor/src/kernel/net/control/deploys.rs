//! The steps of a deploy. Bodies are streamed to `fs`, which bounds and checks them.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use fazt_ipc::control::{DeployPlan, DeployTicket, Deployed};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::{Refused, Shared};

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

/// `POST /api/deploys/ID/commit`
pub(super) async fn commit(
    State(control): Shared,
    Path(id): Path<String>,
) -> Result<Json<Deployed>, Refused> {
    let done = control.fs.commit(&id).await?;
    Ok(Json(Deployed {
        app: control.app(done.app),
        version: done.version,
        unchanged: done.unchanged,
        files_sent: done.files_sent,
        warnings: done.warnings,
    }))
}

/// `DELETE /api/deploys/ID`
pub(super) async fn abort(State(control): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    control.fs.abort(&id).await?;
    Ok(Json(json!({})))
}
