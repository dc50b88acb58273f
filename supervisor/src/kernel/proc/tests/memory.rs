//! Who goes when memory is short, with processes that a script plays.

use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::control::{ProcessKind, State};
use fazt_ipc::ids::{AppId, UserId};

use super::super::Slot;
use super::super::pressure;
use super::fake::{Peer, Stage, stage_with};
use crate::kernel::storage::sql::{Jailed, Life, Place, Tenant};

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

/// A process of raw SQL for an app that rests.
async fn resting(stage: &Stage, number: u64) -> (Jailed, Arc<Life>) {
    resting_at(stage, number, Place::App).await
}

async fn resting_at(stage: &Stage, number: u64, place: Place) -> (Jailed, Arc<Life>) {
    let life = Arc::new(Life::default());
    let tenant =
        Tenant { app: AppId::new(number, number.into()), place, read_only: false, life: Arc::clone(&life) };
    let jailed = stage.proc.stores().store(tenant).await.expect("a process");
    life.is_called(1);
    life.rests();
    (jailed, life)
}

fn metric(stage: &Stage, name: &str) -> u64 {
    let text = stage.proc.metrics_text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("a metric");
    line.parse().expect("a number")
}

#[tokio::test]
async fn a_process_of_raw_sql_counts_and_goes_before_a_worker_that_was_idle_for_longer() {
    const BYTES: u64 = 30 << 20;
    let stage = stage_with(Peer::serve, |options| options.budget_bytes = Some(100 << 20));
    *stage.orders.memory_bytes.lock().expect("lock") = BYTES;
    let workers = [stage.app(2), stage.app(3)];
    assert_eq!(stage.ask(&workers[0]).await, Ok(200));
    let (jailed, life) = resting(&stage, 9).await;
    let rows = stage.proc.processes().await;
    let seen = rows.iter().find(|row| row.kind == ProcessKind::Sql).expect("a row");
    assert_eq!((seen.mem_bytes, seen.state, seen.principal.as_str()), (BYTES, State::Idle, "app"));
    assert_eq!((metric(&stage, "fazt_sql_processes"), metric(&stage, "fazt_sql_memory_bytes")), (1, BYTES));
    assert_eq!(metric(&stage, "fazt_workers_memory_bytes"), 2 * BYTES);
    assert_eq!(stage.ask(&workers[1]).await, Ok(200));
    assert!(life.idle_since().is_some(), "three of 30 MiB fit");
    // The next one does not. Whoever is told closes its socket.
    let told = Arc::clone(&life);
    let closing = tokio::spawn(async move {
        told.told().await;
        drop(jailed.socket);
        jailed.exited.await.expect("its end")
    });
    assert_eq!(stage.ask(&stage.app(4)).await, Ok(200));
    closing.await.expect("it was told");
    assert!(workers.iter().all(|slot| slot.has_workers()), "a worker would take longer to come back");
    assert_eq!(metric(&stage, "fazt_sql_processes"), 0);
    assert_eq!(metric(&stage, "fazt_worker_evictions_total"), 1);
}

#[tokio::test]
async fn the_owners_word_ends_processes_of_raw_sql_of_one_app() {
    let stage = stage_with(Peer::serve, |_| {});
    let (jailed, _) = resting(&stage, 9).await;
    let (other, other_life) = resting(&stage, 8).await;
    assert_eq!(stage.proc.kill(AppId::new(9, 9)), 1);
    jailed.exited.await.expect("its end");
    assert_eq!(stage.proc.hibernate(AppId::new(8, 8)), 1);
    other_life.told().await;
    assert_eq!(stage.proc.processes().await.len(), 1, "it may take its time");
    drop(other);
}

#[tokio::test]
async fn that_an_app_is_quarantined_is_told_once() {
    let stage = stage_with(Peer::serve, |_| {});
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    stage.proc.on_quarantine(move |app, why| list.lock().expect("lock").push((app, why.to_owned())));
    assert_eq!(stage.ask(&stage.slot).await, Ok(200));
    for _ in 0..2 {
        stage.proc.stores().compromised(stage.app, "its raw SQL lied");
    }
    until(&stage.slot, State::Quarantined).await;
    assert_eq!(*told.lock().expect("lock"), [(stage.app, "its raw SQL lied".to_owned())]);
    assert_eq!(metric(&stage, "fazt_app_quarantines_total"), 1);
}

#[tokio::test]
async fn whoever_may_act_no_more_has_no_process_of_raw_sql_either() {
    let stage = stage_with(Peer::serve, |_| {});
    let (anna, olga) = (UserId::new(1, 1), UserId::new(1, 2));
    let (in_one, _) = resting_at(&stage, 8, Place::User(anna)).await;
    let (in_other, _) = resting_at(&stage, 9, Place::User(anna)).await;
    let _others = [resting(&stage, 8).await, resting_at(&stage, 8, Place::User(olga)).await];
    stage.proc.end(anna, Some(AppId::new(8, 8)));
    in_one.exited.await.expect("its end");
    assert_eq!(metric(&stage, "fazt_sql_processes"), 3);
    stage.proc.end(anna, None);
    in_other.exited.await.expect("its end");
    assert_eq!(metric(&stage, "fazt_sql_processes"), 2);
}
