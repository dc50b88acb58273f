//! The filter of the second wall costs no plan: SQLite searches by space and key, never walks a table.

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
