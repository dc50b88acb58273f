//! Uploads in parts: begun, filled part by part, put together or given up.

use fazt_ipc::syscall::ErrorCode;
use md5::{Digest, Md5};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Blobs, Done, Gone, Place, hex};
use super::stage::Content;
use super::{Attributes, BlobAnswer, Bytes};
use crate::kernel::storage::data::error::DataError;
use crate::kernel::storage::data::limits::{BLOB_PART_BYTES_MIN, BLOB_UPLOAD_MS};

/// Gives up uploads that were begun long ago. Their files are found by the sweep.
pub(in super::super) fn expire(connection: &mut Connection, now_ms: u64) -> rusqlite::Result<()> {
    let old = now_ms.saturating_sub(BLOB_UPLOAD_MS).cast_signed();
    let sql = "SELECT EXISTS(SELECT 1 FROM blob_upload WHERE created < ?1)";
    if !connection.prepare_cached(sql)?.query_row([old], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    let parts = transaction.execute(
        "DELETE FROM blob_part WHERE (_space, substr(id, 1, 64)) IN
            (SELECT _space, id FROM blob_upload WHERE created < ?1)",
        [old],
    )?;
    let uploads = transaction.execute("DELETE FROM blob_upload WHERE created < ?1", [old])?;
    transaction.execute("UPDATE tally SET rows = rows - ?1", [(parts + uploads) as i64])?;
    transaction.commit()
}

impl Blobs<'_> {
    pub(super) fn begin(&self, key: &str, attributes: &Attributes) -> Done<String> {
        let id = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        let sql =
            "INSERT INTO v_blob_upload(_space, id, key, created, http, meta) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.prepare(sql)?.execute(params![
            self.space,
            id,
            key,
            self.now_ms.cast_signed(),
            attributes.http,
            attributes.meta
        ])?;
        Ok(id)
    }

    pub(super) fn upload(&self, key: &str, upload: &str) -> Done<Attributes> {
        let sql = "SELECT http, meta FROM v_blob_upload WHERE _space = ?1 AND id = ?2 AND key = ?3";
        let mut statement = self.connection.prepare(sql)?;
        let found = statement
            .query_row(params![self.space, upload, key], |row| {
                Ok(Attributes { http: row.get(0)?, meta: row.get(1)? })
            })
            .optional()?;
        found.ok_or_else(|| DataError::new(ErrorCode::NotFound, "there is no such upload of this key").into())
    }

    pub(super) fn part(
        &mut self,
        key: &str,
        upload: &str,
        number: u32,
        content: &Content,
    ) -> Done<(BlobAnswer, Gone)> {
        self.upload(key, upload)?;
        let id = part_id(upload, number);
        let sql = "SELECT size, file FROM v_blob_part WHERE _space = ?1 AND id = ?2";
        let before: Option<(i64, Option<String>)> = {
            let mut statement = self.connection.prepare(sql)?;
            statement.query_row(params![self.space, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?
        };
        let mut gone = Gone::default();
        if let Some((size, Some(_))) = &before {
            gone.less = size.cast_unsigned();
        }
        let Place { file, value, more } = self.keep(content, gone.less)?;
        gone.more = more;
        let etag = hex(&content.sums.md5);
        let sql = if before.is_some() {
            "UPDATE v_blob_part SET size = ?3, etag = ?4, file = ?5, value = ?6 WHERE _space = ?1 AND id = ?2"
        } else {
            "INSERT INTO v_blob_part(_space, id, size, etag, file, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
        };
        self.connection.prepare(sql)?.execute(params![
            self.space,
            id,
            content.size.cast_signed(),
            etag,
            file,
            value.as_ref().map(|bytes| bytes.as_slice())
        ])?;
        if let Some((_, Some(name))) = before {
            self.files.loosen(name);
        }
        Ok((BlobAnswer::Part(etag), gone))
    }

    pub(super) fn parts(
        &self,
        key: &str,
        upload: &str,
        parts: &[(u32, String)],
    ) -> Done<(Vec<Bytes>, String)> {
        self.upload(key, upload)?;
        let missing = || {
            DataError::new(
                ErrorCode::Conflict,
                "one or more of the parts named are not there, or were put again since",
            )
        };
        let sql = "SELECT size, etag, file FROM v_blob_part WHERE _space = ?1 AND id = ?2";
        let (mut bytes, mut md5, mut first) = (Vec::new(), Md5::new(), None);
        let mut total: u64 = 0;
        for (at, (number, wanted)) in parts.iter().enumerate() {
            let id = part_id(upload, *number);
            let found: Option<(i64, String, Option<String>)> = {
                let mut statement = self.connection.prepare(sql)?;
                let row = statement
                    .query_row(params![self.space, id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
                row.optional()?
            };
            let (size, etag, file) = found.ok_or_else(missing)?;
            let size = size.cast_unsigned();
            if etag != *wanted {
                return Err(missing().into());
            }
            if at + 1 < parts.len() && size < BLOB_PART_BYTES_MIN {
                return Err(DataError::new(
                    ErrorCode::TooLarge,
                    format!("every part but the last has at least {BLOB_PART_BYTES_MIN} bytes"),
                )
                .into());
            }
            let first = *first.get_or_insert(size);
            if (at + 1 < parts.len() && size != first) || (at + 1 == parts.len() && size > first) {
                return Err(DataError::argument(
                    "all parts but the last have one size, and the last no more",
                )
                .into());
            }
            md5.update(unhex(&etag));
            total += size;
            bytes.push(match file {
                // Not all at once: there may be thousands.
                Some(name) => Bytes::Later(self.files.path(&name), size),
                None => Bytes::Whole(self.value("v_blob_part", "id", &id)?),
            });
        }
        if total > self.room {
            return Err(DataError::new(
                ErrorCode::QuotaExceeded,
                "the app's storage has no room to put the parts together",
            )
            .into());
        }
        Ok((bytes, format!("{}-{}", hex(&md5.finalize()), parts.len())))
    }

    /// Forgets an upload and its parts.
    pub(super) fn end(&mut self, upload: &str) -> Done<Gone> {
        let mut gone = Gone::default();
        let range = params![self.space, format!("{upload}/"), format!("{upload}0")];
        let names: Vec<(i64, String)> = {
            let sql = "SELECT size, file FROM v_blob_part WHERE _space = ?1 AND id > ?2 AND id < ?3 AND file IS NOT NULL";
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (size, name) in names {
            gone.less += size.cast_unsigned();
            self.files.loosen(name);
        }
        self.connection
            .prepare("DELETE FROM v_blob_part WHERE _space = ?1 AND id > ?2 AND id < ?3")?
            .execute(range)?;
        self.connection
            .prepare("DELETE FROM v_blob_upload WHERE _space = ?1 AND id = ?2")?
            .execute(params![self.space, upload])?;
        Ok(gone)
    }
}

fn part_id(upload: &str, number: u32) -> String {
    format!("{upload}/{number:05}")
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..text.len()).step_by(2).filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_come_back() {
        assert_eq!(unhex(&hex(&[0, 1, 0xab, 0xff])), [0, 1, 0xab, 0xff]);
        assert_eq!(part_id("u", 7), "u/00007");
    }
}
