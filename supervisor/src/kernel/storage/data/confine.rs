//! The second wall: a connection that belongs to one principal and can reach nothing else, whatever is run on
//! it.
//!
//! ```text
//! statement ─▶ v_1  (public name) ─▶ s…_1 (secret name: WHERE _space IN the principal's) ─▶ doc_1
//!              └─ INSTEAD OF triggers (secret names) ─▶ doc_1 ─▶ guard triggers: may write this space?
//! ```
//! The authorizer lets only views and triggers of secret names touch the tables beneath. SQLite tells it the
//! innermost *name* that a statement used, which a statement may choose itself (`WITH v_1 AS …`); 128 random
//! bits it cannot choose. What a person may read and write is asked of the table of members in every
//! statement, so that a change there holds at once. A connection is never given to another principal.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{CachedStatement, Connection, Statement};

use super::super::db::{self, Mode};
use super::docs::Failed;
use super::limits::{
    AT_ONCE_BYTES_MAX, BUSY, HEAP_BYTES_MAX, PAGE_CACHE_KIB, PLANS_KEPT, PROGRESS_OPS, ROW_BYTES_MAX,
    STATEMENT, STATEMENT_KEPT_BYTES, STATEMENTS_KEPT,
};
use super::schema::{self, Table};
use super::watch::Watch;
use crate::kernel::security::Principal;
use crate::kernel::storage::StorageError;

/// Functions that a statement may call. Everything else is refused, above all what runs long without looking
/// at the clock, writes files, or tells about the connection.
const FUNCTIONS: &[&str] = &["count", "fz_key", "fz_contains"];

/// What the authorizer lets pass besides confined statements.
const CONFINED: u8 = 0;
const TRANSACTIONS: u8 = 1;
const EVERYTHING: u8 = 2;

/// The spaces of a principal, as SQL that says their numbers.
struct Reach {
    readable: String,
    writable: String,
}

impl Reach {
    /// Ids are made by the kernel: 26 letters and digits behind a prefix, nothing that SQL would see.
    fn of(principal: Principal, spaces: bool) -> Self {
        let both = |sql: &str| Self { readable: sql.into(), writable: sql.into() };
        match (principal, spaces) {
            (Principal::User(user), true) => Self {
                readable: format!("SELECT space FROM main.member WHERE who = '{user}' UNION ALL SELECT 1"),
                writable: format!(
                    "SELECT space FROM main.member WHERE who = '{user}' AND role IN ('writer', 'manager')
                    UNION ALL SELECT 1"
                ),
            },
            (Principal::User(user), false) => {
                both(&format!("SELECT n FROM main.space WHERE kind = 'user' AND owner = '{user}'"))
            }
            (Principal::Anonymous | Principal::Service, true) => both("1"),
            (Principal::Anonymous | Principal::Service, false) => both("0"),
        }
    }
}

/// What an app's data may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// Pages of the whole file.
    pub(super) pages_max: u32,
    /// Keys and documents together.
    pub(super) rows_max: u64,
}

/// What a write says that finds the quota of rows used up.
pub(super) const TOO_MANY_ROWS: &str = "too many rows";

/// A connection for one principal.
pub(super) struct Confined {
    connection: Connection,
    reach: Reach,
    secret: String,
    mode: Arc<AtomicU8>,
    watch: Watch,
    hurry: Cell<Option<Duration>>,
    torn: Cell<bool>,
    /// Whether a statement sorts, by its text.
    plans: RefCell<HashMap<String, bool>>,
    rows_max: u64,
    /// [`schema_version`] of the tables that statements are made for.
    version: i64,
    /// Tables that have their views.
    known: Vec<String>,
    /// Undoing fails, as for want of memory.
    #[cfg(test)]
    pub(super) cannot_undo: Cell<bool>,
    /// Every statement that was prepared.
    #[cfg(test)]
    pub(super) seen: RefCell<std::collections::BTreeSet<String>>,
}

