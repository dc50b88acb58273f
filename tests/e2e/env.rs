//! Variables and secrets of an app, from the command to its `env`.

use fazt_tests::{Folder, Server};
use serde_json::{Value, json};

const APP: &str = "export default { fetch(request, env) { return Response.json(env); } };";

const MANIFEST: &str = r#"{ "name": "notes", "main": "server.js", "access": "public", "env": [
  { "name": "API_KEY", "required": true, "secret": true, "description": "Key of the weather service" },
  { "name": "GREETING", "default": "hi" },
  { "name": "CITY" }
] }"#;

const SECRET: &str = "s3cr3t-0123456789";

fn files(manifest: &str) -> Folder {
    Folder::with(&[("app.json", manifest), ("server.js", APP), ("public/page.txt", "page")])
}

fn env(server: &Server) -> Value {
    let answer = server.get("notes", "/");
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Sets a value out of a file.
fn set(server: &Server, name: &str, value: &str) -> Value {
    let folder = Folder::with(&[("value", value)]);
    let file = format!("{name}={}", folder.path().join("value").display());
    server.fazt(&["app", "env", "notes", "set", "--file", &file, "--json"]).ok().json()
}

fn variable(list: &Value, name: &str) -> Value {
    let variables = list["variables"].as_array().expect("a list");
    variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null).clone()
}

#[test]
fn a_variable_that_is_required_is_asked_for_before_the_app_starts() {
    let server = Server::start();
    let deployed = server.deploy(&files(MANIFEST), "notes");
    let warnings = deployed["warnings"].to_string();
    for part in ["API_KEY", "Key of the weather service", "fazt app env notes set API_KEY"] {
        assert!(warnings.contains(part), "{part} is not in {warnings}");
    }
    let answer = server.get("notes", "/");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("not set up"), "{}", answer.text());
    // In development, as an ordinary user runs it, a browser on the same machine is told what the log says.
    let told = !rustix::process::geteuid().is_root();
    assert_eq!(answer.text().contains("API_KEY"), told, "strangers learn no names");
    assert_eq!(server.get("notes", "/page.txt").text(), "page", "files need no variable");
    assert_eq!(server.processes("notes"), Vec::<Value>::new(), "nothing was started");
    let log = server.fazt(&["proc", "logs", "notes"]).ok().stdout;
    assert!(log.contains("API_KEY is required and not set"), "{log}");
    let woken = server.fazt(&["proc", "wake", "notes", "--json"]);
    assert_eq!(woken.code, 1);
    assert!(woken.error()["hint"].as_str().is_some_and(|hint| hint.contains("fazt app env")), "{woken:?}");
    let words = server.fazt(&["app", "env", "notes"]).ok().stdout;
    assert!(words.contains("MISSING") && words.contains("hi (default)"), "{words}");

    let list = set(&server, "API_KEY", &format!("{SECRET}\n"));
    assert_eq!(variable(&list, "API_KEY")["set"], true);
    assert_eq!(env(&server), json!({ "API_KEY": SECRET, "GREETING": "hi" }));
    assert_eq!(server.deploy(&files(MANIFEST), "notes")["warnings"], json!([]));
}

