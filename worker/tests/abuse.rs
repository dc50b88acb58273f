//! Scripts that want more than there is, in the worker program locked down as in production. None of them attacks, so
//! none may end as an attack does (by SIGSYS, which quarantines the app) nor by any other signal: each is answered,
//! or fails with an exception, `OutOfMemory` or `CpuExceeded`, or at worst ends the process with an exit code.

mod kernel;

use std::os::unix::process::ExitStatusExt;

use kernel::Kernel;

/// What each does, and the body of an async handler that does it.
const ABUSES: &[(&str, &str)] = &[
    ("array buffer of 2 GiB", "return new ArrayBuffer(2 ** 31).byteLength"),
    ("array buffers kept", "const all = []; for (;;) all.push(new ArrayBuffer(100_000))"),
    ("large buffers kept", "const all = []; for (;;) all.push(new Uint8Array(5_000_000))"),
    ("typed array of 2**32", "return new Float64Array(2 ** 32).length"),
    ("array of 2**32-1 filled", "return new Array(2 ** 32 - 1).fill(1).length"),
    ("small objects kept", "let all = null; for (;;) all = { all }"),
    ("a string of 2**29", "return 'x'.repeat(2 ** 29).length"),
    ("a string of 20 MB, wide", "return 'é€'.repeat(5_000_000).length"),
    ("a string doubled", "let s = 'x'; for (;;) s = s + s + 'y'"),
    ("strings joined", "return new Array(1e6).fill('x'.repeat(100)).join('').length"),
    ("padding", "return 'x'.padEnd(2 ** 29).length"),
    ("a response of 20 MB", "return 'x'.repeat(2e7)"),
    ("a wide response", "return 'é'.repeat(7e6)"),
    (
        "blob of everything",
        "const all = []; const b = new Uint8Array(1e6); for (let i = 0; i < 1000; i++) all.push(b); return new Blob(all).size",
    ),
    (
        "blob of blobs",
        "let b = new Blob(['x'.repeat(1000)]); for (let i = 0; i < 40; i++) b = new Blob([b, b]); return b.size",
    ),
    ("encoder", "return new TextEncoder().encode('é'.repeat(7e6)).length"),
    ("encoder of ascii", "return new TextEncoder().encode('x'.repeat(15e6)).length"),
    ("decoder", "return new TextDecoder('utf-16le').decode(new Uint8Array(14e6)).length"),
    (
        "decoder of what is malformed",
        "return new TextDecoder().decode(new Uint8Array(10e6).fill(255)).length",
    ),
    ("base64", "return btoa('x'.repeat(12e6)).length"),
    ("escapes", "return encodeURIComponent('\\u0800'.repeat(3e6)).length"),
    ("deep JSON text", "return typeof JSON.parse('['.repeat(1e6) + ']'.repeat(1e6))"),
    ("deep JSON objects", "return typeof JSON.parse('{\"a\":'.repeat(1e6) + '1' + '}'.repeat(1e6))"),
    (
        "deep value to JSON",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return JSON.stringify(a).length",
    ),
    (
        "deep value to JSON by toJSON",
        "const o = () => ({ toJSON: () => ({ o: o() }) }); return JSON.stringify(o())",
    ),
    ("huge JSON", "const a = new Array(1000).fill('x'.repeat(100_000)); return JSON.stringify(a).length"),
    (
        "wide JSON",
        "const o = {}; for (let i = 0; i < 1e5; i++) o['k' + i] = '\\u0001'.repeat(50); return JSON.stringify(o, null, 10).length",
    ),
    ("response of huge JSON", "return Response.json(new Array(500).fill('é'.repeat(50_000)))"),
    ("deep clone", "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return typeof structuredClone(a)"),
    (
        "deep inspection",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; console.log(a); return util.inspect(a, { depth: Infinity }).length",
    ),
    (
        "deep equality",
        "let a = [], b = []; for (let i = 0; i < 1e5; i++) { a = [a]; b = [b]; } return util.isDeepStrictEqual(a, b)",
    ),
    (
        "inspection of much",
        "return util.inspect(new Array(1e6).fill({ a: 1 }), { maxArrayLength: Infinity }).length",
    ),
    ("recursion", "const f = () => f() + 1; return f()"),
    ("recursion through sort", "const f = () => [2, 1].sort(f); return f()"),
    ("recursion through replace", "const f = () => 'a'.replace(/a/, f); return f()"),
    ("recursion through a proxy", "const p = new Proxy({}, { get: (t, k, r) => r[k] }); return p.x"),
    ("recursion through a getter in JSON", "const o = { get o() { return JSON.stringify(o); } }; return o.o"),
    ("recursion through parse", "const f = () => JSON.parse('[1]', f); return f()"),
    (
        "recursion through events",
        "const t = new EventTarget(); t.addEventListener('a', () => t.dispatchEvent(new Event('a'))); t.dispatchEvent(new Event('a')); return 'over'",
    ),
    (
        "recursion through a rewriter",
        "const f = async () => new HTMLRewriter().on('a', { element: f }).transform(new Response('<a>')).text(); return await f()",
    ),
    ("deep source", "return typeof new Function('return ' + '('.repeat(1e5) + '1' + ')'.repeat(1e5))()"),
    ("deep array source", "return typeof (0, eval)('['.repeat(1e5) + ']'.repeat(1e5))"),
    (
        "chain of bound functions",
        "let f = () => 1; for (let i = 0; i < 1e5; i++) f = f.bind(null); return f()",
    ),
    (
        "ropes",
        "let s = ''; for (let i = 0; i < 1e6; i++) s = 'ab' + s + 'c'; return s.length + s.indexOf('bb')",
    ),
    ("random numbers", "crypto.getRandomValues(new Uint8Array(65537))"),
    ("much randomness", "for (;;) crypto.getRandomValues(new Uint8Array(65536))"),
    ("digest", "return (await crypto.subtle.digest('SHA-512', new Uint8Array(14e6))).byteLength"),
    (
        "derivation of much",
        "const k = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']); return (await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(8), iterations: 1 }, k, 8 * 100e6)).byteLength",
    ),
    (
        "endless derivation",
        "const k = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']); for (;;) await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(8), iterations: 1e6 }, k, 256)",
    ),
    (
        "scrypt",
        "for (let i = 0; i < 3; i++) nodeCrypto.scryptSync('a', 'b', 1 << 20, { N: 16384, r: 8, p: 1, maxmem: 2 ** 31 }); return 'done'",
    ),
    (
        "scrypt of much memory",
        "return nodeCrypto.scryptSync('a', 'b', 64, { N: 2 ** 24, r: 8, p: 1, maxmem: 2 ** 40 }).length",
    ),
    (
        "encryption",
        "const k = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt']); return (await crypto.subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, k, new Uint8Array(10e6))).byteLength",
    ),
    (
        "decompression bomb",
        "const zip = await new Response(new Blob([new Uint8Array(5e6)]).stream().pipeThrough(new CompressionStream('gzip'))).bytes(); const all = new Blob(new Array(200).fill(zip)).stream().pipeThrough(new DecompressionStream('gzip')); return (await new Response(all).bytes()).length",
    ),
    (
        "decompression again and again",
        "const zip = await new Response(new Blob([new Uint8Array(5e6)]).stream().pipeThrough(new CompressionStream('deflate'))).bytes(); for (;;) await new Response(new Blob([zip]).stream().pipeThrough(new DecompressionStream('deflate'))).bytes()",
    ),
    (
        "bodies that do not fit in one piece",
        "const kept = new Uint8Array(18e6); const make = () => { let n = 0; return new ReadableStream({ type: 'bytes', pull(c) { if (n++ < 80) c.enqueue(new Uint8Array(1e5)); else c.close(); } }); }; const wrong = []; for (let i = 0; i < 4; i++) try { await new Response(make()).bytes(); } catch (error) { wrong.push(error.name); } return `${kept.length} ${wrong}`",
    ),
    ("compressors kept", "const all = []; for (;;) all.push(new CompressionStream('gzip'))"),
    (
        "rewriters kept",
        "const all = []; for (;;) all.push(new HTMLRewriter().on('a', { element() {} }).transform(new Response('<a>')))",
    ),
    (
        "queue of a stream",
        "let c; new ReadableStream({ start: (given) => { c = given; } }); for (;;) c.enqueue('x'.repeat(1000))",
    ),
    ("expression that backtracks", "return /^(a+)+$/.test('a'.repeat(40) + 'b')"),
    ("expression of many groups", "return /(x+x+)+y/.test('x'.repeat(1e5))"),
    ("deep expression", "return new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('')"),
    ("large expression", "return new RegExp('(?:a{1000}){1000}').test('a')"),
    ("expression over much", "return 'x'.repeat(5e6).replace(/x/g, 'yyyyyyyyyy').length"),
    ("split", "return 'x'.repeat(5e6).split('').length"),
    ("big numbers", "return (2n ** 1_000_000_000n).toString().length"),
    ("big numbers multiplied", "let n = 3n; for (;;) n *= n"),
    ("number of many digits", "return BigInt('9'.repeat(1e6)).toString().length"),
    ("deep selector", "new HTMLRewriter().on(':not('.repeat(1e5) + 'a' + ')'.repeat(1e5), {})"),
    ("long selector", "new HTMLRewriter().on('a,'.repeat(1e6) + 'a', {})"),
    (
        "descending selector",
        "return (await new HTMLRewriter().on('a '.repeat(2000), { element() {} }).transform(new Response('<a>'.repeat(1e4))).text()).length",
    ),
    (
        "deep html",
        "return (await new HTMLRewriter().on('a', { element(e) { e.append('x'.repeat(1e4)); } }).transform(new Response('<a>'.repeat(1e5))).text()).length",
    ),
    (
        "long attribute",
        "return (await new HTMLRewriter().on('a', { element(e) { e.setAttribute('b', 'x'.repeat(5e6)); e.setAttribute('c', 'x'.repeat(5e6)); } }).transform(new Response('<a>'.repeat(10))).text()).length",
    ),
    ("long address", "return new URL('http://a/' + 'é'.repeat(4e6)).href.length"),
    ("long host", "return new URL('http://' + 'é'.repeat(1e6)).href.length"),
    ("many parameters", "return new URLSearchParams('a&'.repeat(1e6)).size"),
    ("pattern", "return new URLPattern({ pathname: '/' + '{a}?'.repeat(1e4) }).test('http://a/')"),
    ("deep pattern", "return new URLPattern({ pathname: '(' .repeat(1e5) }).test('http://a/')"),
    (
        "form",
        "const f = new FormData(); for (let i = 0; i < 1e5; i++) f.append('a', 'x'.repeat(100)); return (await new Response(f).text()).length",
    ),
    (
        "many header fields",
        "const h = new Headers(); for (let i = 0; i < 1e6; i++) h.append('a' + i, 'b'); return 'done'",
    ),
    ("long header field", "return new Response('', { headers: { a: 'x'.repeat(1e7) } })"),
    ("many log lines", "for (;;) console.log('x'.repeat(1e5))"),
    ("a long log line", "console.log('x'.repeat(1e7)); return 'done'"),
    ("a long message", "throw new Error('é'.repeat(5e6))"),
    ("a long stack", "const e = new Error('a'); e.stack = 'at x'.repeat(3e6); throw e"),
    ("timers", "for (;;) setTimeout(() => {}, 1e6)"),
    ("microtasks", "const f = () => Promise.resolve().then(f); await f()"),
    ("many microtasks", "for (;;) Promise.resolve().then(() => {})"),
    ("await for ever", "for (;;) await 1"),
    ("rejections", "for (;;) Promise.reject(new Error('x'))"),
    ("buffers", "return Buffer.alloc(2 ** 30).length"),
    ("hex", "return Buffer.alloc(7e6).toString('hex').length"),
    ("buffers joined", "return Buffer.concat(new Array(100).fill(Buffer.alloc(1e6))).length"),
    (
        "resizable buffer",
        "const b = new ArrayBuffer(1, { maxByteLength: 2 ** 31 }); b.resize(2 ** 31); return b.byteLength",
    ),
    (
        "a catch of everything",
        "const all = []; for (;;) try { all.push(new Array(1000).fill(0)); } catch { }",
    ),
    (
        "finally after the end",
        "const all = []; try { for (;;) all.push({}); } finally { for (;;) all.push('x'.repeat(100) + all.length); }",
    ),
    (
        "async with memory at its end",
        "const all = []; const f = async (n) => { all.push(new Array(100)); await null; return f(n + 1); }; return await f(0)",
    ),
    ("generators kept", "function* g() { yield* g(); } for (const x of g()) ;"),
    ("destructors", "let n = null; for (let i = 0; i < 3e5; i++) n = [n]; n = null; return 'freed'"),
];

