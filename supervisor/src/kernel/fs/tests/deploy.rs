//! What a deploy does.

use std::io::Read;

use fazt_ipc::wire::kernel::ModuleKind;

use super::*;

const PAGE: &str = "<!doctype html><title>hello</title>";

#[tokio::test]
async fn a_folder_goes_live_and_only_what_changed_travels_again() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let mut files = tree(&[
        ("index.html", PAGE),
        ("a.txt", "same"),
        ("b.txt", "same"),
        ("app.json", "{\"version\": \"1.0\", \"access\": \"public\"}"),
    ]);
    let first = deploy(&fs, "notes", &files).await.expect("deploys");
    assert_eq!(
        (first.version.number, first.files_sent, first.unchanged),
        (1, 3, false),
        "equal contents travel once"
    );
    assert_eq!((first.app.access, first.version.version.as_str()), (Access::Public, "1.0"));
    assert!(first.version.active && first.app.disk_bytes > 0);
    assert_eq!(read_back(&fs, "notes").await, files);

    let again = deploy(&fs, "notes", &files).await.expect("deploys");
    assert_eq!((again.version.number, again.files_sent, again.unchanged), (1, 0, true));

    files.insert("a.txt".into(), b"new".to_vec());
    let second = deploy(&fs, "notes", &files).await.expect("deploys");
    assert_eq!((second.version.number, second.files_sent), (2, 1));
    assert_eq!(read_back(&fs, "notes").await, files);

    drop(fs);
    let fs = open(data.path(), &builder).await;
    assert_eq!(read_back(&fs, "notes").await, files, "and after a restart");
    assert_eq!(fs.app("notes").await.expect("there").version.map(|version| version.number), Some(2));
}

#[tokio::test]
async fn requests_in_flight_keep_the_old_version() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    deploy(&fs, "a", &tree(&[("index.html", "one")])).await.expect("deploys");
    let app = fs.route("a").expect("routes");
    let old = fs.release(app).await.expect("release");
    let mut changes = fs.changes();
    deploy(&fs, "a", &tree(&[("index.html", "two")])).await.expect("deploys");
    assert_eq!(changes.recv().await.expect("told"), app);
    assert!(fs.release_cached(app).is_none());
    for (release, expect) in [(old, "one"), (fs.release(app).await.expect("release"), "two")] {
        let AssetMatch::Found(file) = release.asset("/") else { panic!("{expect}") };
        assert_eq!(release.content(file, Encoding::Identity).await.expect("content"), expect);
        assert_eq!(release.content_cached(file, Encoding::Identity).expect("cached"), expect);
        assert_eq!(release.content_range(file, Encoding::Identity, 1, 1).await.expect("range"), expect[1..2]);
        assert_eq!(release.content_range(file, Encoding::Identity, 9, 5).await.expect("range"), "");
    }
}

#[tokio::test]
async fn scripts_are_stripped_and_compiled_once() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let mut files = tree(&[
        (
            "server.ts",
            "type A = string;\n\nimport { b } from './lib/b.js';\nimport t from './t.txt';\nexport default { fetch(a: A) {\n throw b + t } };",
        ),
        ("lib/b.js", "export const b = 1;"),
        ("t.txt", "text"),
        ("d.json", "{}"),
        ("public/page.js", "let = broken but only served"),
        ("types.d.ts", "declare const x: string;"),
    ]);
    let done = deploy(&fs, "a", &files).await.expect("deploys");
    assert_eq!(done.warnings, Vec::<String>::new());
    let release = fs.release(done.app.id).await.expect("release");
    assert!(release.has_server());
    let code = release.code().await.expect("code");
    assert_eq!(code.main, "server.ts");
    let shape: Vec<_> = code.modules.iter().map(|module| (module.path.as_str(), module.kind)).collect();
    assert_eq!(
        shape,
        [
            ("lib/b.js", ModuleKind::Bytecode),
            ("server.ts", ModuleKind::Bytecode),
            ("t.txt", ModuleKind::Text),
        ]
    );
    assert!(
        code.modules[1].bytes.starts_with(b"bytecode 1 of server.ts: import"),
        "{:?}",
        code.modules[1].bytes
    );
    let text = String::from_utf8(code.modules[1].bytes.to_vec()).expect("text");
    let line = text.lines().position(|line| line.contains("throw")).expect("kept") + 1;
    assert_eq!(code.map_text(&format!("at server.ts:{line}")), "at server.ts:6");
    assert_eq!((builder.stripped.load(Ordering::Relaxed), builder.compiled.load(Ordering::Relaxed)), (2, 2));

    files.insert("lib/b.js".into(), b"export const b = 2;".to_vec());
    deploy(&fs, "a", &files).await.expect("deploys");
    assert_eq!(
        (builder.stripped.load(Ordering::Relaxed), builder.compiled.load(Ordering::Relaxed)),
        (3, 3),
        "only the one that changed"
    );
}

