//! Commands that work on a server elsewhere: the same answers, saved servers, tokens, certificates, names.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fazt_tests::{Client, Folder, Outcome, Server, ServerOptions, fazt_command, tls};
use serde_json::{Value, json};

use super::api::{fits, operations, token};
use crate::HELLO;

const LOG: &str = "export default { fetch() { console.log('said'); return new Response('hello'); } };";
const COLLECTIONS: &str = r#"{ "name": "notes", "main": "server.js", "permissions": { "push": true },
  "collections": { "notes": { "schema": { "n": "integer" } } } }"#;

/// Commands about this very machine, or about what it knows of servers: none of them asks a server.
const ALONE: &[&str] = &["app new", "host list", "host remove", "completions", "man"];
/// Commands that want to be on the machine of the server, and say so.
const THERE_ONLY: &[&str] = &["proc start", "proc init", "proc uninstall", "proc config", "proc doctor"];
/// Operations without a command: the description is for programs, counters for Prometheus.
const NO_COMMAND: &[&str] = &["api.describe", "server.metrics"];

/// Somebody's machine: a home folder, and nothing of the server's.
struct Elsewhere {
    home: tempfile::TempDir,
    url: String,
    token: String,
    /// The file of certificates that is trusted there.
    trusts: Option<PathBuf>,
    /// What was done there so far.
    done: RefCell<Vec<String>>,
}

impl Elsewhere {
    fn new(server: &Server, token: &str) -> Self {
        let url = format!("http://localhost:{}", server.address.port());
        let home = tempfile::tempdir().expect("a folder");
        Self { home, url, token: token.to_owned(), trusts: None, done: RefCell::default() }
    }

    /// The same, by a name and over TLS.
    fn by(server: &Server, token: &str, front: &tls::Front, name: &str) -> Self {
        let url = format!("https://{name}:{}", front.address.port());
        Self { url, trusts: Some(front.authority()), ..Self::new(server, token) }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = fazt_command(self.home.path());
        command.args(arguments);
        if let Some(file) = &self.trusts {
            command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", file);
        }
        self.done.borrow_mut().push(arguments.join(" "));
        command
    }

    /// A command for the server, named by its address.
    fn fazt(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(arguments);
        command.args(["--host", &self.url]).env("FAZT_TOKEN", &self.token);
        Outcome::of(&mut command)
    }

    /// The same with something to read.
    fn told(&self, arguments: &[&str], text: &str) {
        let mut command = self.command(arguments);
        command.args(["--host", &self.url]).env("FAZT_TOKEN", &self.token).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().expect("fazt starts");
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("read");
        assert!(child.wait().expect("ended").success(), "{arguments:?}");
    }

    /// A command that goes on until it is ended: what its first lines say.
    fn first(&self, arguments: &[&str], mut until: impl FnMut(&str) -> bool) {
        let mut command = self.command(arguments);
        command.args(["--host", &self.url]).env("FAZT_TOKEN", &self.token);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("fazt starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let found = out.lines().map_while(Result::ok).any(|line| until(&line));
        let _ = child.kill();
        let _ = child.wait();
        assert!(found, "{arguments:?} ended before it said what was waited for");
    }
}

/// Answers without what changes from one moment to the next.
fn still(mut value: Value) -> Value {
    fn rest(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(rest),
            Value::Object(fields) => {
                for name in [
                    "uptime_s",
                    "requests",
                    "mem_bytes",
                    "cpu_ms",
                    "idle_ms",
                    "workers_bytes",
                    "pool",
                    "disk_bytes",
                    "state",
                    "workers",
                ] {
                    fields.remove(name);
                }
                fields.values_mut().for_each(rest);
            }
            _ => {}
        }
    }
    rest(&mut value);
    value
}

/// Verbs of the command reference that have no verbs below them.
fn verbs() -> Vec<String> {
    let page = include_str!("../../cli/COMMANDS.md");
    let titles: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| line.trim_start_matches('#').trim().strip_prefix("fazt "))
        .collect();
    let has_verbs = |one: &&str| titles.iter().any(|other| other.starts_with(&format!("{one} ")));
    let verbs: Vec<_> = titles.iter().filter(|one| !has_verbs(one)).map(|&one| one.to_owned()).collect();
    assert!(ALONE.iter().chain(THERE_ONLY).all(|one| verbs.iter().any(|verb| verb == one)), "{verbs:?}");
    verbs
}

