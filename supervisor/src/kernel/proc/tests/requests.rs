//! Requests and bodies through a link.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fazt_ipc::limits::{CREDIT_BYTES, FRAME_BODY_BYTES_MAX};
use fazt_ipc::wire::kernel::Request;
use fazt_ipc::wire::{Failure, FailureKind, KernelKind, WorkerKind};
use http_body_util::{BodyExt as _, Full, StreamBody};

use super::super::{DispatchError, RequestBody};
use super::fake::{CLEAN, ok, stage, stage_with, typed};

#[tokio::test]
async fn a_request_wakes_the_app_and_a_small_answer_comes_whole() {
    let seen = Arc::new(Mutex::new(String::new()));
    let saw = Arc::clone(&seen);
    let stage = stage(move |mut peer| {
        let saw = Arc::clone(&saw);
        async move {
            let Some(()) = peer.load().await else { return CLEAN };
            while let Some((header, body)) = peer.until(KernelKind::Request).await {
                let request: Request<'_> = fazt_ipc::codec::decode(&body).expect("a request");
                *saw.lock().expect("lock") = format!("{} {} {}", request.method, request.url, header.end);
                peer.answer(header.stream, b"hello").await;
            }
            CLEAN
        }
    });
    let request = http::Request::get("/a?b=c").header("x", "y").body(RequestBody::Empty).expect("a request");
    let response = stage.request(request).await.expect("an answer");
    assert_eq!(response.headers()["x-from"], "worker");
    let body = response.into_body();
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
    assert_eq!(body.collect().await.expect("a body").to_bytes(), "hello");
    assert_eq!(*seen.lock().expect("lock"), "GET http://app.localhost/a?b=c true");
    let limits = stage.orders.limits.lock().expect("lock").clone();
    assert_eq!(limits[0].1.memory_bytes, 40 << 20, "assigning tightens the leaf");
}

#[tokio::test]
async fn many_requests_share_one_worker() {
    let stage = Arc::new(stage_with(super::fake::Peer::serve, |options| options.queue = 500));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move { stage.get("/").await });
    }
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.expect("a task"), Ok((200, Bytes::from("hello"))));
    }
    let rows = stage.proc.processes().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].reqs, 500);
    assert!(stage.proc.metrics_text().contains("fazt_worker_wakes_total 1\n"));
}

#[tokio::test]
async fn bodies_stream_both_ways_within_their_credit() {
    const BYTES: usize = 3 * CREDIT_BYTES as usize + 17;
    let stage = stage(|mut peer| async move {
        let Some(()) = peer.load().await else { return CLEAN };
        let Some((request, _)) = peer.until(KernelKind::Request).await else { return CLEAN };
        assert!(!request.end, "a body follows");
        let stream = request.stream;
        peer.typed(WorkerKind::Response, stream, false, &ok(None)).await;
        // An echo that never holds more than it was given, and sends no byte without credit.
        let (mut window, mut held, mut ended) = (CREDIT_BYTES as usize, Vec::<u8>::new(), false);
        loop {
            while window > 0 && !held.is_empty() {
                let count = held.len().min(window).min(FRAME_BODY_BYTES_MAX);
                let bytes: Vec<u8> = held.drain(..count).collect();
                window -= count;
                peer.frame(WorkerKind::Body, stream, false, &bytes).await;
                peer.typed(WorkerKind::Credit, stream, false, &(count as u32)).await;
            }
            if ended && held.is_empty() {
                break;
            }
            match peer.next().await {
                Some((KernelKind::Body, header, body)) => {
                    held.extend(body);
                    assert!(held.len() <= CREDIT_BYTES as usize, "the kernel keeps to its credit");
                    ended = header.end;
                }
                Some((KernelKind::Credit, _, body)) => {
                    window += fazt_ipc::codec::decode::<u32>(&body).expect("credit") as usize;
                }
                _ => return CLEAN,
            }
        }
        peer.frame(WorkerKind::Body, stream, true, b"").await;
        peer.frame(WorkerKind::Settled, stream, false, b"").await;
        while peer.next().await.is_some() {}
        CLEAN
    });
    let sent: Vec<u8> = (0..BYTES).map(|i| (i * 7 % 251) as u8).collect();
    let body = RequestBody::new(Full::new(Bytes::from(sent.clone())));
    let response =
        stage.request(http::Request::post("/").body(body).expect("a request")).await.expect("a head");
    let got = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(got == sent, "{} of {BYTES} bytes", got.len());
}

