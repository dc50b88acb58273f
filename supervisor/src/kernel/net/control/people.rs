//! Operations on users, sessions, tokens, and the audit log, by the console or by whoever showed a token. Whom
//! they may do it to is for `security` to say.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use fazt_ipc::control::{
    AddedUser, Admission, AuditLine, ErrorKind, MadeToken, Myself, NewInvite, NewLink, NewPassword, NewRole,
    NewToken, NewUser, Role, SessionInfo, SignInLink, TokenInfo, UserInfo,
};
use fazt_ipc::ids::{AppId, SessionId, TokenId};
use serde_json::{Value, json};

use super::apps::id;
use super::follow::{Since, answer};
use super::{Control, Refused, Shared};
use crate::kernel::security::book::{Account, Apps, Scope, Session, Token};
use crate::kernel::security::{Commander, IdentityError, Secret};

type Answer<T> = Result<Json<T>, Refused>;
type By = Extension<Commander>;

/// `GET /api/me`
pub(super) async fn me(State(control): Shared, Extension(by): By) -> Json<Myself> {
    Json(Myself {
        name: by.name().to_owned(),
        role: by.role(),
        scope: control.scope(by.scope()),
        version: env!("CARGO_PKG_VERSION").into(),
    })
}

/// `GET /api/users`
pub(super) async fn list(State(control): Shared) -> Answer<Vec<UserInfo>> {
    let sessions = control.identity.sessions(None).await?;
    let users = control.identity.users().await?;
    Ok(Json(users.iter().map(|account| control.user(account, &sessions)).collect()))
}

/// `POST /api/users`
pub(super) async fn add(
    State(control): Shared,
    Extension(by): By,
    new: Result<Json<NewUser>, JsonRejection>,
) -> Answer<AddedUser> {
    let Json(new) = new?;
    let apps = control.admission(new.apps)?;
    let (account, link, expires) = control.identity.add_user(&new.name, new.role, apps, &by.word()).await?;
    Ok(Json(AddedUser { user: control.user(&account, &[]), link: control.link(&link, expires) }))
}

/// `DELETE /api/users/NAME`
pub(super) async fn remove(
    State(control): Shared,
    Extension(by): By,
    Path(name): Path<String>,
) -> Answer<Value> {
    control.identity.remove_user(&name, &by.word()).await?;
    Ok(Json(json!({})))
}

/// `POST /api/users/NAME/password`
pub(super) async fn password(
    State(control): Shared,
    Extension(by): By,
    Path(name): Path<String>,
    new: Result<Json<NewPassword>, JsonRejection>,
) -> Answer<Value> {
    let Json(new) = new?;
    control.identity.set_password(&name, &new.password, new.reset_totp, &by.word()).await?;
    Ok(Json(json!({})))
}

/// `POST /api/users/NAME/link`
pub(super) async fn link(
    State(control): Shared,
    Extension(by): By,
    Path(name): Path<String>,
    new: Result<Json<NewLink>, JsonRejection>,
) -> Answer<SignInLink> {
    let Json(new) = new?;
    let (link, expires) = control.identity.enter_link(&name, new.reset_totp, &by.word()).await?;
    Ok(Json(control.link(&link, expires)))
}

/// `POST /api/users/NAME/role`
pub(super) async fn role(
    State(control): Shared,
    Extension(by): By,
    Path(name): Path<String>,
    new: Result<Json<NewRole>, JsonRejection>,
) -> Answer<UserInfo> {
    let Json(new) = new?;
    let account = control.identity.set_role(&name, new.role, &by.word()).await?;
    let sessions = control.identity.sessions(Some(account.id)).await?;
    Ok(Json(control.user(&account, &sessions)))
}

/// `POST /api/users/NAME/apps`
pub(super) async fn admit(
    State(control): Shared,
    Extension(by): By,
    Path(name): Path<String>,
    admission: Result<Json<Admission>, JsonRejection>,
) -> Answer<UserInfo> {
    let Json(admission) = admission?;
    let apps = control.admission(admission.apps)?;
    let account = control.identity.admit(&name, apps, &by.word()).await?;
    let sessions = control.identity.sessions(Some(account.id)).await?;
    Ok(Json(control.user(&account, &sessions)))
}

/// `GET /api/users/NAME/sessions`
pub(super) async fn sessions(State(control): Shared, Path(name): Path<String>) -> Answer<Vec<SessionInfo>> {
    let account = control.identity.user(&name).await?;
    let sessions = control.identity.sessions(Some(account.id)).await?;
    let info = |session: Session| SessionInfo {
        id: session.id,
        user: account.name.clone(),
        app: session.app.map(|app| control.app_name(app)),
        created_unix_ms: session.created_unix_ms,
        seen_unix_ms: session.seen_unix_ms,
        expires_unix_ms: session.expires_unix_ms,
        address: session.address,
        agent: session.agent,
    };
    Ok(Json(sessions.into_iter().map(info).collect()))
}

/// `DELETE /api/sessions/ID`
pub(super) async fn revoke(
    State(control): Shared,
    Extension(by): By,
    Path(text): Path<String>,
) -> Answer<Value> {
    let id: SessionId =
        text.parse().map_err(|_| Refused::from(IdentityError::Unknown("session", text.clone())))?;
    control.identity.revoke_session(id, &by.word()).await?;
    Ok(Json(json!({})))
}

