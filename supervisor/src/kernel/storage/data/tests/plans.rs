//! The filter of the second wall costs no plan: SQLite searches by space and key, never walks a table.

use super::super::shelf::{Caller, Shelf};
use super::*;

async fn plan(stage: &Stage, space: SpaceName, find: Find) -> (String, String) {
    let who = Actor::of_worker(stage.app, person(1));
    let (sql, plan) = stage.data.explain(who, space, "notes", find).await.expect("explains");
    (sql, plan.join("\n"))
}

#[tokio::test]
async fn every_query_searches_by_space_and_key() {
    let stage = Stage::new(&plain());
    stage.put(person(1), SpaceName::User, r#"{"id":"a","n":1}"#).await;
    let room = super::spaces::create(&stage, 1, "room").await;
    let where_ = |text: &str| Some(text.to_owned());
    let order =
        |fields: &[(&str, bool)]| fields.iter().map(|(f, d)| ((*f).to_owned(), *d)).collect::<Vec<_>>();
    for space in [SpaceName::User, SpaceName::App, SpaceName::Named(room)] {
        for (find, searches, sorts) in [
            (
                Find { filter: where_(r#"{"id":"a"}"#), ..Find::default() },
                "PRIMARY KEY (_space=? AND id=?)",
                false,
            ),
            (Find::default(), "PRIMARY KEY (_space=?)", false),
            (Find { filter: where_(r#"{"n":5}"#), ..Find::default() }, "doc_1_k2 (_space=? AND k2=?)", false),
            (
                Find { filter: where_(r#"{"n":{"$gt":5}}"#), ..Find::default() },
                "doc_1_k2 (_space=? AND k2>? AND k2<?)",
                true,
            ),
            (Find { order: order(&[("n", true)]), ..Find::default() }, "doc_1_k2 (_space=?)", false),
            (
                Find { filter: where_(r#"{"done":false}"#), order: order(&[("n", true)]), ..Find::default() },
                "doc_1_k1_k2 (_space=? AND k1=?)",
                false,
            ),
            (Find { filter: where_(r#"{"title":"x"}"#), ..Find::default() }, "PRIMARY KEY (_space=?)", false),
            (Find { order: order(&[("title", false)]), ..Find::default() }, "PRIMARY KEY (_space=?)", true),
        ] {
            let (sql, plan) = plan(&stage, space, find).await;
            assert!(plan.contains(searches), "{sql}\n{plan}\nwanted {searches}");
            assert!(!plan.contains("SCAN doc_1"), "{sql}\n{plan}");
            assert_eq!(plan.contains("TEMP B-TREE FOR ORDER BY"), sorts, "{sql}\n{plan}");
        }
    }
}

#[tokio::test]
async fn the_next_page_starts_where_the_last_one_ended() {
    let stage = Stage::new(&plain());
    for n in 0..5 {
        stage.put(person(1), SpaceName::User, &format!(r#"{{"id":"{n}","n":{n}}}"#)).await;
    }
    for order in [vec![("n".to_owned(), true)], vec![("n".to_owned(), false)], vec![]] {
        let find = Find { order, limit: Some(2), ..Find::default() };
        let (_, cursor) = stage.find(person(1), SpaceName::User, find.clone()).await.expect("finds");
        let (sql, plan) = plan(&stage, SpaceName::User, Find { cursor, ..find }).await;
        assert!(
            plan.contains("(_space=? AND (k2,id)") || plan.contains("(_space=? AND id>?)"),
            "{sql}\n{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
}

/// Calls of every kind.
fn every_call(space: SpaceName) -> Vec<Request> {
    let docs = |call: DocCall| Request::Docs(space, "notes".into(), call);
    let write = |write: DocWrite| docs(DocCall::Write(write));
    let find = |filter: Option<&str>, order: &[(&str, bool)]| {
        let order = order.iter().map(|(field, descending)| ((*field).to_owned(), *descending)).collect();
        docs(DocCall::Find(Find { filter: filter.map(str::to_owned), order, ..Find::default() }))
    };
    vec![
        Request::Kv(space, set("k", "v")),
        Request::Kv(space, set("k", "w")),
        Request::Kv(space, KvCall::Get { key: "k".into() }),
        Request::Kv(space, KvCall::List { prefix: "k".into(), limit: None, cursor: None }),
        Request::Kv(space, KvCall::Delete { key: "k".into(), if_version: None }),
        write(DocWrite::Insert { body: r#"{"id":"a","n":1}"#.into() }),
        write(DocWrite::Put { body: r#"{"id":"a","n":2}"#.into(), if_version: None }),
        write(DocWrite::Update { id: "a".into(), patch: r#"{"n":3}"#.into(), if_version: Some(2) }),
        docs(DocCall::Get { id: "a".into() }),
        docs(DocCall::Count { filter: None }),
        docs(DocCall::Count { filter: Some(r#"{"title":{"$contains":"x"},"n":{"$in":[1,2]}}"#.into()) }),
        find(None, &[]),
        find(Some(r#"{"$or":[{"n":1},{"done":true},{"$not":{"o.x":{"$exists":true}}}]}"#), &[("n", true)]),
        find(Some(r#"{"id":{"$prefix":"a"},"version":{"$gt":0}}"#), &[("title", false), ("updated", true)]),
        find(Some(r#"{"n":{"$prefix":"a"}}"#), &[("done", false), ("n", true)]),
        write(DocWrite::Delete { id: "a".into(), if_version: None }),
    ]
}

#[tokio::test]
async fn no_statement_of_any_call_walks_a_table_because_of_who_asks() {
    for spaces in [true, false] {
        let stage = Stage::new(&DataSchema { spaces, ..plain() });
        let mut shelf = Shelf::open(stage.app, &stage.file(stage.app), Arc::default()).expect("opens");
        for (who, names) in [
            (person(1), &[SpaceName::User, SpaceName::App][..]),
            (Principal::Anonymous, &[SpaceName::App]),
            (Principal::Service, &[SpaceName::App]),
        ] {
            let names: Vec<_> = names.iter().filter(|name| spaces || **name == SpaceName::User).collect();
            for (tick, call) in names.iter().flat_map(|name| every_call(**name)).enumerate() {
                let tick = tick as u64;
                let caller = Caller { principal: who, now_ms: START_MS, tick, cursor_key: &[7; 32] };
                let outcome = shelf.run(&caller, &call);
                assert!(outcome.result.is_ok(), "{who} {call:?}: {:?}", outcome.result);
                shelf.commit().expect("commits");
            }
            if names.is_empty() {
                continue;
            }
            let plans = shelf.plans(who);
            assert!(plans.len() > 15, "{plans:?}");
            for (sql, plan) in plans {
                for table in ["doc_1", "kv", "member", "space", "invite", "tally"] {
                    let walks = plan.lines().any(|step| step.starts_with(&format!("SCAN {table}")));
                    assert!(!walks, "{who} spaces {spaces}: {sql}\n{plan}");
                }
                for step in plan.lines().filter(|step| step.starts_with("SEARCH")) {
                    let policy = step.contains("(who=?") || step.contains("(owner=?");
                    assert!(policy || step.contains("(_space=?"), "{who} spaces {spaces}: {sql}\n{plan}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_column_that_decides_what_is_seen_leads_an_index() {
    let stage = Stage::new(&plain());
    let file = rusqlite::Connection::open(stage.file(stage.app)).expect("opens");
    let leads = |table: &str, column: &str| {
        let sql = "SELECT 1 FROM pragma_index_list(?1) AS i JOIN pragma_index_info(i.name) AS c
            WHERE c.seqno = 0 AND c.name = ?2 LIMIT 1";
        file.prepare(sql).expect("prepares").exists([table, column]).expect("looks")
    };
    for (table, column) in [
        ("doc_1", "_space"),
        ("kv", "_space"),
        ("member", "who"),
        ("member", "space"),
        ("space", "id"),
        ("space", "owner"),
        ("invite", "hash"),
        ("invite", "space"),
    ] {
        assert!(leads(table, column), "{table}.{column}");
    }
    // Every unique key of what apps store starts with the space: nobody learns of others by a conflict.
    let sql = "SELECT m.name, (SELECT name FROM pragma_index_info(i.name) WHERE seqno = 0)
        FROM sqlite_schema AS m JOIN pragma_index_list(m.name) AS i
        WHERE m.type = 'table' AND (m.name = 'kv' OR m.name LIKE 'doc\\_%' ESCAPE '\\') AND i.\"unique\"";
    let mut unique = file.prepare(sql).expect("prepares");
    let rows = unique.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("looks");
    let rows: Vec<(String, String)> = rows.collect::<Result<_, _>>().expect("rows");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|(_, first)| first == "_space"), "{rows:?}");
}
