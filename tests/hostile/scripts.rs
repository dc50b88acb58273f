//! Scripts and settings that reach for what is not theirs, or would be built without end.

use fazt_tests::noise;
use serde_json::json;

use crate::stage::{Stage, check, row};

/// An app of this script and more files, which is bundled.
fn app(
    script: impl Into<String>,
    more: &'static [(&'static str, &'static str)],
) -> impl Fn(&Stage) -> String {
    let script = script.into();
    move |stage| {
        let mut files: Vec<(&str, &[u8])> = vec![
            ("package.json", b"{}"),
            ("server.ts", script.as_bytes()),
            ("wrangler.toml", b"main = 'server.ts'"),
        ];
        files.retain(|(path, _)| more.iter().all(|(other, _)| other != path));
        files.extend(more.iter().map(|(path, text)| (*path, text.as_bytes())));
        stage.files(&files)
    }
}

/// An app of this script, beside what makes its pack as large as is usual: text that packs well is refused otherwise.
fn heavy(script: impl Into<String>) -> impl Fn(&Stage) -> String {
    let script = script.into();
    move |stage| {
        let noise = noise(300_000);
        stage.files(&[
            ("noise", &noise),
            ("server.ts", script.as_bytes()),
            ("wrangler.toml", b"main = 'server.ts'"),
        ])
    }
}

/// An app that imports this, and answers with it.
fn imports(specifier: &str) -> impl Fn(&Stage) -> String + use<> {
    app(
        format!("import x from {}; export default {{ fetch: () => new Response(x) }};", json!(specifier)),
        &[],
    )
}

