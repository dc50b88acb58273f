//! Queries, orders and cursors at their boundary.

use super::*;

async fn stage() -> Stage {
    let stage = Stage::new(&plain());
    for body in [
        r#"{"id":"a","title":"Apple","n":1,"done":false,"tags":["red","round"],"at":{"$date":1000}}"#,
        r#"{"id":"b","title":"Birne","n":2.5,"done":true,"deep":{"x":{"y":7}},"at":{"$date":2000}}"#,
        r#"{"id":"c","title":"Äpfel","n":-3,"done":false,"tags":[]}"#,
        r#"{"id":"d","n":"text","obj":{"k":1,"l":[2]}}"#,
        r#"{"id":"e","n":null,"title":"apple pie","raw":{"$bytes":"AQI="}}"#,
        r#"{"id":"f","n":{"$bigint":"12345678901234567890"},"nan":{"$number":"NaN"}}"#,
        r#"{"id":"g","n":{"$number":"-Infinity"},"z":-0.0}"#,
        r#"{"id":"h","n":true,"$$own":5,"a b":{"c'\"d":1}}"#,
    ] {
        stage.put(person(1), SpaceName::User, body).await;
    }
    stage
}

async fn ids(stage: &Stage, find: Find) -> Result<String, DataError> {
    let (items, _) = stage.find(person(1), SpaceName::User, find).await?;
    Ok(items.iter().map(|item| json(item)["id"].as_str().expect("id").to_owned()).collect())
}

