//! Statements for blobs, run on the connection of whoever asks.

use std::sync::Arc;

use fazt_ipc::syscall::ErrorCode;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::files::Files;
use super::stage::{Content, Kept, Sums};
use super::{Attributes, BlobAnswer, BlobCall, BlobInfo, BlobList, Bytes, Conditions, Range};
use crate::kernel::storage::data::compile::{Values, text_after_prefix};
use crate::kernel::storage::data::confine::Confined;
use crate::kernel::storage::data::cursor::Seal;
use crate::kernel::storage::data::docs::{Failed, page_items};
use crate::kernel::storage::data::error::DataError;
use crate::kernel::storage::data::limits::PAGE_BYTES_MAX;

pub(super) type Done<T> = std::result::Result<T, Failed>;

/// What is known of a blob, with where its bytes are.
const COLUMNS: &str = "key, version, size, etag, uploaded, http, meta, sums, file";

/// Where and when a call on blobs happens.
pub(in super::super) struct Blobs<'a> {
    pub(in super::super) connection: &'a Confined,
    pub(in super::super) files: &'a mut Files,
    pub(in super::super) space: i64,
    pub(in super::super) now_ms: u64,
    /// Bytes that files may take more.
    pub(in super::super) room: u64,
}

/// Bytes of files that rows named before a call and do not after it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Gone {
    pub(in super::super) less: u64,
    pub(in super::super) more: u64,
}

/// A blob, where the bytes asked for start, and they themselves.
type Found = Option<(BlobInfo, Option<(u64, Bytes)>)>;

/// Where bytes are kept: in a file of this name, or in the row; and what they add to the bytes of files.
pub(super) struct Place {
    pub(super) file: Option<String>,
    pub(super) value: Option<Arc<Vec<u8>>>,
    pub(super) more: u64,
}

struct Row {
    info: BlobInfo,
    file: Option<String>,
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let info = BlobInfo {
        key: row.get(0)?,
        version: row.get(1)?,
        size: row.get::<_, i64>(2)?.cast_unsigned(),
        etag: row.get(3)?,
        uploaded_unix_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        attributes: Attributes { http: row.get(5)?, meta: row.get(6)? },
        sums: row.get(7)?,
    };
    Ok(Row { info, file: row.get(8)? })
}

/// Bytes of all files of an app's blobs, as its quota counts them.
pub(in crate::kernel::storage) fn files_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce((SELECT sum(size) FROM blob WHERE file IS NOT NULL), 0)
        + coalesce((SELECT sum(size) FROM blob_part WHERE file IS NOT NULL), 0)";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

