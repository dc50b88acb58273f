//! Commands that work on a server elsewhere: the same answers, saved servers, tokens, certificates.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use fazt_tests::{Folder, Outcome, Server, fazt_command, tls};
use serde_json::{Value, json};

use super::api::token;
use crate::HELLO;

const LOG: &str = "export default { fetch() { console.log('said'); return new Response('hello'); } };";

/// Somebody's machine: a home folder, and nothing of the server's.
struct Elsewhere {
    home: tempfile::TempDir,
    url: String,
    token: String,
}

impl Elsewhere {
    fn new(server: &Server, token: &str) -> Self {
        let url = format!("http://localhost:{}", server.address.port());
        Self { home: tempfile::tempdir().expect("a folder"), url, token: token.to_owned() }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = fazt_command(self.home.path());
        command.args(arguments);
        command
    }

    /// A command for the server, named by its address.
    fn fazt(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(arguments);
        command.args(["--host", &self.url]).env("FAZT_TOKEN", &self.token);
        Outcome::of(&mut command)
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

#[test]
fn every_command_does_elsewhere_what_it_does_here() {
    let mut server = Server::start();
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let there = Elsewhere::new(&server, &token(&server, "admin", &[]));
    let folder = Folder::with(&[("server.js", LOG), ("public/a.txt", "a")]);
    let deployed = there.fazt(&["app", "deploy", folder.arg(), "--name", "notes", "--json"]).ok().json();
    assert_eq!((&deployed["version"]["number"], &deployed["files_sent"]), (&1.into(), &2.into()));
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
    for words in ["user invite", "user apps bo --all", "user passwd bo --link", "user remove bo --yes"] {
        there.fazt(&words.split(' ').collect::<Vec<_>>()).ok();
    }
    let sessions = there.fazt(&["user", "sessions", "anna", "--json"]).ok().json();
    there.fazt(&["user", "revoke-session", sessions[0]["id"].as_str().expect("id")]).ok();
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

    for words in ["proc start", "proc init", "proc config", "proc doctor"] {
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
    let server = Server::start();
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
