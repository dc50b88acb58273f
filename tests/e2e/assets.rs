//! Files of an app over HTTP, none of which may wake a worker.

use fazt_tests::{Folder, Server};

fn site() -> Folder {
    let folder = Folder::with(&[
        ("public/index.html", "<h1>home</h1>"),
        ("public/docs/index.html", "<h1>docs</h1>"),
        ("public/404.html", "<h1>not here</h1>"),
        ("public/app.0123abcd.js", "console.log('hashed')"),
        ("public/text.txt", "0123456789"),
        ("server.js", crate::HELLO),
    ]);
    folder.write("public/big.css", "body { color: red; }\n".repeat(2_000));
    folder
}

#[test]
fn files_are_served_without_waking_a_worker() {
    let server = Server::start();
    server.deploy(&site(), "site");
    let mut client = server.client("site");
    let home = client.get("/").expect("home");
    assert_eq!((home.status, home.text().as_str()), (200, "<h1>home</h1>"));
    assert_eq!(home.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(client.get("/docs/").expect("docs").text(), "<h1>docs</h1>");
    assert!(server.processes("site").iter().all(|row| row["pid"].is_null()), "a file woke a worker");
}

#[test]
fn etags_spare_the_body() {
    let server = Server::start();
    server.deploy(&site(), "site");
    let mut client = server.client("site");
    let first = client.get("/text.txt").expect("file");
    let etag = first.field("etag").expect("etag").to_owned();
    let again = client.request("GET", "/text.txt", &[("if-none-match", &etag)], &[]).expect("answer");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let other = client.request("GET", "/text.txt", &[("if-none-match", "\"x\"")], &[]).expect("answer");
    assert_eq!(other.status, 200);
}

#[test]
fn ranges_are_cut_and_impossible_ones_refused() {
    let server = Server::start();
    server.deploy(&site(), "site");
    let mut client = server.client("site");
    for (range, status, body, field) in [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let answer = client.request("GET", "/text.txt", &[("range", range)], &[]).expect("answer");
        assert_eq!(answer.status, status, "{range}");
        assert_eq!(answer.field("content-range"), Some(field), "{range}");
        if status == 206 {
            assert_eq!(answer.text(), body, "{range}");
        }
    }
}

#[test]
fn the_smallest_encoding_that_the_client_takes_is_sent() {
    let server = Server::start();
    server.deploy(&site(), "site");
    let mut client = server.client("site");
    let plain = client.get("/big.css").expect("plain");
    assert_eq!((plain.field("content-encoding"), plain.body.len()), (None, 42_000));
    for encoding in ["br", "zstd", "gzip"] {
        let answer =
            client.request("GET", "/big.css", &[("accept-encoding", encoding)], &[]).expect("answer");
        assert_eq!(answer.field("content-encoding"), Some(encoding));
        assert!(answer.body.len() < 4_000, "{encoding}: {}", answer.body.len());
        assert!(
            answer.field("vary").is_some_and(|vary| vary.to_ascii_lowercase().contains("accept-encoding"))
        );
        assert_ne!(answer.field("etag"), plain.field("etag"), "an etag names one representation");
    }
    let refused =
        client.request("GET", "/big.css", &[("accept-encoding", "br;q=0, gzip;q=0.5")], &[]).expect("answer");
    assert_eq!(refused.field("content-encoding"), Some("gzip"));
}

#[test]
fn hashed_names_are_immutable_and_others_are_not() {
    let server = Server::start();
    server.deploy(&site(), "site");
    let hashed = server.get("site", "/app.0123abcd.js");
    assert!(hashed.field("cache-control").is_some_and(|value| value.contains("immutable")), "{hashed:?}");
    assert_eq!(hashed.field("content-type"), Some("text/javascript; charset=utf-8"));
    let plain = server.get("site", "/text.txt");
    assert!(!plain.field("cache-control").unwrap_or_default().contains("immutable"));
}

#[test]
fn a_missing_file_goes_to_the_404_page_of_a_static_app() {
    let server = Server::start();
    server.deploy_files("static", &[("public/index.html", "home"), ("public/404.html", "lost")]);
    let missing = server.get("static", "/nothing");
    assert_eq!((missing.status, missing.text().as_str()), (404, "lost"));
    let post = server.client("static").request("POST", "/", &[], b"x").expect("answer");
    assert_eq!(post.status, 405);
}

#[test]
fn a_single_page_app_answers_paths_with_its_index() {
    let server = Server::start();
    server.deploy_files(
        "spa",
        &[
            ("app.json", "{\"name\": \"spa\", \"spa\": true}"),
            ("public/index.html", "app"),
            ("public/x.js", "1"),
        ],
    );
    let mut client = server.client("spa");
    let deep = client.request("GET", "/deep/path", &[("accept", "text/html")], &[]).expect("answer");
    assert_eq!((deep.status, deep.text().as_str()), (200, "app"));
    let script = client.get("/missing.js").expect("answer");
    assert_eq!(script.status, 404, "a missing script is not a page");
}

#[test]
fn source_and_manifest_are_never_served() {
    let server = Server::start();
    server.deploy_files(
        "plain",
        &[("index.html", "home"), ("app.json", "{\"name\": \"plain\"}"), (".env", "SECRET=1")],
    );
    for path in ["/app.json", "/.env", "/../app.json", "/%2e%2e/app.json", "/.%65nv"] {
        let answer = server.get("plain", path);
        assert!(!answer.text().contains("SECRET") && answer.status >= 400, "{path}: {}", answer.status);
    }
}
