//! Small apps, and what becomes of them.

use super::*;

fn files(list: &[(&str, &str)]) -> Vec<RepoFile> {
    let mut files: Vec<RepoFile> = list
        .iter()
        .map(|(path, text)| RepoFile { path: (*path).to_owned(), bytes: text.as_bytes().to_vec() })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn check(main: &str, list: &[(&str, &str)]) -> Result<Bundle, Refusal> {
    bundle(&Entry { main: main.into(), ..Entry::default() }, files(list))
}

#[test]
fn an_app_its_packages_and_its_data_become_one_script() {
    let app = [
        (
            "src/index.tsx",
            "import { hi } from 'greet'; import { deep } from '@s/deep/sub'; import old from 'old';\nimport data from './data.json'; import sql from './a.sql'; import { lib } from '@/lib';\nimport { Buffer } from 'node:buffer';\nexport default { fetch: (): unknown => <p>{hi(data.a, sql, lib, deep, old.x, Buffer)}</p> };",
        ),
        ("src/data.json", "{\"a\": \"from json\"}"),
        ("src/a.sql", "SELECT 'from text'"),
        ("src/lib.ts", "export enum lib { A = 'from paths' }"),
        (
            "node_modules/greet/package.json",
            "{\"exports\": {\"workerd\": \"./worker.js\", \"default\": \"./node.js\"}}",
        ),
        ("node_modules/greet/worker.js", "export const hi = (...all) => 'from workerd' + all;"),
        ("node_modules/greet/node.js", "export const hi = () => 'from node';"),
        (
            "node_modules/@s/deep/package.json",
            "{\"type\": \"module\", \"exports\": {\"./sub\": \"./lib/sub.mjs\"}}",
        ),
        ("node_modules/@s/deep/lib/sub.mjs", "export const deep = 'from a scope';"),
        ("node_modules/old/package.json", "{\"main\": \"lib\"}"),
        (
            "node_modules/old/lib/index.js",
            "const { EventEmitter } = require('events'); exports.x = 'from commonjs' + EventEmitter;",
        ),
        ("node_modules/hono/package.json", "{\"exports\": {\"./jsx/jsx-runtime\": \"./jsx.js\"}}"),
        ("node_modules/hono/jsx.js", "export const jsx = (tag) => 'from jsx' + tag;"),
        (
            "tsconfig.json",
            "{\"extends\": \"@gone/tsconfig\", \"compilerOptions\": {\"jsx\": \"react-jsx\", \"jsxImportSource\": \"hono/jsx\", /* x */ \"paths\": {\"@/*\": [\"./src/*\"]}}}",
        ),
    ];
    let made = check("src/index.tsx", &app).expect("a bundle");
    for part in
        ["from json", "from text", "from paths", "from workerd", "from a scope", "from commonjs", "from jsx"]
    {
        assert!(made.code.contains(part), "{part}: {}", made.code);
    }
    assert!(!made.code.contains("from node") && !made.code.contains("require("), "{}", made.code);
    assert!(
        made.code.contains("from \"node:buffer\"") && made.code.contains("from \"node:events\""),
        "{}",
        made.code
    );
    assert!(made.map.contains("src/index.tsx") && !made.map.contains("sourcesContent\":[\""), "{}", made.map);
    assert_eq!(made.warnings, Vec::<String>::new());
    // The same files, the same bytes.
    assert_eq!(check("src/index.tsx", &app).expect("again"), made);
}

#[test]
fn what_the_worker_has_not_says_so_when_it_is_used() {
    let made = check(
        "a.js",
        &[("a.js", "import fs, { readFile } from 'fs'; import { connect } from 'cloudflare:sockets';\nexport default { fetch() { fs.statSync('x'); readFile('x'); connect('x'); } };")],
    )
    .expect("a bundle");
    assert!(!made.code.contains("from \""), "{}", made.code);
    let told = made.warnings.join("\n");
    assert!(told.contains("`node:fs`") && told.contains("`cloudflare:sockets`"), "{told}");
}

#[test]
fn what_cannot_be_bundled_is_told_with_its_place() {
    for (why, list, says) in [
        ("a package that is not there", vec![("a.js", "import 'gone'; export default {}")], "gone"),
        ("a file that is not there", vec![("a.js", "import './gone.js'; export default {}")], "gone.js"),
        (
            "a file above the app",
            vec![("a.js", "import '../../etc/passwd'; export default {}")],
            "etc/passwd",
        ),
        ("an absolute file", vec![("a.js", "import '/etc/passwd'; export default {}")], "/etc/passwd"),
        ("a URL", vec![("a.js", "import 'https://evil.example/x.js'; export default {}")], "evil.example"),
        (
            "a syntax error",
            vec![("a.js", "import './b.ts'; export default {}"), ("b.ts", "let x: = 1;\n")],
            "b.ts:1",
        ),
        (
            "a name that is not exported",
            vec![("a.js", "import { x } from './b.js'; export default x"), ("b.js", "export const y = 1")],
            "x",
        ),
        ("no main module", vec![("b.js", "")], "`a.js` is not among the files"),
        ("bytes that are no text", vec![("a.js", "import './b.js'; export default {}")], "b.js"),
    ] {
        let mut list = files(&list);
        if why.starts_with("bytes") {
            list.push(RepoFile { path: "b.js".into(), bytes: vec![0xff, 0xfe] });
        }
        let error = bundle(&Entry { main: "a.js".into(), ..Entry::default() }, list).expect_err(why);
        assert!(error.0.contains(says) && !error.0.contains("/app/"), "{why}: {error}");
    }
}

#[test]
fn packages_that_are_imported_are_found_before_they_are_there() {
    let list = [
        (
            "src/a.ts",
            "import { z } from 'zod'; import './b'; import type { T } from 'types-only'; const c = require('cjs/deep'); export default { z, c };",
        ),
        (
            "src/b.ts",
            "import '@s/x/deep'; import 'node:fs'; import 'events'; export const later = () => import('lazy');",
        ),
        ("src/unused.test.ts", "import 'vitest';"),
    ];
    let found = scan(&Entry { main: "src/a.ts".into(), ..Entry::default() }, files(&list)).expect("scanned");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["@s/x", "cjs", "lazy", "zod"]);
}

