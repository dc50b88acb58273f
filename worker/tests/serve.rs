//! A worker, driven over its socket as the kernel drives it.

mod kernel;

use fazt_ipc::codec::{decode, encode_long};
use fazt_ipc::syscall::{Call, CallError, DirEntry, EntryKind, KvKind, Reply};
use fazt_ipc::wire::kernel::ModuleKind;
use fazt_ipc::wire::{FailureKind, KernelKind, WorkerKind};
use kernel::{Kernel, Limits};

#[test]
fn a_handler_answers() {
    let mut kernel = Kernel::app("export default { fetch() { return new Response('hello'); } };");
    let answer = kernel.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert_eq!(answer.field("content-type"), "text/plain;charset=UTF-8");
    assert_eq!(answer.body_bytes, Some(5));
    assert!(kernel.end().is_ok());
}

#[test]
fn a_request_is_what_the_client_sent() {
    let mut kernel = Kernel::app(
        "export default { async fetch(request, env, ctx) {
           return Response.json({
             method: request.method, url: request.url, type: request.headers.get('Content-Type'),
             body: await request.text(), used: request.bodyUsed, key: env.API_KEY, user: ctx.user.name,
             app: ctx.app.name, id: ctx.requestId.slice(0, 4),
           }, { status: 201, headers: { 'x-a': 'b' } });
         } };",
    );
    let answer = kernel.post("/p?q=1", "text/x", "grüße".as_bytes());
    assert_eq!(answer.status, 201);
    assert_eq!(answer.field("x-a"), "b");
    assert_eq!(answer.field("content-type"), "application/json");
    assert_eq!(
        answer.text(),
        r#"{"method":"POST","url":"http://notes.localhost:8080/p?q=1","type":"text/x","body":"grüße","used":true,"key":"s3cret","user":"Ada","app":"notes","id":"req_"}"#
    );
}

#[test]
fn a_large_body_of_text_goes_out_under_credit() {
    let mut kernel = Kernel::app("export default { fetch: () => new Response('é'.repeat(500000)) };");
    let answer = kernel.get("/");
    assert_eq!(answer.body_bytes, Some(1_000_000));
    assert_eq!(answer.text().len(), 1_000_000);
}

#[test]
fn a_large_body_comes_in_under_credit() {
    let mut kernel = Kernel::app(
        "export default { async fetch(r) { return new Response(`${(await r.arrayBuffer()).byteLength}`); } };",
    );
    let answer = kernel.post("/", "application/octet-stream", &vec![7; 200_000]);
    assert_eq!(answer.text(), "200000");
}

#[test]
fn bodies_stream_both_ways() {
    let mut kernel = Kernel::app(
        "export default { fetch(request) {
           const upper = new TransformStream({ transform(chunk, to) { to.enqueue(chunk.map((b) => b >= 97 ? b - 32 : b)); } });
           return new Response(request.body.pipeThrough(upper), { headers: { 'content-type': 'text/plain' } });
         } };",
    );
    let stream = kernel.open("POST", "/", &[], false);
    kernel.raw(KernelKind::Body, stream, false, b"abc");
    let head = kernel.frame();
    assert_eq!(head.kind, WorkerKind::Response);
    let mut got = Vec::new();
    while got.len() < 3 {
        let frame = kernel.frame();
        if frame.kind == WorkerKind::Body {
            got.extend_from_slice(&frame.body);
        }
    }
    assert_eq!(got, b"ABC", "before the request is whole");
    kernel.raw(KernelKind::Body, stream, true, b"def");
    assert_eq!(kernel.answer(stream).body, b"DEF");
}

