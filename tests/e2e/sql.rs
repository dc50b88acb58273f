//! `fazt.storage.sql` from an app's JavaScript to the disk: values, people, rooms, limits, attacks, deaths.

use std::path::PathBuf;

use fazt_tests::{Browser, Server, ServerOptions};
use serde_json::{Value, json};

use crate::workers::{ORDINARY, signal};

/// Runs one of the actions below and answers what it gave, or the error's name.
const APP: &str = r#"
const { storage } = fazt, { sql } = storage;
const at = (space) => space === "user" ? sql : storage.space(space).sql;
const actions = {
  async values() {
    await sql.exec("CREATE TABLE IF NOT EXISTS v(a, b, c, d, e, f, g); DELETE FROM v");
    const ran = await sql.prepare("INSERT INTO v VALUES(?, ?, ?, ?, ?, ?, ?)")
      .bind(null, 1, 1.5, "é\u{1f600}'\"", new Uint8Array([0, 255]), 12345678901234567n, true).run();
    const row = await sql.prepare("SELECT *, typeof(b) AS tb, typeof(c) AS tc, typeof(e) AS te FROM v").first();
    const all = await sql.prepare("SELECT b AS x, c AS x, 9007199254740993 AS big, 1e999 AS inf FROM v").all();
    return [ran.meta.changes, ran.meta.last_row_id, ran.success, row.a, row.b, row.c, row.d, [...row.e], row.f === 12345678901234567n,
      row.g, row.tb, row.tc, row.te, all.results[0].x, all.results[0].big === 9007199254740993n, all.results[0].inf === Infinity,
      await sql.prepare("SELECT b FROM v").first("b"), await sql.prepare("SELECT b FROM v WHERE 0").first(),
      await sql.prepare("SELECT b, d FROM v").raw({ columnNames: true }),
      await sql.batch([sql.prepare("SELECT 1 AS a"), sql.prepare("SELECT ? AS b").bind(2)]).then((all) => all.map((one) => one.results))];
  },
  async run(space, text, ...values) { return (await at(space).prepare(text).bind(...values).all()).results; },
  async exec(space, text) { return (await at(space).exec(text)).count; },
  async wrong(text) { return (await sql.prepare(text).all()).results.length; },
  async type(which) { return sql.prepare("SELECT ?").bind([undefined, {}, new Date(), Symbol("x"), 2n ** 63n][which]).first(); },
  async batch() {
    await sql.exec("CREATE TABLE IF NOT EXISTS b(a INTEGER PRIMARY KEY)");
    const insert = sql.prepare("INSERT INTO b VALUES(?)");
    try { await sql.batch([insert.bind(1), insert.bind(1), insert.bind(2)]); } catch (error) {
      return [error.name, error.at, error.message, await sql.prepare("SELECT count(*) AS n FROM b").first("n")];
    }
  },
  async large() {
    await sql.exec("CREATE TABLE IF NOT EXISTS l(a)");
    await sql.prepare("INSERT INTO l WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 9000) SELECT hex(randomblob(100)) FROM c").run();
    const { results } = await sql.prepare("SELECT a FROM l").all();
    const blob = await sql.prepare("SELECT randomblob(1900000) AS b").first("b");
    return [results.length, results.every((row) => row.a.length === 200), blob.length];
  },
  async count(space, table, times) {
    let last = 0;
    for (let n = 0; n < times; n++) last = (await at(space).prepare(`INSERT INTO ${table} DEFAULT VALUES`).run()).meta.last_row_id;
    return last;
  },
  async kv(bytes) { return storage.kv.set(String(Math.random()), "x".repeat(Number(bytes))); },
  async create() { const space = await storage.spaces.create("room"); return [space.id, await storage.spaces.add(space.id, "reader")]; },
  async join(code) { return (await storage.spaces.join(code)).role; },
  async role(id, user, role) { return storage.spaces.add(id, role, user); },
};
export default { async fetch(request, env, ctx) {
  const [action, ...rest] = JSON.parse(new URL(request.url).searchParams.get("ask"));
  if (action === "id") return Response.json({ gave: ctx.user?.id ?? null });
  try { return Response.json({ gave: await actions[action](...rest) ?? null }); }
  catch (error) { return Response.json({ error: error.name, message: error.message, permission: error.permission }); }
} };"#;

