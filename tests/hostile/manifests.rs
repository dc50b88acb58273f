//! Manifests that say too much, and names that look like others.

use crate::stage::{Stage, Typed, check, row};

/// An app with this manifest. No name is typed.
fn app(manifest: impl Into<String>) -> impl Fn(&Stage) -> Typed {
    let manifest = manifest.into();
    move |stage| Typed::unnamed(stage.files(&[("app.json", manifest.as_bytes()), ("index.html", b"<p>x")]))
}

/// The same, with a script that has to be bundled.
fn bundled(manifest: &'static str) -> impl Fn(&Stage) -> Typed {
    move |stage| {
        Typed::unnamed(stage.files(&[
            ("app.json", manifest.as_bytes()),
            ("package.json", b"{}"),
            ("tsconfig.json", br#"{ "compilerOptions": { "paths": { "@/*": ["./*"] } } }"#),
            ("word.ts", b"export const word: string = 'x';"),
            (
                "server.ts",
                b"import { word } from '@/word'; export default { fetch: () => new Response(word) };",
            ),
        ]))
    }
}

#[test]
fn a_manifest_that_is_wrong_is_refused_with_its_line() {
    let deep = format!("{{ \"name\": \"victim\", \"env\": {}1{} }}", "[".repeat(30_000), "]".repeat(30_000));
    let mega = format!("{{ \"name\": \"victim\", \"description\": \"{}\" }}", "x".repeat(1 << 20));
    let keys: String = (0..20_000).map(|number| format!("\"k{number}\": 1, ")).collect();
    check(&[
        row(
            "an unknown key",
            2,
            &["app.json:1:", "`permission`"],
            app(r#"{ "name": "victim", "permission": {} }"#),
        ),
        row("an unknown permission", 2, &["app.json:1:"], app(r#"{ "permissions": { "root": true } }"#)),
        row("a key twice", 2, &["app.json:1:", "twice"], app(r#"{ "access": "owner", "access": "public" }"#)),
        row(
            "a key twice, the second escaped",
            2,
            &["twice"],
            app(r#"{ "access": "owner", "\u0061ccess": "public" }"#),
        ),
        row(
            "a key twice where a manifest is made anew",
            2,
            &["app.json:1:", "twice"],
            bundled(r#"{ "permissions": {}, "permissions": { "net": ["evil.example"] } }"#),
        ),
        row(
            "an unknown key where a manifest is made anew",
            2,
            &["app.json:1:"],
            bundled(r#"{ "scripts": {} }"#),
        ),
        row("a megabyte", 2, &["bytes; at most"], app(mega.clone())),
        row("a megabyte where a manifest is made anew", 2, &["bytes; at most"], move |stage: &Stage| {
            Typed::unnamed(stage.files(&[
                ("app.json", mega.as_bytes()),
                ("package.json", b"{}"),
                ("server.ts", b"import 'node:path'; import 'word'; export default {};"),
            ]))
        }),
        row("nested without end", 2, &["deep"], app(deep)),
        row("many keys", 2, &["app.json"], app(format!("{{ {keys} \"name\": \"victim\" }}"))),
        row("no JSON", 2, &["app.json:1:"], app("name = 'victim'")),
        row("a comment", 2, &["JSON has none"], app("{ // x\n }")),
        row("not UTF-8", 2, &["UTF-8"], |stage: &Stage| {
            stage.files(&[("app.json", b"{ \"name\": \"\xff\" }"), ("index.html", b"x")])
        }),
        row("a number beyond all", 2, &["app.json"], app(r#"{ "limits": { "cpuMs": 1e999 } }"#)),
        row("less than nothing", 2, &["app.json"], app(r#"{ "limits": { "memoryMiB": -1 } }"#)),
        row("a main that is up", 2, &["main"], app(r#"{ "main": "../../etc/passwd" }"#)),
        row("assets that are up", 2, &["assets"], app(r#"{ "assets": "../.." }"#)),
        row("an icon that is absolute", 2, &["icon"], app(r#"{ "icon": "/etc/passwd" }"#)),
        row("a folder for a manifest is none", 0, &["live as version 1"], |stage: &Stage| {
            stage.files(&[("app.json/x", b"{}"), ("index.html", b"x")])
        }),
    ]);
}

#[test]
fn a_name_that_is_another_is_refused() {
    let cannot = &["app.json:1:", "`name`", "not a reserved name"];
    check(&[
        row("the server's own", 2, cannot, app(r#"{ "name": "admin" }"#)),
        row("the system's own", 2, cannot, app(r#"{ "name": "os" }"#)),
        row("that of a browser", 2, cannot, app(r#"{ "name": "localhost" }"#)),
        row("letters that look like others", 2, &["name"], app(r#"{ "name": "аdmin" }"#)),
        row("the same, encoded", 2, cannot, app(r#"{ "name": "xn--dmin-7cd" }"#)),
        row("another app's", 5, &["an app named `good` already"], app(r#"{ "name": "good" }"#)),
        row("a repository of the server's own name", 2, &["`admin`", "reserved"], |stage: &Stage| {
            Typed::unnamed(stage.called("admin"))
        }),
        row("a repository of another app's name", 5, &["an app named `good` already"], |stage: &Stage| {
            Typed::unnamed(stage.called("Good"))
        }),
        row("a repository of no name", 2, &["cannot be the name"], |stage: &Stage| {
            Typed::unnamed(stage.called("___"))
        }),
        row("another app's, in capitals", 2, &["name"], app(r#"{ "name": "Good" }"#)),
        row("a path", 2, &["name"], app(r#"{ "name": "../good" }"#)),
        row("two labels", 2, &["name"], app(r#"{ "name": "a.good" }"#)),
        row("a number", 2, cannot, app(r#"{ "name": "127" }"#)),
        row("a page", 2, &["name"], app(r#"{ "name": "<script>alert(1)</script>" }"#)),
        row("an escape", 2, &["name"], app(r#"{ "name": "\u001b[31mgood" }"#)),
        row(
            "another app's, of a repository for Wrangler",
            5,
            &["an app named `good` already"],
            |stage: &Stage| {
                Typed::unnamed(stage.files(&[
                    ("wrangler.toml", b"name = \"good\"\nmain = \"a.js\""),
                    ("a.js", b"export default {}"),
                ]))
            },
        ),
    ]);
}

#[test]
fn a_host_that_is_no_name_is_not_asked_for() {
    let net = |host: &str| app(format!(r#"{{ "name": "victim", "permissions": {{ "net": ["{host}"] }} }}"#));
    let wrong = &["app.json:1:"];
    check(&[
        row("digits of sixteen", 2, wrong, net("0x7f.1")),
        row("a number", 2, wrong, net("2130706433")),
        row("an address", 2, wrong, net("127.0.0.1")),
        row("a private one", 2, wrong, net("10.0.0.1")),
        row("of version 4 in 6", 2, wrong, net("[::ffff:127.0.0.1]")),
        row("with a dot", 2, wrong, net("localhost.")),
        row("everything", 2, wrong, net("*")),
        row("everything below everything", 2, wrong, net("*.*")),
        row("a whole country", 2, wrong, net("*.com")),
        row("a URL", 2, wrong, net("https://evil.example/")),
        row("a port", 2, wrong, net("evil.example:22")),
        row("a user", 2, wrong, net("good.example@evil.example")),
        row("a line", 2, wrong, net(r"a.example\r\nX: y")),
        row("letters that look like others", 2, wrong, net("аpple.com")),
        row("without end", 2, wrong, net(&"a".repeat(5_000))),
    ]);
}
