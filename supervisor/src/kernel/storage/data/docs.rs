//! `docs`: statements for documents, run on the connection of whoever asks.

use std::borrow::Cow;
use std::fmt::Write;

use fazt_ipc::ids::DocId;
use fazt_ipc::syscall::ErrorCode;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::compile::{Compiler, Field};
use super::confine::Confined;
use super::cursor::Seal;
use super::error::{DataError, Result};
use super::json::{self, shown};
use super::key;
use super::limits::{
    BATCH_BYTES_MAX, BATCH_MAX, KEY_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX,
    VALUE_BYTES_MAX,
};
use super::request::{DocWrite, Find};
use super::schema::Table;
use super::watch::interrupted;

/// Where and when a call on documents happens.
pub(super) struct Docs<'a> {
    pub(super) connection: &'a Confined,
    pub(super) table: &'a Table,
    pub(super) space: i64,
    pub(super) now_ms: u64,
}

/// A statement that failed, with the error of SQLite still in it.
pub(super) enum Failed {
    /// For the app.
    Said(DataError),
    /// To be looked at first.
    Sqlite(rusqlite::Error),
    /// A deploy changed the tables: to be run again on what is opened anew.
    Stale,
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<DataError> for Failed {
    fn from(error: DataError) -> Self {
        Self::Said(error)
    }
}

type Done<T> = std::result::Result<T, Failed>;

/// The keys of a document as it came, without those that the kernel keeps.
struct Fields<'a> {
    id: Option<Cow<'a, str>>,
    entries: Vec<(Cow<'a, str>, &'a str)>,
}