impl Confined {
    /// Opens one. `version` is the [`schema_version`] that the caller knows.
    pub(super) fn open(
        path: &Path,
        schema: &db::Schema,
        principal: Principal,
        spaces: bool,
        quota: Quota,
        version: i64,
    ) -> Result<Self, StorageError> {
        let mut connection = db::open(path, schema, Mode::Existing)?;
        let secret = format!("s{:032x}", rand::random::<u128>());
        let mode = Arc::new(AtomicU8::new(EVERYTHING));
        let watch = Watch::endless();
        harden(&connection, quota.pages_max)
            .and_then(|()| {
                schema::functions(&connection, &watch)?;
                let wall = authorizer(secret.clone(), Arc::clone(&mode));
                connection.authorizer(Some(wall))?;
                let time = watch.clone();
                connection.progress_handler(PROGRESS_OPS, Some(move || time.late()))
            })
            .map_err(|error| StorageError::sqlite(path, &error))?;
        mode.store(CONFINED, Ordering::Relaxed);
        let reach = Reach::of(principal, spaces);
        let plans = RefCell::default();
        let rows_max = quota.rows_max;
        Ok(Self {
            connection,
            reach,
            secret,
            mode,
            watch,
            hurry: Cell::new(None),
            torn: Cell::new(false),
            plans,
            rows_max,
            version,
            known: Vec::new(),
            #[cfg(test)]
            cannot_undo: Cell::new(false),
            #[cfg(test)]
            seen: RefCell::default(),
        })
    }

    /// Makes the views and triggers of a collection, once.
    pub(super) fn collection(&mut self, table: &Table) -> rusqlite::Result<()> {
        let outer = format!("v_{}", table.n);
        if self.known.contains(&outer) {
            return Ok(());
        }
        let mut columns: Vec<String> =
            ["_space", "id", "version", "created", "updated", "body"].map(str::to_owned).into();
        columns.extend(table.shadows.iter().map(|(k, _)| format!("k{k}")));
        self.make(&format!("doc_{}", table.n), outer, &columns)
    }

    /// Makes the views and triggers of the keys, once.
    pub(super) fn keys(&mut self) -> rusqlite::Result<()> {
        if self.known.iter().any(|known| known == "v_kv") {
            return Ok(());
        }
        let columns = ["_space", "key", "version", "expires", "kind", "meta", "value"].map(str::to_owned);
        self.make("kv", "v_kv".into(), &columns)
    }

    /// Makes the views and triggers of the blobs, once.
    pub(super) fn blobs(&mut self) -> rusqlite::Result<()> {
        for (base, columns) in [
            (
                "blob",
                &[
                    "_space", "key", "version", "size", "etag", "uploaded", "http", "meta", "sums", "file",
                    "value",
                ][..],
            ),
            ("blob_upload", &["_space", "id", "key", "created", "http", "meta"]),
            ("blob_part", &["_space", "id", "size", "etag", "file", "value"]),
        ] {
            let outer = format!("v_{base}");
            if !self.known.contains(&outer) {
                let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
                self.make(base, outer, &columns)?;
            }
        }
        Ok(())
    }

    /// Sets the quota anew, in pages of the whole file.
    pub(super) fn set_pages_max(&self, pages_max: u32) -> rusqlite::Result<()> {
        self.mode.store(EVERYTHING, Ordering::Relaxed);
        let set = self.connection.query_row(&format!("PRAGMA max_page_count={pages_max}"), [], |_| Ok(()));
        self.mode.store(CONFINED, Ordering::Relaxed);
        set
    }

    fn make(&mut self, base: &str, outer: String, columns: &[String]) -> rusqlite::Result<()> {
        let sql = self.walls(base, &outer, columns);
        // Whatever time the last statement had is not that of this one.
        self.watch.set(None);
        self.mode.store(EVERYTHING, Ordering::Relaxed);
        let made = self.connection.execute_batch(&sql);
        self.mode.store(CONFINED, Ordering::Relaxed);
        // Some of them may be there, under names that would be taken again.
        self.torn.set(made.is_err());
        made?;
        self.known.push(outer);
        Ok(())
    }

