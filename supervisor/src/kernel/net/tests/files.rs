//! Deployed files end to end.

use super::stage::Stage;

const PAGE: &str = "<h1>home</h1>";

#[tokio::test]
async fn a_file_goes_before_the_server_and_the_server_before_nothing() {
    let stage = Stage::app(&[("public/index.html", PAGE), ("public/docs/index.html", "docs")]).await;
    let home = stage.ask("GET", "/", &[]).await;
    assert_eq!((home.status, home.body.as_str()), (200, PAGE));
    assert_eq!(home.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(home.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(home.field("cache-control"), Some("no-cache"));
    let docs = stage.ask("GET", "/docs?a=b", &[]).await;
    assert_eq!((docs.status, docs.field("location")), (307, Some("/docs/?a=b")));
    assert!(stage.stub.seen.lock().expect("seen").is_empty(), "a file woke the server");
    assert!(stage.ask("GET", "/api", &[]).await.body.starts_with("GET http://notes.localhost/api"));
    assert!(stage.ask("POST", "/", &[]).await.body.starts_with("POST http://notes.localhost/"));
}

#[tokio::test]
async fn pages_are_found_without_their_ending_and_with_one_address_each() {
    let stage =
        Stage::app(&[("public/about.html", "about"), ("public/art.svg", "<svg/>"), ("public/a.css", "")])
            .await;
    assert_eq!(stage.ask("GET", "/about", &[]).await.body, "about");
    assert_eq!(stage.ask("GET", "/about.html", &[]).await.body, "about");
    let slash = stage.ask("GET", "/about/?a=b", &[]).await;
    assert_eq!((slash.status, slash.field("location")), (307, Some("/about?a=b")));
    assert!(stage.ask("POST", "/about/", &[]).await.body.starts_with("POST "), "the server's");
    // Whatever can run scripts as a page is denied passkeys; nothing else needs the field.
    for (path, expect) in [("/about", true), ("/art.svg", true), ("/a.css", false)] {
        assert_eq!(stage.ask("GET", path, &[]).await.field("permissions-policy").is_some(), expect, "{path}");
    }
}

#[tokio::test]
async fn a_tag_spares_the_body_and_a_range_cuts_it() {
    let stage = Stage::app(&[("public/text.txt", "0123456789")]).await;
    let first = stage.ask("GET", "/text.txt", &[]).await;
    let etag = first.field("etag").expect("etag");
    let again = stage.ask("GET", "/text.txt", &[("if-none-match", etag)]).await;
    assert_eq!((again.status, again.body.as_str(), again.field("etag")), (304, "", Some(etag)));
    assert_eq!(again.field("content-length"), None);
    let part = stage.ask("GET", "/text.txt", &[("range", "bytes=2-4"), ("if-range", etag)]).await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let beyond = stage.ask("GET", "/text.txt", &[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */10")));
    let head = stage.ask("HEAD", "/text.txt", &[("range", "bytes=2-4")]).await;
    assert_eq!((head.status, head.field("content-length"), head.body.as_str()), (200, Some("10"), ""));
    assert_eq!(stage.ask("GET", "/text.txt", &[("if-match", "\"x\"")]).await.status, 412);
}

#[tokio::test]
async fn a_large_file_travels_in_pieces_and_whole() {
    let text = "0123456789abcdef".repeat(200_000);
    let stage = Stage::app(&[("public/large.bin", &text)]).await;
    let whole = stage.ask("GET", "/large.bin", &[]).await;
    assert_eq!(whole.field("content-length"), Some(text.len().to_string().as_str()));
    assert!(whole.body == text, "{} bytes of {}", whole.body.len(), text.len());
    let part = stage.ask("GET", "/large.bin", &[("range", "bytes=1000000-2999999")]).await;
    assert!(part.status == 206 && part.body == text[1_000_000..3_000_000]);
}

#[tokio::test]
async fn an_app_of_files_alone_says_what_it_cannot_do() {
    let stage = Stage::app(&[]).await;
    stage.deploy("app2", &[("public/index.html", PAGE), ("public/404.html", "lost")]).await;
    let ask = async |method: &str, target: &str| {
        let head = format!("{method} {target} HTTP/1.1\r\nhost: app2.localhost\r\nconnection: close\r\n\r\n");
        stage.raw(&head).await
    };
    let lost = ask("GET", "/nothing").await;
    assert_eq!((lost.status, lost.body.as_str()), (404, "lost"));
    let post = ask("POST", "/").await;
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask("GET", "//evil.example/").await.status, 404);
}
