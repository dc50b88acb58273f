//! HTTP/2 with prior knowledge on the same port.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::stage::Stage;

type Sender = http2::SendRequest<Empty<Bytes>>;

async fn connect(stage: &Stage) -> Sender {
    let io = TokioIo::new(stage.connect().await);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("handshake");
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, uri: &str, host: Option<&str>) -> (u16, String) {
    let mut request = Request::builder().uri(uri).version(Version::HTTP_2);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let response = sender.send_request(request.body(Empty::new()).expect("request")).await.expect("answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let stage = Stage::app(&[("public/a.txt", "file")]).await;
    let sender = connect(&stage).await;
    let all = (0..50).map(|_| {
        let mut sender = sender.clone();
        async move { ask(&mut sender, "http://notes.localhost:80/x", None).await }
    });
    for (status, body) in futures_util::future::join_all(all).await {
        assert_eq!(status, 200);
        assert!(body.starts_with("GET http://notes.localhost:80/x\n"), "{body}");
        assert!(body.contains("host: notes.localhost:80\n"), "{body}");
    }
    assert_eq!(ask(&mut sender.clone(), "http://notes.localhost/a.txt", None).await, (200, "file".into()));
}

#[tokio::test]
async fn authority_and_host_agree_or_the_request_is_refused() {
    let stage = Stage::app(&[]).await;
    let mut sender = connect(&stage).await;
    assert_eq!(ask(&mut sender, "http://notes.localhost/", Some("b.localhost")).await.0, 400);
    assert_eq!(ask(&mut sender, "http://notes.localhost/", Some("notes.localhost")).await.0, 200);
    assert_eq!(ask(&mut sender, "http://evil.example/", None).await.0, 421);
}

#[tokio::test]
async fn a_drain_tells_the_client_to_go() {
    let stage = Stage::app(&[]).await;
    let mut sender = connect(&stage).await;
    assert_eq!(ask(&mut sender, "http://notes.localhost/", None).await.0, 200);
    stage.serving.drain().await;
    assert!(sender.ready().await.is_err(), "the connection is closed");
}

/// One frame.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// Fields as HPACK literals that are not indexed.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|bytes| *bytes < 127).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const ASK: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "notes.localhost")];

/// Sends these bytes behind a preface until the server has enough or ends the connection; the kind of each
/// frame that came back.
async fn send(stage: &Stage, bytes: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut read, mut write) = stage.connect().await.into_split();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*frame(4, 0, 0, b"")].concat();
    let sending = async {
        // The server may end the connection before it has read everything.
        let _ = write.write_all(&preface).await;
        let _ = write.write_all(bytes).await;
        let _ = write.shutdown().await;
    };
    let reading = async {
        let mut kinds = Vec::new();
        let mut head = [0; 9];
        while read.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            kinds.push(head[3]);
            if read.read_exact(&mut vec![0; length]).await.is_err() {
                break;
            }
        }
        kinds
    };
    tokio::join!(sending, reading).1
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

#[tokio::test]
async fn a_request_that_http_1_would_read_differently_never_reaches_an_app() {
    let stage = Stage::app(&[]).await;
    let with = |more: &[(&'static str, &'static str)]| fields(&[&ASK[..], more].concat());
    for (what, block, flags) in [
        ("upper case", with(&[("X-Upper", "a")]), 5),
        ("a field of the connection", with(&[("connection", "close")]), 5),
        ("chunks", with(&[("transfer-encoding", "chunked")]), 5),
        ("a line break", with(&[("x", "a\r\nb: c")]), 5),
        ("two paths", with(&[(":path", "/y")]), 5),
        ("no path", fields(&[ASK[0], ASK[1], ASK[3]]), 5),
    ] {
        let kinds = send(&stage, &frame(HEADERS, flags, 1, &block)).await;
        assert!(kinds.contains(&GOAWAY) || kinds.contains(&RST_STREAM), "{what}: {kinds:?}");
        assert!(!kinds.contains(&HEADERS), "{what}: {kinds:?}");
    }
    assert!(stage.stub.seen.lock().expect("seen").is_empty());
    // A body that is longer than it says: the app learns that it broke, not where the rest belongs.
    let post = fields(&[(":method", "POST"), ASK[1], (":path", "/body"), ASK[3], ("content-length", "3")]);
    let kinds = send(&stage, &[frame(HEADERS, 4, 1, &post), frame(0, 1, 1, b"abcdef")].concat()).await;
    assert!(kinds.contains(&RST_STREAM), "{kinds:?}");
}

#[tokio::test]
async fn a_flood_of_frames_ends_its_connection_and_no_other() {
    let stage = Stage::app(&[]).await;
    let ask = fields(&ASK);
    let resets = (0..20_000_u32).flat_map(|n| {
        let stream = 2 * n + 1;
        [frame(HEADERS, 5, stream, &ask), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    let more = fields(&[("a", "b")]);
    let continued = (0..20_000).flat_map(|_| frame(9, 0, 1, &more));
    let empty = (0..20_000).flat_map(|_| frame(9, 0, 1, b""));
    for (what, flood) in [
        ("resets", resets.collect::<Vec<u8>>()),
        ("continuations", frame(HEADERS, 1, 1, &ask).into_iter().chain(continued).collect()),
        ("empty continuations", frame(HEADERS, 1, 1, &ask).into_iter().chain(empty).collect()),
    ] {
        let kinds = send(&stage, &flood).await;
        // The end of the connection may overtake the word about it.
        assert!(kinds.iter().filter(|kind| **kind == HEADERS).count() < 1_000, "{what}: {}", kinds.len());
        assert!(stage.stub.seen.lock().expect("seen").len() < 10_000, "{what}");
        assert_eq!(stage.ask("GET", "/", &[]).await.status, 200, "{what}");
    }
}
