//! `kernel.db`: people. Implements the book of `security`; every call is one transaction on the one connection.
//!
//! Secrets are here as SHA-256 alone, passwords as argon2id. Whoever reads this file signs in as nobody.

use fazt_ipc::control::{AuditLine, Role};
use fazt_ipc::ids::{AppId, SessionId, TokenId, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::error::StorageError;
use super::pool::Storage;
use crate::kernel::security::Mark;
use crate::kernel::security::book::{
    Account, Apps, Book, BookError, Invite, Joining, PasskeyRow, Purpose, Scope, Session, Token,
};

/// The step of the schema that makes the tables.
pub(super) const SCHEMA: &str = "
    CREATE TABLE user(
        id       TEXT PRIMARY KEY,
        name     TEXT NOT NULL UNIQUE,
        role     TEXT NOT NULL CHECK(role IN ('member', 'admin', 'owner')),
        -- Ids of apps with a space between; null: all.
        apps     TEXT,
        password TEXT,
        created  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX user_owner ON user(role) WHERE role = 'owner';
    CREATE TABLE session(
        id      TEXT PRIMARY KEY,
        mark    BLOB NOT NULL UNIQUE,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        parent  TEXT REFERENCES session(id) ON DELETE CASCADE,
        app     TEXT,
        created INTEGER NOT NULL,
        seen    INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        address TEXT NOT NULL,
        agent   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_user ON session(user, created);
    CREATE INDEX session_parent ON session(parent);
    CREATE TABLE invite(
        mark    BLOB PRIMARY KEY,
        -- Whom it lets in; null: it makes a user of this role.
        user    TEXT REFERENCES user(id) ON DELETE CASCADE,
        role    TEXT NOT NULL,
        apps    TEXT,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX invite_user ON invite(user);
    CREATE TABLE token(
        id      TEXT PRIMARY KEY,
        mark    BLOB NOT NULL UNIQUE,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        -- The app that it is for; null: it commands the server.
        app     TEXT,
        note    TEXT NOT NULL,
        created INTEGER NOT NULL,
        used    INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX token_user ON token(user);
    CREATE TABLE audit(
        n       INTEGER PRIMARY KEY AUTOINCREMENT,
        at      INTEGER NOT NULL,
        who     TEXT NOT NULL,
        action  TEXT NOT NULL,
        target  TEXT NOT NULL,
        ok      INTEGER NOT NULL,
        address TEXT NOT NULL,
        detail  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_at ON audit(at);
";

/// The step that makes room for passkeys.
pub(super) const PASSKEYS: &str = "
    CREATE TABLE passkey(
        id      TEXT PRIMARY KEY,
        user    TEXT NOT NULL REFERENCES user(id) ON DELETE CASCADE,
        note    TEXT NOT NULL,
        key     TEXT NOT NULL,
        created INTEGER NOT NULL,
        used    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX passkey_user ON passkey(user);
";

/// Links that are good at once.
const INVITES_MAX: u64 = 1_000;
/// Lines of the audit log that are kept.
const AUDIT_LINES_MAX: i64 = 100_000;

const ACCOUNT: &str = "user.id, user.name, user.role, user.apps, user.password, user.created";
const SESSION: &str = "session.id, session.user, session.parent, session.app, session.created, session.seen, \
    session.expires, session.address, session.agent";
const PASSKEY: &str = "passkey.id, passkey.user, passkey.note, passkey.key, passkey.created, passkey.used";
const TOKEN: &str = "token.id, token.user, token.app, token.note, token.created, token.used, token.expires";

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

    fn set_password(&self, user: UserId, hash: &str) -> Result<(), BookError> {
        self.people(|db| new_password(db, user, hash))
    }

    fn add_invite(&self, mark: Mark, invite: &Invite, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| {
            db.execute("DELETE FROM invite WHERE expires <= ?1", [now_ms.cast_signed()])?;
            let (user, role, apps) = match &invite.purpose {
                Purpose::Enter(user) => {
                    db.execute("DELETE FROM invite WHERE user = ?1", [user.to_string()])?;
                    (Some(user.to_string()), "", None)
                }
                Purpose::Join { role, apps } => (None, role.name(), apps_text(apps)),
            };
            let open: i64 = db.query_row("SELECT count(*) FROM invite", [], |row| row.get(0))?;
            if open.cast_unsigned() >= INVITES_MAX {
                return Err(Trouble::Book(BookError::Full("open links")));
            }
            db.execute(
                "INSERT INTO invite(mark, user, role, apps, expires) VALUES(?1, ?2, ?3, ?4, ?5)",
                params![mark.0, user, role, apps, invite.expires_unix_ms.cast_signed()],
            )?;
            Ok(())
        })
    }

    fn invite(&self, mark: Mark, now_ms: u64) -> Result<Option<(Invite, Option<Account>)>, BookError> {
        self.look(|db| invite_of(db, mark, now_ms))
    }

    fn redeem(&self, mark: Mark, joining: &Joining, now_ms: u64) -> Result<Option<Account>, BookError> {
        self.people(|db| {
            let Some((invite, account)) = invite_of(db, mark, now_ms)? else { return Ok(None) };
            db.execute("DELETE FROM invite WHERE mark = ?1", [mark.0])?;
            let joined = match (invite.purpose, account) {
                (Purpose::Join { role, apps }, _) => {
                    let account = Account {
                        id: joining.id,
                        name: joining.name.clone(),
                        role,
                        apps,
                        password: Some(joining.password.clone()),
                        created_unix_ms: now_ms,
                    };
                    insert_account(db, &account)?;
                    account
                }
                (Purpose::Enter(_), Some(mut account)) => {
                    if account.renames() && account.name != joining.name {
                        account.name.clone_from(&joining.name);
                        let sql = "UPDATE user SET name = ?2 WHERE id = ?1";
                        db.execute(sql, params![account.id.to_string(), account.name]).map_err(taken)?;
                    }
                    new_password(db, account.id, &joining.password)?;
                    Account { password: Some(joining.password.clone()), ..account }
                }
                (Purpose::Enter(_), None) => return Ok(None),
            };
            Ok(Some(joined))
        })
    }

    fn add_session(&self, mark: Mark, session: &Session, most: u64) -> Result<(), BookError> {
        self.people(|db| {
            let user = session.user.to_string();
            db.execute(
                "INSERT INTO session(id, mark, user, parent, app, created, seen, expires, address, agent)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    session.id.to_string(),
                    mark.0,
                    user,
                    session.parent.map(|id| id.to_string()),
                    session.app.map(|id| id.to_string()),
                    session.created_unix_ms.cast_signed(),
                    session.seen_unix_ms.cast_signed(),
                    session.expires_unix_ms.cast_signed(),
                    session.address,
                    session.agent,
                ],
            )?;
            db.execute(
                "DELETE FROM session WHERE user = ?1 AND id NOT IN
                 (SELECT id FROM session WHERE user = ?1 ORDER BY created DESC, id DESC LIMIT ?2)",
                params![user, most.cast_signed()],
            )?;
            Ok(())
        })
    }

    fn session(&self, mark: Mark) -> Result<Option<(Session, Account)>, BookError> {
        self.look(|db| {
            let sql = format!(
                "SELECT {SESSION}, {ACCOUNT} FROM session JOIN user ON user.id = session.user WHERE mark = ?1"
            );
            let mut found = db.prepare_cached(&sql)?;
            found.query_row([mark.0], |row| Ok((session(row)?, account(row, 9)?))).optional()
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

    fn add_token(&self, mark: Mark, token: &Token, most: u64) -> Result<(), BookError> {
        self.people(|db| {
            let user = token.user.to_string();
            let held: i64 =
                db.query_row("SELECT count(*) FROM token WHERE user = ?1", [&user], |row| row.get(0))?;
            if held.cast_unsigned() >= most {
                return Err(Trouble::Book(BookError::Full("tokens of this user")));
            }
            let app = match token.scope {
                Scope::Admin => None,
                Scope::App(app) => Some(app.to_string()),
            };
            db.execute(
                "INSERT INTO token(id, mark, user, app, note, created, used, expires)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    token.id.to_string(),
                    mark.0,
                    user,
                    app,
                    token.note,
                    token.created_unix_ms.cast_signed(),
                    token.used_unix_ms.cast_signed(),
                    token.expires_unix_ms.cast_signed(),
                ],
            )?;
            Ok(())
        })
    }

    fn token(&self, mark: Mark) -> Result<Option<(Token, Account)>, BookError> {
        self.look(|db| {
            let sql = format!(
                "SELECT {TOKEN}, {ACCOUNT} FROM token JOIN user ON user.id = token.user WHERE mark = ?1"
            );
            let mut found = db.prepare_cached(&sql)?;
            found.query_row([mark.0], |row| Ok((token(row)?, account(row, 7)?))).optional()
        })
    }

    fn token_used(&self, id: TokenId, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| {
            let now = now_ms.cast_signed();
            db.execute("UPDATE token SET used = ?2 WHERE id = ?1", params![id.to_string(), now])?;
            Ok(())
        })
    }

    fn tokens(&self) -> Result<Vec<Token>, BookError> {
        self.look(|db| {
            let mut found = db.prepare_cached(&format!("SELECT {TOKEN} FROM token ORDER BY created"))?;
            found.query_map([], token)?.collect()
        })
    }

    fn remove_token(&self, id: TokenId) -> Result<Option<Token>, BookError> {
        self.people(|db| {
            let sql = format!("DELETE FROM token WHERE id = ?1 RETURNING {}", TOKEN.replace("token.", ""));
            Ok(db.query_row(&sql, [id.to_string()], token).optional()?)
        })
    }

    fn add_passkey(&self, row: &PasskeyRow, most: u64) -> Result<(), BookError> {
        self.people(|db| {
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
            Ok(())
        })
    }

    fn passkey(&self, id: &str) -> Result<Option<(PasskeyRow, Account)>, BookError> {
        self.look(|db| {
            let sql = format!(
                "SELECT {PASSKEY}, {ACCOUNT} FROM passkey JOIN user ON user.id = passkey.user WHERE passkey.id = ?1"
            );
            let mut found = db.prepare_cached(&sql)?;
            found.query_row([id], |row| Ok((passkey(row)?, account(row, 6)?))).optional()
        })
    }

    fn passkey_used(&self, id: &str, key: &str, now_ms: u64) -> Result<(), BookError> {
        self.people(|db| {
            let now = now_ms.cast_signed();
            db.execute("UPDATE passkey SET key = ?2, used = ?3 WHERE id = ?1", params![id, key, now])?;
            Ok(())
        })
    }

    fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, BookError> {
        self.look(|db| {
            let sql = format!("SELECT {PASSKEY} FROM passkey WHERE user = ?1 ORDER BY created");
            let mut found = db.prepare_cached(&sql)?;
            found.query_map([user.to_string()], passkey)?.collect()
        })
    }

    fn remove_passkey(&self, user: UserId, id: &str) -> Result<bool, BookError> {
        self.people(|db| {
            let sql = "DELETE FROM passkey WHERE user = ?1 AND id = ?2";
            Ok(db.execute(sql, params![user.to_string(), id])? > 0)
        })
    }

    fn note(&self, line: &AuditLine) -> Result<(), BookError> {
        self.people(|db| {
            db.execute(
                "INSERT INTO audit(at, who, action, target, ok, address, detail)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    line.unix_ms.cast_signed(),
                    line.who,
                    line.action,
                    line.target,
                    line.ok,
                    line.address,
                    line.detail
                ],
            )?;
            let oldest = db.last_insert_rowid() - AUDIT_LINES_MAX;
            db.execute("DELETE FROM audit WHERE n <= ?1", [oldest])?;
            Ok(())
        })
    }

    fn audit(&self, since_ms: u64, most: u32) -> Result<Vec<AuditLine>, BookError> {
        self.look(|db| {
            let mut found = db.prepare_cached(
                "SELECT at, who, action, target, ok, address, detail FROM
                 (SELECT * FROM audit WHERE at >= ?1 ORDER BY n DESC LIMIT ?2) ORDER BY n",
            )?;
            let line = |row: &Row<'_>| {
                Ok(AuditLine {
                    unix_ms: row.get::<_, i64>(0)?.cast_unsigned(),
                    who: row.get(1)?,
                    action: row.get(2)?,
                    target: row.get(3)?,
                    ok: row.get(4)?,
                    address: row.get(5)?,
                    detail: row.get(6)?,
                })
            };
            found.query_map(params![since_ms.cast_signed(), most], line)?.collect()
        })
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

fn new_password(db: &Transaction<'_>, user: UserId, hash: &str) -> Result<(), Trouble> {
    let user = user.to_string();
    db.execute("UPDATE user SET password = ?2 WHERE id = ?1", params![user, hash])?;
    db.execute("DELETE FROM session WHERE user = ?1", [&user])?;
    db.execute("DELETE FROM invite WHERE user = ?1", [&user])?;
    Ok(())
}

fn invite_of(
    db: &Connection,
    mark: Mark,
    now_ms: u64,
) -> rusqlite::Result<Option<(Invite, Option<Account>)>> {
    let sql = format!(
        "SELECT invite.user, invite.role, invite.apps, invite.expires, {ACCOUNT} FROM invite
         LEFT JOIN user ON user.id = invite.user WHERE mark = ?1 AND expires > ?2"
    );
    let mut found = db.prepare_cached(&sql)?;
    let read = |row: &Row<'_>| {
        let enters: Option<String> = row.get(0)?;
        let (purpose, account) = match enters {
            Some(user) => (Purpose::Enter(parsed(0, &user)?), Some(account(row, 4)?)),
            None => {
                let role = parsed(1, &row.get::<_, String>(1)?)?;
                (Purpose::Join { role, apps: apps_read(row, 2)? }, None)
            }
        };
        Ok((Invite { purpose, expires_unix_ms: row.get::<_, i64>(3)?.cast_unsigned() }, account))
    };
    found.query_row(params![mark.0, now_ms.cast_signed()], read).optional()
}

fn account(row: &Row<'_>, from: usize) -> rusqlite::Result<Account> {
    Ok(Account {
        id: parsed(from, &row.get::<_, String>(from)?)?,
        name: row.get(from + 1)?,
        role: parsed::<Role>(from + 2, &row.get::<_, String>(from + 2)?)?,
        apps: apps_read(row, from + 3)?,
        password: row.get(from + 4)?,
        created_unix_ms: row.get::<_, i64>(from + 5)?.cast_unsigned(),
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
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
    })
}

fn passkey(row: &Row<'_>) -> rusqlite::Result<PasskeyRow> {
    Ok(PasskeyRow {
        id: row.get(0)?,
        user: parsed(1, &row.get::<_, String>(1)?)?,
        note: row.get(2)?,
        key: row.get(3)?,
        created_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        used_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
    })
}

fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let app: Option<String> = row.get(2)?;
    Ok(Token {
        id: parsed(0, &row.get::<_, String>(0)?)?,
        user: parsed(1, &row.get::<_, String>(1)?)?,
        scope: match app {
            Some(app) => Scope::App(parsed::<AppId>(2, &app)?),
            None => Scope::Admin,
        },
        note: row.get(3)?,
        created_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        used_unix_ms: row.get::<_, i64>(5)?.cast_unsigned(),
        expires_unix_ms: row.get::<_, i64>(6)?.cast_unsigned(),
    })
}

fn apps_text(apps: &Apps) -> Option<String> {
    match apps {
        Apps::All => None,
        Apps::Some(apps) => Some(apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    }
}

fn apps_read(row: &Row<'_>, at: usize) -> rusqlite::Result<Apps> {
    match row.get::<_, Option<String>>(at)? {
        None => Ok(Apps::All),
        Some(text) => {
            text.split_whitespace().map(|id| parsed(at, id)).collect::<rusqlite::Result<_>>().map(Apps::Some)
        }
    }
}

fn parsed<T>(at: usize, text: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "passkey_tests.rs"]
mod passkey_tests;
