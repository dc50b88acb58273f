// A Durable Object with SQLite on workerd; its output gate holds an answer until the write is on the disk.
import { DurableObject } from "cloudflare:workers";

const body = JSON.stringify({ title: "item", text: "some words in a note" });

export class Store extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.next = 0;
    this.made = 0;
    this.sql.exec("CREATE TABLE IF NOT EXISTS item(id TEXT PRIMARY KEY, version INTEGER, body TEXT) WITHOUT ROWID");
    for (let i = 0; i < 10_000; i++) {
      this.sql.exec("INSERT OR REPLACE INTO item VALUES(?, 1, ?)", `item-${String(i).padStart(5, "0")}`, body);
    }
  }
  fetch(request) {
    const path = request.url.slice(request.url.indexOf("/", 8));
    if (path === "/read") {
      const id = `item-${String((this.next = (this.next + 7919) % 10_000)).padStart(5, "0")}`;
      const row = this.sql.exec("SELECT version, body FROM item WHERE id = ?", id).one();
      return Response.json({ id, version: row.version, ...JSON.parse(row.body) });
    }
    if (path === "/write") {
      const made = JSON.stringify({ title: "new", text: "some words in a note" });
      this.sql.exec("INSERT OR REPLACE INTO item VALUES(?, 1, ?)", `new-${Math.random()}-${this.made++}`, made);
      return new Response("1");
    }
    return new Response("hello");
  }
}

export default {
  fetch(request, env) {
    return env.STORE.get(env.STORE.idFromName("one")).fetch(request);
  },
};
