//! What a version says about its data, and the tables that follow from it.
//!
//! Forward only: tables, columns and indexes are added, never dropped. A version that goes back to an older
//! schema finds everything as it was; what newer versions added lies dormant and is still written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fazt_ipc::limits::STORAGE_MIB_DEFAULT;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};

use super::super::error::StorageError;
use super::limits::ROWS_PER_MIB;
use super::watch::Watch;
use super::{json, key};

/// Fields with an index in one collection, those of earlier versions among them.
const SHADOWS_MAX: usize = 32;
/// Collections of one app, those of earlier versions among them.
const COLLECTIONS_MAX: i64 = 400;

/// What a version says about its data.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DataSchema {
    /// The app space and named spaces may be used.
    pub spaces: bool,
    /// Quota, in MiB; 0: the default.
    pub storage_mib: u32,
    /// Collections by name.
    pub collections: BTreeMap<String, CollectionSchema>,
}

/// A collection of documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CollectionSchema {
    /// Types of fields. Others may be there too.
    pub fields: BTreeMap<String, FieldKind>,
    /// Field lists.
    pub indexes: Vec<Vec<String>>,
}

/// What a field may hold, besides nothing and `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Text.
    String,
    /// A whole number up to 2^53.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// Anything.
    Json,
}

impl FieldKind {
    /// As the manifest spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Json => "json",
        }
    }

    /// In words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Json => "any value",
        }
    }

    /// Whether a value that was checked may stand in such a field.
    pub(super) fn fits(self, value: &str) -> bool {
        const SAFE: f64 = 9_007_199_254_740_992.0;
        let number = || value.parse::<f64>().ok();
        value == "null"
            || match self {
                Self::Json => true,
                Self::String => value.starts_with('"'),
                Self::Boolean => value == "true" || value == "false",
                Self::Number => number().is_some() || value.starts_with("{\"$number\""),
                Self::Integer => number().is_some_and(|n| n.fract() == 0.0 && n.abs() <= SAFE),
            }
    }
}