impl Docs<'_> {
    fn view(&self) -> String {
        format!("v_{}", self.table.n)
    }

    pub(super) fn get(&self, id: &str) -> Done<Option<String>> {
        check_id(id)?;
        Ok(self.stored(id)?.map(|(version, body)| whole(id, version, &body)))
    }

    fn stored(&self, id: &str) -> Done<Option<(u64, String)>> {
        let sql = format!("SELECT version, body FROM {} WHERE _space = ?1 AND id = ?2", self.view());
        let mut statement = self.connection.prepare(&sql)?;
        let row = statement.query_row(params![self.space, id], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?))
        });
        Ok(row.optional()?)
    }

    fn version(&self, id: &str) -> Done<Option<u64>> {
        let sql = format!("SELECT version FROM {} WHERE _space = ?1 AND id = ?2", self.view());
        let mut statement = self.connection.prepare(&sql)?;
        let row =
            statement.query_row(params![self.space, id], |row| Ok(row.get::<_, i64>(0)?.cast_unsigned()));
        Ok(row.optional()?)
    }

    /// One change; the document as it is then, none where it was deleted; and whether there was one before.
    pub(super) fn write(&self, write: &DocWrite) -> Done<(Option<String>, bool)> {
        match write {
            DocWrite::Put { body, if_version } => {
                let fields = self.fields(body)?;
                let id = fields.id.ok_or_else(|| {
                    DataError::argument("put needs a document with an `id`; insert gives it one")
                })?;
                let before = self.version(&id)?;
                expect(*if_version, before, &id)?;
                Ok((
                    Some(self.store(&id, before, &compose(&fields.entries), &fields.entries)?),
                    before.is_some(),
                ))
            }
            DocWrite::Insert { body } => {
                let fields = self.fields(body)?;
                let id = match fields.id {
                    Some(id) if self.version(&id)?.is_some() => {
                        return Err(DataError::new(
                            ErrorCode::Conflict,
                            format!("a document `{}` exists; put replaces it", shown(&id)),
                        )
                        .into());
                    }
                    Some(id) => id,
                    // 80 random bits: nobody has it.
                    None => DocId::new(self.now_ms, rand::random()).to_string().into(),
                };
                Ok((Some(self.store(&id, None, &compose(&fields.entries), &fields.entries)?), false))
            }
            DocWrite::Update { id, patch, if_version } => {
                check_id(id)?;
                let patch = self.fields(patch)?;
                let Some((version, body)) = self.stored(id)? else {
                    return Err(DataError::new(
                        ErrorCode::NotFound,
                        format!("there is no document `{}`", shown(id)),
                    )
                    .into());
                };
                expect(*if_version, Some(version), id)?;
                let mut entries = json::entries(&body).unwrap_or_default();
                for (name, value) in patch.entries {
                    match entries.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, old)) => *old = value,
                        None => entries.push((name, value)),
                    }
                }
                let merged = compose(&entries);
                // Two documents inside the bounds may be one outside of them.
                json::check(&merged).map_err(DataError::argument)?;
                if merged.len() > VALUE_BYTES_MAX {
                    return Err(DataError::large("the document", merged.len(), VALUE_BYTES_MAX).into());
                }
                Ok((Some(self.store(id, Some(version), &merged, &entries)?), true))
            }
            DocWrite::Delete { id, if_version } => {
                check_id(id)?;
                let before = self.version(id)?;
                expect(*if_version, before, id)?;
                if before.is_some() {
                    let sql = format!("DELETE FROM {} WHERE _space = ?1 AND id = ?2", self.view());
                    self.connection.prepare(&sql)?.execute(params![self.space, id])?;
                }
                Ok((None, before.is_some()))
            }
        }
    }

    /// Several changes, all or none.
    pub(super) fn batch(&self, writes: &[DocWrite]) -> Done<Vec<Option<String>>> {
        let mut written = Vec::with_capacity(writes.len());
        let mut bytes = 0;
        for (at, write) in writes.iter().enumerate() {
            match self.write(write) {
                Ok((document, _)) => {
                    // A small patch answers with the whole document: a batch of them must not be gigabytes.
                    bytes += document.as_ref().map_or(0, String::len);
                    if bytes > PAGE_BYTES_MAX {
                        let what = "what the batch answers, the documents as they are now,";
                        return Err(DataError::large(what, bytes, PAGE_BYTES_MAX).into());
                    }
                    written.push(document);
                }
                Err(Failed::Said(mut error)) => {
                    error.message =
                        format!("change {at} of the batch: {}; nothing was changed", error.message);
                    return Err(error.into());
                }
                Err(other) => return Err(other),
            }
        }
        Ok(written)
    }

    fn fields<'b>(&self, body: &'b str) -> Result<Fields<'b>> {
        if body.len() > VALUE_BYTES_MAX {
            return Err(DataError::large("the document", body.len(), VALUE_BYTES_MAX));
        }
        let mut entries = json::object(body).map_err(DataError::argument)?;
        let mut id = None;
        for (name, value) in &entries {
            if name == "id" {
                let text = json::unquote(value)
                    .ok_or_else(|| DataError::argument("a document's `id` is a string"))?;
                check_id(&text)?;
                id = Some(text);
            } else if let Some(kind) = self.table.fields.get(&**name)
                && !kind.fits(value)
            {
                return Err(DataError::argument(format!(
                    "`{}` must be {}, as collections.{}.schema in app.json says",
                    shown(name),
                    kind.what(),
                    self.table.name
                )));
            }
        }
        entries.retain(|(name, _)| name != "id" && name != "version");
        Ok(Fields { id, entries })
    }

    /// Update, else insert: SQLite has no upsert on views.
    fn store(
        &self,
        id: &str,
        before: Option<u64>,
        body: &str,
        entries: &[(Cow<'_, str>, &str)],
    ) -> Done<String> {
        let version = before.map_or(1, |version| version + 1);
        let now = self.now_ms.cast_signed();
        let mut values: Vec<Value> = vec![
            self.space.into(),
            id.to_owned().into(),
            version.cast_signed().into(),
            now.into(),
            body.to_owned().into(),
        ];
        for (_, field) in &self.table.shadows {
            let value = entries.iter().find(|(name, _)| name == field).map(|(_, value)| *value);
            values.push(value.map_or_else(|| key::MISSING.to_vec(), key::of).into());
        }
        let mut sql = if before.is_some() {
            format!("UPDATE {} SET version = ?3, updated = ?4, body = ?5", self.view())
        } else {
            format!("INSERT INTO {}(_space, id, version, created, updated, body", self.view())
        };
        for (at, (k, _)) in self.table.shadows.iter().enumerate() {
            sql.push_str(&match before {
                Some(_) => format!(", k{k} = ?{}", at + 6),
                None => format!(", k{k}"),
            });
        }
        if before.is_some() {
            sql.push_str(" WHERE _space = ?1 AND id = ?2");
        } else {
            sql.push_str(") VALUES(?1, ?2, ?3, ?4, ?4, ?5");
            (0..self.table.shadows.len()).for_each(|at| sql.push_str(&format!(", ?{}", at + 6)));
            sql.push(')');
        }
        self.connection.prepare(&sql)?.execute(params_from_iter(values))?;
        Ok(whole(id, version, body))
    }

    pub(super) fn count(&self, filter: Option<&str>) -> Done<u64> {
        let mut compiler = Compiler::new(self.table, self.space);
        let mut sql = format!("SELECT count(*) FROM {} WHERE _space = ?1", self.view());
        if let Some(filter) = filter {
            sql.push_str(&format!(" AND {}", compiler.filter(filter)?));
        }
        let mut statement = self.connection.prepare(&sql)?;
        let count = statement.query_row(params_from_iter(compiler.values.0), |row| row.get::<_, i64>(0));
        Ok(count.map_err(|error| self.late(error, filter, &[]))?.cast_unsigned())
    }

    /// An interrupted query, in words that help its author; every other failure as it is.
    fn late(&self, error: rusqlite::Error, filter: Option<&str>, order: &[(String, bool)]) -> Failed {
        let late = error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted);
        if !late || self.connection.hurried() {
            return Failed::Sqlite(error);
        }
        let mut compiler = Compiler::new(self.table, self.space);
        let compiled = filter.map_or(Ok(String::new()), |filter| compiler.filter(filter));
        match compiled.and_then(|_| compiler.order(order)) {
            Ok(_) => DataError::query(compiler.slow()).into(),
            Err(error) => error.into(),
        }
    }

    /// The statement of a page: its text and values, what it orders by, how many documents.
    pub(super) fn compile(&self, find: &Find, seal: &Seal) -> Done<Page> {
        let limit = page_items(find.limit)?;
        let mut compiler = Compiler::new(self.table, self.space);
        let mut sql = String::from(" WHERE _space = ?1");
        if let Some(filter) = &find.filter {
            sql.push_str(&format!(" AND {}", compiler.filter(filter)?));
        }
        let order = compiler.order(&find.order)?;
        if let Some(cursor) = &find.cursor {
            let place = seal.open(cursor, order.len())?;
            sql.push_str(&format!(" AND {}", compiler.behind(&order, place)));
        }
        let mut extra = String::new();
        for (field, _) in order.iter().filter(|(field, _)| *field != Field::Id) {
            extra.push_str(", ");
            extra.push_str(field.sql());
        }
        sql.push_str(" ORDER BY ");
        for (at, (field, descending)) in order.iter().enumerate() {
            sql.push_str(if at > 0 { ", " } else { "" });
            sql.push_str(field.sql());
            sql.push_str(if *descending { " DESC" } else { "" });
        }
        // One more than asked for says whether there is another page.
        let more = compiler.values.bind(i64::from(limit) + 1);
        sql.push_str(" LIMIT ");
        sql.push_str(&more);
        let columns = |columns: &str| format!("SELECT id{columns}{extra} FROM {}{sql}", self.view());
        let whole = columns(", version, body");
        let sorts = self.connection.sorts(&whole)?;
        // Whatever is held to be sorted is keys: the bodies of a page are read afterwards, one by one.
        let sql = if sorts { columns("") } else { whole };
        Ok(Page { sql, sorts, values: compiler.values.0, order, limit: limit as usize })
    }

    pub(super) fn find(&self, find: &Find, seal: &Seal) -> Done<(Vec<String>, Option<String>)> {
        let mut page = self.compile(find, seal)?;
        if page.sorts && self.connection.hurried() {
            // What sorts holds memory, of which there is enough for those that wait in the queue.
            return Err(Failed::Sqlite(interrupted()));
        }
        let values = std::mem::take(&mut page.values);
        let mut statement = self.connection.prepare(&page.sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        let mut last: Option<Vec<Value>> = None;
        while let Some(row) =
            rows.next().map_err(|error| self.late(error, find.filter.as_deref(), &find.order))?
        {
            if items.len() >= page.limit || bytes >= PAGE_BYTES_MAX {
                return Ok((items, last.map(|place| seal.close(&place))));
            }
            let id = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            let document = if page.sorts {
                // Nobody else is on the file now but a deploy, which deletes nothing.
                let Some((version, body)) = self.stored(id)? else { continue };
                whole(id, version, &body)
            } else {
                let version = row.get::<_, i64>(1)?.cast_unsigned();
                whole(id, version, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)
            };
            bytes += document.len();
            items.push(document);
            // Only the last of the page is needed, and which that is shows with the next row.
            if items.len() == page.limit || bytes >= PAGE_BYTES_MAX {
                last = Some(page.place(id, row)?);
            }
        }
        Ok((items, None))
    }
}

/// A compiled page.
pub(super) struct Page {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// The statement gives no bodies.
    sorts: bool,
    order: Vec<(Field, bool)>,
    limit: usize,
}

impl Page {
    /// Where a row stands in the order.
    fn place(&self, id: &str, row: &rusqlite::Row<'_>) -> rusqlite::Result<Vec<Value>> {
        let mut column = if self.sorts { 1 } else { 3 };
        let values = self.order.iter().map(|(field, _)| {
            if *field == Field::Id {
                return Ok(Value::Text(id.to_owned()));
            }
            column += 1;
            row.get(column - 1)
        });
        values.collect()
    }
}

/// Refuses a batch before anything runs.
pub(super) fn check_batch(writes: &[DocWrite]) -> Result<()> {
    if writes.is_empty() || writes.len() > BATCH_MAX {
        return Err(DataError::argument(format!(
            "a batch has 1 to {BATCH_MAX} changes, not {}",
            writes.len()
        )));
    }
    let bytes = writes.iter().map(|write| match write {
        DocWrite::Put { body, .. } | DocWrite::Insert { body } => body.len(),
        DocWrite::Update { patch, .. } => patch.len(),
        DocWrite::Delete { .. } => 0,
    });
    let bytes = bytes.sum();
    if bytes > BATCH_BYTES_MAX { Err(DataError::large("the batch", bytes, BATCH_BYTES_MAX)) } else { Ok(()) }
}

pub(super) fn page_items(limit: Option<u32>) -> Result<u32> {
    match limit {
        None => Ok(PAGE_ITEMS_DEFAULT),
        Some(limit @ 1..=PAGE_ITEMS_MAX) => Ok(limit),
        Some(limit) => Err(DataError::query(format!(
            "`limit` is a whole number from 1 to {PAGE_ITEMS_MAX}, not {limit}"
        ))),
    }
}

/// Refuses a change that was made for another version. A document that is not there has version 0.
pub(super) fn expect(wanted: Option<u64>, found: Option<u64>, id: &str) -> Result<()> {
    let found = found.unwrap_or(0);
    match wanted {
        Some(wanted) if wanted != found => Err(DataError::new(
            ErrorCode::Conflict,
            format!("`{}` has version {found}, not {wanted}: read it again", shown(id)),
        )),
        _ => Ok(()),
    }
}

fn check_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > KEY_BYTES_MAX {
        return Err(DataError::argument(format!("an id has 1 to {KEY_BYTES_MAX} bytes, not {}", id.len())));
    }
    Ok(())
}

fn compose(entries: &[(Cow<'_, str>, &str)]) -> String {
    let bytes: usize = entries.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut text = String::with_capacity(bytes + 2);
    text.push('{');
    for (at, (name, value)) in entries.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        json::quote(name, &mut text);
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

/// The document as the app sees it.
fn whole(id: &str, version: u64, body: &str) -> String {
    let mut text = String::with_capacity(body.len() + id.len() + 40);
    text.push_str("{\"id\":");
    json::quote(id, &mut text);
    text.push_str(",\"version\":");
    // Writing to a string cannot fail.
    let _ = write!(text, "{version}");
    let rest = body.strip_prefix('{').unwrap_or("}");
    if rest != "}" {
        text.push(',');
    }
    text.push_str(rest);
    text
}
