//! Lock files, good and bad.

use proptest::prelude::*;

use super::*;

const REGISTRY: &str = "https://registry.example.org";

fn hash(letter: char) -> String {
    // The last letter has four bits that are none of the hash.
    format!("sha512-{}A==", letter.to_string().repeat(85))
}

fn file(path: &str, text: &str) -> RepoFile {
    RepoFile { path: path.into(), bytes: text.as_bytes().to_vec() }
}

fn check(files: &[RepoFile], names: &[&str]) -> Result<Needs, Refusal> {
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    needs(&files, &names.iter().map(|name| (*name).to_owned()).collect(), REGISTRY)
}

fn lock(packages: &str) -> RepoFile {
    file("package-lock.json", &format!("{{\"lockfileVersion\": 3, \"packages\": {{{packages}}}}}"))
}

fn entry(place: &str, version: &str, more: &str) -> String {
    let name = place.rsplit("node_modules/").next().unwrap_or(place);
    let last = name.rsplit('/').next().unwrap_or(name);
    format!(
        "\"{place}\": {{\"version\": \"{version}\", \"resolved\": \"{REGISTRY}/{name}/-/{last}-{version}.tgz\", \"integrity\": \"{}\"{more}}}",
        hash('a')
    )
}

#[test]
fn only_what_is_imported_and_what_that_needs_is_fetched() {
    let packages = [
        entry(
            "node_modules/a",
            "1.0.0",
            ", \"dependencies\": {\"b\": \"^1\", \"@s/c\": \"1\"}, \"optionalDependencies\": {\"gone\": \"1\"}",
        ),
        entry("node_modules/b", "2.0.0", ""),
        entry(
            "node_modules/a/node_modules/b",
            "1.0.0",
            ", \"peerDependencies\": {\"d\": \"*\", \"absent\": \"*\"}",
        ),
        entry("node_modules/@s/c", "1.2.3-beta.1", ", \"dependencies\": {\"b\": \"^2\", \"a\": \"1\"}"),
        entry("node_modules/d", "1.0.0", ""),
        entry("node_modules/tool", "1.0.0", ", \"dev\": true, \"hasInstallScript\": true"),
        "\"node_modules/own\": {\"resolved\": \"packages/own\", \"link\": true}".into(),
        "\"packages/own\": {\"version\": \"1.0.0\", \"dependencies\": {\"tool\": \"1\"}}".into(),
    ];
    let files = [lock(&packages.join(","))];
    let found = check(&files, &["a", "not-locked"]).expect("good");
    let places: Vec<_> = found.packages.iter().map(|package| package.path.as_str()).collect();
    let expect = [
        "node_modules/@s/c",
        "node_modules/a",
        "node_modules/a/node_modules/b",
        "node_modules/b",
        "node_modules/d",
    ];
    assert_eq!(places, expect);
    assert_eq!(found.packages[0].url, format!("{REGISTRY}/@s/c/-/c-1.2.3-beta.1.tgz"));
    assert!(found.links.is_empty());
    let found = check(&files, &["own"]).expect("good");
    assert_eq!(found.links, [("node_modules/own".to_owned(), "packages/own".to_owned())]);
    assert_eq!(found.packages[0].path, "node_modules/tool");
}

#[test]
fn a_package_that_is_committed_is_not_fetched() {
    let files = [file("node_modules/a/package.json", "{}")];
    assert_eq!(check(&files, &["a"]), Ok(Needs::default()));
}

#[test]
fn bun_locks_by_the_names_that_lead_there() {
    let text = format!(
        "{{\n  \"lockfileVersion\": 1,\n  \"workspaces\": {{ \"\": {{ \"name\": \"x\", }}, }},\n  \"packages\": {{\n    \"a\": [\"a@1.0.0\", \"\", {{ \"dependencies\": {{ \"@s/b\": \"1\", }}, }}, \"{0}\"],\n    \"@s/b\": [\"@s/b@2.0.0\", \"\", {{}}, \"{0}\"],\n    \"a/@s/b\": [\"@s/b@1.0.0\", \"\", {{}}, \"{0}\"],\n  }},\n}}",
        hash('a')
    );
    let found = check(&[file("bun.lock", &text)], &["a"]).expect("good");
    let places: Vec<_> = found.packages.iter().map(|one| (one.path.as_str(), one.url.as_str())).collect();
    let expect = [
        ("node_modules/a", "https://registry.example.org/a/-/a-1.0.0.tgz"),
        ("node_modules/a/node_modules/@s/b", "https://registry.example.org/@s/b/-/b-1.0.0.tgz"),
    ];
    assert_eq!(places, expect);
}

