//! API tokens.

use fazt_ipc::ids::TokenId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::rows::{ACCOUNT, TOKEN, account, token};
use super::{Trouble, is_of};
use crate::kernel::security::Mark;
use crate::kernel::security::book::{Account, BookError, Scope, Token};

pub(super) fn add(
    db: &Transaction<'_>,
    mark: Mark,
    made: &Token,
    epoch: u64,
    most: u64,
) -> Result<bool, Trouble> {
    if !is_of(db, made.user, epoch)? {
        return Ok(false);
    }
    let user = made.user.to_string();
    let held: i64 = db.query_row("SELECT count(*) FROM token WHERE user = ?1", [&user], |row| row.get(0))?;
    if held.cast_unsigned() >= most {
        return Err(Trouble::Book(BookError::Full("tokens of this user")));
    }
    let (app, deploys) = match made.scope {
        Scope::Admin => (None, false),
        Scope::App(app) => (Some(app.to_string()), false),
        Scope::Deploy(app) => (Some(app.to_string()), true),
    };
    db.execute(
        "INSERT INTO token(id, mark, user, app, deploys, note, created, used, expires)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            made.id.to_string(),
            mark.0,
            user,
            app,
            deploys,
            made.note,
            made.created_unix_ms.cast_signed(),
            made.used_unix_ms.cast_signed(),
            made.expires_unix_ms.cast_signed(),
        ],
    )?;
    Ok(true)
}

pub(super) fn found(db: &Connection, mark: Mark) -> rusqlite::Result<Option<(Token, Account)>> {
    let sql =
        format!("SELECT {TOKEN}, {ACCOUNT} FROM token JOIN user ON user.id = token.user WHERE mark = ?1");
    let mut found = db.prepare_cached(&sql)?;
    found.query_row([mark.0], |row| Ok((token(row)?, account(row, 8)?))).optional()
}

pub(super) fn used(db: &Transaction<'_>, id: TokenId, now_ms: u64) -> Result<(), Trouble> {
    let now = now_ms.cast_signed();
    db.execute("UPDATE token SET used = ?2 WHERE id = ?1", params![id.to_string(), now])?;
    Ok(())
}

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Token>> {
    let mut found = db.prepare_cached(&format!("SELECT {TOKEN} FROM token ORDER BY created"))?;
    found.query_map([], token)?.collect()
}

pub(super) fn remove(db: &Transaction<'_>, id: TokenId) -> Result<Option<Token>, Trouble> {
    let sql = format!("DELETE FROM token WHERE id = ?1 RETURNING {}", TOKEN.replace("token.", ""));
    Ok(db.query_row(&sql, [id.to_string()], token).optional()?)
}
