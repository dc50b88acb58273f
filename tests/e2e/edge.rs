//! The HTTP edge.

use std::net::TcpStream;

use fazt_tests::{Client, Server, ServerOptions};

use crate::HELLO;

#[test]
fn an_unknown_host_is_misdirected() {
    let server = Server::start();
    for host in ["nothing.localhost", "evil.example", "127.0.0.1.example"] {
        let mut client = Client::connect(server.address, host).expect("connection");
        assert_eq!(client.get("/").expect("answer").status, 421, "{host}");
    }
}

#[test]
fn health_answers_on_any_host() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let mut client = Client::connect(server.address, "whatever.example").expect("connection");
        assert_eq!(client.get(path).expect("answer").status, 200);
    }
}

#[test]
fn malformed_requests_are_refused_and_the_server_goes_on() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    let host = format!("app.localhost:{}", server.address.port());
    for request in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"),
        format!("GET / HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
        "NONSENSE\r\n\r\n".to_owned(),
        format!("GET http://other.localhost/ HTTP/1.1\r\nhost: {host}\r\n\r\n"),
    ] {
        let mut client = Client::connect(server.address, "unused").expect("connection");
        if client.send(request.as_bytes()).is_ok()
            && let Ok(answer) = client.response(false)
        {
            assert!(answer.status >= 400, "{} for {:?}", answer.status, &request[..request.len().min(80)]);
        }
    }
    assert_eq!(server.get("app", "/").text(), "hello");
}

/// This machine's own programs have no share per client: a load generator or a browser with many tabs is the
/// owner's. So all of them are taken in, up to the server's bound on all connections.
#[test]
fn ten_thousand_idle_connections_do_not_starve_anyone() {
    let room = descriptors(10_200);
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    let count = room.min(10_000);
    let mut idle = Vec::with_capacity(count);
    for at in 0..count {
        let stream = TcpStream::connect(server.address);
        idle.push(stream.unwrap_or_else(|error| panic!("connection {at} of {count}: {error}")));
        if at % 1_000 == 0 {
            assert_eq!(server.get("app", "/").text(), "hello", "beside {at} idle connections");
        }
    }
    assert_eq!(server.get("app", "/").text(), "hello", "beside {count} idle connections");
    // The last of them is as good as the first.
    let host = format!("app.localhost:{}", server.address.port());
    for stream in [idle.pop(), idle.drain(..1).next()].into_iter().flatten() {
        let mut client = Client::over(stream, &host).expect("connection");
        assert_eq!(client.get("/").expect("an answer").text(), "hello");
    }
    drop(idle);
    assert_eq!(server.get("app", "/").text(), "hello", "after they have gone");
}

/// With a share per client, one that takes more is cut off and the others do not notice.
#[test]
fn a_client_that_takes_more_than_its_share_of_connections_is_cut_off() {
    let server = Server::with(ServerOptions {
        config: "[limits]\nloopback = true\nconnections_per_client = 20\n".into(),
        ..ServerOptions::default()
    });
    server.deploy_files("app", &[("server.js", HELLO)]);
    let host = format!("app.localhost:{}", server.address.port());
    let mut held: Vec<_> =
        (0..20).map(|_| Client::connect(server.address, &host).expect("connection")).collect();
    for client in &mut held {
        assert_eq!(client.get("/").expect("within the share").text(), "hello");
    }
    // It is told why when it reads before the connection ends; what it sent may cut that short.
    if let Ok(answer) = server.client("app").get("/") {
        assert_eq!(answer.status, 429, "one more than the share");
    }
    drop(held);
    server.wait("its places to be free again", |server| {
        server.client("app").get("/").is_ok_and(|answer| answer.text() == "hello")
    });
}

/// Raises this process's bound on open files; returns how many sockets fit beside what tests need.
fn descriptors(wanted: u64) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_some_and(|now| now < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum })
            .expect("setrlimit");
    }
    if most < wanted {
        println!("only {most} open files are allowed here: fewer connections than 10,000");
    }
    usize::try_from(most.saturating_sub(200)).expect("fits")
}

#[test]
fn head_has_fields_and_no_body() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO), ("public/a.txt", "0123")]);
    for (path, length) in [("/", "5"), ("/a.txt", "4")] {
        let answer = server.client("app").request("HEAD", path, &[], &[]).expect("answer");
        assert_eq!((answer.status, answer.field("content-length")), (200, Some(length)), "{path}");
    }
}

#[test]
fn metrics_tell_of_wakes_and_requests() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    assert_eq!(server.get("app", "/").text(), "hello");
    let mut socket =
        std::os::unix::net::UnixStream::connect(server.data().join("run/control.sock")).expect("socket");
    use std::io::{Read, Write};
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("request");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("answer");
    for name in [
        "fazt_requests_total",
        "fazt_worker_wakes_total",
        "fazt_worker_cold_start_seconds_bucket",
        "fazt_workers_memory_bytes",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
}

#[test]
fn http_2_serves_the_same() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    let url = format!("http://{}/", server.address);
    let host = format!("host: app.localhost:{}", server.address.port());
    let output = std::process::Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "-w", " %{http_version}", "-H", &host, &url])
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello 2");
}
