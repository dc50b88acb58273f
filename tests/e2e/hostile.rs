//! Hostile apps. In each case the neighbour keeps answering.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fazt_tests::{Server, ServerOptions};

use crate::HELLO;

const LIMITS: &str = "{\"name\": \"bad\", \"limits\": {\"cpuMs\": 300, \"wallS\": 3, \"memoryMiB\": 16}}";

/// Deploys `script` beside a neighbour, asks `/` and watches the neighbour meanwhile.
fn attack(script: &str) -> (Server, u16) {
    let server = Server::start();
    server.deploy_files("bad", &[("server.js", script), ("app.json", LIMITS)]);
    server.deploy_files("good", &[("server.js", HELLO)]);
    assert_eq!(server.get("good", "/").text(), "hello");
    let over = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut answers = 0u32;
            loop {
                assert_eq!(server.get("good", "/").text(), "hello", "the neighbour");
                answers += 1;
                if over.load(Ordering::Relaxed) {
                    return answers;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        let status = server.get("bad", "/").status;
        over.store(true, Ordering::Relaxed);
        assert!(neighbour.join().expect("neighbour") > 0);
        status
    });
    assert_eq!(server.get("good", "/").text(), "hello");
    (server, status)
}

fn handler(body: &str) -> String {
    format!("export default {{ async fetch(request) {{ {body}\n return new Response('survived'); }} }};")
}

#[test]
fn an_infinite_loop_is_stopped() {
    let (server, status) = attack(&handler("for (;;) { try { for (;;) {} } catch {} }"));
    assert!(matches!(status, 503 | 504), "{status}");
    let again = server.get("bad", "/x").status;
    assert!(matches!(again, 503 | 504), "by a fresh worker or in back-off: {again}");
}

#[test]
fn a_promise_storm_is_stopped() {
    let (_, status) = attack(&handler("const again = () => Promise.resolve().then(again); await again();"));
    assert!(matches!(status, 503 | 504), "{status}");
}

#[test]
fn a_promise_that_never_settles_meets_the_wall_time() {
    let (_, status) = attack(&handler("await new Promise(() => setInterval(() => {}, 1000));"));
    assert_eq!(status, 504);
}

#[test]
fn a_memory_bomb_is_contained() {
    for bomb in [
        "const all = []; for (;;) all.push(new Array(1000).fill(Math.random()));",
        "let text = 'x'; for (;;) text += text + Math.random();",
        "const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));",
    ] {
        let (_, status) = attack(&handler(bomb));
        assert!(matches!(status, 500 | 503), "{bomb}: {status}");
    }
}

/// Builtins that do not ask the interrupt handler for seconds: the supervisor's deadline must end them.
#[test]
fn builtins_that_ignore_the_interrupt_are_killed_from_outside() {
    for builtin in [
        "Array.prototype.reverse.call({ length: 2 ** 53 - 1 });",
        "Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 0, 1);",
        "Array.prototype.join.call({ length: 2 ** 53 - 1 });",
        "Array.prototype.shift.call({ length: 2 ** 53 - 1 });",
        "Array.prototype.unshift.call({ length: 2 ** 53 - 2 }, 1);",
        "Array.prototype.splice.call({ length: 2 ** 53 - 1 }, 0, 1);",
        "Array.prototype.flat.call({ length: 2 ** 53 - 1 });",
        "const a = 'a'.repeat(1 << 20); (a + 'b').repeat(2).indexOf(a + 'c'); for (let i = 0; i < 1e6; i++) a.indexOf(a + i);",
        "new Array(2 ** 30).join();",
        "String.raw({ raw: { length: 2 ** 53 - 1 } });",
    ] {
        let (_, status) = attack(&handler(builtin));
        assert!(matches!(status, 500 | 503 | 504), "{builtin}: {status}");
    }
}