impl Blobs<'_> {
    /// Answers a call; a change inside a transaction. What it did to the bytes of files comes along.
    pub(in super::super) fn call(
        &mut self,
        call: &BlobCall,
        seal: Option<&Seal>,
    ) -> Done<(BlobAnswer, Gone)> {
        let plain = |answer| Ok((answer, Gone::default()));
        match call {
            BlobCall::Room => plain(BlobAnswer::Room(self.room)),
            BlobCall::Head { key } => plain(BlobAnswer::Info(self.row(key)?.map(|row| row.info))),
            BlobCall::Get { key, range, only_if } => {
                plain(BlobAnswer::Found(self.get(key, *range, only_if.as_ref())?))
            }
            BlobCall::List(list) => match seal {
                Some(seal) => plain(self.list(list, seal)?),
                None => Err(DataError::query("a list without its cursor's seal").into()),
            },
            BlobCall::Parts { key, upload, parts } => {
                let (bytes, etag) = self.parts(key, upload, parts)?;
                plain(BlobAnswer::Parts(bytes, etag))
            }
            BlobCall::Put { key, content, attributes, only_if } => {
                self.put(key, content, attributes, only_if.as_ref())
            }
            BlobCall::Delete { keys } => self.delete(keys),
            BlobCall::Begin { key, attributes } => plain(BlobAnswer::Upload(self.begin(key, attributes)?)),
            BlobCall::Part { key, upload, number, content } => self.part(key, upload, *number, content),
            BlobCall::Complete { key, upload, content } => {
                let attributes = self.upload(key, upload)?;
                let (_, mut gone) = self.put(key, content, &attributes, None)?;
                gone.less += self.end(upload)?.less;
                Ok((BlobAnswer::Info(self.row(key)?.map(|row| row.info)), gone))
            }
            BlobCall::Abort { key, upload } => {
                let gone = match self.upload(key, upload) {
                    Ok(_) => self.end(upload)?,
                    Err(Failed::Said(_)) => Gone::default(),
                    Err(other) => return Err(other),
                };
                Ok((BlobAnswer::Done, gone))
            }
        }
    }

    fn row(&self, key: &str) -> Done<Option<Row>> {
        let sql = format!("SELECT {COLUMNS} FROM v_blob WHERE _space = ?1 AND key = ?2");
        let mut statement = self.connection.prepare(&sql)?;
        Ok(statement.query_row(params![self.space, key], row).optional()?)
    }

    pub(super) fn value(&self, view: &str, name: &str, key: &str) -> Done<Vec<u8>> {
        let sql = format!("SELECT value FROM {view} WHERE _space = ?1 AND {name} = ?2");
        let mut statement = self.connection.prepare(&sql)?;
        let value: Option<Vec<u8>> = statement.query_row(params![self.space, key], |row| row.get(0))?;
        Ok(value.unwrap_or_default())
    }

    pub(super) fn open(&self, name: &str) -> Done<Arc<std::fs::File>> {
        self.files.open(name).map(Arc::new).map_err(|error| {
            tracing::error!(%error, name, "the file of a blob cannot be read");
            DataError::unavailable("the file of this blob is missing or damaged; the operator can restore it")
                .into()
        })
    }

    fn get(&self, key: &str, range: Range, only_if: Option<&Conditions>) -> Done<Found> {
        let Some(Row { info, file }) = self.row(key)? else { return Ok(None) };
        if !only_if.is_none_or(|conditions| holds(conditions, Some(&info))) {
            return Ok(Some((info, None)));
        }
        let (offset, length) = part_of(range, info.size).ok_or_else(|| {
            DataError::query(format!(
                "a blob of {} bytes has none of the range that was asked for",
                info.size
            ))
        })?;
        let bytes = match file {
            Some(name) => Bytes::File(self.open(&name)?, offset, length),
            None => {
                let mut value = self.value("v_blob", "key", key)?;
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(value.len());
                value.drain(..start);
                value.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                Bytes::Whole(value)
            }
        };
        Ok(Some((info, Some((offset, bytes)))))
    }

    /// Where the bytes of a row go: a file's name, or they themselves.
    pub(super) fn keep(&mut self, content: &Content, less: u64) -> Done<Place> {
        match &content.kept {
            Kept::Memory(bytes) => Ok(Place { file: None, value: Some(Arc::clone(bytes)), more: 0 }),
            Kept::File(staged) => {
                if content.size > self.room.saturating_add(less) {
                    return Err(DataError::new(
                        ErrorCode::QuotaExceeded,
                        "the app's storage has no room for this blob: delete something, or ask the owner for more (limits.storageMiB in app.json)",
                    )
                    .into());
                }
                let name = self.files.keep(staged, self.space).map_err(|error| {
                    tracing::error!(%error, "a blob could not be put where it belongs");
                    DataError::unavailable("the server's disk failed or is full; the blob was not kept")
                })?;
                Ok(Place { file: Some(name), value: None, more: content.size })
            }
        }
    }

    fn put(
        &mut self,
        key: &str,
        content: &Content,
        attributes: &Attributes,
        only_if: Option<&Conditions>,
    ) -> Done<(BlobAnswer, Gone)> {
        let before = self.row(key)?;
        if !only_if.is_none_or(|conditions| holds(conditions, before.as_ref().map(|row| &row.info))) {
            return Ok((BlobAnswer::Info(None), Gone::default()));
        }
        let old = before.as_ref().and_then(|row| Some((row.file.clone()?, row.info.size)));
        let less = old.as_ref().map_or(0, |(_, size)| *size);
        let Place { file, value, more } = self.keep(content, less)?;
        let info = BlobInfo {
            key: key.to_owned(),
            version: format!("{:032x}", rand::random::<u128>()),
            size: content.size,
            etag: content.etag.clone().unwrap_or_else(|| hex(&content.sums.md5)),
            uploaded_unix_ms: self.now_ms,
            attributes: attributes.clone(),
            sums: sums(&content.sums, content.etag.is_none()),
        };
        let sql = if before.is_some() {
            "UPDATE v_blob SET version = ?3, size = ?4, etag = ?5, uploaded = ?6, http = ?7, meta = ?8, sums = ?9,
                file = ?10, value = ?11 WHERE _space = ?1 AND key = ?2"
        } else {
            "INSERT INTO v_blob(_space, key, version, size, etag, uploaded, http, meta, sums, file, value)
                VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        };
        self.connection.prepare(sql)?.execute(params![
            self.space,
            key,
            info.version,
            info.size.cast_signed(),
            info.etag,
            info.uploaded_unix_ms.cast_signed(),
            info.attributes.http,
            info.attributes.meta,
            info.sums,
            file,
            value.as_ref().map(|bytes| bytes.as_slice()),
        ])?;
        if let Some((name, _)) = old {
            self.files.loosen(name);
        }
        Ok((BlobAnswer::Info(Some(info)), Gone { less, more }))
    }

    fn delete(&mut self, keys: &[String]) -> Done<(BlobAnswer, Gone)> {
        let (mut deleted, mut gone) = (0, Gone::default());
        for key in keys {
            let Some(row) = self.row(key)? else { continue };
            let sql = "DELETE FROM v_blob WHERE _space = ?1 AND key = ?2";
            self.connection.prepare(sql)?.execute(params![self.space, key])?;
            deleted += 1;
            if let Some(name) = row.file {
                gone.less += row.info.size;
                self.files.loosen(name);
            }
        }
        Ok((BlobAnswer::Deleted(deleted), gone))
    }

    fn list(&self, list: &BlobList, seal: &Seal) -> Done<BlobAnswer> {
        let limit = page_items(list.limit)? as usize;
        let (mut items, mut prefixes) = (Vec::new(), Vec::<String>::new());
        // Keys from here on, or behind it.
        let (mut from, mut behind) = (list.prefix.clone(), false);
        if let Some(after) = list.after.as_ref().filter(|after| **after >= from) {
            (from, behind) = (after.clone(), true);
        }
        if let Some(cursor) = &list.cursor {
            match seal.open(cursor, 2)?.as_slice() {
                [Value::Text(place), Value::Integer(is_behind)] => {
                    (from, behind) = (place.clone(), *is_behind != 0);
                }
                _ => return Err(DataError::query("this cursor is not of this list").into()),
            }
        }
        let end = text_after_prefix(&list.prefix);
        let mut bytes = 0;
        loop {
            let mut values = Values(vec![Value::Integer(self.space)]);
            let compare = if behind { ">" } else { ">=" };
            let mut sql = format!(
                "SELECT {COLUMNS} FROM v_blob WHERE _space = ?1 AND key {compare} {}",
                values.bind(from.clone())
            );
            if let Some(end) = &end {
                sql.push_str(&format!(" AND key < {}", values.bind(end.clone())));
            }
            let left = limit - items.len() - prefixes.len();
            let more = values.bind(i64::try_from(left).unwrap_or(i64::MAX) + 1);
            sql.push_str(&format!(" ORDER BY key LIMIT {more}"));
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(values.0))?;
            let mut skip = None;
            while let Some(found) = rows.next()? {
                let Row { info, .. } = row(found)?;
                if items.len() + prefixes.len() == limit || bytes >= PAGE_BYTES_MAX {
                    let place = [Value::Text(from.clone()), Value::Integer(behind.into())];
                    return Ok(BlobAnswer::Page { items, prefixes, cursor: Some(seal.close(&place)) });
                }
                let rest = &info.key[list.prefix.len().min(info.key.len())..];
                let start = list.delimiter.as_ref().and_then(|delimiter| {
                    Some(list.prefix.len() + rest.find(delimiter.as_str())? + delimiter.len())
                });
                if let Some(start) = start {
                    let prefix = info.key[..start].to_owned();
                    // All that begin with it are one.
                    skip = text_after_prefix(&prefix);
                    prefixes.push(prefix);
                    if let Some(next) = &skip {
                        (from, behind) = (next.clone(), false);
                    }
                    break;
                }
                (from, behind) = (info.key.clone(), true);
                let Attributes { http, meta } = &info.attributes;
                bytes += info.key.len() + [http, meta].into_iter().flatten().map(String::len).sum::<usize>();
                items.push(info);
            }
            if skip.is_none() {
                return Ok(BlobAnswer::Page { items, prefixes, cursor: None });
            }
        }
    }
}

