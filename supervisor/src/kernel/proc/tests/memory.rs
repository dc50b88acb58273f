//! Who goes when memory is short, with processes that a script plays.

use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::control::State;

use super::super::Slot;
use super::super::pressure;
use super::fake::{Peer, Stage, stage_with};

async fn until(slot: &Slot, state: State) {
    let mut states = slot.watch();
    let reached = states.wait_for(|now| *now == state);
    tokio::time::timeout(Duration::from_secs(20), reached).await.expect("in time").expect("the slot");
}

/// The kernel's word is an urgent byte here: it raises the same event on a socket as pressure does on its file.
#[tokio::test]
async fn under_pressure_the_longest_idle_go_one_at_a_time_and_busy_ones_stay() {
    let stage = stage_with(
        |mut peer: Peer| async move {
            if peer.load().await.is_some() {
                while let Some((header, body)) = peer.until(fazt_ipc::wire::KernelKind::Request).await {
                    let request: fazt_ipc::wire::kernel::Request<'_> =
                        fazt_ipc::codec::decode(&body).expect("a request");
                    if !request.url.ends_with("/held") {
                        peer.answer(header.stream, b"hello").await;
                    }
                }
            }
            super::fake::CLEAN
        },
        |_| {},
    );
    let stage = Arc::new(stage);
    let held = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.get("/held").await }
    });
    let idle = [stage.app(2), stage.app(3)];
    for slot in &idle {
        assert_eq!(stage.ask(slot).await, Ok(200));
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let kernel = std::net::TcpStream::connect(listener.local_addr().expect("its address")).expect("a socket");
    let (ours, _) = listener.accept().expect("a socket");
    ours.set_nonblocking(true).expect("a socket");
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(ours));
    let watch = tokio::spawn(pressure::watch(Arc::clone(&stage.proc.shared), Some(file)));
    for gone in 0..idle.len() {
        rustix::net::send(&kernel, b"!", rustix::net::SendFlags::OOB).expect("an urgent byte");
        until(&idle[gone], State::Hibernated).await;
        for slot in &idle[gone + 1..] {
            assert!(slot.has_workers(), "one at a time");
        }
        assert!(stage.slot.has_workers(), "the busy one stays");
    }
    assert!(stage.proc.metrics_text().contains("fazt_worker_evictions_total 2\n"));
    watch.abort();
    held.abort();
}

async fn wake_all(stage: &Arc<Stage>, apps: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 2..2 + apps {
        let stage = Arc::clone(stage);
        tasks.spawn(async move { stage.ask(&stage.app(number)).await });
    }
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.expect("a task"), Ok(200), "nobody is refused");
    }
}

#[tokio::test]
async fn a_burst_of_waking_makes_room_before_it_takes_it() {
    const BYTES: u64 = 30 << 20;
    let stage = Arc::new(stage_with(Peer::serve, |options| options.budget_bytes = Some(100 << 20)));
    *stage.orders.memory_bytes.lock().expect("lock") = BYTES;
    wake_all(&stage, 12).await;
    let most = stage.orders.assigned.lock().expect("lock").1;
    assert!(most as u64 * BYTES <= 100 << 20, "{most} workers of 30 MiB at once in 100 MiB");
    assert!(most > 1, "and the budget is used");
}

#[tokio::test]
async fn small_workers_are_kept_as_long_as_they_fit() {
    let stage = Arc::new(stage_with(Peer::serve, |options| options.budget_bytes = Some(100 << 20)));
    wake_all(&stage, 80).await;
    assert_eq!(stage.orders.assigned.lock().expect("lock").0.len(), 80, "each uses 1 MiB, whatever its cap");
    assert!(stage.proc.metrics_text().contains("fazt_worker_evictions_total 0\n"));
}
