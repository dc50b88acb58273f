//! An app's open data: the kernel's connection, one for each principal, and the file of the WAL, by which many
//! writes reach the disk at once. One thread at a time uses it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::ids::{AppId, UserId};
use fazt_ipc::syscall::ErrorCode;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::cartridge;
use super::super::db::{self, Mode};
use super::blobs::{self, BlobCall, Blobs, Files, Gone};
use super::confine::{self, Confined, Quota};
use super::cursor::Seal;
use super::disk::{Disk, wal_of};
use super::docs::{self, Docs, Failed};
use super::error::{self, DataError, Result};
use super::json::shown;
use super::kv::{self, Keys, Set};
use super::limits::{BUSY, EXPIRED_PER_TURN, RECLAIMED_AT_ONCE};
use super::look::{self, Reached};
use super::request::{DocCall, Find, KvCall, Request, Response, Role, SpaceName};
use super::schema::{self, Layout, Table};
use super::spaces;
use crate::kernel::security::Principal;
use crate::kernel::storage::StorageError;
use crate::kernel::storage::quota::Account;

/// Numbers of the app space, and of a private space that is not there yet.
const APP_SPACE: i64 = 1;
const NO_SPACE: i64 = 0;
/// In cursors, what stands for the number of a table.
const BLOBS: i64 = -1;
/// Private spaces whose numbers are remembered.
const NUMBERS_KEPT: usize = 4_096;

/// What a call came to.
pub(super) struct Outcome {
    pub(super) result: Result<Response>,
    /// Something may have been written that is not on the disk yet.
    pub(super) wrote: bool,
    /// Whether it is to be run again. If so, nothing was done.
    pub(super) again: Again,
    /// What was done before in the same transaction is undone.
    pub(super) undone: bool,
}

/// Why a call is to be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// It is not.
    No,
    /// A deploy changed the tables: on a shelf opened anew.
    Stale,
    /// A deploy has the file: later.
    Busy,
    /// There is no memory left: after some was given back.
    Starved,
}

impl Again {
    fn after(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Busy,
            _ if error::starved(error) => Self::Starved,
            _ => Self::No,
        }
    }
}

struct Person {
    connection: Confined,
    /// The quota that its connection knows.
    pages_max: u32,
    used: u64,
}

/// An app's open data.
pub(super) struct Shelf {
    app: AppId,
    path: PathBuf,
    admin: Connection,
    layout: Layout,
    version: i64,
    quota: Quota,
    page_bytes: u64,
    files: Files,
    /// What the files of blobs take, which counts with the pages.
    files_bytes: u64,
    /// What the files of raw SQL take, which counts with them.
    account: Arc<Account>,
    people: HashMap<Principal, Person>,
    numbers: HashMap<UserId, i64>,
    /// Whose transaction is open: that of the calls since the last commit.
    open: Option<Principal>,
    wal: Option<File>,
    dirty: bool,
    /// The file is damaged or the disk fails: of no more use.
    pub(super) broken: bool,
}

impl Shelf {
    pub(super) fn open(
        app: AppId,
        path: &Path,
        account: Arc<Account>,
    ) -> std::result::Result<Self, StorageError> {
        let fail = |error: rusqlite::Error| StorageError::sqlite(path, &error);
        let mut admin = db::open(path, &cartridge::SCHEMA, Mode::Existing)?;
        admin.busy_timeout(BUSY).map_err(fail)?;
        admin.pragma_update(None, "synchronous", "NORMAL").map_err(fail)?;
        // Read first: a deploy in between shows as a difference.
        let version = confine::schema_version(&admin).map_err(fail)?;
        let layout = Layout::load(&admin).map_err(fail)?;
        schema::count_rows(&mut admin).map_err(fail)?;
        let pages_max = pages_max(&admin, &layout).map_err(fail)?;
        let quota = Quota { pages_max, rows_max: layout.rows_max() };
        admin.query_row(&format!("PRAGMA max_page_count={pages_max}"), [], |_| Ok(())).map_err(fail)?;
        let page: i64 = admin.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(fail)?;
        let files_bytes = blobs::files_bytes(&admin).map_err(fail)?;
        if let Some(folder) = path.parent() {
            account.look(&folder.join("sql"));
        }
        Ok(Self {
            page_bytes: page.max(512).cast_unsigned(),
            files: Files::beside(path),
            files_bytes,
            account,
            app,
            path: path.to_owned(),
            admin,
            layout,
            version,
            quota,
            people: HashMap::new(),
            numbers: HashMap::new(),
            open: None,
            wal: None,
            dirty: false,
            broken: false,
        })
    }