#[tokio::test]
async fn after_an_upgrade_scripts_are_sent_until_bytecode_is_there_again() {
    let data = tempfile::tempdir().expect("folder");
    let builder = FakeBuilder::new();
    let fs = open(data.path(), &builder).await;
    let done = deploy(&fs, "a", &tree(&[("server.js", "export default {}")])).await.expect("deploys");
    drop(fs);
    builder.engine.store(2, Ordering::Relaxed);
    let fs = open(data.path(), &builder).await;
    let release = fs.release(done.app.id).await.expect("release");
    let code = release.code().await.expect("code");
    assert_eq!(
        (code.modules[0].kind, &code.modules[0].bytes[..]),
        (ModuleKind::Script, &b"export default {}"[..])
    );
    // The bytecode is made beside it; each look yields to that task.
    loop {
        let code = release.code().await.expect("code");
        if code.modules[0].kind == ModuleKind::Bytecode {
            assert!(code.modules[0].bytes.starts_with(b"bytecode 2 "));
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_script_that_does_not_parse_stops_the_deploy_unless_nothing_imports_it() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let broken = tree(&[("server.js", "import './b.ts';\n"), ("b.ts", "let a: number = 1;\nlet b = ;\n")]);
    let error = deploy(&fs, "a", &broken).await.expect_err("broken").to_string();
    assert!(error.starts_with("b.ts:2:9: ") && error.contains("2 | let b = ;"), "{error}");
    assert!(fs.route("a").is_none(), "the app was not made");

    let beside = tree(&[
        ("server.js", "import 'hono'; import './gone.js'; import 'node:buffer';"),
        ("old.js", "let = = 1"),
    ]);
    let done = deploy(&fs, "a", &beside).await.expect("deploys");
    let warnings = done.warnings.join("\n");
    assert!(warnings.contains("old.js is left out"), "{warnings}");
    assert!(warnings.contains("\"./gone.js\", which is not among the files"), "{warnings}");
    assert!(warnings.contains("package \"hono\"") && !warnings.contains("node:buffer"), "{warnings}");
    let code = fs.release(done.app.id).await.expect("release").code().await.expect("code");
    assert_eq!(code.modules.len(), 1);
}

#[tokio::test]
async fn only_what_the_main_module_leads_to_travels_unless_that_cannot_be_known() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let mut files = tree(&[
        ("server.js", "import './a'; import d from './d.json' with { type: 'json' }; import('./lazy.js');"),
        ("a/index.js", "export {}"),
        ("lazy.js", "import './server.js'"),
        ("d.json", "{}"),
        ("other.js", "export {}"),
        ("other.txt", "text"),
    ]);
    let mut expected = vec!["a/index.js", "d.json", "lazy.js", "server.js"];
    for dynamic in [false, true] {
        if dynamic {
            files.insert("lazy.js".into(), b"import(`./${globalThis.x}.js`)".to_vec());
            expected = vec!["a/index.js", "d.json", "lazy.js", "other.js", "other.txt", "server.js"];
        }
        let done = deploy(&fs, "a", &files).await.expect("deploys");
        let code = fs.release(done.app.id).await.expect("release").code().await.expect("code");
        let paths: Vec<_> = code.modules.iter().map(|module| module.path.as_str()).collect();
        assert_eq!(paths, expected);
    }
}

#[tokio::test]
async fn json_that_is_imported_has_to_be_json() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let files = tree(&[("server.js", "import d from './d.json';"), ("d.json", "{\n  \"a\": 1,\n}")]);
    let error = deploy(&fs, "a", &files).await.expect_err("broken").to_string();
    assert!(error.starts_with("d.json:3:1: not valid JSON: "), "{error}");
    let files = tree(&[("server.js", "export default {}"), ("d.json", "{")]);
    deploy(&fs, "a", &files).await.expect("nobody imports it");
}

#[tokio::test]
async fn jsx_is_what_the_apps_configuration_says() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let mut files = tree(&[
        ("server.tsx", "export default () => <b/>;"),
        (
            "tsconfig.json",
            "{\"compilerOptions\": {\"jsx\": \"react-jsx\", /* c */ \"jsxImportSource\": \"hono/jsx\",}}",
        ),
    ]);
    let done = deploy(&fs, "a", &files).await.expect("deploys");
    assert!(done.warnings.join("\n").contains("\"hono/jsx/jsx-runtime\""), "{:?}", done.warnings);
    files.insert("tsconfig.json".into(), b"{\"compilerOptions\": {\"jsx\": \"react\"}}".to_vec());
    let done = deploy(&fs, "a", &files).await.expect("deploys");
    assert_eq!(done.warnings, Vec::<String>::new(), "built anew though the script is the same");
    files.insert("tsconfig.json".into(), b"{\n\"compilerOptions\": {\"jsx\": 5}}".to_vec());
    let error = deploy(&fs, "a", &files).await.expect_err("wrong").to_string();
    assert!(error.starts_with("tsconfig.json:2:"), "{error}");
}

