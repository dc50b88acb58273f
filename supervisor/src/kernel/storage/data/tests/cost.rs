//! What confinement costs: the same page asked for by the engine and by a statement written by hand. The answers
//! are compared always; the times are printed when `FAZT_MEASURE` asks, and never judged.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::super::key;
use super::super::shelf::{Caller, Shelf};
use super::*;
use crate::kernel::storage::{cartridge, db};

/// The newest 20 by the field `n`.
fn newest() -> Find {
    Find { order: vec![("n".into(), true)], limit: Some(20), ..Find::default() }
}

fn fill(file: &std::path::Path, spaces: u128, rows: u64) {
    let mut connection = db::open(file, &cartridge::SCHEMA, Mode::Existing).expect("opens");
    let transaction = connection.transaction().expect("begins");
    for who in 1..=spaces {
        let (n, user) = (who as i64 + 1, user(who).to_string());
        let space = "INSERT INTO space(n, kind, owner, name, created) VALUES(?1, 'user', ?2, '', 0)";
        transaction.execute(space, params![n, user]).expect("space");
        let member = "INSERT INTO member(who, space, role, since) VALUES(?1, ?2, 'manager', 0)";
        transaction.execute(member, params![user, n]).expect("member");
        for row in 0..rows {
            let at = row.wrapping_mul(0x9e37_79b9) % 1_000_003;
            let body =
                format!(r#"{{"n":{at},"title":"note {row}","done":false,"text":"some words in a note"}}"#);
            let sql = "INSERT INTO doc_1(_space, id, version, created, updated, body, k1, k2)
                VALUES(?1, ?2, 1, 0, 0, ?3, x'18', ?4)";
            let mut insert = transaction.prepare_cached(sql).expect("prepares");
            insert
                .execute(params![n, format!("doc_{row:026}"), body, key::of(&at.to_string())])
                .expect("row");
        }
    }
    transaction.commit().expect("commits");
}

fn by_hand(connection: &Connection, space: i64) -> Vec<(String, i64, String)> {
    let sql = "SELECT id, version, body FROM doc_1 WHERE _space = ?1 ORDER BY k2 DESC, id DESC LIMIT 20";
    let mut statement = connection.prepare_cached(sql).expect("prepares");
    let rows =
        statement.query_map([space], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("queries");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

/// Median time of one of many.
fn time(rounds: usize, mut each: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|round| {
            let start = Instant::now();
            each(round);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

#[tokio::test]
async fn the_newest_twenty_are_those_of_a_statement_written_by_hand() {
    let measures = std::env::var_os("FAZT_MEASURE").is_some();
    let (spaces, rows, rounds) = if measures { (100, 2_000, 20_000) } else { (5, 100, 5) };
    let stage = Stage::new(&plain());
    let file = stage.file(stage.app);
    fill(&file, spaces, rows);
    let hand = db::open(&file, &cartridge::SCHEMA, Mode::Existing).expect("opens");
    let mut shelf = Shelf::open(stage.app, &file, Arc::default()).expect("opens");
    let mut tick = 0;
    let mut engine = |who: u128| {
        tick += 1;
        let caller = Caller { principal: person(who), now_ms: START_MS, tick, cursor_key: &[7; 32] };
        let find = Request::Docs(SpaceName::User, "notes".into(), DocCall::Find(newest()));
        match shelf.run(&caller, &find).result {
            Ok(Response::Docs { items, .. }) => items,
            other => panic!("{other:?}"),
        }
    };
    for who in 1..=spaces {
        let expect: Vec<_> = by_hand(&hand, who as i64 + 1).into_iter().map(|(id, _, _)| id).collect();
        let items = engine(who);
        let ids: Vec<_> =
            items.iter().map(|item| json(item)["id"].as_str().expect("id").to_owned()).collect();
        assert_eq!(ids, expect);
        assert_eq!(ids.len(), 20);
    }
    if !measures {
        return;
    }
    // As many people as have a connection at once.
    let who = |round: usize| round as u128 % 50 + 1;
    for _ in 0..3 {
        let hand = time(rounds, |round| drop(by_hand(&hand, who(round) as i64 + 1)));
        let here = time(rounds, |round| drop(engine(who(round))));
        println!("by hand {hand:?}, confined {here:?}: {:.2}", here.as_secs_f64() / hand.as_secs_f64());
        let one = time(rounds, |_| drop(engine(1)));
        println!("confined, one person {one:?}: {:.2}", one.as_secs_f64() / hand.as_secs_f64());
    }
    let stage = Arc::new(stage);
    let start = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for lane in 0..64 {
        let stage = Arc::clone(&stage);
        calls.spawn(async move {
            for round in 0..rounds / 64 {
                stage.find(person(who(lane + round)), SpaceName::User, newest()).await.expect("finds");
            }
        });
    }
    calls.join_all().await;
    println!("64 at once through the queue: {:?} each", start.elapsed() / rounds as u32);
}
