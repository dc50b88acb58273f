//! One app at the data of another: as the same person, what is exported, as far as the owner granted.

use fazt_tests::{Browser, Server};
use serde_json::{Value, json};

/// Does what the query says: a list of a verb and its arguments.
const APP: &str = r#"
const drive = () => fazt.storage.app("drive");
const ways = {
  own: (text) => fazt.storage.docs("files").insert({ text }),
  blob: (key) => fazt.storage.blobs.put(key, "bytes of " + key),
  find: async (name) => (await drive().docs(name).find()).items.map((item) => item.text),
  count: (name) => drive().docs(name).count(),
  insert: async (name, text) => (await drive().docs(name).insert({ text })).text,
  batch: async (name, text) => (await drive().docs(name).batch([{ insert: { text } }])).length,
  read: async (key) => { const found = await drive().blobs.get(key); return found && await found.text(); },
  list: async (prefix) => (await drive().blobs.list({ prefix })).blobs?.length ?? 0,
  put: async (key) => (await drive().blobs.put(key, "changed")).size,
  other: (name) => fazt.storage.app(name).docs("files").count(),
  nothing: () => fazt.storage.app("drive").kv,
  forged: () => fazt.storage.space("apps:drive").kv.get("a"),
  sql: () => fazt.storage.space("apps:drive").sql.prepare("SELECT 1").first(),
};
export default { async fetch(request) {
  const [verb, ...rest] = JSON.parse(new URL(request.url).searchParams.get("ask"));
  try {
    return Response.json({ gave: (await ways[verb](...rest)) ?? null });
  } catch (error) {
    return Response.json({ error: error.name, permission: error.permission, message: error.message });
  }
} };"#;

const DRIVE: &str = r#"{ "name": "drive", "main": "server.js", "access": "members",
  "collections": { "files": { "schema": { "text": "string" } }, "secrets": { "schema": { "text": "string" } } },
  "exports": { "collections": { "files": "write" }, "blobs": { "shared/": "read" } } }"#;

fn reader(level: &str) -> String {
    format!(
        r#"{{ "name": "reader", "main": "server.js", "access": "members",
          "permissions": {{ "spaces": true, "sql": true, "apps": {{ "drive": "{level}" }} }} }}"#
    )
}

fn ask(browser: &mut Browser, app: &str, parts: Value) -> Value {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    let query: String = parts.to_string().bytes().map(byte).collect();
    let page = browser.open(&browser.url(app, &format!("/?ask={query}")));
    assert_eq!(page.status(), 200, "{parts}: {}", page.text());
    serde_json::from_str(&page.text()).expect("JSON")
}

fn gave(browser: &mut Browser, app: &str, parts: Value) -> Value {
    let said = ask(browser, app, parts.clone());
    assert!(said["error"].is_null(), "{parts}: {said}");
    said["gave"].clone()
}

/// The exception's name, and the permission that it names.
fn denied(browser: &mut Browser, parts: Value) -> (String, String) {
    let said = ask(browser, "reader", parts);
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    (text("error"), text("permission"))
}

fn grant(server: &Server, verb: &str, permission: &str) {
    server.fazt(&["app", verb, "reader", permission]).ok();
}

#[test]
fn an_app_has_of_another_what_that_exports_and_the_owner_granted_for_the_same_person() {
    let server = Server::start();
    server.deploy_files("drive", &[("app.json", DRIVE), ("server.js", APP)]);
    server.deploy_files("reader", &[("app.json", &reader("read")), ("server.js", APP)]);
    let mut olga = server.owner();
    let mut anna = server.user("anna", &[]);
    gave(&mut olga, "drive", json!(["own", "olga's"]));
    gave(&mut anna, "drive", json!(["own", "anna's"]));
    gave(&mut anna, "drive", json!(["blob", "shared/a"]));
    gave(&mut anna, "drive", json!(["blob", "private"]));

    assert_eq!(gave(&mut olga, "reader", json!(["find", "files"])), json!(["olga's"]));
    assert_eq!(gave(&mut anna, "reader", json!(["find", "files"])), json!(["anna's"]));
    assert_eq!(gave(&mut anna, "reader", json!(["count", "files"])), 1);
    assert_eq!(gave(&mut anna, "reader", json!(["read", "shared/a"])), "bytes of shared/a");
    assert_eq!(
        gave(&mut olga, "reader", json!(["read", "shared/a"])),
        Value::Null,
        "anna's is not there for olga"
    );
    // Granted is to read; not exported is nobody's; what is no part of an export has no name at all.
    let write = || ("PermissionDenied".to_owned(), "apps:drive:write".to_owned());
    let hidden = || ("PermissionDenied".to_owned(), String::new());
    assert_eq!(denied(&mut anna, json!(["insert", "files", "x"])), write());
    assert_eq!(denied(&mut anna, json!(["batch", "files", "x"])), write());
    assert_eq!(denied(&mut anna, json!(["put", "shared/a"])), write());
    assert_eq!(denied(&mut anna, json!(["find", "secrets"])), hidden());
    assert_eq!(denied(&mut anna, json!(["find", "nothing"])), hidden());
    assert_eq!(denied(&mut anna, json!(["read", "private"])), hidden());
    assert_eq!(denied(&mut anna, json!(["list", ""])), hidden());
    assert_eq!(gave(&mut anna, "reader", json!(["nothing"])), Value::Null);
    assert_eq!(denied(&mut anna, json!(["forged"])).0, "PermissionDenied");
    assert_eq!(denied(&mut anna, json!(["sql"])).0, "PermissionDenied");
    assert_eq!(denied(&mut anna, json!(["other", "reader"])).1, "apps:reader:read");
    assert_eq!(denied(&mut anna, json!(["other", "../drive"])).0, "InvalidArgument");

    // More than before waits for an answer; with it, what is exported for writing is written, and blobs are not.
    let folder = fazt_tests::Folder::with(&[("app.json", &reader("write")), ("server.js", APP)]);
    assert_eq!(server.fazt(&["app", "deploy", folder.arg()]).code, 4);
    server.fazt(&["app", "deploy", folder.arg(), "--grant", "apps:drive:write"]).ok();
    assert_eq!(gave(&mut anna, "reader", json!(["insert", "files", "by reader"])), "by reader");
    assert_eq!(gave(&mut anna, "reader", json!(["count", "files"])), 2);
    assert_eq!(denied(&mut anna, json!(["put", "shared/a"])), hidden());

    // At once.
    grant(&server, "revoke", "apps:drive:write");
    grant(&server, "revoke", "apps:drive:read");
    assert_eq!(denied(&mut anna, json!(["find", "files"])).1, "apps:drive:read");
    grant(&server, "grant", "apps:drive:read");
    assert_eq!(gave(&mut anna, "reader", json!(["count", "files"])), 2);
    // Whoever may not use the other app does not get there by this one.
    server.fazt(&["user", "apps", "anna", "reader"]).ok();
    assert_eq!(denied(&mut anna, json!(["count", "files"])), hidden());
    assert_eq!(gave(&mut olga, "reader", json!(["count", "files"])), 1);
    // The grant was about that app, not about a name.
    server.fazt(&["app", "rename", "drive", "old"]).ok();
    server.deploy_files("drive", &[("app.json", DRIVE), ("server.js", APP)]);
    assert_eq!(denied(&mut olga, json!(["count", "files"])).1, "apps:drive:read");
}