fn script(body: &str) -> String {
    format!(
        "import util from 'node:util'; import nodeCrypto from 'node:crypto'; import {{ Buffer }} from 'node:buffer';
         export default {{ async fetch(request) {{
           if (request.url.endsWith('/alive')) return new Response('alive');
           const made = await (async () => {{ {body} }})();
           return made instanceof Response ? made : new Response(`${{made}}`);
         }} }};"
    )
}

/// Runs one; what may not be goes to `wrong`.
fn outcome(name: &str, body: &str, wrong: &mut Vec<String>) -> String {
    let mut kernel = Kernel::program(env!("CARGO_BIN_EXE_fazt-worker"), &script(body));
    let answer = kernel.get("/");
    let kind = answer.failure.as_ref().map(|failure| failure.kind);
    let ended = answer.failure.is_none() && answer.status == 0;
    if ended || kind.is_some_and(fazt_ipc::wire::FailureKind::recycles) {
        let status = kernel.child.as_mut().expect("a process").wait().expect("it ended");
        if status.signal().is_some() || (ended && !matches!(status.code(), Some(102 | 103))) {
            wrong.push(format!("{name}: {status}"));
        }
        return format!("{kind:?}, {status}");
    }
    if kernel.get("/alive").text() != "alive" {
        wrong.push(format!("{name}: it serves nobody any more"));
    }
    format!("{kind:?}, status {}", answer.status)
}

#[test]
fn what_asks_for_too_much_never_ends_as_an_attack_does() {
    let only = std::env::var("FAZT_ABUSE").unwrap_or_default();
    let from = std::env::var("FAZT_FROM").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut wrong = Vec::new();
    for (name, body) in ABUSES.iter().filter(|(name, _)| name.contains(&only)).skip(from) {
        let began = std::time::Instant::now();
        let run = std::panic::AssertUnwindSafe(|| outcome(name, body, &mut wrong));
        let how = std::panic::catch_unwind(run).unwrap_or_else(|_| "no answer in time".to_owned());
        if how.starts_with("no answer") {
            wrong.push(format!("{name}: {how}"));
        }
        println!("{name}: {how}, {} ms", began.elapsed().as_millis());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
