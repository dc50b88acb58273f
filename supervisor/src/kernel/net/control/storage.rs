//! What operators ask about the data of apps. Looking at what somebody stores is written into the audit log.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use fazt_ipc::control::{
    Checked, CollectionInfo, ErrorKind, Explanation, ReachedSpace, Role, StoragePage, StorageQuery,
    StorageUse,
};
use fazt_ipc::syscall::ErrorCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::apps::id;
use super::{Control, Refused, Shared, export};
use crate::kernel::security::{Actor, Commander, IdentityError, Person, Principal};
use crate::kernel::storage::data::{DataError, DocCall, Find, Request, Response as Said, SpaceName};

type Answer<T> = Result<Json<T>, Refused>;

/// `GET /api/storage`
pub(super) async fn usage(State(control): Shared) -> Answer<Vec<StorageUse>> {
    let used = control.fs.usage().await?;
    let row = |(info, usage): crate::kernel::fs::Used| {
        let trouble = usage.as_ref().err().map(ToString::to_string);
        let (usage, sql_bytes) = usage.map_or((None, 0), |(usage, sql)| (Some(usage), sql));
        let of = |field: fn(&crate::kernel::storage::Usage) -> u64| usage.as_ref().map_or(0, field);
        let (data_bytes, blobs_bytes) = (of(|usage| usage.data_bytes), of(|usage| usage.blobs_bytes));
        StorageUse {
            app: info.name,
            data_bytes,
            blobs_bytes,
            sql_bytes,
            used_bytes: data_bytes.saturating_add(blobs_bytes).saturating_add(sql_bytes),
            data_bytes_max: of(|usage| usage.data_bytes_max),
            rows: of(|usage| usage.rows),
            rows_max: of(|usage| usage.rows_max),
            files_bytes: of(|usage| usage.files_bytes),
            disk_bytes: info.disk_bytes,
            trouble,
        }
    };
    Ok(Json(used.into_iter().map(row).collect()))
}

#[derive(Deserialize)]
pub(super) struct Which {
    app: Option<String>,
}