/// Behind a proxy, over TLS. A command or an operation that is new and not here fails the test.
#[test]
fn every_command_does_elsewhere_what_it_does_here() {
    let mut server = behind_a_proxy("");
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let front = tls::Front::start(server.address, "localhost");
    let there = Elsewhere::by(&server, &token(&server, "admin", &[]), &front, "localhost");
    let document =
        Client::control(server.data()).expect("control").get("/api/openapi.json").expect("an answer");
    let document: Value = serde_json::from_slice(&document.body).expect("JSON");
    let folder = Folder::with(&[("app.json", COLLECTIONS), ("server.js", LOG), ("public/a.txt", "a")]);
    let deployed = there.fazt(&["app", "deploy", folder.arg(), "--name", "notes", "--json"]).ok().json();
    assert_eq!((&deployed["version"]["number"], &deployed["files_sent"]), (&1.into(), &3.into()));
    let dry = there.fazt(&["app", "deploy", folder.arg(), "--dry-run", "--json"]).ok().json();
    assert_eq!(dry["permissions"][0]["answer"], "unanswered");
    for (verb, answer) in [("grant", "granted"), ("revoke", "refused")] {
        let list = there.fazt(&["app", verb, "notes", "push", "--json"]).ok().json();
        assert_eq!(list["permissions"][0]["answer"], answer);
    }
    assert_eq!(server.get("notes", "/").text(), "hello");
    folder.write("public/a.txt", "b");
    assert_eq!(
        there.fazt(&["app", "deploy", folder.arg(), "--name", "notes", "--json"]).ok().json()["files_sent"],
        1
    );
    there.fazt(&["app", "env", "notes", "set", "GREETING=hi"]).ok();
    assert_eq!(server.get("notes", "/").text(), "hello");

    for words in [
        "app list",
        "app info notes",
        "app open notes",
        "app versions notes",
        "app env notes",
        "app grants notes",
        "net certs",
        "net egress notes",
        "proc schedules",
        "proc schedules notes",
        "proc runs notes",
        "proc jobs notes",
        "fs ls notes",
        "fs ls notes:public",
        "fs stat notes:server.js",
        "fs du",
        "user list",
        "user sessions anna",
        "security tokens",
        "security audit",
        "proc logs notes",
        "proc ps",
        "proc status",
        "storage usage",
        "storage check",
        "storage collections notes",
        "storage query notes notes --as anna",
        "storage explain notes notes --as anna --where {\"n\":1}",
    ] {
        let arguments: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        let (there, here) = (there.fazt(&arguments).ok().json(), server.fazt(&arguments).ok().json());
        assert_eq!(still(there), still(here), "{words}");
    }
    for words in ["app info notes", "fs cat notes:public/a.txt", "proc logs notes"] {
        let arguments: Vec<&str> = words.split(' ').collect();
        let without = |outcome: Outcome| -> Vec<String> {
            let lines = outcome.stdout.lines().filter(|line| !line.starts_with("disk"));
            lines.map(ToOwned::to_owned).collect()
        };
        assert_eq!(without(there.fazt(&arguments).ok()), without(server.fazt(&arguments).ok()), "{words}");
    }
    let copy = there.home.path().join("copy.txt");
    there.fazt(&["fs", "get", "notes:public/a.txt", copy.to_str().expect("text")]).ok();
    assert_eq!(std::fs::read(&copy).expect("a copy"), b"b");
    let archive = there.home.path().join("anna.tar");
    there.fazt(&["storage", "export-user", "anna", archive.to_str().expect("text")]).ok();
    assert!(std::fs::metadata(&archive).expect("an archive").len() > 0);
    folder.write("server.js", "export default {");
    let refused = there.fazt(&["app", "deploy", folder.arg(), "--name", "notes"]);
    assert!(refused.code == 2 && refused.stderr.contains("server.js"), "{refused:?}");
    folder.write("server.js", LOG);

    for verb in ["hibernate", "wake", "restart", "kill"] {
        there.fazt(&["proc", verb, "notes", "--json"]).ok();
    }
    assert_eq!(there.fazt(&["app", "rollback", "notes", "--json"]).ok().json()["number"], 1);
    assert_eq!(server.get("notes", "/a.txt").text(), "a");
    there.fazt(&["app", "env", "notes", "unset", "GREETING"]).ok();
    there.fazt(&["app", "rename", "notes", "journal"]).ok();
    assert_eq!(server.get("journal", "/").text(), "hello");
    let link = there.fazt(&["user", "add", "bo", "--app", "journal", "--json"]).ok().json();
    assert!(link["link"]["url"].as_str().is_some_and(|url| url.contains("/join/")));
    there.told(&["user", "passwd", "bo", "--stdin"], "another horse battery\n");
    for words in
        ["user invite", "user apps bo --all", "user role bo admin", "user passwd bo", "user remove bo --yes"]
    {
        there.fazt(&words.split(' ').collect::<Vec<_>>()).ok();
    }
    let sessions = there.fazt(&["user", "sessions", "anna", "--json"]).ok().json();
    there.fazt(&["user", "revoke-session", sessions[0]["id"].as_str().expect("id")]).ok();
    for words in
        ["proc run journal none", "proc jobs journal --retry job_0", "proc jobs journal --discard job_0"]
    {
        let arguments: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        assert_eq!(there.fazt(&arguments).code, 3, "{words}");
    }
    assert_eq!(there.fazt(&["app", "install", "ftp://example.org/a", "--json"]).code, 2);
    assert_eq!(there.fazt(&["app", "update", "journal", "--json"]).code, 2, "it came from a folder");
    let made = there.fazt(&["security", "token", "new", "--scope", "app:journal", "--json"]).ok().json();
    there.fazt(&["security", "token", "rm", made["info"]["id"].as_str().expect("id")]).ok();

    let said = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    there.first(&["proc", "ps", "--watch", "--json"], |line| said(line).is_array());
    there.first(&["proc", "top", "--json"], |line| said(line).is_array());
    // Somebody asks again and again, so that there is something to follow.
    server.while_answering("journal", || {
        let since = "2099-01-01";
        there.first(&["proc", "logs", "journal", "-f", "--since", since, "--json"], |line| {
            said(line)["text"] == "said"
        });
        there.first(&["proc", "trace", "journal", "--json"], |line| said(line)["kind"].is_string());
    });
    there.first(&["app", "dev", folder.arg(), "--name", "journal", "--json"], |line| {
        said(line)["version"]["number"].is_u64()
    });

    let add = ["host", "add", "home", &there.url, "--token", &there.token];
    Outcome::of(&mut there.command(&add)).ok();
    for words in THERE_ONLY {
        let arguments: Vec<&str> = words.split(' ').chain(["--json"]).collect();
        let refused = there.fazt(&arguments);
        assert_eq!(refused.code, 2, "{words}: {refused:?}");
        let message = refused.error()["message"].as_str().expect("text").to_owned();
        assert!(message.contains(words) && message.contains("on the machine of the server"), "{message}");
    }
    there.fazt(&["app", "remove", "journal", "--yes"]).ok();
    assert_eq!(server.get("journal", "/").status, 421);
    assert_eq!(there.fazt(&["proc", "stop", "--json"]).ok().json(), json!({ "stopped": true }));
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(there.fazt(&["app", "list"]).code, 6, "nobody answers any more");

    let (done, asked) = (there.done.borrow(), front.asked());
    let was_done = |verb: &str| {
        let is = |words: &String| {
            let mut words = words.split(' ');
            verb.split(' ').all(|word| words.any(|other| other == word))
        };
        done.iter().any(is)
    };
    let forgotten: Vec<_> =
        verbs().into_iter().filter(|verb| !ALONE.contains(&verb.as_str()) && !was_done(verb)).collect();
    assert!(forgotten.is_empty(), "commands that are not tried from elsewhere: {forgotten:?}");
    let called: BTreeSet<_> = operations(&document)
        .filter(|(path, verb, _)| {
            asked.iter().filter_map(|line| line.split_once(' ')).any(|(method, target)| {
                let target = target.split('?').next().unwrap_or_default();
                method.eq_ignore_ascii_case(verb) && fits(path, target)
            })
        })
        .map(|(.., entry)| entry["operationId"].as_str().expect("an id"))
        .chain(NO_COMMAND.iter().copied())
        .collect();
    let described: BTreeSet<_> =
        operations(&document).map(|(.., entry)| entry["operationId"].as_str().expect("an id")).collect();
    assert_eq!(called, described, "what is described, and what commands call from elsewhere");
}

