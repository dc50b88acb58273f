//! `fazt.storage.blobs` from an app's JavaScript to files: streams, ranges, people, the quota, a power cut.

use fazt_tests::{Browser, Client, Server};
use serde_json::{Value, json};

const APP: &str = r#"
const { blobs } = fazt.storage, all = fazt.storage.space("app").blobs;
const hex = async (bytes) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
// Bytes that tell where they are.
const pattern = (from, length) => { const bytes = new Uint8Array(length); for (let n = 0; n < length; n++) bytes[n] = (from + n) * 31 % 251; return bytes; };
const made = (length, piece = 60_000) => { let at = 0; return new ReadableStream({ type: "bytes", pull(controller) {
  if (at === length) { controller.close(); return; }
  const next = Math.min(piece, length - at); controller.enqueue(pattern(at, next)); at += next;
} }); };
const actions = {
  async kinds() {
    const put = [await blobs.put("text", "héllo", { contentType: "text/x", meta: { a: [1, new Date(5)] } }), await blobs.put("bytes", new Uint8Array([1, 2])),
      await blobs.put("blob", new Blob(["b"], { type: "image/x" })), await blobs.put("response", new Response("r", { headers: { "content-type": "text/r" } })),
      await blobs.put("stream", new Response("s").body), await blobs.put("empty", "")];
    const text = await blobs.get("text");
    return [put.map((info) => [info.key, info.size, info.contentType]), await text.text(), text.meta.a[1].getTime(), text.uploaded instanceof Date, text.bodyUsed,
      [...await (await blobs.get("bytes")).bytes()], (await (await blobs.get("blob")).blob()).type, await new Response((await blobs.get("stream")).body).text(),
      await (await blobs.get("empty")).text(), await blobs.get("none"), await blobs.head("none"), (await blobs.head("text")).etag.length,
      (await blobs.list({ limit: 4 })).blobs.map((info) => info.key), await blobs.delete("empty"), await blobs.delete(["empty", "blob"])];
  },
  async large(length) {
    length = Number(length);
    const { size, etag } = await all.put("large", made(length));
    let at = 0, right = true;
    for await (const chunk of (await all.get("large")).body) {
      for (let n = 0; n < chunk.length; n += 977) right &&= chunk[n] === (at + n) * 31 % 251;
      at += chunk.length;
    }
    const part = await all.get("large", { range: { offset: 200_001, length: 5 } }), last = await all.get("large", { range: { suffix: 3 } });
    return [size, etag.length, at, right, [...await part.bytes()].join() === [...pattern(200_001, 5)].join(), part.range, last.range.offset === length - 3];
  },
  async upload(request) { return (await all.put("upload", request.body)).size; },
  async download() { const found = await all.get("upload"); return new Response(found.body, { headers: { "x-size": String(found.size) } }); },
  async sum() { return hex(await (await all.get("upload")).arrayBuffer()); },
  async breaks() {
    await all.put("breaks", "old");
    let sent = 0;
    const broken = new ReadableStream({ pull(controller) { if (sent++ > 5) throw new Error("broke off"); controller.enqueue(pattern(0, 60_000)); } });
    const error = await all.put("breaks", broken).catch((error) => error.message);
    return [error, await (await all.get("breaks")).text()];
  },
  async unread() {
    await all.put("unread", made(1_000_000));
    // More than may be open at once: each goes when nobody has it any more.
    for (let n = 0; n < 20; n++) { const found = await all.get("unread"); if (n % 2) await found.body.cancel(); globalThis.kept = found; }
    return "done";
  },
  async mine(value) { if (value) await blobs.put("mine", value); return (await blobs.get("mine"))?.text(); },
  async keep(value) { await all.put("kept", made(400_000)); await all.put("small", value); return value; },
  async kept() { return [(await (await all.get("kept")).bytes()).length, await (await all.get("small")).text()]; },
  async wrong(which) {
    return await [() => blobs.put("", "x"), () => blobs.put("k".repeat(1025), "x"), () => blobs.put("k", { a: 1 }), () => blobs.get(5), () => blobs.get("text", { range: { offset: 50 } }),
      () => blobs.get("text", { range: { offset: -1 } }), () => blobs.list({ cursor: "made up" }), () => blobs.list({ limit: 0 }), () => fazt.storage.space("space_x").blobs.get("k"),
      () => blobs.put("k", "x", { meta: "m".repeat(10_000) }), () => all.put("huge", made(6_000_000)), () => blobs.delete(Array(1001).fill("k"))][which]();
  },
  async names() {
    const names = ["../../app.fazt", "a\0b", "'; DROP TABLE blob; --", "%2e%2e/", "\u{1f600}".repeat(200), "_space", "sqlite_master"];
    for (const name of names) await blobs.put(name, name);
    const back = await Promise.all(names.map(async (name) => (await (await blobs.get(name)).text()) === name));
    await blobs.delete(names);
    return back;
  },
};
export default { async fetch(request, env) {
  const [action, ...rest] = new URL(request.url).pathname.slice(1).split("/").map(decodeURIComponent);
  try {
    const gave = await actions[action](...(action === "upload" ? [request] : rest));
    return gave instanceof Response ? gave : Response.json({ gave: gave ?? null });
  } catch (error) { return Response.json({ error: error.name, message: error.message }); }
} };"#;

const MANIFEST: &str = r#"{ "name": "files", "main": "server.js", "access": "public", "permissions": { "spaces": true },
  "limits": { "storageMiB": 256, "cpuMs": 30000, "wallS": 120 } }"#;

