//! Raw SQL on a confined connection, as if there were no compiler: nothing of others is read, nothing of
//! others is changed.

use rusqlite::types::ValueRef;

use super::super::confine::{Confined, Quota, schema_version};
use super::super::schema::Layout;
use super::*;
use crate::kernel::storage::{cartridge, db};

/// In every row that the attacker must not see.
const CANARY: &str = "canary";
/// The attacker, and somebody else.
const MALLORY: u128 = 1;
const ALICE: u128 = 2;

struct Prey {
    _folder: tempfile::TempDir,
    file: PathBuf,
    admin: rusqlite::Connection,
}

/// Spaces: 1 the app's, 2 Mallory's own, 3 Alice's own, 4 a room of Alice's, 5 a room where Mallory reads, 6 one
/// where Mallory writes.
fn prey() -> Prey {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("app.fazt");
    deploy(&file, &plain()).expect("deploys");
    let admin = db::open(&file, &cartridge::SCHEMA, Mode::Existing).expect("opens");
    let (mallory, alice) = (user(MALLORY), user(ALICE));
    let sql = format!(
        "INSERT INTO space(n, kind, owner, id, name, created) VALUES
            (2, 'user', '{mallory}', NULL, '', 0), (3, 'user', '{alice}', NULL, '', 0),
            (4, 'named', '{alice}', 'space_4', '{CANARY}', 0), (5, 'named', '{alice}', 'space_5', 'r', 0),
            (6, 'named', '{alice}', 'space_6', 'w', 0);
        INSERT INTO member(who, space, role, since) VALUES
            ('{mallory}', 2, 'manager', 0), ('{alice}', 3, 'manager', 0), ('{alice}', 4, 'manager', 0),
            ('{alice}', 5, 'manager', 0), ('{mallory}', 5, 'reader', 0), ('{alice}', 6, 'manager', 0),
            ('{mallory}', 6, 'writer', 0);
        INSERT INTO invite(hash, space, role, expires) VALUES(zeroblob(32), 4, 'manager', 9e15);"
    );
    admin.execute_batch(&sql).expect("people");
    for space in 1..=6 {
        let word = if space == 3 || space == 4 { CANARY } else { "visible" };
        for row in 0..4 {
            let sql = format!(
                "INSERT INTO doc_1(_space, id, version, created, updated, body, k1, k2) VALUES
                    ({space}, 'd{row}', 1, 0, 0, '{{\"title\":\"{word}\"}}', x'40', x'00');
                INSERT INTO kv(_space, key, version, expires, kind, meta, value) VALUES
                    ({space}, 'k{row}', 1, NULL, 1, '\"{word}\"', CAST('{word}' AS BLOB));
                INSERT INTO blob(_space, key, version, size, etag, uploaded, meta, file, value) VALUES
                    ({space}, 'b{row}', '{word}', 1, '{word}', 0, '\"{word}\"', NULL, CAST('{word}' AS BLOB)),
                    ({space}, 'f{row}', '{word}', 1, '{word}', 0, NULL, '{word}{space}', NULL);
                INSERT INTO blob_upload(_space, id, key, created) VALUES({space}, 'u{row}', '{word}', 0);
                INSERT INTO blob_part(_space, id, size, etag, value) VALUES
                    ({space}, 'u{row}/00001', 1, '{word}', CAST('{word}' AS BLOB));"
            );
            admin.execute_batch(&sql).expect("rows");
        }
    }
    Prey { file, admin, _folder: folder }
}

impl Prey {
    fn connection(&self, who: Principal, spaces: bool) -> Confined {
        let version = schema_version(&self.admin).expect("version");
        let layout = Layout::load(&self.admin).expect("layout");
        let quota = Quota { pages_max: 100_000, rows_max: 100_000 };
        let mut connection =
            Confined::open(&self.file, &cartridge::SCHEMA, who, spaces, quota, version).expect("opens");
        connection.keys().expect("keys");
        connection.blobs().expect("blobs");
        connection.collection(&layout.tables["notes"]).expect("collection");
        connection
    }

