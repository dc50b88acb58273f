//! Web APIs for which the web-platform-tests at hand have no files: run by scripts in the worker's engine.

use fazt_worker::Engine;
use rquickjs::CatchResultExt;

/// Runs a script to its end; it throws when something is wrong.
fn run(script: &str, data: &str) {
    let engine = Engine::new().expect("an engine");
    engine.with(|ctx| {
        ctx.globals().set("DATA", data).expect("memory");
        let prelude = r#"
            var FAILED = [], DONE = false;
            function check(what, got, expected) {
                const a = JSON.stringify(got), b = JSON.stringify(expected);
                if (a !== b) FAILED.push(`${what}: got ${a}, not ${b}`);
            }
            function throws(what, name, fn) {
                try { fn(); } catch (e) { if (e.name !== name) FAILED.push(`${what}: threw ${e}`); return; }
                FAILED.push(`${what}: did not throw`);
            }
            async function rejects(what, name, promise) {
                try { await promise; } catch (e) { if (e.name !== name) FAILED.push(`${what}: rejected with ${e}`); return; }
                FAILED.push(`${what}: did not reject`);
            }
        "#;
        ctx.eval::<(), _>(prelude).catch(&ctx).expect("the helpers");
        let script = format!(
            "(async () => {{ {script} }})().catch((e) => FAILED.push(`${{e}} ${{e.stack}}`)).then(() => {{ DONE = true; }});"
        );
        ctx.eval::<(), _>(script).catch(&ctx).unwrap_or_else(|error| panic!("{error}"));
    });
    loop {
        engine.run_jobs();
        match engine.run_due_timer() {
            Some(0) => {}
            Some(wait_ns) => std::thread::sleep(std::time::Duration::from_nanos(wait_ns)),
            None => break,
        }
    }
    let (done, failed) = engine.with(|ctx| {
        let failed: Vec<String> = ctx.globals().get("FAILED").expect("a list");
        (ctx.globals().get::<_, bool>("DONE").expect("a flag"), failed)
    });
    assert!(failed.is_empty(), "{} checks failed:\n{}", failed.len(), failed.join("\n"));
    assert!(done, "the script did not end");
}

#[test]
fn url_patterns_match_as_the_standards_test_data_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/urlpattern/urlpatterntestdata.json");
    let data = std::fs::read_to_string(path).expect(path);
    run(
        r#"
        const PARTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
        for (const entry of JSON.parse(DATA)) {
            const label = JSON.stringify([entry.pattern, entry.inputs]);
            if (entry.expected_obj === "error") {
                throws(label, "TypeError", () => new URLPattern(...entry.pattern));
                continue;
            }
            let pattern;
            try {
                pattern = new URLPattern(...entry.pattern);
            } catch (e) {
                FAILED.push(`${label}: ${e}`);
                continue;
            }
            for (const part of PARTS) {
                const expected = entry.expected_obj?.[part] ?? (entry.exactly_empty_components?.includes(part) ? "" : undefined);
                if (expected !== undefined) check(`${label} ${part}`, pattern[part], expected);
            }
            if (!("inputs" in entry) && entry.expected_match === undefined) continue;
            const inputs = entry.inputs ?? [];
            if (entry.expected_match === "error") {
                throws(`${label} test`, "TypeError", () => pattern.test(...inputs));
                continue;
            }
            check(`${label} test`, pattern.test(...inputs), entry.expected_match !== null);
            const found = pattern.exec(...inputs);
            if (found === null || entry.expected_match === null || entry.expected_match === undefined) continue;
            for (const part of PARTS) {
                let expected = entry.expected_match[part];
                if (expected === undefined) {
                    expected = { input: "", groups: {} };
                    if (!entry.exactly_empty_components?.includes(part)) expected.groups["0"] = "";
                }
                for (const key in expected.groups) if (expected.groups[key] === null) expected.groups[key] = undefined;
                check(`${label} exec ${part}`, found[part], expected);
            }
        }
        "#,
        &data,
    );
}