#[test]
fn pnpm_locks_by_version_and_each_finds_its_own() {
    let hash = hash('a');
    let text = format!(
        "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      '@s/a':\n        specifier: ^1\n        version: 1.0.0(b@2.0.0)\n      b:\n        specifier: ^2\n        version: 2.0.0\n    devDependencies:\n      tool:\n        specifier: '*'\n        version: 1.0.0\n\n  sub:\n    dependencies:\n      b:\n        specifier: ^9\n        version: 9.0.0\n\npackages:\n\n  '@s/a@1.0.0':\n    resolution: {{integrity: {hash}}}\n    deprecated: |-\n      old: yes\n    peerDependencies:\n      b: '*'\n\n  b@1.0.0:\n    resolution: {{integrity: {hash}}}\n\n  b@2.0.0:\n    resolution: {{integrity: {hash}}}\n\n  c@1.0.0:\n    resolution: {{integrity: {hash}}}\n\n  tool@1.0.0:\n    resolution: {{integrity: {hash}}}\n\nsnapshots:\n\n  '@s/a@1.0.0(b@2.0.0)':\n    dependencies:\n      b: 2.0.0\n      c: 1.0.0\n      other: b@1.0.0\n\n  b@1.0.0: {{}}\n\n  b@2.0.0: {{}}\n\n  c@1.0.0:\n    dependencies:\n      b: 1.0.0\n      '@s/a': 1.0.0(b@2.0.0)\n\n  tool@1.0.0: {{}}\n"
    );
    let found = check(&[file("pnpm-lock.yaml", &text)], &["@s/a", "b"]).expect("good");
    let places: Vec<_> = found
        .packages
        .iter()
        .map(|one| (one.path.as_str(), one.name.as_str(), one.version.as_str()))
        .collect();
    let expect = [
        ("node_modules/@s/a", "@s/a", "1.0.0"),
        ("node_modules/b", "b", "2.0.0"),
        ("node_modules/c", "c", "1.0.0"),
        ("node_modules/c/node_modules/b", "b", "1.0.0"),
        ("node_modules/other", "b", "1.0.0"),
    ];
    assert_eq!(places, expect);
    assert_eq!(found.packages[0].url, format!("{REGISTRY}/@s/a/-/a-1.0.0.tgz"));
    // As pnpm 8 wrote it.
    let text = format!(
        "lockfileVersion: '6.0'\n\ndependencies:\n  x:\n    specifier: ^1\n    version: 1.0.0\n\npackages:\n\n  /x@1.0.0:\n    resolution: {{integrity: {hash}}}\n    dependencies:\n      y: 2.0.0(z@1.0.0)\n    dev: false\n\n  /y@2.0.0(z@1.0.0):\n    resolution: {{integrity: {hash}, tarball: https://evil.example/y.tgz}}\n    dev: false\n"
    );
    let error = check(&[file("pnpm-lock.yaml", &text)], &["x"]).expect_err("another host");
    assert!(error.0.contains("`y` does not come from a registry"), "{error}");
    let text = text.replace(", tarball: https://evil.example/y.tgz", "");
    let found = check(&[file("pnpm-lock.yaml", &text)], &["x"]).expect("good");
    assert_eq!(
        found.packages.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
        ["node_modules/x", "node_modules/y"]
    );
}

