//! The engine on files of a temporary folder: what works, what is refused, what is bounded. Each test is a process of
//! its own under the test runner, as SQLite's memory bound and default file system are the process's.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::engine::Engine;
use super::sys::{self, Files};
use fazt_ipc::store::limits::{ROWS_MAX, SQL_BYTES_MAX};
use fazt_ipc::store::{Answer, Cell, Fault, Form, Request, Rows, Statement, Value, read_answer};

const MIB: u64 = 1024 * 1024;

pub(super) struct Rig {
    folder: tempfile::TempDir,
    engine: Option<Engine>,
    pub(super) request: Request,
}

/// What a request came to, owned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Came {
    Rows(Vec<Vec<Vec<String>>>),
    Failed(u32, Fault, String),
}

fn file(path: &Path) -> OwnedFd {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    opened.expect("a file").into()
}

impl Rig {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rusqlite::Connection::open(folder.path().join("x.db")).expect("a database");
        made.pragma_update(None, "auto_vacuum", "incremental").expect("an empty database");
        made.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).expect("a WAL");
        drop(made);
        let request = Request {
            read_only: false,
            bytes_max: 8 * MIB,
            cpu_ms: 2_000,
            form: Form::One,
            statements: Vec::new(),
        };
        let mut rig = Self { folder, engine: None, request };
        rig.open(c"test-1");
        rig
    }

    /// Opens the files anew, without having closed them where `crash` was called.
    pub(super) fn open(&mut self, vfs: &'static std::ffi::CStr) {
        let at = |name: &str| file(&self.folder.path().join(name));
        let files = sys::register(vfs, Files::new(at("x.db"), at("wal"), false)).expect("a file system");
        self.engine = Some(Engine::open(vfs, files).expect("an engine"));
    }

    pub(super) fn crash(&mut self) {
        std::mem::forget(self.engine.take());
    }

    pub(super) fn close(&mut self) {
        self.engine.take().expect("open").close();
    }

    pub(super) fn send(&mut self, request: &Request) -> Came {
        let engine = self.engine.as_mut().expect("open");
        let bytes = engine.answer(request).expect("an answer");
        engine.tidy();
        match read_answer(&bytes[4..]).expect("an answer that is one") {
            Answer::Failed { at, fault, message } => Came::Failed(at, fault, message.to_owned()),
            Answer::Done { outcomes, .. } => {
                let text = |cell: Cell<'_>| match cell {
                    Cell::Null => "NULL".to_owned(),
                    Cell::Integer(value) => value.to_string(),
                    Cell::Real(value) => format!("{value:?}"),
                    Cell::Text(text) => format!("'{text}'"),
                    Cell::Blob(bytes) => format!("{bytes:?}"),
                };
                let rows = outcomes.iter().map(|outcome| {
                    let mut walk = Rows::new(outcome.rows);
                    let row =
                        |_| outcome.columns.iter().map(|_| text(walk.take().expect("a value"))).collect();
                    (0..outcome.count).map(row).collect()
                });
                Came::Rows(rows.collect())
            }
        }
    }

    pub(super) fn values(&mut self, sql: &str, values: Vec<Value>) -> Came {
        let statements = vec![Statement { sql: sql.to_owned(), values }];
        let request = Request { statements, ..self.request.clone() };
        self.send(&request)
    }

    pub(super) fn run(&mut self, sql: &str) -> Came {
        self.values(sql, Vec::new())
    }

    fn ok(&mut self, sql: &str) -> Vec<Vec<String>> {
        match self.run(sql) {
            Came::Rows(mut rows) => rows.remove(0),
            failed @ Came::Failed(..) => panic!("{sql}: {failed:?}"),
        }
    }

    fn refused(&mut self, sql: &str) -> (Fault, String) {
        match self.run(sql) {
            Came::Failed(_, fault, message) => (fault, message),
            Came::Rows(rows) => panic!("{} was done: {rows:?}", &sql[..sql.len().min(200)]),
        }
    }

    fn batch(&mut self, sql: &[&str]) -> Came {
        let statement = |sql: &&str| Statement { sql: (*sql).to_owned(), values: Vec::new() };
        let request = Request { statements: sql.iter().map(statement).collect(), ..self.request.clone() };
        self.send(&request)
    }
}

