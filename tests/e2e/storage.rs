//! `fazt.storage` from an app's JavaScript to the disk: values, people, rooms, errors, a power cut.

use fazt_tests::{Browser, Server};
use serde_json::{Value, json};

/// Runs one of the actions below and answers what it gave, or the error's name.
const APP: &str = r#"
const { storage } = fazt, notes = storage.docs("notes"), all = storage.space("app");
const strange = { when: new Date(5), bytes: new Uint8Array([1, 2, 255]), big: 12345678901234567890n, nan: NaN,
  minus: -0, inf: -Infinity, $own: "dollar", nested: [{ deep: [null, true, "é\u{1f600}"] }], none: undefined };
const actions = {
  async values() {
    await storage.kv.set("strange", strange, { metadata: { tag: new Date(7) }, ttlS: 60 });
    await storage.kv.set("text", "plain"); await storage.kv.set("bytes", new Uint8Array([9, 8]));
    const back = await storage.kv.get("strange");
    const list = await storage.kv.list({ prefix: "s" });
    const doc = await notes.put({ id: "strange", ...strange });
    const found = (await notes.find({ where: { when: new Date(5), $own: undefined, $$own: "dollar" } })).items;
    return [back.when instanceof Date && back.when.getTime(), back.bytes instanceof Uint8Array && [...back.bytes],
      back.big === 12345678901234567890n, Number.isNaN(back.nan), Object.is(back.minus, -0), back.inf === -Infinity,
      back.$own, back.nested, "none" in back, await storage.kv.get("text"), [...await storage.kv.get("bytes")],
      await storage.kv.get("nothing"), list.keys[0].metadata.tag.getTime(), doc.version, found.length,
      found[0].when.getTime()];
  },
  async flat() {
    const back = async (doc) => { const { id, version, ...rest } = await notes.get((await notes.insert(doc)).id); return rest; };
    const bare = Object.assign(Object.create(null), { t: "bare" });
    return [await back({ t: "é\"\\\n\u2028", m: -1.5e300, b: false }), Object.is((await back({ m: -0 })).m, -0),
      Number.isNaN((await back({ m: NaN })).m), (await back({ t: "\ud800x" })).t === "\ufffdx", await back({ $m: "x" }),
      await back({ m: 1, none: undefined }), await back(bare), await back(Object.create({ m: 5 }, { t: { value: "own", enumerable: true } })).catch((e) => e.name)];
  },
  async queries() {
    for (let n = 0; n < 25; n++) await notes.put({ id: `q${String(n).padStart(2, "0")}`, title: `t${n % 3}`, n });
    const page = await notes.find({ where: { n: { $gte: 5 }, title: "t1" }, order: "-n", limit: 3 });
    const next = await notes.find({ where: { n: { $gte: 5 }, title: "t1" }, order: "-n", limit: 3, cursor: page.cursor });
    const batch = await notes.batch([{ update: "q00", patch: { n: 100 }, ifVersion: 1 }, { delete: "q01" }, { insert: { n: 7 } }]);
    return [page.items.map((d) => d.n), next.items.map((d) => d.n), await notes.count({ n: 7 }), await notes.get("q01"),
      batch[0].n, batch[1], batch[2].id.startsWith("doc_"), await notes.delete("q02"), await notes.delete("q02")];
  },
  async large() {
    const text = "x".repeat(40_000);
    for (let n = 0; n < 10; n++) await all.docs("notes").put({ id: `l${n}`, title: text });
    const { items } = await all.docs("notes").find({});
    return items.every((item) => item.title === text) && items.length;
  },
  async blobs() {
    await storage.blobs.put("long", "b".repeat(300_000)); await storage.blobs.put("short", "b".repeat(5));
    return (await storage.blobs.list()).blobs.length;
  },
  async mine(value) { if (value) await storage.kv.set("mine", value); return storage.kv.get("mine"); },
  async shared(value) { if (value) await all.kv.set("shared", value); return all.kv.get("shared"); },
  async create() { const space = await storage.spaces.create("room"); return [space.id, await storage.spaces.add(space.id, "writer")]; },
  async join(code) { return (await storage.spaces.join(code)).role; },
  async room(id, value) { const { kv } = storage.space(id); if (value) await kv.set("room", value); return kv.get("room"); },
  async members(id) { return (await storage.spaces.members(id)).length; },
  async wrong(which) {
    return await [() => notes.put({ n: 1 }), () => notes.put({ id: "a", title: 5 }), () => notes.find({ where: { n: { $no: 1 } } }),
      () => storage.docs("none").count(), () => notes.update("missing", {}), () => notes.put({ id: "strange" }, { ifVersion: 99 }),
      () => storage.kv.set("k", "v", { ttlS: 0 }), () => notes.find({ cursor: "made up" }), () => storage.space("space_x").kv.get("k"),
      () => notes.put({ id: "f", f() {} , s: Symbol("x") })][which]();
  },
};
export default { async fetch(request) {
  const [action, ...rest] = new URL(request.url).pathname.slice(1).split("/").map(decodeURIComponent);
  try { return Response.json({ gave: await actions[action](...rest) ?? null }); }
  catch (error) { return Response.json({ error: error.name, message: error.message }); }
} };"#;

