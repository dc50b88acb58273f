//! Bodies of requests and responses in the forms that apps use, over the wire.

mod kernel;

use fazt_ipc::wire::kernel::ModuleKind;
use fazt_ipc::wire::{FailureKind, KernelKind, WorkerKind};
use kernel::{Kernel, Limits};

/// Evaluates an expression inside a handler, with `r` the request, and gives it as JSON.
fn check(expression: &str, expect: &str) {
    let source = format!(
        "export default {{ async fetch(r) {{ return Response.json(await (async () => ({expression}))()); }} }};"
    );
    let mut kernel = Kernel::app(&source);
    assert_eq!(kernel.post("/", "text/plain", b"abc").text(), expect, "{expression}");
}

#[test]
fn a_body_is_read_once() {
    check("[await r.text(), await r.text().catch((e) => e.name), r.bodyUsed]", r#"["abc","TypeError",true]"#);
    check("[r.bodyUsed, r.body.locked, await r.text(), r.bodyUsed]", r#"[false,false,"abc",true]"#);
    check("[r.body.getReader() && await r.text().catch((e) => e.name)]", r#"["TypeError"]"#);
}

#[test]
fn a_clone_has_a_body_of_its_own() {
    check("(() => { const c = r.clone(); return Promise.all([r.text(), c.text()]); })()", r#"["abc","abc"]"#);
    check(
        "(() => { const a = new Response('x'), b = a.clone(); return Promise.all([a.text(), b.text()]); })()",
        r#"["x","x"]"#,
    );
}

#[test]
fn every_form_of_reading_works() {
    check("[...new Uint8Array(await r.arrayBuffer())]", "[97,98,99]");
    check("[...(await r.bytes())]", "[97,98,99]");
    check(
        "(await r.blob()).size + (await (new Response('é').blob())).type",
        r#""3text/plain;charset=utf-8""#,
    );
    check("await new Response('{\"a\":[1]}').json()", r#"{"a":[1]}"#);
    check("await new Response('{').json().catch((e) => e.name)", r#""SyntaxError""#);
    check("await new Response('\\ufeffx').text()", r#""x""#);
}

#[test]
fn every_form_of_writing_works() {
    check("await new Response(new Uint8Array([104, 105])).text()", r#""hi""#);
    check("await new Response(new Blob(['a', 'b'])).text()", r#""ab""#);
    check(
        "(() => { const x = new Response(new URLSearchParams({ a: '1 2' })); return x.text().then((t) => [t, x.headers.get('content-type')]); })()",
        r#"["a=1+2","application/x-www-form-urlencoded;charset=UTF-8"]"#,
    );
    check(
        "await new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array([120])); c.close(); } })).text()",
        r#""x""#,
    );
    check("(await new Response(new Uint8Array(3).fill(7)).arrayBuffer()).byteLength", "3");
    check(
        "(() => { try { new Response('x', { status: 204 }); } catch (e) { return e.name; } })()",
        r#""TypeError""#,
    );
    check(
        "(() => { try { new Response('x', { status: 99 }); } catch (e) { return e.name; } })()",
        r#""RangeError""#,
    );
    check(
        "[Response.redirect('https://a.b/c', 301).headers.get('location'), Response.error().type]",
        r#"["https://a.b/c","error"]"#,
    );
}

#[test]
fn forms_travel_both_ways() {
    check(
        "await (async () => { const f = new FormData(); f.append('a', 'ü'); f.append('b', new File(['data'], 'n.txt', { type: 'text/x' }));
           const back = await new Response(f).formData(); const file = back.get('b'); return [back.get('a'), file.name, file.type, await file.text()]; })()",
        r#"["ü","n.txt","text/x","data"]"#,
    );
    check(
        "[...await new Response(new URLSearchParams('a=1&b=%C3%BC')).formData()]",
        r#"[["a","1"],["b","ü"]]"#,
    );
}

#[test]
fn headers_follow_the_standard() {
    check(
        "[...new Headers([['B', ' x '], ['a', '1'], ['A', '2'], ['set-cookie', 'c'], ['Set-Cookie', 'd']])]",
        r#"[["a","1, 2"],["b","x"],["set-cookie","c"],["set-cookie","d"]]"#,
    );
    check(
        "(() => { try { new Headers({ 'a b': '1' }); } catch (e) { return e.name; } })()",
        r#""TypeError""#,
    );
    check(
        "(() => { try { new Headers({ a: '1\\n2' }); } catch (e) { return e.name; } })()",
        r#""TypeError""#,
    );
    check(
        "(() => { const h = new Headers({ a: '1' }); h.append('a', '2'); h.set('a', '3'); h.delete('b'); return [h.get('A'), h.has('a'), h.get('x')]; })()",
        r#"["3",true,null]"#,
    );
}

#[test]
fn a_request_can_be_made_from_another() {
    check("(() => { const a = new Request('https://a.b/c', { method: 'post', body: 'x', headers: { y: 'z' } }); const b = new Request(a, { method: 'PUT' });
            return b.text().then((t) => [b.method, b.url, b.headers.get('y'), t, a.bodyUsed]); })()",
        r#"["PUT","https://a.b/c","z","x",true]"#);
    check("(() => { try { new Request('/relative'); } catch (e) { return e.name; } })()", r#""TypeError""#);
    check(
        "(() => { try { new Request('https://a.b', { body: 'x' }); } catch (e) { return e.name; } })()",
        r#""TypeError""#,
    );
}

#[test]
fn a_response_that_streams_and_fails_is_a_failure() {
    let mut kernel = Kernel::app(
        "export default { fetch() { let n = 0; return new Response(new ReadableStream({ pull(c) { if (n++) throw new Error('halfway'); c.enqueue(new Uint8Array(1)); } })); } };",
    );
    let answer = kernel.get("/");
    assert_eq!(answer.failed().kind, FailureKind::Exception);
    assert_eq!(answer.failed().message, "Error: halfway");
    assert_eq!(kernel.get("/").body.len(), 1, "the worker goes on");
}

#[test]
fn a_client_that_goes_away_cancels_the_stream() {
    let mut kernel = Kernel::app(
        "export default { fetch() { return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); }, cancel(why) { console.log('cancelled', why.name); } })); } };",
    );
    let stream = kernel.open("GET", "/", &[], true);
    while kernel.frame().kind != WorkerKind::Body {}
    kernel.raw(KernelKind::Abort, stream, false, &[]);
    let answer = kernel.answer(stream);
    assert_eq!(answer.logs[0].0, "cancelled AbortError");
}

#[test]
fn a_body_that_nobody_reads_is_stopped() {
    let mut kernel = Kernel::app("export default { fetch() { return new Response('no thanks'); } };");
    let stream = kernel.open("POST", "/", &[], false);
    let mut kinds = Vec::new();
    while kinds.last() != Some(&WorkerKind::Settled) {
        kinds.push(kernel.frame().kind);
    }
    assert_eq!(kinds, [WorkerKind::Response, WorkerKind::Body, WorkerKind::StopBody, WorkerKind::Settled]);
    // What was on its way is not an error.
    kernel.raw(KernelKind::Body, stream, true, b"late");
    assert_eq!(kernel.get("/").text(), "no thanks");
}

#[test]
fn a_body_that_does_not_fit_the_heap_is_out_of_memory() {
    let app = "export default { async fetch(r) { await r.arrayBuffer(); return new Response('read'); } };";
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    let stream = kernel.open("POST", "/", &[], false);
    let mut credit = 256 * 1024;
    let failure = loop {
        while credit >= 65536 {
            credit -= 65536;
            kernel.raw(KernelKind::Body, stream, false, &[1; 65536]);
        }
        let frame = kernel.frame();
        match frame.kind {
            WorkerKind::Credit => credit += fazt_ipc::codec::decode::<u32>(&frame.body).expect("u32"),
            WorkerKind::Failed => {
                break fazt_ipc::codec::decode::<fazt_ipc::wire::Failure>(&frame.body).expect("Failure");
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failure.kind, FailureKind::OutOfMemory);
}

#[test]
fn cyclic_garbage_does_not_fill_the_heap() {
    let app = "const keep = new Array(180000).fill(0).map((_, i) => ({ i }));
        export default { fetch() { for (let i = 0; i < 400000; i++) { const a = {}, b = { a }; a.b = b; } return new Response('ok'); } };";
    let limits = Limits { memory_bytes: 40 << 20, cpu_ms: 20_000 };
    let mut kernel = Kernel::app_with(&[("server.js", ModuleKind::Script, app.as_bytes())], limits);
    assert_eq!(kernel.get("/").text(), "ok");
}