#[test]
fn values_of_every_kind_come_back() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a, b, c, d, e)");
    let values = vec![
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Real(0.5),
        Value::Text("é\u{1f600}\0".into()),
        Value::Blob(vec![0, 1, 255]),
    ];
    assert_eq!(rig.values("INSERT INTO t VALUES(?,?,?,?,?)", values), Came::Rows(vec![vec![]]));
    let row = vec!["NULL", "-9223372036854775808", "0.5", "'é😀\0'", "[0, 1, 255]"];
    assert_eq!(rig.ok("SELECT * FROM t"), [row]);
    assert_eq!(rig.ok("SELECT datetime('now', 'localtime') > '2020', random() IS NULL"), [["1", "0"]]);
    assert_eq!(rig.ok("SELECT json_extract('{\"a\":[1,2]}', '$.a[1]'), json('[1]') ->> 0"), [["2", "1"]]);
    rig.ok("CREATE VIRTUAL TABLE f USING fts5(body)");
    rig.ok("INSERT INTO f VALUES('hello world')");
    assert_eq!(rig.ok("SELECT highlight(f, 0, '<', '>') FROM f('world')"), [["'hello <world>'"]]);
}

#[test]
fn a_batch_is_all_or_nothing_and_a_script_too() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a INTEGER PRIMARY KEY)");
    let failed =
        rig.batch(&["INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(1)", "INSERT INTO t VALUES(2)"]);
    let Came::Failed(1, Fault::Query, message) = failed else { panic!("{failed:?}") };
    assert_eq!(
        message,
        "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)"
    );
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["0"]]);
    // One that ends the transaction itself.
    rig.batch(&["INSERT INTO t VALUES(1)", "INSERT OR ROLLBACK INTO t VALUES(1)", "INSERT INTO t VALUES(3)"]);
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["0"]]);
    let script = |sql: &str| Statement { sql: sql.into(), values: Vec::new() };
    let mut request = Request { form: Form::Script, ..rig.request.clone() };
    request.statements =
        vec![script("INSERT INTO t VALUES(1); INSERT INTO t VALUES(2);"), script("SELECT 1")];
    assert_eq!(rig.send(&request), Came::Rows(vec![vec![], vec![]]));
    request.statements = vec![script("INSERT INTO t VALUES(3)"), script("INSERT INTO t VALUES(4); SELEC")];
    assert!(matches!(rig.send(&request), Came::Failed(1, Fault::Query, _)));
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["2"]]);
    // Foreign keys are looked at when the batch is over, if it says so.
    rig.ok("CREATE TABLE c(p REFERENCES t(a))");
    assert!(matches!(
        rig.batch(&["INSERT INTO c VALUES(9)", "INSERT INTO t VALUES(9)"]),
        Came::Failed(0, ..)
    ));
    let late = ["PRAGMA defer_foreign_keys = on", "INSERT INTO c VALUES(9)", "INSERT INTO t VALUES(9)"];
    assert!(matches!(rig.batch(&late), Came::Rows(_)));
    let never = ["PRAGMA defer_foreign_keys = on", "INSERT INTO c VALUES(10)"];
    assert!(matches!(rig.batch(&never), Came::Failed(..)));
    rig.run("PRAGMA defer_foreign_keys = on");
    assert!(matches!(rig.run("INSERT INTO c VALUES(11)"), Came::Failed(..)), "a switch lasts one call");
}

#[test]
fn several_statements_in_one_are_done_where_that_is_asked_for_and_the_last_answers() {
    let mut rig = Rig::new();
    rig.request.form = Form::Last;
    let sql = "CREATE TABLE t(a); INSERT INTO t VALUES(1); SELECT a + ? FROM t; -- and no more";
    assert_eq!(rig.values(sql, vec![Value::Integer(1)]), Came::Rows(vec![vec![vec!["2".into()]]]));
    assert!(matches!(rig.values("SELECT ?; SELECT 1", vec![Value::Integer(1)]), Came::Failed(..)));
    assert_eq!(rig.refused("INSERT INTO t VALUES(2); SELEC").0, Fault::Query);
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["1"]], "all or nothing");
    for sql in ["", "-- x", ";"] {
        assert_eq!(rig.refused(sql).0, Fault::Query, "{sql}");
    }
    rig.ok("PRAGMA foreign_keys = off");
    rig.ok("CREATE TABLE p(a PRIMARY KEY); CREATE TABLE c(a REFERENCES p(a))");
    assert_eq!(rig.refused("INSERT INTO c VALUES(1)").0, Fault::Query, "a switch lasts one call");
}

