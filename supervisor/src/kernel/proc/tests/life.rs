//! The lifecycle with processes that a script plays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fazt_ipc::control::State;
use fazt_ipc::wire::{Failure, FailureKind, KernelKind, WorkerKind};

use super::super::DispatchError;
use super::super::lifecycle::Event;
use super::fake::{CLEAN, Ends, Peer, stage, stage_with};

#[tokio::test]
async fn an_idle_app_hibernates_and_wakes_again() {
    let stage = stage_with(Peer::serve, |options| options.idle = Duration::from_millis(30));
    for _ in 0..2 {
        assert_eq!(stage.get("/").await, Ok((200, Bytes::from("hello"))));
        stage.until(State::Hibernated).await;
    }
    assert!(stage.proc.metrics_text().contains("fazt_worker_wakes_total 2\n"));
}

#[tokio::test]
async fn a_full_queue_and_a_worker_that_does_not_come_have_their_answers() {
    let stage = Arc::new(stage_with(
        |mut peer| async move {
            // Takes the app and never says that it is loaded.
            while peer.next().await.is_some() {}
            CLEAN
        },
        |options| {
            options.queue = 1;
            options.wake_deadline = Duration::from_millis(200);
        },
    ));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..70 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move { stage.get("/").await });
    }
    let mut overloaded = 0;
    let mut late = 0;
    for _ in 0..6 {
        match tasks.join_next().await.expect("a task").expect("a task") {
            Err(DispatchError::Overloaded) => overloaded += 1,
            Err(DispatchError::WakeTimeout) => late += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(overloaded >= 5 && late <= 1, "{overloaded} {late}");
}

#[tokio::test]
async fn crashes_back_off_and_say_when_to_come_back() {
    let stage = stage(|mut peer| async move {
        let _ = peer.until(KernelKind::Request).await;
        Ends { code: -1, signal: 11, oom: false }
    });
    let mut backoff = None;
    for _ in 0..10 {
        match stage.get("/").await {
            Err(DispatchError::Died) => {}
            Err(DispatchError::Backoff(wait)) => {
                backoff = Some(wait);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(backoff.expect("a wait") > Duration::ZERO);
    assert_eq!(stage.proc.snapshot().troubled[0].state, State::Backoff);
    assert!(stage.proc.snapshot().troubled[0].reason.contains("signal 11"));
    stage.until(State::Hibernated).await;
}

#[tokio::test]
async fn a_forbidden_system_call_quarantines_until_the_owner_wakes_the_app() {
    let lives = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&lives);
    let stage = stage(move |mut peer| {
        let counter = Arc::clone(&counter);
        async move {
            if peer.until(KernelKind::Start).await.is_none() {
                return CLEAN;
            }
            if counter.fetch_add(1, Ordering::Relaxed) == 0 {
                return Ends { code: -1, signal: 31, oom: false };
            }
            let loaded = fazt_ipc::wire::worker::Loaded { fetch: true, ..Default::default() };
            peer.typed(WorkerKind::Loaded, 0, false, &loaded).await;
            while let Some((header, _)) = peer.until(KernelKind::Request).await {
                peer.answer(header.stream, b"clean").await;
            }
            CLEAN
        }
    });
    let folder = stage.data.path().join("apps").join(stage.app.to_string());
    std::fs::create_dir_all(&folder).expect("the app's folder");
    assert!(stage.get("/").await.is_err());
    stage.until(State::Quarantined).await;
    assert_eq!(stage.get("/").await, Err(DispatchError::Quarantined));
    let mark = folder.join("quarantined");
    assert!(mark.exists(), "a restart of the server does not lift it");
    stage.proc.kill(stage.app);
    stage.proc.hibernate(stage.app);
    assert_eq!(stage.get("/").await, Err(DispatchError::Quarantined));
    stage.proc.shared.pardon(stage.app);
    assert_eq!(stage.proc.come_up(&stage.slot, Event::Wake).await, Ok(1));
    assert!(!mark.exists());
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("clean"))));
}

#[tokio::test]
async fn an_app_that_does_not_load_fails_with_its_reason() {
    let stage = stage(|mut peer| async move {
        if peer.until(KernelKind::Start).await.is_some() {
            let failure = Failure {
                kind: FailureKind::Load,
                message: "SyntaxError: x".into(),
                stack: "    at server.js:1:1".into(),
            };
            peer.typed(WorkerKind::LoadFailed, 0, false, &failure).await;
        }
        Ends { code: 1, signal: 0, oom: false }
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::LoadFailed));
    let (lines, _) = stage.proc.logs(stage.app, 0).await;
    assert!(lines.iter().any(|line| line.text.contains("SyntaxError") && line.origin == "server.js:1"));
}

