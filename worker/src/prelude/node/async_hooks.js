// node:async_hooks: AsyncLocalStorage, as far as the engine allows.
//
// The engine tells nobody which continuation belongs to which `await`, so a store is seen by what `run` calls at once,
// and by functions bound with `bind` or `snapshot`; after an `await` it is gone rather than another request's.

const stores = new Map();

function inside(saved, run) {
  const before = new Map(stores);
  stores.clear();
  for (const [storage, store] of saved) stores.set(storage, store);
  try { return run(); } finally {
    stores.clear();
    for (const [storage, store] of before) stores.set(storage, store);
  }
}

export class AsyncLocalStorage {
  run(store, callback, ...args) {
    return inside(new Map(stores).set(this, store), () => callback(...args));
  }
  exit(callback, ...args) {
    const saved = new Map(stores);
    saved.delete(this);
    return inside(saved, () => callback(...args));
  }
  getStore() { return stores.get(this); }
  disable() { stores.delete(this); }
  static bind(callback) {
    const saved = new Map(stores);
    return function (...args) { return inside(saved, () => Reflect.apply(callback, this, args)); };
  }
  static snapshot() {
    const saved = new Map(stores);
    return (callback, ...args) => inside(saved, () => callback(...args));
  }
}

export class AsyncResource {
  #saved = new Map(stores);
  constructor(type) { this.type = type; }
  runInAsyncScope(callback, self, ...args) { return inside(this.#saved, () => Reflect.apply(callback, self, args)); }
  bind(callback) { return (...args) => this.runInAsyncScope(callback, undefined, ...args); }
  static bind(callback) { return AsyncLocalStorage.bind(callback); }
  emitDestroy() { return this; }
  asyncId() { return 0; }
  triggerAsyncId() { return 0; }
}
export const executionAsyncId = () => 0;
export const triggerAsyncId = () => 0;
export const createHook = () => ({ enable() { return this; }, disable() { return this; } });
export default { AsyncLocalStorage, AsyncResource, createHook, executionAsyncId, triggerAsyncId };