#[test]
fn what_leads_out_of_the_file_is_refused() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a)");
    for sql in [
        "ATTACH '/etc/passwd' AS x",
        "ATTACH ':memory:' AS x",
        "ATTACH 'file:x?mode=memory' AS x",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '/tmp/x'",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT sqlite_compileoption_get(0)",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA journal_mode",
        "PRAGMA locking_mode=NORMAL",
        "PRAGMA synchronous=OFF",
        "PRAGMA max_page_count=1000000",
        "PRAGMA hard_heap_limit=0",
        "PRAGMA temp_store=FILE",
        "PRAGMA temp_store_directory='/tmp'",
        "PRAGMA writable_schema=ON",
        "PRAGMA trusted_schema=ON",
        "PRAGMA query_only=OFF",
        "PRAGMA mmap_size=1000000",
        "PRAGMA module_list",
        "PRAGMA compile_options",
        "PRAGMA database_list",
        "PRAGMA defer_foreign_keys=2",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_compile_options",
        "SELECT * FROM sqlite_dbpage",
        "SELECT * FROM dbstat",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "CREATE TEMP TABLE x(a)",
        "CREATE TEMP VIEW x AS SELECT 1",
        "CREATE VIRTUAL TABLE x USING fts3(a)",
        "CREATE VIRTUAL TABLE x USING csv(filename='/etc/passwd')",
        "CREATE VIRTUAL TABLE x USING fts5(a, tokenize='nothing')",
        "INSERT INTO sqlite_master VALUES('table','x','x',0,'CREATE TABLE x(a)')",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t(b)'",
        "DELETE FROM sqlite_master",
        "DROP TABLE sqlite_master",
        "CREATE TABLE sqlite_x(a)",
        "ALTER TABLE sqlite_master RENAME TO x",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "SELECT 1;;x",
        "",
        "-- nothing",
        "SELECT ?",
        "SELEC",
        "SELECT 1\0; DROP TABLE t",
        "SELECT 'a\0b'",
    ] {
        let (fault, message) = rig.refused(sql);
        assert_eq!(fault, Fault::Query, "{sql}: {message}");
        assert!(!message.is_empty(), "{sql}");
    }
    for sql in [
        "PRAGMA table_info(t)",
        "PRAGMA table_list",
        "PRAGMA index_list('t')",
        "SELECT * FROM pragma_table_info('t')",
        "PRAGMA quick_check",
        "PRAGMA optimize",
        "EXPLAIN QUERY PLAN SELECT * FROM t",
        "SELECT * FROM sqlite_master",
        "SELECT 1; -- and that was it",
    ] {
        rig.ok(sql);
    }
}

#[test]
fn what_is_too_large_is_refused_and_the_next_call_works() {
    let mut rig = Rig::new();
    let deep = format!("SELECT {}1", "NOT ".repeat(5_000));
    let wide = format!("SELECT {}", ["1"; 101].join(","));
    let joined = format!("SELECT {}", ["1"; 6].join(" UNION SELECT "));
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    let pattern = format!("SELECT 'x' LIKE '{}'", "%a".repeat(30));
    for sql in [
        &deep,
        &wide,
        &joined,
        &long,
        &pattern,
        "SELECT zeroblob(2000001)",
        "SELECT randomblob(1000000000)",
        "SELECT printf('%2000001d', 1)",
        "SELECT hex(zeroblob(1500000))",
        "SELECT replace(hex(zeroblob(500000)), '0', 'xxxxxxxx')",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5) SELECT randomblob(1900000) FROM c",
    ] {
        let (fault, message) = rig.refused(sql);
        assert!(
            matches!(fault, Fault::TooLarge | Fault::Query),
            "{}: {fault:?} {message}",
            &sql[..60.min(sql.len())]
        );
        assert!(message.len() <= fazt_ipc::store::limits::MESSAGE_BYTES_MAX);
        assert_eq!(rig.ok("SELECT 1"), [["1"]]);
    }
    let most = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {ROWS_MAX}) SELECT n FROM c"
    );
    assert_eq!(rig.ok(&most).len(), ROWS_MAX);
    let values = vec![Value::Integer(1); 101];
    let sql = format!("SELECT max({})", ["?"; 30].join(","));
    assert!(matches!(rig.values(&sql, values), Came::Failed(..)), "more values than places");
}

