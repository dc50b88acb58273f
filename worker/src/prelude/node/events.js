// node:events: EventEmitter and what is built around it.

const coded = (Class, code, message) => Object.assign(new Class(message), { code });
const checkListener = (listener) => {
  if (typeof listener !== "function") throw coded(TypeError, "ERR_INVALID_ARG_TYPE", `The "listener" argument must be of type function. Received ${listener === null ? "null" : `type ${typeof listener}`}`);
};

export const errorMonitor = Symbol("events.errorMonitor");
export const captureRejectionSymbol = Symbol.for("nodejs.rejection");
export let defaultMaxListeners = 10;

// Libraries call EventEmitter as a function on their own objects and inherit from its prototype.
export function EventEmitter(options) {
  EventEmitter.init.call(this, options);
}
EventEmitter.init = function (options) {
  if (this._events === undefined || this._events === Object.getPrototypeOf(this)._events) {
    this._events = Object.create(null);
    this._eventsCount = 0;
  }
  this._maxListeners ??= undefined;
  if (options?.captureRejections) this._captures = true;
};

const listOf = (emitter, type) => emitter._events?.[type] ?? [];

function add(emitter, type, listener, first) {
  checkListener(listener);
  if (emitter._events === undefined) EventEmitter.init.call(emitter);
  if (emitter._events.newListener !== undefined) emitter.emit("newListener", type, listener.listener ?? listener);
  const list = listOf(emitter, type);
  if (list.length === 0) emitter._eventsCount++;
  // Emitting walks the list that was there when it began, so lists are never changed in place.
  emitter._events[type] = first ? [listener, ...list] : [...list, listener];
  const max = emitter.getMaxListeners();
  if (max > 0 && list.length + 1 > max && !list.warned) {
    emitter._events[type].warned = true;
    console.warn(`MaxListenersExceededWarning: Possible EventEmitter memory leak detected. ${list.length + 1} ${String(type)} listeners added.`);
  } else if (list.warned) emitter._events[type].warned = true;
  return emitter;
}

function onceWrapper(emitter, type, listener) {
  checkListener(listener);
  let fired = false;
  const wrapper = function (...args) {
    if (fired) return undefined;
    fired = true;
    emitter.removeListener(type, wrapper);
    return Reflect.apply(listener, emitter, args);
  };
  wrapper.listener = listener;
  return wrapper;
}

const methods = {
  setMaxListeners(n) {
    if (typeof n !== "number" || n < 0 || Number.isNaN(n)) throw coded(RangeError, "ERR_OUT_OF_RANGE", `The value of "n" is out of range. It must be a non-negative number. Received ${n}`);
    this._maxListeners = n;
    return this;
  },
  getMaxListeners() { return this._maxListeners ?? defaultMaxListeners; },
  emit(type, ...args) {
    const list = listOf(this, type);
    if (type === "error") {
      const monitors = listOf(this, errorMonitor);
      for (const monitor of monitors) Reflect.apply(monitor, this, args);
      if (list.length === 0) {
        if (args[0] instanceof Error) throw args[0];
        throw Object.assign(coded(Error, "ERR_UNHANDLED_ERROR", `Unhandled error. (${String(args[0])})`), { context: args[0] });
      }
    }
    for (const listener of list) {
      const result = Reflect.apply(listener, this, args);
      if (this._captures && typeof result?.then === "function") {
        result.then(undefined, (error) => {
          if (typeof this[captureRejectionSymbol] === "function") this[captureRejectionSymbol](error, type, ...args);
          else this.emit("error", error);
        });
      }
    }
    return list.length > 0;
  },
  on(type, listener) { return add(this, type, listener, false); },
  addListener(type, listener) { return add(this, type, listener, false); },
  prependListener(type, listener) { return add(this, type, listener, true); },
  once(type, listener) { return this.on(type, onceWrapper(this, type, listener)); },
  prependOnceListener(type, listener) { return this.prependListener(type, onceWrapper(this, type, listener)); },
  removeListener(type, listener) {
    checkListener(listener);
    const list = listOf(this, type);
    const at = list.findLastIndex((each) => each === listener || each.listener === listener);
    if (at < 0) return this;
    const left = list.toSpliced(at, 1);
    if (left.length === 0) {
      delete this._events[type];
      this._eventsCount--;
    } else this._events[type] = left;
    if (this._events.removeListener !== undefined) this.emit("removeListener", type, list[at].listener ?? list[at]);
    return this;
  },
  removeAllListeners(type) {
    if (this._events === undefined) return this;
    if (type === undefined) {
      for (const each of Reflect.ownKeys(this._events)) if (each !== "removeListener") this.removeAllListeners(each);
      this.removeAllListeners("removeListener");
      return this;
    }
    for (const listener of listOf(this, type).toReversed()) this.removeListener(type, listener);
    return this;
  },
  listeners(type) { return listOf(this, type).map((listener) => listener.listener ?? listener); },
  rawListeners(type) { return [...listOf(this, type)]; },
  listenerCount(type, listener) {
    const list = listOf(this, type);
    return listener === undefined ? list.length : list.filter((each) => each === listener || each.listener === listener).length;
  },
  eventNames() { return this._eventsCount > 0 ? Reflect.ownKeys(this._events) : []; },
};
methods.off = methods.removeListener;
for (const [name, value] of Object.entries(methods)) Object.defineProperty(EventEmitter.prototype, name, { value, writable: true, configurable: true, enumerable: true });
EventEmitter.prototype._events = undefined;
EventEmitter.prototype._eventsCount = 0;
EventEmitter.prototype._maxListeners = undefined;

