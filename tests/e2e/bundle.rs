//! Apps of strangers that have to be built: TypeScript over several files, packages by lock file, what is written for
//! Wrangler. Nothing of it runs before it is locked up.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fazt_tests::{Folder, GitServer, Outcome, Server, ServerOptions};
use serde_json::{Value, json};

/// Packages and where they are.
type Shelf = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A registry of npm on loopback: packages by their paths.
struct Registry {
    url: String,
    files: Shelf,
}

impl Registry {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://127.0.0.1:{}", listener.local_addr().expect("an address").port());
        let files = Shelf::default();
        let shown = Arc::clone(&files);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 8192];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let target = head.split(' ').nth(1).unwrap_or_default();
                let files = shown.lock().expect("files");
                let found = files.iter().find(|(path, _)| path == target);
                let (status, body) =
                    found.map_or(("404 Not Found", &[][..]), |(_, bytes)| ("200 OK", &bytes[..]));
                let length = body.len();
                let _ = stream.write_all(
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
                        .as_bytes(),
                );
                let _ = stream.write_all(body);
            }
        });
        Self { url, files }
    }

    /// Adds a package; its entry in a lock file.
    fn add(&self, name: &str, files: &[(&str, &str)]) -> Value {
        let folder = Folder::new();
        for (path, text) in files {
            folder.write(&format!("package/{path}"), text);
        }
        let packed = Command::new("tar")
            .args(["-czf", "-", "-C", folder.arg(), "package"])
            .output()
            .expect("tar")
            .stdout;
        let sum = folder.path().join("packed");
        std::fs::write(&sum, &packed).expect("written");
        let sum = Command::new("sha512sum").arg(&sum).output().expect("sha512sum").stdout;
        let digits = String::from_utf8_lossy(&sum).split(' ').next().unwrap_or_default().to_owned();
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).expect("a digit"))
            .collect();
        let path = format!("/{name}/-/{}-1.0.0.tgz", name.rsplit('/').next().unwrap_or(name));
        self.files.lock().expect("files").push((path.clone(), packed));
        let integrity = format!("sha512-{}", BASE64.encode(bytes));
        json!({ "version": "1.0.0", "resolved": format!("{}{path}", self.url), "integrity": integrity })
    }
}

fn server(registry: &Registry) -> Server {
    let config = format!("[egress]\ntest_network = true\n[install]\nregistry = '{}'\n", registry.url);
    Server::with(ServerOptions { config, ..ServerOptions::default() })
}

fn install(server: &Server, source: &str, more: &[&str]) -> Outcome {
    server.fazt(&[&["app", "install", source, "--yes", "--json"][..], more].concat())
}

fn lock(packages: &[(&str, Value)]) -> String {
    let mut all = serde_json::Map::new();
    let names: Vec<_> = packages.iter().map(|(name, _)| ((*name).to_owned(), json!("1.0.0"))).collect();
    all.insert(
        String::new(),
        json!({ "name": "app", "dependencies": names.into_iter().collect::<serde_json::Map<_, _>>() }),
    );
    for (name, entry) in packages {
        all.insert(format!("node_modules/{name}"), entry.clone());
    }
    json!({ "name": "app", "lockfileVersion": 3, "requires": true, "packages": all }).to_string()
}

const PACKAGE: &str = r#"{ "name": "app", "type": "module", "dependencies": { "greet": "1.0.0" },
  "scripts": { "preinstall": "touch /tmp/fazt-was-here", "postinstall": "exit 1" } }"#;

