//! Operations on apps and their workers.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use fazt_ipc::control::{App, Changed, Rename, Rollback, Version};
use fazt_ipc::ids::AppId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, Shared};
use crate::kernel::fs::{Fs, FsError, Release};
use crate::kernel::security::Principal;

type Answer<T> = Result<Json<T>, Refused>;

/// `GET /api/apps`
pub(super) async fn list(State(control): Shared) -> Answer<Vec<App>> {
    let apps = control.fs.apps().await?;
    Ok(Json(apps.into_iter().map(|app| control.app(app)).collect()))
}

/// `GET /api/apps/NAME`
pub(super) async fn one(State(control): Shared, Path(name): Path<String>) -> Answer<App> {
    Ok(Json(control.app(control.fs.app(&name).await?)))
}

#[derive(Deserialize)]
pub(super) struct Removal {
    #[serde(default)]
    keep_data: bool,
}

/// `DELETE /api/apps/NAME`
pub(super) async fn remove(
    State(control): Shared,
    Path(name): Path<String>,
    how: Result<Query<Removal>, QueryRejection>,
) -> Answer<Value> {
    let Query(how) = how?;
    control.fs.remove(&name, how.keep_data).await?;
    Ok(Json(json!({})))
}

/// `POST /api/apps/NAME/rename`
pub(super) async fn rename(
    State(control): Shared,
    Path(name): Path<String>,
    to: Result<Json<Rename>, JsonRejection>,
) -> Answer<App> {
    let Json(to) = to?;
    Ok(Json(control.app(control.fs.rename(&name, &to.name).await?)))
}

/// `GET /api/apps/NAME/versions`
pub(super) async fn versions(State(control): Shared, Path(name): Path<String>) -> Answer<Vec<Version>> {
    Ok(Json(control.fs.versions(&name).await?))
}

/// `POST /api/apps/NAME/rollback`
pub(super) async fn rollback(
    State(control): Shared,
    Path(name): Path<String>,
    to: Result<Json<Rollback>, JsonRejection>,
) -> Answer<Version> {
    let Json(to) = to?;
    Ok(Json(control.fs.rollback(&name, to.number).await?))
}

/// `POST /api/apps/NAME/kill`
pub(super) async fn kill(State(control): Shared, Path(name): Path<String>) -> Answer<Changed> {
    let app = id(&control.fs, &name)?;
    Ok(Json(Changed { workers: control.proc.kill(app) }))
}

/// `POST /api/apps/NAME/hibernate`
pub(super) async fn hibernate(State(control): Shared, Path(name): Path<String>) -> Answer<Changed> {
    let app = id(&control.fs, &name)?;
    Ok(Json(Changed { workers: control.proc.hibernate(app) }))
}

/// An app of files alone is answered without a process.
const NOTHING_TO_WAKE: Json<Changed> = Json(Changed { workers: 0 });

/// `POST /api/apps/NAME/wake`
pub(super) async fn wake(State(control): Shared, Path(name): Path<String>) -> Answer<Changed> {
    let release = release(&control.fs, &name).await?;
    if !release.has_server() {
        return Ok(NOTHING_TO_WAKE);
    }
    Ok(Json(Changed { workers: control.proc.wake(&release, Principal::Anonymous).await? }))
}

/// `POST /api/apps/NAME/restart`
pub(super) async fn restart(State(control): Shared, Path(name): Path<String>) -> Answer<Changed> {
    let release = release(&control.fs, &name).await?;
    if !release.has_server() {
        return Ok(NOTHING_TO_WAKE);
    }
    Ok(Json(Changed { workers: control.proc.restart(&release).await? }))
}

/// The app that a name routes to.
pub(super) fn id(fs: &Fs, name: &str) -> Result<AppId, Refused> {
    fs.route(name).ok_or_else(|| FsError::NoApp(name.to_owned()).into())
}

async fn release(fs: &Fs, name: &str) -> Result<Arc<Release>, Refused> {
    Ok(fs.release(id(fs, name)?).await?)
}