#[tokio::test]
async fn where_finds_what_it_says() {
    let stage = stage().await;
    for (filter, expect) in [
        ("{}", "abcdefgh"),
        (r#"{"n":1}"#, "a"),
        (r#"{"n":1.0}"#, "a"),
        (r#"{"n":"1"}"#, ""),
        (r#"{"n":null}"#, "e"),
        (r#"{"title":null}"#, "dfgh"),
        (r#"{"n":{"$ne":1}}"#, "bcdefgh"),
        (r#"{"title":{"$ne":null}}"#, "abce"),
        (r#"{"n":{"$gt":0}}"#, "ab"),
        (r#"{"n":{"$lt":2}}"#, "acg"),
        (r#"{"n":{"$gte":1,"$lte":2.5}}"#, "ab"),
        (r#"{"n":{"$gt":"a"}}"#, "d"),
        (r#"{"n":{"$gte":true}}"#, "h"),
        (r#"{"n":{"$gt":{"$bigint":"12345678901234567889"}}}"#, "f"),
        (r#"{"n":{"$gt":{"$bigint":"-5"}}}"#, "f"),
        (r#"{"at":{"$gt":{"$date":1000}}}"#, "b"),
        (r#"{"at":{"$date":1000}}"#, "a"),
        (r#"{"nan":{"$number":"NaN"}}"#, "f"),
        (r#"{"z":0}"#, "g"),
        (r#"{"n":{"$in":[1,"text",null]}}"#, "ade"),
        (r#"{"title":{"$in":[null]}}"#, "dfgh"),
        (r#"{"n":{"$nin":[1,2.5,-3]}}"#, "defgh"),
        (r#"{"n":{"$in":[]}}"#, ""),
        (r#"{"n":{"$nin":[]}}"#, "abcdefgh"),
        (r#"{"tags":{"$exists":true}}"#, "ac"),
        (r#"{"n":{"$exists":true}}"#, "abcdefgh"),
        (r#"{"title":{"$exists":false}}"#, "dfgh"),
        (r#"{"title":{"$prefix":"App"}}"#, "a"),
        (r#"{"title":{"$prefix":"Ä"}}"#, "c"),
        (r#"{"title":{"$prefix":""}}"#, "abce"),
        (r#"{"title":{"$contains":"pp"}}"#, "ae"),
        (r#"{"tags":{"$contains":"red"}}"#, "a"),
        (r#"{"tags":{"$contains":"r"}}"#, ""),
        (r#"{"deep.x.y":7}"#, "b"),
        (r#"{"deep.x":{"y":7}}"#, "b"),
        (r#"{"deep":{"x":{"y":8}}}"#, ""),
        (r#"{"obj":{"l":[2],"k":1}}"#, "d"),
        (r#"{"obj":{"$eq":{"l":[2],"k":1}}}"#, "d"),
        (r#"{"obj.l":[2]}"#, "d"),
        (r#"{"raw":{"$bytes":"AQI="}}"#, "e"),
        (r#"{"$$own":5}"#, "h"),
        (r#"{"a b.c'\"d":1}"#, "h"),
        (r#"{"$or":[{"n":1},{"title":"Birne"}]}"#, "ab"),
        (r#"{"$and":[{"done":false},{"n":{"$lt":0}}]}"#, "c"),
        (r#"{"$not":{"done":false}}"#, "bdefgh"),
        (r#"{"$not":{"$or":[{"done":false},{"done":true}]},"n":null}"#, "e"),
        (r#"{"id":"a"}"#, "a"),
        (r#"{"id":5}"#, ""),
        (r#"{"id":{"$ne":5}}"#, "abcdefgh"),
        (r#"{"id":{"$in":["a","h",5]}}"#, "ah"),
        (r#"{"id":{"$prefix":"b"}}"#, "b"),
        (r#"{"id":{"$gt":"f"}}"#, "gh"),
        (r#"{"version":1}"#, "abcdefgh"),
        (r#"{"version":{"$gt":1}}"#, ""),
        (r#"{"created":{"$lte":{"$date":1700000000000}}}"#, "abcdefgh"),
        (r#"{"updated":1700000000000}"#, "abcdefgh"),
        (r#"{"_space":1}"#, ""),
        (r#"{"body":null,"sqlite_master":null,"k1":null}"#, "abcdefgh"),
    ] {
        let find = Find { filter: Some(filter.into()), ..Find::default() };
        assert_eq!(ids(&stage, find).await.as_deref(), Ok(expect), "{filter}");
        let call = DocCall::Count { filter: Some(filter.into()) };
        let count = stage.doc(person(1), SpaceName::User, call).await;
        assert_eq!(count, Ok(Response::Count(expect.len() as u64)), "{filter}");
    }
}

#[tokio::test]
async fn a_query_that_is_wrong_says_what_would_be_right() {
    let stage = stage().await;
    let deep = format!("{}{}{}", r#"{"$and":["#.repeat(20), "{}", "]}".repeat(20));
    let many = format!(r#"{{"$or":[{}]}}"#, vec![r#"{"n":1}"#; 300].join(","));
    let long = format!(r#"{{"{}":1}}"#, "x".repeat(300));
    let list = format!(r#"{{"n":{{"$in":[{}]}}}}"#, vec!["1"; 101].join(","));
    for (filter, said) in [
        ("", "not JSON"),
        ("[]", "a condition is an object"),
        ("5", "a condition is an object"),
        (r#"{"n":{"$bad":1}}"#, "unknown operator `$bad`; known are $eq"),
        (r#"{"$nor":[]}"#, "unknown operator `$nor`"),
        (r#"{"$and":[]}"#, "`$and` takes a list of conditions, and at least one"),
        (r#"{"$or":{}}"#, "`$or` takes a list"),
        (r#"{"$not":[]}"#, "a condition is an object"),
        (r#"{"n":{"$gt":1,"x":2}}"#, "operators and plain keys"),
        (r#"{"n":{"$gt":null}}"#, "`n`: $gt takes a number, a date or a text"),
        (r#"{"n":{"$lt":[1]}}"#, "`n`: $lt takes"),
        (r#"{"id":{"$gt":null}}"#, "`id`: $gt takes"),
        (r#"{"n":{"$in":5}}"#, "$in takes a list"),
        (r#"{"n":{"$exists":1}}"#, "$exists takes true or false"),
        (r#"{"n":{"$prefix":1}}"#, "$prefix takes a text"),
        (r#"{"id":{"$contains":"a"}}"#, "looks into lists and texts"),
        (r#"{"n":{"$eq":{"$date":"x"}}}"#, "`$date` does not hold"),
        (r#"{"n":{"$eq":{"$foo":1}}}"#, "starts with `$`"),
        (r#"{"":1}"#, "is no field"),
        (r#"{"a..b":1}"#, "is no field"),
        (r#"{"a.b.c.d.e.f.g.h.i":1}"#, "is no field"),
        (r#"{"n":1,"n":2}"#, "`n` is given twice"),
        (r#"{"n":1e999}"#, "beyond the range"),
        (r#"{"n":"\ud800"}"#, "malformed string"),
        (&deep, "nested more than"),
        (&many, "more than 200 values"),
        (&long, "is no field"),
        (&list, "at most 100 values"),
    ] {
        let find = Find { filter: Some(filter.into()), ..Find::default() };
        let error = ids(&stage, find).await.expect_err(filter);
        assert_eq!(error.code, ErrorCode::InvalidQuery, "{filter}: {error}");
        assert!(error.message.contains(said), "{filter}\n said   {}\n wanted {said}", error.message);
    }
    let huge = format!(r#"{{"n":"{}"}}"#, "x".repeat(70_000));
    let find = Find { filter: Some(huge), ..Find::default() };
    assert_eq!(code(ids(&stage, find).await), ErrorCode::TooLarge);
    for (limit, order) in [(Some(0), 0), (Some(1_001), 0), (None, 5)] {
        let order = (0..order).map(|n| (format!("f{n}"), false)).collect();
        let find = Find { limit, order, ..Find::default() };
        assert_eq!(code(ids(&stage, find).await), ErrorCode::InvalidQuery);
    }
    for collection in ["nothing", "notes'", "doc_1", "sqlite_master", "v_1", "", "a\0b", &"x".repeat(65_536)]
    {
        let request = Request::Docs(SpaceName::User, collection.into(), DocCall::Count { filter: None });
        let error = stage.ask(person(1), request).await.expect_err(collection);
        assert_eq!(error.code, ErrorCode::InvalidQuery);
        assert!(error.message.len() < 300 && error.message.contains("collections"), "{error}");
    }
}

#[tokio::test]
async fn orders_hold_over_types_and_pages() {
    let stage = stage().await;
    for (order, expect) in [
        (vec![], "abcdefgh"),
        (vec![("id", true)], "hgfedcba"),
        (vec![("n", false)], "ehgcabfd"),
        (vec![("n", true)], "dfbacghe"),
        (vec![("title", false)], "dfghabec"),
        (vec![("title", true)], "cebahgfd"),
        (vec![("done", false), ("n", true)], "dfgheacb"),
        (vec![("done", true), ("title", false)], "bacdfghe"),
        (vec![("version", true), ("n", false)], "ehgcabfd"),
        (vec![("deep.x.y", true)], "bhgfedca"),
    ] {
        let order: Vec<_> = order.into_iter().map(|(field, down)| (field.to_owned(), down)).collect();
        for limit in [1, 2, 3, 8, 100] {
            let (mut seen, mut cursor) = (String::new(), None);
            loop {
                let find = Find { order: order.clone(), limit: Some(limit), cursor, filter: None };
                let (items, next) = stage.find(person(1), SpaceName::User, find).await.expect("finds");
                assert!(items.len() <= limit as usize);
                items.iter().for_each(|item| seen.push_str(json(item)["id"].as_str().expect("id")));
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expect, "{order:?} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_query_person_or_server_is_refused() {
    let stage = stage().await;
    for body in [r#"{"id":"a"}"#, r#"{"id":"b"}"#] {
        stage.put(person(2), SpaceName::User, body).await;
        stage.put(person(1), SpaceName::App, body).await;
    }
    let find = Find { limit: Some(1), order: vec![("n".into(), false)], ..Find::default() };
    let (_, cursor) = stage.find(person(1), SpaceName::User, find.clone()).await.expect("finds");
    let good = Find { cursor: cursor.clone(), ..find.clone() };
    stage.find(person(1), SpaceName::User, good.clone()).await.expect("goes on");
    let cursor = cursor.expect("more");
    let mut edited = cursor.clone().into_bytes();
    let last = edited.len() - 2;
    edited[last] = if edited[last] == b'A' { b'B' } else { b'A' };
    let edited = String::from_utf8(edited).expect("text");
    for (who, space, find) in [
        (2, SpaceName::User, good.clone()),
        (1, SpaceName::App, good.clone()),
        (1, SpaceName::User, Find { filter: Some("{}".into()), ..good.clone() }),
        (1, SpaceName::User, Find { order: vec![("n".into(), true)], ..good.clone() }),
        (1, SpaceName::User, Find { order: vec![], ..good.clone() }),
        (1, SpaceName::User, Find { cursor: Some(edited), ..find.clone() }),
        (1, SpaceName::User, Find { cursor: Some(String::new()), ..find.clone() }),
        (1, SpaceName::User, Find { cursor: Some("!!".into()), ..find.clone() }),
        (1, SpaceName::User, Find { cursor: Some("A".repeat(100_000)), ..find.clone() }),
        (1, SpaceName::User, Find { cursor: Some(cursor[..cursor.len() - 4].into()), ..find.clone() }),
    ] {
        let error = stage.find(person(who), space, find).await.expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidQuery, "{error}");
        assert!(error.message.contains("cursor"), "{error}");
    }
}