#[test]
fn a_streamed_response_waits_for_credit() {
    let mut kernel = Kernel::app(
        "let made = 0;
         export default { fetch(request) {
           if (request.url.endsWith('/made')) return new Response(`${made}`);
           return new Response(new ReadableStream({ pull(c) { made++; c.enqueue(new Uint8Array(65536)); if (made === 64) c.close(); } }));
         } };",
    );
    let first = kernel.open("GET", "/", &[], true);
    let mut bytes = 0;
    while bytes < 256 * 1024 {
        bytes += kernel.frame().body.len();
    }
    let second = kernel.open("GET", "/made", &[], true);
    let made = loop {
        let frame = kernel.frame();
        if frame.kind == WorkerKind::Body && frame.stream == second {
            break String::from_utf8(frame.body).expect("digits").parse::<u32>().expect("a number");
        }
    };
    assert!(made < 10, "the source was asked for {made} chunks without credit");
    assert_eq!(kernel.frame().kind, WorkerKind::Settled);
    kernel.send(KernelKind::Credit, first, false, &(8_u32 << 20));
    assert_eq!(kernel.answer(first).body.len(), 64 * 65536 - 256 * 1024);
}

#[test]
fn a_client_that_goes_away_aborts_the_signal() {
    let mut kernel = Kernel::app(
        "export default { fetch(request, env, ctx) {
           console.log('started');
           return new Promise((_, reject) => request.signal.addEventListener('abort', () => { console.log('gone', request.signal.reason.name); reject(request.signal.reason); }));
         } };",
    );
    let stream = kernel.open("GET", "/", &[], true);
    assert_eq!(kernel.frame().kind, WorkerKind::Log);
    kernel.raw(KernelKind::Abort, stream, false, &[]);
    let answer = kernel.answer(stream);
    assert_eq!(answer.logs[0].0, "gone AbortError");
    assert!(answer.failure.is_none(), "nothing but Settled follows an abort");
}

#[test]
fn wait_until_keeps_the_request_open_after_its_response() {
    let mut kernel = Kernel::app(
        "export default { fetch(request, env, ctx) {
           ctx.waitUntil(new Promise((done) => setTimeout(() => { console.log('later'); done(); }, 5)));
           return new Response('now');
         } };",
    );
    let answer = kernel.get("/");
    assert_eq!(answer.text(), "now");
    assert_eq!(answer.logs[0].0, "later");
}

#[test]
fn an_exception_names_the_apps_own_file_and_line() {
    let mut kernel = Kernel::app_with(
        &[
            ("server.js", ModuleKind::Script, b"import { f } from './lib/f.js';\nexport default {\n  async fetch() {\n    await null;\n    return f();\n  } };"),
            ("lib/f.js", ModuleKind::Script, b"\nexport function f() { throw new RangeError('no'); }"),
        ],
        Limits::default(),
    );
    let answer = kernel.get("/");
    let failure = answer.failed();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Exception, "RangeError: no"));
    assert!(failure.stack.contains("at f (lib/f.js:2:"), "{}", failure.stack);
    assert!(failure.stack.contains("server.js:5:"), "{}", failure.stack);
    assert!(!failure.stack.contains("fazt:"), "{}", failure.stack);
}

#[test]
fn what_is_not_a_response_is_named() {
    let mut kernel = Kernel::app("export default { fetch: () => ({ a: 1 }) };");
    let answer = kernel.get("/");
    assert_eq!(answer.failed().kind, FailureKind::BadReturn);
    assert!(answer.failed().message.contains("an object (Object)"), "{}", answer.failed().message);
}

#[test]
fn an_endless_loop_ends_with_its_budget() {
    let app = "export default { fetch() { try { for (;;); } catch {} finally { for (;;); } } };";
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    let answer = kernel.get("/");
    assert_eq!(answer.failed().kind, FailureKind::CpuExceeded);
    assert!(answer.failed().stack.contains("at fetch (server.js:1:"), "{:?}", answer.failed());
    assert!(kernel.ended().is_err(), "the worker is torn and ends");
}

#[test]
fn an_endless_chain_of_promises_ends_with_its_budget() {
    let app = "export default { fetch() { const f = () => { Promise.resolve().then(f); }; f(); return new Promise(() => {}); } };";
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    assert_eq!(kernel.get("/").failed().kind, FailureKind::CpuExceeded);
}

#[test]
fn a_loop_after_an_await_names_its_function() {
    let app = "export default { async fetch() {\n await null;\n for (;;) Math.abs(1); } };";
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    let answer = kernel.get("/");
    assert_eq!(answer.failed().kind, FailureKind::CpuExceeded);
    assert!(answer.failed().stack.contains("at fetch (server.js:"), "{:?}", answer.failed());
}

