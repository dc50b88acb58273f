// One document read, one document written, through `fazt.storage`.
const { storage } = fazt;
const here = storage.space("app");
const items = here.docs("items");
let next = 0;
const some = () => `item-${String((next = (next + 7919) % 10_000)).padStart(5, "0")}`;

/** Asks `calls` times, 32 at once: milliseconds. */
async function pipelined(calls, ask) {
  let left = calls;
  const lane = async () => { while (left-- > 0) await ask(); };
  await Promise.all(Array.from({ length: 32 }, lane));
}

export default {
  async fetch(request) {
    const [verb, n] = new URL(request.url).pathname.slice(1).split("/");
    if (verb === "read") return Response.json(await items.get(some()));
    if (verb === "write") return Response.json((await items.insert({ title: "new", text: "some words in a note" })).version);
    if (verb === "fill") {
      const put = (i) => ({ put: { id: `item-${String(i).padStart(5, "0")}`, title: `item ${i}`, text: "some words in a note" } });
      await items.batch(Array.from({ length: 1000 }, (_, i) => put(Number(n) * 1000 + i)));
      await here.kv.set("key", "some words in a note");
      return new Response("filled");
    }
    if (verb === "docs") { await pipelined(Number(n), () => items.get(some())); return new Response("done"); }
    if (verb === "kv") { await pipelined(Number(n), () => here.kv.get("key")); return new Response("done"); }
    return new Response("hello");
  },
};