const MANIFEST: &str = r#"{ "name": "base", "main": "server.js", "access": "members",
  "permissions": { "spaces": true, "sql": true }, "limits": { "storageMiB": 8, "cpuMs": 400 } }"#;

const MIB: u64 = 1024 * 1024;

fn path(parts: &[&str]) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    format!("/?ask={}", json!(parts).to_string().bytes().map(byte).collect::<String>())
}

fn ask(browser: &mut Browser, app: &str, parts: &[&str]) -> Value {
    let page = browser.open(&browser.url(app, &path(parts)));
    assert_eq!(page.status(), 200, "{parts:?}: {}", page.text());
    serde_json::from_str(&page.text()).expect("JSON")
}

fn gave(browser: &mut Browser, parts: &[&str]) -> Value {
    let said = ask(browser, "base", parts);
    assert!(said["error"].is_null(), "{parts:?}: {said}");
    said["gave"].clone()
}

fn error(browser: &mut Browser, parts: &[&str]) -> String {
    ask(browser, "base", parts)["error"].as_str().unwrap_or("no error").to_owned()
}

fn serve() -> Server {
    let server = Server::start();
    server.deploy_files("base", &[("app.json", MANIFEST), ("server.js", APP)]);
    server
}

/// Processes of raw SQL of this server.
fn stores(server: &Server) -> Vec<i32> {
    let is_store = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("__store"))
    };
    server.descendants().into_iter().map(u32::cast_signed).filter(is_store).collect()
}

fn file(server: &Server, ending: &str) -> PathBuf {
    let apps = server.data().join("apps");
    let folders = std::fs::read_dir(apps).expect("apps").flatten().map(|entry| entry.path().join("sql"));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut paths = files.map(|entry| entry.path());
    paths.find(|path| path.to_string_lossy().ends_with(ending)).expect("a file of raw SQL")
}

#[test]
fn values_and_results_come_back_as_javascript_has_them() {
    let server = serve();
    let mut owner = server.owner();
    let expect = json!([
        1, 1, true, null, 1, 1.5, "é😀'\"", [0, 255], true, 1, "integer", "real", "blob", 1.5, true, true, 1, null,
        [["b", "d"], [1, "é😀'\""]], [[{ "a": 1 }], [{ "b": 2 }]]
    ]);
    assert_eq!(gave(&mut owner, &["values"]), expect);
    assert_eq!(gave(&mut owner, &["large"]), json!([9000, true, 1_900_000]));
    let batch = gave(&mut owner, &["batch"]);
    assert_eq!((&batch[0], &batch[1], &batch[3]), (&json!("InvalidQuery"), &json!(1), &json!(0)));
    assert!(
        batch[2].as_str().is_some_and(|text| text.starts_with("UNIQUE constraint failed: b.a")),
        "{batch}"
    );
    for which in 0..4 {
        assert_eq!(error(&mut owner, &["type", &which.to_string()]), "TypeError", "{which}");
    }
    assert_eq!(error(&mut owner, &["type", "4"]), "RangeError");
}

