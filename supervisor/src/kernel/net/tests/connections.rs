//! Slow clients, stalled ones, many of them, and the end of the server. Time is the test's own where a bound
//! is waited for: it leaps to the next timer whenever nothing else can happen.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::stage::Stage;
use crate::config::Config;
use crate::limits::{HEAD_S_MAX, KEEP_ALIVE_S_MAX, STALL_S_MAX};

/// Waits for the server to close; how long it took.
async fn closed(socket: &mut tokio::net::TcpStream) -> u64 {
    let start = Instant::now();
    let mut sink = vec![0; 65_536];
    while socket.read(&mut sink).await.is_ok_and(|bytes| bytes > 0) {}
    start.elapsed().as_secs()
}

/// Lets time run until the server has dropped its one connection; how long it took.
async fn dropped(stage: &Stage) -> u64 {
    let connections = || stage.metrics.connections.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(connections(), 1);
    tokio::time::pause();
    let start = Instant::now();
    while connections() > 0 && start.elapsed() < Duration::from_secs(300) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_ends_its_head_is_dropped() {
    let stage = Stage::with(Config::default(), false).await;
    let mut silent = stage.connect().await;
    assert!((HEAD_S_MAX..HEAD_S_MAX + 4).contains(&closed(&mut silent).await));
    let mut slow = stage.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.expect("sent");
    assert!((HEAD_S_MAX..HEAD_S_MAX + 4).contains(&closed(&mut slow).await));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_while() {
    let stage = Stage::with(Config::default(), false).await;
    let mut idle = stage.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    assert!((KEEP_ALIVE_S_MAX..KEEP_ALIVE_S_MAX + 4).contains(&closed(&mut idle).await));
}

#[tokio::test]
async fn a_body_that_stalls_ends_the_connection_and_no_other() {
    let stage = Stage::app(&[]).await;
    let mut stalled = stage.connect().await;
    let head = b"POST /body HTTP/1.1\r\nhost: notes.localhost\r\ncontent-length: 10\r\n\r\nabc";
    stalled.write_all(head).await.expect("sent");
    while stage.stub.seen.lock().expect("seen").is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let took = closed(&mut stalled).await;
    assert!((STALL_S_MAX..STALL_S_MAX + 4).contains(&took), "{took}");
    tokio::time::resume();
    assert_eq!(stage.ask("GET", "/", &[]).await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_dropped() {
    let stage = Stage::app(&[]).await;
    let mut deaf = stage.connect().await;
    deaf.write_all(b"GET /flood HTTP/1.1\r\nhost: notes.localhost\r\n\r\n").await.expect("sent");
    let mut first = [0; 1];
    deaf.read_exact(&mut first).await.expect("an answer begins");
    // Let the buffers of the system fill before time runs.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let took = dropped(&stage).await;
    assert!((STALL_S_MAX..STALL_S_MAX + 5).contains(&took), "{took}");
}

/// The first piece is taken, then the window stays shut. The socket is never blocked, and pings are answered.
#[tokio::test]
async fn a_client_that_opens_no_window_is_dropped() {
    let stage = Stage::app(&[]).await;
    let io = hyper_util::rt::TokioIo::new(stage.connect().await);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(executor)
        .initial_stream_window_size(1)
        .handshake(io)
        .await
        .expect("handshake");
    tokio::spawn(connection);
    let request = http::Request::get("http://notes.localhost/flood");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("request");
    let answer = sender.send_request(request).await.expect("an answer begins");
    assert_eq!(answer.status(), 200);
    let took = dropped(&stage).await;
    assert!((STALL_S_MAX..STALL_S_MAX + 5).contains(&took), "{took}");
}

#[tokio::test]
async fn a_client_has_its_share_of_connections() {
    let mut config = Config::default();
    config.limits.loopback = true;
    config.limits.connections_per_client = 3;
    let stage = Stage::with(config, false).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut socket = stage.connect().await;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut byte = [0; 1];
        socket.read_exact(&mut byte).await.expect("an answer");
        kept.push(socket);
    }
    let mut fourth = stage.connect().await;
    let mut answer = Vec::new();
    // What it has sent may cut the answer short, but never lets it in.
    if fourth.read_to_end(&mut answer).await.is_ok() && !answer.is_empty() {
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    }
    assert_eq!(stage.metrics.connections_refused.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_accepts_nothing_new() {
    let stage = Stage::app(&[]).await;
    let mut busy = stage.connect().await;
    busy.write_all(b"POST /body HTTP/1.1\r\nhost: notes.localhost\r\ncontent-length: 2\r\n\r\na")
        .await
        .expect("sent");
    while stage.stub.seen.lock().expect("seen").is_empty() {
        tokio::task::yield_now().await;
    }
    let mut idle = stage.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let finish = async {
        closed(&mut idle).await;
        assert!(tokio::net::TcpStream::connect(stage.address).await.is_err(), "nothing new is accepted");
        busy.write_all(b"b").await.expect("sent");
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.expect("answer");
        answer
    };
    let (answer, ()) = tokio::join!(finish, stage.serving.drain());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('2'), "{answer}");
}
