//! Codes of an app beside the password, and recovery codes.

use fazt_ipc::ids::UserId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Trouble, grown, is_of};
use crate::kernel::security::Mark;
use crate::kernel::security::book::Totp;

pub(super) fn totp(db: &Connection, user: UserId) -> rusqlite::Result<Option<Totp>> {
    let mut found = db.prepare_cached("SELECT sealed, step FROM totp WHERE user = ?1")?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Totp { sealed: row.get(0)?, step: row.get::<_, i64>(1)?.cast_unsigned() })
    };
    found.query_row([user.to_string()], read).optional()
}

pub(super) fn set(
    db: &Transaction<'_>,
    user: UserId,
    totp: &Totp,
    codes: &[Mark],
    epoch: u64,
) -> Result<bool, Trouble> {
    if !is_of(db, user, epoch)? {
        return Ok(false);
    }
    let text = user.to_string();
    db.execute("DELETE FROM totp WHERE user = ?1", [&text])?;
    let sql = "INSERT INTO totp(user, sealed, step) VALUES(?1, ?2, ?3)";
    db.execute(sql, params![text, totp.sealed, totp.step.cast_signed()])?;
    // A sign-in that was half done without a code is not finished without one.
    let epoch = grown(db, user)?;
    set_recovery(db, user, codes, epoch)
}

pub(super) fn remove(db: &Transaction<'_>, user: UserId) -> Result<bool, Trouble> {
    Ok(db.execute("DELETE FROM totp WHERE user = ?1", [user.to_string()])? > 0)
}

pub(super) fn set_recovery(
    db: &Transaction<'_>,
    user: UserId,
    codes: &[Mark],
    epoch: u64,
) -> Result<bool, Trouble> {
    let text = user.to_string();
    let asked: Option<i64> =
        db.query_row("SELECT 1 FROM totp WHERE user = ?1", [&text], |row| row.get(0)).optional()?;
    if asked.is_none() || !is_of(db, user, epoch)? {
        return Ok(false);
    }
    db.execute("DELETE FROM recovery WHERE user = ?1", [&text])?;
    for code in codes {
        db.execute("INSERT INTO recovery(user, mark) VALUES(?1, ?2)", params![text, code.0])?;
    }
    Ok(true)
}
