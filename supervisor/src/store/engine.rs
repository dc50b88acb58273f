//! One connection to one file: its settings, and what becomes of a request.
//!
//! The SQL is an app's word, and so is the file: whoever wrote it may have found a hole in SQLite.

use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::limits::Limit;
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Batch, Connection, OpenFlags, StatementStatus};

use super::fault::Failed;
use super::limited;
use super::policy::{Own, authorizer};
use super::sys::Files;
use fazt_ipc::store::limits::{
    ANSWER_BYTES_MAX, CACHE_KIB, COLUMNS_MAX, FREE_BYTES_KEPT, FREE_PAGES_AT_ONCE, HEAP_BYTES_MAX,
    MESSAGE_BYTES_MAX, PAGE_BYTES, PROGRESS_OPS, ROWS_BYTES_MAX, ROWS_MAX, SQL_BYTES_MAX, STATEMENTS_MAX,
    VALUE_BYTES_MAX, VALUES_MAX, WAL_BYTES_KEPT,
};
use fazt_ipc::store::{Answer, Cell, Fault, Form, Malformed, Outcome, Request, Statement, Value, encode};

/// The one connection.
pub(super) struct Engine {
    connection: Connection,
    vfs: &'static CStr,
    files: &'static Files,
    own: Own,
    /// CPU time of the process at which a statement is cut off, in milliseconds.
    deadline_ms: Arc<AtomicU64>,
}

/// What one statement gave.
#[derive(Default)]
struct Ran {
    columns: Vec<String>,
    count: u32,
    rows: Vec<u8>,
    statements: u32,
    changes: u64,
    last_row_id: i64,
    rows_read: u64,
    changed: bool,
    bytes: u64,
    duration_us: u64,
}

/// What is left of the bounds of an answer.
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    fn take(&mut self, bytes: usize, row: bool) -> Result<(), Failed> {
        let rows = self.rows.checked_sub(usize::from(row));
        let bytes = self.bytes.checked_sub(bytes);
        match (rows, bytes) {
            (Some(rows), Some(bytes)) => {
                (self.rows, self.bytes) = (rows, bytes);
                Ok(())
            }
            _ => Err(Failed::new(
                Fault::TooLarge,
                format!(
                    "an answer has at most {ROWS_MAX} rows and {ROWS_BYTES_MAX} bytes: ask for a part of them, with LIMIT"
                ),
            )),
        }
    }
}

impl Engine {
    /// Opens the database behind the file system of this name.
    pub(super) fn open(vfs: &'static CStr, files: &'static Files) -> rusqlite::Result<Self> {
        let (own, deadline_ms) = (Own::default(), Arc::new(AtomicU64::new(u64::MAX)));
        let connection = connect(vfs, files, &own, &deadline_ms)?;
        let engine = Self { connection, vfs, files, own, deadline_ms };
        // Whoever had the file before may have died in the middle of something large.
        engine.tidy();
        Ok(engine)
    }

    /// After a call: whatever the file does not need goes back to the disk, and to the app's quota. Pages that were
    /// deleted, and a long WAL, which is moved into the database and is none then.
    pub(super) fn tidy(&self) {
        if self.files.read_only {
            return;
        }
        let gave_back = self.give_back().unwrap_or(false);
        if gave_back || self.files.wal_bytes() > WAL_BYTES_KEPT.unsigned_abs() {
            let moved = self
                .ours(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
            // On a full disk it stays where it is, and nothing is lost.
            drop(moved);
        }
    }

    /// Answers a request, as bytes for the socket.
    ///
    /// # Errors
    /// When even a refusal cannot be written.
    pub(super) fn answer(&mut self, request: &Request) -> Result<Vec<u8>, Malformed> {
        self.files.forget_full();
        let late = crate::sys::cpu_ms().saturating_add(u64::from(request.cpu_ms));
        let mut at = 0;
        let ran = self
            .look_again()
            .and_then(|()| self.set(request))
            .and_then(|()| {
                self.deadline_ms.store(late, Ordering::Relaxed);
                self.run(request, &mut at)
            })
            .and_then(|ran| Ok((ran, self.bytes()?)));
        self.deadline_ms.store(u64::MAX, Ordering::Relaxed);
        let failed = match &ran {
            Ok((ran, bytes)) => {
                let outcomes = ran.iter().map(Ran::outcome).collect();
                match encode(&Answer::Done { outcomes, bytes: *bytes }, ANSWER_BYTES_MAX) {
                    Ok(answer) => return Ok(answer),
                    Err(Malformed(why)) => Failed::new(Fault::TooLarge, why),
                }
            }
            Err(failed) if failed.fault == Fault::Quota && self.files.was_full() => {
                Failed::new(Fault::DiskFull, failed.message.as_str())
            }
            Err(failed) => Failed::new(failed.fault, failed.message()),
        };
        let (fault, message) = (failed.fault, failed.message());
        encode(&Answer::Failed { at, fault, message }, ANSWER_BYTES_MAX)
    }

    /// Moves the WAL into the database and closes both.
    pub(super) fn close(self) {
        self.own.set(true);
        drop(self.connection);
    }

    /// Runs a statement of ours.
    fn ours<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        self.own.set(true);
        let done = work(&self.connection);
        self.own.set(false);
        done
    }

