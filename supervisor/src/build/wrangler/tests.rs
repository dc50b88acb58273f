//! Configurations, good and bad.

use proptest::prelude::*;

use super::*;

fn file(path: &str, text: &str) -> RepoFile {
    RepoFile { path: path.into(), bytes: text.as_bytes().to_vec() }
}

fn check(config: (&str, &str), others: &[&str]) -> Result<Made, Refusal> {
    let mut files: Vec<RepoFile> = others.iter().map(|path| file(path, "x")).collect();
    files.push(file(config.0, config.1));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    understand(find(&files).expect("a configuration"), &files)
}

const TOML: &str = r#"
name = "My_Worker"
main = "./src/index.ts"
compatibility_date = "2025-01-01"
compatibility_flags = ["nodejs_compat"]
[assets]
directory = "./public/"
binding = "ASSETS"
not_found_handling = "single-page-application"
run_worker_first = ["/api/*", "!/api/docs/*"]
[vars]
GREETING = "hi"
LIST = [1, 2]
[[kv_namespaces]]
binding = "CACHE"
id = "0123"
[[r2_buckets]]
binding = "FILES"
bucket_name = "files"
[[d1_databases]]
binding = "DB"
database_name = "db"
database_id = "x"
migrations_dir = "db/migrations"
[[queues.producers]]
queue = "work"
binding = "WORK"
[triggers]
crons = ["*/5 * * * *", "0 17 * * 1"]
[[rules]]
type = "Text"
globs = ["**/*.tmpl"]
[alias]
"old" = "./src/new.ts"
"#;

#[test]
fn a_worker_becomes_a_manifest() {
    let others = [
        "src/index.ts",
        "public/index.html",
        "db/migrations/0002_b.sql",
        "db/migrations/0001_a.sql",
        "db/migrations/meta/x.sql",
    ];
    let made = check(("wrangler.toml", TOML), &others).expect("good");
    assert_eq!(made.missing, Vec::<String>::new());
    let expect = json!({
        "name": "my-worker",
        "main": "server.js",
        "compatibilityDate": "2025-01-01",
        "assets": "public",
        "spa": true,
        "serverFirst": ["/api/*", "!/api/docs/*"],
        "env": [{ "name": "GREETING", "default": "hi" }, { "name": "LIST", "default": "[1,2]", "json": true }],
        "bindings": { "ASSETS": "assets", "CACHE": "kv", "FILES": "r2", "DB": "d1", "WORK": "queue" },
        "permissions": { "spaces": true, "sql": true, "schedule": true },
        "cron": [{ "name": "cron-1", "schedule": "*/5 * * * *" }, { "name": "cron-2", "schedule": "0 17 * * 0", "event": "0 17 * * 1" }],
    });
    assert_eq!(Value::Object(made.manifest), expect);
    let entry = made.entry.expect("a script");
    assert_eq!((entry.main.as_str(), &*entry.text), ("src/index.ts", &["**/*.tmpl".to_owned()][..]));
    assert_eq!(entry.alias, [("old".to_owned(), "/app/src/new.ts".to_owned())]);
    let expect = ["db/migrations/0001_a.sql", "db/migrations/0002_b.sql"].map(str::to_owned).to_vec();
    assert_eq!(made.migrations, [Migrations { binding: "DB".into(), files: expect }]);
}

#[test]
fn the_same_in_json_with_comments() {
    let text = "{\n  // a worker\n  \"name\": \"a\",\n  \"main\": \"index.js\", /* x */\n}";
    let made = check(("wrangler.jsonc", text), &["index.js"]).expect("good");
    assert_eq!(Value::Object(made.manifest), json!({ "name": "a", "main": "server.js" }));
}

