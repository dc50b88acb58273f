//! SQL that an app from elsewhere wants to have run before its code is: migrations as Wrangler keeps them, each once and
//! in order. What was run is remembered in the database itself, in the table that Wrangler has for it. It runs where
//! all SQL of apps runs: in a locked process that has this one file. What is new is run as one: all of it, or none. A
//! database that was there is copied before, since going back to an older version undoes nothing.

use fazt_ipc::ids::AppId;
use fazt_ipc::store::{Form, Statement};
use serde_json::Value;

use super::super::{Fs, FsError};
use crate::kernel::storage::sql::{Place, Query};

/// CPU time of the migrations of one database: as much as a request may ever have.
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
    /// Runs what was not run yet; says what was, and where what was there before is.
    ///
    /// # Errors
    /// The first that fails, with its name. Nothing of its database has changed then; those before it stay.
    pub(in super::super) async fn migrate(
        &self,
        app: AppId,
        quota_bytes: u64,
        migrations: &[Migration],
    ) -> Result<Vec<String>, FsError> {
        let mut said = Vec::new();
        for Migration { binding, files } in migrations {
            let place = Place::Binding(binding.clone());
            let sql = self.shared.storage.sql();
            let run = |form, statements: Vec<String>| {
                let statements = statements.into_iter().map(|sql| Statement { sql, values: Vec::new() });
                let statements = statements.collect();
                let query = Query { read_only: false, form, statements, cpu_ms: CPU_MS, quota_bytes };
                sql.call(app, place.clone(), query, Box::new(()))
            };
            let failed = |why: String| {
                FsError::BadDeploy(format!("the migrations of the database `{binding}` failed: {why}"))
            };
            let existed = sql.exists(app, &place);
            run(Form::Script, vec![TABLE.into()]).await.map_err(|error| failed(error.error.message))?;
            let rows = run(Form::One, vec!["SELECT name FROM d1_migrations".into()]).await;
            let rows: Value = serde_json::from_str(&rows.map_err(|error| failed(error.error.message))?)
                .map_err(|error| failed(error.to_string()))?;
            let done: Vec<&str> =
                rows[0]["rows"].as_array().into_iter().flatten().filter_map(|row| row[0].as_str()).collect();
            let new: Vec<_> = files.iter().filter(|(name, _)| !done.contains(&name.as_str())).collect();
            if new.is_empty() {
                continue;
            }
            let kept = if existed { sql.keep(app, place.clone()).await? } else { None };
            let note = |name: &str| {
                format!("INSERT INTO d1_migrations(name) VALUES('{}');", name.replace('\'', "''"))
            };
            let statements = new.iter().flat_map(|(name, sql)| [sql.clone(), note(name)]).collect();
            run(Form::Script, statements).await.map_err(|error| {
                let name = new.get(error.at as usize / 2).map_or("", |(name, _)| name);
                failed(format!("`{name}`: {}; nothing of it was changed", error.error.message))
            })?;
            let kept =
                kept.map_or_else(String::new, |path| format!("; as it was before, it is {}", path.display()));
            said.push(format!(
                "{} migrations ran on the database `{binding}`; going back to an older version does not undo them{kept}",
                new.len()
            ));
        }
        Ok(said)
    }
}

/// What a path of a migration is remembered by: the file's name, as Wrangler has it.
pub(super) fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).chars().take(NAME_CHARS_MAX).collect()
}
