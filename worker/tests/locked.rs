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