/// `GET /api/storage/check?app=NAME`
pub(super) async fn check(
    State(control): Shared,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Vec<Checked>> {
    let Query(which) = which?;
    let checked = control.fs.check(which.app.as_deref()).await?;
    let row = |(app, file, sound): crate::kernel::fs::CheckedFile| {
        let detail = sound.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Checked { app, file, ok: sound.is_ok(), detail }
    };
    Ok(Json(checked.into_iter().map(row).collect()))
}

/// `GET /api/apps/NAME/collections`
pub(super) async fn collections(
    State(control): Shared,
    Path(name): Path<String>,
) -> Answer<Vec<CollectionInfo>> {
    let found = control.fs.collections(&name).await?;
    let row = |of: crate::kernel::storage::data::CollectionUse| CollectionInfo {
        name: of.name,
        active: of.active,
        docs: of.docs,
        schema: of.fields.into_iter().map(|(field, kind)| (field, kind.name().to_owned())).collect(),
        indexes: of.indexes,
    };
    Ok(Json(found.into_iter().map(row).collect()))
}

/// `POST /api/apps/NAME/query`
pub(super) async fn query(
    State(control): Shared,
    Extension(by): Extension<Commander>,
    Path(name): Path<String>,
    query: Result<Json<StorageQuery<Value>>, JsonRejection>,
) -> Answer<StoragePage<Value>> {
    let Json(query) = query?;
    let asked = control.asked(&by, &name, query, "storage.query").await?;
    let request = Request::Docs(asked.space, asked.collection, DocCall::Find(asked.find));
    let Said::Docs { items, cursor } = control.fs.query(asked.whom, request).await? else {
        return Err(Refused::new(ErrorKind::Failed, "storage answered something else", ""));
    };
    let items = items.iter().map(|text| serde_json::from_str(text)).collect::<Result<_, _>>();
    let items = items.map_err(|error| {
        let message = format!("a document is not JSON: {error}");
        Refused::new(ErrorKind::Failed, message, format!("fazt storage check {name}"))
    })?;
    Ok(Json(StoragePage { items, cursor }))
}

/// `POST /api/apps/NAME/explain`
pub(super) async fn explain(
    State(control): Shared,
    Extension(by): Extension<Commander>,
    Path(name): Path<String>,
    query: Result<Json<StorageQuery<Value>>, JsonRejection>,
) -> Answer<Explanation> {
    let Json(query) = query?;
    let asked = control.asked(&by, &name, query, "storage.explain").await?;
    let (sql, plan, spaces) =
        control.fs.explain(asked.whom, asked.space, &asked.collection, asked.find).await?;
    let spaces = spaces.into_iter().map(|space| ReachedSpace {
        number: space.n.cast_unsigned(),
        kind: space.kind,
        id: space.id.unwrap_or_default(),
        name: space.name,
        role: space.role.name().to_owned(),
    });
    let principal = asked.whom.principal().to_string();
    Ok(Json(Explanation { principal, sql, plan, spaces: spaces.collect() }))
}

/// `GET /api/users/NAME/export`
pub(super) async fn export_user(
    State(control): Shared,
    Extension(by): Extension<Commander>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let account = control.identity.user(&name).await?;
    by.may_touch(account.role)?;
    control.identity.looked(by.name(), "storage.export-user", &account.name, "").await;
    let apps = control.fs.apps().await?;
    let body = export::archive(std::sync::Arc::clone(&control.fs), account.id, account.name, apps);
    Ok(([(CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// A query that was looked at.
struct Asked {
    whom: Actor,
    space: SpaceName,
    collection: String,
    find: Find,
}

impl Control {
    async fn asked(
        &self,
        by: &Commander,
        name: &str,
        query: StorageQuery<Value>,
        action: &str,
    ) -> Result<Asked, Refused> {
        let app = id(&self.fs, name)?;
        let (principal, who) = self.whom(by, query.user.as_deref()).await?;
        let space = match query.space.as_deref() {
            None | Some("user") => SpaceName::User,
            Some("app") => SpaceName::App,
            Some(named) => SpaceName::Named(named.parse().map_err(|_| {
                let hint = "say user, app, or the id of a space: fazt storage explain lists them";
                Refused::new(ErrorKind::Invalid, format!("no such space: {named}"), hint)
            })?),
        };
        self.identity
            .looked(by.name(), action, &format!("{name}/{}", query.collection), &format!("as {who}"))
            .await;
        let find = Find {
            filter: query.filter.map(|filter| filter.to_string()),
            order: query.order,
            limit: query.limit,
            cursor: query.cursor,
        };
        Ok(Asked { whom: Actor::of_operator(app, principal), space, collection: query.collection, find })
    }

    /// The principal of this name; without one, whoever asks: at the console, the owner. What is the owner's, no
    /// admin looks at.
    async fn whom(&self, by: &Commander, name: Option<&str>) -> Result<(Principal, String), Refused> {
        match name.or(by.person().map(Person::name)) {
            Some("anonymous") => Ok((Principal::Anonymous, "anonymous".into())),
            Some("service") => Ok((Principal::Service, "service".into())),
            Some(name) => {
                let account = self.identity.user(name).await?;
                by.may_touch(account.role)?;
                Ok((Principal::User(account.id), account.name))
            }
            None => {
                let users = self.identity.users().await?;
                let owner = users.into_iter().find(|account| account.role == Role::Owner);
                let owner = owner.ok_or_else(|| IdentityError::Unknown("user", "owner".into()))?;
                Ok((Principal::User(owner.id), owner.name))
            }
        }
    }
}

impl From<DataError> for Refused {
    fn from(error: DataError) -> Self {
        let kind = match error.code {
            ErrorCode::PermissionDenied | ErrorCode::SignInRequired => ErrorKind::PermissionDenied,
            ErrorCode::NotFound => ErrorKind::NotFound,
            ErrorCode::Conflict => ErrorKind::Conflict,
            ErrorCode::InvalidArgument | ErrorCode::InvalidQuery => ErrorKind::Invalid,
            ErrorCode::QuotaExceeded | ErrorCode::TooLarge => ErrorKind::TooLarge,
            ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Internal => ErrorKind::Failed,
        };
        Self::new(kind, error.message, "")
    }
}