    /// Somebody else writes to a file that is only read here. Nobody does during a call, so that it is enough to
    /// remember nothing of it between two.
    fn look_again(&mut self) -> Result<(), Failed> {
        if self.files.read_only {
            self.connection = connect(self.vfs, self.files, &self.own, &self.deadline_ms)?;
        }
        Ok(())
    }

    /// Makes the database shorter by pages that are free, when there are many. Whether it did.
    fn give_back(&self) -> rusqlite::Result<bool> {
        self.ours(|connection| {
            let free = connection.prepare_cached("PRAGMA freelist_count")?.query_row([], |row| row.get(0))?;
            let is_possible = || connection.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0));
            if i64::unsigned_abs(free) * PAGE_BYTES <= FREE_BYTES_KEPT || is_possible()? == 0 {
                return Ok(false);
            }
            let mut statement =
                connection.prepare(&format!("PRAGMA incremental_vacuum({FREE_PAGES_AT_ONCE})"))?;
            // A row for each page.
            let mut pages = statement.query([])?;
            while pages.next()?.is_some() {}
            Ok(true)
        })
    }

    fn set(&self, request: &Request) -> Result<(), Failed> {
        self.files.set_bounds(request.bytes_max);
        let pages = (request.bytes_max / PAGE_BYTES).clamp(1, u64::from(u32::MAX) - 1);
        self.ours(|connection| {
            // Switches that an earlier call left behind.
            connection.pragma_update(None, "defer_foreign_keys", false)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "query_only", request.read_only)?;
            connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))
        })?;
        Ok(())
    }

    fn bytes(&self) -> Result<u64, Failed> {
        let pages = self.ours(|connection| {
            connection.prepare_cached("PRAGMA page_count")?.query_row([], |row| row.get::<_, i64>(0))
        })?;
        Ok(pages.unsigned_abs() * PAGE_BYTES)
    }

    fn run(&self, request: &Request, at: &mut u32) -> Result<Vec<Ran>, Failed> {
        if request.statements.len() > STATEMENTS_MAX {
            let message =
                format!("{} statements in one batch; at most {STATEMENTS_MAX}", request.statements.len());
            return Err(Failed::new(Fault::TooLarge, message));
        }
        if request.form == Form::Check {
            return self.check();
        }
        if request.statements.len() <= 1 && request.form == Form::One {
            return self.each(request, at);
        }
        let begin = if request.read_only { "BEGIN" } else { "BEGIN IMMEDIATE" };
        self.ours(|connection| connection.execute_batch(begin))?;
        let done = self.each(request, at).and_then(|ran| {
            self.ours(|connection| connection.execute_batch("COMMIT"))?;
            Ok(ran)
        });
        // A full disk ends the transaction by itself.
        if done.is_err() && !self.connection.is_autocommit() {
            self.deadline_ms.store(u64::MAX, Ordering::Relaxed);
            self.ours(|connection| connection.execute_batch("ROLLBACK"))?;
        }
        done
    }

    /// What is wrong with the file, a line each, or `ok`.
    fn check(&self) -> Result<Vec<Ran>, Failed> {
        let mut ran = Ran { columns: vec!["integrity_check".to_owned()], statements: 1, ..Ran::default() };
        // As long as the file has tables; it is no statement of the app's.
        let most = self.connection.set_limit(Limit::SQLITE_LIMIT_VDBE_OP, i32::MAX)?;
        let done = self.ours(|connection| {
            let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FLAWS_MAX})"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let text = row.get_ref(0)?.as_str()?;
                Cell::Text(text.get(..MESSAGE_BYTES_MAX).unwrap_or(text)).put(&mut ran.rows);
                ran.count += 1;
            }
            Ok(())
        });
        self.connection.set_limit(Limit::SQLITE_LIMIT_VDBE_OP, most)?;
        done?;
        Ok(vec![ran])
    }

    fn each(&self, request: &Request, at: &mut u32) -> Result<Vec<Ran>, Failed> {
        let mut room = Room { rows: ROWS_MAX, bytes: ROWS_BYTES_MAX };
        let mut all = Vec::with_capacity(request.statements.len());
        for (number, statement) in (0..).zip(&request.statements) {
            *at = number;
            let (started, changes, bytes) = (Instant::now(), self.connection.total_changes(), self.bytes()?);
            let mut ran = match request.form {
                Form::Script => self.script(&statement.sql, request.read_only)?,
                form => self.one(statement, form, request.read_only, &mut room)?,
            };
            ran.changes = self.connection.total_changes() - changes;
            ran.bytes = self.bytes()?;
            ran.changed = ran.changes > 0 || ran.bytes != bytes;
            ran.last_row_id = self.connection.last_insert_rowid();
            ran.duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            all.push(ran);
        }
        Ok(all)
    }

    fn script(&self, sql: &str, read_only: bool) -> Result<Ran, Failed> {
        check(sql)?;
        let mut batch = Batch::new(&self.connection, sql);
        let mut ran = Ran::default();
        while let Some(mut statement) = batch.next()? {
            writable(&statement, read_only)?;
            if statement.parameter_count() > 0 {
                return Err(wrong_number());
            }
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            ran.statements += 1;
        }
        if ran.statements == 0 { Err(empty(sql)) } else { Ok(ran) }
    }

    fn one(&self, asked: &Statement, form: Form, read_only: bool, room: &mut Room) -> Result<Ran, Failed> {
        check(&asked.sql)?;
        let mut batch = Batch::new(&self.connection, &asked.sql);
        let mut statement = match (batch.next(), &asked.sql) {
            (Ok(Some(statement)), _) => statement,
            (Ok(None), sql) => return Err(empty(sql)),
            (Err(error), sql) => {
                let Some(sql) = limited::rewritten(sql) else { return Err(error.into()) };
                let other = Statement { sql, ..asked.clone() };
                return self.one(&other, form, read_only, room);
            }
        };
        writable(&statement, read_only)?;
        loop {
            let next = match batch.next() {
                Ok(None) => break,
                _ if form == Form::One => {
                    let message = "a prepared statement is one statement: use batch, or exec";
                    return Err(Failed::new(Fault::Query, message));
                }
                _ if statement.parameter_count() > 0 => return Err(wrong_number()),
                Ok(next) => next,
                // It may name what only the one before it makes: it is asked for again.
                Err(_) => None,
            };
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            drop(rows);
            statement = match next {
                Some(next) => next,
                None => batch.next()?.ok_or_else(|| empty(&asked.sql))?,
            };
            writable(&statement, read_only)?;
        }
        if statement.parameter_count() != asked.values.len() {
            return Err(wrong_number());
        }
        for (number, value) in (1..).zip(&asked.values) {
            match value {
                Value::Null => statement.raw_bind_parameter(number, Null)?,
                Value::Integer(value) => statement.raw_bind_parameter(number, value)?,
                Value::Real(value) => statement.raw_bind_parameter(number, value)?,
                Value::Text(text) => statement.raw_bind_parameter(number, text)?,
                Value::Blob(bytes) => statement.raw_bind_parameter(number, bytes)?,
            }
        }
        let mut ran = Ran { statements: 1, ..Ran::default() };
        ran.columns = statement.column_names().map(str::to_owned).collect();
        room.take(ran.columns.iter().map(|name| name.len() + 4).sum(), false)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let before = ran.rows.len();
            for column in 0..ran.columns.len() {
                let text;
                let cell = match row.get_ref(column)? {
                    ValueRef::Null => Cell::Null,
                    ValueRef::Integer(value) => Cell::Integer(value),
                    ValueRef::Real(value) => Cell::Real(value),
                    ValueRef::Text(bytes) => {
                        text = String::from_utf8_lossy(bytes);
                        Cell::Text(&text)
                    }
                    ValueRef::Blob(bytes) => Cell::Blob(bytes),
                };
                cell.put(&mut ran.rows);
            }
            room.take(ran.rows.len() - before, true)?;
            ran.count += 1;
        }
        drop(rows);
        let steps = statement.get_status(StatementStatus::FullscanStep);
        ran.rows_read = u64::from(steps.unsigned_abs()).max(u64::from(ran.count));
        Ok(ran)
    }
}