const MANIFEST: &str = r#"{ "name": "notes", "main": "server.js", "access": "public",
  "collections": { "notes": { "schema": { "title": "string", "n": "number" }, "indexes": [["n"], ["title", "n"]] } },
  "permissions": { "spaces": true } }"#;

pub(crate) fn ask(browser: &mut Browser, path: &str) -> Value {
    let page = browser.open(&browser.url("notes", path));
    assert_eq!(page.status(), 200, "{path}: {}", page.text());
    serde_json::from_str(&page.text()).expect("JSON")
}

pub(crate) fn gave(browser: &mut Browser, path: &str) -> Value {
    let said = ask(browser, path);
    assert!(said["error"].is_null(), "{path}: {said}");
    said["gave"].clone()
}

fn error(browser: &mut Browser, path: &str) -> String {
    ask(browser, path)["error"].as_str().unwrap_or("no error").to_owned()
}

pub(crate) fn serve() -> Server {
    let server = Server::start();
    server.deploy_files("notes", &[("app.json", MANIFEST), ("server.js", APP)]);
    server
}

/// Signs a browser in at the app as well.
pub(crate) fn enter(server: &Server, browser: &mut Browser) {
    let members = MANIFEST.replace("public", "members");
    server.deploy_files("notes", &[("app.json", &members), ("server.js", APP)]);
    gave(browser, "/mine");
}

#[test]
fn values_and_queries_come_back_as_javascript_has_them() {
    let server = serve();
    let mut owner = server.owner();
    enter(&server, &mut owner);
    let expect = json!([
        5, [1, 2, 255], true, true, true, true, "dollar", [{ "deep": [null, true, "é😀"] }], false, "plain", [9, 8],
        null, 7, 1, 1, 5
    ]);
    assert_eq!(gave(&mut owner, "/values"), expect);
    let expect = json!([
        { "t": "é\"\\\n\u{2028}", "m": -1.5e300, "b": false }, true, true, true, { "$m": "x" }, { "m": 1 }, { "t": "bare" },
        "TypeError"
    ]);
    assert_eq!(gave(&mut owner, "/flat"), expect);
    let expect = json!([[22, 19, 16], [13, 10, 7], 2, null, 100, null, true, true, false]);
    assert_eq!(gave(&mut owner, "/queries"), expect);
    assert_eq!(gave(&mut owner, "/large"), 10);
    for (which, expect) in [
        "InvalidArgument",
        "InvalidArgument",
        "InvalidQuery",
        "InvalidQuery",
        "NotFound",
        "Conflict",
        "InvalidArgument",
        "InvalidQuery",
        "NotFound",
        "TypeError",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(error(&mut owner, &format!("/wrong/{which}")), *expect, "{which}");
    }
}

#[test]
fn two_people_see_their_own_and_what_they_share() {
    let server = serve();
    let mut nobody = server.browser();
    assert_eq!(error(&mut nobody, "/mine"), "SignInRequired");
    assert_eq!(gave(&mut nobody, "/shared/hello"), "hello");
    let mut owner = server.owner();
    let mut anna = server.user("anna", &[]);
    enter(&server, &mut owner);
    enter(&server, &mut anna);
    assert_eq!(gave(&mut owner, "/mine/olga's"), "olga's");
    assert_eq!(gave(&mut anna, "/mine"), Value::Null);
    assert_eq!(gave(&mut anna, "/mine/anna's"), "anna's");
    assert_eq!(gave(&mut owner, "/mine"), "olga's");
    assert_eq!((gave(&mut anna, "/shared"), gave(&mut owner, "/shared")), ("hello".into(), "hello".into()));
    let made = gave(&mut owner, "/create");
    let (room, code) = (made[0].as_str().expect("id"), made[1].as_str().expect("code"));
    assert_eq!(error(&mut anna, &format!("/room/{room}")), "NotFound");
    assert_eq!(gave(&mut anna, &format!("/join/{code}")), "writer");
    assert_eq!(error(&mut owner, &format!("/join/{code}")), "NotFound", "a code is good once");
    assert_eq!(gave(&mut anna, &format!("/room/{room}/ours")), "ours");
    assert_eq!(gave(&mut owner, &format!("/room/{room}")), "ours");
    assert_eq!(gave(&mut owner, &format!("/members/{room}")), 2);
}

#[test]
fn what_was_stored_outlives_a_power_cut_and_a_deploy_that_would_lose_it_is_refused() {
    let mut server = serve();
    let mut nobody = server.browser();
    gave(&mut nobody, "/shared/kept");
    gave(&mut nobody, "/large");
    server.kill_hard();
    server.start_again();
    let mut nobody = server.browser();
    assert_eq!(gave(&mut nobody, "/shared"), "kept");
    let folder = fazt_tests::Folder::with(&[
        ("app.json", &MANIFEST.replace(r#""title": "string""#, r#""title": "integer""#)),
        ("server.js", APP),
    ]);
    let path = folder.path().to_str().expect("text").to_owned();
    let refused = server.fazt(&["app", "deploy", &path, "--name", "notes"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("`title` would be a whole number, and 10 documents"), "{refused:?}");
    assert_eq!(gave(&mut nobody, "/large"), 10);
}