/// The steps of the cartridge's schema for data. Space 1 is the app's, which every connection knows.
pub(in crate::kernel::storage) const TABLES: &str = "
    -- What each version says about its data, as JSON. Goes with its version.
    CREATE TABLE data_schema(
        version INTEGER PRIMARY KEY REFERENCES version(number) ON DELETE CASCADE,
        body    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE space(
        n       INTEGER PRIMARY KEY,
        kind    TEXT NOT NULL CHECK(kind IN ('user', 'app', 'named')),
        owner   TEXT NOT NULL,
        id      TEXT UNIQUE,
        name    TEXT NOT NULL,
        created INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX space_user ON space(owner) WHERE kind = 'user';
    INSERT INTO space(n, kind, owner, name, created) VALUES(1, 'app', '', '', 0);
    CREATE TABLE member(
        who   TEXT NOT NULL,
        space INTEGER NOT NULL REFERENCES space(n),
        role  TEXT NOT NULL CHECK(role IN ('reader', 'writer', 'manager')),
        since INTEGER NOT NULL,
        PRIMARY KEY(who, space)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX member_space ON member(space, who);
    CREATE TABLE invite(
        hash    BLOB PRIMARY KEY CHECK(length(hash) = 32),
        space   INTEGER NOT NULL REFERENCES space(n),
        role    TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX invite_space ON invite(space);
    CREATE TABLE kv(
        _space  INTEGER NOT NULL,
        key     TEXT NOT NULL,
        version INTEGER NOT NULL,
        expires INTEGER,
        kind    INTEGER NOT NULL,
        meta    TEXT,
        value   BLOB NOT NULL,
        PRIMARY KEY(_space, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX kv_expires ON kv(expires) WHERE expires IS NOT NULL;
    -- Collection n lives in the table doc_n.
    CREATE TABLE collection(
        n    INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) STRICT;
    -- Column k<n> of doc_<collection> holds the ordering key of a field.
    CREATE TABLE shadow(
        collection INTEGER NOT NULL REFERENCES collection(n),
        k          INTEGER NOT NULL,
        field      TEXT NOT NULL,
        PRIMARY KEY(collection, k),
        UNIQUE(collection, field)
    ) STRICT, WITHOUT ROWID;
    -- Fixed statistics: without any the planner takes a space for ten rows and walks it. Nothing measures, so
    -- that a plan does not depend on what others store.
    ANALYZE kv;
    INSERT INTO sqlite_stat1(tbl, idx, stat) VALUES
        ('kv', 'kv', '1000000 10000 1'),
        ('member', 'member', '10000 20 1'),
        ('member', 'member_space', '10000 20 1');
";

/// How many rows of data a file holds. Counted once, at the first use, then kept by every write.
pub(in crate::kernel::storage) const TALLY: &str = "
    CREATE TABLE tally(
        one  INTEGER PRIMARY KEY CHECK(one = 1),
        rows INTEGER
    ) STRICT;
    INSERT INTO tally(one, rows) VALUES(1, NULL);
";

/// Counts the rows that are there, where nobody has yet.
pub(super) fn count_rows(connection: &mut Connection) -> rusqlite::Result<()> {
    let counted = "SELECT rows IS NOT NULL FROM tally";
    if connection.query_row(counted, [], |row| row.get(0))? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut rows: i64 = transaction.query_row("SELECT count(*) FROM kv", [], |row| row.get(0))?;
    let tables: Vec<i64> = {
        let mut statement = transaction.prepare("SELECT n FROM collection")?;
        let tables = statement.query_map([], |row| row.get(0))?;
        tables.collect::<rusqlite::Result<_>>()?
    };
    for n in tables {
        let sql = format!("SELECT count(*) FROM doc_{n}");
        rows += transaction.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
    }
    transaction.execute("UPDATE tally SET rows = ?1", [rows])?;
    transaction.commit()
}

/// A collection as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) n: i64,
    pub(super) name: String,
    /// Types by field.
    pub(super) fields: BTreeMap<String, FieldKind>,
    /// Fields with an index: column and name, dormant ones too.
    pub(super) shadows: Vec<(i64, String)>,
}

impl Table {
    /// The column that holds the ordering key of a field.
    pub(super) fn shadow(&self, field: &str) -> Option<i64> {
        self.shadows.iter().find(|(_, name)| name == field).map(|(k, _)| *k)
    }
}

/// Everything about an app's data that its active version decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::kernel::storage) struct Layout {
    pub(super) spaces: bool,
    pub(super) storage_mib: u32,
    /// Those of the active version.
    pub(super) tables: BTreeMap<String, Arc<Table>>,
}

impl Layout {
    /// The quota, in MiB.
    pub(in crate::kernel::storage) fn quota_mib(&self) -> u32 {
        if self.storage_mib == 0 { STORAGE_MIB_DEFAULT } else { self.storage_mib }
    }

    /// Keys and documents that may be stored.
    pub(in crate::kernel::storage) fn rows_max(&self) -> u64 {
        u64::from(self.quota_mib()) * ROWS_PER_MIB
    }

    pub(in crate::kernel::storage) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let body: Option<String> = connection
            .query_row(
                "SELECT body FROM data_schema WHERE version = (SELECT number FROM active)",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let schema: DataSchema = body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        let mut tables = BTreeMap::new();
        for (name, collection) in schema.collections {
            let n: Option<i64> = connection
                .query_row("SELECT n FROM collection WHERE name = ?1", [&name], |row| row.get(0))
                .optional()?;
            if let Some(n) = n {
                let shadows = shadows(connection, n)?;
                let table = Table { n, name: name.clone(), fields: collection.fields, shadows };
                tables.insert(name, Arc::new(table));
            }
        }
        Ok(Self { spaces: schema.spaces, storage_mib: schema.storage_mib, tables })
    }
}

fn shadows(connection: &Connection, collection: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement =
        connection.prepare_cached("SELECT k, field FROM shadow WHERE collection = ?1 ORDER BY k")?;
    let rows = statement.query_map([collection], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Gives a connection the functions that look into documents, and at the clock. They cannot stand in a stored
/// schema.
pub(super) fn functions(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    fn text(value: ValueRef<'_>) -> &str {
        value.as_str().unwrap_or_default()
    }
    let time = watch.clone();
    connection.create_scalar_function("fz_key", 2, flags, move |call| {
        let body = text(call.get_raw(0));
        time.walk(body.len())?;
        let path: Vec<&str> = text(call.get_raw(1)).split('.').collect();
        Ok(key::at(body, &path))
    })?;
    let time = watch.clone();
    connection.create_scalar_function("fz_contains", 3, flags, move |call| {
        let body = text(call.get_raw(0));
        time.walk(body.len())?;
        let path: Vec<&str> = text(call.get_raw(1)).split('.').collect();
        let wanted = call.get_raw(2).as_blob().unwrap_or_default();
        Ok(key::contains(body, &path, wanted))
    })
}

/// Makes a version's schema true, inside the transaction of its deploy.
pub(in crate::kernel::storage) fn migrate(
    transaction: &Transaction<'_>,
    version: i64,
    schema: &DataSchema,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<(), StorageError> {
    // Before this version becomes the active one.
    let before = Layout::load(transaction).map_err(fail)?;
    functions(transaction, &Watch::endless()).map_err(fail)?;
    for (name, collection) in &schema.collections {
        let n = table(transaction, name, fail)?;
        fits(transaction, n, name, collection, before.tables.get(name).map(Arc::as_ref), fail)?;
        shadow(transaction, n, name, collection, fail)?;
    }
    let body = serde_json::to_string(schema).map_err(|error| StorageError::Refused(error.to_string()))?;
    transaction
        .execute("INSERT INTO data_schema(version, body) VALUES(?1, ?2)", params![version, body])
        .map_err(fail)?;
    Ok(())
}

fn table(
    transaction: &Transaction<'_>,
    name: &str,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<i64, StorageError> {
    let found = transaction
        .query_row("SELECT n FROM collection WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(fail)?;
    if let Some(n) = found {
        return Ok(n);
    }
    let n: i64 = transaction
        .query_row("SELECT coalesce(max(n), 0) + 1 FROM collection", [], |row| row.get(0))
        .map_err(fail)?;
    if n > COLLECTIONS_MAX {
        return Err(StorageError::Refused(format!(
            "the app has had {COLLECTIONS_MAX} collections over time; no more can be added"
        )));
    }
    transaction.execute("INSERT INTO collection(n, name) VALUES(?1, ?2)", params![n, name]).map_err(fail)?;
    // The body stands last: reading an index or a version does not walk over it.
    let sql = format!(
        "CREATE TABLE doc_{n}(
            _space  INTEGER NOT NULL,
            id      TEXT NOT NULL,
            version INTEGER NOT NULL,
            created INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            body    TEXT NOT NULL,
            PRIMARY KEY(_space, id)
        ) STRICT, WITHOUT ROWID"
    );
    transaction.execute_batch(&sql).map_err(fail)?;
    statistics(transaction, n, &format!("doc_{n}"), "1").map_err(fail)?;
    Ok(n)
}

/// A million rows, ten thousand in a space, then what `rest` says of each further column.
fn statistics(transaction: &Transaction<'_>, n: i64, index: &str, rest: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO sqlite_stat1(tbl, idx, stat) SELECT ?1, ?2, ?3
        WHERE NOT EXISTS(SELECT 1 FROM sqlite_stat1 WHERE tbl = ?1 AND idx = ?2)";
    let stat = format!("1000000 10000 {rest}");
    transaction.execute(sql, params![format!("doc_{n}"), index, stat])?;
    Ok(())
}

/// A type that documents already in the collection contradict would make them unwritable: refused.
fn fits(
    transaction: &Transaction<'_>,
    n: i64,
    name: &str,
    collection: &CollectionSchema,
    before: Option<&Table>,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<(), StorageError> {
    let changed = |field: &str, kind: FieldKind| {
        kind != FieldKind::Json && before.and_then(|table| table.fields.get(field)) != Some(&kind)
    };
    let fields: Vec<_> = collection.fields.iter().filter(|(field, kind)| changed(field, **kind)).collect();
    if fields.is_empty() {
        return Ok(());
    }
    let mut wrong = vec![0u64; fields.len()];
    let mut statement = transaction.prepare(&format!("SELECT body FROM doc_{n}")).map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        let body = row.get_ref(0).map_err(fail)?.as_str().unwrap_or_default();
        for ((field, kind), wrong) in fields.iter().zip(&mut wrong) {
            let value = json::find(body, &[field.as_str()]);
            *wrong += u64::from(value.is_some_and(|value| !kind.fits(value)));
        }
    }
    let refused: Vec<_> = fields
        .iter()
        .zip(wrong)
        .filter(|(_, wrong)| *wrong > 0)
        .map(|((field, kind), wrong)| {
            format!("`{field}` would be {}, and {wrong} documents hold something else there", kind.what())
        })
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(StorageError::Refused(format!(
        "app.json: `collections.{name}.schema` does not fit the data that is there: {}",
        refused.join("; ")
    )))
}

/// Adds the columns and indexes that are missing, and fills them.
fn shadow(
    transaction: &Transaction<'_>,
    n: i64,
    name: &str,
    collection: &CollectionSchema,
    fail: &impl Fn(rusqlite::Error) -> StorageError,
) -> Result<(), StorageError> {
    let mut known = shadows(transaction, n).map_err(fail)?;
    let wanted: BTreeSet<&String> = collection.indexes.iter().flatten().collect();
    let mut fresh = Vec::new();
    for field in wanted {
        if known.iter().any(|(_, name)| name == field) {
            continue;
        }
        let k = known.last().map_or(1, |(k, _)| k + 1);
        if known.len() >= SHADOWS_MAX {
            return Err(StorageError::Refused(format!(
                "`collections.{name}` has had indexes on {SHADOWS_MAX} fields over time; no more can be added"
            )));
        }
        transaction
            .execute("INSERT INTO shadow(collection, k, field) VALUES(?1, ?2, ?3)", params![n, k, field])
            .map_err(fail)?;
        transaction
            .execute_batch(&format!("ALTER TABLE doc_{n} ADD COLUMN k{k} BLOB NOT NULL DEFAULT x'00'"))
            .map_err(fail)?;
        known.push((k, field.clone()));
        fresh.push((k, field));
    }
    if !fresh.is_empty() {
        let set: Vec<_> =
            (1..).zip(&fresh).map(|(at, (k, _))| format!("k{k} = fz_key(body, ?{at})")).collect();
        let sql = format!("UPDATE doc_{n} SET {}", set.join(", "));
        let paths = rusqlite::params_from_iter(fresh.iter().map(|(_, field)| field));
        transaction.execute(&sql, paths).map_err(fail)?;
    }
    for fields in collection.indexes.iter().filter(|fields| !fields.is_empty()) {
        let mut columns: Vec<i64> = Vec::new();
        for field in fields {
            let k = known.iter().find(|(_, name)| name == field).map(|(k, _)| *k);
            columns.extend(k.filter(|k| !columns.contains(k)));
        }
        let join = |before: &str, between: &str| {
            let names: Vec<_> = columns.iter().map(|k| format!("{before}{k}")).collect();
            names.join(between)
        };
        let index = format!("doc_{n}_{}", join("k", "_"));
        let sql = format!("CREATE INDEX IF NOT EXISTS {index} ON doc_{n}(_space, {}, id)", join("k", ", "));
        transaction.execute_batch(&sql).map_err(fail)?;
        // Each field leaves a tenth of what the one before left.
        let rest: Vec<_> =
            (0..columns.len()).map(|at| (1_000 / 10usize.pow(at.min(3) as u32)).to_string()).collect();
        statistics(transaction, n, &index, &format!("{} 1", rest.join(" "))).map_err(fail)?;
    }
    Ok(())
}
