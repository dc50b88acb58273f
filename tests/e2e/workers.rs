//! Several workers for one app, their memory, their crashes, and the owner's word.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fazt_tests::{Client, Server, ServerOptions};

use crate::HELLO;

pub(crate) const ORDINARY: u32 = 65_534;

fn root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

pub(crate) fn signal(pid: u64, signal: &str) {
    let _ = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
}

fn state(server: &Server, app: &str) -> String {
    let rows = server.processes(app);
    rows.first().and_then(|row| row["state"].as_str()).unwrap_or("hibernated").to_owned()
}

/// Whether this machine has a core for a second worker.
fn cores() -> bool {
    let two = thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    if !two {
        println!("one core: an app has one worker here");
    }
    two
}

/// All of them come while the app sleeps: those that one worker cannot take wait while it starts.
#[test]
fn more_requests_than_one_worker_takes_wake_a_second_which_goes_when_it_is_idle() {
    if !cores() {
        return;
    }
    let server =
        Server::with(ServerOptions { config: "[workers]\nidle_s = 1\n".into(), ..ServerOptions::default() });
    let hold = "export default { fetch() {
        return new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('held')); } })); } };";
    server.deploy_files(
        "app",
        &[("server.js", hold), ("app.json", "{\"name\": \"app\", \"limits\": {\"wallS\": 60}}")],
    );
    let host = format!("app.localhost:{}", server.address.port());
    let mut clients: Vec<Client> = (0..80).map(|_| server.client("app")).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("request");
    }
    for client in &mut clients {
        assert_eq!(client.head().expect("a head").status, 200);
        assert_eq!(client.chunk().expect("a chunk"), b"held");
    }
    let rows = server.processes("app");
    assert!(rows.len() >= 2, "80 requests are open, 64 at the most on each: {rows:?}");
    assert!(rows.iter().all(|row| row["state"] == "running"), "{rows:?}");
    assert_ne!(rows[0]["gen"], rows[1]["gen"]);
    // One stays: the worker that has it is kept, the others are not.
    clients.truncate(1);
    server.wait("one worker", |server| server.processes("app").len() == 1);
    assert_eq!(state(&server, "app"), "running");
}

#[test]
fn an_app_that_burns_its_core_gets_a_second_worker_and_both_answer() {
    if !cores() {
        return;
    }
    let server = Server::start();
    let burn = "export default { fetch() { const t = Date.now(); while (Date.now() - t < 100); return new Response('burnt'); } };";
    server.deploy_files("app", &[("server.js", burn)]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = server.client("app");
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").expect("an answer").text(), "burnt");
                }
            });
        }
        let watch = || {
            let (start, mut best) = (Instant::now(), 0.0_f64);
            let cpu_ms = |rows: &[serde_json::Value]| -> u64 {
                rows.iter().filter_map(|row| row["cpu_ms"].as_u64()).sum()
            };
            let (mut then, mut before) = (Instant::now(), cpu_ms(&server.processes("app")));
            loop {
                thread::sleep(Duration::from_millis(500));
                let rows = server.processes("app");
                if rows.len() > 1 && rows.iter().all(|row| row["reqs"].as_u64().is_some_and(|reqs| reqs > 2))
                {
                    return;
                }
                let used = cpu_ms(&rows);
                best = best.max(used.saturating_sub(before) as f64 / then.elapsed().as_millis() as f64);
                (then, before) = (Instant::now(), used);
                if start.elapsed() > Duration::from_secs(30) {
                    // Where others have the cores, a second worker would only take turns with the first.
                    assert!(best < 0.7, "one worker had {best:.2} of a core and no second came");
                    println!("this machine is too busy: one worker had {best:.2} of a core at the most");
                    return;
                }
            }
        };
        let both = std::panic::catch_unwind(std::panic::AssertUnwindSafe(watch));
        over.store(true, Ordering::Relaxed);
        both.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn a_burst_of_waking_stays_within_the_budget_and_the_longest_idle_go_first() {
    const MIB: u64 = 1 << 20;
    let config = "[workers]\nmemory_mib = 64\nidle_s = 600\n";
    let server = Server::with(ServerOptions { config: config.into(), ..ServerOptions::default() });
    // Each holds 12 MiB from its top level on: all of them together would be twice the budget.
    let hog = "globalThis.held = new Uint8Array(12 << 20).fill(1);
        export default { fetch() { return new Response('hello'); } };";
    let apps: Vec<String> = (0..10).map(|n| format!("hog{n}")).collect();
    for app in &apps {
        server.deploy_files(app, &[("server.js", hog)]);
    }
    let (over, most) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let rows = server.fazt(&["proc", "ps", "--json"]).ok().json();
                let sum =
                    rows.as_array().into_iter().flatten().filter_map(|row| row["mem_bytes"].as_u64()).sum();
                most.fetch_max(sum, Ordering::Relaxed);
            }
        });
        let burst: Vec<_> = apps
            .iter()
            .map(|app| scope.spawn(|| assert_eq!(server.get(app, "/").text(), "hello", "nobody is refused")))
            .collect();
        let served = burst.into_iter().map(|one| one.join().is_ok()).filter(|&ok| ok).count();
        over.store(true, Ordering::Relaxed);
        assert_eq!(served, apps.len());
    });
    let most = most.into_inner();
    // Rows are counted one after the other: one that is about to be gone may stand beside the one that follows it.
    assert!(most <= (64 + 13) * MIB, "{} MiB at once with a budget of 64", most / MIB);
    // One after the other now: the one used longest ago is not there, the latest is.
    for app in &apps {
        assert_eq!(server.get(app, "/").text(), "hello");
    }
    assert_eq!(state(&server, &apps[0]), "hibernated");
    assert_eq!(state(&server, &apps[9]), "idle");
    assert!(server.processes("hog8").len() == 1, "no more go than must");
}