#[test]
fn what_runs_for_ever_is_cut_off() {
    let mut rig = Rig::new();
    rig.request.cpu_ms = 50;
    rig.ok("CREATE TABLE t(a)");
    for sql in [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n FROM c) SELECT max(n) FROM c",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) INSERT INTO t SELECT 1 FROM c WHERE n < 0",
    ] {
        assert_eq!(rig.refused(sql).0, Fault::Late, "{sql}");
    }
    let bomb = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";
    let failed = rig.batch(&["INSERT INTO t VALUES(1)", bomb]);
    assert!(matches!(failed, Came::Failed(1, Fault::Late, _)), "{failed:?}");
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["0"]]);
    // Memory: a sort that would take all of it.
    rig.request.cpu_ms = 60_000;
    let sort = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000) \
        SELECT count(*) FROM (SELECT randomblob(10000) AS r FROM c ORDER BY r)";
    assert_eq!(rig.refused(sort).0, Fault::Memory);
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["0"]]);
}

#[test]
fn the_quota_holds_and_deleting_makes_room() {
    let mut rig = Rig::new();
    rig.request.bytes_max = MIB;
    rig.ok("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    let fill = "INSERT INTO t(b) VALUES(randomblob(50000))";
    let mut rows = 0;
    while let Came::Rows(_) = rig.run(fill) {
        rows += 1;
        assert!(rows < 40, "no end");
    }
    assert!(rows > 10);
    assert_eq!(rig.refused(fill).0, Fault::Quota);
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [[rows.to_string()]]);
    rig.ok("DELETE FROM t WHERE a < 5");
    rig.ok(fill);
    // A quota below what is there: nothing more, but what is there can be read and deleted.
    rig.request.bytes_max = 4096;
    assert_eq!(rig.refused("INSERT INTO t(b) VALUES(randomblob(900000))").0, Fault::Quota);
    rig.ok("DELETE FROM t");
    rig.close();
    let bytes = std::fs::metadata(rig.folder.path().join("x.db")).expect("the file").len();
    assert!(bytes <= MIB, "{bytes}");
}

#[test]
fn a_reader_changes_nothing() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a)");
    rig.request.read_only = true;
    for sql in ["INSERT INTO t VALUES(1)", "CREATE TABLE u(a)", "DROP TABLE t", "DELETE FROM t"] {
        assert_eq!(rig.refused(sql).0, Fault::ReadOnly, "{sql}");
    }
    let Came::Failed(1, Fault::ReadOnly, _) = rig.batch(&["SELECT 1", "INSERT INTO t VALUES(1)"]) else {
        panic!("a batch wrote")
    };
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["0"]]);
    rig.request.read_only = false;
    rig.ok("INSERT INTO t VALUES(1)");
}

#[test]
fn what_was_answered_is_there_after_a_death_and_the_wal_is_moved_at_the_end() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a)");
    for n in 0..50 {
        rig.ok(&format!("INSERT INTO t VALUES({n})"));
    }
    rig.crash();
    rig.open(c"test-2");
    assert_eq!(rig.ok("SELECT count(*), sum(a) FROM t"), [["50", "1225"]]);
    rig.ok("INSERT INTO t VALUES(50)");
    rig.close();
    let wal = std::fs::metadata(rig.folder.path().join("wal")).expect("the WAL").len();
    assert_eq!(wal, 0);
    rig.open(c"test-3");
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["51"]]);
}

#[test]
fn a_damaged_file_is_an_error() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a)");
    for _ in 0..20 {
        rig.ok("INSERT INTO t VALUES(randomblob(3000))");
    }
    rig.close();
    let path = rig.folder.path().join("x.db");
    let mut bytes = std::fs::read(&path).expect("the file");
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, bytes).expect("the file");
    rig.open(c"test-2");
    assert_eq!(rig.refused("SELECT sum(length(a)) FROM t").0, Fault::Damaged);
}