    /// Everything that `who` may not write, as one text.
    fn others(&self, own: &[i64]) -> String {
        let own = own.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let mut text = String::new();
        for sql in [
            format!("SELECT * FROM doc_1 WHERE _space NOT IN ({own}) ORDER BY 1, 2"),
            format!("SELECT * FROM kv WHERE _space NOT IN ({own}) ORDER BY 1, 2"),
            format!("SELECT * FROM blob WHERE _space NOT IN ({own}) ORDER BY 1, 2"),
            format!("SELECT * FROM blob_upload WHERE _space NOT IN ({own}) ORDER BY 1, 2"),
            format!("SELECT * FROM blob_part WHERE _space NOT IN ({own}) ORDER BY 1, 2"),
            "SELECT * FROM space ORDER BY 1".into(),
            "SELECT * FROM member ORDER BY 1, 2".into(),
            "SELECT * FROM invite ORDER BY 1".into(),
            "SELECT * FROM collection ORDER BY 1".into(),
            "SELECT * FROM shadow ORDER BY 1, 2".into(),
            "SELECT * FROM data_schema ORDER BY 1".into(),
            "SELECT number, id, active.one FROM version LEFT JOIN active USING(number) ORDER BY 1".into(),
            "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2".into(),
        ] {
            let mut statement = self.admin.prepare(&sql).expect("reads");
            let columns = statement.column_count();
            let mut rows = statement.query([]).expect("reads");
            while let Some(row) = rows.next().expect("reads") {
                for column in 0..columns {
                    text.push_str(&format!("{:?}|", row.get_ref(column).expect("cell")));
                }
                text.push('\n');
            }
        }
        text
    }
}

/// What a statement gives, or why not.
fn run(connection: &Confined, sql: &str) -> Result<Vec<String>, String> {
    let said = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(sql).map_err(said)?;
    let columns = statement.column_count();
    let mut rows = statement.query([]).map_err(said)?;
    let mut cells = Vec::new();
    while let Some(row) = rows.next().map_err(said)? {
        for column in 0..columns {
            cells.push(match row.get_ref(column).map_err(said)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            });
        }
        if cells.len() > 10_000 {
            break;
        }
    }
    Ok(cells)
}