/// A server that believes a proxy on this machine, which speaks TLS for it.
fn behind_a_proxy(config: &str) -> Server {
    let config = format!("trusted_proxies = ['127.0.0.0/8', '::1']\n{config}");
    Server::with(ServerOptions { config, ..ServerOptions::default() })
}

/// A name of this machine that its resolver tells, and that is no special case of a program's.
fn own_name() -> Option<(String, IpAddr)> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let is_plain =
            |name: &&str| name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        let name = words.find(|name| is_plain(name) && !name.contains("localhost") && name.len() < 190)?;
        TcpListener::bind((address, 0)).ok()?;
        Some((name.to_owned(), address))
    })
}

#[test]
fn a_token_that_may_deploy_decides_nothing_about_permissions() {
    let server = Server::start();
    let _owner = server.owner();
    let asks = |permissions: &str, said: &str| {
        let manifest = format!(r#"{{ "name": "asks", "main": "server.js", "permissions": {permissions} }}"#);
        let script = format!("export default {{ fetch: () => new Response('{said}') }};");
        Folder::with(&[("app.json", &manifest), ("server.js", &script)])
    };
    server.deploy(&asks(r#"{ "sql": true }"#, "one"), "asks");
    let there = Elsewhere::new(&server, &token(&server, "deploy:asks", &[]));
    let more = asks(r#"{ "sql": true, "push": true }"#, "more");
    let refused = there.fazt(&["app", "deploy", more.arg(), "--yes", "--json"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.error()["hint"].as_str().is_some_and(|hint| hint.contains("admin")), "{refused:?}");
    assert_eq!(there.fazt(&["app", "grant", "asks", "sql", "--json"]).code, 4);
    assert_eq!(server.get("asks", "/").text(), "one");
    there.fazt(&["app", "deploy", asks(r#"{ "sql": true }"#, "two").arg(), "--yes", "--json"]).ok();
    assert_eq!(server.get("asks", "/").text(), "two");
}

#[test]
fn a_server_is_found_by_its_name() {
    let Some((name, address)) = own_name() else {
        println!("/etc/hosts has no name for this machine but localhost: not tried");
        return;
    };
    let server = behind_a_proxy(&format!("domain = '{name}'\n"));
    let front = tls::Front::at(address, server.address, &name);
    let there = Elsewhere::by(&server, &token(&server, "admin", &[]), &front, &name);
    let folder = Folder::with(&[("index.html", "home")]);
    let deployed = there.fazt(&["app", "deploy", folder.arg(), "--name", "page", "--json"]).ok().json();
    assert_eq!(deployed["version"]["number"], 1, "{deployed}");
    // Whoever has the name gets nothing without the certificate for it.
    let other = tls::Front::at(address, server.address, "example.org");
    let wrong = Elsewhere::by(&server, &there.token, &other, &name);
    let refused = wrong.fazt(&["app", "list"]);
    assert!(refused.code == 6 && other.bytes_passed() == 0, "{refused:?}");
    // A name that nobody has: kept for that, so that it is asked of no server of names.
    let nowhere = Elsewhere { url: "https://fazt.invalid".into(), ..there };
    let refused = nowhere.fazt(&["app", "list"]);
    assert!(refused.code == 6 && refused.stderr.contains("its name cannot be looked up"), "{refused:?}");
}

#[test]
fn a_server_is_saved_under_a_name_with_its_token() {
    let server = Server::start();
    let _owner = server.owner();
    server.deploy_files("notes", &[("server.js", HELLO)]);
    server.deploy_files("other", &[("server.js", HELLO)]);
    let own = token(&server, "app:notes", &[]);
    let there = Elsewhere::new(&server, &token(&server, "admin", &[]));
    let file = there.home.path().join("token");
    std::fs::write(&file, format!("{}\n", there.token)).expect("a file");
    let file = file.to_str().expect("text");
    let run = |arguments: &[&str]| Outcome::of(&mut there.command(arguments));

    assert_eq!(run(&["host", "list", "--json"]).ok().json(), json!([]));
    let without = run(&["app", "list", "--host", &there.url]);
    assert!(without.code == 4 && without.stderr.contains("wants a token"), "{without:?}");
    let added = run(&["host", "add", "home", &there.url, "--token-file", file, "--json"]).ok().json();
    assert_eq!(added, json!({ "name": "home", "url": there.url, "user": "olga", "scope": "admin" }));
    let mut piped = there.command(&["host", "add", "limited", &there.url]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("fazt starts");
    child.stdin.take().expect("piped").write_all(own.as_bytes()).expect("read");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("ended").success() && said.contains("scope app:notes"), "{said}");
    let saved = there.home.path().join(".config/fazt/hosts.json");
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&saved), mode(saved.parent().expect("a folder"))), (0o600, 0o700));
    let listed = run(&["host", "list"]).ok().stdout;
    assert!(listed.contains("home") && listed.contains("limited") && !listed.contains("fazt_"), "{listed}");

    assert_eq!(
        run(&["app", "list", "--host", "home", "--json"]).ok().json().as_array().map(Vec::len),
        Some(2)
    );
    let by_variable = Outcome::of(there.command(&["app", "list", "--json"]).env("FAZT_HOST", "home"));
    assert_eq!(by_variable.ok().json().as_array().map(Vec::len), Some(2));
    assert_eq!(run(&["app", "info", "notes", "--host", "limited", "--json"]).ok().json()["name"], "notes");
    let refused = run(&["app", "info", "other", "--host", "limited", "--json"]);
    assert_eq!(refused.code, 4);
    let hint = refused.error()["hint"].as_str().expect("text").to_owned();
    assert!(hint.contains("admin") && hint.contains("app:other"), "{hint}");
    // What is wrong is said, each with its exit code; nothing of it is saved.
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = format!("http://127.0.0.1:{}", nobody.local_addr().expect("address").port());
    drop(nobody);
    let stranger = page_server();
    for (arguments, code, part) in [
        (&["host", "add", "home", &there.url, "--token-file", file][..], 5, "saved already"),
        (&["host", "add", "bad name", &there.url, "--token-file", file], 2, "cannot be the name"),
        (&["host", "add", "x", "http://example.org", "--token-file", file], 2, "plain http"),
        (&["host", "add", "x", "example.org", "--token-file", file], 2, "https://"),
        (&["host", "add", "x", &gone, "--token-file", file], 6, "cannot reach"),
        (&["host", "add", "x", &stranger, "--token-file", file], 1, "no Fazt"),
        (&["host", "add", "x", &there.url, "--token", "fazt_nonsense"], 4, "does not take this token"),
        (&["host", "add", "x", &there.url, "--token-file", "/nowhere"], 3, "/nowhere"),
        (&["host", "remove", "x"], 3, "no server is saved"),
        (&["app", "list", "--host", "x"], 3, "no server is saved"),
        (&["app", "list", "--host", &there.url.replace("localhost", "127.0.0.1")], 3, "go by this name"),
        (&["app", "list", "--host", "home", "--data", "/tmp"], 2, "two servers"),
        (&["app", "list", "--token", "fazt_x"], 2, "--host"),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.code, code, "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(part), "{arguments:?}: {}", refused.stderr);
    }
    std::fs::set_permissions(&saved, std::fs::Permissions::from_mode(0o644)).expect("opened");
    assert_eq!(run(&["app", "list", "--host", "home"]).code, 4, "a file that others may read");
    std::fs::set_permissions(&saved, std::fs::Permissions::from_mode(0o600)).expect("closed");
    run(&["host", "remove", "home"]).ok();
    assert!(!std::fs::read_to_string(&saved).expect("text").contains(&there.token));
}

/// Something that answers, and is no Fazt.
fn page_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello");
        }
    });
    format!("http://{address}")
}

#[test]
fn a_token_travels_only_to_whoever_has_the_certificate() {
    let server = behind_a_proxy("");
    let _owner = server.owner();
    let there = Elsewhere::new(&server, &token(&server, "admin", &[]));
    let own = tls::Front::start(server.address, "localhost");
    let foreign = tls::Front::start(server.address, "example.org");
    let list = |port: SocketAddr, trusted: Option<&Path>| {
        let url = format!("https://localhost:{}", port.port());
        let mut command = there.command(&["proc", "status", "--json", "--host", &url]);
        command.env("FAZT_TOKEN", &there.token).env_remove("SSL_CERT_DIR");
        command.env("SSL_CERT_FILE", trusted.map_or(OsStr::new("/nowhere"), Path::as_os_str));
        Outcome::of(&mut command)
    };
    // The server's own name for itself has another port: only the host counts.
    assert_eq!(list(own.address, Some(&own.authority())).ok().json()["apps"], 0);
    let passed = own.bytes_passed();
    assert!(passed > 0);
    let refused = list(own.address, Some(&foreign.authority()));
    assert_eq!(refused.code, 6, "signed by somebody else: {refused:?}");
    assert!(refused.error()["hint"].as_str().is_some_and(|hint| hint.contains("SSL_CERT_FILE")));
    assert_eq!(list(own.address, None).code, 1, "nobody is trusted");
    assert_eq!(list(foreign.address, Some(&foreign.authority())).code, 6, "the certificate of another name");
    assert_eq!((own.bytes_passed(), foreign.bytes_passed()), (passed, 0), "no token went out");
    // Plain bytes where encryption is spoken.
    let mut plain = TcpStream::connect(own.address).expect("connection");
    plain.write_all(b"GET /api/me HTTP/1.1\r\n\r\n").expect("sent");
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"));
}
