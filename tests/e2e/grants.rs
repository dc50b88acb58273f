//! What apps may: nothing by itself, what the owner granted, and no longer than they did.

use fazt_tests::{Folder, Outcome, Server};
use serde_json::{Value, json};

/// Tries what the path names, and says how it ended.
const APP: &str = r#"
const ways = {
  sql: () => fazt.storage.sql.prepare("SELECT 1 AS one").first(),
  shared: () => fazt.storage.space("app").kv.get("a"),
  spaces: () => fazt.storage.spaces.list(),
  binding: (env) => env.KV.get("a"),
  own: () => fazt.storage.kv.get("a"),
  net: () => fetch("https://api.example.org/x"),
  below: () => fetch("https://one.two.example.net/x"),
};
export default { async fetch(request, env) {
  try {
    await ways[new URL(request.url).pathname.slice(1)](env);
    return new Response("done");
  } catch (error) {
    return Response.json({ name: error.name, permission: error.permission, message: error.message });
  }
} };"#;

fn manifest(permissions: &str) -> String {
    format!(r#"{{ "name": "asks", "main": "server.js", "access": "public", "permissions": {permissions} }}"#)
}

fn folder(permissions: &str) -> Folder {
    Folder::with(&[("app.json", &manifest(permissions)), ("server.js", APP)])
}

fn deploy(server: &Server, permissions: &str, how: &[&str]) -> Outcome {
    let folder = folder(permissions);
    let words = [&["app", "deploy", folder.arg(), "--json"][..], how].concat();
    server.fazt(&words)
}

/// The permission that a try lacked; none: it was let through.
fn lacks(server: &Server, way: &str) -> Option<String> {
    let text = server.get("asks", &format!("/{way}")).text();
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    if said["name"] != "PermissionDenied" {
        return None;
    }
    let (permission, message) = (said["permission"].as_str()?, said["message"].as_str()?);
    let command = format!("fazt app grant asks {permission}");
    assert!(message.contains(&command) && message.contains("app.json"), "{message}");
    Some(permission.to_owned())
}

/// Answers by permission, as `fazt app grants` lists them.
fn answers(server: &Server) -> Vec<(String, String)> {
    let list = server.fazt(&["app", "grants", "asks", "--json"]).ok().json();
    let text = |info: &Value, key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let permissions = list["permissions"].as_array().expect("a list");
    permissions.iter().map(|info| (text(info, "permission"), text(info, "answer"))).collect()
}

const ALL: &str = r#"{ "sql": true, "spaces": true, "net": ["api.example.org", "*.example.net"],
  "reasons": { "net": "to fetch the weather" } }"#;

#[test]
fn an_app_has_what_was_granted_and_is_told_how_it_would_have_the_rest() {
    let server = Server::start();
    let deployed = deploy(&server, ALL, &["--grant", "sql,net:api.example.org"]).ok().json();
    assert_eq!(deployed["permissions"][0]["reason"], "to fetch the weather");
    assert_eq!(lacks(&server, "own"), None, "needs none, and nobody is signed in");
    assert_eq!(lacks(&server, "shared").as_deref(), Some("spaces"));
    assert_eq!(lacks(&server, "spaces").as_deref(), Some("spaces"));
    assert_eq!(lacks(&server, "binding").as_deref(), Some("spaces"));
    assert_eq!(lacks(&server, "net"), None);
    assert_eq!(lacks(&server, "below").as_deref(), Some("net:one.two.example.net"));
    let workers = server.processes("asks");
    // At once, for the worker that runs.
    server.fazt(&["app", "grant", "asks", "spaces", "net:*.example.net"]).ok();
    for way in ["shared", "binding", "below"] {
        assert_eq!(lacks(&server, way), None, "{way}");
    }
    server.fazt(&["app", "revoke", "asks", "spaces", "net:api.example.org"]).ok();
    assert_eq!(lacks(&server, "shared").as_deref(), Some("spaces"));
    assert_eq!(lacks(&server, "net").as_deref(), Some("net:api.example.org"));
    assert_eq!(server.processes("asks")[0]["pid"], workers[0]["pid"], "the same process all along");
    let words = server.fazt(&["app", "grants", "asks"]).ok().stdout;
    assert!(words.contains("exchange data with any server below example.net"), "{words}");
    assert!(words.contains("to fetch the weather"), "{words}");
    let audit = server.fazt(&["security", "audit"]).ok().stdout;
    for part in ["+spaces +net:*.example.net", "-spaces -net:api.example.org", "granted net:api.example.org"]
    {
        assert!(audit.contains(part), "{part} is not in {audit}");
    }
}

