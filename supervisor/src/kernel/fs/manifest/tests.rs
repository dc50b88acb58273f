//! The manifest at its boundary.

use super::*;

/// The example of the design page.
const EXAMPLE: &str = r#"{
  "name": "notes", "version": "1.4.0", "description": "Markdown notes", "license": "MIT", "homepage": "https://example.org/notes", "icon": "public/icon.svg",
  "main": "server.js", "assets": "public", "spa": true, "compatibilityDate": "2026-11-20",
  "access": "members",
  "collections": { "notes": { "indexes": [["updated"]], "schema": { "title": "string", "body": "string", "updated": "integer" } } },
  "permissions": { "net": ["api.github.com", "*.example.org"], "schedule": true, "push": true, "sql": false, "spaces": true, "apps": { "drive": "read" } },
  "cron": [{ "name": "digest", "schedule": "0 8 * * *", "timezone": "Europe/Berlin", "missed": "run-once" }],
  "env": [{ "name": "API_KEY", "required": true, "secret": true, "description": "…" }],
  "limits": { "memoryMiB": 32, "cpuMs": 1000, "wallS": 30, "storageMiB": 256 }
}"#;

#[test]
fn the_design_s_example_is_read() {
    let manifest = Manifest::parse(EXAMPLE.as_bytes()).expect("the example");
    assert_eq!(manifest.name.as_deref(), Some("notes"));
    assert_eq!(manifest.access, Some(Access::Members));
    assert_eq!(manifest.collections["notes"].schema["updated"], FieldType::Integer);
    assert_eq!(manifest.permissions.apps["drive"], AppAccess::Read);
    assert!(manifest.spa && manifest.cron[0].run_missed_once && manifest.env[0].secret);
    assert_eq!(manifest.limits, Limits::default());
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
    for (text, expect) in [
        ("", "1:1: expected a value, found the end of the file"),
        ("[]", "1:1: `app.json` must be an object, not a list"),
        ("{\n  \"nmae\": \"a\"\n}", "2:3: unknown key `nmae`; did you mean `name`?"),
        ("{\n  \"scripts\": {}\n}", "2:3: unknown key `scripts`; known are name, version"),
        ("{\"permissions\": {\"network\": []}}", "1:18: unknown permission `network`; known are net"),
        (
            "{\"permissions\": {\"shedule\": true}}",
            "1:18: unknown permission `shedule`; did you mean `schedule`?",
        ),
        ("{\"name\": \"a\",\n \"name\": \"b\"}", "2:2: `name` is given twice"),
        ("{\"name\": 5}", "1:10: `name` must be a string, not a number"),
        ("{\"name\": \"Admin\"}", "1:10: `name` must be 1 to 63 lowercase letters"),
        ("{\"access\": \"publik\"}", "not `publik`; did you mean `public`?"),
        (
            "{\"limits\": {\"memoryMiB\": 9999}}",
            "1:26: `limits.memoryMiB` must be a whole number from 8 to 256, not 9999",
        ),
        ("{\"limits\": {\"memoryMb\": 32}}", "unknown key `memoryMb` in `limits`; did you mean `memoryMiB`?"),
        ("{\"permissions\": {\"net\": [\"https://a.b\"]}}", "`permissions.net[0]` must be a host such as"),
        ("{\"cron\": [{\"name\": \"a\"}]}", "1:11: `cron[0].schedule` is missing"),
        ("{\"cron\": [{\"name\": \"a\", \"schedule\": \"0 8 * * *\"}]}", "`cron` needs the permission"),
        ("{\"main\": \"../x.js\"}", "`main` must be a path inside the app"),
        ("{\"spa\": true,}", "1:14: expected a key in double quotes, found `}`"),
        ("{\"spa\": true // yes\n}", "1:14: expected `,` or `}`, found a comment; JSON has none"),
        ("{\"spa\": tru}", "1:9: expected a value, found `t`"),
        ("{\"name\": \"a}", "1:10: this string is not closed"),
        ("{\"version\": \"\\x\"}", "1:13: this string is malformed"),
        ("{} x", "1:4: expected nothing after the end"),
        (
            "{\"collections\": {\"a\": {\"indexes\": [[\"b\"]]}}}",
            "an index of `collections.a` names `b`, which is not in its schema",
        ),
        ("{\"bindings\": {\"KV\": \"kv\"}}", "1:14: `bindings.KV` keeps its data in the app's space"),
        (
            "{\"permissions\": {\"spaces\": true}, \"bindings\": {\"DB\": \"d1\"}}",
            "`bindings.DB` is an SQL database, which needs a permission",
        ),
        (
            "{\"permissions\": {\"spaces\": true}, \"bindings\": {\"a/b\": \"kv\"}}",
            "a key of `bindings` must be a letter or underscore",
        ),
        (
            "{\"permissions\": {\"spaces\": true}, \"bindings\": {\"A\": \"s3\"}}",
            "`bindings.A` must be \"kv\" or \"r2\" or \"d1\" or \"queue\" or \"assets\", not `s3`",
        ),
        (
            "{\"permissions\": {\"spaces\": true}, \"env\": [{\"name\": \"A\"}], \"bindings\": {\"A\": \"kv\"}}",
            "`A` is a variable of `env` and a binding",
        ),
    ] {
        let error = Manifest::parse(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expect), "{text}\n  said   {error}\n  wanted {expect}");
    }
}

