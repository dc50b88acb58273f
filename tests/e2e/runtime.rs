//! Handlers, streams, errors: what an app's author sees.

use fazt_tests::Server;

fn serve(script: &str) -> Server {
    let server = Server::start();
    server.deploy_files("app", &[("server.js", script)]);
    server
}

#[test]
fn a_handler_sees_the_request_and_its_context() {
    let server = serve(
        "export default { async fetch(request, env, ctx) {
            const url = new URL(request.url);
            return Response.json({ method: request.method, path: url.pathname, query: url.searchParams.get('q'),
                header: request.headers.get('x-test'), body: await request.text(), user: ctx.user,
                app: ctx.app.name, id: ctx.requestId });
        } }",
    );
    let answer =
        server.client("app").request("POST", "/path?q=1", &[("x-test", "yes")], b"the body").expect("answer");
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(seen["method"], "POST");
    assert_eq!((&seen["path"], &seen["query"]), (&"/path".into(), &"1".into()));
    assert_eq!((&seen["header"], &seen["body"]), (&"yes".into(), &"the body".into()));
    assert_eq!((&seen["user"], &seen["app"]), (&serde_json::Value::Null, &"app".into()));
    assert!(seen["id"].as_str().is_some_and(|id| id.starts_with("req_")));
}

#[test]
fn bodies_stream_both_ways() {
    let server = serve(
        "export default { fetch(request) {
            const upper = new TransformStream({ transform(chunk, out) {
                out.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase())); } });
            return new Response(request.body.pipeThrough(upper));
        } }",
    );
    let mut client = server.client("app");
    let host = format!("app.localhost:{}", server.address.port());
    client
        .send(format!("POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())
        .expect("head");
    client.send(b"3\r\nabc\r\n").expect("chunk");
    assert_eq!(client.head().expect("head").status, 200);
    assert_eq!(client.chunk().expect("chunk"), b"ABC", "the answer starts before the request ends");
    client.send(b"3\r\ndef\r\n0\r\n\r\n").expect("chunk");
    assert_eq!(client.chunk().expect("chunk"), b"DEF");
    assert_eq!(client.chunk().expect("end"), b"");
}

#[test]
fn a_large_body_passes_through_a_small_worker() {
    let server = serve(
        "export default { async fetch(request) {
            let n = 0;
            for await (const chunk of request.body) n += chunk.length;
            const piece = new Uint8Array(65536).fill(120);
            let left = n / piece.length;
            return new Response(new ReadableStream({ pull(c) { left-- > 0 ? c.enqueue(piece) : c.close(); } }));
        } }",
    );
    let body = vec![7u8; 96 << 20];
    let answer = server.client("app").request("POST", "/", &[], &body).expect("answer");
    assert_eq!((answer.status, answer.body.len()), (200, body.len()));
}

#[test]
fn an_exception_is_a_500_with_an_id_and_the_log_has_file_and_line() {
    let server = serve(
        "function deep() {\n  throw new TypeError('broken');\n}\nexport default { fetch() { deep(); } };",
    );
    let answer = server.get("app", "/");
    assert_eq!(answer.status, 500);
    let id = answer.field("x-request-id").expect("request id").to_owned();
    let logs = server.fazt(&["proc", "logs", "app", "--json"]).ok().stdout;
    assert!(logs.contains(&id) && logs.contains("broken") && logs.contains("server.js:2"), "{logs}");
}

#[test]
fn the_log_of_a_typescript_app_names_its_own_lines() {
    let server = Server::start();
    server.deploy_files(
        "app",
        &[("server.ts", "interface A { a: number }\n\ntype B = A;\nexport default {\n  fetch(): Response {\n    console.warn('look', 1);\n    throw new Error('typed');\n  },\n};")],
    );
    assert_eq!(server.get("app", "/").status, 500);
    let logs = server.fazt(&["proc", "logs", "app", "--json"]).ok().stdout;
    assert!(logs.contains("server.ts:6") && logs.contains("server.ts:7"), "{logs}");
}

#[test]
fn wait_until_goes_on_after_the_answer() {
    let server = serve(
        "let done = 0;
         export default { fetch(request, env, ctx) {
            if (new URL(request.url).pathname === '/done') return new Response(String(done));
            ctx.waitUntil(new Promise((resolve) => setTimeout(() => { done++; resolve(); }, 50)));
            return new Response('early');
        } }",
    );
    assert_eq!(server.get("app", "/").text(), "early");
    server.wait("waitUntil to finish", |server| server.get("app", "/done").text() == "1");
}

#[test]
fn a_client_that_leaves_aborts_the_request() {
    let server = serve(
        "let aborted = 0;
         export default { async fetch(request) {
            if (new URL(request.url).pathname === '/aborted') return new Response(String(aborted));
            request.signal.addEventListener('abort', () => aborted++);
            await new Promise((resolve) => setTimeout(resolve, 20000));
            return new Response('late');
        } }",
    );
    let mut client = server.client("app");
    let host = format!("app.localhost:{}", server.address.port());
    client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("request");
    server.wait("the worker to run", |server| {
        server.processes("app").iter().any(|row| row["state"] == "running")
    });
    drop(client);
    server.wait("the abort", |server| server.get("app", "/aborted").text() == "1");
}