impl Ran {
    fn outcome(&self) -> Outcome<'_> {
        Outcome {
            columns: self.columns.iter().map(String::as_str).collect(),
            count: self.count,
            rows: &self.rows,
            statements: self.statements,
            changes: self.changes,
            last_row_id: self.last_row_id,
            rows_read: self.rows_read,
            changed: self.changed,
            bytes: self.bytes,
            duration_us: self.duration_us,
        }
    }
}

/// SQLite would stop at a NUL and leave the rest unread.
fn check(sql: &str) -> Result<(), Failed> {
    if sql.len() > SQL_BYTES_MAX {
        let message = format!("a statement of {} bytes; at most {SQL_BYTES_MAX}", sql.len());
        return Err(Failed::new(Fault::TooLarge, message));
    }
    if sql.contains('\0') {
        return Err(Failed::new(Fault::Query, "a statement holds no NUL"));
    }
    Ok(())
}

fn writable(statement: &rusqlite::Statement<'_>, read_only: bool) -> Result<(), Failed> {
    if read_only && !statement.readonly() {
        return Err(Failed::new(Fault::ReadOnly, "you may read this space, not write in it"));
    }
    Ok(())
}

fn empty(sql: &str) -> Failed {
    let message =
        if sql.is_empty() { "No SQL statements detected." } else { "SQL code did not contain a statement." };
    Failed::new(Fault::Query, message)
}

