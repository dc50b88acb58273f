//! What apps may: asking, granting, taking away.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fazt_ipc::control::{GrantChange, GrantList};

use super::guard::Detail;
use super::{Refused, Shared};
use crate::kernel::security::Commander;

/// `GET /api/apps/NAME/grants`
pub(super) async fn list(
    State(control): Shared,
    Path(name): Path<String>,
) -> Result<Json<GrantList>, Refused> {
    Ok(Json(control.fs.grants(&name).await?))
}

/// `POST /api/apps/NAME/grants`
pub(super) async fn change(
    State(control): Shared,
    Path(name): Path<String>,
    Extension(commander): Extension<Commander>,
    change: Result<Json<GrantChange>, JsonRejection>,
) -> Result<(Extension<Detail>, Json<GrantList>), Refused> {
    let Json(change) = change?;
    let grant = change.grant.iter().map(|permission| format!("+{permission}"));
    let all: Vec<String> =
        grant.chain(change.revoke.iter().map(|permission| format!("-{permission}"))).collect();
    let list = control.fs.change_grants(&name, change, commander.name().to_owned()).await?;
    Ok((Extension(Detail(all.join(" "))), Json(list)))
}
