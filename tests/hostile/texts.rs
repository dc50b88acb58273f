//! Texts of a stranger that are shown: none reaches a terminal, or a page, as what it is.

use serde_json::json;

use crate::pack::{FILE, Pack};
use crate::stage::{Stage, Typed, check_on, drives_terminal, row};

/// Clears the screen, renames the window, turns letters around, goes back over what stands there, and is a page.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\u{8}<img src=x onerror=alert(1)>'\"&amp;";
/// A part of it that a page must not have.
const PAGE: &str = "<img";

/// A manifest that is nothing but texts.
fn manifest() -> String {
    json!({
        "name": "victim", "version": format!("1 {EVIL}"), "description": EVIL, "license": EVIL,
        "homepage": format!("https://example.org/{}", EVIL.replace([' ', '\r'], "")),
        "permissions": {
            "net": ["api.example.org"], "spaces": true, "schedule": true,
            "reasons": { "net:api.example.org": EVIL, "spaces": EVIL, "schedule": EVIL },
        },
        "env": [{ "name": "WORD", "default": EVIL }],
    })
    .to_string()
}

#[test]
fn texts_of_an_app_drive_no_terminal_and_are_no_page() {
    let stage = Stage::start();
    let script = format!("console.log({0}); throw new Error({0});", json!(EVIL));
    let script = format!("export default {{ fetch() {{ {script} }} }};");
    let source = stage.files(&[
        ("app.json", manifest().as_bytes()),
        ("server.js", script.as_bytes()),
        ("public/<img src=x onerror=alert(1)>.html", b"x"),
    ]);
    let typed = Typed::unnamed(source);
    let mut said = vec![
        stage.install(&Typed::unnamed(typed.source.clone()).with(&["--dry-run"])).ok(),
        stage.install(&typed).ok(),
    ];
    assert!(matches!(stage.server.get("victim", "/").status, 401 | 403 | 500 | 303));
    for words in [
        &["app", "info", "victim"][..],
        &["app", "list"],
        &["app", "versions", "victim"],
        &["app", "grants", "victim"],
        &["app", "revoke", "victim", "spaces"],
        &["app", "grant", "victim", "spaces"],
        &["app", "env", "victim"],
        &["app", "update", "victim"],
        &["fs", "ls", "victim:public"],
        &["proc", "logs", "victim"],
        &["proc", "schedules"],
        &["security", "audit"],
        &["net", "egress", "victim"],
    ] {
        said.push(stage.server.fazt(words));
        said.push(stage.server.fazt(&[words, &["--json"]].concat()));
    }
    for outcome in said {
        let text = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(!text.contains(drives_terminal), "{text:?}");
    }
    let mut owner = stage.server.owner();
    let page = owner.open(&owner.url("", "/"));
    assert!(page.text().contains("victim") && !page.text().contains(PAGE), "{}", page.text());
    for path in ["/", "/nothing", "/%3Cimg%20src=x%3E"] {
        let page = owner.open(&owner.url("victim", path));
        assert!(!page.text().contains(PAGE) && !page.text().contains('\u{1b}'), "{path}: {}", page.text());
    }
    stage.server.fazt(&["app", "remove", "victim", "--yes"]).ok();
}

#[test]
fn texts_that_refuse_an_app_drive_no_terminal() {
    let script = |script: &str| {
        let script = script.to_owned();
        move |stage: &Stage| {
            stage.files(&[
                ("package.json", b"{}"),
                ("server.ts", script.as_bytes()),
                ("wrangler.toml", b"main = 'server.ts'"),
            ])
        }
    };
    let wrangler = |config: serde_json::Value| {
        move |stage: &Stage| {
            let config = config.to_string();
            stage.files(&[("wrangler.json", config.as_bytes()), ("a.js", b"export default {}")])
        }
    };
    let stage = Stage::start();
    check_on(
        &stage,
        &[
            row("a key", 2, &["app.json"], |stage: &Stage| {
                let manifest = json!({ EVIL: 1 }).to_string();
                stage.files(&[("app.json", manifest.as_bytes()), ("index.html", b"x")])
            }),
            row("raw bytes for a manifest", 2, &["app.json"], |stage: &Stage| {
                stage.files(&[("app.json", EVIL.as_bytes()), ("index.html", b"x")])
            }),
            row("a permission", 2, &["app.json"], |stage: &Stage| {
                let manifest = json!({ "permissions": { "reasons": { EVIL: "x" } } }).to_string();
                stage.files(&[("app.json", manifest.as_bytes()), ("index.html", b"x")])
            }),
            row(
                "a syntax error",
                2,
                &["server.ts"],
                script(&format!("const x = `{EVIL}`; const x = 2; @@@")),
            ),
            row(
                "an import",
                2,
                &["lead nowhere"],
                script(&format!("import x from {}; console.log(x);", json!(EVIL))),
            ),
            row(
                "an import with lines",
                2,
                &["nor among the packages"],
                script("import x from './a\\n\\n\\u001b[31merror: all is well'; console.log(x);"),
            ),
            row(
                "a binding",
                2,
                &["bindings"],
                wrangler(json!({ "main": "a.js", "kv_namespaces": [{ "binding": EVIL }] })),
            ),
            row("a main", 2, &["not in the repository"], wrangler(json!({ "main": EVIL }))),
            row(
                "a command",
                0,
                &["own program", "it is not"],
                wrangler(json!({ "main": "a.js", "build": { "command": EVIL } })),
            ),
            row(
                "a schedule",
                2,
                &["schedule"],
                wrangler(json!({ "main": "a.js", "triggers": { "crons": [EVIL] } })),
            ),
            row(
                "keys that are not known",
                0,
                &["not understood"],
                wrangler(json!({ "main": "a.js", EVIL: 1 })),
            ),
            row("a variable's name", 2, &["env"], wrangler(json!({ "main": "a.js", "vars": { EVIL: 1 } }))),
            row("TOML", 2, &["wrangler.toml"], |stage: &Stage| {
                stage.files(&[("wrangler.toml", EVIL.as_bytes()), ("a.js", b"")])
            }),
            row("a package's name", 2, &["package"], |stage: &Stage| {
                let lock = json!({ "lockfileVersion": 3, "packages": { "node_modules/a": { "name": EVIL, "version": EVIL } } });
                stage.locked(&lock.to_string())
            }),
            row("a commit's message and author", 0, &["live as version 1"], |stage: &Stage| {
                let mut pack = Pack::default();
                let page = pack.blob(b"x");
                let top = pack.tree(&[(FILE, b"index.html", page)]);
                let commit = pack.commit_saying(top, &EVIL.replace(['<', '>', '\r'], ""), EVIL);
                stage.repository(&commit, &pack.finish())
            }),
        ],
    );
}
