// AsyncLocalStorage across everything that waits, as in Node: all of it passes under Node too.
import assert from "node:assert/strict";
import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";

const storage = new AsyncLocalStorage();
const now = () => storage.getStore();
const tick = () => new Promise((go) => setTimeout(go, 0));
const thenable = (value) => ({ then(resolve) { resolve(value); } });
const lazy = (value) => ({ then(resolve, reject) { return tick().then(() => value).then(resolve, reject); } });
const broken = (value) => ({ then(resolve, reject) { return tick().then(() => { throw value; }).then(resolve, reject); } });
const seen = [];
const note = (what) => { if (now() !== "in") seen.push(`${what}: ${now()}`); };

// Everything at once, with neighbours whose jobs lie between ours.
const neighbour = (name) => storage.run(name, async () => {
  for (let i = 0; i < 60; i++) {
    assert.equal(now(), name);
    switch (i % 6) {
      case 0: await null; break;
      case 1: await tick(); break;
      case 2: Promise.resolve(1); await i; break;
      case 3: await lazy(1); break;
      case 4: await Promise.reject(1).catch(() => {}); break;
      default: await (async () => i)();
    }
    assert.equal(now(), name);
  }
});
const stranger = async () => {
  for (let i = 0; i < 60; i++) {
    assert.equal(now(), undefined);
    await (i % 3 === 0 ? null : i % 3 === 1 ? thenable(1) : tick());
    assert.equal(now(), undefined);
  }
};

const subject = () => storage.run("in", async () => {
  await null; note("null");
  await 5; note("number");
  await {}; note("object");
  await undefined; note("undefined");
  await tick(); note("timer");
  await Promise.resolve(); note("resolved");
  await thenable(1); note("thenable");
  await lazy(1); note("lazy thenable");
  try { await broken("x"); } catch { note("broken thenable"); }
  try { await Promise.reject(1); } catch { note("rejected"); }
  try { await { then() { throw 1; } }; } catch { note("throwing thenable"); }
  await (() => "sync handler")(); note("sync handler");
  await (async () => { note("callee"); await null; note("callee after"); return 1; })(); note("async call");
  await (async () => tick())(); note("async of promise");
  await (async () => { await null; throw 1; })().catch(() => note("catch")); note("after catch");
  await Promise.all([1, tick(), thenable(2)]); note("all");
  await Promise.race([tick(), new Promise(() => {})]); note("race");
  await Promise.allSettled([Promise.reject(1)]); note("allSettled");
  await Promise.any([Promise.reject(1), 2]); note("any");
  await Promise.resolve(1).then(() => { note("then"); return thenable(2); }).finally(() => note("finally")); note("after finally");
  for await (const x of [1, tick(), 2]) note(`for await ${typeof x}`);
  for await (const x of (async function* () { yield 1; note("generator"); await null; note("generator after"); yield tick(); })()) note(`generated ${typeof x}`);
  await new Promise((go) => queueMicrotask(() => { note("microtask"); go(); })); note("after microtask");
  await new Promise((go) => setTimeout(() => { note("timeout"); go(); }, 1)); note("after timeout");
  const interval = await new Promise((go) => { const id = setInterval(() => { note("interval"); go(id); }, 1); });
  clearInterval(interval); note("after interval");
  let settle;
  const outside = new Promise((go) => { settle = go; });
  storage.run("other", () => setTimeout(() => settle(1), 1));
  await outside; note("settled by another");
  class Mine extends Promise {}
  await Mine.resolve(1); note("subclass");
  const orphan = new Promise((go) => go(1));
  Promise.resolve(2); orphan.constructor; note("orphans");
  await [1, 2].map(async (x) => { await x; note("map"); return x; })[1]; note("after map");
  storage.exit(() => assert.equal(now(), undefined));
  assert.equal(await storage.exit(async () => { await null; return now(); }), undefined); note("exit");
  assert.deepEqual(seen, []);
  const bound = AsyncLocalStorage.bind(() => now()), snapshot = AsyncLocalStorage.snapshot(), resource = new AsyncResource("R");
  storage.run("other", () => {
    assert.equal(bound(), "in");
    assert.equal(snapshot(now), "in");
    assert.equal(resource.runInAsyncScope(now), "in");
    assert.equal(now(), "other");
  });
  storage.enterWith("entered");
  await null;
  assert.equal(now(), "entered");
});

await Promise.all([neighbour("a"), subject(), stranger(), neighbour("b"), subject(), stranger()]);
assert.deepEqual(seen, []);
assert.equal(now(), undefined);
const two = new AsyncLocalStorage();
await storage.run(1, () => two.run(2, async () => {
  await null;
  assert.deepEqual([storage.getStore(), two.getStore()], [1, 2]);
}));