fn wrong_number() -> Failed {
    Failed::new(Fault::Query, "Wrong number of parameter bindings for SQL query.")
}

/// Flaws of a file that are told.
const FLAWS_MAX: u32 = 20;

/// A connection to the one file.
fn connect(
    vfs: &CStr,
    files: &Files,
    own: &Own,
    deadline_ms: &Arc<AtomicU64>,
) -> rusqlite::Result<Connection> {
    let how = match files.read_only {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let flags = how | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags_and_vfs(Path::new("db"), flags, vfs)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, files.read_only)?;
    harden(&connection)?;
    connection.authorizer(Some(authorizer(own.clone())))?;
    let deadline = Arc::clone(deadline_ms);
    let late = move || crate::sys::cpu_ms() >= deadline.load(Ordering::Relaxed);
    connection.progress_handler(PROGRESS_OPS, Some(late))?;
    Ok(connection)
}

/// The structure of the file is not believed; the process alone uses it, so that the index of its WAL lies in memory.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    // First of all: nothing may read the file before.
    connection.query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))?;
    for (setting, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        // Programs written for D1 may have texts in double quotes; the file is theirs.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, true),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    ] {
        connection.set_db_config(setting, on)?;
    }
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.query_row(&format!("PRAGMA hard_heap_limit={HEAP_BYTES_MAX}"), [], |_| Ok(()))?;
    for (limit, value) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
        (Limit::SQLITE_LIMIT_COLUMN, COLUMNS_MAX),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 32),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, VALUES_MAX),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, i32::try_from(value).unwrap_or(i32::MAX))?;
    }
    // The kernel made the file with a WAL; a damaged one that says otherwise has no journal to be written to.
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidQuery);
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.query_row(&format!("PRAGMA journal_size_limit={WAL_BYTES_KEPT}"), [], |_| Ok(()))
}