#[test]
fn whichever_registry_a_lock_names_another_is_never_asked() {
    let good = entry("node_modules/a", "1.0.0", "");
    for other in [
        "https://registry.npmjs.org",
        "https://mirror.example/npm",
        "https://x:y@evil.example",
        "http://127.0.0.1:1",
    ] {
        let found = check(&[lock(&good.replace(REGISTRY, other))], &["a"]).expect(other);
        assert_eq!(found.packages[0].url, format!("{REGISTRY}/a/-/a-1.0.0.tgz"), "{other}");
        assert_eq!(found.packages[0].integrity, hash('a'));
    }
    let silent = good.replace(&format!("\"resolved\": \"{REGISTRY}/a/-/a-1.0.0.tgz\", "), "");
    assert_eq!(check(&[lock(&silent)], &["a"]).expect("good").packages.len(), 1);
}

#[test]
fn old_npm_locks_one_package_inside_another() {
    let hash = hash('a');
    let text = format!(
        r#"{{ "lockfileVersion": 1, "requires": true, "dependencies": {{
          "a": {{ "version": "1.0.0", "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz", "integrity": "{hash}",
            "requires": {{ "b": "^1.0.0", "c": "*" }},
            "dependencies": {{ "b": {{ "version": "1.0.0", "integrity": "{hash}", "requires": true }} }} }},
          "b": {{ "version": "2.0.0", "integrity": "{hash}" }},
          "c": {{ "version": "npm:@s/d@3.0.0", "integrity": "{hash}" }},
          "tool": {{ "version": "git+ssh://git@github.com/a/b.git#0", "dev": true }} }} }}"#
    );
    let found = check(&[file("package-lock.json", &text)], &["a"]).expect("good");
    let urls: Vec<_> = found
        .packages
        .iter()
        .map(|one| (one.path.as_str(), one.url.strip_prefix(REGISTRY).expect("ours")))
        .collect();
    let expect = [
        ("node_modules/a", "/a/-/a-1.0.0.tgz"),
        ("node_modules/a/node_modules/b", "/b/-/b-1.0.0.tgz"),
        ("node_modules/c", "/@s/d/-/d-3.0.0.tgz"),
    ];
    assert_eq!(urls, expect);
}

#[test]
fn yarn_locks_by_name_and_range() {
    let hash = hash('a');
    let text = format!(
        "# yarn lockfile v1\n\n\n\"@s/a@^1\", \"@s/a@^1.2.0\":\n  version \"1.3.0\"\n  resolved \"https://registry.yarnpkg.com/@s/a/-/a-1.3.0.tgz#0123\"\n  integrity {hash}\n  dependencies:\n    b \"^1.0.0\"\n    \"@s/c\" \"*\"\n  optionalDependencies:\n    gone \"1\"\n\nb@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/b/-/b-1.0.0.tgz#0123\"\n  integrity sha1-0123= {hash}\n\nb@^2.0.0:\n  version \"2.0.0\"\n  resolved \"https://registry.yarnpkg.com/b/-/b-2.0.0.tgz#0123\"\n  integrity {hash}\n\n\"@s/c@*\", \"c@npm:@s/c@1\":\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/@s/c/-/c-1.0.0.tgz\"\n  integrity {hash}\n"
    );
    let package = r#"{ "dependencies": { "@s/a": "^1", "b": "^2.0.0", "c": "npm:@s/c@1" } }"#;
    let files = [file("yarn.lock", &text), file("package.json", package)];
    let places = |names: &[&str]| -> Vec<(String, String)> {
        let found = check(&files, names).expect("good");
        let one = |one: &Package| (one.path.clone(), format!("{}@{}", one.name, one.version));
        found.packages.iter().map(one).collect()
    };
    let owned = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let expect = [
        ("node_modules/@s/a", "@s/a@1.3.0"),
        ("node_modules/@s/a/node_modules/b", "b@1.0.0"),
        ("node_modules/@s/c", "@s/c@1.0.0"),
        ("node_modules/b", "b@2.0.0"),
    ];
    assert_eq!(places(&["@s/a", "b"]), owned(&expect));
    assert_eq!(places(&["c"]), owned(&[("node_modules/c", "@s/c@1.0.0")]));
}

