//! Many apps and people at once: connections, quotas, damage.

use std::io::{Seek, SeekFrom, Write};

use super::*;

#[tokio::test]
async fn connections_are_bounded_and_nobody_gets_another_s() {
    let stage = Stage::new(&plain());
    let apps: Vec<AppId> = (0..20).map(|n| AppId::new(2, n)).collect();
    for app in &apps {
        stage.deploy(*app, &plain()).expect("deploys");
    }
    for round in 0..3 {
        for who in 1..=8 {
            for app in &apps {
                let leave = Actor::of_worker(*app, person(who));
                let key = format!("{app} {who}");
                if round == 0 {
                    stage
                        .data
                        .call(leave, Request::Kv(SpaceName::User, set("who", &key)))
                        .await
                        .expect("sets");
                }
                let got = stage
                    .data
                    .call(leave, Request::Kv(SpaceName::User, KvCall::Get { key: "who".into() }))
                    .await;
                let Ok(Response::Value(Some(entry))) = got else { panic!("{got:?}") };
                assert_eq!(String::from_utf8(entry.value).expect("text"), key);
                let open = stage.data.connections();
                assert!(open <= limits::CONNECTIONS_MAX, "{open}");
            }
        }
    }
    stage.later(120_000);
    // A read is answered before its turn ends, and what a thread still has in hand is left alone.
    while stage.data.connections() > 0 {
        stage.data.close_idle(std::time::Duration::from_secs(120));
        tokio::task::yield_now().await;
    }
    let leave = Actor::of_worker(apps[3], person(5));
    let got = stage.data.call(leave, Request::Kv(SpaceName::User, KvCall::Get { key: "who".into() })).await;
    assert!(matches!(got, Ok(Response::Value(Some(_)))), "{got:?}");
}

#[tokio::test]
async fn a_removed_app_s_data_is_not_opened_again() {
    let stage = Stage::new(&plain());
    stage.set(person(1), SpaceName::User, "k", "v").await.expect("sets");
    stage.data.close(stage.app);
    assert_eq!(stage.data.connections(), 0);
    stage.set(person(1), SpaceName::User, "k", "w").await.expect("closing is not for good");
    stage.data.remove(stage.app);
    // Its files are still there, and nothing looks at them.
    for _ in 0..2 {
        let error = stage.get(person(1), SpaceName::User, "k").await.expect_err("removed");
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        assert!(error.message.contains("removed"), "{error}");
        stage.set(person(1), SpaceName::User, "k", "x").await.expect_err("removed");
        assert_eq!(stage.data.connections(), 0);
    }
    assert!(stage.data.is_removed(stage.app) && !stage.data.is_removed(AppId::new(2, 2)));
}