#[test]
fn a_top_level_that_never_ends_does_not_load() {
    let limits = Limits { cpu_ms: 50, ..Limits::default() };
    let mut kernel = Kernel::start(&[("server.js", ModuleKind::Script, b"for (;;);")], limits);
    assert_eq!(kernel.loaded().expect_err("fails").kind, FailureKind::CpuExceeded);
}

#[test]
fn every_kind_of_memory_bomb_is_out_of_memory() {
    for bomb in [
        "let s = 'x'; for (;;) s += s + s.length;",
        "const a = []; for (;;) a.push(Promise.resolve().then(() => a));",
        "const a = []; for (;;) a.push(new Uint8Array(1000));",
        "const m = new Map(); for (let i = 0;; i++) m.set(i, `${i}`.repeat(10));",
        "const a = []; const f = async () => { for (;;) { a.push(new Error('e')); await null; } }; await f();",
        "let o = {}; for (let i = 0;; i++) o[`k${i}`] = i;",
    ] {
        let app = format!("export default {{ async fetch() {{ {bomb} }} }};");
        let limits = Limits { memory_bytes: 8 << 20, cpu_ms: 20_000 };
        let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
        let answer = kernel.get("/");
        let kind = answer.failed().kind;
        // One string of a gigabyte is refused as such; that is an exception like any other.
        assert!(
            kind == FailureKind::OutOfMemory || bomb.starts_with("let s"),
            "{bomb}: {:?}",
            answer.failed()
        );
    }
}

#[test]
fn a_full_heap_fails_every_open_request() {
    let app = "const keep = [];
        export default { fetch(r) { if (r.url.endsWith('wait')) return new Promise(() => {});
          try { for (;;) keep.push(new Array(100).fill({})); } catch { return new Response('caught'); } } };";
    let limits = Limits { memory_bytes: 8 << 20, cpu_ms: 20_000 };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    let waiting = kernel.open("GET", "/wait", &[], true);
    let bomb = kernel.open("GET", "/", &[], true);
    let mut failed = Vec::new();
    while let Some(frame) = kernel.try_frame() {
        assert_eq!(frame.kind, WorkerKind::Failed);
        let failure: fazt_ipc::wire::Failure = fazt_ipc::codec::decode(&frame.body).expect("Failure");
        assert_eq!(failure.kind, FailureKind::OutOfMemory);
        failed.push(frame.stream);
    }
    failed.sort_unstable();
    assert_eq!(failed, [waiting, bomb]);
}

#[test]
fn one_allocation_that_is_too_large_is_only_an_exception() {
    let mut kernel = Kernel::app(
        "export default { fetch() { try { new ArrayBuffer(1 << 30); } catch (e) { return new Response(e.name); } } };",
    );
    assert!(!kernel.get("/").text().is_empty());
    assert!(!kernel.get("/").text().is_empty());
}

#[test]
fn a_missing_module_is_named_with_its_importer() {
    let mut kernel = Kernel::start(
        &[("server.js", ModuleKind::Script, b"import './nope.js'; export default {};")],
        Limits::default(),
    );
    let failure = kernel.loaded().expect_err("fails");
    assert_eq!(failure.kind, FailureKind::Load);
    assert!(failure.message.contains("\"./nope.js\" imported by server.js"), "{}", failure.message);
}

#[test]
fn the_runtimes_own_modules_are_out_of_reach() {
    for name in ["fazt:main", "fazt:native/link", "fazt:host"] {
        let source = format!("import * as x from '{name}'; export default {{}};");
        let mut kernel =
            Kernel::start(&[("server.js", ModuleKind::Script, source.as_bytes())], Limits::default());
        assert!(kernel.loaded().is_err(), "{name}");
        let source =
            format!("export default {{ async fetch() {{ await (0, eval)(\"import('{name}')\"); }} }};");
        let mut kernel = Kernel::app(&source);
        assert!(kernel.get("/").failed().message.contains("cannot find module"), "{name}");
    }
}