#[test]
fn what_nobody_vouches_for_is_refused() {
    let good = entry("node_modules/a", "1.0.0", "");
    for (why, packages, says) in [
        (
            "git",
            good.replace(&format!("{REGISTRY}/a/-/a-1.0.0.tgz"), "git+ssh://git@github.com/a/b.git#0"),
            "registry",
        ),
        ("an archive elsewhere", good.replace("/a/-/a-1.0.0.tgz", "/a.tar.gz"), "registry"),
        ("a folder", good.replace(&format!("{REGISTRY}/a/-/a-1.0.0.tgz"), "file:../a-1.0.0.tgz"), "registry"),
        ("a query", good.replace(".tgz", ".tgz?x"), "registry"),
        ("no hash", good.replace("sha512-", "sha1-"), "SHA-512"),
        ("a short hash", good.replace(&"a".repeat(85), "aaaa"), "SHA-512"),
        (
            "a version that is a path",
            good.replace("\"version\": \"1.0.0\"", "\"version\": \"../1\""),
            "cannot be",
        ),
        (
            "a name that is a path",
            good.replace("\"version\"", "\"name\": \"../../x\", \"version\""),
            "cannot be",
        ),
    ] {
        let error = check(&[lock(&packages)], &["a"]).expect_err(why);
        assert!(error.0.contains(says), "{why}: {error}");
    }
    let deep = entry("node_modules/a/node_modules/../../b", "1.0.0", "");
    assert!(check(&[lock(&deep)], &["b"]).expect("not reached").packages.is_empty());
}

#[test]
fn a_missing_or_old_lock_says_what_the_author_can_do() {
    let package = file("package.json", "{\"devDependencies\": {\"a\": \"^1\"}}");
    for (files, says) in [
        (vec![package.clone()], "no lock file"),
        (vec![package.clone(), file("pnpm-lock.yaml", "lockfileVersion: 5.4\n")], "`5.4` is not known"),
        (vec![package.clone(), file("bun.lockb", "")], "`bun.lockb` is not read"),
        (vec![package.clone(), file("yarn.lock", "__metadata:\n  version: 8\n")], "yarn 2"),
        (vec![file("package-lock.json", "{\"lockfileVersion\": 4, \"dependencies\": {}}")], "not known"),
        (vec![file("package-lock.json", "{")], "cannot be read"),
        (vec![file("package-lock.json", &"[".repeat(100_000))], "cannot be read"),
        (vec![file("bun.lock", "{\"lockfileVersion\": 9, \"packages\": {}}")], "not known"),
    ] {
        let error = check(&files, &["a"]).expect_err(says);
        assert!(error.0.contains(says), "{says}: {error}");
    }
    // Nobody declares it: it is no package that could be fetched.
    assert_eq!(check(&[package], &["b"]), Ok(Needs::default()));
}

#[test]
fn a_package_is_what_its_hash_says_however_it_arrives() {
    // SHA-512 of "abc", from FIPS 180-2.
    let hash = "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
    let package = Package {
        path: "node_modules/a".into(),
        name: "a".into(),
        version: "1.0.0".into(),
        url: format!("{REGISTRY}/a/-/a-1.0.0.tgz"),
        integrity: format!("sha512-{hash}"),
    };
    assert!(package.matches(&[Bytes::from("a"), Bytes::from("bc")]));
    assert!(!package.matches(&[Bytes::from("abd")]));
    assert!(!Package { integrity: "sha512-".into(), ..package }.matches(&[]));
}

#[test]
fn specifiers_are_in_packages() {
    for (specifier, package) in [
        ("hono", Some("hono")),
        ("hono/jsx/jsx-runtime", Some("hono")),
        ("@s/c", Some("@s/c")),
        ("@s/c/deep.js", Some("@s/c")),
        ("@/lib/x", None),
        ("./a", None),
        ("/a", None),
        ("node:fs", None),
        ("#internal", None),
        ("https://x.example/a.js", None),
        ("..", None),
        ("a b", None),
        ("node_modules", None),
    ] {
        assert_eq!(package_of(specifier), package, "{specifier}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,200}") {
        for name in READ {
            let _ = check(&[file(name, &text)], &["a"]);
        }
    }
}