#[test]
fn packages_of_the_lock_file_come_and_are_bundled_with_the_scripts() {
    let (git, registry) = (GitServer::new(), Registry::new());
    let greet = registry.add("greet", &[
        ("package.json", r#"{ "name": "greet", "version": "1.0.0", "main": "index.cjs", "dependencies": { "word": "1.0.0" } }"#),
        ("index.cjs", "const word = require('word'); module.exports = { greet: (who) => `${word.default} ${who}` };"),
    ]);
    let word = registry.add(
        "word",
        &[
            (
                "package.json",
                r#"{ "name": "word", "version": "1.0.0", "type": "module", "exports": "./word.js" }"#,
            ),
            ("word.js", "export default 'hello';"),
        ],
    );
    let mut greet_entry = greet.clone();
    greet_entry["dependencies"] = json!({ "word": "1.0.0" });
    let server_ts = "import { greet } from 'greet';
import { shout } from './lib/shout';
import page from './page.txt';
export default { fetch(request: Request): Response {
  if (request.url.endsWith('/throw')) throw new Error('on purpose');
  return new Response(shout(greet('you')) + page);
} };";
    let repository = git.repository("ada/built");
    let files = |lock: &str| -> Vec<(String, String)> {
        [
            ("app.json", r#"{ "name": "built", "main": "server.ts", "access": "public" }"#),
            ("package.json", PACKAGE),
            ("package-lock.json", lock),
            ("server.ts", server_ts),
            ("lib/shout.ts", "export const shout = (text: string): string => text.toUpperCase();"),
            ("page.txt", "!"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .to_vec()
    };
    let commit = |lock: &str| {
        let files = files(lock);
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        repository.commit(&files)
    };
    commit(&lock(&[("greet", greet_entry.clone()), ("word", word.clone())]));
    let server = server(&registry);
    install(&server, &git.source("ada/built"), &[]).ok();
    assert_eq!(server.get("built", "/").text(), "HELLO YOU!");
    assert_eq!(server.get("built", "/throw").status, 500);
    let log = server.fazt(&["proc", "logs", "built"]).ok().stdout;
    assert!(log.contains("on purpose") && log.contains("server.ts:5"), "{log}");
    assert!(!std::path::Path::new("/tmp/fazt-was-here").exists(), "no script of a package runs");

    // Another content than the lock file says, and none.
    let mut forged = greet_entry.clone();
    forged["integrity"] = json!(format!("sha512-{}", BASE64.encode([7; 64])));
    commit(&lock(&[("greet", forged), ("word", word.clone())]));
    let refused = install(&server, &git.source("ada/built"), &["--name", "forged"]);
    assert!(refused.code == 1 && refused.stderr.contains("greet 1.0.0"), "{refused:?}");
    commit(&lock(&[("greet", greet_entry)]));
    // What is required when it runs may be required in vain, as packages do to see whether it is there.
    install(&server, &git.source("ada/built"), &["--name", "lacking"]).ok();
    assert_eq!(server.get("lacking", "/").status, 500);
    let log = server.fazt(&["proc", "logs", "lacking"]).ok().stdout;
    assert!(log.contains("word"), "{log}");
    assert_eq!(server.fazt(&["app", "list", "--json"]).ok().json().as_array().map(Vec::len), Some(2));
}

const WRANGLER: &str = r#"
// What Workers have.
{
  "name": "worker", "main": "src/index.ts", "compatibility_date": "2026-01-01",
  "vars": { "GREETING": "hi" },
  "kv_namespaces": [{ "binding": "CACHE", "id": "abc" }],
  "d1_databases": [{ "binding": "DB", "database_name": "app", "database_id": "x", "migrations_dir": "migrations" }],
  "assets": { "directory": "public", "binding": "ASSETS" },
  "triggers": { "crons": ["0 8 * * *"] },
}"#;

const WORKER: &str = "import { env as ambient } from 'cloudflare:workers';
export default {
  async fetch(request: Request, env: any) {
    const path = new URL(request.url).pathname;
    if (path === '/asset') return env.ASSETS.fetch(new Request('https://x/a.txt'));
    await env.CACHE.put('a', 'cached');
    await env.DB.prepare('INSERT INTO notes(text) VALUES(?)').bind('one').run();
    const { results } = await env.DB.prepare('SELECT text, mark FROM notes').all();
    return Response.json({ greeting: env.GREETING, same: ambient.GREETING, cached: await env.CACHE.get('a'), results });
  },
  async scheduled() {},
};";

fn worker<'a>(config: &'a str, second: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("wrangler.jsonc", config),
        ("src/index.ts", WORKER),
        ("public/a.txt", "an asset"),
        ("migrations/0001_notes.sql", "CREATE TABLE notes(text TEXT); CREATE INDEX by_text ON notes(text);"),
        ("migrations/0002_mark.sql", second),
    ]
}

#[test]
fn a_repository_for_wrangler_becomes_an_app_with_its_bindings_and_migrations() {
    let (git, registry) = (GitServer::new(), Registry::new());
    let repository = git.repository("ada/worker");
    let second = "ALTER TABLE notes ADD COLUMN mark TEXT DEFAULT 'new';";
    repository.commit(&worker(WRANGLER, second));
    let server = server(&registry);
    let dry = install(&server, &git.source("ada/worker"), &["--dry-run"]).ok().json();
    let asks: Vec<_> =
        dry["permissions"].as_array().expect("a list").iter().map(|of| of["permission"].clone()).collect();
    assert!(["spaces", "sql", "schedule"].iter().all(|asked| asks.contains(&json!(asked))), "{asks:?}");
    let installed = install(&server, &git.source("ada/worker"), &[]).ok().json();
    assert_eq!(installed["app"]["access"], "members");
    assert!(
        installed["warnings"].to_string().contains("2 migrations ran on the database `DB`"),
        "{installed}"
    );
    let mut owner = server.owner();
    let ask = |owner: &mut fazt_tests::Browser, path: &str| {
        let page = owner.open(&owner.url("worker", path));
        assert_eq!(page.status(), 200, "{path}: {}", page.text());
        page.text()
    };
    let said: Value = serde_json::from_str(&ask(&mut owner, "/")).expect("JSON");
    assert_eq!(
        said,
        json!({ "greeting": "hi", "same": "hi", "cached": "cached", "results": [{ "text": "one", "mark": "new" }] })
    );
    assert_eq!(ask(&mut owner, "/asset"), "an asset");
    let schedules = server.fazt(&["proc", "schedules", "worker", "--json"]).ok().json();
    let name = schedules[0]["name"].as_str().expect("a name").to_owned();
    server.fazt(&["proc", "run", "worker", &name]).ok();

    // A migration that fails leaves the version before, and those before it undone.
    let third = ("migrations/0003_more.sql", "ALTER TABLE notes ADD COLUMN more TEXT;");
    repository.commit(
        &[&worker(WRANGLER, second)[..], &[third, ("migrations/0004_wrong.sql", "CREATE TABEL x;")]].concat(),
    );
    let refused = server.fazt(&["app", "update", "worker", "--yes", "--json"]);
    assert!(refused.code != 0 && refused.stderr.contains("0004_wrong.sql"), "{refused:?}");
    assert_eq!(server.fazt(&["app", "info", "worker", "--json"]).ok().json()["version"]["number"], 1);
    ask(&mut owner, "/");
    // One that does not is run, and what was there before is kept beside it.
    repository.commit(&[&worker(WRANGLER, second)[..], &[third]].concat());
    let updated = server.fazt(&["app", "update", "worker", "--yes", "--json"]).ok().json();
    let said = updated["warnings"].to_string();
    assert!(said.contains("1 migrations ran"), "{said}");
    let app = updated["app"]["id"].as_str().expect("an id").to_owned();
    let before = server.data().join("apps").join(app).join("sql/before/app.DB.db");
    let before = rusqlite::Connection::open(before).expect("the copy opens");
    let rows = |sql: &str| before.query_row(sql, [], |row| row.get::<_, i64>(0)).expect(sql);
    assert_eq!(rows("SELECT count(*) FROM notes"), 2);
    assert_eq!(rows("SELECT count(*) FROM pragma_table_info('notes') WHERE name = 'more'"), 0);
    // What is needed and not there is listed.
    let wants = WRANGLER.replace("\"vars\":", "\"durable_objects\": { \"bindings\": [{ \"name\": \"ROOM\", \"class_name\": \"Room\" }] }, \"ai\": { \"binding\": \"AI\" }, \"vars\":");
    repository.commit(&worker(&wants, second));
    let refused = install(&server, &git.source("ada/worker"), &["--name", "other"]);
    let message = refused.error()["message"].as_str().expect("text").to_lowercase();
    assert!(
        refused.code == 2 && message.contains("durable objects") && message.contains("workers ai"),
        "{message}"
    );
}

const GRANTED: &str = r#"{
  "name": "granted", "main": "index.js", "compatibility_date": "2026-01-01",
  "vars": { "FLAG": false, "LIST": [1, 2] },
  "kv_namespaces": [{ "binding": "CACHE", "id": "abc" }],
  "assets": { "directory": "site", "run_worker_first": ["/", "/first/*", "!/first/not.txt"] },
  "triggers": { "crons": ["0 17 * * 1"] }
}"#;

const GRANTED_SCRIPT: &str = "import { SlowBuffer } from 'node:buffer';
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname !== '/') return new Response('the server');
    return Response.json({
      flag: env.FLAG, list: env.LIST, self: self === globalThis && global === self, cf: typeof request.cf,
      ip: request.headers.get('cf-connecting-ip'), slow: SlowBuffer.prototype.equal === undefined,
      now: await new Promise((done) => setImmediate(done, 'now')), cron: await env.CACHE.get('cron'),
    });
  },
  scheduled: (event, env) => env.CACHE.put('cron', event.cron),
};";

