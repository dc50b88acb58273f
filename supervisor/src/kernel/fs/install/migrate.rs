//! SQL that an app from elsewhere wants to have run before its code is: migrations as Wrangler keeps them, each once and
//! in order. What was run is remembered in the database itself, in the table that Wrangler has for it. It runs where
//! all SQL of apps runs: in a locked process that has this one file.

use fazt_ipc::ids::AppId;
use fazt_ipc::store::{Form, Statement};
use serde_json::Value;

use super::super::{Fs, FsError};
use crate::kernel::storage::sql::{Place, Query};

/// CPU time of one migration: as much as a request may ever have.
const CPU_MS: u32 = fazt_ipc::limits::CPU_MS_MAX;
/// Letters of a migration's name.
const NAME_CHARS_MAX: usize = 200;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS d1_migrations(
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
    applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL);";

/// The migrations of one database, in order: names of files and what is in them.
#[derive(Debug, Clone)]
pub(in super::super) struct Migration {
    /// Name of its binding.
    pub(in super::super) binding: String,
    /// Names and texts.
    pub(in super::super) files: Vec<(String, String)>,
}

impl Fs {
    /// Runs what was not run yet; says what was.
    ///
    /// # Errors
    /// The first that fails, with its name. Those before it stay.
    pub(in super::super) async fn migrate(
        &self,
        app: AppId,
        quota_bytes: u64,
        migrations: &[Migration],
    ) -> Result<Vec<String>, FsError> {
        let mut said = Vec::new();
        for Migration { binding, files } in migrations {
            let run = |form, statements: Vec<String>| {
                let statements = statements.into_iter().map(|sql| Statement { sql, values: Vec::new() });
                let statements = statements.collect();
                let query = Query { read_only: false, form, statements, cpu_ms: CPU_MS, quota_bytes };
                self.shared.storage.sql().call(app, Place::Binding(binding.clone()), query, Box::new(()))
            };
            let failed = |name: &str, why: String| {
                FsError::BadDeploy(format!("the migration `{name}` of `{binding}` failed: {why}"))
            };
            run(Form::Script, vec![TABLE.into()]).await.map_err(|error| failed("", error.error.message))?;
            let rows = run(Form::One, vec!["SELECT name FROM d1_migrations".into()]).await;
            let rows: Value = serde_json::from_str(&rows.map_err(|error| failed("", error.error.message))?)
                .map_err(|error| failed("", error.to_string()))?;
            let done: Vec<&str> =
                rows[0]["rows"].as_array().into_iter().flatten().filter_map(|row| row[0].as_str()).collect();
            let mut ran = 0;
            for (name, sql) in files.iter().filter(|(name, _)| !done.contains(&name.as_str())) {
                let note = format!("INSERT INTO d1_migrations(name) VALUES('{}');", name.replace('\'', "''"));
                // All of it, or none: what half ran would run again.
                let run = run(Form::Script, vec![sql.clone(), note]);
                run.await.map_err(|error| failed(name, error.error.message))?;
                ran += 1;
            }
            if ran > 0 {
                said.push(format!(
                    "{ran} migrations ran on the database `{binding}`; going back to an older version does not undo them"
                ));
            }
        }
        Ok(said)
    }
}

/// What a path of a migration is remembered by: the file's name, as Wrangler has it.
pub(super) fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).chars().take(NAME_CHARS_MAX).collect()
}