#[test]
fn modules_text_and_json_are_imported() {
    let server = Server::start();
    server.deploy_files(
        "app",
        &[
            ("server.js", "import { f } from './lib/f.js'; import page from './page.html'; import data from './data.json';\nexport default { fetch() { return new Response(f(page + data.n)); } };"),
            ("lib/f.js", "import { g } from './g.js'; export const f = (x) => g(x);"),
            ("lib/g.js", "export const g = (x) => `[${x}]`;"),
            ("page.html", "<p>"),
            ("data.json", "{\"n\": 42}"),
        ],
    );
    assert_eq!(server.get("app", "/").text(), "[<p>42]");
}

#[test]
fn the_old_service_worker_syntax_runs() {
    let server = serve(
        "addEventListener('fetch', (event) => event.respondWith(new Response('old ' + event.request.method)));",
    );
    assert_eq!(server.get("app", "/").text(), "old GET");
}

#[test]
fn outbound_fetch_is_denied_by_name() {
    let server = serve(
        "export default { async fetch() {
            try { await fetch('https://api.example.org/x'); return new Response('reached'); }
            catch (error) { return Response.json({ name: error.name, message: error.message, permission: error.permission }); }
        } }",
    );
    let answer: serde_json::Value = serde_json::from_slice(&server.get("app", "/").body).expect("JSON");
    assert_eq!(answer["name"], "PermissionDenied");
    assert!(answer["message"].as_str().is_some_and(|text| text.contains("net:api.example.org")), "{answer}");
}

#[test]
fn an_app_reads_its_own_files_only() {
    let server = Server::start();
    server.deploy_files(
        "app",
        &[
            (
                "server.js",
                "export default { async fetch() {
                const text = new TextDecoder().decode(await fazt.fs.read('data/a.txt'));
                const list = (await fazt.fs.list('data')).map((entry) => entry.name);
                let name; try { await fazt.fs.read('../../kernel.db'); } catch (error) { name = error.name; }
                return Response.json({ text, list, name, size: (await fazt.fs.stat('data/a.txt')).bytes });
            } }",
            ),
            ("data/a.txt", "content"),
        ],
    );
    let seen: serde_json::Value = serde_json::from_slice(&server.get("app", "/").body).expect("JSON");
    assert_eq!(seen["text"], "content", "{seen}");
    assert_eq!((&seen["list"][0], &seen["size"]), (&"a.txt".into(), &7.into()));
    assert!(matches!(seen["name"].as_str(), Some("NotFound" | "InvalidArgument")), "{seen}");
}

#[test]
fn web_apis_are_there() {
    let server = serve(
        "export default { async fetch() {
            const names = 'Request Response Headers URL URLSearchParams URLPattern TextEncoder TextDecoder TextEncoderStream TextDecoderStream ReadableStream WritableStream TransformStream CompressionStream DecompressionStream Blob File FormData AbortController AbortSignal Event EventTarget crypto structuredClone queueMicrotask setTimeout setInterval console performance atob btoa WebSocket WebSocketPair HTMLRewriter Buffer'.split(' ');
            const missing = names.filter((name) => typeof globalThis[name] === 'undefined');
            const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc'));
            const hex = [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
            const zipped = new Response(new Blob(['x'.repeat(1000)]).stream().pipeThrough(new CompressionStream('gzip')));
            const size = (await zipped.arrayBuffer()).byteLength;
            return Response.json({ missing, hex, size, cloned: structuredClone(new Map([[1, { a: new Date(0) }]])).get(1).a.getTime() });
        } }",
    );
    let seen: serde_json::Value = serde_json::from_slice(&server.get("app", "/").body).expect("JSON");
    assert_eq!(seen["missing"], serde_json::json!([]));
    assert_eq!(seen["hex"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(seen["size"].as_u64().is_some_and(|size| size < 100));
    assert_eq!(seen["cloned"], 0);
}

#[test]
fn a_slow_reader_does_not_fill_the_worker() {
    let server = serve(
        "let produced = 0;
         export default { fetch(request) {
            if (new URL(request.url).pathname === '/produced') return new Response(String(produced));
            return new Response(new ReadableStream({ pull(c) { produced += 65536; c.enqueue(new Uint8Array(65536)); } }));
        } }",
    );
    let mut slow = server.client("app");
    let host = format!("app.localhost:{}", server.address.port());
    slow.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).expect("request");
    slow.head().expect("head");
    slow.chunk().expect("chunk");
    let produced = |server: &Server| server.get("app", "/produced").text().parse::<u64>().expect("number");
    // Buffers of sockets and the credit bound it; an endless stream must come to rest.
    let mut last = produced(&server);
    server.wait("the stream to rest", |server| {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let now = produced(server);
        std::mem::replace(&mut last, now) == now
    });
    assert!(last < 32 << 20, "{last} bytes were produced for a reader that stalls");
}
