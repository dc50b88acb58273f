//! Variables of an app. Values come in and do not go out, but for those that are no secrets.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use fazt_ipc::control::{EnvChange, EnvList};

use super::guard::Detail;
use super::{Refused, Shared};

/// `GET /api/apps/NAME/env`
pub(super) async fn list(State(control): Shared, Path(name): Path<String>) -> Result<Json<EnvList>, Refused> {
    Ok(Json(control.fs.env(&name).await?))
}

/// `POST /api/apps/NAME/env`
pub(super) async fn change(
    State(control): Shared,
    Path(name): Path<String>,
    change: Result<Json<EnvChange>, JsonRejection>,
) -> Result<(Extension<Detail>, Json<EnvList>), Refused> {
    let Json(change) = change?;
    let set = change.set.keys().map(|name| format!("+{name}"));
    let names: Vec<String> = set.chain(change.unset.iter().map(|name| format!("-{name}"))).collect();
    let list = control.fs.change_env(&name, change).await?;
    Ok((Extension(Detail(names.join(" "))), Json(list)))
}