#[test]
fn other_endings_and_names_are_what_the_configuration_says() {
    let entry = Entry {
        main: "a.js".into(),
        text: vec!["**/*.tmpl".into()],
        data: vec!["*.dat".into()],
        alias: vec![("old".into(), "/app/new.js".into())],
        define: vec![("VERSION".into(), "\"1.2\"".into())],
    };
    let list = files(&[
        (
            "a.js",
            "import t from './x.tmpl'; import d from './x.dat'; import o from 'old'; export default [t, d, o, VERSION];",
        ),
        ("x.tmpl", "<b>text</b>"),
        ("x.dat", "bytes"),
        ("new.js", "export default 'from the alias';"),
    ]);
    let made = bundle(&entry, list).expect("a bundle");
    for part in ["<b>text</b>", "Ynl0ZXM=", "from the alias", "1.2"] {
        assert!(made.code.contains(part), "{part}: {}", made.code);
    }
}

#[test]
fn webassembly_is_named_as_missing() {
    let list =
        files(&[("a.js", "import wasm from './x/y.wasm'; export default wasm;"), ("x/y.wasm", "bytes")]);
    let entry = Entry { main: "a.js".into(), ..Entry::default() };
    let error = bundle(&entry, list).expect_err("there is none");
    assert!(error.0.contains("WebAssembly (`x/y.wasm`)"), "{error}");
}

#[test]
fn what_stays_an_import_is_what_the_worker_has() {
    fn below(folder: &std::path::Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("the worker's modules") {
            let path = entry.expect("readable").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                below(&path, &format!("{prefix}{name}/"), found);
            } else {
                found.push(format!("{prefix}{name}"));
            }
        }
        found.sort();
    }
    let prelude = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker/src/prelude");
    for (folder, list) in [("node", &NODE[..]), ("cloudflare", &CLOUDFLARE)] {
        let mut found = Vec::new();
        below(&prelude.join(folder), "", &mut found);
        assert_eq!(found, list, "{folder}");
    }
}
