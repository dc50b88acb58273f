//! A process that writes is killed at random moments: what it was told is kept is there, and no batch is half.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

pub(super) const FOLDER: &str = "FAZT_TEST_DATA_CRASH";
pub(super) const FROM: &str = "FAZT_TEST_DATA_CRASH_FROM";
/// Writers at once, each a person.
const WRITERS: u128 = 6;

/// Kills; `FAZT_CRASHES` asks for hundreds.
fn rounds() -> usize {
    std::env::var("FAZT_CRASHES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(25)
}

/// This program as the process that is killed, at the test of that name: in these apps, with numbers after `from`.
pub(super) fn writer(test: &str, folder: &std::path::Path, from: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("kernel::storage::data::tests::{test}"), "--nocapture"])
        .env(FOLDER, folder)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// Not a test by itself: the process that is killed. Every writer writes batches of two documents that say the
/// same number, and a key, and tells when each was acknowledged.
#[tokio::test]
async fn writes_until_it_is_killed() {
    let (Some(folder), Ok(from)) = (std::env::var_os(FOLDER), std::env::var(FROM)) else { return };
    let clock = Arc::new(AtomicU64::new(START_MS));
    let data = Arc::new(engine(PathBuf::from(folder), &clock));
    let from: u64 = from.parse().expect("a number");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 1..=WRITERS {
        let data = Arc::clone(&data);
        writers.spawn(async move {
            let who = Actor::of_worker(AppId::new(1, 1), person(writer));
            for number in from + 1.. {
                let put = |id: &str| DocWrite::Put {
                    body: format!(r#"{{"id":"{id}","n":{number},"x":"{}"}}"#, "x".repeat(300)),
                    if_version: None,
                };
                let batch = DocCall::Batch(vec![put("left"), put("right")]);
                let request = Request::Docs(SpaceName::User, "notes".into(), batch);
                data.call(who, request).await.expect("writes");
                let key = set("number", &number.to_string());
                data.call(who, Request::Kv(SpaceName::User, key)).await.expect("sets");
                println!("kept {writer} {number}");
            }
        });
    }
    writers.join_next().await;
}

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_that_was_acknowledged() {
    let mut rng = StdRng::seed_from_u64(seed());
    let stage = Stage::new(&plain());
    let mut from = 0;
    let mut acknowledged = 0;
    for round in 0..rounds() {
        stage.data.close(stage.app);
        let mut child = writer("crash::writes_until_it_is_killed", stage.folder.path(), from);
        let mut kept = [0u64; WRITERS as usize + 1];
        let mut told = |line: String| {
            let mut words = line.split("kept ").nth(1)?.split(' ');
            let writer: usize = words.next()?.parse().ok()?;
            kept[writer] = words.next()?.trim().parse().ok()?;
            Some(())
        };
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let wanted = rng.random_range(1..120);
        let seen = lines.by_ref().filter_map(&mut told).take(wanted).count();
        assert_eq!(seen, wanted, "round {round}: the writer ended by itself");
        // Into the middle of what comes next.
        std::thread::sleep(Duration::from_micros(rng.random_range(0..5_000)));
        child.kill().expect("kills");
        // What it said before it died counts too.
        lines.for_each(|line| {
            told(line);
        });
        child.wait().expect("reaped");
        for writer in 1..=WRITERS {
            let kept = kept[writer as usize];
            acknowledged += u64::from(kept > 0);
            let mut numbers = Vec::new();
            for id in ["left", "right"] {
                let got = stage.doc(person(writer), SpaceName::User, DocCall::Get { id: id.into() }).await;
                let Ok(Response::Doc(document)) = got else { panic!("round {round}: {got:?}") };
                numbers.push(document.map_or(0, |document| json(&document)["n"].as_u64().expect("number")));
            }
            assert_eq!(numbers[0], numbers[1], "round {round}: half of a batch");
            assert!(numbers[0] >= kept, "round {round}: {kept} was acknowledged, {numbers:?} is there");
            let Ok(Response::Value(entry)) = stage.get(person(writer), SpaceName::User, "number").await
            else {
                panic!()
            };
            let key: u64 =
                entry.map_or(0, |e| String::from_utf8(e.value).expect("text").parse().expect("number"));
            assert!(key >= kept && key <= numbers[0], "round {round}: {key}, {kept}, {numbers:?}");
            from = from.max(numbers[0]);
        }
        Cartridge::open(&stage.file(stage.app), Mode::Existing).expect("opens").check().expect("sound");
    }
    assert!(acknowledged > 0);
}
