//! What one app asks for is its own trouble: memory, threads, locks.

use std::process::Command;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::kernel::storage::{cartridge, db};

const STARVED: &str = "FAZT_TEST_DATA_STARVED";

async fn fill(stage: &Stage, app: AppId, docs: usize, bytes: usize) {
    let x = "x".repeat(bytes);
    for n in 0..docs {
        let body = format!(r#"{{"id":"{n:03}","title":"{:03}","x":"{x}"}}"#, docs - n);
        let put = DocCall::Write(DocWrite::Put { body, if_version: None });
        let call = Request::Docs(SpaceName::User, "notes".into(), put);
        stage.data.call(Actor::of_worker(app, person(1)), call).await.expect("puts");
    }
}

#[tokio::test]
async fn a_query_that_walks_too_far_is_told_which_index_to_declare() {
    let stage = Stage::new(&plain());
    fill(&stage, stage.app, 20, 1_000_000).await;
    // Two hundred walks over each document.
    let far: Vec<_> = (0..200).map(|n| format!(r#"{{"z{}":{n}}}"#, n % 3)).collect();
    let filter = Some(format!(r#"{{"$or":[{}]}}"#, far.join(",")));
    let find = Find { filter: filter.clone(), order: vec![("rank".into(), true)], ..Find::default() };
    let error = stage.find(person(1), SpaceName::User, find).await.expect_err("too long");
    assert_eq!(error.code, ErrorCode::InvalidQuery, "{error}");
    let wanted = r#""collections": { "notes": { "indexes": [["z0", "z1", "z2", "rank"]] } }"#;
    assert!(error.message.contains(wanted), "{error}");
    let count = stage.doc(person(1), SpaceName::User, DocCall::Count { filter }).await.expect_err("too long");
    assert!(count.message.contains(r#"[["z0", "z1", "z2"]]"#), "{count}");
    assert!(stage.find(person(1), SpaceName::User, Find { limit: Some(1), ..Find::default() }).await.is_ok());
}

#[tokio::test]
async fn apps_that_use_up_their_time_leave_threads_to_the_others() {
    let stage = Arc::new(Stage::new(&plain()));
    let far: Vec<_> = (0..200).map(|n| format!(r#"{{"z":{n}}}"#)).collect();
    let filter = format!(r#"{{"$or":[{}]}}"#, far.join(","));
    let over = Arc::new(AtomicBool::new(false));
    let mut apps = tokio::task::JoinSet::new();
    for n in 0..limits::THREADS as u128 + 2 {
        let app = AppId::new(3, n);
        stage.deploy(app, &plain()).expect("deploys");
        fill(&stage, app, 10, 300_000).await;
        let (stage, over, filter) = (Arc::clone(&stage), Arc::clone(&over), filter.clone());
        apps.spawn(async move {
            let mut slow = 0;
            while !over.load(Ordering::Relaxed) {
                let count = DocCall::Count { filter: Some(filter.clone()) };
                let call = Request::Docs(SpaceName::User, "notes".into(), count);
                let said = stage.data.call(Actor::of_worker(app, person(1)), call).await;
                slow += u64::from(said.is_err_and(|error| error.code == ErrorCode::InvalidQuery));
            }
            slow
        });
    }
    let calls = 300;
    for _ in 0..calls {
        stage.set(person(1), SpaceName::User, "k", "v").await.expect("is served");
    }
    over.store(true, Ordering::Relaxed);
    let slow: u64 = apps.join_all().await.into_iter().sum();
    assert!(slow < calls / 2, "{slow} calls that used up their time went before {calls} short ones");
}

#[tokio::test]
async fn deploys_that_hold_their_files_hold_up_nobody_else() {
    let stage = Arc::new(Stage::new(&plain()));
    let mut deploys = Vec::new();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..limits::THREADS as u128 + 2 {
        let app = AppId::new(4, n);
        stage.deploy(app, &plain()).expect("deploys");
        let who = Actor::of_worker(app, person(1));
        stage.data.call(who, Request::Kv(SpaceName::User, set("k", "v"))).await.expect("sets");
        let deploy = db::open(&stage.file(app), &cartridge::SCHEMA, Mode::Existing).expect("opens");
        deploy.execute_batch("BEGIN IMMEDIATE").expect("begins");
        deploys.push(deploy);
        let stage = Arc::clone(&stage);
        writers.spawn(async move {
            let write = stage.data.call(who, Request::Kv(SpaceName::User, set("k", "w")));
            let read = stage.data.call(who, Request::Kv(SpaceName::User, KvCall::Get { key: "k".into() }));
            // The read is behind the write and does not wait for it.
            let (write, read) = tokio::join!(write, read);
            assert!(matches!(read, Ok(Response::Value(Some(_)))), "{read:?}");
            write
        });
    }
    for _ in 0..20 {
        stage.set(person(1), SpaceName::User, "k", "v").await.expect("is served");
    }
    for deploy in deploys {
        deploy.execute_batch("COMMIT").expect("commits");
    }
    for written in writers.join_all().await {
        assert_eq!(written, Ok(Response::Version(2)));
    }
}

/// Not a test by itself: memory is bounded for the whole process, so it is used up in one of its own.
#[tokio::test]
async fn uses_up_all_memory() {
    if std::env::var_os(STARVED).is_none() {
        return;
    }
    let stage = Arc::new(Stage::new(&plain()));
    let other = AppId::new(2, 2);
    stage.deploy(other, &plain()).expect("deploys");
    let neighbour = Actor::of_worker(other, person(1));
    stage.data.call(neighbour, Request::Kv(SpaceName::User, set("k", "v"))).await.expect("sets");
    let value = "x".repeat(400_000);
    for who in 1..=30 {
        stage.set(person(who), SpaceName::User, "k", &value).await.expect("sets");
        stage.get(person(who), SpaceName::User, "k").await.expect("gets");
    }
    assert!(stage.data.connections() > 30);
    let docs = 12;
    fill(&stage, stage.app, docs, 900_000).await;
    // Less than all those connections hold, and less than all those documents.
    let bound = rusqlite::Connection::open_in_memory().expect("opens");
    bound.query_row("PRAGMA hard_heap_limit=5000000", [], |_| Ok(())).expect("bounds");
    stage.data.call(neighbour, Request::Kv(SpaceName::User, set("k", "w"))).await.expect("is served");
    assert!(stage.data.connections() < 30, "{}", stage.data.connections());
    for who in 1..=30 {
        stage.get(person(who), SpaceName::User, "k").await.expect("and so are the others");
    }
    let over = Arc::new(AtomicBool::new(false));
    let beside = tokio::spawn({
        let (stage, over) = (Arc::clone(&stage), Arc::clone(&over));
        async move {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                let call = Request::Kv(SpaceName::User, set("k", "v"));
                stage.data.call(neighbour, call).await.expect("is served");
                calls += 1;
            }
            calls
        }
    });
    for descending in [false, true] {
        let order = vec![("title".to_owned(), descending)];
        let mut find = Find { order, limit: Some(1_000), ..Find::default() };
        let mut titles = Vec::new();
        loop {
            let (items, cursor) = stage.find(person(1), SpaceName::User, find.clone()).await.expect("finds");
            assert!(items.len() < docs, "a page is 4 MiB");
            titles.extend(items.iter().map(|item| json(item)["title"].as_str().expect("text").to_owned()));
            find.cursor = cursor;
            if find.cursor.is_none() {
                break;
            }
        }
        assert_eq!(titles.len(), docs);
        assert!(titles.is_sorted_by(|a, b| if descending { a > b } else { a < b }), "{titles:?}");
    }
    over.store(true, Ordering::Relaxed);
    assert!(beside.await.expect("the neighbour was served") > 0);
    // A new index sorts a whole collection, which is larger than the memory there is.
    let many = AppId::new(5, 5);
    let old = notes(&[("m", FieldKind::Json)], &[]);
    stage.deploy(many, &old).expect("deploys");
    let raw = db::open(&stage.file(many), &cartridge::SCHEMA, Mode::Existing).expect("opens");
    raw.execute_batch(
        "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c WHERE x < 100000)
        INSERT INTO doc_1(_space, id, version, created, updated, body)
        SELECT 1, 'doc' || x, 1, 0, 0, '{\"m\":\"some words that are ' || (x * 7919 % 100003) || '\"}' FROM c",
    )
    .expect("rows");
    stage.deploy(many, &notes(&[("m", FieldKind::Json)], &[&["m"]])).expect("an index of 100,000 rows");
    stage.data.call(neighbour, Request::Kv(SpaceName::User, set("k", "x"))).await.expect("is served");
    println!("served");
}

#[test]
fn memory_is_given_back_when_another_needs_it_and_sorting_holds_no_bodies() {
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "kernel::storage::data::tests::fair::uses_up_all_memory", "--nocapture"])
        .env(STARVED, "1")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&child.stdout);
    let error = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("served"), "{said}\n{error}");
}
