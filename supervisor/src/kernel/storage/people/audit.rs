//! The audit log. What was refused has room of its own: however often strangers are refused, what was done stays.

use fazt_ipc::control::AuditLine;
use rusqlite::{Connection, Row, Transaction, params};

use super::Trouble;

/// Lines that are kept of what was done.
const DONE_MAX: i64 = 80_000;
/// Lines that are kept of what was refused.
const REFUSED_MAX: i64 = 20_000;
/// The oldest go once in so many lines: counting them costs more than writing one.
const TRIM_EVERY: i64 = 256;

pub(super) fn note(db: &Transaction<'_>, line: &AuditLine) -> Result<(), Trouble> {
    db.execute(
        "INSERT INTO audit(at, who, action, target, ok, address, detail) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            line.unix_ms.cast_signed(),
            line.who,
            line.action,
            line.target,
            line.ok,
            line.address,
            line.detail
        ],
    )?;
    if db.last_insert_rowid() % TRIM_EVERY == 0 {
        for (ok, most) in [(true, DONE_MAX), (false, REFUSED_MAX)] {
            trim(db, ok, most)?;
        }
    }
    Ok(())
}

fn trim(db: &Transaction<'_>, ok: bool, most: i64) -> rusqlite::Result<usize> {
    db.execute(
        "DELETE FROM audit WHERE ok = ?1 AND n <=
         (SELECT n FROM audit WHERE ok = ?1 ORDER BY n DESC LIMIT 1 OFFSET ?2)",
        params![ok, most],
    )
}

pub(super) fn since(db: &Connection, since_ms: u64, most: u32) -> rusqlite::Result<Vec<AuditLine>> {
    let mut found = db.prepare_cached(
        "SELECT at, who, action, target, ok, address, detail FROM
         (SELECT * FROM audit WHERE at >= ?1 ORDER BY n DESC LIMIT ?2) ORDER BY n",
    )?;
    let line = |row: &Row<'_>| {
        Ok(AuditLine {
            unix_ms: row.get::<_, i64>(0)?.cast_unsigned(),
            who: row.get(1)?,
            action: row.get(2)?,
            target: row.get(3)?,
            ok: row.get(4)?,
            address: row.get(5)?,
            detail: row.get(6)?,
        })
    };
    found.query_map(params![since_ms.cast_signed(), most], line)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_push_out_refusals_and_nothing_that_was_done() {
        let mut db = Connection::open_in_memory().expect("database");
        db.execute_batch(super::super::schema::SCHEMA).expect("tables");
        db.execute_batch("CREATE INDEX audit_ok ON audit(ok, n)").expect("index");
        let line = |who: String, ok| AuditLine {
            unix_ms: 1,
            who,
            action: "x".into(),
            target: String::new(),
            ok,
            address: String::new(),
            detail: String::new(),
        };
        let db = db.transaction().expect("transaction");
        for at in 0..600 {
            assert!(note(&db, &line(at.to_string(), at % 3 == 0)).is_ok());
        }
        trim(&db, false, 10).expect("trimmed");
        let lines = since(&db, 0, 1_000).expect("lines");
        let (done, refused): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.ok);
        assert_eq!(done.len(), 200, "all that was done");
        assert_eq!((refused.len(), refused[9].who.as_str()), (10, "599"), "the newest");
    }
}
