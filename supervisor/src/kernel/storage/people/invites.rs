//! Links: made, and redeemed once.

use rusqlite::{Transaction, params};

use super::rows::{apps_text, invite_of};
use super::{Trouble, insert_account, new_password, taken};
use crate::kernel::security::Mark;
use crate::kernel::security::book::{Account, BookError, Invite, Joining, Keeps, Purpose};

/// Links that are good at once.
const INVITES_MAX: u64 = 1_000;

pub(super) fn add(db: &Transaction<'_>, mark: Mark, invite: &Invite, now_ms: u64) -> Result<(), Trouble> {
    db.execute("DELETE FROM invite WHERE expires <= ?1", [now_ms.cast_signed()])?;
    let (user, role, apps, resets) = match &invite.purpose {
        Purpose::Enter { user, resets_totp } => {
            db.execute("DELETE FROM invite WHERE user = ?1", [user.to_string()])?;
            (Some(user.to_string()), "", None, *resets_totp)
        }
        Purpose::Join { role, apps } => (None, role.name(), apps_text(apps), false),
    };
    let open: i64 = db.query_row("SELECT count(*) FROM invite", [], |row| row.get(0))?;
    if open.cast_unsigned() >= INVITES_MAX {
        return Err(Trouble::Book(BookError::Full("open links")));
    }
    db.execute(
        "INSERT INTO invite(mark, user, role, apps, expires, resets) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![mark.0, user, role, apps, invite.expires_unix_ms.cast_signed(), resets],
    )?;
    Ok(())
}

pub(super) fn redeem(
    db: &Transaction<'_>,
    mark: Mark,
    joining: &Joining,
    now_ms: u64,
) -> Result<Option<Account>, Trouble> {
    let Some((invite, account)) = invite_of(db, mark, now_ms)? else { return Ok(None) };
    if account.as_ref().map(|account| account.epoch) != joining.epoch {
        return Ok(None);
    }
    db.execute("DELETE FROM invite WHERE mark = ?1", [mark.0])?;
    let joined = match (invite.purpose, account) {
        (Purpose::Join { role, apps }, _) => {
            let account = Account {
                id: joining.id,
                name: joining.name.clone(),
                role,
                apps,
                password: Some(joining.password.clone()),
                totp: false,
                epoch: 0,
                created_unix_ms: now_ms,
            };
            insert_account(db, &account)?;
            account
        }
        (Purpose::Enter { resets_totp, .. }, Some(mut account)) => {
            if account.renames() && account.name != joining.name {
                account.name.clone_from(&joining.name);
                let sql = "UPDATE user SET name = ?2 WHERE id = ?1";
                db.execute(sql, params![account.id.to_string(), account.name]).map_err(taken)?;
            }
            let keeps = Keeps { passkeys: joining.keeps_passkeys, tokens: false, totp: !resets_totp };
            let epoch = new_password(db, account.id, &joining.password, keeps)?;
            let (password, totp) = (Some(joining.password.clone()), account.totp && keeps.totp);
            Account { password, epoch, totp, ..account }
        }
        (Purpose::Enter { .. }, None) => return Ok(None),
    };
    Ok(Some(joined))
}