/// `POST /api/invites`
pub(super) async fn invite(
    State(control): Shared,
    Extension(by): By,
    new: Result<Json<NewInvite>, JsonRejection>,
) -> Answer<SignInLink> {
    let Json(new) = new?;
    let apps = control.admission(new.apps)?;
    let life = new.expires_s.map(|seconds| seconds.saturating_mul(1_000));
    let (link, expires) = control.identity.invite(new.role, apps, life, &by.word()).await?;
    Ok(Json(control.link(&link, expires)))
}

/// `GET /api/tokens`
pub(super) async fn tokens(State(control): Shared) -> Answer<Vec<TokenInfo>> {
    let users = control.identity.users().await?;
    let tokens = control.identity.tokens(None).await?;
    let named = |token: Token| {
        let user = users.iter().find(|account| account.id == token.user);
        control.token(token, user.map_or("", |account| &account.name))
    };
    Ok(Json(tokens.into_iter().map(named).collect()))
}

/// `POST /api/tokens`
pub(super) async fn new_token(
    State(control): Shared,
    Extension(by): By,
    new: Result<Json<NewToken>, JsonRejection>,
) -> Answer<MadeToken> {
    let Json(new) = new?;
    let scope = match new.scope.split_once(':') {
        Some(("app", name)) => Scope::App(id(&control.fs, name)?),
        Some(("deploy", name)) => Scope::Deploy(id(&control.fs, name)?),
        None if new.scope == "admin" => Scope::Admin,
        _ => {
            let hint = "say admin, or app:NAME or deploy:NAME with the name of an app";
            return Err(Refused::new(ErrorKind::Invalid, format!("no such scope: {}", new.scope), hint));
        }
    };
    let account = match (&new.user, by.person()) {
        (Some(name), _) => control.identity.user(name).await?,
        (None, Some(person)) => control.identity.user(person.name()).await?,
        (None, None) => {
            let users = control.identity.users().await?;
            let owner = users.into_iter().find(|account| account.role == Role::Owner);
            owner.ok_or_else(|| Refused::from(IdentityError::Unknown("user", "owner".into())))?
        }
    };
    if !matches!(scope, Scope::App(_)) && account.role < Role::Admin {
        let message = format!("{} is a member and may not command the server", account.name);
        let hint = "give the token the scope app:NAME, or name an admin with --user";
        return Err(Refused::new(ErrorKind::PermissionDenied, message, hint));
    }
    // A token acts as its user: an admin makes none for others.
    if by.role() != Role::Owner && by.person().is_none_or(|person| person.id() != account.id) {
        let message = format!("only the owner makes tokens for others: {} acts for themselves", by.name());
        return Err(Refused::new(ErrorKind::PermissionDenied, message, "leave --user out"));
    }
    let life = new.expires_s.map(|seconds| seconds.saturating_mul(1_000));
    let (text, token) = control.identity.new_token(&account, scope, &new.note, life, &by.word()).await?;
    Ok(Json(MadeToken { token: text, info: control.token(token, &account.name) }))
}

/// `DELETE /api/tokens/ID`
pub(super) async fn remove_token(
    State(control): Shared,
    Extension(by): By,
    Path(text): Path<String>,
) -> Answer<Value> {
    let id: TokenId =
        text.parse().map_err(|_| Refused::from(IdentityError::Unknown("token", text.clone())))?;
    control.identity.remove_token(id, &by.word()).await?;
    Ok(Json(json!({})))
}

/// `GET /api/audit?since_ms=T&follow=BOOL`
pub(super) async fn audit(
    State(control): Shared,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(since) = since?;
    let (lines, more) = control.identity.audit(since.since_ms).await?;
    let follow = since.follow.then(|| (more, control.stop.subscribe()));
    Ok(answer::<AuditLine>(lines.into(), follow, None))
}

impl Control {
    /// Which apps somebody is admitted to, by their names.
    fn admission(&self, names: Option<Vec<String>>) -> Result<Apps, Refused> {
        let Some(names) = names else { return Ok(Apps::All) };
        let apps = names.iter().map(|name| id(&self.fs, name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Apps::Some(apps))
    }

    pub(super) fn app_name(&self, app: AppId) -> String {
        self.fs.name_of(app).unwrap_or_else(|| app.to_string())
    }

    fn user(&self, account: &Account, sessions: &[Session]) -> UserInfo {
        UserInfo {
            id: account.id,
            name: account.name.clone(),
            role: account.role,
            apps: match &account.apps {
                Apps::All => None,
                Apps::Some(apps) => Some(apps.iter().filter_map(|app| self.fs.name_of(*app)).collect()),
            },
            password: account.password.is_some(),
            totp: account.totp,
            sessions: sessions
                .iter()
                .filter(|session| session.user == account.id && session.app.is_none())
                .count() as u64,
            created_unix_ms: account.created_unix_ms,
        }
    }

    fn link(&self, link: &Secret, expires_unix_ms: u64) -> SignInLink {
        SignInLink { url: self.join_url(link), expires_unix_ms }
    }

    fn token(&self, token: Token, user: &str) -> TokenInfo {
        TokenInfo {
            id: token.id,
            user: user.to_owned(),
            scope: self.scope(token.scope),
            note: token.note,
            created_unix_ms: token.created_unix_ms,
            used_unix_ms: token.used_unix_ms,
            expires_unix_ms: token.expires_unix_ms,
        }
    }
}
