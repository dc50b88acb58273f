//! Lock files that lead elsewhere, and archives of packages.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fazt_tests::noise;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use crate::pack::gzip;
use crate::stage::{Stage, check, row};
use crate::tar::Tar;
use crate::web::{open, response};

/// Where the registry has the package `a`.
const A: &str = "/a/-/a-1.0.0.tgz";

/// A lock file with the package `a`, and what else there is.
fn lock(a: &Value, more: &[(String, Value)]) -> String {
    let mut packages = serde_json::Map::new();
    packages.insert(String::new(), json!({ "dependencies": { "a": "1.0.0" } }));
    packages.insert("node_modules/a".into(), a.clone());
    packages.extend(more.iter().cloned());
    json!({ "lockfileVersion": 3, "packages": packages }).to_string()
}

fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", BASE64.encode(Sha512::digest(bytes)))
}

/// An app whose package `a` is this, with its right hash.
fn package(bytes: impl Fn() -> Vec<u8>) -> impl Fn(&Stage) -> String {
    move |stage| {
        let bytes = bytes();
        stage.web.says(A, response("200 OK", "", &bytes));
        stage.locked(&lock(&json!({ "version": "1.0.0", "integrity": integrity(&bytes) }), &[]))
    }
}

/// An app whose package `a` is this archive.
fn archive(tar: impl Fn(Tar) -> Tar) -> impl Fn(&Stage) -> String {
    package(move || gzip(&tar(Tar::package()).finish()))
}

/// A link or the like.
fn kind(kind: u8) -> impl Fn(&Stage) -> String {
    archive(move |tar| tar.entry(kind, b"package/odd", b""))
}

#[test]
fn an_archive_of_a_package_that_is_more_than_files_is_refused() {
    let named = |name: &'static [u8]| archive(move |tar| tar.file(name, b"x"));
    check(&[
        row("as it should be, to compare with", 0, &["live as version 1"], archive(|tar| tar)),
        row("up", 2, &["node_modules/a", "leads elsewhere"], named(b"package/../../../etc/cron.d/x")),
        row("up at once", 2, &["leads elsewhere"], named(b"../x")),
        row("absolute", 2, &["absolute"], named(b"/etc/passwd")),
        row("a backslash", 2, &["backslash"], named(b"package\\..\\x")),
        row("here", 2, &["leads elsewhere"], named(b"package/./x")),
        row("not UTF-8", 2, &["not UTF-8"], named(b"package/\xff")),
        row("an escape", 2, &["package"], archive(|tar| tar.file(b"package/../\x1b[2J", b"x"))),
        row(
            "a long name that is up",
            2,
            &["leads elsewhere"],
            archive(|tar| tar.entry(b'L', b"././@LongLink", b"package/../../x\0").file(b"short", b"x")),
        ),
        row(
            "an extended name that is up",
            2,
            &["leads elsewhere"],
            archive(|tar| tar.extended("path", "package/../../x", b"short", b"x")),
        ),
        row(
            "an extended name with a NUL",
            2,
            &["NUL"],
            archive(|tar| tar.extended("path", "package/a\0b", b"short", b"x")),
        ),
        row(
            "an extended size beyond its end",
            2,
            &["two sizes"],
            archive(|tar| tar.extended("size", "18446744073709551615", b"package/b", b"x")),
        ),
        row(
            "an extended size that is none",
            2,
            &["damaged"],
            archive(|tar| tar.extended("size", "-1", b"package/b", b"x")),
        ),
        row(
            "an extended link",
            2,
            &["link"],
            archive(|tar| tar.extended("linkpath", "/etc/passwd", b"package/b", b"x")),
        ),
        row("a hard link", 2, &["`package/odd` is a hard link"], kind(b'1')),
        row("a symbolic link", 2, &["`package/odd` is a symbolic link"], kind(b'2')),
        row("a device", 2, &["a device"], kind(b'3')),
        row("another", 2, &["a device"], kind(b'4')),
        row("a pipe", 2, &["a pipe"], kind(b'6')),
        row("a sparse file", 2, &["a sparse file"], kind(b'S')),
        row("a kind of its own", 2, &["unknown kind"], kind(b'Z')),
        row(
            "a folder with a content",
            2,
            &["a folder has a content"],
            archive(|tar| tar.entry(b'5', b"package/d", b"x")),
        ),
        row(
            "a size of sixteen digits",
            2,
            &["damaged"],
            archive(|tar| {
                tar.raw(b'0', b"package/b", b"\x80\0\0\0\0\0\0\xff\xff\xff\xff\xff", b"ustar\x0000", b"x")
            }),
        ),
        row(
            "a size beyond its end",
            2,
            &["ends too early"],
            archive(|tar| tar.raw(b'0', b"package/b", b"77777777777\0", b"ustar\x0000", b"x")),
        ),
        row(
            "a size that is none",
            2,
            &["damaged"],
            archive(|tar| tar.raw(b'0', b"package/b", b"-0000000001\0", b"ustar\x0000", b"x")),
        ),
        row("no end", 2, &["ends too early"], package(|| gzip(&Tar::package().cut()))),
        row(
            "more behind its end",
            2,
            &["behind its end"],
            package(|| gzip(&[Tar::package().finish(), Tar::package().finish()].concat())),
        ),
        row(
            "very many files",
            2,
            &["10000 entries"],
            archive(|mut tar| {
                for number in 0..10_001 {
                    tar = tar.file(format!("package/f{number}").as_bytes(), b"");
                }
                tar
            }),
        ),
    ]);
}