#[tokio::test]
async fn assets_are_compressed_where_it_gains() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    let text = "all work and no play ".repeat(500);
    let noise: Vec<u8> = (0..5000).map(|_| rand::random()).collect();
    let mut files = tree(&[
        ("public/a.txt", &text),
        ("public/tiny.txt", "tiny"),
        ("public/a.png", &text),
        ("server.js", &format!("//{text}")),
    ]);
    files.insert("public/noise.bin".into(), noise);
    deploy(&fs, "a", &files).await.expect("deploys");
    let release = fs.release(fs.route("a").expect("routes")).await.expect("release");
    for (path, coded) in [("/a.txt", true), ("/tiny.txt", false), ("/a.png", false), ("/noise.bin", false)] {
        let AssetMatch::Found(file) = release.asset(path) else { panic!("{path}") };
        for encoding in Encoding::COMPRESSED {
            assert_eq!(file.encodings.bytes(encoding).is_some(), coded, "{path} {encoding:?}");
        }
    }
    let AssetMatch::Found(file) = release.asset("/a.txt") else { panic!() };
    for encoding in Encoding::COMPRESSED {
        let form = release.content(file, encoding).await.expect("form");
        assert_eq!(Some(form.len() as u32), file.encodings.bytes(encoding));
        let mut back = Vec::new();
        match encoding {
            Encoding::Gzip => flate2::read::GzDecoder::new(&form[..]).read_to_end(&mut back).map(drop),
            Encoding::Brotli => brotli::Decompressor::new(&form[..], 4096).read_to_end(&mut back).map(drop),
            Encoding::Zstd => zstd::stream::copy_decode(&form[..], &mut back),
            Encoding::Identity => Ok(()),
        }
        .expect("decodes");
        assert_eq!(back, text.as_bytes(), "{encoding:?}");
    }
    assert!(
        release.index.get("server.js").expect("there").encodings == Encodings::default(),
        "code is not served"
    );
}

#[tokio::test]
async fn what_is_wrong_is_refused_at_the_step_that_sees_it() {
    let data = tempfile::tempdir().expect("folder");
    let fs = open(data.path(), &FakeBuilder::new()).await;
    for name in ["", "Admin", "api", "a.b"] {
        assert!(
            matches!(
                fs.plan(name, plan_of(&tree(&[("index.html", "x")]))).await,
                Err(FsError::BadName { .. })
            ),
            "{name}"
        );
    }
    assert!(matches!(fs.plan("a", plan_of(&tree(&[("../x", "x")]))).await, Err(FsError::BadPath { .. })));
    assert!(fs.plan("a", plan_of(&Tree::new())).await.is_err());

    let files = tree(&[("index.html", "hello")]);
    let ticket = fs.plan("a", plan_of(&files)).await.expect("plan");
    let sha256 = ticket.missing[0].clone();
    for (bytes, expect) in [
        (&b"hellO"[..], "has the hash"),
        (b"hell", "has 4 bytes; 5 were planned"),
        (b"hello!", "longer than the 5 bytes"),
    ] {
        let error = send(&fs, &ticket.id, &sha256, bytes).await.expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert!(
        send(&fs, &ticket.id, &Sha256::of(b"other").to_string(), b"other").await.is_err(),
        "not asked for"
    );
    let error = fs.commit(&ticket.id, Said::default()).await.expect_err("missing").to_string();
    assert!(error.contains("1 contents were not sent"), "{error}");
    send(&fs, &ticket.id, &sha256, b"hello").await.expect("the right bytes");
    fs.commit(&ticket.id, Said::default()).await.expect("the deploy stayed open");
    assert!(matches!(fs.commit(&ticket.id, Said::default()).await, Err(FsError::NoDeploy(_))));

    let bad = tree(&[("index.html", "x"), ("app.json", "{\n  \"nmae\": \"x\"\n}")]);
    let error = deploy(&fs, "b", &bad).await.expect_err("manifest").to_string();
    assert_eq!(error, "app.json:2:3: unknown key `nmae`; did you mean `name`?");
    let error = deploy(&fs, "b", &tree(&[("README.md", "x")])).await.expect_err("nothing").to_string();
    assert!(error.starts_with("there is nothing to serve"), "{error}");
    assert_eq!(fs.count(), 1);
}