#[test]
fn size_depth_and_encoding_are_bounded() {
    let long = format!("{{\"description\": \"{}\"}}", "x".repeat(limits::MANIFEST_BYTES_MAX));
    assert!(Manifest::parse(long.as_bytes()).is_err());
    let deep = "[".repeat(60_000);
    assert!(Manifest::parse(deep.as_bytes()).expect_err("deep").message.contains("nested"));
    assert!(Manifest::parse(b"{\"name\": \"\xff\"}").expect_err("bytes").message.contains("UTF-8"));
}

#[test]
fn the_files_decide_what_is_not_said() {
    let complete = |text: &str, files: &[&str]| {
        let mut manifest = Manifest::parse(text.as_bytes()).expect(text);
        let done = manifest.complete(
            |path| files.contains(&path),
            |folder| files.iter().any(|file| file.starts_with(&format!("{folder}/"))),
        );
        match done {
            Ok(()) => format!("{:?} {:?}", manifest.main, manifest.assets),
            Err(error) => error.to_string(),
        }
    };
    for (text, files, expect) in [
        ("{}", &["index.html"][..], "None Some(\"\")"),
        ("{}", &["public/a.txt", "index.html"], "None Some(\"public\")"),
        ("{}", &["server.ts", "public/a.txt"], "Some(\"server.ts\") Some(\"public\")"),
        ("{}", &["server.js", "index.html"], "Some(\"server.js\") None"),
        ("{}", &["README.md"], "there is nothing to serve"),
        ("{\"main\": \"./src/a.ts\"}", &["src/a.ts"], "Some(\"src/a.ts\") None"),
        ("{\"main\": \"a.js\"}", &["b.js"], "`main` is `a.js`, which is not among the files"),
        ("{\"main\": \"a.txt\"}", &["a.txt"], "not a script"),
        ("{\"assets\": \"dist/\"}", &["dist/index.html"], "None Some(\"dist\")"),
        ("{\"assets\": \".\"}", &["index.html"], "None Some(\"\")"),
        ("{\"assets\": \".\"}", &["server.js"], "cannot be the top"),
        ("{\"assets\": \"dist\"}", &["index.html"], "no file is in a folder of that name"),
        ("{\"main\": \"public/a.js\"}", &["public/a.js"], "would be served"),
        ("{\"spa\": true}", &["public/a.js"], "`spa` needs `public/index.html`"),
    ] {
        let said = complete(text, files);
        assert!(said.contains(expect), "{text} {files:?}\n  said   {said}\n  wanted {expect}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&json_schema()).expect("JSON");
    let example: serde_json::Value = serde_json::from_str(EXAMPLE).expect("JSON");
    for key in example.as_object().expect("object").keys() {
        assert!(schema["properties"][key]["description"].is_string(), "{key}");
    }
    assert_eq!(schema["properties"]["limits"]["properties"]["memoryMiB"]["maximum"], 256);
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn bindings_are_those_named_or_the_usual_ones_that_are_granted() {
    use fazt_ipc::wire::kernel::BindingKind::{D1, Kv, R2};
    for (text, expect) in [
        ("{}", &[][..]),
        ("{\"permissions\": {\"sql\": true}}", &[]),
        ("{\"permissions\": {\"spaces\": true}}", &[("BUCKET", R2), ("KV", Kv)]),
        (
            "{\"permissions\": {\"spaces\": true, \"sql\": true}, \"env\": [{\"name\": \"KV\"}]}",
            &[("BUCKET", R2), ("DB", D1)],
        ),
        (
            "{\"permissions\": {\"spaces\": true, \"sql\": true}, \"bindings\": {\"ALL\": \"d1\", \"_a\": \"kv\"}}",
            &[("ALL", D1), ("_a", Kv)],
        ),
        ("{\"permissions\": {\"spaces\": true}, \"bindings\": {}}", &[]),
    ] {
        let found = Manifest::parse(text.as_bytes()).expect(text).bindings();
        let found: Vec<_> = found.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(found, expect, "{text}");
    }
}
