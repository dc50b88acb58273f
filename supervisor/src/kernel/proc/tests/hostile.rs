//! Frames that no honest worker sends. Each ends in a kill, never in a panic, and never in an answer that the
//! worker had no right to give.

use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::codec;
use fazt_ipc::control::State;
use fazt_ipc::ids::AppId;
use fazt_ipc::limits::{CREDIT_BYTES, PROTOCOL};
use fazt_ipc::syscall::{Call, CallError, Reply};
use fazt_ipc::wire::worker::{Done, Loaded, Log, LogLevel, Ready, Response};
use fazt_ipc::wire::{KernelKind, WorkerKind};
use futures_util::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::super::DispatchError;
use super::super::bounds::CALLS_BYTES_MAX;
use super::super::spec::Spec;
use super::fake::{CLEAN, Ends, Peer, WALL, frame, ok, stage, typed};
use crate::kernel::security::{Actor, Principal};
use crate::kernel::syscall::{Answer as CallAnswer, Calls, Room, Upload, Whole};

/// What a hostile worker sends after it was given a request on `stream`.
type Attack = fn(u32) -> Vec<u8>;

fn body(stream: u32, end: bool, bytes: &[u8]) -> Vec<u8> {
    frame(WorkerKind::Body as u8, stream, end, bytes)
}

fn response(status: u16, name: &str, value: &[u8], body_bytes: Option<u64>, stream: u32) -> Vec<u8> {
    typed(WorkerKind::Response, stream, false, &Response { status, fields: vec![(name, value)], body_bytes })
}

const ATTACKS: &[(&str, Attack)] = &[
    ("an unknown type", |stream| frame(0x77, stream, false, b"")),
    ("a type of the kernel's", |stream| frame(KernelKind::Configure as u8, stream, false, b"")),
    ("reserved bits", |stream| {
        let mut bytes = body(stream, false, b"");
        bytes[6] = 1;
        bytes
    }),
    ("a frame over its bound", |_| vec![0xff; 16]),
    ("ready a second time", |_| {
        typed(WorkerKind::Ready, 0, false, &Ready { protocol: PROTOCOL, landlock_abi: 0, engine: 0 })
    }),
    ("loaded a second time", |_| typed(WorkerKind::Loaded, 0, false, &Loaded::default())),
    ("bytecode while serving", |_| frame(WorkerKind::Compiled as u8, 0, false, b"")),
    ("a body before the head", |stream| body(stream, false, b"x")),
    ("a head on a stream that was never opened", |stream| {
        typed(WorkerKind::Response, stream + 2, true, &ok(None))
    }),
    ("a head on the connection", |_| typed(WorkerKind::Response, 0, true, &ok(None))),
    ("a head on a stream of its own", |_| typed(WorkerKind::Response, 2, true, &ok(None))),
    ("two heads", |stream| {
        [
            typed(WorkerKind::Response, stream, false, &ok(None)),
            typed(WorkerKind::Response, stream, false, &ok(None)),
        ]
        .concat()
    }),
    ("a body after its end", |stream| {
        [typed(WorkerKind::Response, stream, true, &ok(None)), body(stream, false, b"x")].concat()
    }),
    ("more than it announced", |stream| {
        [typed(WorkerKind::Response, stream, false, &ok(Some(1))), body(stream, true, b"xx")].concat()
    }),
    ("less than it announced", |stream| {
        [typed(WorkerKind::Response, stream, false, &ok(Some(3))), body(stream, true, b"xx")].concat()
    }),
    ("settled without an answer", |stream| frame(WorkerKind::Settled as u8, stream, false, b"")),
    ("settled twice", |stream| {
        let settled = frame(WorkerKind::Settled as u8, stream, false, b"");
        [typed(WorkerKind::Response, stream, true, &ok(None)), settled.clone(), settled].concat()
    }),
    ("the end of an event that is a request", |stream| {
        typed(WorkerKind::Done, stream, false, &Done::default())
    }),
    ("a word on an event that is a request", |stream| frame(WorkerKind::NoRetry as u8, stream, false, b"")),
    ("credit out of nothing", |stream| typed(WorkerKind::Credit, stream, false, &1u32)),
    ("credit that overflows", |stream| typed(WorkerKind::Credit, stream, false, &u32::MAX)),
    ("an end where there is none", |stream| frame(WorkerKind::Settled as u8, stream, true, b"")),
    ("a status of 101", |stream| response(101, "a", b"b", None, stream)),
    ("a status of 999", |stream| response(999, "a", b"b", None, stream)),
    ("a header's name with a space", |stream| response(200, "a b", b"c", None, stream)),
    ("a header's name in capitals", |stream| response(200, "Host", b"c", None, stream)),
    ("a split response", |stream| response(200, "a", b"b\r\nset-cookie: c=d", None, stream)),
    ("a header with a zero", |stream| response(200, "a", b"\0", None, stream)),
    ("a call on a request's stream", |stream| {
        typed(WorkerKind::Call, stream, true, &Call::FsStat { path: "a".into() })
    }),
    ("a call with a number used before", |_| {
        let call = typed(WorkerKind::Call, 2, true, &Call::FsStat { path: "a".into() });
        [call.clone(), call].concat()
    }),
    ("a call that no table knows", |_| frame(WorkerKind::Call as u8, 2, true, &[99])),
    ("bytes after a call that nobody asked for", |_| {
        let call = typed(WorkerKind::Call, 2, false, &Call::FsStat { path: "a".into() });
        [call, frame(WorkerKind::CallBody as u8, 2, false, b"x")].concat()
    }),
    ("an announcement of what fits a frame", |_| typed(WorkerKind::LongCall, 2, false, &65_536u32)),
    ("an announcement over its bound", |_| typed(WorkerKind::LongCall, 2, false, &u32::MAX)),
    ("a call given up that was never made", |_| frame(WorkerKind::CancelCall as u8, 2, false, b"")),
    ("a request given up as if it were a call", |stream| {
        frame(WorkerKind::CancelCall as u8, stream, false, b"")
    }),
    ("trailing bytes", |_| {
        let log = Log { level: LogLevel::Info, text: "", origin: "", dropped: 0 };
        let mut bytes = typed(WorkerKind::Log, 0, false, &log);
        bytes[0] += 1;
        bytes.push(0);
        bytes
    }),
    ("text that is not UTF-8", |_| frame(WorkerKind::Log as u8, 0, false, &[1, 1, 0xff, 0, 0])),
];

