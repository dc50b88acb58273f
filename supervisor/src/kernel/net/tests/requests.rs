//! Hosts, bounds, and the rules both ways, end to end.

use super::stage::Stage;
use crate::config::Config;

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let stage = Stage::app(&[]).await;
    for (host, expect) in [
        ("notes.localhost", 200),
        ("NOTES.localhost:8080", 200),
        ("localhost", 404),
        ("other.localhost", 421),
        ("notes.localhost.", 421),
        ("x.notes.localhost", 421),
        ("evil.example", 421),
        ("127.0.0.1", 421),
        ("[::1]", 421),
        ("a b", 400),
        ("notes.localhost:x", 400),
        ("", 400),
    ] {
        let request = format!("GET /x HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(stage.raw(&request).await.status, expect, "{host}");
    }
}

#[tokio::test]
async fn a_request_that_two_readers_would_read_differently_is_refused() {
    let stage = Stage::app(&[]).await;
    let close = "connection: close\r\n\r\n";
    for (head, expect) in [
        ("GET /x HTTP/1.1\r\n".to_owned(), 400),
        ("GET /x HTTP/1.1\r\nhost: notes.localhost\r\nhost: notes.localhost\r\n".into(), 400),
        ("GET http://b.localhost/x HTTP/1.1\r\nhost: notes.localhost\r\n".into(), 400),
        ("GET http://notes.localhost/x HTTP/1.1\r\nhost: notes.localhost\r\n".into(), 200),
        (
            "POST /x HTTP/1.1\r\nhost: notes.localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n".into(),
            400,
        ),
        ("POST /x HTTP/1.1\r\nhost: notes.localhost\r\ncontent-length: +1\r\n".into(), 400),
        ("POST /x HTTP/1.1\r\nhost: notes.localhost\r\ntransfer-encoding: gzip\r\n".into(), 400),
        ("POST /x HTTP/1.1\r\nhost: notes.localhost\r\ntransfer-encoding: chunked, gzip\r\n".into(), 400),
        ("GET /x HTTP/1.1\r\nhost : notes.localhost\r\n".into(), 400),
        ("GET /x HTTP/1.1\r\nhost: notes.localhost\r\n folded: x\r\n".into(), 400),
        ("GET /x HTTP/1.1\r\nhost: notes.localhost\r\nx: a\0b\r\n".into(), 400),
        ("CONNECT notes.localhost:80 HTTP/1.1\r\nhost: notes.localhost:80\r\n".into(), 405),
        ("TRACE /x HTTP/1.1\r\nhost: notes.localhost\r\n".into(), 405),
        ("OPTIONS * HTTP/1.1\r\nhost: notes.localhost\r\n".into(), 400),
        (format!("GET /{} HTTP/1.1\r\nhost: notes.localhost\r\n", "x".repeat(9_000)), 414),
        (format!("GET /x HTTP/1.1\r\nhost: notes.localhost\r\nx: {}\r\n", "y".repeat(17_000)), 431),
        (format!("GET /x HTTP/1.1\r\nhost: notes.localhost\r\n{}", "a: b\r\n".repeat(100)), 431),
        (format!("GET /x HTTP/1.1\r\nhost: notes.localhost\r\nx: {}\r\n", "y".repeat(200_000)), 431),
    ] {
        let reply = stage.raw(&(head.clone() + close)).await;
        assert_eq!(reply.status, expect, "{:?}", &head[..head.len().min(90)]);
    }
    let length_and_chunks = "POST /body HTTP/1.1\r\nhost: notes.localhost\r\nconnection: close\r\ncontent-length: 3\r\n\
         transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let reply = stage.raw(length_and_chunks).await;
    // The length is thrown away, and so is the connection: what follows on it is nobody's next request.
    assert!(reply.status == 400 || reply.body.contains('5'), "the chunks count or nothing does: {reply:?}");
    let next = "GET /smuggled HTTP/1.1\r\nhost: notes.localhost\r\n\r\n";
    let kept = length_and_chunks.replace("connection: close\r\n", "") + next;
    let reply = stage.raw(&kept).await;
    assert!(!reply.body.contains("/smuggled"), "{reply:?}");
}