#[test]
fn the_service_worker_syntax_works() {
    let mut kernel = Kernel::app(
        "addEventListener('fetch', (event) => event.respondWith(handle(event.request)));
         async function handle(request) { return new Response('old ' + new URL(request.url).pathname); }",
    );
    assert_eq!(kernel.get("/x").text(), "old /x");
}

#[test]
fn an_entrypoint_class_works() {
    let mut kernel = Kernel::app(
        "import { WorkerEntrypoint, env } from 'cloudflare:workers';
         export default class extends WorkerEntrypoint { fetch() { return new Response(this.env.API_KEY + env.API_KEY + this.ctx.app.name); } }",
    );
    assert_eq!(kernel.get("/").text(), "s3crets3cretnotes");
}

#[test]
fn text_json_and_bytes_can_be_imported() {
    let app = "import text from './a.txt'; import json from './b/c.json' with { type: 'json' }; import again from './b/c.json'; import bytes from '/d.bin';
        import { two } from './lib';
        export default { fetch: () => new Response(`${text} ${json.n} ${json === again} ${bytes.byteLength} ${two}`) };";
    let mut kernel = Kernel::app_with(
        &[
            ("server.js", ModuleKind::Script, app.as_bytes()),
            ("a.txt", ModuleKind::Text, "grüß".as_bytes()),
            ("b/c.json", ModuleKind::Json, br#"{"n": 5}"#),
            ("d.bin", ModuleKind::Bytes, &[1, 2, 3]),
            ("lib/index.js", ModuleKind::Script, b"export const two = 2;"),
        ],
        Limits::default(),
    );
    assert_eq!(kernel.get("/").text(), "grüß 5 true 3 2");
}

#[test]
fn requests_wait_until_the_top_level_has_run() {
    let app = "await new Promise((done) => setTimeout(done, 10)); const ready = 'ready'; export default { fetch: () => new Response(ready) };";
    let mut kernel = Kernel::start(&[("server.js", ModuleKind::Script, app.as_bytes())], Limits::default());
    let stream = kernel.open("GET", "/", &[], true);
    assert!(kernel.loaded().expect("loads").0.fetch);
    assert_eq!(kernel.answer(stream).text(), "ready");
}

#[test]
fn a_top_level_that_waits_for_nothing_does_not_load() {
    let app = "await new Promise(() => {}); export default {};";
    let mut kernel = Kernel::start(&[("server.js", ModuleKind::Script, app.as_bytes())], Limits::default());
    assert!(kernel.loaded().expect_err("fails").message.contains("nothing can settle"));
}

#[test]
fn a_throwing_top_level_names_its_line() {
    let app = "\n\nthrow new Error('at once');";
    let mut kernel = Kernel::start(&[("server.js", ModuleKind::Script, app.as_bytes())], Limits::default());
    let failure = kernel.loaded().expect_err("fails");
    assert_eq!(failure.message, "Error: at once");
    assert!(failure.stack.contains("server.js:3:"), "{}", failure.stack);
}

#[test]
fn scripts_compile_to_bytecode_that_runs() {
    let main = b"import { f } from './f.js';\nexport default { fetch() {\n return f(); } };";
    let f = b"export function f() {\n throw new Error('here'); }";
    let made = Kernel::compile(&[("server.js", ModuleKind::Script, main), ("f.js", ModuleKind::Script, f)])
        .expect("compiles");
    assert_eq!(made.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["server.js", "f.js"]);
    let modules: Vec<_> =
        made.iter().map(|(p, b)| (p.as_str(), ModuleKind::Bytecode, b.as_slice())).collect();
    let mut kernel = Kernel::app_with(&modules, Limits::default());
    let answer = kernel.get("/");
    assert!(answer.failed().stack.contains("f.js:2:"), "lines survive: {}", answer.failed().stack);
}

#[test]
fn bytecode_imports_what_scripts_import() {
    let main = b"import d from './d.json' with { type: 'json' };\nexport default { async fetch() { const { two } = await import('./lib/f.js'); return Response.json([d.n, two, import.meta.url]); } };";
    let f = b"export const two = 2;";
    let made =
        Kernel::compile(&[("server.js", ModuleKind::Script, main), ("lib/f.js", ModuleKind::Script, f)])
            .expect("compiles");
    let mut modules: Vec<_> =
        made.iter().map(|(p, b)| (p.as_str(), ModuleKind::Bytecode, b.as_slice())).collect();
    modules.push(("d.json", ModuleKind::Json, b"{\"n\":1}"));
    let mut kernel = Kernel::app_with(&modules, Limits::default());
    assert_eq!(kernel.get("/").text(), r#"[1,2,"file:///server.js"]"#);
}

#[test]
fn a_syntax_error_is_located() {
    let failure = Kernel::compile(&[("lib/bad.js", ModuleKind::Script, b"\nlet x = ;")]).expect_err("fails");
    assert!(failure.message.starts_with("SyntaxError"), "{}", failure.message);
    assert!(failure.stack.contains("lib/bad.js:2:"), "{}", failure.stack);
}

#[test]
fn a_bad_frame_ends_the_worker() {
    for bytes in [
        [0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0xff; 16],
        // A request before there is an app.
        [0, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let (mut kernel, _) = Kernel::spawn();
        kernel.write(&bytes);
        assert!(matches!(kernel.ended(), Err(fazt_worker::link::LinkError::Wire(_))));
    }
}

#[test]
fn outbound_fetch_is_refused_with_the_permission_it_lacks() {
    let mut kernel = Kernel::app(
        "export default { async fetch() {
           try { await fetch('https://example.org/x', { method: 'POST', body: 'b', headers: { A: 'ü' } }); }
           catch (e) { return new Response(`${e.name}: ${e.message} (${e.permission})`); } } };",
    );
    let answer = kernel.get("/");
    assert_eq!(answer.text(), "PermissionDenied: not granted (net:example.org)");
    let fazt_ipc::syscall::Call::NetFetch { method, url, fields, .. } = &answer.calls[0] else {
        panic!("{:?}", answer.calls)
    };
    assert_eq!((method.as_str(), url.as_str()), ("POST", "https://example.org/x"));
    assert!(fields.contains(&("a".into(), vec![0xfc])));
}

#[test]
fn system_calls_are_bound_from_the_table() {
    let mut kernel = Kernel::app(
        "export default { async fetch() {
           const list = await fazt.fs.list();
           const text = new TextDecoder().decode(await fazt.fs.read('a.txt'));
           let wrong; try { await fazt.fs.read(5); } catch (e) { wrong = e.name; }
           return Response.json([list, text, wrong]); } };",
    );
    assert_eq!(kernel.get("/").text(), r#"[[{"name":"a.txt","kind":"file","bytes":3}],"abc","TypeError"]"#);
}