    /// Connections that are open, the kernel's own among them.
    pub(super) fn connections(&self) -> usize {
        self.people.len() + 1
    }

    /// When the principal was last here who has been away for longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.people.values().map(|person| person.used).min()
    }

    /// Closes the connection of that principal.
    pub(super) fn close_oldest(&mut self) {
        let oldest = self.people.iter().min_by_key(|(_, person)| person.used).map(|(who, _)| *who);
        oldest.map(|oldest| self.people.remove(&oldest));
    }

    pub(super) fn has(&self, principal: Principal) -> bool {
        self.people.contains_key(&principal)
    }

    /// Whether the file has room inside for the largest write.
    pub(super) fn has_free_pages(&self) -> bool {
        self.free_pages().is_ok_and(|free| free >= confine::PAGES_OF_A_WRITE)
    }

    /// Pages inside the file that nothing uses.
    pub(super) fn free_pages(&self) -> rusqlite::Result<u32> {
        self.admin.pragma_query_value(None, "freelist_count", |row| row.get(0))
    }

    /// Gives back what memory it can; only this principal's connection stays open, if any.
    pub(super) fn shrink(&mut self, stays: Option<Principal>) {
        self.people.retain(|who, _| Some(*who) == stays);
        self.people.values().for_each(|person| person.connection.shrink());
        self.admin.flush_prepared_statement_cache();
        // What stays is what is in use.
        let _ = self.admin.release_memory();
    }

    /// Closes everything as after a crash: nothing is written any more.
    pub(super) fn abandon(self) {
        let _ = self.admin.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.people.into_values().for_each(|person| person.connection.abandon());
    }

    /// Answers a call. What it wrote is in no file before [`Self::commit`], and on no disk before
    /// [`Self::sync`]. A call that does not [join](Self::joins) what is open comes after a commit.
    pub(super) fn run(&mut self, as_whom: &Caller<'_>, request: &Request) -> Outcome {
        debug_assert!(self.open.is_none() || self.joins(as_whom.principal, request));
        let before = self.open;
        let answered = self.answer(as_whom, request);
        let torn = self.is_torn(as_whom.principal);
        self.open = if torn { None } else { self.opened(as_whom.principal) };
        let undone = before.is_some() && self.open.is_none();
        if undone || torn {
            self.forget(as_whom.principal);
        }
        let again = match &answered {
            Err(Failed::Stale) => Again::Stale,
            Err(Failed::Sqlite(error)) => Again::after(error),
            _ => Again::No,
        };
        if self.open.is_none() && request.writes() {
            self.tell_if_wanted();
        }
        let result = answered.map_err(|failed| self.explain(as_whom.principal, failed));
        Outcome { result, wrote: self.dirty, again, undone }
    }

    /// Answers a call that only reads, if nothing is in its way and it takes no longer than this.
    pub(super) fn read_at_once(
        &mut self,
        as_whom: &Caller<'_>,
        request: &Request,
        time: Duration,
    ) -> Option<Result<Response>> {
        if self.dirty || self.broken || self.open.is_some() {
            return None;
        }
        self.people.get(&as_whom.principal)?.connection.hurry(Some(time)).ok()?;
        let answered = self.answer(as_whom, request);
        let person = self.people.get(&as_whom.principal)?;
        if person.connection.hurry(None).is_err() || person.connection.is_torn() {
            self.forget(as_whom.principal);
        }
        match answered {
            Ok(response) => Some(Ok(response)),
            Err(Failed::Said(error)) => Some(Err(error)),
            // Whatever it is, the queue sees to it.
            Err(Failed::Sqlite(_) | Failed::Stale) => None,
        }
    }

    /// Whether a call may share the transaction that is open, if one is.
    pub(super) fn joins(&self, principal: Principal, request: &Request) -> bool {
        let made = |space: &SpaceName| match (space, principal) {
            (SpaceName::User, Principal::User(user)) => self.numbers.contains_key(&user),
            _ => true,
        };
        // A private space is made on the kernel's own connection.
        let space = match request {
            Request::Kv(space, _) | Request::Docs(space, ..) => made(space),
            _ => false,
        };
        self.open == Some(principal) && space
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Keeps what was done in the open transaction, if one is.
    ///
    /// # Errors
    /// Then all of it is undone.
    pub(super) fn commit(&mut self) -> Result<()> {
        let Some(principal) = self.open.take() else { return Ok(()) };
        let Some(person) = self.people.get(&principal) else { return Ok(()) };
        person.connection.commit().map_err(|error| {
            let said = self.explain(principal, error.into());
            self.forget(principal);
            said
        })?;
        self.tell_if_wanted();
        Ok(())
    }

    fn tell_if_wanted(&self) {
        if self.account.is_wanted() {
            self.tell();
        }
    }

    /// Closes a connection whose transaction was undone or is to be: views of it may have gone as well.
    fn forget(&mut self, principal: Principal) {
        self.open = None;
        if let Some(person) = self.people.remove(&principal) {
            person.connection.end();
        }
    }

    fn is_torn(&self, principal: Principal) -> bool {
        self.people.get(&principal).is_some_and(|person| person.connection.is_torn())
    }

    fn opened(&self, principal: Principal) -> Option<Principal> {
        self.people.get(&principal).is_some_and(|person| person.connection.is_open()).then_some(principal)
    }

    fn explain(&mut self, principal: Principal, failed: Failed) -> DataError {
        let error = match failed {
            Failed::Said(error) => return error,
            Failed::Sqlite(error) => error,
            Failed::Stale => return DataError::unavailable("the app is being deployed; try again"),
        };
        self.broken |= error::fatal(&error) || !self.admin.is_autocommit();
        if error.to_string().contains(confine::TOO_MANY_ROWS) {
            let (mib, rows) = (self.layout.quota_mib(), self.quota.rows_max);
            return DataError::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "the app holds {rows} keys and documents, as many as its storage of {mib} MiB allows: delete some, or ask the owner for more (limits.storageMiB in app.json)"
                ),
            );
        }
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let at_quota =
            || self.people.get(&principal).is_some_and(|p| p.connection.is_at_quota(self.pages_max()));
        if full && at_quota() {
            let mib = self.layout.quota_mib();
            return DataError::new(
                ErrorCode::QuotaExceeded,
                format!(
                    "the app's storage of {mib} MiB is used up: delete something, or ask the owner for more (limits.storageMiB in app.json)"
                ),
            );
        }
        DataError::sqlite(&error)
    }

    fn answer(&mut self, caller: &Caller<'_>, request: &Request) -> std::result::Result<Response, Failed> {
        match request {
            Request::Kv(space, call) => self.kv(caller, *space, call),
            Request::Docs(space, collection, call) => self.docs(caller, *space, collection, call),
            Request::Blobs(space, call) => self.blobs(caller, *space, call),
            Request::Reach(space) => self.reach(caller, *space),
            Request::Spaces(call) => {
                if !self.layout.spaces {
                    return Err(DataError::spaces_not_granted().into());
                }
                let user = signed_in(caller.principal)?;
                spaces::check(call)?;
                if !request.writes() {
                    return spaces::call(&self.admin, user, call, caller.now_ms);
                }
                let behavior = rusqlite::TransactionBehavior::Immediate;
                let transaction = self.admin.transaction_with_behavior(behavior)?;
                let response = spaces::call(&transaction, user, call, caller.now_ms)?;
                transaction.commit()?;
                self.dirty = true;
                Ok(response)
            }
        }
    }

    /// What the caller may do in a space, as it is now.
    fn reach(&mut self, caller: &Caller<'_>, space: SpaceName) -> std::result::Result<Response, Failed> {
        self.resolve(caller, space, false)?;
        let role = match space {
            SpaceName::User => Role::Manager,
            SpaceName::App => Role::Writer,
            SpaceName::Named(space) => spaces::role(&self.admin, signed_in(caller.principal)?, space)?.1,
        };
        self.account.want();
        self.tell();
        Ok(Response::Reach { role })
    }

    /// Says what the data takes of the quota, with its blobs.
    fn tell(&self) {
        let pages = self.admin.prepare_cached("PRAGMA page_count");
        let pages = pages.and_then(|mut pages| pages.query_row([], |row| row.get::<_, i64>(0)));
        // What cannot be asked now is what it was.
        let Ok(pages) = pages else { return };
        // Pages beyond the quota are for deployed files.
        let quota = (u64::from(self.layout.quota_mib()) << 20) / self.page_bytes;
        let deployed = u64::from(self.quota.pages_max).saturating_sub(quota);
        let data = pages.unsigned_abs().saturating_sub(deployed) * self.page_bytes;
        self.account.tell(data.saturating_add(self.files_bytes));
    }

    fn kv(
        &mut self,
        caller: &Caller<'_>,
        space: SpaceName,
        call: &KvCall,
    ) -> std::result::Result<Response, Failed> {
        let set = match call {
            KvCall::Set { key, value, kind, meta, ttl_s, expires_unix_ms, if_version } => {
                let (meta, kind) = (meta.as_deref(), *kind);
                let (ttl_s, expires_unix_ms, if_version) = (*ttl_s, *expires_unix_ms, *if_version);
                let set = Set { key, value, kind, meta, ttl_s, expires_unix_ms, if_version };
                kv::check_set(&set, caller.now_ms)?;
                Some(set)
            }
            _ => None,
        };
        let writes = matches!(call, KvCall::Set { .. } | KvCall::Delete { .. });
        let space = self.resolve(caller, space, writes)?;
        let seal = match call {
            KvCall::List { prefix, .. } => Some(self.seal(caller, space, 0, &[prefix.as_bytes()])),
            _ => None,
        };
        let connection = self.connection(caller)?;
        connection.keys()?;
        let keys = Keys { connection, space, now_ms: caller.now_ms };
        let response = match (call, seal, set) {
            (KvCall::Get { key }, _, _) => Response::Value(keys.get(key)?),
            (KvCall::List { prefix, limit, cursor }, Some(seal), _) => {
                let (keys, cursor) = keys.list(prefix, *limit, cursor.as_deref(), &seal)?;
                Response::Keys { keys, cursor }
            }
            (KvCall::Delete { key, if_version }, _, _) => {
                Response::Deleted(connection.join(|| keys.delete(key, *if_version))?)
            }
            (_, _, Some(set)) => Response::Version(connection.join(|| keys.set(&set))?),
            _ => return Err(DataError::argument("a call on keys without its arguments").into()),
        };
        self.dirty |= writes;
        Ok(response)
    }

    /// Pages that the database may have: the files of blobs and of raw SQL take from the same quota.
    fn pages_max(&self) -> u32 {
        let files = self.files_bytes.saturating_add(self.account.sql_bytes()) / self.page_bytes;
        let files = u32::try_from(files).unwrap_or(u32::MAX);
        self.quota.pages_max.saturating_sub(files).max(1)
    }

    /// Bytes that the quota leaves for files.
    fn room(&self) -> rusqlite::Result<u64> {
        let pages: i64 = self.admin.pragma_query_value(None, "page_count", |row| row.get(0))?;
        Ok(u64::from(self.pages_max()).saturating_sub(pages.cast_unsigned()) * self.page_bytes)
    }

    fn blobs(
        &mut self,
        caller: &Caller<'_>,
        space: SpaceName,
        call: &BlobCall,
    ) -> std::result::Result<Response, Failed> {
        blobs::check(call)?;
        let writes = call.writes();
        let space = self.resolve(caller, space, writes)?;
        let seal = match call {
            BlobCall::List(list) => {
                let delimiter = list.delimiter.as_deref().unwrap_or_default();
                Some(self.seal(caller, space, BLOBS, &[list.prefix.as_bytes(), delimiter.as_bytes()]))
            }
            _ => None,
        };
        let room = if writes || matches!(call, BlobCall::Parts { .. }) { self.room()? } else { 0 };
        let mut files = std::mem::take(&mut self.files);
        let done = self.connection(caller).and_then(|connection| {
            connection.blobs()?;
            let connection = &*connection;
            let mut blobs = Blobs { connection, files: &mut files, space, now_ms: caller.now_ms, room };
            match call {
                BlobCall::Room => blobs.call(call, None),
                _ if writes => connection.transaction(|| blobs.call(call, None)),
                _ => blobs.call(call, seal.as_ref()),
            }
        });
        self.files = files;
        let (answer, Gone { less, more }) = done?;
        self.files_bytes = self.files_bytes.saturating_add(more).saturating_sub(less);
        self.dirty |= writes && *call != BlobCall::Room;
        Ok(Response::Blob(answer))
    }

    fn docs(
        &mut self,
        caller: &Caller<'_>,
        space: SpaceName,
        collection: &str,
        call: &DocCall,
    ) -> std::result::Result<Response, Failed> {
        let table = self.table(collection)?;
        if let DocCall::Batch(writes) = call {
            docs::check_batch(writes)?;
        }
        let writes = matches!(call, DocCall::Write(_) | DocCall::Batch(_));
        let space = self.resolve(caller, space, writes)?;
        let seal = match call {
            DocCall::Find(find) => Some(self.find_seal(caller, space, &table, find)),
            _ => None,
        };
        let connection = self.connection(caller)?;
        connection.collection(&table)?;
        let docs = Docs { connection, table: &table, space, now_ms: caller.now_ms };
        let response = match (call, seal) {
            (DocCall::Get { id }, _) => Response::Doc(docs.get(id)?),
            (DocCall::Count { filter }, _) => Response::Count(docs.count(filter.as_deref())?),
            (DocCall::Find(find), Some(seal)) => {
                let (items, cursor) = docs.find(find, &seal)?;
                Response::Docs { items, cursor }
            }
            (DocCall::Write(write), _) => match connection.join(|| docs.write(write))? {
                (Some(document), _) => Response::Doc(Some(document)),
                (None, there) => Response::Deleted(there),
            },
            (DocCall::Batch(writes), _) => Response::Written(connection.join(|| docs.batch(writes))?),
            (DocCall::Find(_), None) => {
                return Err(DataError::query("a query without its cursor's seal").into());
            }
        };
        self.dirty |= writes;
        Ok(response)
    }

    /// The statement that a `find` would run, with the values it binds and SQLite's plan: for the operator.
    pub(super) fn explain_find(
        &mut self,
        caller: &Caller<'_>,
        space: SpaceName,
        collection: &str,
        find: &Find,
    ) -> Result<(String, Vec<String>)> {
        let explained = (|| {
            let table = self.table(collection)?;
            let space = self.resolve(caller, space, false)?;
            let seal = self.find_seal(caller, space, &table, find);
            let connection = self.connection(caller)?;
            connection.collection(&table)?;
            let docs = Docs { connection, table: &table, space, now_ms: caller.now_ms };
            let page = docs.compile(find, &seal)?;
            let plan = connection.plan(&page.sql)?;
            Ok((page.sql, plan))
        })();
        explained.map_err(|failed| self.explain(caller.principal, failed))
    }

    /// The spaces that a principal's connection is confined to: for the operator.
    pub(super) fn reached(&mut self, principal: Principal) -> Result<Vec<Reached>> {
        let reached = look::reached(&self.admin, principal, self.layout.spaces);
        reached.map_err(|error| self.explain(principal, error.into()))
    }

    fn table(&self, collection: &str) -> Result<Arc<Table>> {
        self.layout.tables.get(collection).cloned().ok_or_else(|| {
            DataError::query(format!(
                "there is no collection `{}`: name it in app.json under collections and deploy",
                shown(collection)
            ))
        })
    }

    /// The number of the space that a call is about, if the principal may use it so.
    fn resolve(
        &mut self,
        caller: &Caller<'_>,
        space: SpaceName,
        writes: bool,
    ) -> std::result::Result<i64, Failed> {
        match space {
            SpaceName::App if self.layout.spaces => Ok(APP_SPACE),
            SpaceName::Named(space) if self.layout.spaces => {
                let (n, role) = spaces::role(&self.admin, signed_in(caller.principal)?, space)?;
                if writes && role == Role::Reader {
                    let message = "you may read this space, not write in it";
                    return Err(DataError::new(ErrorCode::PermissionDenied, message).into());
                }
                Ok(n)
            }
            SpaceName::App | SpaceName::Named(_) => Err(DataError::spaces_not_granted().into()),
            SpaceName::User => {
                let user = signed_in(caller.principal)?;
                if let Some(n) = self.numbers.get(&user) {
                    return Ok(*n);
                }
                let n = match spaces::private(&self.admin, user)? {
                    Some(n) => n,
                    None if !writes => return Ok(NO_SPACE),
                    None => {
                        self.dirty = true;
                        spaces::make_private(&mut self.admin, user, caller.now_ms)?
                    }
                };
                if self.numbers.len() >= NUMBERS_KEPT {
                    self.numbers.clear();
                }
                self.numbers.insert(user, n);
                Ok(n)
            }
        }
    }

    fn connection(&mut self, caller: &Caller<'_>) -> std::result::Result<&mut Confined, Failed> {
        let principal = caller.principal;
        let pages_max = self.pages_max();
        let person = match self.people.entry(principal) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(room) => {
                let opened = Confined::open(
                    &self.path,
                    &cartridge::SCHEMA,
                    principal,
                    self.layout.spaces,
                    self.quota,
                    self.version,
                );
                let connection = opened.map_err(|error| {
                    self.broken |= matches!(error, StorageError::Corrupt { .. });
                    match error {
                        StorageError::Starved(_) => Failed::Sqlite(rusqlite::Error::SqliteFailure(
                            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM),
                            None,
                        )),
                        error => refused(&error).into(),
                    }
                })?;
                room.insert(Person { connection, pages_max: self.quota.pages_max, used: 0 })
            }
        };
        person.used = caller.tick;
        if person.pages_max != pages_max {
            person.connection.set_pages_max(pages_max)?;
            person.pages_max = pages_max;
        }
        Ok(&mut person.connection)
    }

    fn find_seal(&self, caller: &Caller<'_>, space: i64, table: &Table, find: &Find) -> Seal {
        let mut parts: Vec<Vec<u8>> = vec![find.filter.clone().unwrap_or_default().into_bytes()];
        for (field, descending) in &find.order {
            parts.push(field.clone().into_bytes());
            parts.push(vec![u8::from(*descending)]);
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        self.seal(caller, space, table.n, &parts)
    }

    fn seal(&self, caller: &Caller<'_>, space: i64, table: i64, query: &[&[u8]]) -> Seal {
        let (app, who) = (self.app.to_string(), caller.principal.to_string());
        let (space, table) = (space.to_le_bytes(), table.to_le_bytes());
        let mut parts: Vec<&[u8]> = vec![app.as_bytes(), who.as_bytes(), &space, &table];
        parts.extend(query);
        Seal::new(caller.cursor_key, &parts)
    }

    /// Undoing fails from now on.
    #[cfg(test)]
    pub(super) fn cannot_undo(&self, principal: Principal) {
        self.people[&principal].connection.cannot_undo.set(true);
    }

    /// Every statement that was run for this principal, and those that decide what it reaches, with their plans.
    #[cfg(test)]
    pub(super) fn plans(&self, principal: Principal) -> Vec<(String, String)> {
        let connection = &self.people[&principal].connection;
        let seen = connection.seen.borrow().clone();
        let plan = |sql: String, plan: rusqlite::Result<Vec<String>>| {
            let plan = plan.unwrap_or_else(|error| panic!("{sql}: {error}"));
            (sql, plan.join("\n"))
        };
        let policies = connection.policies().into_iter().map(|sql| {
            let sql = if sql.starts_with("SELECT") { sql } else { format!("SELECT {sql}") };
            plan(sql.clone(), connection.plan_beneath(&sql))
        });
        seen.into_iter().map(|sql| plan(sql.clone(), connection.plan(&sql))).chain(policies).collect()
    }

    /// Brings everything that was written to the disk. After a failure it is not known what the disk has, and
    /// this is of no more use.
    pub(super) fn sync(&mut self, disk: &Disk) -> std::io::Result<()> {
        if !self.dirty {
            return Ok(());
        }
        if self.wal.is_none() {
            let file = File::open(wal_of(&self.path))?;
            // The file's name must be on the disk too.
            if let Some(folder) = self.path.parent() {
                File::open(folder)?.sync_all()?;
            }
            self.wal = Some(file);
        }
        self.wal.as_ref().map_or(Ok(()), |wal| disk.sync(&self.path, wal))?;
        self.dirty = false;
        self.files.settle(&self.admin);
        Ok(())
    }

    /// Removes some of the keys that expired.
    pub(super) fn expire(&mut self, now_ms: u64) {
        let sql = "DELETE FROM kv WHERE (_space, key) IN
            (SELECT _space, key FROM kv WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
        let done = (|| {
            let transaction = self.admin.transaction()?;
            let gone = transaction.prepare_cached(sql)?.execute((now_ms.cast_signed(), EXPIRED_PER_TURN))?;
            transaction.prepare_cached("UPDATE tally SET rows = rows - ?1")?.execute([gone as i64])?;
            transaction.commit()
        })();
        if let Err(error) = done {
            tracing::debug!(app = %self.app, %error, "expired keys stay for now");
        }
        if let Err(error) = blobs::expire(&mut self.admin, now_ms) {
            tracing::debug!(app = %self.app, %error, "uploads that nobody finished stay for now");
        }
        self.files.sweep(&self.admin);
        if let Ok(bytes) = blobs::files_bytes(&self.admin) {
            self.files_bytes = bytes;
        }
    }

    /// Gives some of the pages back to the disk that nothing uses, down to `kept`. Whether there are more. The file
    /// becomes smaller when the WAL is moved into it.
    pub(super) fn reclaim(&mut self, kept: u32) -> bool {
        let more = (|| {
            let free = self.free_pages()?;
            let some = free.saturating_sub(kept).min(RECLAIMED_AT_ONCE);
            if some == 0 {
                return Ok(false);
            }
            // A row for each; none in a file that was made without.
            let mut statement = self.admin.prepare(&format!("PRAGMA incremental_vacuum({some})"))?;
            let mut pages = statement.query([])?;
            let mut moved = 0;
            while pages.next()?.is_some() {
                moved += 1;
            }
            Ok(moved > 0 && free > kept + some)
        })();
        more.unwrap_or_else(|error: rusqlite::Error| {
            tracing::debug!(app = %self.app, %error, "free pages stay for now");
            false
        })
    }
}

/// Who calls, when, and what the engine knows.
pub(super) struct Caller<'a> {
    pub(super) principal: Principal,
    pub(super) now_ms: u64,
    pub(super) tick: u64,
    pub(super) cursor_key: &'a [u8; 32],
}

