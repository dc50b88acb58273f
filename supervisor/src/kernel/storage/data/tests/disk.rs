//! A disk that fails: what is acknowledged is there, what is not known is not built upon.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::super::disk::{Disk, wal_of};
use super::*;

/// Loses the last page of the WAL, as a disk may that fails to write it.
fn lose(cartridge: &Path) {
    let mut wal = OpenOptions::new().write(true).open(wal_of(cartridge)).expect("a WAL");
    let bytes = wal.metadata().expect("its size").len();
    wal.seek(SeekFrom::Start(bytes - 4_000)).expect("seeks");
    wal.write_all(&[0; 4_000]).expect("writes");
}

struct Failing {
    stage: Stage,
    /// The syncs of the stage's app fail.
    broken: Arc<AtomicBool>,
    /// And what was written is lost.
    loses: Arc<AtomicBool>,
}

fn failing() -> Failing {
    let mut stage = Stage::new(&plain());
    let (broken, loses) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (fails, drops, app) = (Arc::clone(&broken), Arc::clone(&loses), stage.app.to_string());
    let disk = Disk::new(
        Arc::new(move |cartridge, file| {
            if !fails.load(Ordering::Relaxed) || !cartridge.to_string_lossy().contains(&app) {
                return file.sync_data();
            }
            if drops.swap(false, Ordering::Relaxed) {
                lose(cartridge);
            }
            Err(io::Error::from_raw_os_error(5))
        }),
        Arc::new(|_| Ok(u64::MAX)),
    );
    let clock = Arc::clone(&stage.clock);
    let now = Arc::new(move || clock.load(Ordering::Relaxed));
    stage.data = Data::on(disk, stage.folder.path().to_owned(), [7; 32], now);
    Failing { stage, broken, loses }
}

