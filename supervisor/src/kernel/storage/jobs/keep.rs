//! Changes: each is one transaction, whole or not at all.

use fazt_ipc::ids::{AppId, JobId};
use fazt_ipc::limits::{ATTEMPTS_MAX, DEAD_LETTERS_MAX, JOBS_BYTES_MAX, JOBS_MAX, RUNS_KEPT};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::super::error::StorageError;
use super::super::kernel::KernelDb;
use super::{Added, COLUMNS, Claimed, CronRow, Finish, Fire, JobKind, JobRow, NewJobRow, RunRow, job_row};

/// Takes everything of an app away.
pub(in super::super) fn forget(transaction: &Transaction<'_>, app: &str) -> rusqlite::Result<()> {
    for table in ["cron", "cron_stale", "job", "run"] {
        transaction.execute(&format!("DELETE FROM {table} WHERE app = ?1"), [app])?;
    }
    Ok(())
}

/// One that was removed a moment ago keeps nothing.
fn exists(connection: &Connection, app: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM app WHERE id = ?1")?.exists([app])
}

fn add_run(connection: &Connection, app: &str, run: &RunRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO run(app, kind, name, job, at, began, ms, attempt, outcome, error)
        VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    connection.prepare_cached(sql)?.execute(params![
        app,
        run.kind as u8,
        run.name,
        run.job,
        run.at_unix_ms.cast_signed(),
        run.began_unix_ms.cast_signed(),
        run.ms.cast_signed(),
        run.attempt,
        run.outcome,
        run.error,
    ])?;
    let sql = "DELETE FROM run WHERE app = ?1
        AND n <= (SELECT n FROM run WHERE app = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute(params![app, RUNS_KEPT as i64])?;
    Ok(())
}

fn add_job(connection: &Connection, app: &str, job: &NewJobRow) -> rusqlite::Result<()> {
    let sql = "INSERT INTO job(id, app, kind, name, state, at, due, attempts, error, bytes, payload)
        VALUES(?1, ?2, ?3, ?4, 0, ?5, ?6, 0, '', ?7, ?8)";
    connection.prepare_cached(sql)?.execute(params![
        job.id.to_string(),
        app,
        job.kind as u8,
        job.name,
        job.at_unix_ms.cast_signed(),
        job.due_unix_ms.cast_signed(),
        job.payload.as_ref().map_or(0, String::len) as i64,
        job.payload,
    ])?;
    Ok(())
}

/// Makes a dead letter of a run or job; for one too many the oldest goes.
fn bury(connection: &Connection, app: &str, id: &str, error: &str) -> rusqlite::Result<()> {
    let sql = "UPDATE job SET state = 2, error = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([id, error])?;
    let sql = "DELETE FROM job WHERE app = ?1 AND state = 2 AND rowid IN
        (SELECT rowid FROM job WHERE app = ?1 AND state = 2 ORDER BY due DESC, id DESC LIMIT -1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute(params![app, DEAD_LETTERS_MAX as i64])?;
    Ok(())
}

impl KernelDb {
    fn change<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let failed = self.failed();
        let transaction = self.connection.transaction().map_err(&failed)?;
        let value = work(&transaction).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(value)
    }

    /// Notes that the live version of an app is about to be another, with other entries perhaps: before it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn mark_cron(&mut self, app: AppId) -> Result<(), StorageError> {
        self.change(|transaction| {
            transaction
                .execute("INSERT OR IGNORE INTO cron_stale(app) VALUES(?1)", [app.to_string()])
                .map(drop)
        })
    }

    /// Puts the entries of the live version in place of those that are known, and takes the mark away. Runs of entries
    /// that are no more and have not begun go with them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_cron(&mut self, app: AppId, rows: &[CronRow]) -> Result<(), StorageError> {
        let app = app.to_string();
        self.change(|transaction| {
            if !exists(transaction, &app)? {
                return forget(transaction, &app);
            }
            transaction.execute("DELETE FROM cron WHERE app = ?1", [&app])?;
            for row in rows {
                let sql = "INSERT INTO cron(app, name, schedule, timezone, missed, overlaps, due)
                    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                let due = row.due.map(u64::cast_signed);
                let (missed, overlaps) = (row.run_missed_once, row.overlaps);
                transaction.prepare_cached(sql)?.execute(params![
                    app,
                    row.name,
                    row.schedule,
                    row.timezone,
                    missed,
                    overlaps,
                    due
                ])?;
            }
            let sql = "DELETE FROM job WHERE app = ?1 AND state = 0 AND kind = 0
                AND name NOT IN (SELECT name FROM cron WHERE app = ?1)";
            transaction.execute(sql, [&app])?;
            transaction.execute("DELETE FROM cron_stale WHERE app = ?1", [&app]).map(drop)
        })
    }

    /// Changes when known entries are due.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_due(&mut self, app: AppId, rows: &[CronRow]) -> Result<(), StorageError> {
        let app = app.to_string();
        self.change(|transaction| {
            for row in rows {
                let sql = "UPDATE cron SET due = ?3 WHERE app = ?1 AND name = ?2";
                let due = row.due.map(u64::cast_signed);
                transaction.prepare_cached(sql)?.execute(params![app, row.name, due])?;
            }
            Ok(())
        })
    }

    /// Forgets what an app waits for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_jobs(&mut self, app: AppId) -> Result<(), StorageError> {
        self.change(|transaction| forget(transaction, &app.to_string()))
    }

    /// Adds runs and jobs, all or none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add_jobs(&mut self, app: AppId, jobs: &[NewJobRow]) -> Result<Added, StorageError> {
        let app = app.to_string();
        self.change(|transaction| {
            if !exists(transaction, &app)? {
                return Ok(Added::Gone);
            }
            let sql = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM job WHERE app = ?1 AND state < 2";
            let (number, bytes) = transaction.prepare_cached(sql)?.query_row([&app], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
            })?;
            let more: usize = jobs.iter().filter_map(|job| job.payload.as_ref()).map(String::len).sum();
            if number + jobs.len() as u64 > JOBS_MAX as u64 || bytes + more as u64 > JOBS_BYTES_MAX as u64 {
                return Ok(Added::Full);
            }
            for job in jobs {
                add_job(transaction, &app, job)?;
            }
            Ok(Added::All)
        })
    }

    /// Does what is due in an app: entries make their runs or are skipped, and, with `begin`, the run or job that was due
    /// first is begun. What is begun counts as an attempt from now on, whatever happens.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn turn_jobs(
        &mut self,
        app: AppId,
        fires: &[Fire],
        now_unix_ms: u64,
        begin: bool,
    ) -> Result<Option<Claimed>, StorageError> {
        let app = app.to_string();
        self.change(|transaction| {
            for fire in fires {
                let (name, due) = (&fire.name, fire.due_unix_ms.cast_signed());
                let sql = "UPDATE cron SET due = ?4 WHERE app = ?1 AND name = ?2 AND due = ?3";
                let next = fire.next_unix_ms.map(u64::cast_signed);
                if transaction.prepare_cached(sql)?.execute(params![app, name, due, next])? == 0 {
                    continue;
                }
                match fire.run {
                    Ok(id) => {
                        let job = NewJobRow {
                            id,
                            kind: JobKind::Cron,
                            name: name.clone(),
                            at_unix_ms: fire.due_unix_ms,
                            due_unix_ms: fire.due_unix_ms,
                            payload: None,
                        };
                        add_job(transaction, &app, &job)?;
                    }
                    Err(outcome) => {
                        let run = RunRow {
                            kind: JobKind::Cron,
                            name: name.clone(),
                            job: String::new(),
                            at_unix_ms: fire.due_unix_ms,
                            began_unix_ms: now_unix_ms,
                            ms: 0,
                            attempt: 0,
                            outcome: outcome.into(),
                            error: String::new(),
                        };
                        add_run(transaction, &app, &run)?;
                    }
                }
            }
            if begin { claim(transaction, &app, now_unix_ms) } else { Ok(None) }
        })
    }

    /// Puts away what an app was given. One that is gone meanwhile, with its app, stays gone.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn finish_job(
        &mut self,
        app: AppId,
        id: JobId,
        finish: &Finish,
        run: &RunRow,
    ) -> Result<(), StorageError> {
        let (app, id) = (app.to_string(), id.to_string());
        self.change(|transaction| {
            let sql = "SELECT 1 FROM job WHERE id = ?1 AND app = ?2 AND state = 1";
            if !transaction.prepare_cached(sql)?.exists([&id, &app])? {
                return Ok(());
            }
            match finish {
                Finish::Gone => {
                    transaction.prepare_cached("DELETE FROM job WHERE id = ?1")?.execute([&id])?;
                }
                Finish::Again { due_unix_ms, free } => {
                    let sql = "UPDATE job SET state = 0, due = ?2, attempts = attempts - ?3, error = ?4 WHERE id = ?1";
                    let due = due_unix_ms.cast_signed();
                    transaction.prepare_cached(sql)?.execute(params![id, due, u8::from(*free), run.error])?;
                }
                Finish::Dead => bury(transaction, &app, &id, &run.error)?,
            }
            add_run(transaction, &app, run)
        })
    }

    /// The server starts: what ran when it ended waits again, at once, unless that happened too often. How much it was.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn recover_jobs(&mut self, now_unix_ms: u64) -> Result<usize, StorageError> {
        self.change(|transaction| {
            let sql = format!("SELECT {COLUMNS}, app FROM job WHERE state = 1");
            let rows: Vec<(JobRow, String)> = transaction
                .prepare(&sql)?
                .query_map([], |row| Ok((job_row(row)?, row.get(9)?)))?
                .collect::<rusqlite::Result<_>>()?;
            for (job, app) in &rows {
                let id = job.id.to_string();
                let error = "the server ended in the middle of it";
                let last = job.attempts >= ATTEMPTS_MAX;
                match (last, job.kind) {
                    (false, _) => {
                        let sql = "UPDATE job SET state = 0, due = ?2, error = ?3 WHERE id = ?1";
                        transaction.execute(sql, params![id, now_unix_ms.cast_signed(), error])?;
                    }
                    (true, JobKind::Cron) => {
                        transaction.execute("DELETE FROM job WHERE id = ?1", [&id])?;
                    }
                    (true, _) => bury(transaction, app, &id, error)?,
                }
                let run = RunRow {
                    kind: job.kind,
                    name: job.name.clone(),
                    job: id,
                    at_unix_ms: job.at_unix_ms,
                    began_unix_ms: now_unix_ms,
                    ms: 0,
                    attempt: job.attempts,
                    outcome: "interrupted".into(),
                    error: error.into(),
                };
                add_run(transaction, app, &run)?;
            }
            Ok(rows.len())
        })
    }

    /// Takes back a run or job that waits, or throws a dead letter away. False: there is none, or it runs.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn cancel_job(&mut self, app: AppId, id: JobId) -> Result<bool, StorageError> {
        let sql = "DELETE FROM job WHERE id = ?1 AND app = ?2 AND state <> 1";
        self.change(|transaction| Ok(transaction.execute(sql, [id.to_string(), app.to_string()])? > 0))
    }

    /// Lets a dead letter be tried again from the first attempt on. False: there is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revive_job(&mut self, app: AppId, id: JobId, now_unix_ms: u64) -> Result<bool, StorageError> {
        let sql = "UPDATE job SET state = 0, attempts = 0, due = ?3 WHERE id = ?1 AND app = ?2 AND state = 2";
        let parameters = params![id.to_string(), app.to_string(), now_unix_ms.cast_signed()];
        self.change(|transaction| Ok(transaction.execute(sql, parameters)? > 0))
    }

    /// The clock went back: nothing that is to be tried again waits until it is as late again. Entries are for the caller.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn bring_forward(&mut self, latest_unix_ms: u64) -> Result<(), StorageError> {
        // A first attempt is for a time that the app named; a later one for as long after the one before.
        let sql = "UPDATE job SET due = ?1 WHERE state = 0 AND due > ?1 AND attempts > 0";
        self.change(|transaction| transaction.execute(sql, [latest_unix_ms.cast_signed()]).map(drop))
    }
}

fn claim(transaction: &Transaction<'_>, app: &str, now_unix_ms: u64) -> rusqlite::Result<Option<Claimed>> {
    let sql = format!(
        "SELECT {COLUMNS}, payload FROM job WHERE app = ?1 AND state = 0 AND due <= ?2 ORDER BY due, id LIMIT 1"
    );
    let found = transaction
        .prepare_cached(&sql)?
        .query_row(params![app, now_unix_ms.cast_signed()], |row| {
            Ok(Claimed { job: job_row(row)?, payload: row.get(9)? })
        })
        .optional()?;
    let Some(mut claimed) = found else { return Ok(None) };
    let sql = "UPDATE job SET state = 1, attempts = attempts + 1 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute([claimed.job.id.to_string()])?;
    claimed.job.attempts += 1;
    Ok(Some(claimed))
}