#[test]
fn each_person_has_a_file_and_a_room_has_one_for_its_members() {
    let server = serve();
    let (mut owner, mut anna) = (server.owner(), server.user("anna", &[]));
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a); INSERT INTO t VALUES('olga')"]);
    assert_eq!(
        error(&mut anna, &["run", "user", "SELECT * FROM t"]),
        "InvalidQuery",
        "no table in her own file"
    );
    gave(&mut anna, &["exec", "user", "CREATE TABLE t(a); INSERT INTO t VALUES('anna')"]);
    assert_eq!(gave(&mut owner, &["run", "user", "SELECT * FROM t"]), json!([{ "a": "olga" }]));
    gave(&mut owner, &["exec", "app", "CREATE TABLE t(a); INSERT INTO t VALUES('all')"]);
    assert_eq!(gave(&mut anna, &["run", "app", "SELECT * FROM t"]), json!([{ "a": "all" }]));
    // A room: unknown, then a reader, then a writer, each at once.
    let made = gave(&mut owner, &["create"]);
    let (room, code) = (made[0].as_str().expect("id"), made[1].as_str().expect("code"));
    gave(&mut owner, &["exec", room, "CREATE TABLE t(a); INSERT INTO t VALUES('room')"]);
    assert_eq!(error(&mut anna, &["run", room, "SELECT * FROM t"]), "NotFound");
    assert_eq!(error(&mut anna, &["run", "space_x", "SELECT 1"]), "NotFound");
    assert_eq!(error(&mut anna, &["run", "../app", "SELECT 1"]), "NotFound");
    assert_eq!(gave(&mut anna, &["join", code]), "reader");
    assert_eq!(gave(&mut anna, &["run", room, "SELECT * FROM t"]), json!([{ "a": "room" }]));
    for text in ["INSERT INTO t VALUES('anna')", "DROP TABLE t", "PRAGMA user_version = 1"] {
        assert_ne!(error(&mut anna, &["run", room, text]), "no error", "{text}");
    }
    assert_eq!(error(&mut anna, &["exec", room, "SELECT 1; DELETE FROM t"]), "PermissionDenied");
    let her = gave(&mut anna, &["id"]);
    gave(&mut owner, &["role", room, her.as_str().expect("id"), "writer"]);
    gave(&mut anna, &["run", room, "INSERT INTO t VALUES('anna')"]);
    gave(&mut owner, &["role", room, her.as_str().expect("id"), "reader"]);
    assert_eq!(error(&mut anna, &["run", room, "INSERT INTO t VALUES('anna')"]), "PermissionDenied");
    // Nobody is signed in: no file of their own.
    server.deploy_files("base", &[("app.json", &MANIFEST.replace("members", "public")), ("server.js", APP)]);
    let mut nobody = server.browser();
    assert_eq!(error(&mut nobody, &["run", "user", "SELECT 1"]), "SignInRequired");
    assert_eq!(error(&mut nobody, &["run", room, "SELECT 1"]), "SignInRequired");
    assert_eq!(gave(&mut nobody, &["run", "app", "SELECT a FROM t"]), json!([{ "a": "all" }]));
}

