//! What is typed or given: addresses in every disguise, and what would become a line of a request.

use crate::stage::{Stage, Typed, check_on, row};

/// A source as it is, with `PORT` for that of the server.
fn typed(text: &'static str) -> impl Fn(&Stage) -> Typed {
    move |stage| text.replace("PORT", &stage.web.port().to_string()).into()
}

#[test]
fn an_address_in_disguise_is_refused_and_nobody_is_asked() {
    let no_host = &["is no host with a name", "github.com/owner/repo"];
    let stage = Stage::start();
    check_on(
        &stage,
        &[
            row("digits of sixteen", 2, no_host, typed("https://0x7f.1/a/b")),
            row("a number", 2, no_host, typed("https://2130706433/a/b")),
            row("digits of eight", 2, no_host, typed("https://017700000001/a/b")),
            row("short", 2, no_host, typed("https://127.1/a/b")),
            row("of version 6", 2, &["is no"], typed("https://[::1]/a/b")),
            row("of version 4 in 6", 2, &["is no"], typed("https://[::ffff:127.0.0.1]/a/b")),
            row("other digits", 2, &["outside ASCII"], typed("https://①②⑦.0.0.1/a/b")),
            row("other dots", 2, &["outside ASCII"], typed("https://127。0。0。1/a/b")),
            row("a letter that looks like another", 2, &["outside ASCII"], typed("https://gіthub.com/a/b")),
            row("no name at all", 2, no_host, typed("https:///a/b")),
            row("two dots at its end", 2, no_host, typed("https://localhost../a/b")),
            row(
                "a name before the host",
                2,
                &["before the host"],
                typed("https://github.com@127.0.0.1:PORT/a/b"),
            ),
            row("a token before the host", 2, &["before the host"], typed("https://x:y@127.0.0.1:PORT/a/b")),
            row("another scheme", 2, &["file://", "https://"], typed("file:///etc/passwd")),
            row("a program for a scheme", 2, &["space"], typed("ext::sh -c id")),
            row("a helper of Git", 2, &["is no"], typed("ext::id")),
            row("SSH", 2, &["SSH"], typed("git@127.0.0.1:a/b.git")),
            row("a folder", 2, &["fazt app deploy"], typed("/etc")),
            row("a line of a request", 2, &["invisible"], typed("http://127.0.0.1:PORT/a/b\r\nX-Evil: 1")),
            row(
                "the same, encoded",
                2,
                &["no repository"],
                typed("http://127.0.0.1:PORT/a/b%0d%0aX-Evil:%201"),
            ),
            row("a question", 2, &["`?`"], typed("http://127.0.0.1:PORT/a/b?service=x")),
            row("up", 2, &["no repository"], typed("http://127.0.0.1:PORT/a/../b")),
            row("up, encoded", 2, &["no repository"], typed("http://127.0.0.1:PORT/a/%2e%2e/b")),
            row(
                "a line in a reference",
                2,
                &["invisible"],
                typed("http://127.0.0.1:PORT/a/b@v1\n0032want 1"),
            ),
            row(
                "an option for a reference",
                2,
                &["branch"],
                typed("http://127.0.0.1:PORT/a/b@--upload-pack=id"),
            ),
            row("two references", 2, &["branch"], typed("http://127.0.0.1:PORT/a/b@a..b")),
            row("a folder that is up", 2, &["folder"], typed("http://127.0.0.1:PORT/a/b#../../etc")),
            row(
                "an absolute folder that is up",
                2,
                &["folder"],
                typed("http://127.0.0.1:PORT/a/b#/a/../../x"),
            ),
            row("an escape", 2, &["invisible"], typed("github.com/a/\u{1b}]0;owned\u{7}")),
            row("no end", 2, &["1024"], |_: &Stage| format!("github.com/a/{}", "b".repeat(100_000))),
            row("a name that is up", 2, &["cannot be the name"], |_: &Stage| {
                Typed::unnamed("github.com/a/b".into()).with(&["--name", "../../etc"])
            }),
            row("a name of others", 5, &["already"], |_: &Stage| {
                Typed::unnamed("github.com/a/b".into()).with(&["--name", "good"])
            }),
        ],
    );
    assert_eq!(stage.web.asked("/a/b.git/info/refs"), Vec::<String>::new());
}

#[test]
fn a_token_that_would_be_more_than_one_field_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let stage = Stage::start();
    let mut rows = Vec::new();
    for (at, (what, token)) in [
        ("two lines", "abc\r\nX-Evil: 1".to_owned()),
        ("a NUL", "abc\0def".to_owned()),
        ("an escape", "abc\u{1b}[31m".to_owned()),
        ("without end", "a".repeat(100_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(at.to_string());
        std::fs::write(&path, token).expect("written");
        let path = path.to_str().expect("text").to_owned();
        rows.push(row(what, 2, &["token cannot be one"], move |stage: &Stage| {
            typed("http://127.0.0.1:PORT/a/b")(stage).with(&["--git-token-file", &path])
        }));
    }
    check_on(&stage, &rows);
    assert_eq!(stage.web.asked("/a/b.git/info/refs"), Vec::<String>::new());
}
