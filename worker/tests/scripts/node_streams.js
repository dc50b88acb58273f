// node:stream, as Node itself answers: everything here passes under Node too.
import assert from "node:assert/strict";
import stream, { Duplex, PassThrough, Readable, Transform, Writable, finished, pipeline } from "node:stream";
import { finished as whenFinished, pipeline as run } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { once } from "node:events";
import util from "node:util";

const sink = (options) => {
  const got = [];
  return Object.assign(new Writable({ ...options, write(chunk, _, done) { got.push(chunk.toString()); done(); } }), { got });
};
const fails = async (promise, what) => {
  try { await promise; } catch (error) { assert.equal(error.code ?? error.message, what); return; }
  assert.fail(`did not fail with ${what}`);
};

// reading
assert.deepEqual(await Readable.from(["a", "b"]).toArray(), ["a", "b"]);
{
  const seen = [];
  let n = 0;
  const source = new Readable({ read() { this.push(n < 3 ? `${n++}` : null); } });
  source.on("data", (chunk) => seen.push(chunk.toString())).on("end", () => seen.push("end")).on("close", () => seen.push("close"));
  await once(source, "close");
  assert.deepEqual(seen, ["0", "1", "2", "end", "close"]);
  assert.ok(source.readableEnded && source.destroyed && !source.readable);
}
{
  const source = new Readable({ encoding: "utf8", read() {} });
  source.push(Buffer.from("é").subarray(0, 1));
  source.push(Buffer.from("é").subarray(1));
  source.push("x");
  source.push(null);
  let all = "";
  for await (const chunk of source) all += chunk;
  assert.equal(all, "éx");
}
{
  const source = Readable.from([Buffer.from("hello"), Buffer.from("world")], { objectMode: false });
  await once(source, "readable");
  assert.equal(source.read(3).toString(), "hel");
  source.unshift(Buffer.from("HEL"));
  assert.equal((await source.toArray()).join(""), "HELloworld");
}
{
  const source = new Readable({ read() {} });
  setTimeout(() => source.destroy(new Error("gone")), 1);
  await fails((async () => { for await (const chunk of source) assert.fail(chunk); })(), "gone");
}
{
  const source = Readable.from(["a", "b", "c"]);
  for await (const chunk of source) { assert.equal(chunk, "a"); break; }
  assert.ok(source.destroyed);
}
{
  const source = new Readable({ read() {} });
  assert.equal(source.push("x".repeat(source.readableHighWaterMark)), false);
  assert.equal(source.readableLength, source.readableHighWaterMark);
  source.pause();
  assert.ok(source.isPaused() && source.readableFlowing === false);
}
assert.deepEqual(await Readable.from([1, 2, 3]).map((n) => n * 2).toArray(), [2, 4, 6]);
assert.deepEqual(await Readable.from([1, 2, 3]).filter((n) => n > 1).toArray(), [2, 3]);

// writing
{
  const target = sink({ highWaterMark: 3 });
  assert.equal(target.write("ab"), true);
  assert.equal(target.write("cd"), true);
  target.end("e");
  assert.ok(target.writableEnded && !target.writableFinished);
  await whenFinished(target);
  assert.deepEqual(target.got, ["ab", "cd", "e"]);
  assert.ok(target.writableFinished);
}
{
  const order = [];
  const target = new Writable({
    highWaterMark: 2,
    write(chunk, _, done) { order.push(`${chunk}`); setTimeout(done, 1); },
    final(done) { order.push("final"); done(); },
  });
  assert.equal(target.write("abc"), false);
  assert.equal(target.writableNeedDrain, true);
  await once(target, "drain");
  target.write("d", () => order.push("wrote"));
  target.end(() => order.push("ended"));
  await once(target, "close");
  assert.deepEqual(order, ["abc", "d", "wrote", "final", "ended"]);
}
{
  const batches = [];
  const target = new Writable({ writev(chunks, done) { batches.push(chunks.map(({ chunk }) => `${chunk}`)); done(); } });
  target.cork();
  target.write("a");
  target.write("b");
  target.uncork();
  target.end();
  await whenFinished(target);
  assert.deepEqual(batches, [["a", "b"]]);
}
{
  const target = sink();
  target.on("error", () => {});
  target.end();
  await new Promise((go) => target.write("late", (error) => { assert.equal(error.code, "ERR_STREAM_WRITE_AFTER_END"); go(); }));
  assert.throws(() => target.write(null), { code: "ERR_STREAM_NULL_VALUES" });
  assert.throws(() => target.write(5), { code: "ERR_INVALID_ARG_TYPE" });
}
{
  const target = new Writable({ write(chunk, _, done) { done(new Error("full")); } });
  target.write("x");
  const [error] = await once(target, "error");
  assert.equal(error.message, "full");
  assert.ok(target.destroyed && target.errored === error);
}
{
  let depth = 0;
  const target = new Writable({ write(chunk, _, done) { depth++; done(); } });
  target.cork();
  for (let i = 0; i < 20_000; i++) target.write("x");
  target.uncork();
  target.end();
  await whenFinished(target);
  assert.equal(depth, 20_000);
}

