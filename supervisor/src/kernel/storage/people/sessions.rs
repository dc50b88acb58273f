//! Opening sessions: at the OS origin, and below one of those at apps' origins.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::rows::{SESSION, session as read};
use super::{Trouble, is_of};
use crate::kernel::security::Mark;
use crate::kernel::security::book::{Session, SessionsMax};

/// As [`super::Book::add_session`].
pub(super) fn add(
    db: &Transaction<'_>,
    mark: Mark,
    session: &Session,
    epoch: u64,
    most: SessionsMax,
) -> Result<Option<Vec<Session>>, Trouble> {
    if !is_of(db, session.user, epoch)? {
        return Ok(None);
    }
    let user = session.user.to_string();
    let (parent, app) = (session.parent.map(|id| id.to_string()), session.app.map(|id| id.to_string()));
    if let Some(parent) = &parent {
        let sql = "SELECT expires FROM session WHERE id = ?1 AND user = ?2";
        let expires: Option<i64> = db.query_row(sql, [parent, &user], |row| row.get(0)).optional()?;
        if expires.is_none_or(|expires| expires.cast_unsigned() <= session.created_unix_ms) {
            return Ok(None);
        }
    }
    // The browser is the same, and keeps one cookie for that origin: the one before opens nothing any more.
    db.execute("DELETE FROM session WHERE parent = ?1 AND app = ?2", params![parent, app])?;
    db.execute(
        "INSERT INTO session(id, mark, user, parent, app, created, seen, expires, address, agent, proved)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            session.id.to_string(),
            mark.0,
            user,
            parent,
            app,
            session.created_unix_ms.cast_signed(),
            session.seen_unix_ms.cast_signed(),
            session.expires_unix_ms.cast_signed(),
            session.address,
            session.agent,
            session.proved_unix_ms.cast_signed(),
        ],
    )?;
    let (own, most) = match parent {
        Some(parent) => (("parent = ?1", parent), most.below_each),
        None => (("user = ?1 AND parent IS NULL", user), most.homes),
    };
    // Never the one that was just opened, whatever the clock says of it.
    let sql = format!(
        "SELECT id FROM session WHERE {} ORDER BY id = ?3 DESC, seen DESC, id DESC LIMIT -1 OFFSET ?2",
        own.0
    );
    let over: Vec<String> = db
        .prepare_cached(&sql)?
        .query_map(params![own.1, most.cast_signed(), session.id.to_string()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut ended = Vec::new();
    for id in over {
        let sql = format!("SELECT {SESSION} FROM session WHERE id = ?1 OR parent = ?1");
        ended.extend(db.prepare_cached(&sql)?.query_map([&id], read)?.collect::<Result<Vec<_>, _>>()?);
        db.execute("DELETE FROM session WHERE id = ?1", [&id])?;
    }
    Ok(Some(ended))
}