fn signed_in(principal: Principal) -> Result<UserId> {
    match principal {
        Principal::User(user) => Ok(user),
        Principal::Anonymous => Err(DataError::new(
            ErrorCode::SignInRequired,
            "nobody is signed in, so there is no private space and no membership",
        )),
        Principal::Service => Err(DataError::new(
            ErrorCode::PermissionDenied,
            "the app itself has the app space only: it is no person",
        )),
    }
}

/// What an app learns when its data cannot be opened.
pub(super) fn refused(error: &StorageError) -> DataError {
    match error {
        StorageError::Full(_) => DataError::unavailable("there is no room on the server's disk"),
        StorageError::Starved(_) => DataError::unavailable("storage has no memory left for this; try again"),
        StorageError::Corrupt { .. } | StorageError::Newer { .. } => {
            tracing::error!(%error, "an app's data cannot be opened");
            DataError::unavailable("the app's data file is damaged; the operator can restore it")
        }
        _ => {
            tracing::error!(%error, "an app's data cannot be opened");
            DataError::unavailable("the app's data cannot be opened now")
        }
    }
}

/// The quota as pages of the whole file, in which deployed files lie too and are not counted.
fn pages_max(connection: &Connection, layout: &Layout) -> rusqlite::Result<u32> {
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let files = cartridge::files_bytes(connection)?;
    // A tenth for half-empty pages, and the kernel's own tables.
    let bytes = files + files / 10 + i64::from(layout.quota_mib()) * 1024 * 1024 + 512 * 1024;
    Ok(u32::try_from(bytes / page.max(512)).unwrap_or(u32::MAX - 1))
}
