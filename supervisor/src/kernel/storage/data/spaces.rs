//! Named spaces and their members. The kernel's own statements, on its own connection of the cartridge: who
//! may do what is decided here.

use fazt_ipc::ids::{SpaceId, UserId};
use fazt_ipc::syscall::ErrorCode;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::docs::Failed;
use super::error::{DataError, Result};
use super::limits::{INVITE_MS, INVITES_MAX, MEMBERS_MAX, SPACE_NAME_BYTES_MAX, SPACES_OF_ONE_MAX};
use super::request::{Response, Role, SpaceCall, SpaceInfo};

type Done<T> = std::result::Result<T, Failed>;

/// What an invitation code starts with.
const INVITE: &str = "inv_";

/// A space that the caller may not know of and one that does not exist are the same answer.
pub(super) fn unknown() -> DataError {
    DataError::new(ErrorCode::NotFound, "there is no such space, or you are not a member of it")
}

fn denied(message: &str) -> DataError {
    DataError::new(ErrorCode::PermissionDenied, message)
}

/// The number of a named space and the role that a person has there.
pub(super) fn role(connection: &Connection, user: UserId, space: SpaceId) -> Done<(i64, Role)> {
    let sql = "SELECT s.n, m.role FROM space s JOIN member m ON m.space = s.n WHERE s.id = ?1 AND m.who = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row: Option<(i64, String)> = statement
        .query_row(params![space.to_string(), user.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (n, role) = row.ok_or_else(unknown)?;
    Ok((n, Role::parse(&role).ok_or_else(unknown)?))
}

/// The number of a person's private space, if there is one yet.
pub(super) fn private(connection: &Connection, user: UserId) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT n FROM space WHERE kind = 'user' AND owner = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row([user.to_string()], |row| row.get(0)).optional()
}

/// Makes a person's private space, of which they are the one member.
pub(super) fn make_private(connection: &mut Connection, user: UserId, now_ms: u64) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let who = user.to_string();
    let now = now_ms.cast_signed();
    transaction.execute(
        "INSERT INTO space(kind, owner, name, created) VALUES('user', ?1, '', ?2)",
        params![who, now],
    )?;
    let n = transaction.last_insert_rowid();
    transaction.execute(
        "INSERT INTO member(who, space, role, since) VALUES(?1, ?2, 'manager', ?3)",
        params![who, n, now],
    )?;
    transaction.commit()?;
    Ok(n)
}

/// Refuses a call before anything runs.
pub(super) fn check(call: &SpaceCall) -> Result<()> {
    match call {
        SpaceCall::Create { name } if name.trim().is_empty() || name.len() > SPACE_NAME_BYTES_MAX => {
            Err(DataError::argument(format!(
                "the name of a space has 1 to {SPACE_NAME_BYTES_MAX} bytes, not {}",
                name.len()
            )))
        }
        SpaceCall::Create { name } if name.chars().any(char::is_control) => {
            Err(DataError::argument("the name of a space has no control characters"))
        }
        _ => Ok(()),
    }
}

/// Answers a call as a person, inside a transaction where it changes something.
pub(super) fn call(connection: &Connection, user: UserId, call: &SpaceCall, now_ms: u64) -> Done<Response> {
    let spaces = Spaces { connection, user, now: now_ms.cast_signed() };
    match call {
        SpaceCall::Create { name } => spaces.create(name, now_ms).map(Response::Space),
        SpaceCall::List => spaces.list().map(Response::Spaces),
        SpaceCall::Join { code } => spaces.join(code).map(Response::Space),
        SpaceCall::Members { space } => spaces.members(*space).map(Response::Members),
        SpaceCall::Add { space, user, role } => spaces.add(*space, *user, *role),
        SpaceCall::Remove { space, user } => spaces.remove(*space, *user).map(|()| Response::Done),
    }
}

struct Spaces<'a> {
    connection: &'a Connection,
    user: UserId,
    now: i64,
}

