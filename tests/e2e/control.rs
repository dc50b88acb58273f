//! The control API as a program speaks to it over `run/control.sock`: every route, bad bodies, peers that may
//! not, callers that get in each other's way.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use fazt_tests::{Client, Folder, Response, Server, fazt_path};
use serde_json::{Value, json};

use crate::HELLO;

/// SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn connect(server: &Server) -> Client<UnixStream> {
    Client::control(server.data()).expect("the control socket")
}

fn ask(server: &Server, method: &str, path: &str, body: &[u8]) -> Response {
    let fields = [("content-type", "application/json")];
    connect(server).request(method, path, &fields, body).expect("an answer")
}

fn json_of(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("not JSON: {answer:?}"))
}

/// Plans a deploy of one page with the content `abc`; its id.
fn plan(server: &Server, app: &str) -> String {
    let plan = json!({ "files": [{ "path": "index.html", "sha256": ABC, "bytes": 3 }] });
    let answer = ask(server, "POST", &format!("/api/apps/{app}/deploys"), plan.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    json_of(&answer)["id"].as_str().expect("an id").to_owned()
}

/// Every route with its methods, and what it answers where there is no such app or deploy.
const ROUTES: &[(&str, &str, &str, u16)] = &[
    ("GET", "/api/status", "", 200),
    ("GET", "/api/processes", "", 200),
    ("GET", "/metrics", "", 200),
    ("GET", "/api/apps", "", 200),
    ("GET", "/api/apps/none", "", 404),
    ("DELETE", "/api/apps/none", "", 404),
    ("POST", "/api/apps/none/rename", r#"{"name":"other"}"#, 404),
    ("POST", "/api/apps/none/kill", "", 404),
    ("POST", "/api/apps/none/hibernate", "", 404),
    ("POST", "/api/apps/none/wake", "", 404),
    ("POST", "/api/apps/none/restart", "", 404),
    ("GET", "/api/apps/none/versions", "", 404),
    ("POST", "/api/apps/none/rollback", r#"{"number":1}"#, 404),
    ("POST", "/api/apps/none/deploys", r#"{"files":[]}"#, 400),
    ("PUT", "/api/deploys/none/files/00", "x", 400),
    ("POST", "/api/deploys/none/commit", "", 404),
    ("GET", "/api/deploys/none", "", 404),
    ("DELETE", "/api/deploys/none", "", 404),
    ("GET", "/api/apps/none/grants", "", 404),
    ("POST", "/api/apps/none/grants", "{}", 404),
    ("GET", "/api/apps/none/files?path=", "", 404),
    ("GET", "/api/apps/none/file?path=a", "", 404),
    ("GET", "/api/apps/none/logs", "", 404),
    ("GET", "/api/apps/none/trace", "", 404),
    ("GET", "/api/apps/none/egress", "", 404),
];

#[test]
fn every_route_answers_its_own_methods_and_says_what_is_wrong() {
    let server = Server::start();
    for (method, path, body, status) in ROUTES {
        let answer = ask(&server, method, path, body.as_bytes());
        assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text());
        if *status != 200 {
            let error = &json_of(&answer)["error"];
            let expect = if *status == 404 { "not_found" } else { "invalid" };
            assert_eq!(error["code"], expect, "{method} {path}: {error}");
            assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
        }
    }
    // Methods that a route does not have; `GET` brings `HEAD` with it.
    let bare = |path: &'static str| path.split('?').next().unwrap_or(path);
    for (_, path, ..) in ROUTES {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            if ROUTES.iter().any(|(own, other, ..)| *own == method && bare(other) == bare(path)) {
                continue;
            }
            let answer = ask(&server, method, path, b"");
            assert_eq!(
                (answer.status, &json_of(&answer)["error"]["code"]),
                (400, &json!("invalid")),
                "{method} {path}"
            );
        }
    }
    for path in ["/", "/api", "/api/", "/api/nothing", "/api/apps/a/b/c", "/api/apps/", "//api/status"] {
        let answer = ask(&server, "GET", path, b"");
        assert_eq!(json_of(&answer)["error"]["code"], "not_found", "{path}");
    }
}

#[test]
fn a_body_that_is_wrong_is_refused_and_the_connection_may_go_on() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    let mut client = connect(&server);
    let json = [("content-type", "application/json")];
    for (path, body, part) in [
        ("/api/apps/app/rename", "", "EOF"),
        ("/api/apps/app/rename", "{", "EOF"),
        ("/api/apps/app/rename", "[]", "expected"),
        ("/api/apps/app/rename", r#"{"name":7}"#, "invalid type"),
        ("/api/apps/app/rename", r#"{"name":"../etc"}"#, "cannot be the name"),
        ("/api/apps/app/rollback", r#"{"number":-1}"#, "invalid value"),
        ("/api/apps/app/deploys", r#"{"files":[{"path":"a"}]}"#, "missing field"),
        ("/api/apps/app/deploys", r#"{"files":[{"path":"../a","sha256":"","bytes":1}]}"#, "../a"),
        ("/api/apps/app/deploys", r#"{"files":[{"path":"a","sha256":"zz","bytes":1}]}"#, "SHA-256"),
    ] {
        let answer = client.request("POST", path, &json, body.as_bytes()).expect("an answer");
        let error = json_of(&answer)["error"].clone();
        assert_eq!((answer.status, &error["code"]), (400, &json!("invalid")), "{path} {body}: {error}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(part)), "{body}: {error}");
    }
    // Without saying that it is JSON: a page that makes a browser post something gets nowhere either.
    let answer = client.request("POST", "/api/apps/app/rename", &[], br#"{"name":"b"}"#).expect("an answer");
    assert_eq!(json_of(&answer)["error"]["code"], "invalid");
    assert_eq!(client.get("/api/apps/app").expect("an answer").status, 200);
    // Said to be large, and large without saying so.
    let mut large = connect(&server);
    large
        .send(b"POST /api/apps/app/deploys HTTP/1.1\r\nhost: fazt\r\ncontent-type: application/json\r\ncontent-length: 999999999\r\n\r\n")
        .expect("sent");
    assert_eq!(json_of(&large.response(false).expect("an answer"))["error"]["code"], "too_large");
    let mut endless = connect(&server);
    endless
        .send(b"POST /api/apps/app/deploys HTTP/1.1\r\nhost: fazt\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .expect("sent");
    let piece = [b"10000\r\n", vec![b' '; 65_536].as_slice(), b"\r\n"].concat();
    // It is cut off; how much the socket takes before that is the system's affair.
    let sent = (0..200).take_while(|_| endless.send(&piece).is_ok()).count();
    assert!(sent < 200, "the server went on reading");
    assert_eq!(server.get("app", "/").text(), "hello");
}

/// The socket's file keeps others out, and should somebody open it wide, the look at the peer does.
#[test]
fn another_user_is_refused_by_the_file_and_by_the_look_at_the_peer() {
    if !rustix::process::geteuid().is_root() {
        println!("only root can become another user: not tried");
        return;
    }
    let server = Server::start();
    // Where that user can reach it.
    let stage = Folder::new();
    let fazt = stage.path().join("fazt");
    std::fs::copy(fazt_path(), &fazt).expect("a copy");
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
    };
    open(stage.path(), 0o755);
    let status = |uid: u32, gid: u32| {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(&fazt);
        command.args(["proc", "status", "--json", "--data"]).arg(server.data()).uid(uid).gid(gid);
        let output = command.output().expect("fazt runs");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
        (output.status.code(), error["error"]["code"].clone(), error["error"]["message"].clone())
    };
    let (code, kind, _) = status(65_534, 65_534);
    assert_eq!((code, kind), (Some(4), json!("permission_denied")), "by the file");
    let run = server.data().join("run");
    open(server.data(), 0o755);
    open(&run, 0o755);
    open(&run.join("control.sock"), 0o666);
    for gid in [65_534, 0] {
        let (code, kind, message) = status(65_534, gid);
        assert_eq!((code, &kind), (Some(4), &json!("permission_denied")), "{message}");
        assert_eq!(message, "you may not command this server", "by the look at the peer");
    }
    assert_eq!(status(0, 0).0, Some(0));
}

#[test]
fn a_server_that_was_stopped_can_be_started_at_once() {
    let mut server = Server::start();
    for _ in 0..3 {
        server.fazt(&["proc", "stop"]).ok();
        assert_eq!(server.exit_code(), Some(0));
        assert!(!server.data().join("kernel.db-wal").exists(), "databases are closed, not dropped");
        server.start_again();
    }
    assert_eq!(server.status()["apps"], 0);
}

#[test]
fn two_deploys_at_once_of_one_app_are_two_versions() {
    let server = Server::start();
    server.deploy_files("app", &[("public/a.txt", "0"), ("public/b.txt", "0")]);
    let folders: Vec<Folder> = (1..=4)
        .map(|n| Folder::with(&[("public/a.txt", &n.to_string()), ("public/b.txt", &n.to_string())]))
        .collect();
    std::thread::scope(|scope| {
        for folder in &folders {
            scope.spawn(|| server.deploy(folder, "app"));
        }
    });
    let versions = server.fazt(&["app", "versions", "app", "--json"]).ok().json();
    let numbers: Vec<_> =
        versions.as_array().expect("versions").iter().map(|row| row["number"].clone()).collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1].map(Value::from));
    assert_eq!(server.get("app", "/a.txt").text(), server.get("app", "/b.txt").text(), "one of them, whole");
}

#[test]
fn one_deploy_is_committed_once() {
    let server = Server::start();
    let id = plan(&server, "app");
    let early = ask(&server, "POST", &format!("/api/deploys/{id}/commit"), b"");
    assert!(json_of(&early)["error"]["message"].as_str().is_some_and(|text| text.contains("not sent")));
    for (content, status) in [("abd", 400), ("ab", 400), ("abcd", 400), ("abc", 200), ("abc", 200)] {
        let put = ask(&server, "PUT", &format!("/api/deploys/{id}/files/{ABC}"), content.as_bytes());
        assert_eq!(put.status, status, "{content}: {}", put.text());
    }
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let commit = || ask(&server, "POST", &format!("/api/deploys/{id}/commit"), b"").status;
        let all: Vec<_> = (0..4).map(|_| scope.spawn(commit)).collect();
        all.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    // The others came while it was committed, or after.
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 404 | 409)), "{statuses:?}");
    assert_eq!(server.get("app", "/").text(), "abc");
    let late = ask(&server, "DELETE", &format!("/api/deploys/{id}"), b"");
    assert_eq!(late.status, 404, "it is done");
}

#[test]
fn renames_removals_and_deploys_across_each_other_leave_whole_apps() {
    let server = Server::start();
    let folder = Folder::with(&[("public/index.html", "home")]);
    for _ in 0..3 {
        server.deploy(&folder, "one");
        server.deploy(&folder, "two");
        std::thread::scope(|scope| {
            for words in [
                vec!["app", "rename", "one", "two"],
                vec!["app", "rename", "two", "one"],
                vec!["app", "rename", "one", "three"],
                vec!["app", "remove", "two", "--yes"],
                vec!["app", "deploy", folder.arg(), "--name", "one"],
            ] {
                let server = &server;
                scope.spawn(move || {
                    let outcome = server.fazt(&words);
                    assert!(matches!(outcome.code, 0 | 3 | 5), "{words:?}: {outcome:?}");
                });
            }
        });
        let apps = server.fazt(&["app", "list", "--json"]).ok().json();
        let names: Vec<&str> =
            apps.as_array().expect("apps").iter().filter_map(|app| app["name"].as_str()).collect();
        for name in ["one", "two", "three"] {
            let expect = if names.contains(&name) { 200 } else { 421 };
            assert_eq!(server.get(name, "/").status, expect, "{name} of {names:?}");
        }
        for name in names {
            server.fazt(&["app", "remove", name, "--yes"]).ok();
        }
    }
    let left: Vec<_> = std::fs::read_dir(server.data().join("apps")).expect("apps").flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == ".deploys"), "{left:?}");
}

#[test]
fn a_slow_upload_holds_nobody_up_and_half_of_one_is_nothing() {
    let server = Server::start();
    let id = plan(&server, "app");
    let head =
        format!("PUT /api/deploys/{id}/files/{ABC} HTTP/1.1\r\nhost: fazt\r\ncontent-length: 3\r\n\r\na");
    let mut slow = connect(&server);
    slow.send(head.as_bytes()).expect("sent");
    server.deploy_files("other", &[("server.js", HELLO)]);
    assert_eq!(server.get("other", "/").text(), "hello");
    drop(slow);
    let commit = ask(&server, "POST", &format!("/api/deploys/{id}/commit"), b"");
    assert_eq!(commit.status, 400, "{commit:?}");
    assert_eq!(server.get("app", "/").status, 421, "nothing of it is live");
    let folder = server.data().join("apps/.deploys").join(&id);
    server.wait("half of a file to be gone", |_| {
        std::fs::read_dir(&folder).is_ok_and(|entries| entries.count() == 0)
    });
}

#[test]
fn deploys_that_nobody_ends_are_bounded_and_gone_after_a_restart() {
    let mut server = Server::start();
    let id = plan(&server, "app");
    let body = json!({ "files": [{ "path": "index.html", "sha256": ABC, "bytes": 3 }] }).to_string();
    let mut client = connect(&server);
    let refused = (0..200).find_map(|_| {
        let fields = [("content-type", "application/json")];
        let answer =
            client.request("POST", "/api/apps/app/deploys", &fields, body.as_bytes()).expect("an answer");
        (answer.status != 200).then(|| json_of(&answer)["error"].clone())
    });
    let refused = refused.expect("a bound");
    assert_eq!(refused["code"], "too_large", "{refused}");
    // One that is ended makes room.
    assert_eq!(ask(&server, "DELETE", &format!("/api/deploys/{id}"), b"").status, 200);
    plan(&server, "app");
    drop(client);
    server.kill_hard();
    server.start_again();
    let left = std::fs::read_dir(server.data().join("apps/.deploys")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "contents of deploys that nobody ended");
    assert_eq!(ask(&server, "POST", &format!("/api/deploys/{id}/commit"), b"").status, 404);
}