#[tokio::test]
async fn a_body_that_is_none_is_the_clients_fault_and_not_the_apps() {
    let stage = Stage::app(&[]).await;
    let head = "POST /body HTTP/1.1\r\nhost: notes.localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n".to_owned(),
        "ffffffffffffffff1\r\nabc\r\n0\r\n\r\n".into(),
        "3\nabc\n0\n\n".into(),
        "3\r\nabcd\r\n0\r\n\r\n".into(),
        format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(100_000)),
        format!("1\r\nx\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000)),
    ] {
        let reply = stage.raw(&format!("{head}{body}")).await;
        assert_eq!(reply.status, 400, "{:?}: {reply:?}", &body[..body.len().min(40)]);
    }
    let whole = stage.raw(&format!("{head}3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n")).await;
    assert!(whole.status == 0 || whole.body.contains('3'), "{whole:?}");
}

#[tokio::test]
async fn a_worker_is_told_who_the_client_is_by_nobody_but_the_edge() {
    let stage = Stage::app(&[]).await;
    let fields = [
        ("x-forwarded-for", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("cf-connecting-ip", "1.2.3.4"),
        ("cookie", "a=1; fazt_session=secret"),
        ("authorization", "Basic b25lOnR3bw=="),
        ("x-fazt-user", "owner"),
        ("x-mine", "kept"),
    ];
    let reply = stage.ask("GET", "/seen?q=1", &fields).await;
    assert_eq!(reply.status, 200);
    let seen = stage.stub.seen.lock().expect("seen").concat();
    assert!(seen.starts_with("GET http://notes.localhost/seen\n"), "{seen}");
    for line in [
        "x-forwarded-for: 127.0.0.1",
        "x-real-ip: 127.0.0.1",
        "cf-connecting-ip: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: notes.localhost",
        "host: notes.localhost",
        "cookie: a=1",
        "x-mine: kept",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line} is missing in\n{seen}");
    }
    for part in ["1.2.3.4", "secret", "x-fazt-user", "connection"] {
        assert!(!seen.contains(part), "{part} is in\n{seen}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_who_the_client_is() {
    let config = Config { trusted_proxies: vec!["127.0.0.0/8".parse().expect("net")], ..Config::default() };
    let stage = Stage::with(config, false).await;
    stage.deploy("notes", &[("server.js", "export default {}")]).await;
    let fields = [("x-forwarded-for", "6.6.6.6, 192.0.2.7, 127.0.0.9"), ("x-forwarded-proto", "https")];
    assert_eq!(stage.ask("GET", "/", &fields).await.status, 200);
    let seen = stage.stub.seen.lock().expect("seen").concat();
    assert!(seen.starts_with("GET https://notes.localhost/\n"), "{seen}");
    assert!(
        seen.contains("x-real-ip: 192.0.2.7\n"),
        "what the client said of itself is not believed: {seen}"
    );
    assert!(seen.contains("x-forwarded-for: 192.0.2.7, 127.0.0.1\n"), "{seen}");
}

#[tokio::test]
async fn a_worker_cannot_speak_for_the_connection_or_the_site() {
    let stage = Stage::app(&[]).await;
    let reply = stage.ask("GET", "/hostile", &[]).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "hostile"));
    assert_eq!(reply.field("content-length"), Some("7"));
    assert!(
        reply
            .field("permissions-policy")
            .is_some_and(|policy| policy.contains("publickey-credentials-get=()"))
    );
    assert!(reply.field("x-request-id").is_some_and(|id| id.starts_with("req_")));
    for name in ["server", "strict-transport-security", "x-fazt-x", "transfer-encoding", "keep-alive"] {
        assert_eq!(reply.field(name), None, "{name}");
    }
    assert_ne!(reply.field("date"), Some("forged"));
}