#[test]
fn without_its_permission_there_is_no_sql() {
    let server = serve();
    let mut owner = server.owner();
    for (permissions, space, missing) in [
        (r#""spaces": true"#, "user", "sql"),
        (r#""spaces": true"#, "app", "sql"),
        (r#""sql": true"#, "app", "spaces"),
    ] {
        let manifest = MANIFEST.replace(r#""spaces": true, "sql": true"#, permissions);
        server.deploy_files("base", &[("app.json", &manifest), ("server.js", APP)]);
        let said = ask(&mut owner, "base", &["run", space, "SELECT 1"]);
        assert_eq!(
            (&said["error"], &said["permission"]),
            (&json!("PermissionDenied"), &json!(missing)),
            "{said}"
        );
    }
    assert_eq!(gave(&mut owner, &["run", "user", "SELECT 1 AS a"]), json!([{ "a": 1 }]));
}

/// What SQLite cannot interrupt ends its process; whoever asks next has a new one, and the neighbour never waits.
#[test]
fn statements_that_would_run_for_ever_end_and_the_neighbour_goes_on() {
    let server = serve();
    let mut owner = server.owner();
    let public = r#"{ "name": "hello", "access": "public" }"#;
    server.deploy_files("hello", &[("app.json", public), ("server.js", crate::HELLO)]);
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a)"]);
    let attacks = [
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c",
        "SELECT instr(replace(hex(zeroblob(900000)), '00', '0'), replace(hex(zeroblob(400000)), '00', '0') || '1')",
        "SELECT replace(hex(zeroblob(900000)), replace(hex(zeroblob(200000)), '00', '0') || '1', 'x')",
        "SELECT count(*) FROM json_each(json_patch('{}', '{' || rtrim(replace(hex(zeroblob(60000)), '00', '\"' || 'a' || '\":1,'), ',') || '}'))",
        "SELECT hex(zeroblob(900000)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%0%1'",
        "SELECT hex(zeroblob(900000)) GLOB '*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*0*1'",
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0",
    ];
    for attack in attacks {
        let attacker = server.while_answering("hello", || ask(&mut owner, "base", &["run", "user", attack]));
        let kind = attacker["error"].as_str();
        assert!(kind.is_none_or(|kind| ["InvalidQuery", "TooLarge"].contains(&kind)), "{attack}: {attacker}");
        assert_eq!(
            gave(&mut owner, &["run", "user", "SELECT count(*) AS n FROM t"]),
            json!([{ "n": 0 }]),
            "{attack}"
        );
    }
}

#[test]
fn attacks_get_an_error_each_and_the_app_lives_on() {
    let server = serve();
    let mut owner = server.owner();
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a)"]);
    for text in [
        "ATTACH '/etc/passwd' AS x",
        "VACUUM INTO '/tmp/fazt-stolen'",
        "SELECT load_extension('/tmp/x.so')",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA writable_schema = 1",
        "CREATE TEMP TABLE x(a)",
        "BEGIN",
        "SELECT 1; SELECT 2",
        "SELECT 1\0",
        "INSERT INTO sqlite_master VALUES(1, 2, 3, 4, 5)",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(2000001)",
        "",
    ] {
        let kind = error(&mut owner, &["wrong", text]);
        assert!(["InvalidQuery", "TooLarge"].contains(&kind.as_str()), "{text}: {kind}");
    }
    let deep = format!("SELECT {}1", "NOT ".repeat(1_000));
    assert_eq!(error(&mut owner, &["wrong", &deep]), "InvalidQuery");
    // The quota of 8 MiB counts all files together.
    let fill = "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5) SELECT randomblob(700000) FROM c";
    gave(&mut owner, &["run", "user", fill]);
    gave(&mut owner, &["exec", "app", "CREATE TABLE t(a)"]);
    gave(&mut owner, &["run", "app", fill]);
    assert_eq!(error(&mut owner, &["run", "app", fill]), "QuotaExceeded");
    assert_eq!(error(&mut owner, &["run", "user", fill]), "QuotaExceeded");
    gave(&mut owner, &["run", "app", "DELETE FROM t"]);
    assert_eq!(gave(&mut owner, &["run", "user", "SELECT count(*) AS n FROM t"]), json!([{ "n": 5 }]));
    // With what else the app stores: 3.5 MB of the 8 MiB are still in a file of SQL, the rest was given back.
    let said: Vec<_> = (0..9).map(|_| error(&mut owner, &["kv", "700000"])).collect();
    let used = server.fazt(&["storage", "usage", "--json"]).ok().json();
    assert_eq!((said[0].as_str(), said[8].as_str()), ("no error", "QuotaExceeded"), "{said:?} {used}");
    let part = |name: &str| used[0][name].as_u64().expect("a number");
    let parts = ["data_bytes", "blobs_bytes", "sql_bytes"].map(part);
    assert!(parts[0] > 700_000 && parts[1] == 0 && parts[2] > 3_500_000, "{used}");
    assert_eq!(parts.iter().sum::<u64>(), part("used_bytes"), "{used}");
    assert!(part("used_bytes") <= part("data_bytes_max") + MIB, "{used}");
    let table = server.fazt(&["storage", "usage"]).ok().stdout;
    assert!(table.contains("SQL") && table.contains("SUM"), "{table}");
    // What is deleted in one place makes room in another.
    gave(&mut owner, &["run", "user", "DELETE FROM t"]);
    let said = ask(&mut owner, "base", &["kv", "700000"]);
    let used = server.fazt(&["storage", "usage", "--json"]).ok().json();
    assert!(said["error"].is_null(), "{said} {used}");
    assert!(used[0]["sql_bytes"].as_u64() < Some(2 * MIB), "{used}");
    assert!(!std::path::Path::new("/tmp/fazt-stolen").exists());
}

#[test]
fn the_process_is_locked_and_holds_two_files_and_a_socket() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = serve();
    let mut owner = server.owner();
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a)"]);
    let found = stores(&server);
    let [pid] = found[..] else { panic!("one process, not {found:?}") };
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("a fact");
    let status = read("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        (field("Seccomp:"), field("NoNewPrivs:"), field("Threads:")),
        ("2".into(), "1".into(), "1".into())
    );
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapInh:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(&field(set), 16), Ok(0), "{set}");
    }
    assert!(field("Uid:").parse::<u32>().expect("a uid") >= 2_000_000);
    for namespace in ["net", "mnt", "pid", "ipc", "uts"] {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{namespace}")).expect("a namespace");
        assert_ne!(of(&pid.to_string()), of("self"), "{namespace}");
    }
    assert_eq!(std::fs::read_dir(format!("/proc/{pid}/root")).expect("its root").count(), 0, "an empty root");
    let mut open: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("its descriptors")
        .flatten()
        .map(|entry| {
            let to = std::fs::read_link(entry.path()).expect("a link").to_string_lossy().into_owned();
            let end = to.rsplit('/').next().unwrap_or_default().to_owned();
            format!("{} {}", entry.file_name().to_string_lossy(), end.split(':').next().unwrap_or_default())
        })
        .collect();
    open.sort();
    let own = file(&server, ".db").file_name().expect("a name").to_string_lossy().into_owned();
    let expect = [
        "0 null".into(),
        "1 null".into(),
        "2 null".into(),
        "3 socket".into(),
        format!("4 {own}"),
        format!("5 {own}-wal"),
    ];
    assert_eq!(open, expect);
}