#[test]
fn an_app_whose_worker_dies_again_and_again_backs_off_until_the_owner_wakes_it() {
    let server = Server::start();
    server.deploy_files("bad", &[("server.js", HELLO)]);
    server.deploy_files("good", &[("server.js", HELLO)]);
    server.while_answering("good", || {
        // The later ones wait longer: long enough to look.
        for _ in 0..6 {
            server.wait("its worker", |server| {
                let _ = server.get("bad", "/");
                server.processes("bad").iter().any(|row| row["pid"].is_u64())
            });
            signal(server.processes("bad")[0]["pid"].as_u64().expect("pid"), "-KILL");
            server.wait("its end", |server| server.processes("bad").iter().all(|row| row["pid"].is_null()));
        }
        assert_eq!(state(&server, "bad"), "backoff");
        let answer = server.get("bad", "/");
        assert_eq!(answer.status, 503);
        assert!(answer.field("retry-after").is_some());
        let trouble = server.status()["troubled"].clone();
        assert_eq!(trouble[0]["app"], "bad");
        assert!(
            trouble[0]["reason"].as_str().is_some_and(|why| why.contains("killed from outside")),
            "{trouble}"
        );
        server.fazt(&["proc", "wake", "bad"]).ok();
        assert_eq!(server.get("bad", "/").text(), "hello", "the owner's word ends the wait");
    });
}

