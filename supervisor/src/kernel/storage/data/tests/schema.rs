//! A deploy changes tables in its own transaction; nothing is dropped; what would lose data is refused.

use super::*;

async fn ids(stage: &Stage, filter: &str) -> Vec<String> {
    let find = Find { filter: Some(filter.into()), ..Find::default() };
    let (items, _) = stage.find(person(1), SpaceName::User, find).await.expect("finds");
    items.iter().map(|item| json(item)["id"].as_str().expect("id").to_owned()).collect()
}

#[tokio::test]
async fn an_index_that_is_added_knows_what_was_there_before() {
    let stage = Stage::new(&notes(&[("n", FieldKind::Json)], &[]));
    for n in 0..20 {
        stage.put(person(1), SpaceName::User, &format!(r#"{{"id":"{n:02}","n":{n}}}"#)).await;
    }
    assert_eq!(ids(&stage, r#"{"n":{"$gte":18}}"#).await, ["18", "19"]);
    stage.deploy(stage.app, &notes(&[("n", FieldKind::Json)], &[&["n"]])).expect("deploys");
    assert_eq!(ids(&stage, r#"{"n":{"$gte":18}}"#).await, ["18", "19"]);
    let who = Actor::of_worker(stage.app, person(1));
    let find = Find { filter: Some(r#"{"n":18}"#.into()), ..Find::default() };
    let (_, plan) = stage.data.explain(who, SpaceName::User, "notes", find).await.expect("explains");
    assert!(plan.join("").contains("doc_1_k1"), "{plan:?}");
}

#[tokio::test]
async fn going_back_keeps_every_row_and_what_is_dormant_stays_true() {
    let stage = Stage::new(&notes(&[("n", FieldKind::Json)], &[]));
    stage.put(person(1), SpaceName::User, r#"{"id":"a","n":1}"#).await;
    let newer = notes(&[("n", FieldKind::Json), ("m", FieldKind::Integer)], &[&["n"], &["m", "n"]]);
    stage.deploy(stage.app, &newer).expect("deploys");
    stage.put(person(1), SpaceName::User, r#"{"id":"b","n":2,"m":7}"#).await;
    Cartridge::open(&stage.file(stage.app), Mode::Existing).expect("opens").activate(1).expect("goes back");
    stage.data.reload(stage.app);
    // The older version knows no `m`, and may put into it what it likes.
    stage.put(person(1), SpaceName::User, r#"{"id":"c","n":3,"m":9}"#).await;
    assert_eq!(ids(&stage, "{}").await, ["a", "b", "c"]);
    Cartridge::open(&stage.file(stage.app), Mode::Existing).expect("opens").activate(2).expect("goes on");
    stage.data.reload(stage.app);
    assert_eq!(ids(&stage, r#"{"m":9}"#).await, ["c"], "the dormant index was written");
    assert_eq!(ids(&stage, r#"{"m":{"$exists":true}}"#).await, ["b", "c"]);
}

#[tokio::test]
async fn a_type_that_the_data_contradicts_is_refused_and_nothing_changes() {
    let stage = Stage::new(&notes(&[("n", FieldKind::Json)], &[]));
    for (id, n) in [("a", "1"), ("b", "\"two\""), ("c", "null"), ("d", "2.5")] {
        stage.put(person(1), SpaceName::User, &format!(r#"{{"id":"{id}","n":{n}}}"#)).await;
    }
    stage.put(person(1), SpaceName::User, r#"{"id":"e"}"#).await;
    for (kind, said) in [
        (FieldKind::String, "`n` would be a string, and 2 documents"),
        (FieldKind::Number, "`n` would be a number, and 1 documents"),
        (FieldKind::Integer, "`n` would be a whole number, and 2 documents"),
        (FieldKind::Boolean, "`n` would be true or false, and 3 documents"),
    ] {
        let mut schema = notes(&[("n", kind)], &[&["n"]]);
        schema.collections.insert("more".into(), CollectionSchema::default());
        let error = stage.deploy(stage.app, &schema).expect_err("refused");
        assert!(matches!(error, StorageError::Refused(_)), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let more =
        stage.ask(person(1), Request::Docs(SpaceName::User, "more".into(), DocCall::Count { filter: None }));
    assert_eq!(code(more.await), ErrorCode::InvalidQuery, "the other collection did not come to be");
    assert_eq!(ids(&stage, "{}").await.len(), 5);
    stage
        .deploy(stage.app, &notes(&[("n", FieldKind::Json), ("x", FieldKind::String)], &[]))
        .expect("widens");
}

#[tokio::test]
async fn a_write_after_an_unannounced_deploy_fills_the_new_index() {
    let stage = Stage::new(&notes(&[("n", FieldKind::Json)], &[]));
    stage.put(person(1), SpaceName::User, r#"{"id":"a","n":1}"#).await;
    // Live in the file, and the engine is not told yet.
    deploy(&stage.file(stage.app), &notes(&[("n", FieldKind::Json)], &[&["n"]])).expect("deploys");
    stage.put(person(1), SpaceName::User, r#"{"id":"a","n":2}"#).await;
    stage.put(person(1), SpaceName::User, r#"{"id":"b","n":3}"#).await;
    assert_eq!(ids(&stage, r#"{"n":{"$gt":0}}"#).await, ["a", "b"]);
    assert_eq!(ids(&stage, r#"{"n":1}"#).await, [""; 0]);
}

#[tokio::test]
async fn many_collections_and_indexes_are_bounded_over_time() {
    let stage = Stage::new(&notes(&[], &[]));
    let fields: Vec<String> = (0..40).map(|n| format!("f{n}")).collect();
    let mut refused = None;
    for field in &fields {
        let schema = notes(&[(field, FieldKind::Json)], &[&[field]]);
        refused = stage.deploy(stage.app, &schema).err();
        if refused.is_some() {
            break;
        }
    }
    let error = refused.expect("a bound");
    assert!(error.to_string().contains("32 fields"), "{error}");
    stage.put(person(1), SpaceName::User, r#"{"id":"a","f1":1}"#).await;
}
