//! `kernel.db`: people. Implements the book of `security`; every call is one transaction on the one connection.
//!
//! | task | file |
//! |---|---|
//! | the tables | `schema.rs` |
//! | rows as values | `rows.rs` |
//! | links | `invites.rs` |
//! | opening sessions | `sessions.rs` |
//! | API tokens | `tokens.rs` |
//! | passkeys | `passkeys.rs` |
//! | codes of an app, recovery codes | `second.rs` |
//! | the audit log | `audit.rs` |
//!
//! Secrets are here as SHA-256 alone, passwords as argon2id. Whoever reads this file signs in as nobody.

mod audit;
mod invites;
mod passkeys;
mod rows;
pub(super) mod schema;
mod second;
mod sessions;
mod tokens;

use fazt_ipc::control::{AuditLine, Role};
use fazt_ipc::ids::{SessionId, TokenId, UserId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::error::StorageError;
use super::pool::Storage;
use crate::kernel::security::Mark;
use crate::kernel::security::book::{
    Account, Apps, Book, BookError, Invite, Joining, Keeps, PasskeyRow, Session, SessionsMax, Token, Totp,
};
use rows::{ACCOUNT, SESSION, account, apps_text, invite_of, session};

impl Storage {
    /// One transaction on `kernel.db`.
    fn people<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Trouble>) -> Result<T, BookError> {
        self.kernel_blocking(|kernel| {
            let path = kernel.path.clone();
            let begun = kernel.connection.transaction_with_behavior(TransactionBehavior::Immediate);
            let done = begun.map_err(Trouble::from).and_then(|transaction| {
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            });
            done.map_err(|trouble| match trouble {
                Trouble::Book(error) => error,
                Trouble::Sqlite(error) => BookError::Failed(StorageError::sqlite(&path, &error).to_string()),
            })
        })
    }

    /// Reads, without a transaction of its own: one statement.
    fn look<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BookError> {
        self.kernel_blocking(|kernel| {
            work(&kernel.connection)
                .map_err(|error| BookError::Failed(StorageError::sqlite(&kernel.path, &error).to_string()))
        })
    }
}

enum Trouble {
    Sqlite(rusqlite::Error),
    Book(BookError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A name or the one place of the owner is taken.
fn taken(error: rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => Trouble::Book(BookError::Taken),
        _ => error.into(),
    }
}

impl Book for Storage {
    fn accounts(&self) -> Result<Vec<Account>, BookError> {
        self.look(|db| {
            let mut found = db.prepare_cached(&format!("SELECT {ACCOUNT} FROM user ORDER BY name"))?;
            found.query_map([], |row| account(row, 0))?.collect()
        })
    }

    fn account(&self, user: UserId) -> Result<Option<Account>, BookError> {
        self.look(|db| {
            let mut found = db.prepare_cached(&format!("SELECT {ACCOUNT} FROM user WHERE id = ?1"))?;
            found.query_row([user.to_string()], |row| account(row, 0)).optional()
        })
    }

    fn account_named(&self, name: &str) -> Result<Option<Account>, BookError> {
        self.look(|db| {
            let mut found = db.prepare_cached(&format!("SELECT {ACCOUNT} FROM user WHERE name = ?1"))?;
            found.query_row([name], |row| account(row, 0)).optional()
        })
    }

    fn add_account(&self, account: &Account) -> Result<(), BookError> {
        self.people(|db| insert_account(db, account))
    }

    fn remove_account(&self, user: UserId) -> Result<bool, BookError> {
        self.people(|db| Ok(db.execute("DELETE FROM user WHERE id = ?1", [user.to_string()])? > 0))
    }

    fn set_apps(&self, user: UserId, apps: &Apps) -> Result<(), BookError> {
        self.people(|db| {
            db.execute(
                "UPDATE user SET apps = ?2 WHERE id = ?1",
                params![user.to_string(), apps_text(apps)],
            )?;
            Ok(())
        })
    }

    fn set_role(&self, user: UserId, role: Role) -> Result<(), BookError> {
        self.people(|db| {
            let user = user.to_string();
            db.execute("UPDATE user SET role = ?2 WHERE id = ?1", params![user, role.name()])
                .map_err(taken)?;
            if role < Role::Admin {
                db.execute("DELETE FROM token WHERE user = ?1 AND (app IS NULL OR deploys)", [&user])?;
            }
            Ok(())
        })
    }

