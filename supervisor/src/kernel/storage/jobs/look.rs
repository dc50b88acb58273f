//! What waits, runs, is dead and was.

use fazt_ipc::ids::{AppId, JobId};
use rusqlite::{OptionalExtension as _, params};

use super::super::error::StorageError;
use super::super::kernel::KernelDb;
use super::{COLUMNS, CronRow, JobRow, JobState, NextDue, RunRow, app_id, cron_row, job_row, run_row};

impl KernelDb {
    /// Whether any entry of the app is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_cron(&self, app: AppId) -> Result<bool, StorageError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM cron WHERE app = ?1 LIMIT 1")
            .map_err(self.failed())?;
        statement.exists([app.to_string()]).map_err(self.failed())
    }

    /// Entries of an app, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn cron(&self, app: AppId) -> Result<Vec<CronRow>, StorageError> {
        let sql =
            "SELECT name, schedule, timezone, missed, overlaps, due FROM cron WHERE app = ?1 ORDER BY name";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        let rows = statement.query_map([app.to_string()], cron_row).map_err(self.failed())?;
        rows.collect::<Result<_, _>>().map_err(self.failed())
    }

    /// When an entry of the app is due next, and when one of its runs and jobs; none: never.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_due(&self, app: AppId) -> Result<NextDue, StorageError> {
        let sql = "SELECT (SELECT MIN(due) FROM cron WHERE app = ?1),
            (SELECT MIN(due) FROM job WHERE app = ?1 AND state = 0)";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        let unsigned = |due: Option<i64>| due.map(i64::cast_unsigned);
        let due = statement.query_row([app.to_string()], |row| {
            Ok(NextDue { entry: unsigned(row.get(0)?), job: unsigned(row.get(1)?) })
        });
        due.map_err(self.failed())
    }

    /// Whether the app's live version may have other entries than are known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_cron_marked(&self, app: AppId) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM cron_stale WHERE app = ?1";
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        statement.exists([app.to_string()]).map_err(self.failed())
    }

    /// Apps with anything that is or may become due.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn busy_apps(&self) -> Result<Vec<AppId>, StorageError> {
        self.apps_of(
            "SELECT DISTINCT app FROM cron UNION SELECT DISTINCT app FROM job WHERE state < 2
                UNION SELECT app FROM cron_stale",
        )
    }

    /// Apps whose live version may have other entries than are known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stale_apps(&self) -> Result<Vec<AppId>, StorageError> {
        self.apps_of("SELECT app FROM cron_stale")
    }

    fn apps_of(&self, sql: &str) -> Result<Vec<AppId>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        let rows = statement.query_map([], app_id).map_err(self.failed())?;
        rows.collect::<Result<_, _>>().map_err(self.failed())
    }

    /// Runs and jobs of an app, those that are due first first; dead ones, or the others.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn jobs(&self, app: AppId, dead: bool, rows_max: usize) -> Result<Vec<JobRow>, StorageError> {
        let states = if dead { "state = 2" } else { "state IN (0, 1)" };
        let sql = format!("SELECT {COLUMNS} FROM job WHERE app = ?1 AND {states} ORDER BY due, id LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.failed())?;
        let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![app.to_string(), limit], job_row).map_err(self.failed())?;
        rows.collect::<Result<_, _>>().map_err(self.failed())
    }

    /// A run or job of an app.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn job(&self, app: AppId, id: JobId) -> Result<Option<JobRow>, StorageError> {
        let sql = format!("SELECT {COLUMNS} FROM job WHERE id = ?1 AND app = ?2");
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.failed())?;
        statement.query_row([id.to_string(), app.to_string()], job_row).optional().map_err(self.failed())
    }

    /// A run of an entry that waits or goes on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unfinished(&self, app: AppId, name: &str) -> Result<Option<JobState>, StorageError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE app = ?1 AND state < 2 AND kind = 0 AND name = ?2 ORDER BY state DESC LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.failed())?;
        let row = statement.query_row([&app.to_string(), name], job_row).optional().map_err(self.failed())?;
        Ok(row.map(|row| row.state))
    }

    /// What was, newest first; of one entry of `cron`, or of all that an app did.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn runs(
        &self,
        app: AppId,
        entry: Option<&str>,
        rows_max: usize,
    ) -> Result<Vec<RunRow>, StorageError> {
        let of = if entry.is_some() { "AND kind = 0 AND name = ?3" } else { "AND ?3 IS NULL" };
        let sql = format!(
            "SELECT kind, name, job, at, began, ms, attempt, outcome, error FROM run
                WHERE app = ?1 {of} ORDER BY n DESC LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(self.failed())?;
        let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let rows =
            statement.query_map(params![app.to_string(), limit, entry], run_row).map_err(self.failed())?;
        rows.collect::<Result<_, _>>().map_err(self.failed())
    }
}