#[test]
fn its_processes_are_seen_and_ended_by_the_owners_word() {
    let server = serve();
    let (mut owner, mut anna) = (server.owner(), server.user("anna", &[]));
    gave(&mut anna, &["exec", "user", "CREATE TABLE t(a); INSERT INTO t VALUES('anna')"]);
    gave(&mut owner, &["exec", "app", "CREATE TABLE t(a); INSERT INTO t VALUES('all')"]);
    let rows = |server: &Server| {
        let all = server.fazt(&["proc", "ps", "--json"]).ok().json();
        let all = all.as_array().expect("rows").clone();
        all.into_iter().filter(|row| row["kind"] == "sql").collect::<Vec<_>>()
    };
    let seen = rows(&server);
    let word = |row: &Value, name: &str| row[name].as_str().expect("a word").to_owned();
    let mut whose: Vec<_> =
        seen.iter().map(|row| ["app", "principal", "state"].map(|name| word(row, name)).join(" ")).collect();
    whose.sort();
    assert_eq!(whose, ["base anna idle", "base app idle"]);
    assert!(seen.iter().all(|row| row["mem_bytes"].as_u64() > Some(500_000) && row["reqs"] == 1), "{seen:?}");
    let table = server.fazt(&["proc", "ps"]).ok().stdout;
    assert!(table.lines().filter(|line| line.trim_end().ends_with("sql")).count() == 2, "{table}");
    assert!(server.fazt(&["proc", "top"]).ok().stdout.contains("2 of raw SQL"));
    let ended = server.fazt(&["proc", "kill", "base", "--json"]).ok().json();
    assert_eq!(ended["workers"], 4, "two workers, two processes of raw SQL");
    server.wait("the processes to be gone", |server| rows(server).is_empty());
    // Whoever comes next does not notice.
    assert_eq!(gave(&mut anna, &["run", "user", "SELECT a FROM t"]), json!([{ "a": "anna" }]));
    assert_eq!(gave(&mut owner, &["run", "app", "SELECT a FROM t"]), json!([{ "a": "all" }]));
    gave(&mut owner, &["run", "app", "INSERT INTO t VALUES('more')"]);
    assert_ne!(std::fs::metadata(file(&server, "app.db-wal")).expect("the WAL").len(), 0);
    server.fazt(&["proc", "hibernate", "base"]).ok();
    server.wait("the processes to be gone", |server| rows(server).is_empty());
    assert_eq!(std::fs::metadata(file(&server, "app.db-wal")).expect("the WAL").len(), 0, "it was moved");
    assert_eq!(gave(&mut owner, &["run", "app", "SELECT count(*) AS n FROM t"]), json!([{ "n": 2 }]));
}

