//! The admin API at the OS origin: described as it is, for tokens alone, as far as their scope reaches.

use std::collections::BTreeSet;

use fazt_tests::{Client, Folder, PASSWORD, Response, Server, schema};
use serde_json::{Value, json};

use crate::HELLO;

/// SHA-256 of `abc`.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// A token of this scope; more arguments go to `fazt security token new`.
pub fn token(server: &Server, scope: &str, arguments: &[&str]) -> String {
    let arguments = [&["security", "token", "new", "--scope", scope, "--json"], arguments].concat();
    server.fazt(&arguments).ok().json()["token"].as_str().expect("a token").to_owned()
}

fn connect(server: &Server) -> Client {
    Client::connect(server.address, &format!("localhost:{}", server.address.port())).expect("connection")
}

fn ask(server: &Server, token: &str, method: &str, path: &str, body: &Value) -> Response {
    let bearer = format!("Bearer {token}");
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    connect(server).request(method, path, &fields, &body).expect("an answer")
}

fn code(answer: &Response) -> (u16, String) {
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, said["error"]["code"].as_str().unwrap_or("none").to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn server_with_apps() -> Server {
    let server = Server::start();
    let log = "export default {
        async fetch(request) {
            if (request.url.endsWith('/fail')) await fazt.proc.schedule(0, 'fail');
            console.log('said');
            return new Response('hello');
        },
        scheduled(event) { event.noRetry(); if (event.payload) throw new Error(event.payload); } };";
    let manifest = r#"{ "name": "notes", "main": "server.js", "collections": { "notes": { "schema": { "n": "integer" } } },
        "permissions": { "schedule": true }, "cron": [{ "name": "tick", "schedule": "0 0 1 1 *" }] }"#;
    server.deploy_files("notes", &[("app.json", manifest), ("server.js", log), ("public/a.txt", "a")]);
    server.deploy_files("other", &[("server.js", HELLO)]);
    server
}

