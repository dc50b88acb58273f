//! `fazt.storage.sql`, and the same behind `env.DB`: which file a call is about, and whether the caller may use it so.

use fazt_ipc::store::{Form, Statement};
use fazt_ipc::syscall::{CallError, ErrorCode, Reply, SqlFailure, SqlStatement};

use super::Answer;
use super::Whole;
use super::storage::{outsider, place};
use crate::kernel::fs::Release;
use crate::kernel::security::Actor;
use crate::kernel::storage::data::{DataError, Request, Response, Role, SpaceName};
use crate::kernel::storage::sql::{Place, Query, Room, SqlError, values};

/// A call on a database.
pub(super) struct Asked {
    /// What an app calls a space.
    pub(super) space: String,
    /// A database of this name in the app's space, as bindings have.
    pub(super) binding: Option<String>,
    /// What to run.
    pub(super) statements: Vec<SqlStatement>,
    /// How the statements are to be taken.
    pub(super) form: Form,
}

/// Answers a call.
pub(super) async fn answer(
    release: &Release,
    actor: Actor,
    asked: Asked,
    room: Box<dyn Room>,
) -> Result<Answer, CallError> {
    let space = place(&asked.space)?;
    if let Some(name) = &asked.binding
        && !release.has_database(name)
    {
        return Err(CallError::new(ErrorCode::NotFound, "the app has no such database"));
    }
    let reach = release.data().call(actor, Request::Reach(space)).await.map_err(outsider)?;
    let Response::Reach { role } = reach else {
        tracing::error!(?reach, "storage answered something else");
        return Err(CallError::new(ErrorCode::Internal, "storage failed; the server's log says why"));
    };
    let file = match (space, asked.binding) {
        (SpaceName::App, Some(name)) => Place::Binding(name),
        (SpaceName::App, None) => Place::App,
        (SpaceName::Named(space), _) => Place::Space(space),
        // The data said that somebody is signed in.
        (SpaceName::User, _) => match actor.principal().user() {
            Some(user) => Place::User(user),
            None => return Err(CallError::new(ErrorCode::SignInRequired, "nobody is signed in")),
        },
    };
    let statements = asked.statements.into_iter().map(|SqlStatement { sql, values: list }| {
        Ok(Statement { sql, values: if list.is_empty() { Vec::new() } else { values(&list)? } })
    });
    let limits = &release.manifest.limits;
    let query = Query {
        read_only: role == Role::Reader,
        form: asked.form,
        statements: statements.collect::<Result<_, DataError>>().map_err(outsider)?,
        cpu_ms: limits.cpu_ms,
        quota_bytes: u64::from(limits.storage_mib) << 20,
    };
    let reply =
        |failure| if asked.form == Form::Script { Reply::SqlExec(failure) } else { Reply::SqlBatch(failure) };
    match release.sql().call(actor.app(), file, query, room).await {
        Ok(text) => Ok(Answer::Bytes(reply(None), Box::new(Whole::from(text)))),
        // Which statement it was is told beside the message.
        Err(SqlError { at, error }) if error.code == ErrorCode::InvalidQuery => {
            let failure = SqlFailure { at, code: error.code.to_string(), message: error.message };
            Ok(Answer::Bytes(reply(Some(failure)), Box::new(Whole::from(""))))
        }
        Err(SqlError { error, .. }) => Err(outsider(error)),
    }
}