#[test]
fn nobody_who_was_asked_said_nothing() {
    let server = Server::start();
    let first = deploy(&server, ALL, &[]).ok().json();
    assert!(first["permissions"].as_array().is_some_and(|all| all.len() == 4), "{first}");
    assert!(answers(&server).iter().all(|(_, answer)| answer == "unanswered"), "{:?}", answers(&server));
    assert_eq!(
        lacks(&server, "shared").as_deref(),
        Some("spaces"),
        "a script that says nothing grants nothing"
    );
    // The same again is no news; more than that waits, and the version before goes on.
    deploy(&server, ALL, &[]).ok();
    let more = ALL.replace("\"sql\": true", "\"sql\": true, \"push\": true");
    let refused = deploy(&server, &more, &[]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let error = refused.error();
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains("push (send notifications")),
        "{error}"
    );
    assert!(error["hint"].as_str().is_some_and(|text| text.contains("--yes")), "{error}");
    let number = |server: &Server| {
        server.fazt(&["app", "info", "asks", "--json"]).ok().json()["version"]["number"].clone()
    };
    assert_eq!(number(&server), json!(1));
    let dry = deploy(&server, &more, &["--dry-run"]).ok().json();
    assert_eq!((&dry["waits"], &dry["exists"]), (&json!(true), &json!(true)), "{dry}");
    assert_eq!(number(&server), json!(1));
    deploy(&server, &more, &["--grant", "none"]).ok();
    assert_eq!(number(&server), json!(2));
    assert!(answers(&server).iter().all(|(_, answer)| answer == "refused"), "{:?}", answers(&server));
    // What was refused is not asked again.
    deploy(&server, &more, &["--yes"]).ok();
    assert!(answers(&server).iter().all(|(_, answer)| answer == "refused"), "{:?}", answers(&server));
    deploy(&server, &more, &["--grant", "push"]).ok();
    assert_eq!(answers(&server).iter().filter(|(_, answer)| answer == "granted").count(), 1);
}

#[test]
fn what_cannot_be_granted_is_refused_and_changes_nothing() {
    let server = Server::start();
    for (how, part) in [
        (&["--grant", "net:evil.example.org"][..], "does not ask for `net:evil.example.org`"),
        (&["--grant", "everything"], "`everything` is no permission"),
        (&["--grant", "net:\u{1b}[31m"], "is no permission"),
    ] {
        let refused = deploy(&server, ALL, how);
        assert_eq!(refused.code, 2, "{refused:?}");
        let message = refused.error()["message"].to_string();
        assert!(message.contains(part) && !message.contains('\u{1b}'), "{message}");
    }
    assert_eq!(server.fazt(&["app", "info", "asks"]).code, 3, "there is no such app");
    deploy(&server, ALL, &["--grant", "sql"]).ok();
    for (words, code) in [
        (&["app", "grant", "asks", "push"][..], 2),
        (&["app", "grant", "asks", "spaces", "oops"], 2),
        (&["app", "revoke", "asks", "push"], 3),
        (&["app", "grant", "nobody", "sql"], 3),
    ] {
        assert_eq!(server.fazt(words).code, code, "{words:?}");
    }
    assert_eq!(lacks(&server, "shared").as_deref(), Some("spaces"), "all of it, or nothing");
    let both = server.fazt(&["app", "deploy", ".", "--yes", "--grant", "sql"]);
    assert_eq!(both.code, 2, "{both:?}");
}

#[test]
fn a_grant_outlives_a_crash_and_not_the_app() {
    let mut server = Server::start();
    deploy(&server, ALL, &["--grant", "spaces"]).ok();
    assert_eq!(lacks(&server, "shared"), None);
    server.kill_hard();
    server.start_again();
    assert_eq!(lacks(&server, "shared"), None);
    server.fazt(&["app", "remove", "asks", "--keep-data", "--yes"]).ok();
    deploy(&server, ALL, &[]).ok();
    assert_eq!(lacks(&server, "shared").as_deref(), Some("spaces"), "whoever takes it up again is asked");
    // A version that no longer asks does not have it, whatever was granted.
    server.fazt(&["app", "grant", "asks", "spaces"]).ok();
    deploy(&server, r#"{ "sql": true }"#, &[]).ok();
    assert_eq!(lacks(&server, "shared").as_deref(), Some("spaces"));
}