#[tokio::test]
async fn a_worker_that_sends_what_it_may_not_is_killed() {
    for (name, attack) in ATTACKS {
        let stage = stage(move |mut peer| async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            let (header, _) = peer.until(KernelKind::Request).await.expect("a request");
            peer.raw(&attack(header.stream)).await;
            while peer.next().await.is_some() {}
            // It is dead by order, not by its own will.
            std::future::pending().await
        });
        // The answer may have been complete before the worker showed itself.
        let answer = stage.get("/").await;
        let whole = matches!(*name, "settled twice" | "a body after its end");
        assert!(answer.is_err() || whole, "{name}: {answer:?}");
        // The kill is ordered after the answer.
        let gone = async {
            while stage.orders.kills.lock().expect("lock").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), gone)
            .await
            .unwrap_or_else(|_| panic!("{name}"));
    }
}

#[tokio::test]
async fn hostile_frames_again_and_again_quarantine_the_app() {
    let stage = stage(|mut peer| async move {
        let _ = peer.until(KernelKind::Start).await;
        peer.raw(&[0xff; 64]).await;
        std::future::pending().await
    });
    for _ in 0..50 {
        if stage.get("/").await == Err(DispatchError::Quarantined) {
            break;
        }
    }
    assert_eq!(stage.get("/").await, Err(DispatchError::Quarantined));
    stage.until(State::Quarantined).await;
    assert!(stage.proc.metrics_text().contains("fazt_app_quarantines_total 1\n"));
}

#[tokio::test]
async fn a_careless_header_fails_the_request_and_spares_the_worker() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let (header, _) = peer.until(KernelKind::Request).await.expect("a request");
        let mut bytes = response(200, "a", b"\x01", None, header.stream);
        bytes.extend(body(header.stream, true, b"x"));
        bytes.extend(frame(WorkerKind::Settled as u8, header.stream, false, b""));
        peer.raw(&bytes).await;
        while let Some((header, _)) = peer.until(KernelKind::Request).await {
            peer.answer(header.stream, b"fine").await;
        }
        CLEAN
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::Exception));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("fine"))));
}

#[test]
fn a_response_keeps_to_its_credit_while_nobody_takes_it() {
    let mut rng = SmallRng::seed_from_u64(0);
    let frames = |count: usize, last: usize| {
        move |_: &mut SmallRng, stream| {
            let mut bytes = typed(WorkerKind::Response, stream, false, &ok(None));
            for _ in 0..count {
                bytes.extend(body(stream, false, &[0; 65536]));
            }
            bytes.extend(body(stream, false, &vec![0; last]));
            bytes
        }
    };
    let full = CREDIT_BYTES as usize / 65536;
    assert!(super::super::link::fuzz_once(&mut rng, frames(full, 0)));
    assert!(!super::super::link::fuzz_once(&mut rng, frames(full, 1)));
}