/// Whether conditions hold of what is there, as RFC 9110, 13.2.2 orders them.
fn holds(conditions: &Conditions, found: Option<&BlobInfo>) -> bool {
    let Conditions { matches, differs, before, after, seconds } = conditions;
    let Some(info) = found else { return matches.is_none() && after.is_none() };
    let names = |etags: &[String]| etags.iter().any(|etag| etag == "*" || *etag == info.etag);
    let rounded = |ms: u64| if *seconds { ms / 1000 } else { ms };
    let uploaded = rounded(info.uploaded_unix_ms);
    let same = matches.as_ref().map(|etags| names(etags));
    let other = differs.as_ref().map(|etags| !names(etags));
    let fresh = after.is_none_or(|after| rounded(after) < uploaded) || other == Some(true);
    let old = before.is_none_or(|before| uploaded < rounded(before)) || same == Some(true);
    same.unwrap_or(true) && other.unwrap_or(true) && fresh && old
}

/// Offset and length of a range; none: nothing of it is there.
fn part_of(range: Range, size: u64) -> Option<(u64, u64)> {
    if let Some(suffix) = range.suffix {
        let length = suffix.min(size);
        return (suffix > 0).then_some((size - length, length));
    }
    if range == Range::default() {
        return Some((0, size));
    }
    let offset = range.offset.unwrap_or(0);
    let left = size.checked_sub(offset)?;
    let length = range.length.unwrap_or(left).min(left);
    (range.length != Some(0) && (left > 0 || size == 0)).then_some((offset, length))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checksums as JSON: names and hexadecimal digits.
fn sums(sums: &Sums, with_md5: bool) -> Option<String> {
    let all = [
        ("md5", with_md5.then_some(&sums.md5)),
        ("sha1", sums.sha1.as_ref()),
        ("sha256", sums.sha256.as_ref()),
        ("sha384", sums.sha384.as_ref()),
        ("sha512", sums.sha512.as_ref()),
    ];
    let all: Vec<_> =
        all.iter().filter_map(|(name, sum)| Some(format!("\"{name}\":\"{}\"", hex((*sum)?)))).collect();
    (!all.is_empty()).then(|| format!("{{{}}}", all.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_is_there_and_refused_where_nothing_is() {
        let range = |offset, length, suffix| part_of(Range { offset, length, suffix }, 10);
        assert_eq!(range(None, None, None), Some((0, 10)));
        assert_eq!(range(Some(4), None, None), Some((4, 6)));
        assert_eq!(range(Some(4), Some(100), None), Some((4, 6)));
        assert_eq!(range(None, Some(3), None), Some((0, 3)));
        assert_eq!(range(None, None, Some(3)), Some((7, 3)));
        assert_eq!(range(None, None, Some(30)), Some((0, 10)));
        for (offset, length, suffix) in
            [(Some(10), None, None), (Some(11), None, None), (None, Some(0), None), (None, None, Some(0))]
        {
            assert_eq!(range(offset, length, suffix), None);
        }
        assert_eq!(part_of(Range::default(), 0), Some((0, 0)));
    }

    #[test]
    fn conditions_hold_as_the_standard_orders_them() {
        let info = BlobInfo {
            key: "k".into(),
            version: String::new(),
            size: 1,
            etag: "e".into(),
            uploaded_unix_ms: 5_500,
            attributes: Attributes::default(),
            sums: None,
        };
        let none = Conditions::default();
        let of = |matches: Option<&str>, differs: Option<&str>, before, after| Conditions {
            matches: matches.map(|etag| vec![etag.into()]),
            differs: differs.map(|etag| vec![etag.into()]),
            before,
            after,
            seconds: false,
        };
        for (conditions, there, absent) in [
            (none, true, true),
            (of(Some("e"), None, None, None), true, false),
            (of(Some("*"), None, None, None), true, false),
            (of(Some("x"), None, None, None), false, false),
            (of(None, Some("e"), None, None), false, true),
            (of(None, Some("*"), None, None), false, true),
            (of(None, Some("x"), None, None), true, true),
            (of(None, None, Some(5_500), None), false, true),
            (of(None, None, Some(5_501), None), true, true),
            (of(None, None, None, Some(5_500)), false, false),
            (of(None, None, None, Some(5_499)), true, false),
            (of(Some("e"), None, Some(1), None), true, false),
            (of(None, Some("x"), None, Some(9_000)), true, false),
            (Conditions { seconds: true, ..of(None, None, None, Some(5_100)) }, false, false),
        ] {
            assert_eq!(
                (holds(&conditions, Some(&info)), holds(&conditions, None)),
                (there, absent),
                "{conditions:?}"
            );
        }
    }
}