/// Statements that read or write beneath, with `{t}` for a table and `{c}` for a column of it.
const PATTERNS: &[&str] = &[
    "SELECT * FROM {t}",
    "SELECT {c} FROM main.{t}",
    "SELECT count(*) FROM main.{t}",
    "SELECT 1 FROM {t}",
    "SELECT * FROM \"{t}\"",
    "SELECT * FROM [{t}]",
    "SELECT * FROM `main`.`{t}`",
    "SELECT * FROM '{t}'",
    "WITH v_1 AS (SELECT * FROM main.{t}) SELECT * FROM v_1",
    "WITH v_kv AS (SELECT * FROM main.{t}) SELECT * FROM v_kv",
    "WITH {t} AS (SELECT * FROM main.{t}) SELECT * FROM {t}",
    "WITH s AS MATERIALIZED (SELECT * FROM {t}) SELECT * FROM s",
    "WITH RECURSIVE v_1(a) AS (SELECT {c} FROM {t} UNION ALL SELECT a FROM v_1) SELECT * FROM v_1 LIMIT 5",
    "SELECT v_1.id FROM v_1 JOIN main.{t}",
    "SELECT v_1.id, x.* FROM v_1 LEFT JOIN main.{t} AS x ON 1",
    "SELECT * FROM (SELECT * FROM main.{t}) AS v_1",
    "SELECT id FROM v_1 WHERE EXISTS(SELECT 1 FROM main.{t})",
    "SELECT id FROM v_1 WHERE id IN (SELECT {c} FROM main.{t})",
    "SELECT (SELECT {c} FROM main.{t} LIMIT 1) FROM v_1",
    "SELECT id FROM v_1 ORDER BY (SELECT {c} FROM main.{t} LIMIT 1)",
    "SELECT id FROM v_1 GROUP BY (SELECT {c} FROM main.{t} LIMIT 1)",
    "SELECT id FROM v_1 LIMIT (SELECT count(*) FROM main.{t})",
    "SELECT id FROM v_1 UNION ALL SELECT {c} FROM main.{t}",
    "SELECT count(*) FILTER (WHERE (SELECT {c} FROM {t} LIMIT 1) IS NOT NULL) FROM v_1",
    "VALUES((SELECT {c} FROM {t} LIMIT 1))",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) SELECT 2, {c}, 1, 0, 0, '{}', x'00', x'00' FROM main.{t}",
    "INSERT INTO v_kv(_space, key, version, kind, value) VALUES(2, (SELECT {c} FROM main.{t} LIMIT 1), 1, 1, x'00')",
    "UPDATE v_1 SET body = (SELECT {c} FROM main.{t} LIMIT 1) WHERE _space = 2",
    "UPDATE v_1 SET body = x.{c} FROM main.{t} AS x WHERE v_1._space = 2",
    "UPDATE v_1 SET body = 'x' WHERE EXISTS(SELECT 1 FROM {t} WHERE {c} IS NOT NULL)",
    "UPDATE v_kv SET value = x'01' WHERE _space = 2 RETURNING (SELECT {c} FROM main.{t} LIMIT 1)",
    "UPDATE v_1 SET version = 2 WHERE _space = 2 RETURNING (SELECT {c} FROM {t} LIMIT 1)",
    "DELETE FROM v_1 WHERE id = (SELECT {c} FROM main.{t} LIMIT 1)",
    "DELETE FROM v_1 WHERE _space = 2 RETURNING (SELECT {c} FROM {t} LIMIT 1)",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(2, 'r', 1, 0, 0, '{}', x'00', x'00') RETURNING (SELECT {c} FROM {t} LIMIT 1)",
    "DELETE FROM {t}",
    "DELETE FROM main.{t} WHERE 1",
    "UPDATE {t} SET {c} = {c}",
    "UPDATE OR REPLACE main.{t} SET {c} = NULL",
    "INSERT INTO {t} DEFAULT VALUES",
    "INSERT OR REPLACE INTO main.{t} SELECT * FROM main.{t}",
    "REPLACE INTO {t} SELECT * FROM {t}",
    "DROP TABLE {t}",
    "ALTER TABLE {t} RENAME TO stolen",
    "ALTER TABLE {t} ADD COLUMN x",
    "CREATE INDEX i ON {t}({c})",
    "CREATE TEMP TABLE t AS SELECT * FROM {t}",
    "CREATE TABLE t2 AS SELECT * FROM {t}",
    "CREATE VIEW w AS SELECT * FROM {t}",
    "CREATE TEMP VIEW w AS SELECT * FROM main.{t}",
    "CREATE TRIGGER t AFTER INSERT ON {t} BEGIN SELECT 1; END",
    "CREATE TEMP TRIGGER t AFTER UPDATE ON main.{t} BEGIN DELETE FROM {t}; END",
    "ANALYZE {t}",
    "REINDEX {t}",
    "EXPLAIN SELECT * FROM {t}",
    "EXPLAIN QUERY PLAN SELECT * FROM {t}",
    "PRAGMA table_info({t})",
    "PRAGMA index_list({t})",
    "PRAGMA foreign_key_list({t})",
    "SELECT * FROM pragma_table_info('{t}')",
    "SELECT * FROM pragma_table_xinfo('{t}')",
    "SELECT * FROM {t} INDEXED BY sqlite_autoindex_{t}_1",
    "SELECT * FROM {t} NOT INDEXED",
    "SELECT rowid FROM {t}",
];

/// The tables beneath, with a column.
const TABLES: &[(&str, &str)] = &[
    ("doc_1", "body"),
    ("kv", "value"),
    ("blob", "value"),
    ("blob_upload", "key"),
    ("blob_part", "value"),
    ("member", "who"),
    ("space", "owner"),
    ("invite", "hash"),
    ("collection", "name"),
    ("shadow", "field"),
    ("data_schema", "body"),
    ("content", "bytes"),
    ("version", "id"),
    ("file", "path"),
    ("active", "number"),
    ("tally", "rows"),
    ("sqlite_master", "sql"),
    ("sqlite_schema", "sql"),
    ("sqlite_temp_master", "sql"),
    ("sqlite_temp_schema", "sql"),
    ("dbstat", "name"),
];