/// What a process holds of a file, as the kernel of the system has it: 0, it may only read.
fn access(pid: i32, fd: i32) -> u32 {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).expect("a descriptor");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
    u32::from_str_radix(flags.trim(), 8).expect("octal") & 3
}

#[test]
fn those_who_may_read_a_room_have_a_process_that_cannot_write() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = serve();
    let (mut owner, mut anna) = (server.owner(), server.user("anna", &[]));
    let made = gave(&mut owner, &["create"]);
    let (room, code) = (made[0].as_str().expect("id"), made[1].as_str().expect("code"));
    assert_eq!(gave(&mut anna, &["join", code]), "reader");
    gave(&mut owner, &["exec", room, "CREATE TABLE t(a INTEGER PRIMARY KEY)"]);
    for n in 1..=20 {
        gave(&mut owner, &["count", room, "t", "5"]);
        let seen = gave(&mut anna, &["run", room, "SELECT count(*) AS n FROM t"]);
        assert_eq!(seen, json!([{ "n": 5 * n }]), "what was written just now");
        assert_eq!(error(&mut anna, &["run", room, "DELETE FROM t"]), "PermissionDenied");
    }
    let rows = server.fazt(&["proc", "ps", "--json"]).ok().json();
    let pid = |kind: &str| {
        let mut rows = rows.as_array().expect("rows").iter();
        let row = rows.find(|row| row["kind"] == kind && row["principal"] == room).expect("a process");
        i32::try_from(row["pid"].as_u64().expect("a pid")).expect("a pid")
    };
    let (writer, reader) = (pid("sql"), pid("sql-read"));
    assert_eq!([4, 5].map(|fd| access(writer, fd)), [2, 2]);
    assert_eq!([4, 5].map(|fd| access(reader, fd)), [0, 0]);
}