#[test]
fn a_deep_recursion_is_an_ordinary_exception() {
    let (server, status) = attack(&handler("const f = () => f() + 1; f();"));
    assert_eq!(status, 500);
    assert_eq!(server.get("bad", "/").status, 500, "the same worker goes on");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let (server, status) =
        attack(&handler("for (let i = 0; i < 1000; i++) console.log('x'.repeat(8000), i);"));
    assert_eq!(status, 200);
    let logs = server.fazt(&["proc", "logs", "bad", "--json"]).ok().stdout;
    assert!(logs.len() < 4 << 20, "{} bytes of log", logs.len());
}

#[test]
fn terminal_escapes_in_a_log_do_not_reach_the_terminal() {
    let (server, _) = attack(&handler("console.log('\\x1b[2J\\x1b]0;owned\\x07 \\u202e text');"));
    let logs = server.fazt(&["proc", "logs", "bad"]).ok().stdout;
    assert!(logs.contains("text") && !logs.contains('\u{1b}') && !logs.contains('\u{7}'), "{logs:?}");
}

#[test]
fn headers_that_a_worker_may_not_set_are_dropped() {
    let (server, _) = attack(
        "export default { fetch() { const h = new Headers({ 'x-own': 'kept', 'strict-transport-security': 'max-age=1',
            'clear-site-data': '\"*\"', 'alt-svc': 'h3', 'server': 'me', 'connection': 'close', 'upgrade': 'x',
            'permissions-policy': 'publickey-credentials-get=*' });
            h.append('set-cookie', 'a=b; Domain=localhost'); h.append('set-cookie', '__Host-fazt=stolen');
            h.append('set-cookie', 'c=d');
            return new Response('x', { headers: h }); } };",
    );
    let answer = server.get("bad", "/");
    assert_eq!(answer.field("x-own"), Some("kept"));
    for name in ["strict-transport-security", "clear-site-data", "alt-svc", "upgrade"] {
        assert_eq!(answer.field(name), None, "{name}");
    }
    assert_ne!(answer.field("server"), Some("me"));
    let cookies = answer.all("set-cookie").join("\n").to_ascii_lowercase();
    assert!(cookies.contains("a=b") && cookies.contains("c=d"), "{cookies}");
    assert!(!cookies.contains("domain=") && !cookies.contains("fazt"), "{cookies}");
    let policy = answer.field("permissions-policy").unwrap_or_default();
    assert!(policy.contains("publickey-credentials-get=()"), "{policy:?}");
}

#[test]
fn a_worker_never_sees_what_is_meant_for_fazt() {
    let server = Server::start();
    server.deploy_files(
        "app",
        &[("server.js", "export default { fetch(r) { return Response.json([...r.headers]); } };")],
    );
    let answer = server
        .client("app")
        .request(
            "GET",
            "/",
            &[
                ("cookie", "__Host-fazt=secret; mine=1; fazt_dev=secret"),
                ("connection", "x-hop"),
                ("x-hop", "1"),
                ("x-forwarded-for", "6.6.6.6"),
            ],
            &[],
        )
        .expect("answer");
    let text = answer.text();
    assert!(!text.contains("secret") && !text.contains("x-hop") && !text.contains("6.6.6.6"), "{text}");
    assert!(text.contains("mine=1"), "{text}");
    let token = [("authorization", "Bearer fazt_secret")];
    let answer = server.client("app").request("GET", "/", &token, &[]).expect("answer");
    assert_eq!(answer.status, 401, "a token that is not good is refused, not left out: {}", answer.text());
}

#[test]
fn a_full_queue_is_refused_and_the_neighbour_goes_on() {
    let server = Server::with(ServerOptions::default());
    server.deploy_files(
        "bad",
        &[("server.js", "export default { async fetch() { await new Promise((r) => setTimeout(r, 2000)); return new Response('x'); } };")],
    );
    server.deploy_files("good", &[("server.js", HELLO)]);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let all: Vec<_> =
            (0..600).map(|_| scope.spawn(|| server.client("bad").get("/").map_or(0, |r| r.status))).collect();
        assert_eq!(server.get("good", "/").text(), "hello");
        all.into_iter().map(|one| one.join().expect("thread")).collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429 | 503 | 0)), "{statuses:?}");
    assert!(statuses.contains(&200));
    assert_eq!(server.get("good", "/").text(), "hello");
}