/// Statements of their own kind.
const SINGLE: &[&str] = &[
    // Rows of others through the public names.
    "SELECT * FROM v_1 WHERE _space = 3",
    "SELECT * FROM v_1 WHERE _space IN (3, 4)",
    "SELECT * FROM v_kv WHERE _space = 4",
    "SELECT * FROM v_1 WHERE 1 OR _space = 3",
    "SELECT body FROM v_1 WHERE body LIKE '%canary%'",
    "SELECT * FROM v_1 AS a JOIN v_1 AS b ON a.id = b.id",
    "SELECT count(*) FROM v_1 WHERE _space = 3",
    // Writing to others, and moving rows there.
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(3, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(4, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(5, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(99, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES('3', 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(3.0, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(NULL, 'x', 1, 0, 0, '{}', x'00', x'00')",
    "INSERT OR REPLACE INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(3, 'd0', 9, 0, 0, '{}', x'00', x'00')",
    "INSERT OR REPLACE INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(5, 'd0', 9, 0, 0, '{}', x'00', x'00')",
    "INSERT OR IGNORE INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(3, 'd0', 9, 0, 0, '{}', x'00', x'00')",
    "REPLACE INTO v_kv(_space, key, version, kind, value) VALUES(3, 'k0', 9, 1, x'00')",
    "REPLACE INTO v_kv(_space, key, version, kind, value) VALUES(4, 'k0', 9, 1, x'00')",
    "UPDATE v_1 SET body = 'x' WHERE _space = 3",
    "UPDATE v_1 SET body = 'x' WHERE _space = 5",
    "UPDATE v_1 SET _space = 3 WHERE _space = 2",
    "UPDATE v_1 SET _space = 3",
    "UPDATE v_1 SET _space = 6 WHERE _space = 2",
    "UPDATE OR REPLACE v_1 SET _space = 3, id = 'd0' WHERE _space = 2",
    "UPDATE OR REPLACE v_1 SET id = 'd1' WHERE _space = 2 AND id = 'd0'",
    "UPDATE OR IGNORE v_kv SET _space = 4",
    "UPDATE v_kv SET _space = 3 WHERE key = 'k0'",
    "DELETE FROM v_1 WHERE _space = 3",
    "DELETE FROM v_1 WHERE _space = 5",
    "DELETE FROM v_kv WHERE _space IN (3, 4, 5)",
    "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(2, 'u', 1, 0, 0, '{}', x'00', x'00') ON CONFLICT DO UPDATE SET _space = 3",
    "UPDATE tally SET rows = 0",
    "UPDATE main.tally SET rows = 0 WHERE one = 1",
    "DELETE FROM tally",
    // Statements that change what the connection is.
    "ATTACH 'other.db' AS o",
    "ATTACH ':memory:' AS o",
    "ATTACH '' AS o",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '/tmp/stolen.db'",
    "VACUUM main INTO 'stolen.db'",
    "PRAGMA writable_schema = ON",
    "PRAGMA writable_schema = RESET",
    "PRAGMA trusted_schema = ON",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA synchronous = OFF",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA max_page_count = 1",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA query_only = 1",
    "PRAGMA database_list",
    "PRAGMA table_list",
    "PRAGMA function_list",
    "PRAGMA module_list",
    "PRAGMA compile_options",
    "PRAGMA integrity_check",
    "PRAGMA schema_version",
    "PRAGMA user_version = 9",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA optimize",
    "PRAGMA temp_store_directory = '/tmp'",
    "PRAGMA data_version",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_table_list",
    "SELECT * FROM pragma_function_list",
    "SELECT * FROM pragma_compile_options",
    "BEGIN",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    "END",
    "CREATE VIRTUAL TABLE t USING fts5(a)",
    "CREATE VIRTUAL TABLE t USING rtree(a, b, c)",
    "CREATE VIRTUAL TABLE temp.t USING dbstat(main)",
    "CREATE TABLE v_2(a)",
    "CREATE TEMP TABLE v_9(a)",
    "CREATE TEMP VIEW v_1 AS SELECT 1",
    "DROP VIEW v_1",
    "DROP VIEW temp.v_1",
    "DROP TRIGGER IF EXISTS x",
    "ALTER TABLE v_1 RENAME TO v_2",
    "ANALYZE",
    "REINDEX",
    // Functions.
    "SELECT load_extension('x')",
    "SELECT sqlite_version()",
    "SELECT sqlite_source_id()",
    "SELECT sqlite_compileoption_get(0)",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%.*c', 100000000, 'x')",
    "SELECT format('%1000000000s', 'x')",
    "SELECT hex(zeroblob(1000000))",
    "SELECT replace(body, 'a', 'b') FROM v_1",
    "SELECT instr(body, 'a') FROM v_1",
    "SELECT json_patch(body, body) FROM v_1",
    "SELECT json_group_array(body) FROM v_1",
    "SELECT group_concat(body) FROM v_1",
    "SELECT * FROM json_each('[1]')",
    "SELECT * FROM json_tree('[1]')",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT last_insert_rowid()",
    "SELECT changes(), total_changes()",
    "SELECT fts3_tokenizer('simple')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT edit('x')",
    "SELECT random()",
    "SELECT unicode('x'), char(1)",
    "SELECT likelihood(1, 0.5)",
    "SELECT sqlite_offset(body) FROM v_1",
    "SELECT sqlite_log(1, 'x')",
    "SELECT body REGEXP 'x' FROM v_1",
    "SELECT body MATCH 'x' FROM v_1",
    // More than a statement, less than one, and bombs.
    "SELECT 1; SELECT * FROM member",
    "SELECT 1; DROP TABLE doc_1",
    "SELECT 1\0; SELECT 2",
    "",
    "; SELECT * FROM member",
    "/* v_1 */ SELECT * FROM member",
    "-- x\nSELECT * FROM member",
    "EXPLAIN SELECT * FROM v_1",
    "EXPLAIN QUERY PLAN SELECT * FROM v_1",
    "EXPLAIN INSERT INTO v_1(_space) VALUES(3)",
    "explain query plan delete from v_1",
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
    "WITH RECURSIVE c(x) AS (VALUES('a') UNION ALL SELECT x || x FROM c) SELECT count(*) FROM c",
    "SELECT count(*) FROM v_1 a, v_1 b, v_1 c, v_1 d, v_1 e, v_1 f, v_1 g, v_1 h",
    "SELECT v_1.body FROM temp.v_1 WHERE v_1.rowid = 1",
    "SELECT * FROM temp.sqlite_schema",
    "SELECT name FROM temp.sqlite_temp_schema WHERE name LIKE 's%'",
    "SELECT * FROM s00000000000000000000000000000000_0",
    "SELECT \"doc_1\".body FROM v_1",
    "SELECT doc_1.body FROM v_1",
    "SELECT main.doc_1.body FROM v_1",
    "SELECT * FROM v_1 JOIN v_kv USING(_space) WHERE v_1._space = 3",
    "SELECT * FROM v_1 NATURAL JOIN member",
    "SELECT RAISE(ABORT, 'x')",
    "SELECT * FROM doc_1(1)",
    "SELECT * FROM main.v_1",
];

#[test]
fn nothing_that_runs_on_a_confined_connection_leaves_the_principal_s_spaces() {
    let prey = prey();
    let mut statements: Vec<String> = SINGLE.iter().map(|sql| (*sql).to_owned()).collect();
    for (table, column) in TABLES {
        for pattern in PATTERNS {
            statements.push(pattern.replace("{t}", table).replace("{c}", column));
        }
    }
    assert!(statements.len() > 1_000, "{}", statements.len());
    let ways: [(Principal, bool, &[i64]); 5] = [
        (person(MALLORY), true, &[1, 2, 6]),
        (person(MALLORY), false, &[2]),
        (Principal::Anonymous, true, &[1]),
        (Principal::Anonymous, false, &[0]),
        (Principal::Service, true, &[1]),
    ];
    let (mut ran, mut gave) = (0, 0);
    for (who, spaces, own) in ways {
        let mut connection = prey.connection(who, spaces);
        let mut before = prey.others(own);
        for sql in &statements {
            let outcome = run(&connection, sql);
            ran += 1;
            if let Ok(cells) = &outcome {
                gave += 1;
                let text = cells.join("|");
                for secret in [CANARY, "CREATE ", "doc_1", "user_", "_gi"] {
                    assert!(!text.contains(secret), "{who} spaces {spaces}: {sql}\n gave {text}");
                }
            }
            let after = prey.others(own);
            assert!(before == after, "{who} spaces {spaces}: {sql}\n changed\n{before}\ninto\n{after}");
            before = after;
            if sql.starts_with("PRAGMA") || sql.starts_with("BEGIN") {
                assert!(outcome.is_err(), "{sql}");
            }
        }
        // What the statements left behind did not open anything.
        connection.keys().expect("still there");
        let spaces_seen = run(&connection, "SELECT _space FROM v_kv").expect("reads");
        let allowed: Vec<i64> = match (who, spaces) {
            (Principal::User(_), true) => vec![1, 2, 5, 6],
            (Principal::User(_), false) => vec![2],
            (_, true) => vec![1],
            (_, false) => vec![],
        };
        for cell in spaces_seen {
            assert!(allowed.iter().any(|n| cell == format!("Integer({n})")), "{who}: {cell}");
        }
    }
    println!("{ran} statements, {gave} ran");
}

#[test]
fn what_a_principal_may_do_works_on_such_a_connection() {
    let prey = prey();
    let connection = prey.connection(person(MALLORY), true);
    for (sql, expect) in [
        ("SELECT count(*) FROM v_1", Some("Integer(16)")),
        ("SELECT count(*) FROM v_kv WHERE _space = 2", Some("Integer(4)")),
        ("SELECT body FROM v_1 WHERE _space = 5 AND id = 'd0'", Some("{\"title\":\"visible\"}")),
        ("SELECT a.id FROM v_1 a JOIN v_kv b ON a._space = b._space WHERE a._space = 2 LIMIT 1", Some("d0")),
        ("WITH x AS (SELECT * FROM v_1) SELECT count(*) FROM x", Some("Integer(16)")),
        (
            "INSERT INTO v_1(_space, id, version, created, updated, body, k1, k2) VALUES(6, 'mine', 1, 0, 0, '{}', x'00', x'00')",
            None,
        ),
        ("UPDATE v_1 SET body = '{\"title\":\"new\"}', version = 2 WHERE _space = 6 AND id = 'mine'", None),
        ("SELECT body FROM v_1 WHERE _space = 6 AND id = 'mine'", Some("{\"title\":\"new\"}")),
        ("DELETE FROM v_1 WHERE _space = 6 AND id = 'mine'", None),
        ("SELECT count(*) FROM v_1 WHERE _space = 6 AND id = 'mine'", Some("Integer(0)")),
        ("INSERT INTO v_kv(_space, key, version, kind, value) VALUES(1, 'app', 1, 1, x'61')", None),
        ("SELECT value FROM v_kv WHERE _space = 1 AND key = 'app'", Some("a")),
    ] {
        let cells = run(&connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(cells.first().map(String::as_str), expect, "{sql}");
    }
}

#[test]
fn what_the_kernel_prepared_is_nobody_else_s() {
    let prey = prey();
    let connection = prey.connection(person(MALLORY), true);
    let kernel = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "PRAGMA main.schema_version"];
    for _ in 0..2 {
        let done: Result<(), _> = connection.transaction(|| {
            for sql in kernel {
                assert!(run(&connection, sql).is_err(), "{sql} inside a transaction");
            }
            run(&connection, "UPDATE v_1 SET version = 3 WHERE _space = 2").expect("writes");
            Ok(())
        });
        assert!(done.is_ok());
        let failed: Result<(), _> = connection.transaction(|| Err(DataError::query("no").into()));
        assert!(failed.is_err());
        for sql in kernel {
            assert!(run(&connection, sql).is_err(), "{sql}");
        }
    }
}

#[test]
fn a_membership_that_ends_holds_in_the_next_statement() {
    let prey = prey();
    let connection = prey.connection(person(MALLORY), true);
    let count = "SELECT count(*) FROM v_1 WHERE _space = 6";
    let write = "UPDATE v_1 SET version = 7 WHERE _space = 6 AND id = 'd0'";
    assert_eq!(run(&connection, count), Ok(vec!["Integer(4)".into()]));
    run(&connection, write).expect("a writer");
    let role = |role: &str| {
        let sql = format!("UPDATE member SET role = '{role}' WHERE space = 6 AND who = '{}'", user(MALLORY));
        prey.admin.execute_batch(&sql).expect("changes");
    };
    role("reader");
    assert!(run(&connection, write).expect_err("a reader").contains("not a writer"));
    assert_eq!(run(&connection, count), Ok(vec!["Integer(4)".into()]));
    prey.admin
        .execute("DELETE FROM member WHERE space = 6 AND who = ?1", [user(MALLORY).to_string()])
        .expect("goes");
    assert_eq!(run(&connection, count), Ok(vec!["Integer(0)".into()]));
    assert_eq!(run(&connection, write), Ok(vec![]), "there is nothing to change");
}

#[test]
fn a_statement_that_does_not_end_is_cut_off() {
    let prey = prey();
    let connection = prey.connection(person(MALLORY), true);
    let endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";
    assert!(run(&connection, endless).is_err());
    let product = "SELECT count(*) FROM v_1 a, v_1 b, v_1 c, v_1 d, v_1 e, v_1 f, v_1 g, v_1 h";
    assert!(run(&connection, product).expect_err("16^8 rows").contains("interrupt"));
    assert_eq!(run(&connection, "SELECT count(*) FROM v_1"), Ok(vec!["Integer(16)".into()]));
}

#[test]
fn blobs_of_others_are_neither_read_nor_written_through_their_views() {
    let prey = prey();
    let own = [1, 2, 6];
    let before = prey.others(&own);
    let connection = prey.connection(person(MALLORY), true);
    let mut done = 0;
    for (view, key, rest) in [
        (
            "v_blob",
            "key",
            "version, size, etag, uploaded, file, value) VALUES({}, 'b0', 'x', 1, 'x', 0, 'x', x'00')",
        ),
        ("v_blob_upload", "id", "key, created) VALUES({}, 'u0', 'x', 0)"),
        ("v_blob_part", "id", "size, etag, file) VALUES({}, 'u0/00001', 1, 'x', 'x')"),
    ] {
        let mut statements = vec![
            format!("SELECT * FROM {view}"),
            format!("SELECT * FROM {view} WHERE _space IN (3, 4) OR 1"),
            format!("SELECT a.* FROM {view} AS a JOIN v_kv AS b ON a._space <> b._space"),
            format!("DELETE FROM {view} WHERE _space IN (3, 4, 5)"),
            format!("UPDATE {view} SET _space = 2 WHERE _space IN (3, 4, 5)"),
            format!("UPDATE {view} SET _space = 3 WHERE _space = 2"),
            format!("UPDATE {view} SET {key} = 'moved' WHERE _space = 2"),
            format!("INSERT INTO {view} SELECT * FROM {view} WHERE _space = 5"),
        ];
        for space in [3, 4, 5, 7] {
            let values = rest.replace("{}", &space.to_string());
            statements.push(format!("INSERT INTO {view}(_space, {key}, {values}"));
            statements.push(format!("REPLACE INTO {view}(_space, {key}, {values}"));
        }
        for sql in statements {
            match run(&connection, &sql) {
                Ok(cells) => {
                    assert!(!cells.iter().any(|cell| cell.contains(CANARY)), "{sql} gave {cells:?}");
                    done += usize::from(!cells.is_empty());
                }
                Err(said) => assert!(!said.contains(CANARY), "{sql}: {said}"),
            }
            assert_eq!(prey.others(&own), before, "{sql}");
        }
    }
    assert!(done >= 3, "the legitimate part of it works");
}