fn text(answer: Result<Response, DataError>) -> Option<String> {
    match answer {
        Ok(Response::Value(entry)) => entry.map(|entry| String::from_utf8(entry.value).expect("text")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_before_the_file_is_made_good() {
    let Failing { stage, broken, loses } = failing();
    let (who, space) = (person(1), SpaceName::User);
    let other = AppId::new(2, 2);
    stage.deploy(other, &plain()).expect("deploys");
    let neighbour = Actor::of_worker(other, who);
    stage.set(who, space, "kept", "1").await.expect("sets");
    broken.store(true, Ordering::Relaxed);
    loses.store(true, Ordering::Relaxed);
    let error = stage.set(who, space, "lost", "1").await.expect_err("not on the disk");
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("not known"), "{error}");
    assert!(!loses.load(Ordering::Relaxed), "the page was lost");
    for round in 0..3 {
        let error = stage.set(who, space, "lost", "2").await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        assert!(error.message.contains("nothing is written"), "{round}: {error}");
        let error = stage.ask(who, Request::Spaces(SpaceCall::Create { name: "x".into() })).await;
        assert_eq!(code(error), ErrorCode::Unavailable);
        assert_eq!(text(stage.get(who, space, "kept").await).as_deref(), Some("1"), "reading goes on");
        assert_eq!(
            text(stage.get(who, space, "lost").await),
            None,
            "what the disk does not have is not shown"
        );
        stage.data.call(neighbour, Request::Kv(space, set("k", "v"))).await.expect("another app's file");
        stage.data.close_idle(std::time::Duration::ZERO);
        stage.later(limits::RECOVER_MS);
    }
    broken.store(false, Ordering::Relaxed);
    while stage.set(who, space, "again", "1").await.is_err() {
        stage.later(limits::RECOVER_MS);
    }
    // As after a power cut: another engine, on a copy of what the disk has.
    let copy = tempfile::tempdir().expect("folder");
    let (from, to) = (stage.file(stage.app), copy.path().join(stage.app.to_string()));
    std::fs::create_dir(&to).expect("folder");
    std::fs::copy(&from, to.join("app.fazt")).expect("copies");
    std::fs::copy(wal_of(&from), to.join("app.fazt-wal")).expect("copies");
    let later = engine(copy.path().to_owned(), &stage.clock);
    for (key, expect) in [("kept", Some("1")), ("lost", None), ("again", Some("1"))] {
        let call = Request::Kv(space, KvCall::Get { key: key.into() });
        let got = later.call(Actor::of_worker(stage.app, who), call).await;
        assert_eq!(text(got).as_deref(), expect, "{key}");
    }
    Cartridge::open(&to.join("app.fazt"), Mode::Existing).expect("opens").check().expect("sound");
}

#[tokio::test]
async fn nobody_else_writes_a_file_whose_sync_failed() {
    let Failing { stage, broken, .. } = failing();
    let (who, space) = (person(1), SpaceName::User);
    assert_eq!(stage.data.make_good(stage.app).ok(), Some(()), "nothing is known against it");
    stage.set(who, space, "k", "v").await.expect("sets");
    broken.store(true, Ordering::Relaxed);
    assert_eq!(code(stage.set(who, space, "k", "w").await), ErrorCode::Unavailable);
    let error = stage.data.make_good(stage.app).expect_err("the disk goes on failing");
    assert!(matches!(error, StorageError::Disk { .. }), "{error}");
    broken.store(false, Ordering::Relaxed);
    stage.data.make_good(stage.app).expect("it works again");
    stage.set(who, space, "k", "x").await.expect("no turn has to make it good again");
    stage.data.suspect(stage.app);
    broken.store(true, Ordering::Relaxed);
    let error = stage.set(who, space, "k", "y").await.expect_err("another's sync failed");
    assert!(error.message.contains("nothing is written"), "{error}");
    broken.store(false, Ordering::Relaxed);
    stage.data.make_good(stage.app).expect("it works again");
    assert_eq!(text(stage.get(who, space, "k").await).as_deref(), Some("x"));
}

#[tokio::test]
async fn the_last_bytes_of_a_disk_are_for_deleting_and_for_the_kernel() {
    let mut stage = Stage::new(&plain());
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let (bytes, clock) = (Arc::clone(&free), Arc::clone(&stage.clock));
    let disk =
        Disk::new(Arc::new(|_, file| file.sync_data()), Arc::new(move |_| Ok(bytes.load(Ordering::Relaxed))));
    let apps = stage.folder.path().to_owned();
    stage.data = Data::on(disk, apps, [7; 32], Arc::new(move || clock.load(Ordering::Relaxed)));
    let (who, space) = (person(1), SpaceName::User);
    stage.set(who, space, "k", "v").await.expect("sets");
    let delete = || Request::Kv(space, KvCall::Delete { key: "k".into(), if_version: None });
    free.store(limits::RESERVE_BYTES - 1, Ordering::Relaxed);
    // It is looked every so often.
    let error = loop {
        if let Err(error) = stage.set(who, space, "k", "v").await {
            break error;
        }
    };
    assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
    assert!(error.message.contains("no room"), "{error}");
    assert_eq!(text(stage.get(who, space, "k").await).as_deref(), Some("v"), "reading goes on");
    assert_eq!(stage.ask(who, delete()).await, Ok(Response::Deleted(true)), "and deleting");
    free.store(0, Ordering::Relaxed);
    while stage.ask(who, delete()).await.is_ok() {}
    free.store(u64::MAX, Ordering::Relaxed);
    while stage.set(who, space, "k", "w").await.is_err() {}
    assert_eq!(text(stage.get(who, space, "k").await).as_deref(), Some("w"));
}

#[tokio::test]
async fn writers_whose_sync_failed_are_all_told() {
    let Failing { stage, broken, .. } = failing();
    let stage = Arc::new(stage);
    stage.set(person(1), SpaceName::User, "k", "v").await.expect("sets");
    broken.store(true, Ordering::Relaxed);
    let mut calls = tokio::task::JoinSet::new();
    for writer in 1..=40 {
        let stage = Arc::clone(&stage);
        calls.spawn(async move { stage.set(person(writer), SpaceName::User, "k", "v").await });
    }
    for said in calls.join_all().await {
        assert_eq!(code(said), ErrorCode::Unavailable, "nothing is acknowledged");
    }
    broken.store(false, Ordering::Relaxed);
    // A turn that began before may still refuse.
    while stage.set(person(1), SpaceName::User, "k", "w").await.is_err() {
        stage.later(limits::RECOVER_MS);
    }
    assert_eq!(text(stage.get(person(1), SpaceName::User, "k").await).as_deref(), Some("w"));
}