#[test]
fn an_import_of_what_is_not_the_apps_leads_nowhere() {
    let nowhere = &["nor among the packages"];
    check(&[
        row("a file of the server", 2, nowhere, imports("/etc/passwd")),
        row("up", 2, nowhere, imports("../../../../../../etc/passwd")),
        row("up, with a question", 2, nowhere, imports("../../../../etc/passwd?raw")),
        row("a URL of a file", 2, nowhere, imports("file:///etc/passwd")),
        row("a URL", 2, nowhere, imports("https://evil.example/x.js")),
        row("a URL without its scheme", 2, nowhere, imports("//evil.example/x.js")),
        row("what the process knows of itself", 2, nowhere, imports("/proc/self/environ")),
        row("a module of the bundler", 2, nowhere, imports("\0fazt:required:../../x")),
        row("a module of the prelude", 2, nowhere, imports("fazt:internal/kernel")),
        row("a registry", 2, nowhere, imports("npm:left-pad@1")),
        row(
            "required",
            2,
            nowhere,
            app("export default { fetch: () => new Response(require('/etc/passwd')) };", &[]),
        ),
        row(
            "imported later",
            2,
            nowhere,
            app(
                "export default { fetch: async () => new Response((await import('/etc/passwd')).default) };",
                &[],
            ),
        ),
        row("exported", 2, nowhere, app("export * from '/etc/passwd'; export default {};", &[])),
        row(
            "settings that extend a file outside",
            2,
            nowhere,
            app(
                "import x from '@/passwd'; export default { fetch: () => new Response(x) };",
                &[("tsconfig.json", r#"{ "extends": "/etc/tsconfig.json" }"#)],
            ),
        ),
        row(
            "settings that extend each other",
            2,
            nowhere,
            app(
                "import x from '@/passwd'; export default { fetch: () => new Response(x) };",
                &[
                    ("tsconfig.json", r#"{ "extends": "./b.json" }"#),
                    ("b.json", r#"{ "extends": "./tsconfig.json" }"#),
                ],
            ),
        ),
        row(
            "paths that lead outside",
            2,
            nowhere,
            app(
                "import x from '@/passwd'; export default { fetch: () => new Response(x) };",
                &[(
                    "tsconfig.json",
                    r#"{ "compilerOptions": { "baseUrl": "../..", "paths": { "@/*": ["/etc/*", "../../etc/*"] } } }"#,
                )],
            ),
        ),
        row(
            "an alias that leads outside",
            2,
            &["Could not resolve 'x'"],
            app(
                "import x from 'x'; export default { fetch: () => new Response(x) };",
                &[("wrangler.toml", "main = 'server.ts'\n[alias]\nx = '/etc/passwd'")],
            ),
        ),
        row(
            "a main outside",
            2,
            &["not in the repository"],
            app("export default {};", &[("wrangler.toml", "main = '../../../etc/passwd'")]),
        ),
        row(
            "assets outside",
            2,
            &["folder"],
            app(
                "export default {};",
                &[("wrangler.toml", "main = 'server.ts'\n[assets]\ndirectory = '../../etc'")],
            ),
        ),
        row(
            "a file of text outside",
            2,
            nowhere,
            app(
                "import x from '/etc/passwd'; export default { fetch: () => new Response(x) };",
                &[(
                    "wrangler.toml",
                    "main = 'server.ts'\n[[rules]]\ntype = 'Text'\nglobs = ['**/*.passwd', '/etc/*', '../**']",
                )],
            ),
        ),
        row(
            "a map of a file outside is not read",
            0,
            &["live as version 1"],
            app(
                "export default { fetch: () => new Response('x') };\n//# sourceMappingURL=../../../../etc/passwd",
                &[],
            ),
        ),
        row(
            "a map that says too much",
            0,
            &["live as version 1"],
            app(
                "export default { fetch: () => new Response('x') };\n//# sourceMappingURL=server.ts.map",
                &[(
                    "server.ts.map",
                    r#"{ "version": 3, "sources": ["/etc/passwd", "file:///etc/shadow"], "mappings": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }"#,
                )],
            ),
        ),
    ]);
}

#[test]
fn what_would_be_built_without_end_is_refused() {
    let deep = |open: &str, close: &str| {
        heavy(format!("export default {}1{};", open.repeat(200_000), close.repeat(200_000)))
    };
    check(&[
        row("brackets upon brackets", 1, &["the build process failed", "nested very deeply"], deep("[", "]")),
        row(
            "functions in functions",
            1,
            &["the build process failed", "nested very deeply"],
            deep("()=>{return ", "}"),
        ),
        row(
            "types in types",
            1,
            &["the build process failed", "nested very deeply"],
            app(
                format!(
                    "const x: {}1{} = 1; export default {{}};",
                    "Array<".repeat(200_000),
                    ">".repeat(200_000)
                ),
                &[],
            ),
        ),
        row("a bundle that would be too large", 1, &["`server.js`", "a module may have"], |stage: &Stage| {
            let texts: Vec<String> = (0..12)
                .map(|number| format!("export default '{}'", number.to_string().repeat(1_000_000)))
                .collect();
            let names: Vec<String> = (0..12).map(|number| format!("t{number}.js")).collect();
            let imports: String =
                (0..12).map(|number| format!("import t{number} from './t{number}.js';")).collect();
            let all: String = (0..12).map(|number| format!("t{number},")).collect();
            let script = format!("{imports} export default {{ fetch: () => Response.json([{all}]) }};");
            let noise = noise(300_000);
            let mut files: Vec<(&str, &[u8])> = vec![
                ("wrangler.toml", b"main = 'server.js'"),
                ("server.js", script.as_bytes()),
                ("noise", &noise),
            ];
            files.extend(names.iter().zip(&texts).map(|(name, text)| (name.as_str(), text.as_bytes())));
            stage.files(&files)
        }),
        row(
            "modules that import each other",
            0,
            &["live as version 1"],
            app(
                "import './a'; export default {};",
                &[("a.ts", "import './b'; import './server';"), ("b.ts", "import './a';")],
            ),
        ),
        row(
            "names defined by each other",
            0,
            &["live as version 1"],
            app(
                "export default { fetch: () => new Response(String(A)) };",
                &[("wrangler.toml", "main = 'server.ts'\n[define]\nA = 'B'\nB = 'A'")],
            ),
        ),
    ]);
}

/// Modules in layers: each says this of both of the next.
fn layers(deep: usize, says: impl Fn(&str) -> String) -> impl Fn(&Stage) -> String {
    let mut files =
        vec![("server.ts".to_owned(), format!("{}{}export default {{}};", says("./a0"), says("./b0")))];
    for layer in 0..deep {
        for name in ["a", "b"] {
            let next = layer + 1;
            let both = says(&format!("./a{next}")) + &says(&format!("./b{next}"));
            let both = if next == deep { format!("export const {name}{layer} = 1;") } else { both };
            files.push((format!("{name}{layer}.ts"), both));
        }
    }
    files.push(("wrangler.toml".into(), "main = 'server.ts'".into()));
    move |stage| {
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        stage.files(&files)
    }
}

#[test]
fn what_grows_with_each_step_is_bounded() {
    let doubling = |begin: &str, step: &dyn Fn(usize) -> String, end: &str| {
        let steps: String = (1..60).map(step).collect();
        heavy(format!("{begin}{steps}{end}"))
    };
    let started = &["live as version 1"];
    let package = |text: &'static str| {
        app(
            "import x from 'a'; export default { fetch: () => new Response(x) };",
            Box::leak(Box::new([
                ("node_modules/a/package.json", text),
                ("node_modules/a/i.js", "export default 1;"),
            ])),
        )
    };
    check(&[
        row("stars upon stars", 0, started, layers(10, |path| format!("export * from '{path}';"))),
        row("imports upon imports", 0, started, layers(40, |path| format!("import '{path}';"))),
        row(
            "an enum of texts that double",
            1,
            &["the build process failed", "nested very deeply"],
            doubling(
                "enum E { A0 = 'x'",
                &|at| format!(", A{at} = A{0} + A{0}", at - 1),
                "} export default { fetch: () => new Response(E.A0) };",
            ),
        ),
        row(
            "templates that double",
            0,
            started,
            doubling(
                "const a0 = 'x';",
                &|at| format!("const a{at} = `${{a{0}}}${{a{0}}}`;", at - 1),
                "export default { fetch: () => new Response(a0) };",
            ),
        ),
        row(
            "types that double",
            0,
            started,
            doubling(
                "type T0 = 1;",
                &|at| format!("type T{at} = [T{0}, T{0}];", at - 1),
                "const t: T59 | 1 = 1; export default { fetch: () => new Response(String(t)) };",
            ),
        ),
        row(
            "aliases in a circle",
            2,
            &["Could not resolve"],
            app(
                "import x from 'x'; export default { fetch: () => new Response(x) };",
                &[("wrangler.toml", "main = 'server.ts'\n[alias]\nx = 'y'\ny = 'x'")],
            ),
        ),
        row(
            "paths in a circle",
            2,
            &["nor among the packages"],
            app(
                "import x from 'x'; export default { fetch: () => new Response(x) };",
                &[(
                    "tsconfig.json",
                    r#"{ "compilerOptions": { "paths": { "*": ["*"], "x": ["x", "./x", "*"] } } }"#,
                )],
            ),
        ),
        row(
            "files of a package in a circle",
            2,
            &["Could not resolve"],
            package(r#"{ "main": "./a.js", "browser": { "./a.js": "./b.js", "./b.js": "./a.js" } }"#),
        ),
        row(
            "imports of a package in a circle",
            2,
            &["Could not resolve"],
            package(r##"{ "exports": "./x.js", "imports": { "#a": "#b", "#b": "#a" } }"##),
        ),
        row("a package that is itself", 2, &["Could not resolve"], package(r#"{ "exports": { ".": "a" } }"#)),
        row("JSON in JSON", 2, &["deep.json:1:", "recursion limit"], |stage: &Stage| {
            let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
            let noise = noise(300_000);
            stage.files(&[
                ("deep.json", deep.as_bytes()),
                ("noise", &noise),
                ("server.js", b"import x from './deep.json'; export default x;"),
                ("wrangler.toml", b"main = 'server.js'"),
            ])
        }),
        row("a pattern of very many stars", 0, started, |stage: &Stage| {
            let config = json!({ "main": "a.js", "rules": [{ "type": "Text", "globs": ["*a".repeat(20_000) + "b"] }] });
            let path = format!("{}/x.txt", ["a".repeat(200), "a".repeat(200)].join("/"));
            let script =
                format!("import x from './{path}'; export default {{ fetch: () => new Response(x) }};");
            stage.files(&[
                ("a.js", script.as_bytes()),
                (&path, b"x"),
                ("wrangler.json", config.to_string().as_bytes()),
            ])
        }),
        row("a map in a map", 0, started, |stage: &Stage| {
            let section = r#"{ "version": 3, "sections": [{ "offset": { "line": 0, "column": 0 }, "map": "#;
            let deep = format!("{}{{}}{}", section.repeat(50_000), "}] }".repeat(50_000));
            let noise = noise(300_000);
            stage.files(&[
                ("server.js", HELLO.as_bytes()),
                ("server.js.map", deep.as_bytes()),
                ("noise", &noise),
            ])
        }),
        row("a map of very many places", 0, started, |stage: &Stage| {
            let map =
                json!({ "version": 3, "sources": ["a"], "names": [], "mappings": "AAAA,".repeat(900_000) });
            let noise = noise(300_000);
            stage.files(&[
                ("server.js", HELLO.as_bytes()),
                ("server.js.map", map.to_string().as_bytes()),
                ("noise", &noise),
            ])
        }),
        row("a map of places that are none", 0, started, |stage: &Stage| {
            let map = json!({ "version": 3, "sources": ["a"], "mappings": format!("{};{}", "g".repeat(100_000), "D".repeat(1_000)) });
            let noise = noise(300_000);
            stage.files(&[
                ("server.js", HELLO.as_bytes()),
                ("server.js.map", map.to_string().as_bytes()),
                ("noise", &noise),
            ])
        }),
    ]);
}

const HELLO: &str = "export default { fetch: () => new Response('x') };";

#[test]
fn a_configuration_of_wrangler_that_is_a_bomb_is_refused() {
    fn config(name: &'static str, text: impl Into<String>) -> impl Fn(&Stage) -> String {
        let text = text.into();
        move |stage| stage.files(&[(name, text.as_bytes()), ("a.js", b"export default {}")])
    }
    let main = "main = 'a.js'\n";
    let read = &["cannot be read"];
    check(&[
        row("large", 2, &["bytes; at most"], config("wrangler.toml", format!("{main}# {}", "x".repeat(1 << 20)))),
        row("TOML in TOML", 2, &["wrangler.toml"], config("wrangler.toml", format!("{main}x = {}", "[".repeat(100_000)))),
        row("dots", 2, &["wrangler.toml"], config("wrangler.toml", format!("{main}[{}a]", "a.".repeat(60_000)))),
        row("tables in tables", 2, &["wrangler.toml"], config("wrangler.toml", format!("{main}x = {}", "{a=".repeat(80_000)))),
        row("a key twice", 2, read, config("wrangler.toml", "main = 'a.js'\nmain = 'b.js'")),
        row("JSON in JSON", 2, read, config("wrangler.json", "[".repeat(200_000))),
        row("comments", 2, read, config("wrangler.jsonc", "/*".repeat(100_000))),
        row("no object", 2, &["no object"], config("wrangler.json", "[1]")),
        row("not UTF-8", 2, &["UTF-8"], |stage: &Stage| stage.files(&[("wrangler.toml", b"name = '\xff'")])),
        row("very many schedules", 2, &["bytes of app.json"], config(
            "wrangler.json",
            json!({ "main": "a.js", "triggers": { "crons": vec!["* * * * *"; 10_000] } }).to_string(),
        )),
        row("schedules that are none, very many", 2, &["schedule"], config(
            "wrangler.json",
            json!({ "main": "a.js", "triggers": { "crons": vec!["x"; 10_000] } }).to_string(),
        )),
        row("very many variables", 2, &["bytes of app.json"], config(
            "wrangler.json",
            json!({ "main": "a.js", "vars": (0..5_000).map(|n| (format!("V{n}"), json!("x"))).collect::<serde_json::Map<_, _>>() }).to_string(),
        )),
        row("very many databases", 2, &["bindings"], config(
            "wrangler.json",
            json!({ "main": "a.js", "d1_databases": (0..2_000).map(|n| json!({ "binding": format!("D{n}") })).collect::<Vec<_>>() }).to_string(),
        )),
        row("all that is missing here, very often", 2, &["Durable Objects"], config(
            "wrangler.json",
            json!({ "main": "a.js", "durable_objects": { "bindings": vec![json!({ "name": "x" }); 3_000] }, "ai": { "binding": "AI" } }).to_string(),
        )),
    ]);
}

/// An app with a database and this migration.
fn migration(sql: &'static str) -> impl Fn(&Stage) -> String {
    app(
        "export default { fetch: () => new Response('x') };",
        // Leaked once a row: rows are few.
        Box::leak(Box::new([
            (
                "wrangler.toml",
                "main = 'server.ts'\n[[d1_databases]]\nbinding = 'DB'\ndatabase_name = 'x'\ndatabase_id = 'x'",
            ),
            ("migrations/0001.sql", sql),
        ])),
    )
}

#[test]
fn a_migration_that_reaches_out_or_does_not_end_is_refused_and_the_app_with_it() {
    let named = &["0001.sql"];
    check(&[
        row("another file", 2, named, migration("ATTACH '/etc/passwd' AS x;")),
        row("a file of its own", 2, named, migration("ATTACH '/tmp/fazt-hostile.db' AS x;")),
        row("a copy", 2, named, migration("VACUUM INTO '/tmp/fazt-hostile.db';")),
        row("a library", 2, named, migration("SELECT load_extension('/tmp/x.so');")),
        row(
            "the schema itself",
            2,
            named,
            migration("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'x';"),
        ),
        row("where temporary files are", 2, named, migration("PRAGMA temp_store_directory = '/etc';")),
        row(
            "rows without end",
            2,
            named,
            migration(
                "CREATE TABLE t(x); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) INSERT INTO t SELECT zeroblob(1000000) FROM c;",
            ),
        ),
        row("no SQL", 2, named, migration("\u{1b}[2J\u{202e};")),
        row("half a statement", 2, named, migration("CREATE TABLE x(")),
        row(
            "more memory than there is",
            2,
            named,
            migration("SELECT length(zeroblob(2000000000)), length(hex(randomblob(900000000)));"),
        ),
    ]);
    assert!(!std::path::Path::new("/tmp/fazt-hostile.db").exists());
}