/// As an ordinary user, whose workers can be sent the signal that the kernel sends for a forbidden system call.
#[test]
fn a_quarantined_app_stays_so_until_the_owner_wakes_or_restarts_it() {
    let uid = root().then_some(ORDINARY);
    let mut server = Server::with(ServerOptions { uid, ..ServerOptions::default() });
    for app in ["bad", "good"] {
        server.deploy_files(app, &[("server.js", HELLO)]);
    }
    for lift in ["wake", "restart"] {
        server.while_answering("good", || {
            assert_eq!(server.get("bad", "/").text(), "hello");
            signal(server.processes("bad")[0]["pid"].as_u64().expect("pid"), "-SYS");
            server.wait("quarantine", |server| state(server, "bad") == "quarantined");
            server.wait("a line in the audit log", |server| {
                server.fazt(&["security", "audit"]).ok().stdout.contains("app.quarantine bad")
            });
            let trouble = server.status()["troubled"].clone();
            assert!(
                trouble[0]["reason"].as_str().is_some_and(|why| why.contains("system call")),
                "{trouble}"
            );
            for verb in ["kill", "hibernate"] {
                server.fazt(&["proc", verb, "bad"]).ok();
                assert_eq!(server.get("bad", "/").status, 503, "{verb} lifts nothing");
            }
            server.deploy_files("bad", &[("server.js", HELLO), ("public/new.txt", lift)]);
            assert_eq!(server.get("bad", "/").status, 503, "nor does a new version");
        });
        server.fazt(&["proc", "stop"]).ok();
        server.exit_code();
        server.start_again();
        assert_eq!(server.get("bad", "/").status, 503, "nor does a restart of the server");
        assert_eq!(state(&server, "bad"), "quarantined");
        server.fazt(&["proc", lift, "bad"]).ok();
        assert_eq!(server.get("bad", "/").text(), "hello", "{lift} does");
    }
}

#[test]
fn a_server_that_dies_while_it_stops_has_stopped() {
    let mut server = Server::start();
    let slow = "export default { async fetch() { await new Promise((r) => setTimeout(r, 20000)); return new Response('late'); } };";
    server.deploy_files("app", &[("server.js", slow)]);
    let mut inside = server.client("app");
    let host = format!("app.localhost:{}", server.address.port());
    inside.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("request");
    server.wait("the slow request", |server| state(server, "app") == "running");
    let supervisor = server.status()["pid"].as_u64().expect("pid");
    let below = server.descendants();
    let mut stop = std::process::Command::new(fazt_tests::fazt_path())
        .args(["proc", "stop", "--data"])
        .arg(server.data())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("fazt proc stop");
    server.wait("new connections to be refused", |server| TcpStream::connect(server.address).is_err());
    signal(supervisor, "-KILL");
    assert_eq!(server.exit_code(), Some(0), "it is not started again");
    assert!(stop.wait().expect("stop ends").success());
    server.wait("nothing to be left", |_| {
        below.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists())
    });
    server.start_again();
    server.deploy_files("app", &[("server.js", HELLO)]);
    assert_eq!(server.get("app", "/").text(), "hello", "and the next start is clean");
}

/// What `kill`, `hibernate`, `wake` and `restart` say and do in each state that can be held still.
#[test]
fn the_owners_words_do_what_the_state_allows() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", HELLO)]);
    let workers = |verb: &str| {
        server.fazt(&["proc", verb, "app", "--json"]).ok().json()["workers"].as_u64().expect("a number")
    };
    // Hibernated.
    assert_eq!((workers("kill"), workers("hibernate")), (0, 0));
    assert_eq!(workers("wake"), 1);
    server.wait("idle", |server| state(server, "app") == "idle");
    let first = server.processes("app")[0]["gen"].clone();
    // Idle.
    assert_eq!(workers("wake"), 0, "it is awake");
    assert_eq!(server.processes("app")[0]["gen"], first);
    assert_eq!(workers("restart"), 1);
    server.wait("another worker", |server| server.processes("app").iter().all(|row| row["gen"] != first));
    assert_eq!(workers("hibernate"), 1);
    server.wait("hibernation", |server| state(server, "app") == "hibernated");
    assert_eq!(workers("restart"), 1, "a restart also starts what slept");
    assert_eq!(workers("kill"), 1);
    server.wait("hibernation", |server| state(server, "app") == "hibernated");
    assert_eq!(server.get("app", "/").text(), "hello");
    // Back-off: it does not load.
    server.deploy_files("app", &[("server.js", "throw new Error('at the top');")]);
    server.wait("back-off", |server| {
        let _ = server.get("app", "/");
        state(server, "app") == "backoff"
    });
    let woken = server.fazt(&["proc", "wake", "app", "--json"]);
    assert_eq!(woken.code, 1, "it was tried and failed again: {}", woken.stdout);
    assert!(
        woken.error()["hint"].as_str().is_some_and(|hint| hint.contains("fazt proc logs")),
        "{}",
        woken.stderr
    );
}