#[test]
fn files_of_sql_are_in_the_archive_of_their_owner_and_looked_through() {
    let server = serve();
    let (mut owner, mut anna) = (server.owner(), server.user("anna", &[]));
    let made = gave(&mut anna, &["create"]);
    let room = made[0].as_str().expect("id");
    for (space, word) in [("user", "of-anna"), (room, "of-the-room"), ("app", "of-all")] {
        gave(&mut anna, &["exec", space, &format!("CREATE TABLE t(a); INSERT INTO t VALUES('{word}')")]);
    }
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a); INSERT INTO t VALUES('of-the-owner')"]);
    let checked = server.fazt(&["storage", "check", "base", "--json"]).ok().json();
    let files: Vec<_> = checked.as_array().expect("rows").iter().collect();
    assert_eq!(files.len(), 5, "{checked}");
    assert!(files.iter().all(|one| one["ok"] == true), "{checked}");
    let place = fazt_tests::Folder::with(&[]);
    let archive = place.path().join("anna.tar");
    let archive = archive.to_str().expect("text");
    let told = server.fazt(&["storage", "export-user", "anna", archive, "--json"]).ok().json();
    assert_eq!((&told["apps"][0]["sql"], &told["apps"][0]["trouble"]), (&json!(2), &Value::Null), "{told}");
    let unpacked = std::process::Command::new("tar").args(["-xf", archive, "-C", place.arg()]).status();
    assert!(unpacked.expect("tar").success());
    let folder = place.path().join("apps/base/sql");
    assert_eq!(std::fs::read_dir(&folder).expect("files").count(), 2, "no WAL, and nobody else's");
    for (name, word) in [("private.db", "of-anna"), (&*format!("{room}.db"), "of-the-room")] {
        let bytes = std::fs::read(folder.join(name)).expect("a file");
        assert!(bytes.starts_with(b"SQLite format 3\0"), "{name}");
        assert!(bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{name}");
    }
    // It goes on where it was.
    gave(&mut anna, &["run", "user", "INSERT INTO t VALUES('more')"]);
    server.fazt(&["proc", "hibernate", "base"]).ok();
    server.wait("the processes to be gone", |server| stores(server).is_empty());
    let damaged = file(&server, "app.db");
    let bytes = std::fs::metadata(&damaged).expect("the file").len();
    std::fs::write(&damaged, vec![0x5a; usize::try_from(bytes).expect("small")]).expect("the file");
    let outcome = server.fazt(&["storage", "check", "base", "--json"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for one in outcome.json().as_array().expect("rows") {
        let is_damaged = one["file"].as_str().is_some_and(|path| path.ends_with("/app.db"));
        assert_eq!(one["ok"], !is_damaged, "{one}");
    }
}

/// Nothing that was answered is lost, whichever process dies.
#[test]
fn acknowledged_writes_outlive_the_process_and_the_server() {
    let mut server = serve();
    let mut owner = server.owner();
    gave(&mut owner, &["exec", "app", "CREATE TABLE t(a INTEGER PRIMARY KEY)"]);
    let mut acknowledged = 0;
    for round in 0..6 {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut last = 0;
                for _ in 0..20 {
                    let said = ask(&mut owner, "base", &["count", "app", "t", "5"]);
                    match said["gave"].as_u64() {
                        Some(id) => last = id,
                        None => assert_eq!(said["error"], "Unavailable", "{said}"),
                    }
                }
                last
            });
            if rustix::process::geteuid().is_root() {
                for _ in 0..3 {
                    for pid in stores(&server) {
                        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                    // Some writes happen in between.
                    std::thread::yield_now();
                }
            }
            acknowledged = load.join().expect("the load").max(acknowledged);
        });
        let there = gave(&mut owner, &["run", "app", "SELECT count(*) AS n, max(a) AS m FROM t"]);
        assert!(
            there[0]["m"].as_u64() >= Some(acknowledged),
            "round {round}: {there}, acknowledged {acknowledged}"
        );
        assert_eq!(there[0]["n"], there[0]["m"], "no gap");
    }
    server.kill_hard();
    server.start_again();
    let mut owner = server.owner();
    let there = gave(&mut owner, &["run", "app", "SELECT count(*) AS n FROM t"]);
    assert!(there[0]["n"].as_u64() >= Some(acknowledged), "{there}, acknowledged {acknowledged}");
    assert_eq!(gave(&mut owner, &["run", "app", "PRAGMA quick_check"]), json!([{ "quick_check": "ok" }]));
}