#[test]
fn assets_are_served_by_their_binding() {
    let mut kernel = Kernel::app(
        "export default { async fetch(request, env) {
           const ask = async (path, init) => {
             const r = await env.ASSETS.fetch(new URL(path, request.url), init);
             return [path, r.status, await r.text(), r.headers.get('location') ?? r.headers.get('content-type')];
           };
           return Response.json([
             await ask('/a.txt'), await ask('/a.txt', { method: 'HEAD' }), await ask('/a.txt', { method: 'POST' }),
             await ask('/a.txt', { headers: { 'if-none-match': 'W/\"00\", \"11\"' } }),
             await ask('/sub/'), await ask('/'), await ask('/dir?q'), await ask('/gone'), await ask('/gone/'), await ask('/%ff'),
             [(await (await env.ASSETS.fetch(request)).text())],
           ]); } };",
    );
    let answer = kernel.get("/b%20c");
    let expect = r#"[["/a.txt",200,"abc","text/plain"],["/a.txt",200,"","text/plain"],["/a.txt",405,"Method Not Allowed","text/plain;charset=UTF-8"],["/a.txt",304,"","text/plain"],["/sub/",200,"abc","text/plain"],["/",200,"abc","text/plain"],["/dir?q",307,"","/dir/?q"],["/gone",404,"abc","text/plain"],["/gone/",404,"abc","text/plain"],["/%ff",400,"Bad Request","text/plain;charset=UTF-8"],["abc"]]"#;
    assert_eq!(answer.text(), expect);
    let paths: Vec<_> = answer
        .calls
        .iter()
        .map(|call| match call {
            Call::FsRead { path } => path.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let expect = [
        "public/a.txt",
        "public/a.txt",
        "public/a.txt",
        "public/sub/index.html",
        "public/index.html",
        "public/dir",
        "public/dir.html",
        "public/dir/index.html",
        "public/gone",
        "public/gone.html",
        "public/gone/index.html",
        "public/404.html",
        "public/gone/index.html",
        "public/404.html",
        "public/b c",
    ];
    assert_eq!(paths, expect);
}

#[test]
fn log_lines_carry_the_place_and_are_bounded() {
    let mut kernel = Kernel::app(
        "export default { fetch() {\n  console.log('a', 1, { b: [2] });\n  console.error('x'.repeat(10000));\n  for (let i = 0; i < 500; i++) console.log(i);\n  return new Response('ok'); } };",
    );
    let answer = kernel.get("/");
    assert_eq!(answer.logs[0], ("a 1 { b: [ 2 ] }".into(), "server.js:2".into()));
    assert_eq!(answer.logs[1].0.len(), fazt_ipc::limits::LOG_LINE_BYTES_MAX);
    assert!(answer.logs.len() <= 2 * fazt_ipc::limits::LOG_LINES_PER_S_MAX as usize);
}

#[test]
fn an_unhandled_rejection_reaches_the_log() {
    let mut kernel = Kernel::app(
        "export default { fetch() { Promise.reject(new Error('lost')); const p = Promise.reject(1); p.catch(() => {}); return new Response('ok'); } };",
    );
    let answer = kernel.get("/");
    let second = kernel.get("/");
    let logs: Vec<_> = answer
        .logs
        .iter()
        .chain(&second.logs)
        .map(|(text, _)| text.lines().next().unwrap_or("").to_owned())
        .collect();
    assert!(logs.iter().any(|line| line == "Uncaught (in promise) Error: lost"), "{logs:?}");
    assert!(logs.iter().all(|line| !line.contains('1')), "handled in time: {logs:?}");
}

#[test]
fn drain_finishes_what_is_open() {
    let mut kernel = Kernel::app(
        "export default { async fetch() { await new Promise((done) => setTimeout(done, 10)); return new Response('late'); } };",
    );
    let stream = kernel.open("GET", "/", &[], true);
    kernel.raw(KernelKind::Drain, 0, false, &[]);
    assert_eq!(kernel.answer(stream).text(), "late");
    assert!(kernel.ended().is_ok());
}

#[test]
fn clocks_tick_in_milliseconds() {
    let mut kernel = Kernel::app(
        "export default { fetch: () => new Response(`${Number.isInteger(Date.now())} ${typeof performance === 'undefined' || Number.isInteger(performance.now())}`) };",
    );
    assert_eq!(kernel.get("/").text(), "true true");
}

const CONTEXT: &str = "import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
 const storage = new AsyncLocalStorage();
 const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
 const gate = sleep(30);
 async function deep(n) { if (n === 0) { await sleep(1); return storage.getStore(); } await Promise.resolve(); return await deep(n - 1); }
 export default { async fetch(request) {
   const id = new URL(request.url).pathname;
   const before = storage.getStore();
   const seen = await storage.run(id, async () => {
     const seen = [storage.getStore()];
     const note = () => seen.push(storage.getStore());
     await Promise.resolve(); note();
     await sleep(2); note();
     await gate; note();
     try { await Promise.reject(new Error('x')); } catch { note(); }
     await Promise.all([sleep(1).then(note), sleep(2).then(note).finally(note)]); note();
     await new Promise((done) => queueMicrotask(() => { note(); done(); })); note();
     for await (const _ of (async function* () { yield 1; await sleep(1); note(); yield 2; })()) note();
     await storage.run('inner', async () => { await sleep(1); if (storage.getStore() !== 'inner') seen.push('lost'); }); note();
     await (await new Response('x').blob()).text(); note();
     await request.text(); note();
     for (let i = 0; i < 20; i++) { await sleep(i % 3); note(); }
     seen.push(await deep(3));
     return seen;
   });
   const bound = storage.run('b', () => AsyncResource.bind(() => storage.getStore()));
   return new Response([before, storage.getStore(), bound(), seen.length, [...new Set(seen)].join()].join(' '));
 } };";

#[test]
fn a_context_follows_its_request_through_every_wait() {
    let mut kernel = Kernel::app(CONTEXT);
    let streams: Vec<_> = (0..8).map(|n| kernel.open("GET", &format!("/r{n}"), &[], true)).collect();
    let mut bodies = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    let mut open = streams.len();
    while open > 0 {
        let frame = kernel.frame();
        match frame.kind {
            WorkerKind::Body => bodies.entry(frame.stream).or_default().extend(frame.body),
            WorkerKind::Settled => open -= 1,
            WorkerKind::Response => {}
            other => panic!("{other:?}"),
        }
    }
    for (n, stream) in streams.iter().enumerate() {
        let text = String::from_utf8_lossy(&bodies[stream]).into_owned();
        assert_eq!(text, format!("  b 38 /r{n}"));
    }
}

#[test]
fn a_binding_is_in_env_and_asks_under_its_own_name() {
    let mut kernel = Kernel::app(
        "export default { async fetch(request, env) {
           const tried = [];
           for (const attempt of [() => env.KV.get(''), () => env.KV.get('.'), () => env.KV.get('x'.repeat(513)),
             () => env.KV.get('..'), () => env.KV.put('k', {}), () => env.KV.put('k', 'v', { expirationTtl: 59 }),
             () => env.KV.put('k', 'v', { metadata: 'm'.repeat(1023) }), () => env.KV.list({ limit: 1001 })]) {
             try { await attempt(); } catch (error) { tried.push(`${error.name}: ${error.message.slice(0, 40)}`); }
           }
           try { await env.KV.put('k', new Uint8Array([1]), { metadata: { $a: 1 } }); } catch (error) { tried.push(error.name); }
           return Response.json([Object.keys(env), { ...env }.KV === env.KV, tried]);
         } };",
    );
    let answer = kernel.get("/");
    let Some(Call::KvSet { space, key, value, kind, options }) = answer.calls.first() else {
        panic!("{:?}", answer.calls)
    };
    assert_eq!(
        (space.as_str(), key.as_str(), value.as_slice(), *kind),
        ("app", "KV/k", &[1][..], KvKind::Bytes)
    );
    assert_eq!(options.metadata.as_deref(), Some(r#"{"$$a":1}"#));
    assert_eq!(
        answer.text(),
        r#"[["API_KEY","KV","JOBS","ASSETS"],true,["TypeError: Key name cannot be empty.","TypeError: \".\" is not allowed as a key name.","Error: KV GET failed: 414 UTF-8 encoded length ","TypeError: \"..\" is not allowed as a key name.","TypeError: KV put() accepts only strings, ArrayBuff","Error: KV PUT failed: 400 Invalid expiration_tt","Error: KV PUT failed: 413 Metadata length of 10","Error: KV GET failed: 400 Invalid key_count_lim","PermissionDenied"]]"#
    );
}

#[test]
fn a_call_that_fits_no_frame_follows_its_announcement_as_far_as_it_is_granted() {
    let mut kernel = Kernel::app(
        "export default { async fetch() { return new Response(await fazt.storage.kv.set('k', 'é'.repeat(100_000))); } };",
    );
    let request = kernel.open("GET", "/", &[], true);
    let announced = kernel.frame();
    assert_eq!((announced.kind, announced.end), (WorkerKind::LongCall, false));
    let bytes = decode::<u32>(&announced.body).expect("a length") as usize;
    let mut whole = Vec::new();
    let mut last = false;
    while !last {
        kernel.send(KernelKind::Credit, announced.stream, false, &70_000u32);
        let granted = (whole.len() + 70_000).min(bytes);
        while whole.len() < granted {
            let frame = kernel.frame();
            assert_eq!((frame.kind, frame.stream), (WorkerKind::CallBody, announced.stream));
            whole.extend_from_slice(&frame.body);
            last = frame.end;
        }
        assert_eq!(whole.len(), granted, "no more than was granted");
    }
    assert_eq!(whole.len(), bytes);
    match decode(&whole).expect("a call") {
        Call::KvSet { value, .. } => assert_eq!(value.len(), 200_000),
        other => panic!("{other:?}"),
    }
    let reply: Result<Reply, CallError> = Ok(Reply::KvSet(3));
    kernel.send(KernelKind::Reply, announced.stream, true, &reply);
    assert_eq!(kernel.answer(request).text(), "3");
}

#[test]
fn an_answer_that_fits_no_frame_is_put_together() {
    let mut kernel = Kernel::app(
        "export default { async fetch() { return Response.json((await fazt.fs.list('')).length); } };",
    );
    let request = kernel.open("GET", "/", &[], true);
    let call = kernel.frame();
    let entry = DirEntry { name: "n".repeat(300), kind: EntryKind::File, bytes: 3 };
    let reply: Result<Reply, CallError> = Ok(Reply::FsList(vec![entry; 1_000]));
    let encoded = encode_long(&reply, 1 << 20).expect("fits");
    kernel.send(KernelKind::LongReply, call.stream, false, &(encoded.len() as u32));
    let pieces = encoded.chunks(65_536).count();
    for (at, piece) in encoded.chunks(65_536).enumerate() {
        kernel.raw(KernelKind::ReplyBody, call.stream, at + 1 == pieces, piece);
    }
    assert_eq!(kernel.answer(request).text(), "1000");
}

/// Answers a `fetch` with a head after which bytes would follow.
fn answer_fetch(kernel: &mut Kernel, stream: u32) {
    let head =
        fazt_ipc::syscall::FetchReply { status: 200, url: String::new(), redirected: false, fields: vec![] };
    let reply: Result<Reply, CallError> = Ok(Reply::NetFetch(head));
    kernel.send(KernelKind::Reply, stream, false, &reply);
}

#[test]
fn an_answer_that_nobody_reads_is_given_up_with_its_request() {
    let mut kernel = Kernel::app(
        "export default { async fetch() { globalThis.kept = await fetch('https://example.org/'); return new Response('done'); } };",
    );
    let request = kernel.open("GET", "/", &[], true);
    let call = kernel.frame();
    answer_fetch(&mut kernel, call.stream);
    let mut kinds = Vec::new();
    loop {
        let frame = kernel.frame();
        kinds.push((frame.kind, frame.stream));
        if frame.kind == WorkerKind::Settled {
            break;
        }
    }
    assert!(kinds.contains(&(WorkerKind::CancelCall, call.stream)), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&(WorkerKind::Settled, request)));
    kernel.raw(KernelKind::ReplyBody, call.stream, true, b"");
}