    fn walls(&self, base: &str, outer: &str, columns: &[String]) -> String {
        let (secret, n, rows_max) = (&self.secret, self.known.len(), self.rows_max);
        let Reach { readable, writable } = &self.reach;
        let (list, key) = (columns.join(", "), &columns[1]);
        let fresh: Vec<_> = columns.iter().map(|column| format!("NEW.{column}")).collect();
        let set: Vec<_> = columns[2..].iter().map(|column| format!("{column} = NEW.{column}")).collect();
        let (fresh, set) = (fresh.join(", "), set.join(", "));
        let moved = format!("NEW._space IS NOT OLD._space OR NEW.{key} IS NOT OLD.{key}");
        format!(
            "CREATE TEMP VIEW {secret}_{n} AS SELECT {list} FROM main.{base} WHERE _space IN ({readable});
            CREATE TEMP VIEW {outer} AS SELECT {list} FROM {secret}_{n};
            CREATE TEMP TRIGGER {secret}_{n}_i INSTEAD OF INSERT ON {outer} BEGIN
                INSERT INTO {base}({list}) VALUES({fresh});
            END;
            CREATE TEMP TRIGGER {secret}_{n}_u INSTEAD OF UPDATE ON {outer} BEGIN
                SELECT RAISE(ABORT, 'moved') WHERE {moved};
                UPDATE {base} SET {set} WHERE _space = OLD._space AND {key} = OLD.{key};
            END;
            CREATE TEMP TRIGGER {secret}_{n}_d INSTEAD OF DELETE ON {outer} BEGIN
                DELETE FROM {base} WHERE _space = OLD._space AND {key} = OLD.{key};
            END;
            CREATE TEMP TRIGGER {secret}_{n}_gi BEFORE INSERT ON main.{base}
            WHEN NEW._space NOT IN ({writable}) BEGIN SELECT RAISE(ABORT, 'not a writer'); END;
            CREATE TEMP TRIGGER {secret}_{n}_gr BEFORE INSERT ON main.{base}
            WHEN (SELECT rows FROM main.tally) >= {rows_max} BEGIN SELECT RAISE(ABORT, '{TOO_MANY_ROWS}'); END;
            CREATE TEMP TRIGGER {secret}_{n}_ti AFTER INSERT ON main.{base} BEGIN
                UPDATE tally SET rows = rows + 1;
            END;
            CREATE TEMP TRIGGER {secret}_{n}_td AFTER DELETE ON main.{base} BEGIN
                UPDATE tally SET rows = rows - 1;
            END;
            CREATE TEMP TRIGGER {secret}_{n}_gu BEFORE UPDATE ON main.{base}
            WHEN {moved} OR OLD._space NOT IN ({writable}) BEGIN SELECT RAISE(ABORT, 'not a writer'); END;
            CREATE TEMP TRIGGER {secret}_{n}_gd BEFORE DELETE ON main.{base}
            WHEN OLD._space NOT IN ({writable}) BEGIN SELECT RAISE(ABORT, 'not a writer'); END;"
        )
    }