#[test]
fn every_operation_answers_as_it_is_described() {
    let server = server_with_apps();
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let token = token(&server, "admin", &[]);
    let document = connect(&server).get("/api/openapi.json").expect("an answer");
    assert_eq!(document.status, 200, "the description is for everybody");
    let document: Value = serde_json::from_slice(&document.body).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(server.get("notes", "/").text(), "hello");

    let mut called = BTreeSet::new();
    let mut call = |name: &str, path: &str, body: Value| -> Value {
        let (template, verb, entry) = find(&document, name);
        let bare = path.split('?').next().unwrap_or(path);
        assert!(fits(template, bare), "{path} is not {template}");
        let answer = match name {
            "app.send" => {
                let bearer = format!("Bearer {token}");
                connect(&server)
                    .request("PUT", path, &[("authorization", &bearer)], b"abc")
                    .expect("an answer")
            }
            _ => ask(&server, &token, &verb.to_uppercase(), path, &body),
        };
        called.insert(name.to_owned());
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{name}");
        assert!(answer.field("x-request-id").is_some(), "{name}");
        let content = entry["responses"]["200"]["content"].as_object().expect("one form");
        let (media_type, form) = content.iter().next().expect("one form");
        assert!(
            answer.field("content-type").is_some_and(|is| is.starts_with(media_type)),
            "{name}: {answer:?}"
        );
        if !body.is_null() {
            let schema = &entry["requestBody"]["content"]["application/json"]["schema"];
            schema::check(&document, schema, &body)
                .unwrap_or_else(|why| panic!("what {name} is sent: {why}"));
        }
        let lines: Vec<Value> = match media_type.as_str() {
            "application/json" => vec![serde_json::from_slice(&answer.body).expect("JSON")],
            "application/x-ndjson" => {
                answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
            }
            _ => Vec::new(),
        };
        for line in &lines {
            schema::check(&document, &form["schema"], line).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        if media_type == "application/x-ndjson" {
            Value::Array(lines)
        } else {
            lines.first().cloned().unwrap_or_default()
        }
    };
    call("api.describe", "/api/openapi.json", Value::Null);
    let me = call("api.me", "/api/me", Value::Null);
    assert_eq!((&me["name"], &me["role"], &me["scope"]), (&"olga".into(), &"owner".into(), &"admin".into()));
    call("server.status", "/api/status", Value::Null);
    let processes = call("server.processes", "/api/processes", Value::Null);
    assert!(!processes.as_array().expect("rows").is_empty());
    call("server.metrics", "/api/metrics", Value::Null);
    assert_eq!(call("app.list", "/api/apps", Value::Null).as_array().map(Vec::len), Some(2));
    call("app.info", "/api/apps/notes", Value::Null);
    for name in ["hibernate", "wake", "restart", "kill"] {
        call(&format!("app.{name}"), &format!("/api/apps/notes/{name}"), Value::Null);
    }
    server
        .wait("the entry", |server| !server.fazt(&["proc", "schedules", "--json"]).ok().json()[0].is_null());
    assert_eq!(call("schedule.list-all", "/api/schedules", Value::Null)[0]["app"], "notes");
    assert_eq!(call("schedule.list", "/api/apps/notes/schedules", Value::Null)[0]["name"], "tick");
    assert_eq!(call("schedule.run", "/api/apps/notes/schedules/tick/run", Value::Null)["outcome"], "ok");
    assert_eq!(server.get("notes", "/fail").text(), "hello");
    server.wait("a dead letter", |server| {
        !server.fazt(&["proc", "jobs", "notes", "--dead", "--json"]).ok().json()[0].is_null()
    });
    assert_eq!(call("schedule.runs", "/api/apps/notes/runs", Value::Null)[0]["error"], "Error: fail");
    let dead = call("job.list", "/api/apps/notes/jobs?dead=true", Value::Null);
    let job = format!("/api/apps/notes/jobs/{}", dead[0]["id"].as_str().expect("id"));
    call("job.retry", &format!("{job}/retry"), Value::Null);
    server.wait("the letter again", |server| {
        !server.fazt(&["proc", "jobs", "notes", "--dead", "--json"]).ok().json()[0].is_null()
    });
    call("job.discard", &job, Value::Null);
    let files = json!({ "files": [{ "path": "index.html", "sha256": ABC, "bytes": 3 }] });
    let ticket = call("app.plan", "/api/apps/notes/deploys", files.clone());
    call("app.abort", &format!("/api/deploys/{}", ticket["id"].as_str().expect("id")), Value::Null);
    let ticket = call("app.plan", "/api/apps/notes/deploys", files);
    let deploy = format!("/api/deploys/{}", ticket["id"].as_str().expect("id"));
    call("app.send", &format!("{deploy}/files/{ABC}"), Value::Null);
    assert_eq!(call("app.review", &deploy, Value::Null)["waits"], false);
    let consent = json!({ "all": true, "grant": [] });
    assert_eq!(call("app.deploy", &format!("{deploy}/commit"), consent)["version"]["number"], 2);
    for (name, path, body) in [
        ("app.install", "/api/installs", json!({ "source": "ftp://example.org/a" })),
        ("app.update", "/api/apps/notes/updates", json!({})),
    ] {
        let last = call(name, path, body)[0].clone();
        assert_eq!((&last["step"], &last["error"]["code"]), (&"failed".into(), &"invalid".into()), "{last}");
    }
    assert_eq!(call("net.egress", "/api/apps/notes/egress", Value::Null), json!([]));
    let certificates = call("net.certs", "/api/certificates", Value::Null);
    assert_eq!((&certificates["mode"], &certificates["certificates"]), (&"off".into(), &json!([])));
    call("grant.list", "/api/apps/notes/grants", Value::Null);
    call("grant.change", "/api/apps/notes/grants", json!({ "grant": [], "revoke": [] }));
    call("app.versions", "/api/apps/notes/versions", Value::Null);
    call("app.rollback", "/api/apps/notes/rollback", json!({ "number": 1 }));
    call("env.change", "/api/apps/notes/env", json!({ "set": { "A": "secret value" }, "unset": [] }));
    let list = call("env.list", "/api/apps/notes/env", Value::Null);
    assert_eq!((&list["variables"][0]["name"], &list["variables"][0]["value"]), (&"A".into(), &Value::Null));
    call("file.list", "/api/apps/notes/files?path=", Value::Null);
    call("file.read", "/api/apps/notes/file?path=public/a.txt", Value::Null);
    let log = call("app.logs", "/api/apps/notes/logs?since_ms=0&follow=false", Value::Null);
    assert_eq!(log[0]["text"], "said");
    assert_eq!(call("storage.usage", "/api/storage", Value::Null).as_array().map(Vec::len), Some(2));
    call("storage.check", "/api/storage/check?app=notes", Value::Null);
    let collections = call("storage.collections", "/api/apps/notes/collections", Value::Null);
    assert_eq!(collections[0]["name"], "notes");
    let query = json!({ "collection": "notes", "user": "anna", "where": { "n": 1 }, "order": [["n", true]] });
    assert_eq!(call("storage.query", "/api/apps/notes/query", query.clone())["items"], json!([]));
    call("storage.explain", "/api/apps/notes/explain", query);
    call("storage.export-user", "/api/users/anna/export", Value::Null);
    call("app.rename", "/api/apps/other/rename", json!({ "name": "renamed" }));
    call("app.remove", "/api/apps/renamed?keep_data=true", Value::Null);
    let added = call("user.add", "/api/users", json!({ "name": "bo", "role": "member", "apps": ["notes"] }));
    assert!(added["link"]["url"].as_str().is_some_and(|url| url.contains("/join/")));
    call("user.list", "/api/users", Value::Null);
    call("user.password", "/api/users/bo/password", json!({ "password": PASSWORD }));
    call("user.link", "/api/users/bo/link", json!({ "reset_totp": false }));
    call("user.role", "/api/users/bo/role", json!({ "role": "member" }));
    call("user.apps", "/api/users/bo/apps", json!({ "apps": null }));
    let sessions = call("user.sessions", "/api/users/anna/sessions", Value::Null);
    let session = sessions[0]["id"].as_str().expect("anna is signed in").to_owned();
    call("session.revoke", &format!("/api/sessions/{session}"), Value::Null);
    call("user.invite", "/api/invites", json!({ "role": "member", "apps": null, "expires_s": 60 }));
    call("user.remove", "/api/users/bo", Value::Null);
    let made = call("token.new", "/api/tokens", json!({ "scope": "app:notes", "note": "for a test" }));
    assert_eq!(made["info"]["user"], "olga", "one's own where nobody is named");
    let listed = call("token.list", "/api/tokens", Value::Null);
    assert!(!listed.to_string().contains("fazt_"));
    call("token.rm", &format!("/api/tokens/{}", made["info"]["id"].as_str().expect("id")), Value::Null);
    let audit = call("audit.read", "/api/audit?since_ms=0", Value::Null);
    for action in ["app.deploy", "env.change", "app.remove", "user.add", "token.new"] {
        let line = audit.as_array().expect("lines").iter().rev().find(|line| line["action"] == action);
        let line = line.unwrap_or_else(|| panic!("{action} is not in {audit}"));
        assert_eq!((&line["who"], &line["ok"]), (&"olga".into(), &true.into()), "{line}");
    }
    let change =
        audit.as_array().expect("lines").iter().find(|line| line["action"] == "env.change").expect("one");
    assert_eq!((&change["target"], &change["address"]), (&"notes".into(), &"127.0.0.1".into()));
    let detail = change["detail"].as_str().expect("text");
    assert!(detail.starts_with("tok_") && detail.ends_with("+A"), "{detail}");
    assert!(!audit.to_string().contains("secret value"));
    // A trace does not end by itself: it is begun, and the app answers meanwhile.
    let mut trace = connect(&server);
    trace
        .send(format!("GET /api/apps/notes/trace HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {token}\r\n\r\n", server.address.port()).as_bytes())
        .expect("sent");
    assert_eq!(trace.head().expect("a head").status, 200);
    assert_eq!(server.get("notes", "/").text(), "hello");
    let line: Value = serde_json::from_slice(&trace.chunk().expect("a line")).expect("JSON");
    let form =
        &find(&document, "app.trace").2["responses"]["200"]["content"]["application/x-ndjson"]["schema"];
    schema::check(&document, form, &line).unwrap_or_else(|why| panic!("app.trace: {why}"));
    drop(trace);
    call("server.stop", "/api/stop", Value::Null);
    called.insert("app.trace".into());
    let described: BTreeSet<String> = operations(&document)
        .map(|(_, _, entry)| entry["operationId"].as_str().expect("id").to_owned())
        .collect();
    assert_eq!(called, described, "each operation is tried here");
}

/// Every path, verb and entry of a description.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, verbs)| {
        verbs
            .as_object()
            .expect("verbs")
            .iter()
            .map(move |(verb, entry)| (path.as_str(), verb.as_str(), entry))
    })
}

