// node:async_hooks: AsyncLocalStorage, and AsyncResource as far as it carries a context.
//
// The engine's promise hook tells of a promise that is made, but not of the job that goes on after an `await`. So the
// first AsyncLocalStorage changes `Promise`: `then` binds its callbacks to the context, and `constructor` becomes an
// accessor, which the engine reads when a promise is awaited, just before it registers the continuation. There a
// reaction is registered that brings the context back: it runs directly before the continuation. A context is good
// for one job (`host.step()` counts them), so that what nothing was registered for (`await` of what is no promise)
// finds no store rather than another request's.

import host from "fazt:native/host";

const { apply } = Reflect;
let context; // an immutable Map of storages to stores
let step = 0; // the job in which it holds
let quiet = 0; // the engine reads `constructor` for something else than an await

const now = () => step === host.step() ? context : undefined;
function enter(saved) {
  context = saved;
  step = host.step();
}
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
  host.bindContext = bound;
  const { then, finally: lastly } = Promise.prototype, { resolve } = Promise;
  let constructor = Promise;
  const quietly = (callback, self, args) => {
    quiet++;
    try { return apply(callback, self, args); } finally { quiet--; }
  };
  const bind = (callback) => typeof callback === "function" ? bound(callback) : callback;
  const replace = (on, methods) => {
    for (const name of Object.keys(methods)) {
      Object.defineProperty(on, name, { value: methods[name], configurable: true, enumerable: false, writable: true });
    }
  };
  replace(Promise.prototype, {
    then(fulfilled, rejected) { return quietly(then, this, [bind(fulfilled), bind(rejected)]); },
    finally(callback) { return quietly(lastly, this, [bind(callback)]); },
  });
  replace(Promise, { resolve(value) { return quietly(resolve, this, [value]); } });
  Object.defineProperty(Promise.prototype, "constructor", {
    configurable: true,
    enumerable: false,
    get() {
      const saved = now();
      if (quiet === 0 && saved !== undefined && this !== Promise.prototype) {
        const back = () => {
          enter(saved);
          host.keepStep();
        };
        try { quietly(then, this, [back, back]); } catch { /* not a promise */ }
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