const isTarget = (emitter) => typeof emitter?.addEventListener === "function" && typeof emitter.on !== "function";
const listen = (emitter, name, listener) => (isTarget(emitter) ? emitter.addEventListener(name, listener) : emitter.on(name, listener));
const unlisten = (emitter, name, listener) => (isTarget(emitter) ? emitter.removeEventListener(name, listener) : emitter.removeListener(name, listener));
const aborted = (signal) => Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" });

export function once(emitter, name, options = {}) {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted(signal));
    const clean = () => {
      unlisten(emitter, name, done);
      unlisten(emitter, "error", failed);
      signal?.removeEventListener("abort", stop);
    };
    const done = (...args) => { clean(); resolve(args); };
    const failed = (error) => { clean(); reject(error); };
    const stop = () => { clean(); reject(aborted(signal)); };
    listen(emitter, name, done);
    if (name !== "error" && !isTarget(emitter)) emitter.on("error", failed);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

export function on(emitter, name, options = {}) {
  const { signal } = options;
  const waiting = [], queue = [];
  let failure, over = false;
  const push = (...args) => {
    const next = waiting.shift();
    if (next) next.resolve({ value: args, done: false });
    else queue.push(args);
  };
  const failed = (error) => {
    const next = waiting.shift();
    if (next) next.reject(error);
    else failure = error;
    finish();
  };
  const stop = () => failed(aborted(signal));
  const finish = () => {
    over = true;
    unlisten(emitter, name, push);
    unlisten(emitter, "error", failed);
    signal?.removeEventListener("abort", stop);
    for (const next of waiting.splice(0)) next.resolve({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  };
  listen(emitter, name, push);
  if (name !== "error") listen(emitter, "error", failed);
  if (signal?.aborted) stop();
  else signal?.addEventListener("abort", stop, { once: true });
  return {
    next() {
      if (queue.length > 0) return Promise.resolve({ value: queue.shift(), done: false });
      if (failure !== undefined) {
        const error = failure;
        failure = undefined;
        return Promise.reject(error);
      }
      if (over) return Promise.resolve({ value: undefined, done: true });
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    return: finish,
    throw(error) {
      failed(error);
      return Promise.reject(error);
    },
    [Symbol.asyncIterator]() { return this; },
  };
}

export const listenerCount = (emitter, type) => emitter.listenerCount(type);
export const getEventListeners = (emitter, type) => emitter.listeners?.(type) ?? [];
export const getMaxListeners = (emitter) => emitter.getMaxListeners?.() ?? defaultMaxListeners;
export const setMaxListeners = (n = 10, ...emitters) => {
  if (emitters.length === 0) defaultMaxListeners = n;
  for (const emitter of emitters) emitter.setMaxListeners?.(n);
};
export const addAbortListener = (signal, listener) => {
  if (signal.aborted) queueMicrotask(() => listener());
  else signal.addEventListener("abort", listener, { once: true });
  return { [Symbol.dispose ?? Symbol.for("Symbol.dispose")]: () => signal.removeEventListener("abort", listener) };
};
Object.assign(EventEmitter, { EventEmitter, addAbortListener, captureRejectionSymbol, errorMonitor, getEventListeners, getMaxListeners, listenerCount, on, once, setMaxListeners });
Object.defineProperty(EventEmitter, "defaultMaxListeners", { get: () => defaultMaxListeners, set: (n) => { defaultMaxListeners = n; }, enumerable: true });
export default EventEmitter;
