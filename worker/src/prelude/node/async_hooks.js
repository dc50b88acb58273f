// node:async_hooks: AsyncLocalStorage, and AsyncResource as far as it carries a context.
//
// A context is an immutable Map of storages to stores. The native side (`engine/context.rs`) keeps the one that holds
// now and carries it over each `await`; the first AsyncLocalStorage changes `Promise` for that: `then` binds its
// callbacks, and `constructor` becomes an accessor, which the engine reads when a promise is awaited, just before it
// registers what goes on.

import host from "fazt:native/host";
import contexts from "fazt:native/context";

const { now, enter, follow, lead, leadNext, isLike } = contexts;
const { apply } = Reflect;
let quiet = 0; // the engine reads `constructor` for something else than an await

function inside(saved, callback, self, args) {
  const before = now();
  enter(saved);
  try { return apply(callback, self, args); } finally { enter(before); }
}
function bound(callback, saved = now()) {
  return function (...args) { return inside(saved, callback, this, args); };
}
const changed = (change) => {
  const map = new Map(now());
  change(map);
  return map;
};

let installed = false;
function install() {
  if (installed) return;
  installed = true;
  contexts.start();
  host.bindContext = bound;
  const { then, finally: lastly } = Promise.prototype, { resolve } = Promise;
  const { reject: aReject } = Promise.withResolvers();
  let constructor = Promise;
  const quietly = (callback, self, args) => {
    quiet++;
    try { return apply(callback, self, args); } finally { quiet--; }
  };
  const bind = (callback) => typeof callback === "function" ? bound(callback) : callback;
  // The engine tells of promises that are fulfilled, not of those that are rejected: a promise that follows another
  // one to its rejection is told of here.
  const bindRejected = (callback) => {
    if (typeof callback !== "function") return callback;
    const saved = now();
    if (saved === undefined || !isLike(callback, aReject)) return bound(callback, saved);
    return function (...args) {
      lead(saved);
      return inside(saved, callback, this, args);
    };
  };
  const replace = (on, methods) => {
    for (const name of Object.keys(methods)) {
      Object.defineProperty(on, name, { value: methods[name], configurable: true, enumerable: false, writable: true });
    }
  };
  replace(Promise.prototype, {
    then(fulfilled, rejected) { return quietly(then, this, [bind(fulfilled), bindRejected(rejected)]); },
    finally(callback) { return quietly(lastly, this, [bind(callback)]); },
  });
  replace(Promise, { resolve(value) { return quietly(resolve, this, [value]); } });
  Object.defineProperty(Promise.prototype, "constructor", {
    configurable: true,
    enumerable: false,
    get() {
      if (quiet === 0 && this !== Promise.prototype && follow(this)) {
        const saved = now(), back = () => leadNext(saved);
        quietly(then, this, [back, back]);
      }
      return constructor;
    },
    set(value) {
      if (this === Promise.prototype) constructor = value;
      else Object.defineProperty(this, "constructor", { value, configurable: true, enumerable: true, writable: true });
    },
  });
}

export class AsyncLocalStorage {
  #fallback;
  #name;
  constructor({ defaultValue, name = "" } = {}) {
    this.#fallback = defaultValue;
    this.#name = `${name}`;
    install();
  }
  get name() { return this.#name; }
  run(store, callback, ...args) {
    return inside(changed((map) => map.set(this, store)), callback, undefined, args);
  }
  exit(callback, ...args) {
    return inside(changed((map) => map.delete(this)), callback, undefined, args);
  }
  enterWith(store) { enter(changed((map) => map.set(this, store))); }
  getStore() {
    const map = now();
    return map?.has(this) ? map.get(this) : this.#fallback;
  }
  disable() { enter(changed((map) => map.delete(this))); }
  static bind(callback) { return bound(callback); }
  static snapshot() {
    const saved = now();
    return (callback, ...args) => inside(saved, callback, undefined, args);
  }
}

export class AsyncResource {
  #saved = now();
  constructor(type) { this.type = type; }
  runInAsyncScope(callback, self, ...args) { return inside(this.#saved, callback, self, args); }
  bind(callback) { return bound(callback, this.#saved); }
  static bind(callback) { return bound(callback); }
  emitDestroy() { return this; }
  asyncId() { return 0; }
  triggerAsyncId() { return 0; }
}
export const executionAsyncId = () => 0;
export const triggerAsyncId = () => 0;
export const createHook = () => ({ enable() { return this; }, disable() { return this; } });
export default { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, triggerAsyncId };
