//! `kernel.db`: what the owner said to what apps ask for.

use fazt_ipc::control::Answer;
use fazt_ipc::ids::AppId;
use rusqlite::params;

use super::error::StorageError;
use super::kernel::KernelDb;
use crate::kernel::security::Permission;

/// The step of the schema that makes the table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE grants(
        app        TEXT NOT NULL,
        permission TEXT NOT NULL,
        -- Of the other app, where the permission names one: a later app of that name is another.
        target     TEXT,
        answer     TEXT NOT NULL,
        answered   INTEGER NOT NULL,
        answerer   TEXT NOT NULL,
        PRIMARY KEY(app, permission)
    ) STRICT, WITHOUT ROWID;
";

/// An answer of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// To what.
    pub permission: Permission,
    /// The other app, where the permission names one.
    pub target: Option<AppId>,
    /// What they said.
    pub answer: Answer,
    /// When, in milliseconds since 1970.
    pub answered_unix_ms: u64,
    /// Name of who it was.
    pub answerer: String,
}

impl KernelDb {
    /// Every answer, with the app that it is about.
    ///
    /// # Errors
    /// When the file cannot be read, or holds what no version of Fazt wrote.
    pub fn grants(&self) -> Result<Vec<(AppId, GrantRow)>, StorageError> {
        let fail = |error: rusqlite::Error| StorageError::sqlite(&self.path, &error);
        let sql =
            "SELECT app, permission, target, answer, answered, answerer FROM grants ORDER BY app, permission";
        let mut statement = self.connection.prepare_cached(sql).map_err(fail)?;
        let rows = statement.query_map([], |row| {
            let text = |at: usize| row.get::<_, String>(at);
            let wrong = |at: usize| {
                let error = format!("column {at} of a grant");
                rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
            };
            let target: Option<String> = row.get(2)?;
            let grant = GrantRow {
                permission: text(1)?.parse().map_err(|_| wrong(1))?,
                target: target.map(|id| id.parse()).transpose().map_err(|_| wrong(2))?,
                answer: match text(3)?.as_str() {
                    "granted" => Answer::Granted,
                    "refused" => Answer::Refused,
                    "unanswered" => Answer::Unanswered,
                    _ => return Err(wrong(3)),
                },
                answered_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
                answerer: text(5)?,
            };
            Ok((text(0)?.parse().map_err(|_| wrong(0))?, grant))
        });
        rows.map_err(fail)?.collect::<Result<_, _>>().map_err(fail)
    }

    /// Writes answers down, each in the place of an earlier one: all of them, or none.
    ///
    /// # Errors
    /// When the file cannot be written; nothing has changed then.
    pub fn answer_grants(&mut self, app: AppId, rows: &[GrantRow]) -> Result<(), StorageError> {
        let path = self.path.clone();
        let fail = |error: rusqlite::Error| StorageError::sqlite(&path, &error);
        let app = app.to_string();
        let transaction = self.connection.transaction().map_err(fail)?;
        for row in rows {
            let sql = "INSERT OR REPLACE INTO grants(app, permission, target, answer, answered, answerer)
                VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
            let values = params![
                app,
                row.permission.to_string(),
                row.target.map(|id| id.to_string()),
                row.answer.to_string(),
                row.answered_unix_ms.cast_signed(),
                row.answerer
            ];
            transaction.execute(sql, values).map_err(fail)?;
        }
        transaction.commit().map_err(fail)
    }
}
