//! Documents and keys at their bounds, and everything that is refused: with its error, and nothing changed.

use super::*;

fn write(call: DocWrite) -> DocCall {
    DocCall::Write(call)
}

fn put(body: impl Into<String>) -> DocCall {
    write(DocWrite::Put { body: body.into(), if_version: None })
}

#[tokio::test]
async fn a_document_comes_back_as_it_went_in() {
    let stage = Stage::new(&plain());
    for (body, expect) in [
        (r#"{"id":"a"}"#, r#"{"id":"a","version":1}"#),
        (r#" { "id" : "b" , "x" : [ 1 , 2 ] } "#, r#"{"id":"b","version":1,"x":[ 1 , 2 ]}"#),
        (r#"{"version":99,"x":1e3,"id":"c"}"#, r#"{"id":"c","version":1,"x":1e3}"#),
        (
            r#"{"id":"d\n\"\u00e9","\u0078":"\ud83d\ude00"}"#,
            "{\"id\":\"d\\u000a\\\"é\",\"version\":1,\"x\":\"\\ud83d\\ude00\"}",
        ),
        (
            r#"{"id":"e","d":{"$date":5},"$$x":{"$bytes":""}}"#,
            r#"{"id":"e","version":1,"d":{"$date":5},"$$x":{"$bytes":""}}"#,
        ),
    ] {
        assert_eq!(stage.put(person(1), SpaceName::User, body).await, expect);
        let id = json(expect)["id"].as_str().expect("id").to_owned();
        let got = stage.doc(person(1), SpaceName::User, DocCall::Get { id }).await;
        assert_eq!(got, Ok(Response::Doc(Some(expect.into()))));
    }
    let update = DocWrite::Update {
        id: "b".into(),
        patch: r#"{"x":null,"y":2,"id":"zzz"}"#.into(),
        if_version: Some(1),
    };
    let updated = stage.doc(person(1), SpaceName::User, write(update)).await;
    assert_eq!(updated, Ok(Response::Doc(Some(r#"{"id":"b","version":2,"x":null,"y":2}"#.into()))));
    let insert = || write(DocWrite::Insert { body: r#"{"n":1}"#.into() });
    let mut made = Vec::new();
    for _ in 0..3 {
        let Ok(Response::Doc(Some(document))) = stage.doc(person(1), SpaceName::User, insert()).await else {
            panic!()
        };
        made.push(json(&document)["id"].as_str().expect("id").to_owned());
        stage.later(1);
    }
    assert!(made.is_sorted() && made[0] != made[1], "{made:?}");
    let delete = || write(DocWrite::Delete { id: "a".into(), if_version: None });
    assert_eq!(stage.doc(person(1), SpaceName::User, delete()).await, Ok(Response::Deleted(true)));
    assert_eq!(stage.doc(person(1), SpaceName::User, delete()).await, Ok(Response::Deleted(false)));
    assert_eq!(
        stage.doc(person(1), SpaceName::User, DocCall::Get { id: "a".into() }).await,
        Ok(Response::Doc(None))
    );
}

#[tokio::test]
async fn a_document_that_is_wrong_is_refused_and_nothing_changes() {
    let stage = Stage::new(&plain());
    let kept = stage.put(person(1), SpaceName::User, r#"{"id":"a","title":"t"}"#).await;
    let deep = format!(r#"{{"id":"a","x":{}{}}}"#, "[".repeat(33), "]".repeat(33));
    let list = format!(r#"{{"id":"a","x":[{}]}}"#, vec!["0"; 10_001].join(","));
    let keys: Vec<_> = (0..10_001).map(|n| format!("\"k{n}\":0")).collect();
    let wide = format!("{{{}}}", keys.join(","));
    let large = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(1024 * 1024));
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(513));
    for (body, expect, said) in [
        ("", ErrorCode::InvalidArgument, "a document is an object"),
        ("null", ErrorCode::InvalidArgument, "a document is an object"),
        ("[1]", ErrorCode::InvalidArgument, "a document is an object"),
        ("{", ErrorCode::InvalidArgument, "not JSON at byte 1"),
        (r#"{"id":"a"} x"#, ErrorCode::InvalidArgument, "text behind"),
        (r#"{"id":"a",}"#, ErrorCode::InvalidArgument, "a key in double quotes"),
        (r#"{"id":"a","x":01}"#, ErrorCode::InvalidArgument, "not JSON"),
        (r#"{"id":"a","x":+1}"#, ErrorCode::InvalidArgument, "a value is missing"),
        (r#"{"id":"a","x":1.}"#, ErrorCode::InvalidArgument, "not a number"),
        (r#"{"id":"a","x":NaN}"#, ErrorCode::InvalidArgument, "a value is missing"),
        (r#"{"id":"a","x":'a'}"#, ErrorCode::InvalidArgument, "a value is missing"),
        ("{\"id\":\"a\",\"x\":\"\n\"}", ErrorCode::InvalidArgument, "not closed"),
        (r#"{"id":"a","x":"\x"}"#, ErrorCode::InvalidArgument, "malformed"),
        (r#"{"id":"a","x":"\udc00"}"#, ErrorCode::InvalidArgument, "malformed"),
        (r#"{"id":"a","x":1,"x":2}"#, ErrorCode::InvalidArgument, "given twice"),
        (r#"{"id":"a","x":1,"\u0078":2}"#, ErrorCode::InvalidArgument, "given twice"),
        (r#"{"id":"a","x":{"$foo":1}}"#, ErrorCode::InvalidArgument, "two of them"),
        (r#"{"id":"a","x":{"$date":1,"y":2}}"#, ErrorCode::InvalidArgument, "stands alone"),
        (r#"{"id":"a","x":{"y":2,"$date":1}}"#, ErrorCode::InvalidArgument, "stands alone"),
        (r#"{"id":"a","x":{"$date":1.5}}"#, ErrorCode::InvalidArgument, "does not hold"),
        (r#"{"id":"a","x":{"$date":9e99}}"#, ErrorCode::InvalidArgument, "does not hold"),
        (r#"{"id":"a","x":{"$bytes":"*"}}"#, ErrorCode::InvalidArgument, "does not hold"),
        (r#"{"id":"a","x":{"$number":"1"}}"#, ErrorCode::InvalidArgument, "does not hold"),
        (r#"{"id":"a","x":{"$bigint":"007"}}"#, ErrorCode::InvalidArgument, "does not hold"),
        (r#"{"$date":1}"#, ErrorCode::InvalidArgument, "plain object"),
        (r#"{"x":1}"#, ErrorCode::InvalidArgument, "put needs a document with an `id`"),
        (r#"{"id":5}"#, ErrorCode::InvalidArgument, "`id` is a string"),
        (r#"{"id":""}"#, ErrorCode::InvalidArgument, "1 to 512 bytes"),
        (
            r#"{"id":"a","title":5}"#,
            ErrorCode::InvalidArgument,
            "`title` must be a string, as collections.notes.schema",
        ),
        (r#"{"id":"a","done":"yes"}"#, ErrorCode::InvalidArgument, "`done` must be true or false"),
        (&deep, ErrorCode::InvalidArgument, "nested more than 32"),
        (&list, ErrorCode::InvalidArgument, "10000 items"),
        (&wide, ErrorCode::InvalidArgument, "10000 keys"),
        (&large, ErrorCode::TooLarge, "at most 1048576"),
        (&long, ErrorCode::InvalidArgument, "1 to 512 bytes"),
    ] {
        let shown: String = body.chars().take(60).collect();
        let error = stage.doc(person(1), SpaceName::User, put(body)).await.expect_err(&shown);
        assert_eq!(error.code, expect, "{shown}: {error}");
        assert!(error.message.contains(said), "{shown}\n said   {}\n wanted {said}", error.message);
    }
    let update =
        |patch: &str, if_version| write(DocWrite::Update { id: "a".into(), patch: patch.into(), if_version });
    let versioned =
        |if_version| write(DocWrite::Put { body: r#"{"id":"a"}"#.into(), if_version: Some(if_version) });
    let patch_large = format!(r#"{{"y":"{}"}}"#, "x".repeat(1024 * 1024 - 10));
    for (call, expect) in [
        (update(r#"{"title":7}"#, None), ErrorCode::InvalidArgument),
        (update("{}", Some(2)), ErrorCode::Conflict),
        (update("{}", Some(0)), ErrorCode::Conflict),
        (update(&patch_large, None), ErrorCode::TooLarge),
        (versioned(0), ErrorCode::Conflict),
        (versioned(7), ErrorCode::Conflict),
        (write(DocWrite::Insert { body: r#"{"id":"a"}"#.into() }), ErrorCode::Conflict),
        (write(DocWrite::Delete { id: "a".into(), if_version: Some(2) }), ErrorCode::Conflict),
        (
            write(DocWrite::Update { id: "none".into(), patch: "{}".into(), if_version: None }),
            ErrorCode::NotFound,
        ),
        (write(DocWrite::Delete { id: "x".repeat(513), if_version: None }), ErrorCode::InvalidArgument),
        (DocCall::Get { id: String::new() }, ErrorCode::InvalidArgument),
        (DocCall::Batch(vec![]), ErrorCode::InvalidArgument),
        (
            DocCall::Batch(vec![DocWrite::Delete { id: "a".into(), if_version: None }; 1_001]),
            ErrorCode::InvalidArgument,
        ),
        (DocCall::Batch(vec![DocWrite::Insert { body: "x".repeat(1024 * 1024) }; 5]), ErrorCode::TooLarge),
    ] {
        assert_eq!(code(stage.doc(person(1), SpaceName::User, call).await), expect);
    }
    let got = stage.doc(person(1), SpaceName::User, DocCall::Get { id: "a".into() }).await;
    assert_eq!(got, Ok(Response::Doc(Some(kept))));
    assert_eq!(
        stage.doc(person(1), SpaceName::User, DocCall::Count { filter: None }).await,
        Ok(Response::Count(1))
    );
}

#[tokio::test]
async fn a_batch_is_all_or_nothing() {
    let stage = Stage::new(&plain());
    let good = vec![
        DocWrite::Put { body: r#"{"id":"a","n":1}"#.into(), if_version: Some(0) },
        DocWrite::Update { id: "a".into(), patch: r#"{"n":2}"#.into(), if_version: Some(1) },
        DocWrite::Insert { body: r#"{"id":"b"}"#.into() },
        DocWrite::Delete { id: "b".into(), if_version: None },
    ];
    let written = stage.doc(person(1), SpaceName::User, DocCall::Batch(good)).await;
    let expect = [
        Some(r#"{"id":"a","version":1,"n":1}"#.to_owned()),
        Some(r#"{"id":"a","version":2,"n":2}"#.to_owned()),
        Some(r#"{"id":"b","version":1}"#.to_owned()),
        None,
    ];
    assert_eq!(written, Ok(Response::Written(expect.into())));
    let bad = vec![
        DocWrite::Delete { id: "a".into(), if_version: None },
        DocWrite::Insert { body: r#"{"id":"c"}"#.into() },
        DocWrite::Insert { body: r#"{"id":"c"}"#.into() },
    ];
    let error = stage.doc(person(1), SpaceName::User, DocCall::Batch(bad)).await.expect_err("conflict");
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.starts_with("change 2 of the batch"), "{error}");
    let find = stage.find(person(1), SpaceName::User, Find::default()).await.expect("finds");
    assert_eq!(find.0, [r#"{"id":"a","version":2,"n":2}"#]);
}

#[tokio::test]
async fn keys_live_expire_and_list() {
    let stage = Stage::new(&plain());
    let space = SpaceName::User;
    let who = person(1);
    let full = |ttl_s, if_version| KvCall::Set {
        key: "k".into(),
        value: b"{\"a\":1}".to_vec(),
        kind: KvKind::Json,
        meta: Some("{\"m\":1}".into()),
        ttl_s,
        expires_unix_ms: None,
        if_version,
    };
    assert_eq!(stage.ask(who, Request::Kv(space, full(Some(60), Some(0)))).await, Ok(Response::Version(1)));
    assert_eq!(code(stage.ask(who, Request::Kv(space, full(None, Some(0)))).await), ErrorCode::Conflict);
    let entry = Entry {
        value: b"{\"a\":1}".to_vec(),
        kind: KvKind::Json,
        meta: Some("{\"m\":1}".into()),
        version: 1,
        expires_unix_ms: Some(START_MS + 60_000),
    };
    assert_eq!(stage.get(who, space, "k").await, Ok(Response::Value(Some(entry))));
    stage.later(60_000);
    assert_eq!(stage.get(who, space, "k").await, Ok(Response::Value(None)), "it is gone to the millisecond");
    let delete = || Request::Kv(space, KvCall::Delete { key: "k".into(), if_version: None });
    assert_eq!(stage.ask(who, delete()).await, Ok(Response::Deleted(false)));
    assert_eq!(stage.ask(who, Request::Kv(space, full(Some(1), Some(0)))).await, Ok(Response::Version(1)));
    assert_eq!(stage.ask(who, Request::Kv(space, full(None, Some(1)))).await, Ok(Response::Version(2)));
    stage.later(1_000_000);
    assert_eq!(stage.ask(who, delete()).await, Ok(Response::Deleted(true)));
    for key in ["a", "a/1", "a/2", "a/\u{10ffff}", "b", "\u{10ffff}", "\u{10ffff}x", "a\0b"] {
        stage.set(who, space, key, "v").await.expect("sets");
    }
    for (prefix, expect) in [
        ("", "a|a\0b|a/1|a/2|a/\u{10ffff}|b|\u{10ffff}|\u{10ffff}x"),
        ("a/", "a/1|a/2|a/\u{10ffff}"),
        ("a/\u{10ffff}", "a/\u{10ffff}"),
        ("\u{10ffff}", "\u{10ffff}|\u{10ffff}x"),
        ("z", ""),
    ] {
        for limit in [1, 2, 100] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let call = KvCall::List { prefix: prefix.into(), limit: Some(limit), cursor };
                let Ok(Response::Keys { keys, cursor: next }) =
                    stage.ask(who, Request::Kv(space, call)).await
                else {
                    panic!()
                };
                seen.extend(keys.into_iter().map(|key| key.key));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen.join("|"), expect, "{prefix} by {limit}");
        }
    }
}

#[tokio::test]
async fn keys_that_are_wrong_are_refused() {
    let stage = Stage::new(&plain());
    let set = |key: &str, value: Vec<u8>, kind, meta: Option<&str>, ttl_s| KvCall::Set {
        key: key.into(),
        value,
        kind,
        meta: meta.map(str::to_owned),
        ttl_s,
        expires_unix_ms: None,
        if_version: None,
    };
    let long = "x".repeat(513);
    let meta = format!("\"{}\"", "m".repeat(1023));
    for (call, expect) in [
        (set("", vec![], KvKind::Bytes, None, None), ErrorCode::InvalidArgument),
        (set(&long, vec![], KvKind::Bytes, None, None), ErrorCode::InvalidArgument),
        (set("k", vec![0; 1024 * 1024 + 1], KvKind::Bytes, None, None), ErrorCode::TooLarge),
        (set("k", b"{".to_vec(), KvKind::Json, None, None), ErrorCode::InvalidArgument),
        (set("k", vec![0xff], KvKind::Text, None, None), ErrorCode::InvalidArgument),
        (set("k", vec![], KvKind::Bytes, Some("x"), None), ErrorCode::InvalidArgument),
        (set("k", vec![], KvKind::Bytes, Some(&meta), None), ErrorCode::TooLarge),
        (set("k", vec![], KvKind::Bytes, None, Some(0)), ErrorCode::InvalidArgument),
        (set("k", vec![], KvKind::Bytes, None, Some(u64::MAX)), ErrorCode::InvalidArgument),
        (KvCall::Get { key: String::new() }, ErrorCode::InvalidArgument),
        (KvCall::Get { key: long.clone() }, ErrorCode::InvalidArgument),
        (KvCall::List { prefix: long.clone(), limit: None, cursor: None }, ErrorCode::TooLarge),
        (KvCall::List { prefix: String::new(), limit: Some(0), cursor: None }, ErrorCode::InvalidQuery),
        (
            KvCall::List { prefix: String::new(), limit: None, cursor: Some("x".into()) },
            ErrorCode::InvalidQuery,
        ),
    ] {
        let shown = format!("{call:.60?}");
        let result = stage.ask(person(1), Request::Kv(SpaceName::User, call)).await;
        assert_eq!(result.map_err(|error| error.code), Err(expect), "{shown}");
    }
    let all = KvCall::List { prefix: String::new(), limit: None, cursor: None };
    let listed = stage.ask(person(1), Request::Kv(SpaceName::User, all)).await;
    assert_eq!(listed, Ok(Response::Keys { keys: vec![], cursor: None }));
    stage
        .ask(
            person(1),
            Request::Kv(SpaceName::User, set("k", vec![0; 1024 * 1024], KvKind::Bytes, None, None)),
        )
        .await
        .expect("the largest value");
}

#[tokio::test]
async fn a_page_of_large_documents_ends_earlier_and_goes_on() {
    let stage = Stage::new(&plain());
    for n in 0..6 {
        let body = format!(r#"{{"id":"{n}","x":"{}"}}"#, "x".repeat(1_000_000));
        stage.put(person(1), SpaceName::User, &body).await;
    }
    let (first, cursor) = stage.find(person(1), SpaceName::User, Find::default()).await.expect("finds");
    assert_eq!(first.len(), 5);
    let (rest, cursor) =
        stage.find(person(1), SpaceName::User, Find { cursor, ..Find::default() }).await.expect("finds");
    assert_eq!((rest.len(), cursor), (1, None));
}

#[tokio::test]
async fn a_batch_of_small_patches_to_a_large_document_is_refused_whole() {
    let stage = Stage::new(&plain());
    let large = format!(r#"{{"id":"a","x":"{}"}}"#, "x".repeat(1_000_000));
    stage.put(person(1), SpaceName::User, &large).await;
    let patch = || DocWrite::Update { id: "a".into(), patch: r#"{"n":1}"#.into(), if_version: None };
    let batch = |changes: usize| DocCall::Batch((0..changes).map(|_| patch()).collect());
    let refused = stage.doc(person(1), SpaceName::User, batch(1000)).await.expect_err("gigabytes");
    assert_eq!(refused.code, ErrorCode::TooLarge, "{refused:?}");
    let Ok(Response::Doc(Some(kept))) =
        stage.doc(person(1), SpaceName::User, DocCall::Get { id: "a".into() }).await
    else {
        panic!()
    };
    assert_eq!(json(&kept)["version"], 1, "nothing was changed");
    assert!(stage.doc(person(1), SpaceName::User, batch(3)).await.is_ok());
}