#[tokio::test]
async fn a_client_that_goes_away_aborts_its_request_and_no_other() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stage = Arc::new(stage(move |mut peer| {
        let tell = tell.clone();
        async move {
            let Some(()) = peer.load().await else { return CLEAN };
            let (first, _) = peer.until(KernelKind::Request).await.expect("a request");
            tell.send(first.stream).expect("the test");
            let (abort, _) = peer.until(KernelKind::Abort).await.expect("an abort");
            tell.send(abort.stream).expect("the test");
            peer.frame(WorkerKind::Settled, abort.stream, false, b"").await;
            while let Some((header, _)) = peer.until(KernelKind::Request).await {
                peer.answer(header.stream, b"still here").await;
            }
            CLEAN
        }
    }));
    let waiting = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.get("/").await }
    });
    let stream = told.recv().await.expect("a request");
    waiting.abort();
    assert_eq!(told.recv().await, Some(stream));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("still here"))));
}

#[tokio::test]
async fn a_failed_request_is_told_apart_and_logged_with_its_place() {
    let stage = stage(|mut peer| async move {
        let Some(()) = peer.load().await else { return CLEAN };
        while let Some((header, _)) = peer.until(KernelKind::Request).await {
            let failure = Failure {
                kind: FailureKind::Exception,
                message: "Error: no".into(),
                stack: "    at fetch (server.js:3:9)".into(),
            };
            let mut bytes = typed(WorkerKind::Failed, header.stream, false, &failure);
            bytes.extend(super::fake::frame(WorkerKind::Settled as u8, header.stream, false, b""));
            peer.raw(&bytes).await;
        }
        CLEAN
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::Exception));
    let (lines, _) = stage.proc.logs(stage.app, 0).await;
    let line = lines.iter().find(|line| line.text.contains("Error: no")).expect("the failure");
    assert_eq!(line.origin, "server.js:3");
    assert!(line.request.starts_with("req_"));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error_and_not_an_end() {
    let stage = stage(|mut peer| async move {
        let Some(()) = peer.load().await else { return CLEAN };
        let (header, _) = peer.until(KernelKind::Request).await.expect("a request");
        peer.typed(WorkerKind::Response, header.stream, false, &ok(None)).await;
        peer.frame(WorkerKind::Body, header.stream, false, b"half").await;
        super::fake::Ends { code: -1, signal: 11, oom: false }
    });
    assert!(stage.get("/").await.is_err());
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_does_not_look_like_the_end_of_it() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stage = stage(move |mut peer| {
        let tell = tell.clone();
        async move {
            let Some(()) = peer.load().await else { return CLEAN };
            while let Some((kind, header, _)) = peer.next().await {
                tell.send((kind, header.end)).expect("the test");
                if kind == KernelKind::Abort {
                    peer.frame(WorkerKind::Settled, header.stream, false, b"").await;
                }
            }
            CLEAN
        }
    });
    let pieces: Vec<Result<http_body::Frame<Bytes>, std::io::Error>> =
        vec![Ok(http_body::Frame::data(Bytes::from("x"))), Err(std::io::ErrorKind::ConnectionReset.into())];
    let body = RequestBody::new(StreamBody::new(futures_util::stream::iter(pieces)));
    assert!(stage.request(http::Request::post("/").body(body).expect("a request")).await.is_err());
    loop {
        let (kind, end) = told.recv().await.expect("frames");
        assert!(!(kind == KernelKind::Body && end), "half a body must not look whole");
        if kind == KernelKind::Abort {
            break;
        }
    }
}

#[tokio::test]
async fn frames_can_be_watched_by_name() {
    let stage = stage(super::fake::Peer::serve);
    let mut lines = stage.proc.trace(stage.app);
    stage.get("/").await.expect("an answer");
    let mut kinds = Vec::new();
    while let Ok(line) = lines.try_recv() {
        kinds.push(format!("{}{}", line.direction, line.kind));
    }
    assert!(kinds.iter().any(|kind| kind == ">Request"), "{kinds:?}");
    assert!(kinds.iter().any(|kind| kind == "<Response"), "{kinds:?}");
}