#[test]
fn compression_streams_take_pieces_and_give_back_what_went_in() {
    run(
        r#"
        const text = "the quick brown fox ".repeat(20000);
        const bytes = new TextEncoder().encode(text);
        const through = async (pieces, transform) => {
            const writer = transform.writable.getWriter();
            const out = new Response(transform.readable).arrayBuffer();
            for (const piece of pieces) writer.write(piece).catch(() => {});
            writer.close().catch(() => {});
            return new Uint8Array(await out);
        };
        const split = (all, size) => {
            const list = [];
            for (let i = 0; i < all.length; i += size) list.push(all.subarray(i, i + size));
            return list;
        };
        for (const format of ["gzip", "deflate", "deflate-raw"]) {
            const packed = await through(split(bytes, 7001), new CompressionStream(format));
            check(`${format} is smaller`, packed.length < bytes.length / 50, true);
            for (const size of [1, 7, packed.length]) {
                const back = await through(split(packed, size), new DecompressionStream(format));
                check(`${format} in pieces of ${size}`, new TextDecoder().decode(back) === text, true);
            }
            const cut = split(packed.slice(0, -1), 100);
            await rejects(`${format} cut short`, "TypeError", through(cut, new DecompressionStream(format)));
            const more = [packed, new Uint8Array([1])];
            await rejects(`${format} with more at the end`, "TypeError", through(more, new DecompressionStream(format)));
            await rejects(`${format} of text`, "TypeError", through([bytes], new DecompressionStream(format)));
            const empty = await through([], new CompressionStream(format));
            check(`${format} of nothing`, (await through([empty], new DecompressionStream(format))).length, 0);
        }
        const named = new Uint8Array([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3, 97, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        check("a gzip header with a name", (await through(split(named, 3), new DecompressionStream("gzip"))).length, 0);
        throws("an unknown format", "TypeError", () => new CompressionStream("zip"));
        "#,
        "",
    );
}

#[test]
fn forms_survive_multipart_and_urlencoded_bodies() {
    run(
        r#"
        const form = new FormData();
        form.append("a", "1\n2");
        form.append("quo\"te", "x");
        form.append("file", new File(["héllo\r\n--b"], "na\"me.txt", { type: "text/plain" }));
        form.append("a", new Blob([new Uint8Array([0, 1, 255])]));
        const back = await new Response(form).formData();
        check("names", [...back.keys()], ["a", "quo\"te", "file", "a"]);
        check("line ends", back.get("a"), "1\r\n2");
        check("a file's name", back.get("file").name, "na\"me.txt");
        check("a file's type", back.get("file").type, "text/plain");
        check("a file's text", await back.get("file").text(), "héllo\r\n--b");
        check("a blob's name", back.getAll("a")[1].name, "blob");
        check("a blob's bytes", [...new Uint8Array(await back.getAll("a")[1].arrayBuffer())], [0, 1, 255]);
        const pairs = new Response(new URLSearchParams([["q", "a b&c"], ["q", "ü"]]));
        check("urlencoded", (await pairs.formData()).getAll("q"), ["a b&c", "ü"]);
        const type = { headers: { "content-type": "multipart/form-data; boundary=x" } };
        await rejects("no boundary in the body", "TypeError", new Response("hello", type).formData());
        await rejects("cut short", "TypeError", new Response("--x\r\nContent-Disposition: form-data; name=a\r\n\r\nv", type).formData());
        "#,
        "",
    );
}

#[test]
fn a_web_socket_pair_carries_messages_and_closes_on_both_ends() {
    run(
        r#"
        const { 0: client, 1: server } = new WebSocketPair();
        const seen = [];
        for (const [name, end] of [["client", client], ["server", server]]) {
            end.addEventListener("message", (e) => seen.push([name, typeof e.data === "string" ? e.data : e.data.byteLength]));
            end.addEventListener("close", (e) => seen.push([name, e.code, e.reason, e.wasClean]));
        }
        server.accept();
        server.send("early");
        throws("sending before accept", "TypeError", () => client.send("x"));
        client.accept();
        client.send(new Uint8Array(3));
        await scheduler.wait(1);
        client.close(3001, "bye");
        await scheduler.wait(1);
        check("order", seen, [["client", "early"], ["server", 3], ["server", 3001, "bye", true], ["client", 3001, "bye", true]]);
        check("states", [client.readyState, server.readyState], [3, 3]);
        throws("a reserved code", "InvalidAccessError", () => new WebSocketPair()[0].close(1001));
        throws("outbound sockets", "NotAllowedError", () => new WebSocket("wss://example.org/"));
        "#,
        "",
    );
}

#[test]
fn messages_between_ports_are_cloned_and_ports_can_be_sent() {
    run(
        r#"
        const { port1, port2 } = new MessageChannel();
        const inner = new MessageChannel();
        const got = [];
        port2.onmessage = (e) => {
            got.push(e.data.n, e.data.self === e.data, e.ports.length);
            e.ports[0]?.postMessage("through");
        };
        inner.port1.onmessage = (e) => { got.push(e.data); port2.close(); };
        const value = { n: 1 };
        value.self = value;
        port1.postMessage(value, [inner.port2]);
        value.n = 2;
        await scheduler.wait(5);
        check("messages", got, [1, true, 1, "through"]);
        throws("functions", "DataCloneError", () => port1.postMessage(() => {}));
        "#,
        "",
    );
}

#[test]
fn structured_clone_keeps_what_it_can_and_refuses_the_rest() {
    run(
        r#"
        const map = new Map([["k", new Set([1, 2])]]);
        const copy = structuredClone({ map, date: new Date(5), re: /a/gi, n: 1n, e: new RangeError("r", { cause: 1 }) });
        check("a map", [...copy.map.get("k")], [1, 2]);
        check("a date", copy.date.getTime(), 5);
        check("a pattern", String(copy.re), "/a/gi");
        check("an error", [copy.e instanceof RangeError, copy.e.message, copy.e.cause], [true, "r", 1]);
        const buffer = new ArrayBuffer(8);
        new Uint8Array(buffer)[0] = 7;
        const { view } = structuredClone({ view: new Uint8Array(buffer, 0, 4) }, { transfer: [buffer] });
        check("transfer", [view[0], view.length, buffer.byteLength], [7, 4, 0]);
        throws("a function", "DataCloneError", () => structuredClone({ f() {} }));
        throws("a response", "DataCloneError", () => structuredClone(new Response("")));
        throws("a symbol", "DataCloneError", () => structuredClone(Symbol("s")));
        const kept = new ArrayBuffer(4);
        throws("a failure", "DataCloneError", () => structuredClone({ kept, f() {} }, { transfer: [kept] }));
        check("a failure takes nothing", kept.byteLength, 4);
        const file = structuredClone(new File(["x"], "f.txt", { type: "text/plain", lastModified: 3 }));
        check("a file", [file.name, file.type, file.lastModified, await file.text()], ["f.txt", "text/plain", 3, "x"]);
        "#,
        "",
    );
}

#[test]
fn the_cache_misses_and_takes_everything() {
    run(
        r#"
        check("match", await caches.default.match("https://a/"), undefined);
        await caches.default.put("https://a/", new Response("x"));
        check("after put", await caches.default.match("https://a/"), undefined);
        const named = await caches.open("n");
        check("open", named === (await caches.open("n")), true);
        "#,
        "",
    );
}

#[test]
fn handlers_that_wait_rewrite_html_as_those_that_do_not() {
    let seed = std::env::var("FAZT_SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("FAZT_SEED={seed}");
    run(
        r#"
        let state = DATA >>> 0 || 1;
        const random = (below) => {
            state ^= state << 13; state >>>= 0;
            state ^= state >>> 17;
            state ^= state << 5; state >>>= 0;
            return state % below;
        };
        const pick = (list) => list[random(list.length)];
        const html = (depth) => {
            let text = "";
            for (let n = random(4); n >= 0; n--) {
                const tag = pick(["p", "div", "b", "li", "img", "é"]);
                text += pick(["", "text &amp; ", "<!--note-->", "x".repeat(random(6000)), "</b>", "<br/>"]);
                if (tag === "é" || depth > 4) continue;
                text += `<${tag} id=${random(9)}${pick(["", " class=a"])}>`;
                if (tag !== "img") text += html(depth + 1) + pick(["", `</${tag}>`]);
            }
            return text;
        };
        const DO = [
            (e) => e.before("<", { html: random(2) === 0 }), (e) => e.after("after"), (e) => e.prepend("pre"),
            (e) => e.append("<i>", { html: true }), (e) => e.setInnerContent("inner"), (e) => e.remove(),
            (e) => e.removeAndKeepContent(), (e) => e.replace("other"), (e) => { e.tagName = `x-${e.tagName}`; },
            (e) => e.setAttribute("n", (e.getAttribute("n") ?? "") + random(10)), (e) => e.removeAttribute("id"),
            (e) => e.getAttribute("class"), () => {}, () => {},
        ];
        const wait = (how) => how === 0 ? null : how === 1 ? new Promise((go) => setTimeout(go, 0)) : Promise.resolve();
        const rewritten = async (text, seed, waits) => {
            state = seed;
            let handled = 0;
            const each = (act) => !waits ? (u) => act(u) : async (u) => {
                if (handled++ % 3) await wait(handled % 4);
                act(u);
            };
            const element = (e) => {
                pick(DO)(e);
                if (random(3) === 0 && !e.removed) try { e.onEndTag(each((end) => { end.before(`[${end.name}]`); })); } catch { }
            };
            const rewriter = new HTMLRewriter()
                .on("*", { element: each(element), text: each((t) => { if (random(9) === 0) t.after("!"); }) })
                .on("p, b", { element: each(element), comments: each((c) => { c.text = "new"; }) })
                .onDocument({ text: each((t) => { if (t.lastInTextNode) t.before("."); }), end: each((e) => { e.append("end"); }) });
            const bytes = new TextEncoder().encode(text);
            const source = new ReadableStream({
                start(c) {
                    for (let at = 0; at < bytes.length;) {
                        const size = 1 + (at * 7919 + seed) % 3000;
                        c.enqueue(bytes.slice(at, at + size));
                        at += size;
                    }
                    c.close();
                },
            });
            return rewriter.transform(new Response(source)).text();
        };
        for (let round = 0; round < 40; round++) {
            const text = html(0), seed = 1 + random(1e9);
            const next = state;
            check(`round ${round}`, await rewritten(text, seed, true), await rewritten(text, seed, false));
            state = next;
        }
        const kept = [];
        await new HTMLRewriter().on("p", { async element(e) {
            kept.push(e);
            await new Promise((go) => setTimeout(go, 5));
            e.setInnerContent(await new Response("later").text());
        } }).transform(new Response("<p>a</p><p>b</p>")).text().then((text) => check("timers", text, "<p>later</p><p>later</p>"));
        check("both", kept.length, 2);
        throws("over", "TypeError", () => kept[0].tagName);
        "#,
        &seed,
    );
}