    fn set_password(
        &self,
        user: UserId,
        hash: &str,
        keeps: Keeps,
        epoch: Option<u64>,
    ) -> Result<Option<u64>, BookError> {
        self.people(|db| match epoch {
            Some(epoch) if !is_of(db, user, epoch)? => Ok(None),
            _ => Ok(Some(new_password(db, user, hash, keeps)?)),
        })
    }

    fn add_invite(&self, mark: Mark, invite: &Invite, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| invites::add(db, mark, invite, now_ms))
    }

    fn invite(&self, mark: Mark, now_ms: u64) -> Result<Option<(Invite, Option<Account>)>, BookError> {
        self.look(|db| invite_of(db, mark, now_ms))
    }

    fn redeem(&self, mark: Mark, joining: &Joining, now_ms: u64) -> Result<Option<Account>, BookError> {
        self.people(|db| invites::redeem(db, mark, joining, now_ms))
    }

    fn add_session(
        &self,
        mark: Mark,
        session: &Session,
        epoch: u64,
        most: SessionsMax,
    ) -> Result<Option<Vec<Session>>, BookError> {
        self.people(|db| sessions::add(db, mark, session, epoch, most))
    }

    fn session_proved(&self, id: SessionId, epoch: u64, now_ms: u64) -> Result<bool, BookError> {
        self.people(|db| {
            let (id, now, epoch) = (id.to_string(), now_ms.cast_signed(), epoch.cast_signed());
            let sql = "UPDATE session SET proved = ?2
                 WHERE id = ?1 AND (SELECT epoch FROM user WHERE user.id = session.user) = ?3";
            Ok(db.execute(sql, params![id, now, epoch])? > 0)
        })
    }

    fn session(&self, mark: Mark) -> Result<Option<(Session, Account)>, BookError> {
        self.look(|db| {
            let sql = format!(
                "SELECT {SESSION}, {ACCOUNT} FROM session JOIN user ON user.id = session.user WHERE mark = ?1"
            );
            let mut found = db.prepare_cached(&sql)?;
            found.query_row([mark.0], |row| Ok((session(row)?, account(row, 10)?))).optional()
        })
    }

