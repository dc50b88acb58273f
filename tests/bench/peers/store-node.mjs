// Node's own server on better-sqlite3, every write on the disk before it is answered.
import { createServer } from "node:http";
import Database from "better-sqlite3";

const db = new Database(process.env.STORE);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.exec("CREATE TABLE IF NOT EXISTS item(id TEXT PRIMARY KEY, version INTEGER, body TEXT) WITHOUT ROWID");
const body = JSON.stringify({ title: "item", text: "some words in a note" });
const insert = db.prepare("INSERT OR REPLACE INTO item VALUES(?, 1, ?)");
db.transaction(() => {
  for (let i = 0; i < 10_000; i++) insert.run(`item-${String(i).padStart(5, "0")}`, body);
})();
const get = db.prepare("SELECT version, body FROM item WHERE id = ?");
let next = 0, made = 0;
const server = createServer((request, response) => {
  response.setHeader("content-type", "application/json");
  if (request.url === "/read") {
    const id = `item-${String((next = (next + 7919) % 10_000)).padStart(5, "0")}`;
    const row = get.get(id);
    return response.end(JSON.stringify({ id, version: row.version, ...JSON.parse(row.body) }));
  }
  if (request.url === "/write") {
    insert.run(`new-${process.pid}-${made++}`, JSON.stringify({ title: "new", text: "some words in a note" }));
    return response.end("1");
  }
  response.end("hello");
});
server.listen(Number(process.env.PORT), "127.0.0.1");
