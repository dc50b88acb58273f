//! A process that deploys is killed at random moments; whatever was told to be live must be, and nothing half.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const DATA: &str = "FAZT_TEST_CRASH_DATA";
const FROM: &str = "FAZT_TEST_CRASH_FROM";
const ROUNDS: usize = 25;

/// Version `number` of the app: every file says which one it belongs to.
fn version(number: u64) -> Tree {
    let text = |size: usize| format!("{number} ").repeat(size);
    tree(&[
        ("app.json", &format!("{{\"version\": \"{number}\"}}")),
        ("server.ts", &format!("export default {{ n: {number} as number }}")),
        ("public/index.html", &text(10)),
        ("public/large.txt", &text(40_000)),
        ("public/same.txt", "the same in every version"),
    ])
}

/// Not a test by itself: the process that is killed. Runs only when the test below starts it.
#[tokio::test]
async fn deploys_until_it_is_killed() {
    let (Some(data), Ok(from)) = (std::env::var_os(DATA), std::env::var(FROM)) else { return };
    let fs = open(Path::new(&data), &FakeBuilder::new()).await;
    let mut number: u64 = from.parse().expect("a number");
    loop {
        number += 1;
        deploy(&fs, "app", &version(number)).await.expect("deploys");
        println!("live {number}");
        if number.is_multiple_of(2) {
            deploy(&fs, "short", &version(number)).await.expect("deploys");
            fs.remove("short", false).await.expect("removes");
        }
    }
}

#[tokio::test]
async fn a_deploy_that_is_killed_leaves_the_old_version_or_the_new_one() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let data = tempfile::tempdir().expect("folder");
    let mut live = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "kernel::fs::tests::crash::deploys_until_it_is_killed", "--nocapture"])
            .env(DATA, data.path())
            .env(FROM, live.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let deploys = random.random_range(0..4);
        let told = |line: &str| line.split("live ").nth(1).and_then(|number| number.trim().parse().ok());
        for line in lines.by_ref().map_while(Result::ok).filter(|line| told(line).is_some()).take(deploys) {
            live = told(&line).unwrap_or(live);
        }
        // Into the middle of the next one.
        std::thread::sleep(Duration::from_micros(random.random_range(0..60_000)));
        child.kill().expect("kills");
        // What it said before it died counts too.
        live = lines.map_while(Result::ok).filter_map(|line| told(&line)).last().unwrap_or(live);
        child.wait().expect("reaped");

        let fs = open(data.path(), &FakeBuilder::new()).await;
        if let Some(app) = fs.route("app") {
            let found: u64 =
                fs.release(app).await.expect("sound").manifest.version.parse().expect("a number");
            assert!(
                found == live || found == live + 1,
                "round {round}: {live} was live, {found} is; seed {seed}"
            );
            assert_eq!(read_back(&fs, "app").await, version(found), "round {round}, seed {seed}");
            fs.verify(app).await.expect("sound");
            fs.release(app).await.expect("sound").code().await.expect("code");
            live = found;
        } else {
            assert_eq!(live, 0, "round {round}, seed {seed}");
        }
        let folders: Vec<_> = std::fs::read_dir(data.path().join("apps")).expect("there").flatten().collect();
        assert_eq!(
            folders.len(),
            fs.count() + 1,
            "round {round}: apps and .deploys, nothing else; seed {seed}"
        );
        for folder in folders {
            assert!(!folder.path().join(".unfinished").exists(), "round {round}, seed {seed}");
        }
        let waiting = std::fs::read_dir(data.path().join("apps/.deploys")).expect("there").count();
        assert_eq!(waiting, 0, "round {round}, seed {seed}");
        if fs.route("short").is_some() {
            read_back(&fs, "short").await;
            fs.remove("short", false).await.expect("removes");
        }
    }
    assert!(live > 0, "the child never got anywhere; seed {seed}");
}
