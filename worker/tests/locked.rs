//! The worker program itself, locked down as in production, serving what the other tests serve unlocked.

mod kernel;

use kernel::Kernel;

#[test]
fn a_locked_worker_serves_every_kind_of_request() {
    let mut kernel = Kernel::program(
        env!("CARGO_BIN_EXE_fazt-worker"),
        "import util from 'node:util';
         export default { async fetch(request, env, ctx) {
           const url = new URL(request.url);
           if (url.pathname === '/timer') await new Promise((done) => setTimeout(done, 3));
           if (url.pathname === '/memory') { let n = 0; for (let i = 0; i < 50; i++) n += new Uint8Array(1 << 20).fill(1).length; return new Response(`${n}`); }
           if (url.pathname === '/random') return new Response(`${typeof Math.random()} ${util.format('%d', 5)}`);
           if (url.pathname === '/date') return new Response(new Date(0).toLocaleString().length > 5 ? 'ok' : 'short');
           if (url.pathname === '/throw') throw new Error('thrown');
           if (url.pathname === '/stream') return new Response(request.body);
           console.log('seen', { path: url.pathname });
           return Response.json({ path: url.pathname, body: await request.text() });
         } };",
    );
    assert_eq!(kernel.get("/a").text(), r#"{"path":"/a","body":""}"#);
    assert_eq!(kernel.get("/timer").logs.len(), 1);
    assert_eq!(kernel.get("/memory").text(), (50 << 20).to_string());
    assert_eq!(kernel.get("/random").text(), "number 5");
    assert_eq!(kernel.get("/date").text(), "ok");
    assert_eq!(kernel.get("/throw").failed().message, "Error: thrown");
    assert_eq!(kernel.post("/stream", "x", &[65; 150_000]).body.len(), 150_000);
}

/// Resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("the worker lives");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

#[test]
fn an_idle_worker_gives_memory_back_and_answers_afterwards() {
    let mut kernel = Kernel::program(
        env!("CARGO_BIN_EXE_fazt-worker"),
        "let all = [], few = [];
         export default { fetch(request) {
           if (request.url.endsWith('/drop')) { all = []; return new Response(`${few.length}`); }
           for (let i = 0; i < 60_000; i++) {
             const one = { i }; one.self = one; all.push(one);
             // Lies among them, so that freeing the others leaves holes.
             if (i % 1000 === 0) few.push({ i });
           }
           return new Response(`${all.length}`);
         } };",
    );
    let pid = kernel.child.as_ref().expect("a process").id();
    assert_eq!(kernel.get("/fill").text(), "60000");
    let full = resident(pid);
    assert_eq!(kernel.get("/drop").text(), "60");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // Nobody tells when it rests.
    while resident(pid) + (4 << 20) > full {
        assert!(std::time::Instant::now() < deadline, "{} of {full} bytes are still there", resident(pid));
        std::thread::yield_now();
    }
    assert_eq!(kernel.get("/fill").text(), "60000");
    assert_eq!(kernel.get("/drop").text(), "120");
}