/// A lock file whose package `a` is this entry, in which `REGISTRY` is where packages come from.
fn entry(a: Value) -> impl Fn(&Stage) -> String {
    move |stage| stage.locked(&lock(&a, &[]).replace("REGISTRY", &stage.web.url()))
}

/// A package that is at this place, with a hash as it should be.
fn from(resolved: &str) -> impl Fn(&Stage) -> String + use<> {
    entry(json!({ "version": "1.0.0", "resolved": resolved, "integrity": integrity(b"x") }))
}

/// A package whose hash is written so.
fn hashed(integrity: impl Into<String>) -> impl Fn(&Stage) -> String {
    entry(json!({ "version": "1.0.0", "integrity": integrity.into() }))
}

#[test]
fn a_package_that_is_a_bomb_or_another_is_refused() {
    check(&[
        row(
            "a bomb",
            2,
            &["node_modules/a", "inflates to more"],
            package(|| gzip(&Tar::package().file(b"package/bomb", &vec![0; 200 << 20]).finish())),
        ),
        row("a bomb in a bomb", 2, &["damaged"], package(|| gzip(&gzip(&vec![0; 500 << 20])))),
        row("compressed twice", 2, &["damaged"], package(|| gzip(&gzip(&Tar::package().finish())))),
        row(
            "cut in the middle",
            2,
            &["gzip"],
            package(|| {
                let whole = gzip(&Tar::package().file(b"package/b", &noise(10_000)).finish());
                whole[..whole.len() / 2].to_vec()
            }),
        ),
        row(
            "more behind its end",
            2,
            &["behind the end"],
            package(|| [gzip(&Tar::package().finish()), b"more".to_vec()].concat()),
        ),
        row("nonsense", 2, &["gzip"], package(|| noise(10_000))),
        row("nothing", 1, &["a 1.0.0", "hash"], package(Vec::new)),
        row("another than was locked", 1, &["a 1.0.0", "hash"], |stage: &Stage| {
            package(|| gzip(&Tar::package().finish()))(stage);
            hashed(integrity(b"x"))(stage)
        }),
        row("not there", 1, &["a 1.0.0", "status 404"], |stage: &Stage| {
            stage.web.says(A, response("404 Not Found", "", b""));
            hashed(integrity(b"x"))(stage)
        }),
        row(
            "somewhere else, as the registry says",
            1,
            &["a 1.0.0", "169.254.169.254", "may be reached"],
            |stage: &Stage| {
                stage.web.says(A, response("302 Found", "location: http://169.254.169.254/\r\n", b""));
                hashed(integrity(b"x"))(stage)
            },
        ),
        row("without end", 1, &["a 1.0.0", "12 MiB"], |stage: &Stage| {
            stage.web.on(A, |stream, _| {
                stream.write_all(&open("application/octet-stream"))?;
                let piece = noise(100_000);
                (0..1_000).try_for_each(|_| stream.write_all(&piece))
            });
            hashed(integrity(b"x"))(stage)
        }),
        row("cut in the middle of its way", 1, &["a 1.0.0"], |stage: &Stage| {
            stage.web.says(A, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx".to_vec());
            hashed(integrity(b"x"))(stage)
        }),
    ]);
}

#[test]
fn a_lock_file_that_leads_elsewhere_is_refused() {
    let nowhere = &["does not come from a registry"];
    let hash = &["no SHA-512 in the lock file"];
    let cannot = &["package"];
    check(&[
        row(
            "another host, of which only the name counts",
            1,
            &["127.0.0.1", "404"],
            from("https://evil.example/a-1.0.0.tgz"),
        ),
        row(
            "a private address, of which only the name counts",
            1,
            &["127.0.0.1", "404"],
            from("http://169.254.169.254/a-1.0.0.tgz"),
        ),
        row("another archive", 2, nowhere, from("https://evil.example/x.tgz")),
        row("a file", 2, nowhere, from("file:///etc/a-1.0.0.tgz")),
        row("a repository", 2, nowhere, from("git+ssh://git@evil.example/a.git")),
        row("a line of a request", 2, nowhere, from("REGISTRY/a-1.0.0.tgz\r\nX-Evil: 1")),
        row("a question", 2, nowhere, from("REGISTRY/a-1.0.0.tgz?b#c")),
        row("very long", 2, nowhere, from(&format!("REGISTRY/{}", "a".repeat(100_000)))),
        row("no hash", 2, hash, entry(json!({ "version": "1.0.0" }))),
        row("a weak hash", 2, hash, hashed("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=")),
        row("a hash that is none", 2, hash, hashed("sha512-")),
        row("a hash of other letters", 2, cannot, hashed(format!("sha512-{}", "!".repeat(88)))),
        row("a hash without end", 2, hash, hashed(format!("sha512-{}", "A".repeat(1 << 20)))),
        row("very many hashes", 2, hash, hashed("sha512-x ".repeat(100_000))),
        row(
            "a name that is a path",
            2,
            cannot,
            entry(json!({ "name": "../../x", "version": "1.0.0", "integrity": integrity(b"x") })),
        ),
        row(
            "a version that is a path",
            2,
            cannot,
            entry(json!({ "version": "../../x", "integrity": integrity(b"x") })),
        ),
        row("a place that is up", 2, cannot, |stage: &Stage| {
            let evil = json!({ "version": "1.0.0", "integrity": integrity(b"x") });
            let more = [("node_modules/a/node_modules/../../b".to_owned(), evil)];
            let a = json!({ "version": "1.0.0", "integrity": integrity(b"x"), "dependencies": { "../../b": "1" } });
            stage.locked(&lock(&a, &more))
        }),
        row("a folder outside", 2, cannot, entry(json!({ "link": true, "resolved": "../../../etc" }))),
        row("an absolute folder", 2, cannot, entry(json!({ "link": true, "resolved": "/etc" }))),
        row("all of the repository, in itself", 2, cannot, entry(json!({ "link": true, "resolved": "" }))),
    ]);
}

#[test]
fn a_lock_file_without_end_is_refused() {
    let some = |count: usize| -> Vec<(String, Value)> {
        let one = |number: usize| {
            let next = json!({ "version": "1.0.0", "dependencies": { format!("p{}", number + 1): "1" } });
            (format!("node_modules/p{number}"), next)
        };
        (0..count).map(one).collect()
    };
    let chain = move |count: usize| {
        move |stage: &Stage| {
            let a = json!({ "version": "1.0.0", "dependencies": { "p0": "1" } });
            stage.locked(&lock(&a, &some(count)))
        }
    };
    check(&[
        row(
            "twenty thousand packages, each of which needs the next",
            2,
            &["the app needs more than"],
            chain(20_000),
        ),
        row("ninety thousand", 2, &["package-lock.json"], chain(90_000)),
        row("packages that need each other", 2, &["no SHA-512"], |stage: &Stage| {
            let needs = |name: &str| json!({ "version": "1.0.0", "dependencies": { name: "1" } });
            stage.locked(&lock(&needs("b"), &[("node_modules/b".into(), needs("a"))]))
        }),
        row("nested without end", 2, &["package-lock.json", "cannot be read"], |stage: &Stage| {
            stage.locked(&format!("{}{}", "[".repeat(500_000), "]".repeat(500_000)))
        }),
        row("nonsense", 2, &["package-lock.json"], |stage: &Stage| {
            stage.locked("{ \"lockfileVersion\": \"\u{1b}[31m\" }")
        }),
        row("an old one without packages", 2, &["nor among the packages"], |stage: &Stage| {
            stage.locked("{ \"lockfileVersion\": 1 }")
        }),
        row("pnpm's, a circle of packages", 2, &["no SHA-512"], |stage: &Stage| {
            let text = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: 1\n        version: 1.0.0\n\
                packages:\n  a@1.0.0:\n    resolution: {integrity: sha512-x}\nsnapshots:\n  a@1.0.0:\n    dependencies:\n      b: 1.0.0\n  \
                b@1.0.0:\n    dependencies:\n      a: 1.0.0\n";
            other_lock(stage, "pnpm-lock.yaml", text)
        }),
        row("pnpm's, a tree without end", 2, &["package"], |stage: &Stage| {
            // Each version of `a` needs `b` of the same, and that the next: none can stand at the top.
            let mut text = "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        version: 1.0.0\nsnapshots:\n".to_owned();
            for number in 1..20_000 {
                text.push_str(&format!(
                    "  a@{number}.0.0:\n    dependencies:\n      a: {}.0.0\n",
                    number + 1
                ));
            }
            other_lock(stage, "pnpm-lock.yaml", &text)
        }),
        row("yarn's, a circle of packages", 2, &["no SHA-512"], |stage: &Stage| {
            let text = "a@1.0.0:\n  version \"1.0.0\"\n  dependencies:\n    b \"1\"\n\nb@1:\n  version \"1.0.0\"\n  dependencies:\n    a \"1.0.0\"\n";
            other_lock(stage, "yarn.lock", text)
        }),
        row("yarn's, a chain without end", 2, &["the app needs more than"], |stage: &Stage| {
            let mut text = "a@1.0.0:\n  version \"1.0.0\"\n  dependencies:\n    p0 \"1\"\n".to_owned();
            for number in 0..20_000 {
                text.push_str(&format!(
                    "p{number}@1:\n  version \"1.0.0\"\n  dependencies:\n    p{} \"1\"\n",
                    number + 1
                ));
            }
            other_lock(stage, "yarn.lock", &text)
        }),
        row("yarn's, one line without end", 2, &["no SHA-512"], |stage: &Stage| {
            let names: Vec<String> = (0..300_000).map(|number| format!("a@{number}")).collect();
            other_lock(stage, "yarn.lock", &format!("{}:\n  version \"1.0.0\"\n", names.join(", ")))
        }),
        row("npm 6's, packages in packages", 2, &["package-lock.json"], |stage: &Stage| {
            let open = "{ \"dependencies\": { \"a\": ";
            let text = format!(
                "{{ \"lockfileVersion\": 1, \"dependencies\": {{ \"a\": {}{{}}{} }} }}",
                open.repeat(40_000),
                "} }".repeat(40_000)
            );
            stage.locked(&text)
        }),
        row("one folder for very many packages", 2, &["more than 160 MiB together"], |stage: &Stage| {
            let mut more = vec![("lib".to_owned(), json!({ "version": "1.0.0" }))];
            let mut script = String::new();
            for number in 0..200 {
                more.push((format!("node_modules/l{number}"), json!({ "link": true, "resolved": "lib" })));
                script.push_str(&format!("import 'l{number}';"));
            }
            let lock = lock(&json!({ "link": true, "resolved": "lib" }), &more);
            let noise = noise(3 << 20);
            stage.files(&[
                ("lib/package.json", br#"{ "main": "i.js" }"#),
                ("lib/i.js", b"export default 1;"),
                ("lib/noise", &noise),
                ("package.json", b"{}"),
                ("package-lock.json", lock.as_bytes()),
                ("server.js", script.as_bytes()),
            ])
        }),
        row("very many names", 2, &["imports more than"], |stage: &Stage| {
            let script: String = (0..20_000).map(|number| format!("import 'n{number}';")).collect();
            stage.files(&[
                ("package.json", b"{}"),
                ("yarn.lock", b"a@1:\n  version \"1\"\n"),
                ("server.js", script.as_bytes()),
            ])
        }),
        row("bun's, nested without end", 2, &["bun.lock"], |stage: &Stage| {
            other_lock(stage, "bun.lock", &"[".repeat(1 << 20))
        }),
        row("bun's, a comment without end", 2, &["bun.lock"], |stage: &Stage| {
            other_lock(stage, "bun.lock", &format!("{{ /*{}", "*".repeat(1 << 20)))
        }),
        row("none", 2, &["no lock file", "npm install --package-lock-only"], |stage: &Stage| {
            other_lock(stage, "README.md", "x")
        }),
        row(
            "a package.json that leads to a file outside",
            2,
            &["server.js:1:15", "Could not resolve 'a'"],
            |stage: &Stage| {
                stage.files(&[
                    (
                        "node_modules/a/package.json",
                        br#"{ "main": "../../../../etc/passwd", "exports": "/etc/passwd" }"#,
                    ),
                    ("package.json", br#"{ "dependencies": { "a": "1.0.0" } }"#),
                    ("server.js", b"import a from 'a'; export default { fetch: () => new Response(a) };"),
                ])
            },
        ),
    ]);
}

/// An app that needs the package `a`, with this lock file.
fn other_lock(stage: &Stage, name: &str, text: &str) -> String {
    stage.files(&[
        (name, text.as_bytes()),
        ("package.json", br#"{ "dependencies": { "a": "1.0.0" } }"#),
        ("server.js", b"import a from 'a'; export default { fetch: () => new Response(a) };"),
    ])
}
