// Bun's server on Bun's SQLite, every write on the disk before it is answered.
import { Database } from "bun:sqlite";

const db = new Database(process.env.STORE);
db.exec("PRAGMA journal_mode = WAL");
db.exec("PRAGMA synchronous = FULL");
db.exec("CREATE TABLE IF NOT EXISTS item(id TEXT PRIMARY KEY, version INTEGER, body TEXT) WITHOUT ROWID");
const body = JSON.stringify({ title: "item", text: "some words in a note" });
const insert = db.prepare("INSERT OR REPLACE INTO item VALUES(?, 1, ?)");
db.transaction(() => {
  for (let i = 0; i < 10_000; i++) insert.run(`item-${String(i).padStart(5, "0")}`, body);
})();
const get = db.prepare("SELECT version, body FROM item WHERE id = ?");
let next = 0, made = 0;
Bun.serve({
  port: Number(process.env.PORT),
  hostname: "127.0.0.1",
  fetch(request) {
    const path = request.url.slice(request.url.indexOf("/", 8));
    if (path === "/read") {
      const id = `item-${String((next = (next + 7919) % 10_000)).padStart(5, "0")}`;
      const row = get.get(id);
      return Response.json({ id, version: row.version, ...JSON.parse(row.body) });
    }
    if (path === "/write") {
      insert.run(`new-${process.pid}-${made++}`, JSON.stringify({ title: "new", text: "some words in a note" }));
      return new Response("1");
    }
    return new Response("hello");
  },
});