#[test]
fn what_scripts_for_workers_take_for_granted_is_there() {
    let (git, registry) = (GitServer::new(), Registry::new());
    git.repository("ada/granted").commit(&[
        ("wrangler.json", GRANTED),
        ("index.js", GRANTED_SCRIPT),
        ("site/index.html", "a page"),
        ("site/a.txt", "a file"),
        ("site/first/b.txt", "a file"),
        ("site/first/not.txt", "a file"),
        ("public/secret.txt", "not served: nobody said so"),
    ]);
    let server = server(&registry);
    install(&server, &git.source("ada/granted"), &[]).ok();
    server.fazt(&["proc", "run", "granted", "cron-1"]).ok();
    let mut owner = server.owner();
    let mut ask = |path: &str| owner.open(&owner.url("granted", path)).text();
    let said: Value = serde_json::from_str(&ask("/")).expect("JSON");
    let expect = json!({
        "flag": false, "list": [1, 2], "self": true, "cf": "object", "ip": "127.0.0.1", "slow": true, "now": "now",
        "cron": "0 17 * * 1",
    });
    assert_eq!(said, expect);
    for (path, text) in [
        ("/a.txt", "a file"),
        ("/first/b.txt", "the server"),
        ("/first/not.txt", "a file"),
        ("/secret.txt", "the server"),
    ] {
        assert_eq!(ask(path), text, "{path}");
    }
}