#[test]
fn each_binding_is_a_database_of_its_own() {
    const APP: &str = r#"export default { async fetch(request, { A, B }) {
      await A.exec("CREATE TABLE IF NOT EXISTS t(a)"); await A.prepare("INSERT INTO t VALUES(?)").bind(1).run();
      const missing = await B.prepare("SELECT * FROM t").all().catch((error) => error.message);
      return Response.json([await A.prepare("SELECT count(*) AS n FROM t").first("n"), missing]);
    } }"#;
    let manifest = MANIFEST
        .replace("members", "public")
        .replace(r#""main": "server.js","#, r#""main": "server.js", "bindings": { "A": "d1", "B": "d1" },"#);
    let server = Server::start();
    server.deploy_files("base", &[("app.json", &manifest), ("server.js", APP)]);
    for n in 1..3 {
        let said: Value = serde_json::from_str(&server.get("base", "/").text()).expect("JSON");
        assert_eq!(said, json!([n, "D1_ERROR: no such table: t: SQLITE_ERROR"]));
    }
    assert!(file(&server, "app.A.db").exists() && file(&server, "app.B.db").exists());
    // Nobody asks: both go, each having moved its WAL, and that is no crime.
    if rustix::process::geteuid().is_root() {
        server.wait("the processes to go", |server| stores(server).is_empty());
        assert_eq!(std::fs::metadata(file(&server, "app.A.db-wal")).expect("the WAL").len(), 0);
    }
    let said: Value = serde_json::from_str(&server.get("base", "/").text()).expect("JSON");
    assert_eq!(said[0], 3);
}

#[test]
fn a_damaged_file_is_its_owners_trouble_alone() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = serve();
    let (mut owner, mut anna) = (server.owner(), server.user("anna", &[]));
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a)"]);
    let damaged = file(&server, ".db");
    gave(&mut anna, &["exec", "user", "CREATE TABLE t(a)"]);
    for pid in stores(&server) {
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    server.wait("the processes to be gone", |server| stores(server).is_empty());
    std::fs::write(&damaged, [0x5a; 8192]).expect("the file");
    let mut wal = damaged.into_os_string();
    wal.push("-wal");
    std::fs::write(wal, []).expect("the WAL");
    let mut said = ask(&mut owner, "base", &["run", "user", "SELECT * FROM t"]);
    if said["message"].as_str().is_some_and(|text| text.contains("not known")) {
        // The process that was killed is noticed by the first call.
        said = ask(&mut owner, "base", &["run", "user", "SELECT * FROM t"]);
    }
    assert_eq!(said["error"], "Unavailable", "{said}");
    assert!(said["message"].as_str().is_some_and(|text| text.contains("damaged")), "{said}");
    let hers = ask(&mut anna, "base", &["run", "user", "SELECT * FROM t"]);
    assert!(hers["gave"] == json!([]) || hers["error"] == "Unavailable", "{hers}");
    assert_eq!(gave(&mut anna, &["run", "user", "SELECT * FROM t"]), json!([]));
}

/// As an ordinary user, whose processes can be sent the signal that the kernel sends for a forbidden system call.
#[test]
fn a_process_that_was_taken_over_quarantines_its_app_and_it_is_written_down() {
    let uid = rustix::process::geteuid().is_root().then_some(ORDINARY);
    let server = Server::with(ServerOptions { uid, ..ServerOptions::default() });
    server.deploy_files("base", &[("app.json", MANIFEST), ("server.js", APP)]);
    let mut owner = server.owner();
    gave(&mut owner, &["exec", "user", "CREATE TABLE t(a)"]);
    let rows = server.processes("base");
    let row = rows.iter().find(|row| row["kind"] == "sql").expect("a process");
    signal(row["pid"].as_u64().expect("a pid"), "-SYS");
    let audit = |server: &Server| server.fazt(&["security", "audit"]).ok().stdout;
    server
        .wait("a line in the audit log", |server| audit(server).contains("app.quarantine base: its raw SQL"));
    let page = owner.open(&owner.url("base", &path(&["run", "user", "SELECT 1"])));
    assert_eq!(page.status(), 503);
    let logs = server.fazt(&["proc", "logs", "base"]).ok().stdout;
    assert!(logs.contains("quarantined: its raw SQL"), "{logs}");
    server.fazt(&["proc", "restart", "base"]).ok();
    assert_eq!(gave(&mut owner, &["run", "user", "SELECT count(*) AS n FROM t"]), json!([{ "n": 0 }]));
}