impl Spaces<'_> {
    fn count(&self, sql: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<u32> {
        self.connection.prepare_cached(sql)?.query_row([value], |row| row.get(0))
    }

    /// Membership is looked at in every statement of a person: it is bounded.
    fn room_for(&self, user: UserId) -> Done<()> {
        let mine = self.count("SELECT count(*) FROM member WHERE who = ?1", user.to_string())?;
        if mine >= SPACES_OF_ONE_MAX {
            let message = format!("a person is in at most {SPACES_OF_ONE_MAX} spaces of an app");
            return Err(DataError::new(ErrorCode::QuotaExceeded, message).into());
        }
        Ok(())
    }

    fn enter(&self, n: i64, user: UserId, role: Role) -> rusqlite::Result<()> {
        let sql = "INSERT INTO member(who, space, role, since) VALUES(?1, ?2, ?3, ?4)
            ON CONFLICT(who, space) DO UPDATE SET role = excluded.role";
        self.connection.prepare_cached(sql)?.execute(params![user.to_string(), n, role.name(), self.now])?;
        Ok(())
    }

    fn create(&self, name: &str, now_ms: u64) -> Done<SpaceInfo> {
        self.room_for(self.user)?;
        let id = SpaceId::new(now_ms, rand::random());
        self.connection
            .prepare_cached(
                "INSERT INTO space(kind, owner, id, name, created) VALUES('named', ?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.user.to_string(), id.to_string(), name, self.now])?;
        self.enter(self.connection.last_insert_rowid(), self.user, Role::Manager)?;
        Ok(SpaceInfo { id, name: name.to_owned(), role: Role::Manager })
    }

    fn list(&self) -> Done<Vec<SpaceInfo>> {
        let sql = "SELECT s.id, s.name, m.role FROM member m JOIN space s ON s.n = m.space
            WHERE m.who = ?1 AND s.kind = 'named' ORDER BY s.id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([self.user.to_string()], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?;
        let mut spaces = Vec::new();
        for row in rows {
            let (id, name, role) = row?;
            if let (Ok(id), Some(role)) = (id.parse(), Role::parse(&role)) {
                spaces.push(SpaceInfo { id, name, role });
            }
        }
        Ok(spaces)
    }

    /// The code is good once: it goes in the transaction that lets the person in.
    fn join(&self, code: &str) -> Done<SpaceInfo> {
        let refused =
            || DataError::new(ErrorCode::NotFound, "this invitation is used up, expired or unknown");
        if !code.starts_with(INVITE) || code.len() > 64 {
            return Err(refused().into());
        }
        let sql = "DELETE FROM invite WHERE hash = ?1 RETURNING space, role, expires";
        let mut statement = self.connection.prepare_cached(sql)?;
        let row: Option<(i64, String, i64)> = statement
            .query_row([hash(code)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (n, role, expires) = row.ok_or_else(refused)?;
        let role = Role::parse(&role).filter(|_| expires > self.now).ok_or_else(refused)?;
        let (id, name): (String, String) = self
            .connection
            .prepare_cached("SELECT id, name FROM space WHERE n = ?1")?
            .query_row([n], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let id: SpaceId = id.parse().map_err(|_| refused())?;
        let already = match self::role(self.connection, self.user, id) {
            Ok((_, role)) => Some(role),
            Err(Failed::Said(_)) => None,
            Err(other) => return Err(other),
        };
        if already.is_none() {
            self.room_for(self.user)?;
            if self.count("SELECT count(*) FROM member WHERE space = ?1", n)? >= MEMBERS_MAX {
                let message = format!("a space has at most {MEMBERS_MAX} members");
                return Err(DataError::new(ErrorCode::QuotaExceeded, message).into());
            }
        }
        // An invitation never takes a right away.
        let role = already.map_or(role, |already| already.max(role));
        self.enter(n, self.user, role)?;
        Ok(SpaceInfo { id, name, role })
    }

    fn members(&self, space: SpaceId) -> Done<Vec<(UserId, Role)>> {
        let (n, _) = role(self.connection, self.user, space)?;
        let sql = "SELECT who, role FROM member WHERE space = ?1 ORDER BY who";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows =
            statement.query_map([n], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut members = Vec::new();
        for row in rows {
            let (who, role) = row?;
            members.extend(who.parse().ok().zip(Role::parse(&role)));
        }
        Ok(members)
    }

    fn manages(&self, space: SpaceId) -> Done<i64> {
        match role(self.connection, self.user, space)? {
            (n, Role::Manager) => Ok(n),
            _ => Err(denied("only a manager of the space says who its members are").into()),
        }
    }

    fn add(&self, space: SpaceId, user: Option<UserId>, role: Role) -> Done<Response> {
        let n = self.manages(space)?;
        if let Some(user) = user {
            let (_, before) = self.member(space, user)?;
            if before == Role::Manager && role != Role::Manager {
                self.another_manager(n)?;
            }
            self.enter(n, user, role)?;
            return Ok(Response::Done);
        }
        self.connection.prepare_cached("DELETE FROM invite WHERE expires <= ?1")?.execute([self.now])?;
        if self.count("SELECT count(*) FROM invite WHERE space = ?1", n)? >= INVITES_MAX {
            let message = format!("{INVITES_MAX} invitations of this space wait to be used");
            return Err(DataError::new(ErrorCode::QuotaExceeded, message).into());
        }
        let code = format!("{INVITE}{:032x}", rand::random::<u128>());
        self.connection
            .prepare_cached("INSERT INTO invite(hash, space, role, expires) VALUES(?1, ?2, ?3, ?4)")?
            .execute(params![hash(&code), n, role.name(), self.now.saturating_add_unsigned(INVITE_MS)])?;
        Ok(Response::Invite(code))
    }

    fn member(&self, space: SpaceId, user: UserId) -> Done<(i64, Role)> {
        match role(self.connection, user, space) {
            Err(Failed::Said(_)) => Err(DataError::new(
                ErrorCode::NotFound,
                "this person is not a member: add without a person makes an invitation",
            )
            .into()),
            other => other,
        }
    }

    fn remove(&self, space: SpaceId, user: UserId) -> Done<()> {
        let n = if user == self.user { role(self.connection, user, space)?.0 } else { self.manages(space)? };
        if self.member(space, user)?.1 == Role::Manager {
            self.another_manager(n)?;
        }
        self.connection
            .prepare_cached("DELETE FROM member WHERE who = ?1 AND space = ?2")?
            .execute(params![user.to_string(), n])?;
        Ok(())
    }

    /// A space is never left without somebody who can let people in.
    fn another_manager(&self, n: i64) -> Done<()> {
        let sql = "SELECT count(*) FROM member WHERE space = ?1 AND role = 'manager'";
        if self.count(sql, n)? > 1 {
            return Ok(());
        }
        Err(DataError::new(ErrorCode::Conflict, "a space keeps at least one manager: make another one first")
            .into())
    }
}

/// Codes are kept as hashes: whoever reads the file cannot use one.
fn hash(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}