#[test]
fn an_answer_that_comes_after_its_request_is_given_up() {
    let mut kernel = Kernel::app(
        "export default { async fetch() { fetch('https://example.org/').then((r) => { globalThis.kept = r; }); return new Response('done'); } };",
    );
    kernel.open("GET", "/", &[], true);
    let call = kernel.frame();
    assert_eq!(call.kind, WorkerKind::Call);
    while kernel.frame().kind != WorkerKind::Settled {}
    answer_fetch(&mut kernel, call.stream);
    let frame = kernel.frame();
    assert_eq!((frame.kind, frame.stream), (WorkerKind::CancelCall, call.stream));
    kernel.raw(KernelKind::ReplyBody, call.stream, true, b"");
    kernel.open("GET", "/", &[], true);
    while kernel.frame().kind != WorkerKind::Settled {}
}

#[test]
fn calls_beyond_those_that_may_be_open_wait_for_their_turn() {
    let mut kernel = Kernel::app(
        "export default { async fetch() {
           const all = await Promise.all(Array.from({ length: 300 }, (_, n) => n % 2 ? fazt.fs.list('') : fazt.fs.read('a.txt')));
           return Response.json(all.length);
         } };",
    );
    let answer = kernel.get("/");
    assert_eq!((answer.text().as_str(), answer.calls.len()), ("300", 300));
}
