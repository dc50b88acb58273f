//! Hibernation, waking, restarts, orphans.

use std::path::Path;

use fazt_tests::{Server, ServerOptions};

use crate::HELLO;

const COUNTER: &str = "let n = 0; export default { fetch() { return new Response(String(++n)); } };";

fn state(server: &Server, app: &str) -> String {
    let rows = server.processes(app);
    rows.first().and_then(|row| row["state"].as_str()).unwrap_or("hibernated").to_owned()
}

#[test]
fn an_app_hibernates_when_idle_and_wakes_when_asked() {
    let server =
        Server::with(ServerOptions { config: "[workers]\nidle_s = 1\n".into(), ..ServerOptions::default() });
    server.deploy_files("app", &[("server.js", COUNTER)]);
    assert_eq!(server.get("app", "/").text(), "1");
    assert_eq!(server.get("app", "/").text(), "2");
    server.wait("hibernation", |server| state(server, "app") == "hibernated");
    assert_eq!(server.get("app", "/").text(), "1", "a fresh process");
}

#[test]
fn hibernate_wake_kill_and_restart_do_what_they_say() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", COUNTER)]);
    assert_eq!(server.get("app", "/").text(), "1");
    server.fazt(&["proc", "hibernate", "app"]).ok();
    server.wait("hibernation", |server| state(server, "app") == "hibernated");
    server.fazt(&["proc", "wake", "app"]).ok();
    server.wait("waking", |server| state(server, "app") == "idle");
    assert_eq!(server.get("app", "/").text(), "1");
    server.fazt(&["proc", "kill", "app"]).ok();
    assert_eq!(server.get("app", "/").text(), "1");
    server.fazt(&["proc", "restart", "app"]).ok();
    assert_eq!(server.get("app", "/").text(), "1");
    assert_eq!(server.fazt(&["proc", "kill", "none"]).code, 3);
}

#[test]
fn requests_in_flight_finish_on_the_old_version() {
    let server = Server::start();
    let version = |n: u32| {
        format!(
            "export default {{ async fetch(request) {{
                if (new URL(request.url).pathname === '/slow') await new Promise((r) => setTimeout(r, 1500));
                return new Response('v{n}'); }} }};"
        )
    };
    server.deploy_files("app", &[("server.js", &version(1))]);
    assert_eq!(server.get("app", "/").text(), "v1");
    let mut slow = server.client("app");
    let host = format!("app.localhost:{}", server.address.port());
    slow.send(format!("GET /slow HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("request");
    server.wait("the slow request", |server| state(server, "app") == "running");
    server.deploy_files("app", &[("server.js", &version(2))]);
    assert_eq!(server.get("app", "/").text(), "v2");
    assert_eq!(slow.response(false).expect("answer").text(), "v1");
}

#[test]
fn told_to_stop_the_launcher_lets_requests_finish_and_takes_no_new_ones() {
    let slow = "export default { async fetch() {
        await new Promise((r) => setTimeout(r, 2000)); return new Response('finished'); } };";
    let mut server = Server::start();
    server.deploy_files("app", &[("server.js", slow)]);
    let host = format!("app.localhost:{}", server.address.port());
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let mut inside: Vec<_> = (0..3).map(|_| server.client("app")).collect();
    for client in &mut inside {
        client.send(request.as_bytes()).expect("request");
    }
    let mut idle = server.client("app");
    server.wait("the slow requests", |server| state(server, "app") == "running");
    let told = std::process::Command::new("kill").args(["-TERM", &server.pid().to_string()]).status();
    assert!(told.expect("kill").success());
    server.wait("new connections to be refused", |server| {
        std::net::TcpStream::connect(server.address)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    });
    assert!(idle.get("/").is_err(), "a connection without a request is closed");
    for client in &mut inside {
        let answer = client.response(false).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
    }
    assert_eq!(server.exit_code(), Some(0));
    server.start_again();
    assert_eq!(server.get("app", "/").text(), "finished", "and the next start is clean");
}

#[test]
fn an_app_that_crashes_in_a_row_backs_off() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", "throw new Error('at the top');")]);
    server.deploy_files("other", &[("server.js", HELLO)]);
    server.while_answering("other", || {
        server.wait("back-off", |server| {
            assert!(server.get("app", "/").status >= 500);
            state(server, "app") == "backoff"
        });
        let answer = server.get("app", "/");
        assert_eq!(answer.status, 503);
        assert!(answer.field("retry-after").is_some());
    });
    server.deploy_files("app", &[("server.js", HELLO)]);
    assert_eq!(server.get("app", "/").text(), "hello", "a new version starts afresh");
}

#[test]
fn killing_the_launcher_leaves_no_process_and_the_next_start_is_clean() {
    let mut server = Server::start();
    server.deploy_files("app", &[("server.js", COUNTER)]);
    assert_eq!(server.get("app", "/").text(), "1");
    let below = server.descendants();
    assert!(below.len() >= 2, "supervisor and workers: {below:?}");
    server.kill_hard();
    server.wait("everything to end", |_| {
        below.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists())
    });
    server.start_again();
    assert_eq!(server.get("app", "/").text(), "1");
}

#[test]
fn killing_the_supervisor_keeps_the_address_and_the_apps() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", COUNTER)]);
    assert_eq!(server.get("app", "/").text(), "1");
    let supervisor = server.status()["pid"].as_u64().expect("pid");
    let killed = std::process::Command::new("kill").args(["-9", &supervisor.to_string()]).status();
    assert!(killed.expect("kill").success());
    server.wait("a new supervisor", |server| {
        let outcome = server.fazt(&["proc", "status", "--json"]);
        outcome.code == 0 && outcome.json()["pid"].as_u64() != Some(supervisor)
    });
    assert_eq!(server.get("app", "/").text(), "1", "same address, fresh worker");
}

#[test]
fn a_second_server_on_one_data_folder_is_refused() {
    let server = Server::start();
    let second = server.fazt(&["proc", "start", "--listen", "127.0.0.1:0", "--json"]);
    assert_eq!(second.code, 5, "{}", second.stderr);
    assert_eq!(server.fazt(&["proc", "status"]).code, 0, "the first one goes on");
}

#[test]
fn without_a_server_commands_say_so() {
    let folder = fazt_tests::Folder::new();
    let outcome = fazt_tests::fazt(folder.path(), &["app", "list", "--json"]);
    assert_eq!(outcome.code, 6);
    assert!(outcome.error()["hint"].as_str().is_some_and(|hint| hint.contains("fazt proc start")));
}

#[test]
fn ps_has_the_columns_of_the_contract() {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", COUNTER)]);
    assert_eq!(server.get("app", "/").text(), "1");
    let table = server.fazt(&["proc", "ps"]).ok().stdout;
    let columns: Vec<_> = table.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(
        columns,
        ["APP", "PRINCIPAL", "STATE", "PID", "GEN", "MEM", "CAP", "CPU", "REQS", "IDLE", "KIND"]
    );
    let row = &server.processes("app")[0];
    assert_eq!((&row["principal"], &row["reqs"]), (&"anonymous".into(), &1.into()));
    assert!(row["mem_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{row}");
    let pid = row["pid"].as_u64().expect("pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("CapBnd:\t0000000000000000") || server_is_unprivileged(), "{status}");
}

fn server_is_unprivileged() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) != 0)
}
