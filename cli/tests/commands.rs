//! The command line as scripts see it: what is asked of the server, JSON on standard output, errors on standard
//! error, exit codes. The server is a small one in this test that answers from a table.

mod server;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use server::Fake;

fn fazt(data: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fazt"));
    command.args(words.split_whitespace()).env("FAZT_DATA", data).env_remove("NO_COLOR");
    command.stdin(std::process::Stdio::null()).output().expect("fazt runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn error(output: &Output) -> Value {
    serde_json::from_slice::<Value>(&output.stderr).expect("one JSON document on standard error")["error"]
        .clone()
}

fn app() -> Value {
    json!({
        "id": "app_0000000000000000000000000a", "name": "notes", "url": "http://notes.localhost:8080/",
        "access": "public", "version": version(2), "state": "idle", "description": "Notes \u{1b}[2J",
        "created_unix_ms": 0, "disk_bytes": 4096,
    })
}

fn version(number: u64) -> Value {
    json!({
        "id": "ver_0000000000000000000000000b", "number": number, "version": "1.0.0", "tree_sha256": "ab".repeat(32),
        "files": 2, "bytes": 2048, "created_unix_ms": 1_795_163_400_000_u64, "active": true, "origin": null,
    })
}

fn refusal(code: &str) -> Value {
    json!({ "error": { "code": code, "message": "It is so.", "hint": "do this" } })
}

#[test]
fn no_server_is_exit_code_6_and_says_how_to_start_one() {
    let data = tempfile::tempdir().expect("a folder");
    let output = fazt(data.path(), "proc status --json");
    assert_eq!(output.status.code(), Some(6));
    assert!(output.stdout.is_empty());
    let error = error(&output);
    assert_eq!(error["code"], "unreachable");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("fazt proc start")), "{error}");

    let output = fazt(data.path(), "proc status");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.starts_with("error: no server runs") && words.contains("try: fazt proc start"), "{words}");
}

#[test]
fn a_failure_of_the_server_decides_the_exit_code() {
    for (status, code, exit) in [
        (500, "failed", 1),
        (413, "too_large", 1),
        (400, "invalid", 2),
        (404, "not_found", 3),
        (403, "permission_denied", 4),
        (409, "conflict", 5),
        (503, "unreachable", 6),
    ] {
        let server = Fake::start(vec![("GET /api/apps/notes", status, refusal(code).to_string())]);
        let output = fazt(server.data(), "app info notes --json");
        assert_eq!(output.status.code(), Some(exit), "{code}");
        assert_eq!(error(&output), refusal(code)["error"]);
    }
}

#[test]
fn mistakes_in_usage_are_exit_code_2() {
    let data = tempfile::tempdir().expect("a folder");
    for words in
        ["", "nonsense", "app deploy", "proc start --listen example.org:80", "app rollback notes two"]
    {
        assert_eq!(fazt(data.path(), words).status.code(), Some(2), "{words}");
    }
    let output = fazt(data.path(), "proc kill --json");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(error(&output)["code"], "invalid");
    for words in ["--help", "app deploy --help", "--version"] {
        assert_eq!(fazt(data.path(), words).status.code(), Some(0), "{words}");
    }
}

#[test]
fn json_is_one_document_as_the_server_gave_it() {
    let apps = json!([app()]);
    let server = Fake::start(vec![
        ("GET /api/apps", 200, apps.to_string()),
        (
            "GET /api/apps/notes/logs?since_ms=0&follow=false",
            200,
            format!("{}\n{}\n", log("one"), log("two")),
        ),
    ]);
    let output = fazt(server.data(), "app list --json");
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).expect("JSON"), apps);
    let output = fazt(server.data(), "proc logs notes --json");
    assert_eq!(
        serde_json::from_str::<Value>(&stdout(&output)).expect("JSON"),
        json!([log("one"), log("two")])
    );
}

fn log(text: &str) -> Value {
    json!({
        "unix_ms": 0, "level": "info", "principal": "anonymous", "request": "", "origin": "server.js:3", "text": text,
    })
}

#[test]
fn a_log_that_is_followed_is_a_document_a_line() {
    let lines = format!("{}\n\n{}\n", log("one"), log("two"));
    let server =
        Fake::start(vec![("GET /api/apps/notes/logs?since_ms=1795163400000&follow=true", 200, lines)]);
    let text = stdout(&fazt(server.data(), "proc logs notes -f --since 2026-11-20T08:30 --json"));
    let documents: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(documents, [log("one"), log("two")]);
    let words = stdout(&fazt(server.data(), "proc logs notes -f --since 2026-11-20T08:30Z"));
    assert_eq!(words.lines().next(), Some("1970-01-01T00:00:00.000Z info  one  (server.js:3)"));
}

#[test]
fn an_apps_texts_cannot_drive_the_terminal() {
    let server = Fake::start(vec![
        ("GET /api/apps/notes", 200, app().to_string()),
        (
            "GET /api/apps/notes/logs?since_ms=0&follow=false",
            200,
            format!("{}\n", log("a\u{1b}]0;x\u{7}\nb\rc")),
        ),
    ]);
    for words in ["app info notes", "proc logs notes"] {
        let text = stdout(&fazt(server.data(), words));
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\\u{1b}"), "{text}");
    }
}