#[test]
fn tables_are_altered_in_every_way_and_what_that_asks_of_itself_is_nobodys() {
    let mut rig = Rig::new();
    for sql in [
        "CREATE TABLE a(x INTEGER, y TEXT, z)",
        "CREATE INDEX by_y ON a(y)",
        "CREATE VIEW v AS SELECT x, y FROM a",
        "CREATE TRIGGER after_a AFTER INSERT ON a BEGIN UPDATE a SET z = new.x; END",
        "INSERT INTO a VALUES(1, 'one', 0)",
        "ALTER TABLE a RENAME TO b",
        "ALTER TABLE b RENAME COLUMN y TO w",
        "ALTER TABLE b ADD COLUMN q TEXT DEFAULT 'new'",
        "DROP TRIGGER after_a",
        "ALTER TABLE b DROP COLUMN z",
        "CREATE TABLE __new(x INTEGER)",
        "INSERT INTO __new SELECT x FROM b",
        "DROP VIEW v",
        "DROP TABLE b",
        "ALTER TABLE `__new` RENAME TO `b`",
    ] {
        rig.ok(sql);
    }
    assert_eq!(rig.ok("SELECT x FROM b"), [["1"]]);
    for sql in [
        "SELECT sqlite_rename_test(1, 2, 3, 4, 5, 6, 7)",
        "SELECT sqlite_drop_column(0, 'x', 0)",
        "SELECT sqlite_fail(1, 2)",
    ] {
        assert_eq!(rig.refused(sql).0, Fault::Query, "{sql}");
    }
}

#[test]
fn deleting_and_updating_end_where_they_are_limited() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a INTEGER, b TEXT)");
    rig.ok("INSERT INTO t VALUES(1, 'x'), (2, 'x'), (3, 'x'), (4, 'y')");
    assert_eq!(rig.ok("DELETE FROM t WHERE b = 'x' RETURNING a LIMIT 1"), [["1"]]);
    assert_eq!(rig.ok("UPDATE t SET b = 'z' WHERE b = 'x' RETURNING a ORDER BY a DESC LIMIT 1"), [["3"]]);
    rig.ok("DELETE FROM t ORDER BY a LIMIT 1 OFFSET 1;");
    assert_eq!(rig.ok("SELECT a || b FROM t ORDER BY a"), [["'2x'"], ["'4y'"]]);
    let (_, message) = rig.refused("DELETE FROM t WHERE gone = 1 LIMIT 1");
    assert!(message.contains("no such column: gone"), "{message}");
}

