//! Events over scripted workers: what comes of them, and what a worker may not say of them.

use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::ids::RequestId;
use fazt_ipc::limits::PAYLOAD_BYTES_MAX;
use fazt_ipc::wire::kernel::{Event, EventKind};
use fazt_ipc::wire::worker::Done;
use fazt_ipc::wire::{Failure, FailureKind, KernelKind, WorkerKind};

use super::super::DispatchError;
use super::super::link::Ended;
use super::fake::{CLEAN, Peer, Stage, frame, ok, stage, typed};

async fn event(stage: &Stage, payload: Bytes) -> Ended {
    let kind = EventKind::Queue;
    let event = Event {
        id: RequestId::new(1, 1),
        kind,
        name: "mail",
        cron: "",
        job: "job_1",
        unix_ms: 5,
        attempt: 2,
    };
    stage.proc.occur(&stage.slot, event, payload).await
}

/// What a worker says of the event on a stream.
type Said = fn(u32) -> Vec<u8>;

/// A worker that is given an event and says this, and answers whatever else it is given.
fn says(said: Said) -> Stage {
    stage(move |mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let (header, _) = peer.until(KernelKind::Event).await.expect("an event");
        peer.raw(&said(header.stream)).await;
        serve(&mut peer).await;
        CLEAN
    })
}

async fn serve(peer: &mut Peer) {
    while let Some((header, _)) = peer.until(KernelKind::Request).await {
        peer.answer(header.stream, b"there").await;
    }
}

fn done(stream: u32) -> Vec<u8> {
    typed(WorkerKind::Done, stream, false, &Done { retry: true, delay_s: Some(7) })
}

fn failed(stream: u32) -> Vec<u8> {
    let message = "Error: no\nsecond line".into();
    let failure = Failure { kind: FailureKind::Exception, message, stack: "at server.js:1".into() };
    typed(WorkerKind::Failed, stream, false, &failure)
}

fn settled(stream: u32) -> Vec<u8> {
    frame(WorkerKind::Settled as u8, stream, false, b"")
}

fn no_retry(stream: u32) -> Vec<u8> {
    frame(WorkerKind::NoRetry as u8, stream, false, b"")
}

#[tokio::test]
async fn what_a_worker_says_of_an_event_is_what_came_of_it() {
    let ended = |outcome, no_retry, reason: &str| Ended { outcome, no_retry, reason: reason.into() };
    let table: [(Said, Ended); 3] = [
        (|s| [done(s), settled(s)].concat(), ended(Ok(Done { retry: true, delay_s: Some(7) }), false, "")),
        (|s| [failed(s), settled(s)].concat(), ended(Err(DispatchError::Exception), false, "Error: no")),
        (
            |s| [no_retry(s), no_retry(s), failed(s), settled(s)].concat(),
            ended(Err(DispatchError::Exception), true, "Error: no"),
        ),
    ];
    for (said, expect) in table {
        let stage = says(said);
        assert_eq!(event(&stage, Bytes::new()).await, expect);
        assert_eq!(stage.get("/").await, Ok((200, Bytes::from("there"))), "the worker lives");
    }
}

#[tokio::test]
async fn a_payload_arrives_whole_after_the_event() {
    let payload = Bytes::from(vec![b'7'; PAYLOAD_BYTES_MAX]);
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let (header, body) = peer.until(KernelKind::Event).await.expect("an event");
        let told: Event<'_> = fazt_ipc::codec::decode(&body).expect("an event");
        assert_eq!((told.name, told.job, told.attempt, header.end), ("mail", "job_1", 2, false));
        let mut bytes = 0;
        loop {
            let (header, body) = peer.until(KernelKind::Body).await.expect("a body");
            bytes += body.len();
            if header.end {
                break;
            }
        }
        assert_eq!(bytes, PAYLOAD_BYTES_MAX);
        peer.raw(&[done(header.stream), settled(header.stream)].concat()).await;
        serve(&mut peer).await;
        CLEAN
    });
    assert!(event(&stage, payload).await.outcome.is_ok());
}

#[tokio::test]
async fn a_worker_that_says_of_an_event_what_it_may_not_is_killed() {
    let attacks: [(&str, Said); 9] = [
        ("a response", |s| typed(WorkerKind::Response, s, true, &ok(None))),
        ("a body", |s| frame(WorkerKind::Body as u8, s, true, b"x")),
        ("twice done", |s| [done(s), done(s)].concat()),
        ("done after it failed", |s| [failed(s), done(s)].concat()),
        ("a word after its end", |s| [done(s), no_retry(s)].concat()),
        ("settled without an end", settled),
        ("done on a stream that was never opened", |s| done(s + 2)),
        ("a word with a body", |s| frame(WorkerKind::NoRetry as u8, s, false, b"x")),
        ("done with bytes behind it", |s| {
            let mut bytes = done(s);
            bytes[0] += 1;
            bytes.push(0);
            bytes
        }),
    ];
    for (name, attack) in attacks {
        let stage = says(attack);
        let ended = event(&stage, Bytes::new()).await;
        let whole = matches!(name, "twice done" | "done after it failed" | "a word after its end");
        assert!(ended.outcome.is_err() || whole, "{name}: {ended:?}");
        let gone = async {
            while stage.orders.kills.lock().expect("lock").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap_or_else(|_| panic!("{name}"));
    }
}

#[tokio::test]
async fn an_event_that_takes_too_long_is_given_up_and_may_still_say_how_it_ended() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let (header, _) = peer.until(KernelKind::Event).await.expect("an event");
        let _ = peer.until(KernelKind::Abort).await.expect("given up");
        let stream = header.stream;
        peer.raw(&[no_retry(stream), done(stream), settled(stream)].concat()).await;
        serve(&mut peer).await;
        CLEAN
    });
    let ended = event(&stage, Bytes::new()).await;
    assert_eq!(ended.outcome, Err(DispatchError::WallExceeded));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("there"))), "the worker lives");
    assert!(stage.orders.kills.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn an_event_whose_worker_dies_has_failed() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_some() {
            let _ = peer.until(KernelKind::Event).await;
        }
        CLEAN
    });
    assert_eq!(event(&stage, Bytes::new()).await.outcome, Err(DispatchError::Died));
}