fn find<'a>(document: &'a Value, name: &str) -> (&'a str, &'a str, &'a Value) {
    operations(document)
        .find(|(.., entry)| entry["operationId"] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

/// Whether a path is one of a template such as `/api/apps/{app}`.
pub fn fits(template: &str, path: &str) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || (a.starts_with('{') && !b.is_empty()))
}

#[test]
fn only_a_token_counts_and_only_where_it_is_safe() {
    let server = server_with_apps();
    let mut owner = server.owner();
    let good = token(&server, "admin", &[]);
    for bearer in ["", "fazt_", "fazt_x", &format!("{good}x"), &good[5..], "Basic b2xnYTp4"] {
        assert_eq!(
            code(&ask(&server, bearer, "GET", "/api/apps", &Value::Null)),
            refused(401, "unauthenticated"),
            "{bearer}"
        );
    }
    let page = owner.send("GET", &owner.url("", "/api/apps"), &[], b"");
    assert_eq!(code(&page), refused(401, "unauthenticated"), "a cookie commands nothing");
    let removal =
        owner.send("DELETE", &owner.url("", "/api/apps/notes"), &[("sec-fetch-site", "same-origin")], b"");
    assert_eq!(code(&removal), refused(401, "unauthenticated"));
    assert_eq!(server.get("notes", "/").text(), "hello");
    // A proxy that nobody named speaks for others, over plain HTTP.
    let bearer = format!("Bearer {good}");
    let fields = [("authorization", bearer.as_str()), ("x-forwarded-for", "192.0.2.7")];
    let answer = connect(&server).request("GET", "/api/apps", &fields, b"").expect("an answer");
    assert_eq!(code(&answer), refused(403, "permission_denied"));
    // At an app's origin the path is the app's; elsewhere there is nothing.
    assert_eq!(
        server.client("notes").request("GET", "/api/apps", &fields[..1], b"").expect("an answer").status,
        401
    );
    for (host, status) in
        [("notes.localhost", 200), ("example.org", 421), ("a.notes.localhost", 421), ("", 400)]
    {
        let answer =
            Client::connect(server.address, host).expect("connection").get("/api/apps").expect("an answer");
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
    for path in [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/apps/",
        "/api/doctor",
        "/api/../metrics",
        "/api/apps/%2e%2e/x/y",
    ] {
        let answer = ask(&server, &good, "GET", path, &Value::Null);
        assert_eq!(code(&answer), refused(404, "not_found"), "{path}");
    }
    assert_eq!(code(&ask(&server, &good, "PATCH", "/api/apps", &Value::Null)), refused(400, "invalid"));
    let preflight = [("origin", "http://notes.localhost"), ("access-control-request-method", "DELETE")];
    let answer = connect(&server).request("OPTIONS", "/api/apps/notes", &preflight, b"").expect("an answer");
    assert!(answer.status >= 400 && answer.all("access-control-allow-origin").is_empty(), "{answer:?}");
    let listed = server.fazt(&["security", "tokens", "--json"]).ok().json();
    server.fazt(&["security", "token", "rm", listed[0]["id"].as_str().expect("id")]).ok();
    assert_eq!(
        code(&ask(&server, &good, "GET", "/api/apps", &Value::Null)),
        refused(401, "unauthenticated"),
        "removed"
    );
}

#[test]
fn a_token_reaches_as_far_as_its_scope_and_its_user() {
    let server = server_with_apps();
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let _bo = server.user("bo", &["--role", "admin"]);
    let mine = json!({ "access": "owner", "name": "mine", "main": "server.js" }).to_string();
    server.deploy_files("mine", &[("app.json", &mine), ("server.js", HELLO)]);
    let own = token(&server, "app:notes", &[]);
    let member = token(&server, "app:notes", &["--user", "anna"]);
    let admin = token(&server, "admin", &["--user", "bo"]);
    let denied = || refused(403, "permission_denied");
    let get = |token: &str, path: &str| code(&ask(&server, token, "GET", path, &Value::Null));
    for path in ["", "/versions", "/files", "/logs", "/env"] {
        assert_eq!(get(&own, &format!("/api/apps/notes{path}")).0, 200, "{path}");
        for app in ["other", "none", "notes%2f..%2fother"] {
            assert_eq!(get(&own, &format!("/api/apps/{app}{path}")), denied(), "{app} {path}");
        }
        assert_eq!(get(&member, &format!("/api/apps/notes{path}")), denied(), "a member's, {path}");
        assert_eq!(get(&admin, &format!("/api/apps/mine{path}")), denied(), "the owner's own app, {path}");
    }
    assert_eq!(get(&member, "/api/me").0, 200);
    assert_eq!(get(&own, "/api/apps/notes/collections").0, 200);
    for path in ["/api/apps", "/api/status", "/api/users", "/api/tokens", "/api/audit", "/api/processes"] {
        assert_eq!(get(&own, path), denied(), "{path}");
        assert_eq!(get(&admin, path).0, 200, "{path}");
    }
    let answer = ask(&server, &own, "DELETE", "/api/apps/notes", &Value::Null);
    assert_eq!(code(&answer), denied());
    assert!(
        answer.text().contains("scope app:notes") && answer.text().contains("--scope admin"),
        "{}",
        answer.text()
    );
    let answer = ask(&server, &own, "GET", "/api/apps/other", &Value::Null);
    assert!(answer.text().contains("app:other"), "the hint names what would do: {}", answer.text());
    // A deploy goes where the token reaches, in each of its steps.
    let files = json!({ "files": [{ "path": "index.html", "sha256": ABC, "bytes": 3 }] });
    assert_eq!(code(&ask(&server, &own, "POST", "/api/apps/fresh/deploys", &files)), denied());
    let ticket = ask(&server, &admin, "POST", "/api/apps/other/deploys", &files);
    let ticket: Value = serde_json::from_slice(&ticket.body).expect("JSON");
    let deploy = format!("/api/deploys/{}", ticket["id"].as_str().expect("id"));
    for (method, path) in [
        ("PUT", format!("{deploy}/files/{ABC}")),
        ("POST", format!("{deploy}/commit")),
        ("DELETE", deploy.clone()),
    ] {
        assert_eq!(code(&ask(&server, &own, method, &path, &Value::Null)), denied(), "{method} {path}");
    }
    let query = |user: &str| json!({ "collection": "notes", "user": user });
    assert_eq!(code(&ask(&server, &admin, "POST", "/api/apps/notes/query", &query("olga"))), denied());
    assert_eq!(code(&ask(&server, &admin, "GET", "/api/users/olga/export", &Value::Null)), denied());
    assert_eq!(code(&ask(&server, &admin, "POST", "/api/apps/notes/query", &query("anna"))).0, 200);
    assert_eq!(code(&ask(&server, &own, "POST", "/api/apps/notes/query", &query("anna"))), denied());
    // An admin runs the server beside the owner, and not instead of them.
    let password = json!({ "password": PASSWORD });
    for (method, path, body) in [
        ("POST", "/api/users/olga/password", password.clone()),
        ("POST", "/api/users/olga/link", json!({})),
        ("POST", "/api/users/olga/role", json!({ "role": "member" })),
        ("POST", "/api/users/anna/role", json!({ "role": "admin" })),
        ("POST", "/api/users/olga/apps", json!({ "apps": [] })),
        ("POST", "/api/tokens", json!({ "scope": "admin", "user": "olga" })),
        ("POST", "/api/tokens", json!({ "scope": "app:notes", "user": "anna" })),
    ] {
        assert_eq!(code(&ask(&server, &admin, method, path, &body)), denied(), "{method} {path}");
    }
    let sessions = server.fazt(&["user", "sessions", "olga", "--json"]).ok().json();
    let session = sessions[0]["id"].as_str().expect("olga is signed in");
    assert_eq!(
        code(&ask(&server, &admin, "DELETE", &format!("/api/sessions/{session}"), &Value::Null)),
        denied()
    );
    let tokens = server.fazt(&["security", "tokens", "--json"]).ok().json();
    let olgas = tokens.as_array().expect("rows").iter().find(|row| row["user"] == "olga").expect("one");
    let id = olgas["id"].as_str().expect("id");
    assert_eq!(code(&ask(&server, &admin, "DELETE", &format!("/api/tokens/{id}"), &Value::Null)), denied());
    assert_eq!(code(&ask(&server, &admin, "POST", "/api/users/anna/password", &password)).0, 200);
    assert_eq!(
        code(&ask(&server, &admin, "POST", "/api/tokens", &json!({ "scope": "app:notes" }))).0,
        200,
        "one's own"
    );
    // Whoever is no longer there commands nothing.
    server.fazt(&["user", "remove", "bo", "--yes"]).ok();
    assert_eq!(get(&admin, "/api/apps"), refused(401, "unauthenticated"));
    let audit = server.fazt(&["security", "audit", "--json"]).ok().json();
    let refusals = audit.as_array().expect("lines").iter().filter(|line| line["ok"] == false);
    assert!(refusals.clone().any(|line| line["who"] == "bo" && line["target"] == "mine"), "{audit}");
    assert!(refusals.clone().any(|line| line["who"] == "olga" && line["action"] == "app.remove"), "{audit}");
}

#[test]
fn what_acts_for_somebody_in_an_app_does_not_deploy_it_and_what_deploys_it_acts_for_nobody() {
    let server = server_with_apps();
    let _owner = server.owner();
    let _anna = server.user("anna", &[]);
    let who = "export default { fetch: (_, env, ctx) => Response.json({ by: ctx.user?.name }) };";
    server.deploy_files("notes", &[("server.js", who)]);
    let (acts, deploys) = (token(&server, "app:notes", &[]), token(&server, "deploy:notes", &[]));
    let ask = |token: &str, method, path: &str, body: Value| ask(&server, token, method, path, &body);
    let files = json!({ "files": [{ "path": "index.html", "sha256": ABC, "bytes": 3 }] });
    let changes = [
        ("/api/apps/notes/deploys", files.clone()),
        ("/api/apps/notes/env", json!({ "set": { "A": "b" } })),
        ("/api/apps/notes/rollback", json!({ "number": 1 })),
    ];
    let denied = || refused(403, "permission_denied");
    for (path, body) in &changes {
        let answer = ask(&acts, "POST", path, body.clone());
        assert_eq!(code(&answer), denied(), "{path}");
        assert!(answer.text().contains("--scope deploy:notes"), "what would do: {}", answer.text());
        assert_eq!(ask(&deploys, "POST", path, body.clone()).status, 200, "{path}");
        let other = path.replace("notes", "other");
        assert_eq!(code(&ask(&deploys, "POST", &other, body.clone())), denied(), "{other}");
    }
    assert_eq!(code(&ask(&deploys, "POST", "/api/apps/fresh/deploys", files)), denied(), "no new apps");
    for (method, path) in [("DELETE", "/api/apps/notes"), ("POST", "/api/apps/notes/rename")] {
        assert_eq!(code(&ask(&deploys, method, path, json!({ "name": "x" }))), denied(), "{path}");
    }
    for path in ["", "/versions", "/files", "/logs", "/env", "/collections"] {
        let path = format!("/api/apps/notes{path}");
        assert_eq!((ask(&acts, "GET", &path, Value::Null).status, &path), (200, &path));
        assert_eq!((ask(&deploys, "GET", &path, Value::Null).status, &path), (200, &path));
    }
    for token in [&acts, &deploys] {
        assert_eq!(ask(token, "POST", "/api/apps/notes/restart", json!({})).status, 200);
    }
    // The second version tells who asks.
    server.fazt(&["app", "rollback", "notes", "2"]).ok();
    let seen = |token: &str| {
        let bearer = format!("Bearer {token}");
        let answer = server.client("notes").request("GET", "/", &[("authorization", &bearer)], b"");
        answer.expect("an answer")
    };
    assert!(seen(&acts).text().contains("olga"), "{}", seen(&acts).text());
    assert_eq!(seen(&deploys).status, 401, "{}", seen(&deploys).text());
    for scope in ["deploy:notes", "admin"] {
        let words = ["security", "token", "new", "--user", "anna", "--scope", scope];
        assert_eq!(server.fazt(&words).code, 4, "a member commands nothing: {scope}");
    }
    for scope in ["deploy:none", "app:none"] {
        assert_eq!(server.fazt(&["security", "token", "new", "--scope", scope]).code, 3, "{scope}");
    }
    for scope in ["deploy", "deploy:", "deploys:notes", "admin:notes", ""] {
        assert_ne!(server.fazt(&["security", "token", "new", "--scope", scope]).code, 0, "{scope}");
    }
    let listed = server.fazt(&["security", "tokens", "--json"]).ok().json();
    assert!(listed.as_array().expect("rows").iter().any(|row| row["scope"] == "deploy:notes"), "{listed}");
}

#[test]
fn a_log_is_followed_from_elsewhere_and_a_hasty_token_has_to_wait() {
    let server = server_with_apps();
    let _owner = server.owner();
    let token = token(&server, "admin", &[]);
    let mut log = connect(&server);
    let head = format!(
        "GET /api/apps/notes/logs?follow=true HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {token}\r\n\r\n",
        server.address.port()
    );
    log.send(head.as_bytes()).expect("sent");
    assert_eq!(log.head().expect("a head").status, 200);
    for _ in 0..2 {
        assert_eq!(server.get("notes", "/").text(), "hello");
        let line: Value = serde_json::from_slice(&log.chunk().expect("a line")).expect("JSON");
        assert_eq!(line["text"], "said");
    }
    // Whoever loses the token does not read on.
    let other = server.fazt(&["security", "token", "new", "--scope", "admin", "--json"]).ok().json();
    let mut cut = connect(&server);
    cut.send(head.replace(&token, other["token"].as_str().expect("a token")).as_bytes()).expect("sent");
    assert_eq!(cut.head().expect("a head").status, 200);
    server.fazt(&["security", "token", "rm", other["info"]["id"].as_str().expect("an id")]).ok();
    let mut last = std::iter::repeat_with(|| cut.chunk());
    let last = last.find(|piece| piece.as_ref().map_or(true, Vec::is_empty));
    assert!(matches!(last, Some(Err(_))), "the connection ends, and not as if the log did: {last:?}");
    let mut client = connect(&server);
    let bearer = format!("Bearer {token}");
    let hasty = (0..2_000).find_map(|_| {
        let answer = client.request("GET", "/api/me", &[("authorization", &bearer)], b"").expect("an answer");
        (answer.status != 200).then_some(answer)
    });
    let answer = hasty.expect("it had to wait");
    assert_eq!((code(&answer), answer.field("retry-after")), (refused(429, "rate_limited"), Some("1")));
    let folder = Folder::with(&[("index.html", "x")]);
    server.deploy(&folder, "page");
    assert_eq!(server.get("page", "/").text(), "x", "the console does not wait");
}