#[test]
fn the_main_module_is_where_older_versions_look_for_it() {
    for (config, package, main) in [
        (
            "name = 'a'",
            r#"{"scripts": {"dev": "wrangler dev a.ts", "deploy": "tsc && wrangler deploy --minify ./src/index.ts"}}"#,
            Some("src/index.ts"),
        ),
        ("name = 'a'", r#"{"scripts": {"dev": "npx wrangler dev 'a.ts' --port 1"}}"#, Some("a.ts")),
        ("name = 'a'", r#"{"scripts": {"build": "esbuild a.ts", "gone": "wrangler dev gone.ts"}}"#, None),
        ("type = 'javascript'", "{}", Some("index.js")),
        ("type = 'webpack'", r#"{"main": "./src/index.ts"}"#, Some("src/index.ts")),
        ("name = 'a'", r#"{"main": "src/index.ts"}"#, None),
        ("[build.upload]\nformat = 'modules'\ndir = 'src'\nmain = './index.ts'", "{}", Some("src/index.ts")),
        ("main = 'a.ts'\n[build]\ncommand = 'make'", "{}", Some("a.ts")),
    ] {
        let files = [
            ("package.json", package),
            ("a.ts", ""),
            ("index.js", ""),
            ("src/index.ts", ""),
            ("wrangler.toml", config),
        ];
        let files = files.map(|(path, text)| file(path, text));
        let mut files = files.to_vec();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let made = understand(find(&files).expect("a configuration"), &files).expect("good");
        assert_eq!(made.entry.map(|entry| entry.main).as_deref(), main, "{config} {package}");
        assert_eq!(made.missing, Vec::<String>::new());
    }
}

#[test]
fn the_environment_is_the_one_that_its_author_deploys() {
    let config = r#"{ "name": "a", "main": "a.ts", "vars": { "A": "top" }, "compatibility_date": "2025-01-01",
        "r2_buckets": [{ "binding": "FILES", "bucket_name": "x" }],
        "env": { "live": { "name": "b", "vars": { "B": "live" }, "kv_namespaces": [{ "binding": "KV", "id": "x" }] } } }"#;
    for (script, bindings, variable) in [
        ("wrangler deploy --env live", json!({ "KV": "kv" }), "B"),
        ("npm test && wrangler deploy --minify -e live", json!({ "KV": "kv" }), "B"),
        ("wrangler deploy", json!({ "FILES": "r2" }), "A"),
        ("wrangler deploy --env other", json!({ "FILES": "r2" }), "A"),
        ("vitest --env live", json!({ "FILES": "r2" }), "A"),
    ] {
        let package = json!({ "scripts": { "deploy": script } }).to_string();
        let files = [file("a.ts", ""), file("package.json", &package), file("wrangler.json", config)];
        let made = understand(find(&files).expect("a configuration"), &files).expect("good");
        assert_eq!(made.manifest["bindings"], bindings, "{script}");
        assert_eq!(made.manifest["env"][0]["name"], variable, "{script}");
        assert_eq!(
            (&made.manifest["name"], &made.manifest["compatibilityDate"]),
            (&json!("a"), &json!("2025-01-01"))
        );
    }
}

#[test]
fn what_there_is_not_is_listed_all_of_it() {
    let text = r#"{
        "main": "a.js",
        "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] },
        "ai": { "binding": "AI" },
        "vectorize": [],
        "services": [{ "binding": "S", "service": "s" }],
        "build": { "command": "npm run build" },
        "triggers": { "crons": ["0 0 LW * *"] },
        "assets": { "directory": "dist" },
        "observability": { "enabled": true },
        "something_new": 1
    }"#;
    let made = check(("wrangler.json", text), &["a.js"]).expect("understood");
    let all = made.missing.join("\n");
    for what in ["Durable Objects", "Workers AI", "service bindings", "`0 0 LW * *`", "`dist`"] {
        assert!(all.contains(what), "{what}: {all}");
    }
    assert_eq!(made.missing.len(), 5, "{all}");
    assert_eq!(
        made.warnings,
        [
            "`something_new` in wrangler.json is not understood, and left out",
            "the author's own program `npm run build` would be run to build it; it is not"
        ]
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    for (name, text, says) in [
        ("wrangler.toml", "main = ", "cannot be read"),
        ("wrangler.toml", "a = 1\na = 2", "cannot be read"),
        ("wrangler.toml", "main = \"gone.ts\"", "not in the repository"),
        ("wrangler.toml", "main = \"../x.ts\"", "not in the repository"),
        ("wrangler.json", "[]", "no object"),
        ("wrangler.json", "{\"kv_namespaces\": [{}]}", "no `binding`"),
        (
            "wrangler.json",
            "{\"kv_namespaces\": [{\"binding\": \"A\"}], \"r2_buckets\": [{\"binding\": \"A\"}]}",
            "two bindings",
        ),
        ("wrangler.json", &"[".repeat(10_000), "cannot be read"),
        ("wrangler.toml", &format!("a = {}", "[".repeat(10_000)), "cannot be read"),
        ("wrangler.json", &" ".repeat(CONFIG_BYTES_MAX + 1), "at most"),
    ] {
        let error = check((name, text), &[]).expect_err(says);
        assert!(error.0.contains(says) && !error.0.contains('\n'), "{says}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_understood(text in "\\PC{0,200}") {
        let _ = check(("wrangler.toml", &text), &[]);
        let _ = check(("wrangler.json", &text), &[]);
    }
}