#[tokio::test]
async fn writers_at_once_are_all_counted() {
    let stage = Arc::new(Stage::new(&plain()));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..64u128 {
        let stage = Arc::clone(&stage);
        writers.spawn(async move {
            let mut conflicts = 0;
            for _ in 0..5 {
                loop {
                    let who = person(writer % 16 + 1);
                    let Ok(Response::Value(entry)) = stage.get(who, SpaceName::App, "count").await else {
                        panic!()
                    };
                    let (count, version) = entry.map_or((0, 0), |entry| {
                        (
                            String::from_utf8(entry.value).expect("text").parse::<u64>().expect("number"),
                            entry.version,
                        )
                    });
                    let KvCall::Set { key, kind, meta, ttl_s, expires_unix_ms, .. } = set("count", "") else {
                        panic!()
                    };
                    let value = (count + 1).to_string().into_bytes();
                    let call = KvCall::Set {
                        key,
                        value,
                        kind,
                        meta,
                        ttl_s,
                        expires_unix_ms,
                        if_version: Some(version),
                    };
                    match stage.ask(who, Request::Kv(SpaceName::App, call)).await {
                        Ok(_) => break,
                        Err(error) if error.code == ErrorCode::Conflict => conflicts += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            conflicts
        });
    }
    let conflicts: u64 = writers.join_all().await.into_iter().sum();
    let Ok(Response::Value(Some(entry))) = stage.get(person(1), SpaceName::App, "count").await else {
        panic!()
    };
    assert_eq!(String::from_utf8(entry.value).expect("text"), "320");
    assert_eq!(entry.version, 320);
    println!("{conflicts} conflicts");
}

#[tokio::test]
async fn a_quota_refuses_the_writer_and_reading_and_deleting_go_on() {
    let stage = Stage::new(&DataSchema { storage_mib: 1, ..plain() });
    let value = "x".repeat(100_000);
    let mut stored = 0;
    let error = loop {
        match stage.set(person(1), SpaceName::User, &format!("k{stored}"), &value).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "there is a quota");
    };
    assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
    assert!(error.message.contains("1 MiB") && stored >= 9, "{stored}: {error}");
    assert!(matches!(stage.get(person(1), SpaceName::User, "k0").await, Ok(Response::Value(Some(_)))));
    for n in 0..5 {
        let delete = KvCall::Delete { key: format!("k{n}"), if_version: None };
        assert_eq!(
            stage.ask(person(1), Request::Kv(SpaceName::User, delete)).await,
            Ok(Response::Deleted(true))
        );
    }
    stage.set(person(1), SpaceName::User, "again", &value).await.expect("there is room again");
}

#[tokio::test]
async fn rows_have_a_quota_that_counts_what_comes_and_what_goes() {
    let stage = Stage::new(&DataSchema { storage_mib: 1, ..plain() });
    let who = person(1);
    let batch = |from: u64, count: u64, gone: bool| {
        let change = |n: u64| {
            let id = format!("{n}");
            if gone {
                DocWrite::Delete { id, if_version: None }
            } else {
                DocWrite::Insert { body: format!(r#"{{"id":"{id}"}}"#) }
            }
        };
        DocCall::Batch((from..from + count).map(change).collect())
    };
    let left = limits::ROWS_PER_MIB - 192;
    for from in (0..left).step_by(1_000) {
        stage.doc(who, SpaceName::User, batch(from, 1_000, false)).await.expect("there is room");
    }
    for n in 0..192 {
        stage.set(who, SpaceName::User, &format!("k{n}"), "v").await.expect("there is room");
    }
    for _ in 0..2 {
        let error = stage.set(who, SpaceName::User, "more", "v").await.expect_err("a quota");
        assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
        assert!(error.message.contains("8192 keys and documents"), "{error}");
        let error = stage.doc(who, SpaceName::App, batch(90_000, 1, false)).await.expect_err("a quota");
        assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
        // What is opened anew has not forgotten.
        stage.data.close(stage.app);
    }
    stage.set(who, SpaceName::User, "k0", "changed").await.expect("changing adds no row");
    stage.doc(who, SpaceName::User, batch(0, 10, true)).await.expect("deletes");
    stage.doc(who, SpaceName::User, batch(0, 10, false)).await.expect("there is room for ten");
    let error = stage.doc(who, SpaceName::User, batch(90_000, 1, false)).await.expect_err("and no more");
    assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_its_own_app_s_trouble_and_a_restored_one_is_seen() {
    let stage = Stage::new(&plain());
    let other = AppId::new(2, 2);
    stage.deploy(other, &plain()).expect("deploys");
    stage.set(person(1), SpaceName::User, "k", "v").await.expect("sets");
    stage.data.close(stage.app);
    let good = std::fs::read(stage.file(stage.app)).expect("reads");
    let mut file = std::fs::OpenOptions::new().write(true).open(stage.file(stage.app)).expect("opens");
    file.seek(SeekFrom::Start(4096)).expect("seeks");
    file.write_all(&vec![0xa5; good.len() - 4096]).expect("writes");
    for _ in 0..3 {
        let error = stage.get(person(1), SpaceName::User, "k").await.expect_err("damaged");
        assert_eq!(error.code, ErrorCode::Unavailable, "{error}");
        assert!(error.message.contains("damaged") && !error.message.contains("app.fazt"), "{error}");
    }
    let leave = Actor::of_worker(other, person(1));
    stage.data.call(leave, Request::Kv(SpaceName::User, set("k", "v"))).await.expect("the other app runs");
    std::fs::write(stage.file(stage.app), good).expect("restores");
    assert!(matches!(stage.get(person(1), SpaceName::User, "k").await, Ok(Response::Value(Some(_)))));
}

#[tokio::test]
async fn an_app_that_asks_without_end_is_told_to_slow_down_and_another_is_served() {
    let stage = Arc::new(Stage::new(&plain()));
    let other = AppId::new(2, 2);
    stage.deploy(other, &plain()).expect("deploys");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..limits::QUEUE_MAX * 3 {
        let stage = Arc::clone(&stage);
        calls.spawn(async move {
            match stage.set(person(1), SpaceName::User, "k", "v").await {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::RateLimited, "{error}");
                    false
                }
            }
        });
    }
    let leave = Actor::of_worker(other, person(1));
    stage.data.call(leave, Request::Kv(SpaceName::User, set("k", "v"))).await.expect("is served");
    let served = calls.join_all().await.into_iter().filter(|served| *served).count();
    assert!((limits::QUEUE_MAX..limits::QUEUE_MAX * 3).contains(&served), "{served}");
    let Ok(Response::Value(Some(entry))) = stage.get(person(1), SpaceName::User, "k").await else { panic!() };
    assert_eq!(entry.version, served as u64, "each that was answered was done, and no other");
}
