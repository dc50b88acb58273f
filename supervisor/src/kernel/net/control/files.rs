//! An app's deployed files.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use fazt_ipc::control::Listing;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::super::body::Pieces;
use super::{Refused, Shared};
use crate::kernel::fs::Encoding;

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    path: String,
}

/// `GET /api/apps/NAME/files?path=P`
pub(super) async fn list(
    State(control): Shared,
    Path(name): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Listing>, Refused> {
    let Query(which) = which?;
    Ok(Json(control.fs.list(&name, &which.path).await?))
}

/// `GET /api/apps/NAME/file?path=P`
pub(super) async fn read(
    State(control): Shared,
    Path(name): Path<String>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(which) = which?;
    let (release, file) = control.fs.file(&name, &which.path).await?;
    let bytes = file.bytes;
    let pieces = Pieces::new(Arc::clone(&release), file, Encoding::Identity, 0, bytes);
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::new(pieces)).into_response())
}