/// What a new SQLite brings is looked at before an app may call it.
#[test]
fn every_function_of_this_sqlite_was_judged() {
    let connection = rusqlite::Connection::open_in_memory().expect("memory");
    let mut statement = connection.prepare("SELECT DISTINCT name FROM pragma_function_list").expect("a list");
    let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("names");
    let refused = [
        "fts3_tokenizer",
        "load_extension",
        "sqlite_compileoption_get",
        "sqlite_compileoption_used",
        "sqlite_log",
        "sqlite_source_id",
        "sqlite_offset",
        "sqlite_version",
    ];
    let mut unknown: Vec<String> = names.map(|name| name.expect("a name")).collect();
    unknown.retain(|name| !super::policy::is_known(name) && !refused.contains(&name.as_str()));
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_long_wal_is_moved_after_the_call_that_wrote_it_and_when_its_writer_died() {
    let mut rig = Rig::new();
    rig.request.bytes_max = 64 * MIB;
    let bytes = |rig: &Rig| std::fs::metadata(rig.folder.path().join("wal")).expect("the WAL").len();
    rig.ok("CREATE TABLE t(a)");
    assert!(bytes(&rig) > 0);
    let fill = "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5) SELECT randomblob(700000) FROM c";
    rig.ok(fill);
    assert_eq!(bytes(&rig), 0);
    // In the middle of a transaction that is then given up.
    rig.refused(&fill.replace("LIMIT 5", "LIMIT 500"));
    assert!(bytes(&rig) <= MIB, "{}", bytes(&rig));
    rig.crash();
    let file = File::options().write(true).open(rig.folder.path().join("wal")).expect("the WAL");
    file.set_len(5 * MIB).expect("longer");
    rig.open(c"test-2");
    assert_eq!(bytes(&rig), 0);
    assert_eq!(rig.ok("SELECT count(*) FROM t"), [["5"]]);
}

/// Descriptors that cannot write are the wall; that the connection knows of it only makes an error of a death.
#[test]
fn one_that_only_reads_sees_what_is_written_between_its_calls_and_writes_nothing() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a)");
    let at = |name: &str| {
        let opened = File::open(rig.folder.path().join(name)).expect("a file");
        OwnedFd::from(opened)
    };
    let files = sys::register(c"test-read", Files::new(at("x.db"), at("wal"), true)).expect("a file system");
    let reader = Engine::open(c"test-read", files).expect("an engine");
    let writer = rig.engine.replace(reader);
    let mut other =
        Rig { folder: tempfile::tempdir().expect("a folder"), engine: writer, request: rig.request.clone() };
    rig.request.read_only = true;
    let bytes =
        |rig: &Rig| ["x.db", "wal"].map(|name| std::fs::read(rig.folder.path().join(name)).expect("bytes"));
    for n in 0..40 {
        // The WAL is moved in between, more than once.
        other.ok(&format!("INSERT INTO t VALUES(randomblob({}))", 100_000 + n));
        let before = bytes(&rig);
        assert_eq!(
            rig.ok("SELECT count(*), max(length(a)) FROM t"),
            [[(n + 1).to_string(), (100_000 + n).to_string()]]
        );
        for text in ["INSERT INTO t VALUES(1)", "CREATE TABLE u(a)", "DROP TABLE t"] {
            assert_eq!(rig.refused(text).0, Fault::ReadOnly, "{text}");
        }
        let request = Request { form: Form::Check, ..rig.request.clone() };
        assert_eq!(rig.send(&request), Came::Rows(vec![vec![vec!["'ok'".to_owned()]]]));
        assert!(before == bytes(&rig), "nothing was written");
    }
    // Even where the connection is told that it may.
    rig.request.read_only = false;
    assert_eq!(rig.refused("INSERT INTO t VALUES(1)").0, Fault::ReadOnly);
    rig.close();
    other.ok("INSERT INTO t VALUES(1)");
}

#[test]
fn a_damaged_file_is_told_by_what_is_wrong_with_it() {
    let mut rig = Rig::new();
    rig.ok("CREATE TABLE t(a, b)");
    rig.ok("CREATE INDEX i ON t(b)");
    rig.ok("INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 900) SELECT randomblob(100), n FROM c");
    rig.close();
    let path = rig.folder.path().join("x.db");
    let mut bytes = std::fs::read(&path).expect("the file");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&path, bytes).expect("the file");
    rig.open(c"test-3");
    let request = Request { form: Form::Check, ..rig.request.clone() };
    match rig.send(&request) {
        Came::Rows(rows) => assert!(rows[0].len() > 1 || rows[0][0][0] != "'ok'", "{rows:?}"),
        Came::Failed(_, fault, _) => assert_eq!(fault, Fault::Damaged),
    }
}

#[test]
fn what_is_deleted_goes_back_to_the_disk() {
    let mut rig = Rig::new();
    let bytes = |rig: &Rig| {
        ["x.db", "wal"].map(|name| std::fs::metadata(rig.folder.path().join(name)).expect("a file").len())
    };
    rig.ok("CREATE TABLE keep(a)");
    rig.ok("CREATE TABLE t(a)");
    let fill = "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 60) SELECT randomblob(100000) FROM c";
    rig.ok(fill);
    rig.ok("INSERT INTO keep VALUES(randomblob(1000000))");
    assert!(bytes(&rig)[0] > 6_000_000);
    rig.ok("DELETE FROM t");
    let [database, wal] = bytes(&rig);
    assert!(database < 1_500_000 && wal == 0, "{database} bytes, {wal} of WAL");
    assert_eq!(rig.ok("SELECT length(a) FROM keep"), [["1000000"]]);
    assert_eq!(rig.ok("PRAGMA quick_check"), [["'ok'"]]);
    rig.ok(fill);
}
