//! What is deleted goes back to the disk.

use std::time::Duration;

use super::super::super::{cartridge, db};
use super::*;

const IDLE: Duration = Duration::from_secs(120);
const LARGE: usize = 256 * 1024;

/// Writes so many large values, and deletes all but the first.
async fn fill_and_delete(stage: &Stage, values: usize) {
    let value = "x".repeat(LARGE);
    for n in 0..values {
        stage.set(person(1), SpaceName::User, &n.to_string(), &value).await.expect("sets");
    }
    for n in 1..values {
        let delete = KvCall::Delete { key: n.to_string(), if_version: None };
        stage.ask(person(1), Request::Kv(SpaceName::User, delete)).await.expect("deletes");
    }
}

/// Looks for idle files until there are none.
async fn close_idle(stage: &Stage) {
    stage.later(120_000);
    while stage.data.connections() > 0 {
        stage.data.close_idle(IDLE);
        // A turn may still have it in hand.
        tokio::task::yield_now().await;
    }
}

fn bytes(stage: &Stage) -> u64 {
    std::fs::metadata(stage.file(stage.app)).expect("the file").len()
}

async fn is_whole(stage: &Stage) {
    let got = stage.get(person(1), SpaceName::User, "0").await;
    let Ok(Response::Value(Some(entry))) = got else { panic!("{got:?}") };
    assert_eq!(entry.value.len(), LARGE);
    stage.set(person(2), SpaceName::User, "k", "v").await.expect("and writing goes on");
    close_idle(stage).await;
    Cartridge::open(&stage.file(stage.app), Mode::Existing).expect("opens").check().expect("sound");
}

#[tokio::test]
async fn an_idle_file_gives_back_what_was_deleted() {
    let stage = Stage::new(&plain());
    fill_and_delete(&stage, 40).await;
    close_idle(&stage).await;
    assert!(bytes(&stage) < 1024 * 1024, "{} bytes stay", bytes(&stage));
    is_whole(&stage).await;
}

#[tokio::test]
async fn a_file_in_use_gives_back_some_now_and_then() {
    let stage = Stage::new(&plain());
    fill_and_delete(&stage, 60).await;
    let file = stage.file(stage.app);
    let pages = || -> u32 {
        let connection = db::open(&file, &cartridge::SCHEMA, Mode::Existing).expect("opens");
        connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("a number")
    };
    let (mut before, first) = (pages(), pages());
    // A call may be answered by a turn that began before its minute. Pages that only find others go too.
    let two_turns = 2 * (limits::RECLAIMED_AT_ONCE + 1);
    while before > first / 2 {
        stage.later(60_000);
        stage.set(person(1), SpaceName::User, "small", "v").await.expect("sets");
        let now = pages();
        assert!(before.saturating_sub(now) <= two_turns, "from {before} to {now} at once");
        before = now;
    }
    is_whole(&stage).await;
}

#[tokio::test]
async fn a_large_file_shrinks_in_several_looks_and_answers_meanwhile() {
    let stage = Stage::new(&plain());
    let pieces = (limits::RECLAIMED_PER_LOOK * limits::RECLAIMED_AT_ONCE) as usize * 4096;
    fill_and_delete(&stage, pieces / LARGE * 3 / 2).await;
    let full = bytes(&stage);
    stage.later(120_000);
    while bytes(&stage) == full {
        stage.data.close_idle(IDLE);
        let got = stage.get(person(1), SpaceName::User, "0").await;
        assert!(matches!(got, Ok(Response::Value(Some(_)))), "{got:?}");
        stage.later(120_000);
    }
    close_idle(&stage).await;
    assert!(bytes(&stage) < 1024 * 1024, "{} bytes stay", bytes(&stage));
    is_whole(&stage).await;
}

#[tokio::test]
async fn a_file_that_cannot_shrink_is_as_good() {
    let stage = Stage::new(&plain());
    let other = AppId::new(2, 2);
    let file = stage.file(other);
    std::fs::create_dir_all(file.parent().expect("folder")).expect("folder");
    let fixed = db::Schema { shrinks: false, ..cartridge::SCHEMA };
    drop(db::open(&file, &fixed, Mode::Create).expect("a file of before"));
    let stage = Stage { app: other, ..stage };
    stage.deploy(other, &plain()).expect("deploys");
    fill_and_delete(&stage, 20).await;
    close_idle(&stage).await;
    assert!(bytes(&stage) > 20 * LARGE as u64, "what is free is used again, and stays");
    is_whole(&stage).await;
}