#[tokio::test]
async fn an_author_is_told_once_what_did_not_go_out() {
    let stage = Stage::app(&[]).await;
    for _ in 0..2 {
        assert_eq!(stage.ask("GET", "/hostile", &[]).await.status, 200);
    }
    let told = || std::mem::take(&mut *stage.stub.remarks.lock().expect("remarks"));
    let lines = told();
    for name in ["connection", "server", "strict-transport-security", "x-fazt-x", "transfer-encoding"] {
        let about = lines.iter().filter(|line| line.contains(&format!("`{name}`"))).count();
        assert_eq!(about, 1, "{name} in {lines:?}");
    }
    assert!(!lines.iter().any(|line| line.contains("content-length")), "{lines:?}");
    stage.deploy("notes", &[("server.js", "export default { a: 2 }")]).await;
    assert_eq!(stage.ask("GET", "/hostile", &[]).await.status, 200);
    assert!(!told().is_empty(), "a new version is told again");
}

#[tokio::test]
async fn the_schema_of_manifests_is_served_at_the_os_origin() {
    let stage = Stage::app(&[]).await;
    let ask = async |method: &str, host: &str| {
        let line = format!("{method} /app.schema.json HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stage.raw(&line).await
    };
    let reply = ask("GET", "localhost").await;
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/schema+json")));
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
    let schema: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(schema["properties"]["name"]["type"], "string");
    assert_eq!(ask("HEAD", "localhost").await.body, "");
    assert_eq!(ask("POST", "localhost").await.status, 405);
    let app = ask("GET", "notes.localhost").await;
    assert!(app.body.starts_with("GET http://notes.localhost/app.schema.json"), "apps have their own paths");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let stage = Stage::app(&[]).await;
    let head = stage.ask("HEAD", "/hostile", &[]).await;
    assert_eq!((head.status, head.field("content-length"), head.body.as_str()), (200, Some("7"), ""));
    for (path, status) in [("/empty", 204), ("/unchanged", 304)] {
        let reply = stage.ask("GET", path, &[]).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, ""), "{path}");
        assert_eq!(reply.field("transfer-encoding"), None, "{path}");
    }
}

#[tokio::test]
async fn failures_carry_an_id_and_no_stack() {
    let stage = Stage::app(&[]).await;
    let reply = stage.ask("GET", "/fail", &[("accept", "application/json")]).await;
    assert_eq!(reply.status, 500);
    assert!(reply.body.contains("req_") && !reply.body.contains("boom"), "{reply:?}");
    let reply = stage.ask("GET", "/busy", &[]).await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn a_developer_on_this_machine_sees_the_stack() {
    let stage = Stage::with(Config::default(), true).await;
    stage.deploy("notes", &[("server.js", "export default {}")]).await;
    let reply = stage.ask("GET", "/fail", &[("accept", "text/html")]).await;
    assert!(reply.body.contains("Error: &lt;boom&gt;") && reply.body.contains("server.js:3:9"), "{reply:?}");
}

#[tokio::test]
async fn health_answers_whatever_the_host() {
    let stage = Stage::with(Config::default(), false).await;
    for path in ["/healthz", "/readyz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        assert_eq!(stage.raw(&request).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_apps_own_limit_and_a_clients_rate_are_answered_429() {
    let mut config = Config::default();
    config.limits.loopback = true;
    config.limits.requests_per_s_per_client = 1;
    let stage = Stage::with(config, false).await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let reply = stage.raw(request).await;
        if reply.status == 429 {
            assert!(reply.field("retry-after").is_some());
        }
        statuses.push(reply.status);
    }
    assert_eq!(statuses[0], 200);
    assert_eq!(statuses[5], 429, "{statuses:?}");
}