// both, and what lies between
{
  const upper = new Transform({ transform(chunk, _, done) { done(null, chunk.toString().toUpperCase()); }, flush(done) { done(null, "!"); } });
  assert.equal(await text(Readable.from(["a", "b"]).pipe(upper)), "AB!");
  assert.ok(upper instanceof Duplex && upper instanceof Readable && upper instanceof Writable && upper instanceof stream);
}
{
  class Counter extends Transform {
    #n = 0;
    constructor() { super({ objectMode: true }); }
    _transform(item, _, done) { this.push({ item, n: this.#n++ }); done(); }
  }
  const counter = new Counter();
  counter.write("x");
  counter.end("y");
  assert.deepEqual(await counter.toArray(), [{ item: "x", n: 0 }, { item: "y", n: 1 }]);
}
function Old(options) { Readable.call(this, options); }
util.inherits(Old, Readable);
Old.prototype._read = function () { this.push("old"); this.push(null); };
assert.equal(await text(new Old()), "old");
{
  const duplex = new Duplex({ read() { this.push("r"); this.push(null); }, write(chunk, _, done) { this.wrote = `${chunk}`; done(); } });
  duplex.end("w");
  assert.equal(await text(duplex), "r");
  assert.equal(duplex.wrote, "w");
}
{
  const big = new PassThrough({ highWaterMark: 10 });
  const target = sink({ highWaterMark: 4 });
  const parts = Array.from({ length: 500 }, (_, i) => `${i},`);
  await run(Readable.from(parts), big, target);
  assert.equal(target.got.join(""), parts.join(""));
}
{
  const one = sink(), two = sink();
  const source = new PassThrough();
  source.pipe(one);
  source.pipe(two);
  source.write("a");
  await sleep(1);
  source.unpipe(one);
  source.end("b");
  await whenFinished(two);
  assert.deepEqual([one.got, two.got], [["a"], ["a", "b"]]);
}

// pipelines
{
  const target = sink();
  await run(["x", "y"], async function* (source) { for await (const chunk of source) yield `${chunk}${chunk}`; }, new PassThrough(), target);
  assert.deepEqual(target.got, ["xx", "yy"]);
  assert.equal(await run(Readable.from(["1", "2"]), async (source) => (await source.toArray()).join("+")), "1+2");
}
{
  const source = new Readable({ read() {} }), middle = new PassThrough(), target = sink();
  source.push("a");
  setTimeout(() => source.destroy(new Error("broken")), 1);
  await fails(run(source, middle, target), "broken");
  assert.ok(source.destroyed && middle.destroyed && target.destroyed);
}
{
  const target = new Writable({ write(chunk, _, done) { done(new Error("disk")); } });
  const source = Readable.from(["a", "b"]);
  await fails(run(source, target), "disk");
  assert.ok(source.destroyed);
}
await new Promise((go) => pipeline(Readable.from(["a"]), sink(), (error) => { assert.equal(error, undefined); go(); }));
{
  const gone = new AbortController();
  setTimeout(() => gone.abort(), 1);
  await fails(run(new Readable({ read() {} }), sink(), { signal: gone.signal }), "ABORT_ERR");
}
{
  const source = new Readable({ read() {} });
  const done = new Promise((go) => finished(source, go));
  source.destroy();
  assert.equal((await done).code, "ERR_STREAM_PREMATURE_CLOSE");
}

// web streams
{
  const web = Readable.toWeb(Readable.from([Buffer.from("a"), Buffer.from("b")], { objectMode: false }));
  assert.ok(web instanceof ReadableStream);
  assert.equal(await new Response(web).text(), "ab");
  const node = Readable.fromWeb(new Response("from the web").body);
  assert.equal(await text(node), "from the web");
  const target = sink();
  await ReadableStream.from(["x", "y"]).pipeTo(Writable.toWeb(target));
  assert.deepEqual(target.got, ["x", "y"]);
  const got = [];
  await run(["p", "q"], Writable.fromWeb(new WritableStream({ write(chunk) { got.push(`${chunk}`); } })));
  assert.deepEqual(got, ["p", "q"]);
  const { readable, writable } = Duplex.toWeb(new PassThrough());
  const writer = writable.getWriter();
  writer.write(new TextEncoder().encode("through"));
  writer.close();
  assert.equal(await new Response(readable).text(), "through");
  await fails(new Response(Readable.toWeb(new Readable({ read() { this.destroy(new Error("no more")); } }))).text(), "no more");
}
