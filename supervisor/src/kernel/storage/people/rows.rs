//! Rows as values of the book.

use fazt_ipc::control::Role;
use fazt_ipc::ids::AppId;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::kernel::security::Mark;
use crate::kernel::security::book::{Account, Apps, Invite, PasskeyRow, Purpose, Scope, Session, Token};

pub(super) const ACCOUNT: &str = "user.id, user.name, user.role, user.apps, user.password, user.created, user.epoch, \
    EXISTS(SELECT 1 FROM totp WHERE totp.user = user.id)";
pub(super) const SESSION: &str = "session.id, session.user, session.parent, session.app, session.created, session.seen, \
    session.expires, session.address, session.agent, session.proved";
pub(super) const PASSKEY: &str =
    "passkey.id, passkey.user, passkey.note, passkey.key, passkey.created, passkey.used";
pub(super) const TOKEN: &str =
    "token.id, token.user, token.app, token.note, token.created, token.used, token.expires, token.deploys";

pub(super) fn invite_of(
    db: &Connection,
    mark: Mark,
    now_ms: u64,
) -> rusqlite::Result<Option<(Invite, Option<Account>)>> {
    let sql = format!(
        "SELECT invite.user, invite.role, invite.apps, invite.expires, invite.resets, {ACCOUNT} FROM invite
         LEFT JOIN user ON user.id = invite.user WHERE mark = ?1 AND expires > ?2"
    );
    let mut found = db.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| {
        let enters: Option<String> = row.get(0)?;
        let (purpose, account) = match enters {
            Some(user) => {
                let purpose = Purpose::Enter { user: parsed(0, &user)?, resets_totp: row.get(4)? };
                (purpose, Some(account(row, 5)?))
            }
            None => {
                let role = parsed(1, &row.get::<_, String>(1)?)?;
                (Purpose::Join { role, apps: apps_read(row, 2)? }, None)
            }
        };
        Ok((Invite { purpose, expires_unix_ms: row.get::<_, i64>(3)?.cast_unsigned() }, account))
    };
    found.query_row(params![mark.0, now_ms.cast_signed()], read).optional()
}

pub(super) fn account(row: &Row<'_>, from: usize) -> rusqlite::Result<Account> {
    Ok(Account {
        id: parsed(from, &row.get::<_, String>(from)?)?,
        name: row.get(from + 1)?,
        role: parsed::<Role>(from + 2, &row.get::<_, String>(from + 2)?)?,
        apps: apps_read(row, from + 3)?,
        password: row.get(from + 4)?,
        created_unix_ms: row.get::<_, i64>(from + 5)?.cast_unsigned(),
        epoch: row.get::<_, i64>(from + 6)?.cast_unsigned(),
        totp: row.get(from + 7)?,
    })
}

pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let optional = |at: usize| row.get::<_, Option<String>>(at);
    Ok(Session {
        id: parsed(0, &row.get::<_, String>(0)?)?,
        user: parsed(1, &row.get::<_, String>(1)?)?,
        parent: optional(2)?.map(|id| parsed(2, &id)).transpose()?,
        app: optional(3)?.map(|id| parsed(3, &id)).transpose()?,
        created_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        seen_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
        expires_unix_ms: row.get::<_, i64>(6)?.cast_unsigned(),
        address: row.get(7)?,
        agent: row.get(8)?,
        proved_unix_ms: row.get::<_, i64>(9)?.cast_unsigned(),
    })
}

pub(super) fn passkey(row: &Row<'_>) -> rusqlite::Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.get(0)?,
        user: parsed(1, &row.get::<_, String>(1)?)?,
        note: row.get(2)?,
        key: row.get(3)?,
        created_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        used_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

pub(super) fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let app: Option<String> = row.get(2)?;
    Ok(Token {
        id: parsed(0, &row.get::<_, String>(0)?)?,
        user: parsed(1, &row.get::<_, String>(1)?)?,
        scope: match app {
            Some(app) => {
                let app: AppId = parsed(2, &app)?;
                if row.get(7)? { Scope::Deploy(app) } else { Scope::App(app) }
            }
            None => Scope::Admin,
        },
        note: row.get(3)?,
        created_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        used_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
        expires_unix_ms: row.get::<_, i64>(6)?.cast_unsigned(),
    })
}

pub(super) fn apps_text(apps: &Apps) -> Option<String> {
    match apps {
        Apps::All => None,
        Apps::Some(apps) => Some(apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    }
}

pub(super) fn apps_read(row: &Row<'_>, at: usize) -> rusqlite::Result<Apps> {
    match row.get::<_, Option<String>>(at)? {
        None => Ok(Apps::All),
        Some(text) => {
            text.split_whitespace().map(|id| parsed(at, id)).collect::<rusqlite::Result<_>>().map(Apps::Some)
        }
    }
}

pub(super) fn parsed<T>(at: usize, text: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}
