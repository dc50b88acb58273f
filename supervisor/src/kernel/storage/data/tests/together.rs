//! Calls of one principal that share a transaction, and reads that are answered at once.

use futures_util::future::join_all;

use super::super::shelf::{Caller, Outcome, Shelf};
use super::*;
use crate::kernel::storage::quota::Ledger;

const ME: Principal = Principal::Service;

fn caller(who: Principal) -> Caller<'static> {
    Caller { principal: who, now_ms: START_MS, tick: 1, cursor_key: &[7; 32] }
}

fn open(stage: &Stage) -> Shelf {
    Shelf::open(stage.app, &stage.file(stage.app), Ledger::default().of(stage.app)).expect("opens")
}

fn write(key: &str, value: &str) -> Request {
    Request::Kv(SpaceName::App, set(key, value))
}

fn read(key: &str) -> Request {
    Request::Kv(SpaceName::App, KvCall::Get { key: key.into() })
}

fn at_once(stage: &Stage, actor: Actor, request: &Request) -> Option<Result<Response, DataError>> {
    stage.data.at_once(actor, request, Some)
}

fn value(outcome: Outcome) -> Option<String> {
    match outcome.result {
        Ok(Response::Value(entry)) => entry.map(|entry| String::from_utf8(entry.value).expect("text")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_fails_undoes_itself_and_nothing_else() {
    let stage = Stage::new(&plain());
    let mut shelf = open(&stage);
    let only_new = |key: &str| {
        let KvCall::Set { key, value, kind, meta, ttl_s, expires_unix_ms, .. } = set(key, "2") else {
            panic!()
        };
        let call = KvCall::Set { key, value, kind, meta, ttl_s, expires_unix_ms, if_version: Some(0) };
        Request::Kv(SpaceName::App, call)
    };
    assert!(shelf.run(&caller(ME), &write("a", "1")).result.is_ok());
    assert!(shelf.is_open() && shelf.joins(ME, &only_new("a")));
    assert_eq!(code(shelf.run(&caller(ME), &only_new("a")).result), ErrorCode::Conflict);
    // A batch whose second change fails after the first was made.
    let put = |body: &str| DocWrite::Put { body: body.into(), if_version: None };
    let batch = DocCall::Batch(vec![put(r#"{"id":"x"}"#), DocWrite::Insert { body: r#"{"id":"x"}"#.into() }]);
    let batch = Request::Docs(SpaceName::App, "notes".into(), batch);
    assert_eq!(code(shelf.run(&caller(ME), &batch).result), ErrorCode::Conflict);
    assert!(shelf.run(&caller(ME), &write("b", "1")).result.is_ok());
    assert_eq!(value(shelf.run(&caller(ME), &read("a"))).as_deref(), Some("1"), "its own are seen");
    // Nobody else sees any of it before it is kept.
    let mut other = open(&stage);
    assert_eq!(value(other.run(&caller(person(1)), &read("a"))), None);
    shelf.commit().expect("commits");
    for key in ["a", "b"] {
        assert_eq!(value(other.run(&caller(person(1)), &read(key))).as_deref(), Some("1"), "{key}");
    }
    let doc = Request::Docs(SpaceName::App, "notes".into(), DocCall::Get { id: "x".into() });
    assert!(matches!(other.run(&caller(person(1)), &doc).result, Ok(Response::Doc(None))));
}

#[test]
fn what_cannot_be_undone_is_never_kept() {
    let stage = Stage::new(&plain());
    let mut shelf = open(&stage);
    let put = |body: &str| DocWrite::Put { body: body.into(), if_version: None };
    let batch = DocCall::Batch(vec![put(r#"{"id":"x"}"#), DocWrite::Insert { body: r#"{"id":"x"}"#.into() }]);
    let batch = Request::Docs(SpaceName::App, "notes".into(), batch);
    for before in [true, false] {
        // Opened with its views, so that only the undoing is left to fail.
        assert_eq!(code(shelf.run(&caller(ME), &batch).result), ErrorCode::Conflict);
        if before {
            assert!(shelf.run(&caller(ME), &write("a", "1")).result.is_ok());
        }
        shelf.cannot_undo(ME);
        let outcome = shelf.run(&caller(ME), &batch);
        assert!(outcome.result.is_err());
        assert_eq!(outcome.undone, before, "the call before it is to be run again");
        assert!(!shelf.is_open() && !shelf.has(ME));
        shelf.commit().expect("nothing is open");
        assert_eq!(value(shelf.run(&caller(ME), &read("a"))), None);
        let doc = Request::Docs(SpaceName::App, "notes".into(), DocCall::Get { id: "x".into() });
        assert!(matches!(shelf.run(&caller(ME), &doc).result, Ok(Response::Doc(None))));
    }
}

#[test]
fn another_person_and_another_kind_of_call_share_nothing() {
    let stage = Stage::new(&plain());
    let mut shelf = open(&stage);
    assert!(shelf.run(&caller(person(1)), &write("a", "1")).result.is_ok());
    assert!(shelf.joins(person(1), &read("a")));
    assert!(!shelf.joins(person(2), &read("a")));
    assert!(!shelf.joins(person(1), &Request::Spaces(SpaceCall::List)));
    // The space that would be made for it is made on the kernel's own connection.
    assert!(!shelf.joins(person(1), &Request::Kv(SpaceName::User, set("a", "1"))));
    shelf.commit().expect("commits");
    assert!(shelf.run(&caller(person(1)), &Request::Kv(SpaceName::User, set("a", "1"))).result.is_ok());
    assert!(shelf.joins(person(1), &Request::Kv(SpaceName::User, set("b", "1"))));
}

#[tokio::test]
async fn what_was_answered_is_there_and_what_was_refused_is_not_when_the_quota_ends_a_transaction() {
    let mut schema = plain();
    schema.storage_mib = 2;
    let stage = Stage::new(&schema);
    let long = "x".repeat(90_000);
    let keys: Vec<String> = (0..60).map(|n| format!("k{n}")).collect();
    // All at once, so that they wait together and share transactions, of two people in turn.
    let asked = keys.iter().enumerate().map(|(n, key)| {
        let who = person(1 + (n / 7 % 2) as u128);
        stage.set(who, SpaceName::App, key, &long)
    });
    let answers = join_all(asked).await;
    let refused = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((10..50).contains(&refused), "{refused} of 60");
    for (key, answer) in keys.iter().zip(answers) {
        let found = stage.get(person(1), SpaceName::App, key).await.expect("reads");
        match answer {
            Ok(_) => assert!(matches!(found, Response::Value(Some(_))), "{key} was answered"),
            Err(error) => {
                assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
                assert_eq!(found, Response::Value(None), "{key} was refused");
            }
        }
    }
}

#[tokio::test]
async fn a_read_is_answered_at_once_when_nothing_is_in_its_way() {
    let stage = Stage::new(&plain());
    let (me, other) = (Actor::of_worker(stage.app, person(1)), Actor::of_worker(stage.app, person(2)));
    let get = Request::Kv(SpaceName::User, KvCall::Get { key: "k".into() });
    assert!(at_once(&stage, me, &get).is_none(), "nothing is open");
    stage.set(person(1), SpaceName::User, "k", "mine").await.expect("sets");
    // The turn that wrote may not have ended when its answer comes, and a busy machine makes any read a slow one.
    let in_time = async |request: &Request| loop {
        if let Some(answer) = at_once(&stage, me, request) {
            return answer.expect("reads");
        }
        stage.later(limits::SLOW_MS);
        tokio::task::yield_now().await;
    };
    let Response::Value(Some(entry)) = in_time(&get).await else { panic!("it is there") };
    assert_eq!(entry.value, b"mine");
    assert!(at_once(&stage, other, &get).is_none(), "nobody opens a connection here");
    assert!(at_once(&stage, me, &Request::Kv(SpaceName::User, set("k", "2"))).is_none(), "no write");
    stage.get(person(2), SpaceName::User, "k").await.expect("opens one");
    assert!(matches!(at_once(&stage, other, &get), Some(Ok(Response::Value(None))) | None));
    // An error of the app's is an answer too.
    let nowhere = Request::Docs(SpaceName::User, "nowhere".into(), DocCall::Get { id: "a".into() });
    let error = loop {
        if let Some(answer) = at_once(&stage, me, &nowhere) {
            break answer.expect_err("no such collection");
        }
        stage.later(limits::SLOW_MS);
        tokio::task::yield_now().await;
    };
    assert_eq!(error.code, ErrorCode::InvalidQuery);
}

#[tokio::test]
async fn a_read_that_takes_long_is_left_to_the_queue() {
    let stage = Stage::new(&plain());
    let who = person(1);
    for part in 0..20 {
        let write = |n| DocWrite::Put { body: format!(r#"{{"id":"{part}-{n}","n":{n}}}"#), if_version: None };
        let batch = DocCall::Batch((0..1_000).map(write).collect());
        stage.doc(who, SpaceName::User, batch).await.expect("writes");
    }
    let me = Actor::of_worker(stage.app, who);
    let find = |order: &str, filter: Option<&str>| {
        let order = vec![(order.to_owned(), false)];
        let find = Find { filter: filter.map(Into::into), order, limit: Some(5), cursor: None };
        Request::Docs(SpaceName::User, "notes".into(), DocCall::Find(find))
    };
    // By an index it is a moment; what no index has in its order is sorted, and what matches nothing looks at all.
    let quick = find("n", None);
    loop {
        match at_once(&stage, me, &quick) {
            Some(Ok(Response::Docs { items, .. })) if items.len() == 5 => break,
            None => {
                stage.later(limits::SLOW_MS);
                tokio::task::yield_now().await;
            }
            other => panic!("{other:?}"),
        }
    }
    stage.set(who, SpaceName::User, "long", &"x".repeat(100_000)).await.expect("sets");
    let long = Request::Kv(SpaceName::User, KvCall::Get { key: "long".into() });
    for slow in [find("title", None), find("id", Some(r#"{"title":"nowhere"}"#)), long] {
        assert!(at_once(&stage, me, &slow).is_none());
        assert!(stage.ask(who, slow).await.is_ok(), "the queue answers it");
    }
}
