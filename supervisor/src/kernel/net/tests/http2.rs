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