/// Traffic of an honest worker on a stream.
fn honest(stream: u32) -> Vec<Vec<u8>> {
    let log = Log { level: LogLevel::Info, text: "line", origin: "server.js:1", dropped: 0 };
    vec![
        typed(WorkerKind::Log, stream, false, &log),
        typed(WorkerKind::Call, 2, true, &Call::FsStat { path: "a".into() }),
        typed(WorkerKind::Response, stream, false, &ok(Some(5))),
        body(stream, false, b"he"),
        body(stream, true, b"llo"),
        frame(WorkerKind::Settled as u8, stream, false, b""),
        // The event beside it.
        frame(WorkerKind::NoRetry as u8, stream + 2, false, b""),
        typed(WorkerKind::Done, stream + 2, false, &Done { retry: true, delay_s: Some(9) }),
        frame(WorkerKind::Settled as u8, stream + 2, false, b""),
    ]
}

fn mutate(rng: &mut SmallRng, stream: u32) -> Vec<u8> {
    let mut frames = honest(stream);
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..frames.len());
        match rng.random_range(0..6) {
            0 => frames.swap(at, 0),
            1 => {
                let twice = frames[at].clone();
                frames.push(twice);
            }
            2 if frames.len() > 1 => {
                frames.remove(at);
            }
            3 if !frames[at].is_empty() => {
                let byte = rng.random_range(0..frames[at].len());
                frames[at][byte] ^= 1 << rng.random_range(0..8);
            }
            4 if !frames[at].is_empty() => {
                let length = rng.random_range(0..frames[at].len());
                frames[at].truncate(length);
            }
            _ => {
                let mut noise = vec![0; rng.random_range(1..200)];
                rng.fill_bytes(&mut noise);
                frames.push(noise);
            }
        }
    }
    frames.concat()
}

#[test]
fn mutated_traffic_never_panics_and_a_refusal_is_final() {
    let seed =
        std::env::var("FAZT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("FAZT_SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut refused, mut survived) = (0, 0);
    for _ in 0..20_000 {
        match super::super::link::fuzz_once(&mut rng, mutate) {
            true => survived += 1,
            false => refused += 1,
        }
    }
    assert!(refused > 1000 && survived > 100, "{refused} refused, {survived} survived");
}

#[tokio::test]
async fn random_bytes_always_end_in_a_kill() {
    let seed: u64 =
        std::env::var("FAZT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("FAZT_SEED={seed}");
    let stages = (0..20u64).map(|round| {
        Arc::new(stage(move |mut peer| async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            let _ = peer.until(KernelKind::Request).await;
            let mut rng = SmallRng::seed_from_u64(seed.wrapping_add(round));
            // Without end: whatever it is, it is found out.
            loop {
                let mut noise = vec![0; 4096];
                rng.fill_bytes(&mut noise);
                peer.raw(&noise).await;
                tokio::task::yield_now().await;
            }
        }))
    });
    for stage in stages {
        assert!(stage.get("/").await.is_err());
        // It is counted when the process is gone, a little after its requests were told.
        let counted = async {
            while !stage.proc.metrics_text().contains("fazt_worker_violations_total 1\n") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), counted).await.expect("a violation");
    }
}

/// Answers every call with a megabyte in memory.
struct Large;

impl Calls for Large {
    fn answer(
        &self,
        _: Actor,
        _: Call,
        _: Box<dyn Upload>,
        _: Box<dyn Room>,
    ) -> BoxFuture<'static, Result<CallAnswer, CallError>> {
        let bytes = vec![7u8; 1 << 20];
        Box::pin(async { Ok(CallAnswer::Bytes(Reply::KvGet(None), Box::new(Whole::from(bytes)))) })
    }
}

/// Answers every call with three megabytes that need four times as much room while they are made.
struct Rows;

impl Calls for Rows {
    fn answer(
        &self,
        _: Actor,
        _: Call,
        _: Box<dyn Upload>,
        mut room: Box<dyn Room>,
    ) -> BoxFuture<'static, Result<CallAnswer, CallError>> {
        Box::pin(async move {
            room.make(12 << 20).await;
            Ok(CallAnswer::Bytes(Reply::KvGet(None), Box::new(Whole::from(vec![7u8; 3 << 20]))))
        })
    }
}

/// What a worker does after a request came, until it is ended; what its slot says of it then.
async fn ends_with<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Ends> + Send + 'static,
{
    ends_when_answered(Arc::new(Large), script).await
}