#[test]
fn a_deploy_sends_only_what_is_missing_and_then_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("app.json"), r#"{"name":"notes"}"#).expect("a file");
    std::fs::write(folder.path().join("server.js"), "abc").expect("a file");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let put = format!("PUT /api/deploys/d1/files/{abc}");
    let deployed = json!({ "app": app(), "version": version(2), "unchanged": false, "files_sent": 1, "warnings": ["beware"],
        "permissions": [{ "permission": "net:a.b", "means": "exchange data with a.b", "reason": "", "risk": "high", "answer": "unanswered" }] });
    let server = Fake::start(vec![
        ("POST /api/apps/notes/deploys", 200, json!({ "id": "d1", "missing": [abc] }).to_string()),
        (&put, 200, "{}".into()),
        ("POST /api/deploys/d1/commit", 200, deployed.to_string()),
    ]);
    let output = fazt(server.data(), &format!("app deploy {}", folder.path().display()));
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in [
        "notes is live as version 2: 1 of 2 files sent",
        "http://notes.localhost:8080/",
        "access: public",
        "beware",
        "not granted: net:a.b; change it: fazt app grant notes net:a.b",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let seen = server.seen();
    assert_eq!(
        seen.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>(),
        ["POST /api/apps/notes/deploys", &put, "POST /api/deploys/d1/commit"]
    );
    let plan: Value = serde_json::from_slice(&seen[0].1).expect("a plan");
    assert_eq!(plan["files"][1], json!({ "path": "server.js", "sha256": abc, "bytes": 3 }));
    assert_eq!(seen[1].1, b"abc");
}

#[test]
fn a_deploy_that_fails_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), "x").expect("a file");
    let server = Fake::start(vec![
        ("POST /api/apps/x/deploys", 200, json!({ "id": "d1", "missing": [] }).to_string()),
        ("POST /api/deploys/d1/commit", 400, refusal("invalid").to_string()),
        ("DELETE /api/deploys/d1", 200, "{}".into()),
    ]);
    let output = fazt(server.data(), &format!("app deploy {} --name x --json", folder.path().display()));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(error(&output)["message"], "It is so.");
    assert_eq!(server.seen().last().map(|(line, _)| line.clone()).as_deref(), Some("DELETE /api/deploys/d1"));
}

#[test]
fn nothing_is_removed_without_a_yes() {
    let server = Fake::start(vec![
        ("GET /api/apps/notes", 200, app().to_string()),
        ("DELETE /api/apps/notes?keep_data=true", 200, "{}".into()),
    ]);
    let output = fazt(server.data(), "app remove notes --json");
    assert_eq!(output.status.code(), Some(2), "no terminal, no --yes");
    assert_eq!(server.seen().len(), 1);
    let output = fazt(server.data(), "app remove notes --keep-data --yes --json");
    assert_eq!(stdout(&output).trim(), r#"{"app":"notes","removed":true,"kept_data":true}"#);
}

#[test]
fn deployed_files_are_read_and_never_written() {
    let entry = json!({
        "path": "public/a b.txt", "dir": false, "bytes": 5, "stored_bytes": 5, "sha256": "00", "media_type": "text/plain",
    });
    let server = Fake::start(vec![
        ("GET /api/apps/notes/file?path=public%2Fa%20b.txt", 200, "bytes".into()),
        (
            "GET /api/apps/notes/files?path=public%2Fa%20b.txt",
            200,
            json!({ "entry": entry, "children": [] }).to_string(),
        ),
    ]);
    let into = tempfile::tempdir().expect("a folder");
    let get = |place: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fazt"));
        command.args(["fs", "get", place]).arg(into.path()).env("FAZT_DATA", server.data());
        command.output().expect("fazt runs")
    };
    assert_eq!(get("notes:public/a b.txt").status.code(), Some(0));
    assert_eq!(std::fs::read(into.path().join("a b.txt")).expect("the copy"), b"bytes");
    assert_eq!(get("notes:public/a b.txt").status.code(), Some(5), "a copy that is there is not overwritten");

    let output = fazt(server.data(), "fs put x notes:server.js --json");
    assert_eq!(output.status.code(), Some(4));
    assert!(error(&output)["hint"].as_str().is_some_and(|hint| hint.contains("fazt app deploy")));
}

#[test]
fn completions_and_man_pages_are_made_for_every_verb() {
    let data = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&fazt(data.path(), &format!("completions {shell}")));
        assert!(text.contains("rollback") && text.contains("hibernate"), "{shell}");
        assert!(!text.contains("__supervise"), "roles are nobody's business");
    }
    let pages = data.path().join("man");
    let output = fazt(data.path(), &format!("man {}", pages.display()));
    assert_eq!(output.status.code(), Some(0));
    for page in ["fazt.1", "fazt-app-deploy.1", "fazt-proc-ps.1"] {
        let text = std::fs::read_to_string(pages.join(page)).expect("a page");
        assert!(text.contains(".TH"), "{page}");
    }
}
