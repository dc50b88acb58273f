//! Passkeys.

use fazt_ipc::ids::UserId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::rows::{ACCOUNT, PASSKEY, account, passkey};
use super::{Trouble, grown, is_of, taken};
use crate::kernel::security::book::{Account, BookError, PasskeyRow};

pub(super) fn add(db: &Transaction<'_>, row: &PasskeyRow, epoch: u64, most: u64) -> Result<bool, Trouble> {
    if !is_of(db, row.user, epoch)? {
        return Ok(false);
    }
    let user = row.user.to_string();
    let sql = "SELECT count(*) FROM passkey WHERE user = ?1";
    let held: i64 = db.query_row(sql, [&user], |row| row.get(0))?;
    if held.cast_unsigned() >= most {
        return Err(Trouble::Book(BookError::Full("passkeys of this user")));
    }
    let (created, used) = (row.created_unix_ms.cast_signed(), row.used_unix_ms.cast_signed());
    db.execute(
        "INSERT INTO passkey(id, user, note, key, created, used) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![row.id, user, row.note, row.key, created, used],
    )
    .map_err(taken)?;
    Ok(true)
}

pub(super) fn found(db: &Connection, id: &str) -> rusqlite::Result<Option<(PasskeyRow, Account)>> {
    let sql = format!(
        "SELECT {PASSKEY}, {ACCOUNT} FROM passkey JOIN user ON user.id = passkey.user WHERE passkey.id = ?1"
    );
    let mut found = db.prepare_cached(&sql)?;
    found.query_row([id], |row| Ok((passkey(row)?, account(row, 6)?))).optional()
}

pub(super) fn used(db: &Transaction<'_>, id: &str, key: &str, now_ms: u64) -> Result<(), Trouble> {
    let now = now_ms.cast_signed();
    db.execute("UPDATE passkey SET key = ?2, used = ?3 WHERE id = ?1", params![id, key, now])?;
    Ok(())
}

pub(super) fn all(db: &Connection, user: UserId) -> rusqlite::Result<Vec<PasskeyRow>> {
    let sql = format!("SELECT {PASSKEY} FROM passkey WHERE user = ?1 ORDER BY created");
    let mut found = db.prepare_cached(&sql)?;
    found.query_map([user.to_string()], passkey)?.collect()
}

pub(super) fn remove(db: &Transaction<'_>, user: UserId, id: &str) -> Result<bool, Trouble> {
    let sql = "DELETE FROM passkey WHERE user = ?1 AND id = ?2";
    let removed = db.execute(sql, params![user.to_string(), id])? > 0;
    if removed {
        grown(db, user)?;
    }
    Ok(removed)
}