    /// Prepares one statement. Every statement passes here. Short ones are kept: the kernel's own are never
    /// among those, because their text holds the secret or they are not kept at all.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<Prepared<'_>> {
        if sql.contains('\0') {
            return Err(rusqlite::Error::InvalidQuery);
        }
        let statement = if sql.len() <= STATEMENT_KEPT_BYTES {
            Prepared::Kept(self.connection.prepare_cached(sql)?)
        } else {
            Prepared::Once(self.connection.prepare(sql)?)
        };
        // Explaining is no action that the authorizer hears of, and it names what is beneath.
        if statement.is_explain() != 0 {
            if let Prepared::Kept(statement) = statement {
                statement.discard();
            }
            return Err(rusqlite::Error::InvalidQuery);
        }
        #[cfg(test)]
        self.seen.borrow_mut().insert(sql.to_owned());
        self.watch.set(Some(self.hurry.get().unwrap_or(STATEMENT)));
        Ok(statement)
    }

    /// SQLite's plan of a statement, for the operator: names what is beneath, so never for an app.
    pub(super) fn plan(&self, sql: &str) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        // Its plan does not depend on the values, which stay unbound.
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(row.get(3)?);
        }
        Ok(steps)
    }

    /// Whether a statement holds its rows in memory to bring them into an order, rather than take them from an
    /// index in the order that they have there.
    pub(super) fn sorts(&self, sql: &str) -> rusqlite::Result<bool> {
        if let Some(sorts) = self.plans.borrow().get(sql) {
            return Ok(*sorts);
        }
        let sorts = self.plan(sql)?.iter().any(|step| step.contains("TEMP B-TREE"));
        let mut plans = self.plans.borrow_mut();
        if plans.len() >= PLANS_KEPT {
            plans.clear();
        }
        if sql.len() <= STATEMENT_KEPT_BYTES {
            plans.insert(sql.to_owned(), sorts);
        }
        Ok(sorts)
    }

    /// The statements that decide who reads and who writes, on which every other one leans.
    #[cfg(test)]
    pub(super) fn policies(&self) -> [String; 2] {
        [self.reach.readable.clone(), self.reach.writable.clone()]
    }

    /// The plan of a statement of the kernel's own.
    #[cfg(test)]
    pub(super) fn plan_beneath(&self, sql: &str) -> rusqlite::Result<Vec<String>> {
        self.mode.store(EVERYTHING, Ordering::Relaxed);
        let plan = self.plan(sql);
        self.mode.store(CONFINED, Ordering::Relaxed);
        plan
    }

    /// Gives back what memory it can without being closed.
    pub(super) fn shrink(&self) {
        self.connection.flush_prepared_statement_cache();
        // What stays is what is in use.
        let _ = self.connection.release_memory();
    }

    /// Closes it as after a crash: nothing is moved from the WAL into the file.
    pub(super) fn abandon(self) {
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    /// Runs `work` in a transaction of its own: all of it or nothing.
    pub(super) fn transaction<T>(&self, work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        let done = self.join(work)?;
        if let Err(error) = self.commit() {
            self.end();
            return Err(error.into());
        }
        Ok(done)
    }

    /// Runs `work` in the transaction that is open, or begins one: all of `work` or nothing of it. What was done
    /// before in the same transaction stays, unless SQLite has ended the whole: then it is open no more.
    pub(super) fn join<T>(&self, work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        let first = !self.is_open();
        if first {
            self.verb("BEGIN IMMEDIATE TRANSACTION")?;
        } else {
            self.verb("SAVEPOINT")?;
        }
        let done = if first { self.up_to_date().and_then(|()| work()) } else { work() };
        match done {
            // A full disk ends the transaction by itself.
            Err(error) if !self.is_open() => Err(error),
            Err(error) if first => {
                self.end();
                Err(error)
            }
            Err(error) => {
                let undone = self.verb("ROLLBACK TRANSACTION TO SAVEPOINT");
                if undone.and_then(|()| self.verb("RELEASE SAVEPOINT")).is_err() {
                    self.torn.set(true);
                }
                Err(error)
            }
            Ok(done) => {
                if !first && let Err(error) = self.verb("RELEASE SAVEPOINT") {
                    self.torn.set(true);
                    return Err(error.into());
                }
                Ok(done)
            }
        }
    }

    /// Keeps what was done in the open transaction.
    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.verb("COMMIT TRANSACTION")
    }

    /// Undoes what was done in the open transaction.
    pub(super) fn end(&self) {
        if self.is_open()
            && let Err(error) = self.verb("ROLLBACK TRANSACTION")
        {
            tracing::error!(%error, "a transaction cannot be ended");
            self.torn.set(true);
        }
    }

    /// Whether something could not be undone, for want of memory say: nothing that is open may be kept, and the
    /// connection is of no more use. Closing it undoes what is open.
    pub(super) fn is_torn(&self) -> bool {
        self.torn.get()
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Gives the next statements less time than they have otherwise, for one who will not wait, neither for other
    /// connections nor for the pages of a long value; none: all of it.
    ///
    /// # Errors
    /// When SQLite refuses; nothing is to be asked in a hurry then.
    pub(super) fn hurry(&self, time: Option<Duration>) -> rusqlite::Result<()> {
        self.hurry.set(time);
        self.watch.set(None);
        let (longest, wait) =
            if time.is_some() { (AT_ONCE_BYTES_MAX, Duration::ZERO) } else { (ROW_BYTES_MAX, BUSY) };
        self.connection.busy_timeout(wait)?;
        let longest = i32::try_from(longest).unwrap_or(i32::MAX);
        self.connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest).map(drop)
    }

    /// Whether whoever asks will not wait.
    pub(super) fn hurried(&self) -> bool {
        self.hurry.get().is_some()
    }

    /// A deploy may have added columns since the tables were looked at, which must be written too. Inside the
    /// transaction nobody can add any more.
    fn up_to_date(&self) -> Result<(), Failed> {
        self.mode.store(EVERYTHING, Ordering::Relaxed);
        let found = schema_version(&self.connection);
        self.mode.store(CONFINED, Ordering::Relaxed);
        if found? == self.version { Ok(()) } else { Err(Failed::Stale) }
    }

    /// The name of the transaction says nothing to SQLite. It keeps the statement apart from every text that
    /// may be asked for from outside: one that was prepared before is not shown to the authorizer again.
    fn verb(&self, verb: &str) -> rusqlite::Result<()> {
        self.watch.set(None);
        #[cfg(test)]
        if self.cannot_undo.get() && (verb.starts_with("ROLLBACK") || verb.starts_with("RELEASE")) {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM);
            return Err(rusqlite::Error::SqliteFailure(error, None));
        }
        self.mode.store(TRANSACTIONS, Ordering::Relaxed);
        let sql = format!("{verb} {}", self.secret);
        let done = self.connection.prepare_cached(&sql).and_then(|mut statement| statement.raw_execute());
        self.mode.store(CONFINED, Ordering::Relaxed);
        done.map(|_| ())
    }

    /// Whether the last statement failed because the quota is used up.
    pub(super) fn is_at_quota(&self, pages_max: u32) -> bool {
        self.mode.store(EVERYTHING, Ordering::Relaxed);
        let pages: rusqlite::Result<u32> =
            self.connection.pragma_query_value(None, "page_count", |row| row.get(0));
        self.mode.store(CONFINED, Ordering::Relaxed);
        // A write needs a few pages at once.
        pages.is_ok_and(|pages| pages.saturating_add(PAGES_OF_A_WRITE) >= pages_max)
    }
}