#[test]
fn a_change_reaches_running_workers_and_no_secret_comes_back() {
    let server = Server::start();
    server.deploy(&files(MANIFEST), "notes");
    set(&server, "API_KEY", SECRET);
    assert_eq!(env(&server)["API_KEY"], SECRET);
    let before = server.processes("notes")[0]["pid"].clone();
    let changed =
        server.fazt(&["app", "env", "notes", "set", "CITY=Bern", "GREETING=a=b", "OTHER=x", "--json"]);
    let list = changed.ok().json();
    assert_eq!(env(&server), json!({ "API_KEY": SECRET, "CITY": "Bern", "GREETING": "a=b", "OTHER": "x" }));
    assert!(server.processes("notes").iter().any(|row| row["pid"] != before), "another worker");
    assert!(list["notes"][0].as_str().is_some_and(|note| note.contains("OTHER")), "{list}");
    assert_eq!(variable(&list, "CITY")["value"], "Bern", "declared, and no secret");
    assert_eq!(variable(&list, "OTHER")["value"], Value::Null, "nobody said that it is no secret");
    let listed = server.fazt(&["app", "env", "notes", "--json"]).ok().stdout;
    assert!(!listed.contains(SECRET), "{listed}");
    // What becomes public in a later version was a secret when it was set.
    server.deploy(&files(&MANIFEST.replace(r#""secret": true"#, r#""secret": false"#)), "notes");
    let listed = server.fazt(&["app", "env", "notes", "--json"]).ok().stdout;
    assert!(!listed.contains(SECRET), "{listed}");
    for name in ["kernel.db", "kernel.db-wal"] {
        let bytes = std::fs::read(server.data().join(name)).unwrap_or_default();
        let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!holds(SECRET) && !holds("Bern"), "{name} holds a value");
    }
    server.fazt(&["app", "env", "notes", "unset", "CITY", "GREETING"]).ok();
    assert_eq!(env(&server), json!({ "API_KEY": SECRET, "GREETING": "hi", "OTHER": "x" }));
    server.fazt(&["app", "env", "notes", "unset", "API_KEY"]).ok();
    assert_eq!(server.get("notes", "/").status, 503);
}

#[test]
fn a_change_that_is_wrong_changes_nothing() {
    let server = Server::start();
    server.deploy(&files(&MANIFEST.replace(r#""required": true, "#, "")), "notes");
    server.fazt(&["app", "env", "notes", "set", "CITY=Bern"]).ok();
    let long = "x".repeat(16 * 1024 + 1);
    let many: Vec<String> = (0..200).map(|at| format!("V{at}=x")).collect();
    let mut all = vec!["app", "env", "notes", "set"];
    all.extend(many.iter().map(String::as_str));
    for (arguments, code) in [
        (&["app", "env", "none"][..], 3),
        (&["app", "env", "notes", "set", "CITY=Basel", "1A=x"], 2),
        (&["app", "env", "notes", "set", "CITY=Basel", "=x"], 2),
        (&["app", "env", "notes", "set", "CITY=Basel", "a-b=x"], 2),
        (&["app", "env", "notes", "set", "CITY=Basel", "BARE"], 2),
        (&["app", "env", "notes", "set", "CITY=Basel", &format!("LONG={long}")], 1),
        (&["app", "env", "notes", "unset", "CITY", "NEVER"], 3),
        (&all, 1),
    ] {
        let refused = server.fazt(arguments);
        assert_eq!(refused.code, code, "{:?}: {}", &arguments[..4.min(arguments.len())], refused.stderr);
    }
    assert_eq!(env(&server), json!({ "CITY": "Bern", "GREETING": "hi" }));
    let spaces = r#"{ "name": "bound", "main": "server.js", "permissions": { "spaces": true } }"#;
    server.deploy_files("bound", &[("app.json", spaces), ("server.js", APP)]);
    let refused = server.fazt(&["app", "env", "bound", "set", "KV=x"]);
    assert!(refused.code == 5 && refused.stderr.contains("binding"), "{refused:?}");
    let oversized = MANIFEST.replace(r#""default": "hi""#, &format!(r#""default": "{}""#, "x".repeat(4_000)));
    let more: String =
        (0..3).map(|at| format!(r#", {{ "name": "D{at}", "default": "{}" }}"#, "x".repeat(4_000))).collect();
    let folder =
        files(&oversized.replace(r#"{ "name": "CITY" }"#, &format!(r#"{{ "name": "CITY" }}{more}"#)));
    let refused = server.fazt(&["app", "deploy", folder.arg(), "--name", "notes"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("names and defaults of `env`"), "{refused:?}");
}

#[test]
fn variables_go_with_the_app_unless_its_data_is_kept() {
    let mut server = Server::start();
    server.deploy(&files(MANIFEST), "notes");
    set(&server, "API_KEY", SECRET);
    server.fazt(&["app", "rename", "notes", "other"]).ok();
    server.fazt(&["app", "rename", "other", "notes"]).ok();
    server.fazt(&["app", "remove", "notes", "--keep-data", "--yes"]).ok();
    server.kill_hard();
    server.start_again();
    server.deploy(&files(MANIFEST), "notes");
    assert_eq!(env(&server)["API_KEY"], SECRET, "kept with the data");
    server.fazt(&["app", "remove", "notes", "--yes"]).ok();
    server.deploy(&files(MANIFEST), "notes");
    assert_eq!(server.get("notes", "/").status, 503, "gone with the app");
}