fn serve(manifest: &str) -> Server {
    let server = Server::start();
    server.deploy_files("files", &[("app.json", manifest), ("server.js", APP)]);
    server
}

fn ask(browser: &mut Browser, path: &str) -> Value {
    let page = browser.open(&browser.url("files", path));
    assert_eq!(page.status(), 200, "{path}: {}", page.text());
    serde_json::from_str(&page.text()).expect("JSON")
}

fn gave(browser: &mut Browser, path: &str) -> Value {
    let said = ask(browser, path);
    assert!(said["error"].is_null(), "{path}: {said}");
    said["gave"].clone()
}

fn client(server: &Server) -> Client {
    server.client("files")
}

#[test]
fn everything_with_bytes_is_put_and_comes_back() {
    let manifest = MANIFEST.replace("public", "members");
    let server = serve(&manifest);
    let mut owner = server.owner();
    let expect = json!([
        [
            ["text", 6, "text/x"],
            ["bytes", 2, null],
            ["blob", 1, "image/x"],
            ["response", 1, "text/r"],
            ["stream", 1, null],
            ["empty", 0, null]
        ],
        "héllo",
        5,
        true,
        true,
        [1, 2],
        "image/x",
        "s",
        "",
        null,
        null,
        32,
        ["blob", "bytes", "empty", "response"],
        1,
        1
    ]);
    assert_eq!(gave(&mut owner, "/kinds"), expect);
    for (which, expect) in [
        "InvalidArgument",
        "InvalidArgument",
        "TypeError",
        "TypeError",
        "InvalidQuery",
        "TypeError",
        "InvalidQuery",
        "InvalidQuery",
        "NotFound",
        "TooLarge",
        "no error",
        "InvalidArgument",
    ]
    .iter()
    .enumerate()
    {
        let said = ask(&mut owner, &format!("/wrong/{which}"));
        assert_eq!(said["error"].as_str().unwrap_or("no error"), *expect, "{which}: {said}");
    }
    assert_eq!(gave(&mut owner, "/names"), json!([true, true, true, true, true, true, true]));
    assert_eq!(gave(&mut owner, "/breaks"), json!(["broke off", "old"]));
    assert_eq!(gave(&mut owner, "/unread"), "done");
    assert_eq!(gave(&mut owner, "/unread"), "done");
    let mut anna = server.user("anna", &[]);
    assert_eq!(gave(&mut owner, "/mine/olga's"), "olga's");
    assert_eq!(gave(&mut anna, "/mine"), Value::Null);
    assert_eq!(gave(&mut anna, "/mine/anna's"), "anna's");
    assert_eq!(gave(&mut owner, "/mine"), "olga's");
}

#[test]
fn a_hundred_megabytes_pass_through_a_worker_with_a_heap_of_eight() {
    let manifest = MANIFEST.replace("\"storageMiB\"", "\"memoryMiB\": 8, \"storageMiB\"");
    let server = serve(&manifest);
    let said = client(&server).get("/large/100000000").expect("an answer").text();
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let expect = json!([100_000_000, 32, 100_000_000, true, true, { "offset": 200_001, "length": 5 }, true]);
    assert_eq!(said["gave"], expect, "{said}");
    // Nor did any process of the server ever hold as much at once.
    let peaks: Vec<u64> = server.descendants().into_iter().filter_map(peak_bytes).collect();
    assert!(!peaks.is_empty() && peaks.iter().all(|peak| *peak < 100_000_000), "{peaks:?}");
}

/// The most memory that a process has had.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn a_body_goes_to_a_file_and_comes_from_it_as_it_was() {
    let server = serve(MANIFEST);
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at * 7 % 253) as u8).collect();
    let put = client(&server).request("POST", "/upload", &[], &body).expect("an answer");
    assert_eq!(put.text(), r#"{"gave":3000000}"#);
    let got = client(&server).get("/download").expect("an answer");
    assert_eq!(got.field("x-size"), Some("3000000"));
    assert!(got.body == body, "{} bytes came back", got.body.len());
}

#[test]
fn what_is_over_the_quota_is_refused_while_it_comes() {
    let manifest = MANIFEST.replace("256", "2");
    let server = serve(&manifest);
    let body = vec![7; 3_000_000];
    let put = client(&server).request("POST", "/upload", &[], &body).expect("an answer");
    assert!(put.text().contains("QuotaExceeded"), "{}", put.text());
    let put = client(&server).request("POST", "/upload", &[], &body[..1_000_000]).expect("an answer");
    assert_eq!(put.text(), r#"{"gave":1000000}"#);
}

#[test]
fn what_was_put_outlives_a_power_cut_in_the_middle_of_another_put() {
    use std::io::Write as _;
    let mut server = serve(MANIFEST);
    let kept = client(&server).get("/keep/yes").expect("an answer").text();
    assert_eq!(kept, r#"{"gave":"yes"}"#);
    // Half of a body, and the server is gone.
    let mut half = std::net::TcpStream::connect(server.address).expect("fazt");
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: files.localhost:{}\r\ncontent-length: 9000000\r\n\r\n",
        server.address.port()
    );
    half.write_all(head.as_bytes()).expect("sent");
    half.write_all(&vec![1; 2_000_000]).expect("sent");
    server.kill_hard();
    server.start_again();
    let kept = client(&server).get("/kept").expect("an answer").text();
    assert_eq!(kept, r#"{"gave":[400000,"yes"]}"#);
    let none = client(&server).get("/download").expect("an answer").text();
    assert!(none.contains("TypeError"), "half a blob is none: {none}");
}