/// Pages that the largest value takes, with those of its indexes.
pub(super) const PAGES_OF_A_WRITE: u32 = (ROW_BYTES_MAX / 4096) as u32 + 64;

/// A statement that is kept for the next time, or not.
pub(super) enum Prepared<'c> {
    /// Kept.
    Kept(CachedStatement<'c>),
    /// Not kept: its text is long, and so is what SQLite makes of it.
    Once(Statement<'c>),
}

impl<'c> Deref for Prepared<'c> {
    type Target = Statement<'c>;

    fn deref(&self) -> &Statement<'c> {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl<'c> DerefMut for Prepared<'c> {
    fn deref_mut(&mut self) -> &mut Statement<'c> {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

/// Counts the changes of a file's tables. Not kept among the prepared: see [`Confined::prepare`].
pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare("PRAGMA main.schema_version")?.query_row([], |row| row.get(0))
}

/// What [`db::open`] does not do for the kernel's own connections.
fn harden(connection: &Connection, pages_max: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    for setting in [
        DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE,
        DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE,
        DbConfig::SQLITE_DBCONFIG_ENABLE_COMMENTS,
        DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA,
    ] {
        connection.set_db_config(setting, false)?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
    // Without it REPLACE would not fire the guards of what it deletes.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.query_row(&format!("PRAGMA max_page_count={pages_max}"), [], |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA hard_heap_limit={HEAP_BYTES_MAX}"), [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, i32::try_from(ROW_BYTES_MAX).unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 32 * 1024),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 60),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 8),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 16),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 128),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 1_000),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 4),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, value)?;
    }
    Ok(())
}

/// Default: deny.
fn authorizer(
    secret: String,
    mode: Arc<AtomicU8>,
) -> impl for<'r> FnMut(AuthContext<'r>) -> Authorization + Send + 'static {
    move |asked| {
        let mode = mode.load(Ordering::Relaxed);
        let hidden = |name: &str| name.starts_with(&secret);
        let public = |name: &str| name.starts_with("v_");
        let kept = |name: &str| {
            matches!(name, "kv" | "blob" | "blob_upload" | "blob_part") || name.starts_with("doc_")
        };
        let base = |name: &str| matches!(name, "space" | "member" | "tally") || kept(name);
        let inside = asked.accessor.is_some_and(hidden);
        let updates = matches!(asked.action, AuthAction::Update { .. });
        let (temp, main) = (asked.database_name == Some("temp"), asked.database_name == Some("main"));
        let allow = match asked.action {
            _ if mode == EVERYTHING => true,
            AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => mode == TRANSACTIONS,
            AuthAction::Select => true,
            AuthAction::Function { function_name } => FUNCTIONS.contains(&function_name),
            AuthAction::Read { table_name, .. } => {
                (temp && (public(table_name) || hidden(table_name))) || (inside && main && base(table_name))
            }
            AuthAction::Insert { table_name }
            | AuthAction::Delete { table_name }
            | AuthAction::Update { table_name, .. } => {
                (asked.accessor.is_none() && temp && public(table_name))
                    || (inside && main && kept(table_name))
                    || (inside && main && table_name == "tally" && updates)
            }
            _ => false,
        };
        if allow { Authorization::Allow } else { Authorization::Deny }
    }
}
