//! `kv`: statements for keys, run on the connection of whoever asks.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::compile::{Values, text_after_prefix};
use super::confine::Confined;
use super::cursor::Seal;
use super::docs::{Failed, expect, page_items};
use super::error::{DataError, Result};
use super::json;
use super::limits::{BINDING_BYTES_MAX, KEY_BYTES_MAX, META_BYTES_MAX, TTL_S_MAX, VALUE_BYTES_MAX};
use super::request::{Entry, KeyInfo, KvKind};

/// Where and when a call on keys happens.
pub(super) struct Keys<'a> {
    pub(super) connection: &'a Confined,
    pub(super) space: i64,
    pub(super) now_ms: u64,
}

/// What `set` sets.
pub(super) struct Set<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
    pub(super) kind: KvKind,
    pub(super) meta: Option<&'a str>,
    pub(super) ttl_s: Option<u64>,
    pub(super) expires_unix_ms: Option<u64>,
    pub(super) if_version: Option<u64>,
}

type Done<T> = std::result::Result<T, Failed>;

/// A key that expired is not there.
const LIVE: &str = "(expires IS NULL OR expires > ";

impl Keys<'_> {
    fn now(&self) -> i64 {
        self.now_ms.cast_signed()
    }

    pub(super) fn get(&self, key: &str) -> Done<Option<Entry>> {
        check_key(key)?;
        let sql = format!(
            "SELECT version, expires, kind, meta, value FROM v_kv WHERE _space = ?1 AND key = ?2 AND {LIVE}?3)"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let row = statement.query_row(params![self.space, key, self.now()], |row| {
            Ok(Entry {
                version: row.get::<_, i64>(0)?.cast_unsigned(),
                expires_unix_ms: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
                kind: kind(row.get(2)?),
                meta: row.get(3)?,
                value: row.get(4)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Version of a key, and whether its row is there: one that expired may still be.
    fn version(&self, key: &str) -> Done<(Option<u64>, bool)> {
        let sql = format!("SELECT version, {LIVE}?3) FROM v_kv WHERE _space = ?1 AND key = ?2");
        let mut statement = self.connection.prepare(&sql)?;
        let row = statement.query_row(params![self.space, key, self.now()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, bool>(1)?))
        });
        Ok(match row.optional()? {
            Some((version, true)) => (Some(version), true),
            Some((_, false)) => (None, true),
            None => (None, false),
        })
    }

    pub(super) fn set(&self, set: &Set<'_>) -> Done<u64> {
        let (version, there) = self.version(set.key)?;
        expect(set.if_version, version, set.key)?;
        let next = version.map_or(1, |version| version + 1);
        let after_ttl = set.ttl_s.map(|ttl_s| self.now_ms + ttl_s * 1000);
        let expires = set.expires_unix_ms.or(after_ttl).map(u64::cast_signed);
        let sql = if there {
            "UPDATE v_kv SET version = ?3, expires = ?4, kind = ?5, meta = ?6, value = ?7 WHERE _space = ?1 AND key = ?2"
        } else {
            "INSERT INTO v_kv(_space, key, version, expires, kind, meta, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        };
        self.connection.prepare(sql)?.execute(params![
            self.space,
            set.key,
            next.cast_signed(),
            expires,
            set.kind as u8,
            set.meta,
            set.value
        ])?;
        Ok(next)
    }

    pub(super) fn delete(&self, key: &str, if_version: Option<u64>) -> Done<bool> {
        check_key(key)?;
        let (version, there) = self.version(key)?;
        expect(if_version, version, key)?;
        if there {
            let sql = "DELETE FROM v_kv WHERE _space = ?1 AND key = ?2";
            self.connection.prepare(sql)?.execute(params![self.space, key])?;
        }
        Ok(version.is_some())
    }

    pub(super) fn list(
        &self,
        prefix: &str,
        limit: Option<u32>,
        cursor: Option<&str>,
        seal: &Seal,
    ) -> Done<(Vec<KeyInfo>, Option<String>)> {
        if own_part(prefix).len() > KEY_BYTES_MAX {
            return Err(DataError::large("`prefix`", prefix.len(), KEY_BYTES_MAX).into());
        }
        let limit = page_items(limit)? as usize;
        let mut values = Values(vec![Value::Integer(self.space), Value::Integer(self.now())]);
        let mut sql = format!("SELECT key, version, expires, meta FROM v_kv WHERE _space = ?1 AND {LIVE}?2)");
        if let Some(cursor) = cursor {
            let place = seal.open(cursor, 1)?;
            place.into_iter().for_each(|last| sql.push_str(&format!(" AND key > {}", values.bind(last))));
        } else if !prefix.is_empty() {
            sql.push_str(&format!(" AND key >= {}", values.bind(prefix.to_owned())));
        }
        if let Some(end) = text_after_prefix(prefix) {
            sql.push_str(&format!(" AND key < {}", values.bind(end)));
        }
        let more = values.bind(i64::try_from(limit).unwrap_or(i64::MAX) + 1);
        sql.push_str(&format!(" ORDER BY key LIMIT {more}"));
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values.0))?;
        let mut keys: Vec<KeyInfo> = Vec::new();
        while let Some(row) = rows.next()? {
            if keys.len() == limit {
                let place = keys.last().map(|last| seal.close(&[Value::Text(last.key.clone())]));
                return Ok((keys, place));
            }
            keys.push(KeyInfo {
                key: row.get(0)?,
                version: row.get::<_, i64>(1)?.cast_unsigned(),
                expires_unix_ms: row.get::<_, Option<i64>>(2)?.map(i64::cast_unsigned),
                meta: row.get(3)?,
            });
        }
        Ok((keys, None))
    }
}

/// Refuses a value before anything runs.
pub(super) fn check_set(set: &Set<'_>, now_ms: u64) -> Result<()> {
    check_key(set.key)?;
    if set.value.len() > VALUE_BYTES_MAX {
        return Err(DataError::large("the value", set.value.len(), VALUE_BYTES_MAX));
    }
    let text = || std::str::from_utf8(set.value).map_err(|_| DataError::argument("the value is not UTF-8"));
    match set.kind {
        KvKind::Json => json::check(text()?).map_err(DataError::argument)?,
        KvKind::Text => text().map(|_| ())?,
        KvKind::Bytes => {}
    }
    if let Some(meta) = set.meta {
        if meta.len() > META_BYTES_MAX {
            return Err(DataError::large("the metadata", meta.len(), META_BYTES_MAX));
        }
        json::check(meta).map_err(|wrong| DataError::argument(format!("the metadata is {wrong}")))?;
    }
    if let Some(expires) = set.expires_unix_ms
        && !(now_ms + 1..=now_ms + TTL_S_MAX * 1000).contains(&expires)
    {
        return Err(DataError::argument(format!(
            "a key expires within {TTL_S_MAX} seconds from now, not at {expires} ms since 1970"
        )));
    }
    match set.ttl_s {
        None | Some(1..=TTL_S_MAX) => Ok(()),
        Some(ttl_s) => {
            Err(DataError::argument(format!("a time to live is 1 to {TTL_S_MAX} seconds, not {ttl_s}")))
        }
    }
}

/// A key without the name of a binding: with it, it may be longer by as much.
pub(super) fn own_part(key: &str) -> &str {
    match key.split_once('/') {
        Some((binding, rest)) if binding.len() <= BINDING_BYTES_MAX => rest,
        _ => key,
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || own_part(key).len() > KEY_BYTES_MAX {
        return Err(DataError::argument(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len())));
    }
    Ok(())
}

pub(super) fn kind(number: u8) -> KvKind {
    match number {
        0 => KvKind::Json,
        1 => KvKind::Text,
        _ => KvKind::Bytes,
    }
}