    fn session_seen(&self, id: SessionId, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| {
            let (id, now) = (id.to_string(), now_ms.cast_signed());
            db.execute(
                "UPDATE session SET seen = ?2
                 WHERE id = ?1 OR id = (SELECT parent FROM session WHERE id = ?1)",
                params![id, now],
            )?;
            Ok(())
        })
    }

    fn sessions(&self, user: Option<UserId>) -> Result<Vec<Session>, BookError> {
        self.look(|db| {
            let sql =
                format!("SELECT {SESSION} FROM session WHERE ?1 IS NULL OR user = ?1 ORDER BY user, created");
            let mut found = db.prepare_cached(&sql)?;
            found.query_map([user.map(|id| id.to_string())], session)?.collect()
        })
    }

    fn end_session(&self, id: SessionId) -> Result<Vec<Session>, BookError> {
        self.people(|db| {
            let id = id.to_string();
            let ended = {
                let sql = format!("SELECT {SESSION} FROM session WHERE id = ?1 OR parent = ?1");
                let mut found = db.prepare_cached(&sql)?;
                found.query_map([&id], session)?.collect::<rusqlite::Result<Vec<_>>>()?
            };
            db.execute("DELETE FROM session WHERE id = ?1", [&id])?;
            Ok(ended)
        })
    }

    fn sweep(&self, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| {
            for table in ["session", "invite", "token"] {
                db.execute(&format!("DELETE FROM {table} WHERE expires <= ?1"), [now_ms.cast_signed()])?;
            }
            Ok(())
        })
    }

    fn add_token(&self, mark: Mark, token: &Token, epoch: u64, most: u64) -> Result<bool, BookError> {
        self.people(|db| tokens::add(db, mark, token, epoch, most))
    }

    fn token(&self, mark: Mark) -> Result<Option<(Token, Account)>, BookError> {
        self.look(|db| tokens::found(db, mark))
    }

    fn token_used(&self, id: TokenId, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| tokens::used(db, id, now_ms))
    }

    fn tokens(&self) -> Result<Vec<Token>, BookError> {
        self.look(tokens::all)
    }

    fn remove_token(&self, id: TokenId) -> Result<Option<Token>, BookError> {
        self.people(|db| tokens::remove(db, id))
    }

    fn add_passkey(&self, row: &PasskeyRow, epoch: u64, most: u64) -> Result<bool, BookError> {
        self.people(|db| passkeys::add(db, row, epoch, most))
    }

    fn passkey(&self, id: &str) -> Result<Option<(PasskeyRow, Account)>, BookError> {
        self.look(|db| passkeys::found(db, id))
    }

    fn passkey_used(&self, id: &str, key: &str, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| passkeys::used(db, id, key, now_ms))
    }

    fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, BookError> {
        self.look(|db| passkeys::all(db, user))
    }

    fn remove_passkey(&self, user: UserId, id: &str) -> Result<bool, BookError> {
        self.people(|db| passkeys::remove(db, user, id))
    }

    fn totp(&self, user: UserId) -> Result<Option<Totp>, BookError> {
        self.look(|db| second::totp(db, user))
    }

    fn set_totp(&self, user: UserId, totp: &Totp, codes: &[Mark], epoch: u64) -> Result<bool, BookError> {
        self.people(|db| second::set(db, user, totp, codes, epoch))
    }

    fn totp_used(&self, user: UserId, step: u64) -> Result<bool, BookError> {
        self.people(|db| {
            let sql = "UPDATE totp SET step = ?2 WHERE user = ?1 AND step < ?2";
            Ok(db.execute(sql, params![user.to_string(), step.cast_signed()])? > 0)
        })
    }

    fn remove_totp(&self, user: UserId, epoch: u64) -> Result<bool, BookError> {
        self.people(|db| Ok(is_of(db, user, epoch)? && second::remove(db, user)?))
    }

    fn set_recovery(&self, user: UserId, codes: &[Mark], epoch: u64) -> Result<bool, BookError> {
        self.people(|db| second::set_recovery(db, user, codes, epoch))
    }

    fn recovery_used(&self, user: UserId, code: Mark) -> Result<bool, BookError> {
        self.people(|db| {
            let sql = "DELETE FROM recovery WHERE user = ?1 AND mark = ?2";
            Ok(db.execute(sql, params![user.to_string(), code.0])? > 0)
        })
    }

    fn recovery_left(&self, user: UserId) -> Result<u64, BookError> {
        self.look(|db| {
            let sql = "SELECT count(*) FROM recovery WHERE user = ?1";
            db.query_row(sql, [user.to_string()], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        })
    }

    fn note(&self, line: &AuditLine) -> Result<(), BookError> {
        self.people(|db| audit::note(db, line))
    }

    fn audit(&self, since_ms: u64, most: u32) -> Result<Vec<AuditLine>, BookError> {
        self.look(|db| audit::since(db, since_ms, most))
    }
}

fn insert_account(db: &Transaction<'_>, account: &Account) -> Result<(), Trouble> {
    db.execute(
        "INSERT INTO user(id, name, role, apps, password, created) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            account.id.to_string(),
            account.name,
            account.role.name(),
            apps_text(&account.apps),
            account.password,
            account.created_unix_ms.cast_signed()
        ],
    )
    .map_err(taken)?;
    Ok(())
}

/// Whether the account is still the one of this epoch.
fn is_of(db: &Transaction<'_>, user: UserId, epoch: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT epoch FROM user WHERE id = ?1";
    let now: Option<i64> = db.query_row(sql, [user.to_string()], |row| row.get(0)).optional()?;
    Ok(now == Some(epoch.cast_signed()))
}

/// What was checked of an account before now counts no more: its new epoch.
fn grown(db: &Transaction<'_>, user: UserId) -> rusqlite::Result<u64> {
    let sql = "UPDATE user SET epoch = epoch + 1 WHERE id = ?1 RETURNING epoch";
    db.query_row(sql, [user.to_string()], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Sets a password and ends what was open by other ways than those that are kept: the new epoch.
fn new_password(db: &Transaction<'_>, user: UserId, hash: &str, keeps: Keeps) -> Result<u64, Trouble> {
    let epoch = grown(db, user)?;
    let user = user.to_string();
    db.execute("UPDATE user SET password = ?2 WHERE id = ?1", params![user, hash])?;
    let ends = [
        ("session", true),
        ("invite", true),
        ("passkey", !keeps.passkeys),
        ("token", !keeps.tokens),
        ("totp", !keeps.totp),
    ];
    for (table, _) in ends.into_iter().filter(|(_, ends)| *ends) {
        db.execute(&format!("DELETE FROM {table} WHERE user = ?1"), [&user])?;
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod passkey_tests;

#[cfg(test)]
mod second_tests;