#[tokio::test]
async fn a_worker_killed_for_memory_answers_so_and_another_takes_over() {
    let lives = Arc::new(AtomicU32::new(0));
    let stage = stage(move |mut peer| {
        let lives = Arc::clone(&lives);
        async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            let first = lives.fetch_add(1, Ordering::Relaxed) == 0;
            while let Some((header, _)) = peer.until(KernelKind::Request).await {
                if first {
                    return Ends { code: -1, signal: 9, oom: true };
                }
                peer.answer(header.stream, b"next").await;
            }
            CLEAN
        }
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::OutOfMemory));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("next"))));
}

#[tokio::test]
async fn a_torn_worker_is_replaced_and_nobody_else_notices() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        while let Some((header, body)) = peer.until(KernelKind::Request).await {
            let request: fazt_ipc::wire::kernel::Request<'_> =
                fazt_ipc::codec::decode(&body).expect("a request");
            if request.url.ends_with("/loop") {
                let failure = Failure {
                    kind: FailureKind::CpuExceeded,
                    message: "too long".into(),
                    stack: String::new(),
                };
                peer.typed(WorkerKind::Failed, header.stream, false, &failure).await;
                peer.frame(WorkerKind::Settled, header.stream, false, b"").await;
            } else {
                let text = peer.generation.to_string();
                peer.answer(header.stream, text.as_bytes()).await;
            }
        }
        CLEAN
    });
    let (_, first) = stage.get("/").await.expect("an answer");
    assert_eq!(stage.get("/loop").await, Err(DispatchError::CpuExceeded));
    let (_, second) = stage.get("/").await.expect("an answer");
    assert_ne!(first, second, "another process answers");
    assert!(stage.proc.snapshot().troubled.is_empty());
}

#[tokio::test]
async fn cpu_time_burnt_without_a_word_ends_the_worker() {
    let stage = Arc::new(stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        // Has the request and is never heard of again.
        while peer.next().await.is_some() {}
        CLEAN
    }));
    let orders = Arc::clone(&stage.orders);
    let burn = tokio::spawn(async move {
        loop {
            *orders.cpu_us.lock().expect("lock") += 100_000;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::CpuExceeded));
    burn.abort();
    stage.until(State::Hibernated).await;
    assert!(!stage.orders.kills.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn a_worker_that_waits_without_burning_is_left_alone() {
    let stage = Arc::new(stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        let (header, _) = peer.until(KernelKind::Request).await.expect("a request");
        tokio::time::sleep(Duration::from_millis(1200)).await;
        peer.answer(header.stream, b"late").await;
        while peer.next().await.is_some() {}
        CLEAN
    }));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("late"))));
}

#[tokio::test]
async fn a_request_past_its_wall_time_fails_alone() {
    let stage = Arc::new(stage(|mut peer| async move {
        if peer.load().await.is_none() {
            return CLEAN;
        }
        // The first request is never answered; its abort is obeyed.
        let _ = peer.until(KernelKind::Request).await;
        while let Some((kind, header, _)) = peer.next().await {
            match kind {
                KernelKind::Request => peer.answer(header.stream, b"fine").await,
                KernelKind::Abort => peer.frame(WorkerKind::Settled, header.stream, false, b"").await,
                _ => {}
            }
        }
        CLEAN
    }));
    assert_eq!(stage.get("/").await, Err(DispatchError::WallExceeded));
    assert_eq!(stage.get("/").await, Ok((200, Bytes::from("fine"))));
    assert!(stage.proc.metrics_text().contains("fazt_worker_wakes_total 1\n"), "the same worker");
    let (lines, _) = stage.proc.logs(stage.app, 0).await;
    assert!(lines.iter().any(|line| line.text.contains("limits.wallS")));
}

#[tokio::test]
async fn killing_and_draining_leave_no_process() {
    let stage = stage(Peer::serve);
    stage.get("/").await.expect("an answer");
    assert_eq!(stage.proc.kill(stage.app), 1);
    stage.until(State::Hibernated).await;
    stage.get("/").await.expect("an answer");
    stage.proc.drain().await;
    assert!(!stage.slot.has_workers());
    assert_eq!(stage.get("/").await, Err(DispatchError::Stopping));
}

#[tokio::test]
async fn as_many_requests_as_a_worker_takes_all_have_answers_where_cores_allow_another() {
    let stage = Arc::new(stage_with(
        |mut peer| async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            // Holds what it has until it has enough.
            let mut held = Vec::new();
            while let Some((header, _)) = peer.until(KernelKind::Request).await {
                held.push(header.stream);
                if held.len() == 64 || peer.generation > 1 && held.len() == 16 {
                    let text = peer.generation.to_string();
                    for stream in held.drain(..) {
                        peer.answer(stream, text.as_bytes()).await;
                    }
                }
            }
            CLEAN
        },
        |options| options.cores = 2,
    ));
    // The first worker answers only when it is full, a second one in smaller lots.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move { stage.get("/").await });
    }
    while let Some(answer) = tasks.join_next().await {
        assert!(answer.expect("a task").is_ok());
    }
}