async fn ends_when_answered<F>(
    calls: Arc<dyn Calls>,
    script: impl Fn(Peer) -> F + Send + Sync + 'static,
) -> String
where
    F: Future<Output = Ends> + Send + 'static,
{
    let stage = stage(script);
    let spec = Spec::fixed(AppId::new(9, 9), calls, WALL);
    let slot = stage.proc.make_slot(Principal::Anonymous, None, spec);
    let _ = stage.ask(&slot).await;
    let gone = async {
        while slot.view().reason.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("it is ended");
    slot.view().reason
}

fn read(stream: u32) -> Vec<u8> {
    typed(WorkerKind::Call, stream, true, &Call::KvGet { space: "user".into(), key: "k".into() })
}

/// How many answers to calls of one kind are begun for a worker that takes none of their bytes.
async fn begun(calls: Arc<dyn Calls>, call: fn(u32) -> Vec<u8>) -> usize {
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let reason = ends_when_answered(calls, move |mut peer| {
        let begun = Arc::clone(&counted);
        async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            let _ = peer.until(KernelKind::Request).await;
            peer.raw(&(2..=128).step_by(2).flat_map(call).collect::<Vec<_>>()).await;
            while let Some((kind, ..)) = peer.next().await {
                if kind == KernelKind::Reply {
                    begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
            std::future::pending().await
        }
    })
    .await;
    assert!(reason.contains("does not move the bytes"), "{reason}");
    begun.load(std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test]
async fn a_worker_that_does_not_take_its_answers_holds_a_bounded_share_and_is_killed() {
    let begun = begun(Arc::new(Large), read).await;
    assert!((1..=CALLS_BYTES_MAX >> 20).contains(&begun), "{begun} answers of a megabyte were held at once");
}

#[tokio::test]
async fn answers_of_sql_that_are_longer_than_was_set_aside_count_too() {
    let batch = |stream| {
        let batch = Call::SqlBatch { space: "user".into(), binding: None, statements: Vec::new() };
        typed(WorkerKind::Call, stream, true, &batch)
    };
    let begun = begun(Arc::new(Rows), batch).await;
    let most = CALLS_BYTES_MAX / (3 << 20);
    assert!((2..=most).contains(&begun), "{begun} answers of three megabytes were held at once");
}

#[tokio::test]
async fn a_worker_that_announces_and_does_not_send_is_killed() {
    let reason = ends_with(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let _ = peer.until(KernelKind::Request).await;
        peer.typed(WorkerKind::LongCall, 2, false, &100_000u32).await;
        let (granted, body) = peer.until(KernelKind::Credit).await.expect("credit");
        assert_eq!((granted.stream, codec::decode(&body)), (2, Ok(100_000u32)));
        while peer.next().await.is_some() {}
        std::future::pending().await
    })
    .await;
    assert!(reason.contains("does not move the bytes"), "{reason}");
}

#[tokio::test]
async fn a_worker_that_announces_one_thing_and_sends_another_is_killed() {
    for (bytes, end) in [(100_000, true), (60_000, true), (100_001, false)] {
        let reason = ends_with(move |mut peer| async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            let _ = peer.until(KernelKind::Request).await;
            peer.typed(WorkerKind::LongCall, 2, false, &100_000u32).await;
            let _ = peer.until(KernelKind::Credit).await;
            let mut left = vec![0xff; bytes];
            while !left.is_empty() {
                let piece: Vec<u8> = left.drain(..left.len().min(50_000)).collect();
                peer.frame(WorkerKind::CallBody, 2, end && left.is_empty(), &piece).await;
            }
            while peer.next().await.is_some() {}
            std::future::pending().await
        })
        .await;
        assert!(reason.contains("killed for what it sent"), "{bytes}: {reason}");
    }
}

#[tokio::test]
async fn a_long_call_is_answered_and_one_that_is_given_up_ends() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        while let Some((header, _)) = peer.until(KernelKind::Request).await {
            let call = Call::KvGet { space: "user".into(), key: "k".repeat(100_000) };
            let bytes = codec::encode_long(&call, 1 << 20).expect("fits");
            peer.typed(WorkerKind::LongCall, 2, false, &(bytes.len() as u32)).await;
            let _ = peer.until(KernelKind::Credit).await;
            for (at, piece) in bytes.chunks(60_000).enumerate() {
                peer.frame(WorkerKind::CallBody, 2, at == 1, piece).await;
            }
            let (reply, _) = peer.until(KernelKind::Reply).await.expect("an answer");
            assert!(reply.stream == 2 && !reply.end);
            // The rest is not wanted: its END comes without credit.
            peer.frame(WorkerKind::CancelCall, 2, false, b"").await;
            while !peer.until(KernelKind::ReplyBody).await.expect("an end").0.end {}
            peer.answer(header.stream, b"done").await;
        }
        CLEAN
    });
    let spec = Spec::fixed(AppId::new(9, 9), Arc::new(Large), WALL);
    let slot = stage.proc.make_slot(Principal::Anonymous, None, spec);
    assert_eq!(stage.ask(&slot).await, Ok(200));
}