/// Requests that come while the first worker starts are more than it takes. Nobody asks again for them.
#[tokio::test]
async fn those_that_waited_while_a_worker_started_get_another() {
    let lives = Arc::new(AtomicU32::new(0));
    let (answered, mut second) = tokio::sync::watch::channel(false);
    let answered = Arc::new(answered);
    let stage = Arc::new(stage_with(
        move |mut peer| {
            let (lives, answered) = (Arc::clone(&lives), Arc::clone(&answered));
            async move {
                if peer.until(KernelKind::Start).await.is_none() {
                    return CLEAN;
                }
                let first = lives.fetch_add(1, Ordering::Relaxed) == 0;
                let mut held = Vec::new();
                while first && held.len() < 64 {
                    let Some((header, _)) = peer.until(KernelKind::Request).await else { return CLEAN };
                    held.push(header.stream);
                }
                let loaded = fazt_ipc::wire::worker::Loaded { fetch: true, ..Default::default() };
                peer.typed(WorkerKind::Loaded, 0, false, &loaded).await;
                if first {
                    let _ = answered.subscribe().wait_for(|over| *over).await;
                }
                for stream in held {
                    peer.answer(stream, b"first").await;
                }
                while let Some((header, _)) = peer.until(KernelKind::Request).await {
                    peer.answer(header.stream, b"second").await;
                    answered.send_replace(true);
                }
                CLEAN
            }
        },
        |options| options.cores = 2,
    ));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..70 {
        let stage = Arc::clone(&stage);
        tasks.spawn(async move { stage.get("/").await });
    }
    second.wait_for(|over| *over).await.expect("a second worker answers while the first holds what it has");
    while let Some(answer) = tasks.join_next().await {
        assert!(answer.expect("a task").is_ok());
    }
}

#[tokio::test]
async fn a_core_that_is_used_up_gets_a_second_worker_that_takes_the_next_requests() {
    let stage = Arc::new(stage_with(
        |mut peer| async move {
            if peer.load().await.is_none() {
                return CLEAN;
            }
            while let Some((header, body)) = peer.until(KernelKind::Request).await {
                let request: fazt_ipc::wire::kernel::Request<'_> =
                    fazt_ipc::codec::decode(&body).expect("a request");
                if !request.url.ends_with("/held") {
                    peer.answer(header.stream, peer.generation.to_string().as_bytes()).await;
                }
            }
            CLEAN
        },
        |options| options.cores = 2,
    ));
    let (_, first) = stage.get("/").await.expect("an answer");
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let stage = Arc::clone(&stage);
        held.spawn(async move { stage.get("/held").await });
    }
    let orders = Arc::clone(&stage.orders);
    let burn = tokio::spawn(async move {
        let start = std::time::Instant::now();
        loop {
            *orders.cpu_us.lock().expect("lock") = start.elapsed().as_micros() as u64;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let other = async {
        while stage.get("/").await.is_ok_and(|(_, by)| by == first) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), other).await.expect("a second worker in time");
    assert_eq!(stage.slot.view().links.len(), 2, "and the first goes on");
    burn.abort();
    held.abort_all();
}

#[tokio::test]
async fn a_worker_that_ends_itself_for_memory_is_told_as_such() {
    let stage = stage(|mut peer| async move {
        if peer.load().await.is_some() {
            let _ = peer.until(KernelKind::Request).await;
        }
        Ends { code: fazt_ipc::launch::EXIT_MEMORY, signal: 0, oom: false }
    });
    assert_eq!(stage.get("/").await, Err(DispatchError::OutOfMemory));
    let (lines, _) = stage.proc.logs(stage.app, 0).await;
    assert!(lines.iter().any(|line| line.text.contains("limits.memoryMiB")), "{lines:?}");
}

#[tokio::test]
async fn the_end_of_the_launcher_is_noticed_at_once() {
    let data = tempfile::tempdir().expect("a folder");
    let (tell, told) = tokio::sync::oneshot::channel();
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .expect("a pair");
    let options = super::super::ProcOptions::new(data.path().to_owned());
    let _proc = super::super::Proc::start(ours, options, move || {
        let _ = tell.send(());
    })
    .expect("proc");
    drop(theirs);
    assert_eq!(told.await, Ok(()));
}
