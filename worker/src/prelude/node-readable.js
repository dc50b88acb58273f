// The readable half of node:stream, and what both halves share: `destroy`, `finished`, abort signals.

import { EventEmitter } from "node:events";
import { Buffer } from "node:buffer";
import { StringDecoder } from "node:string_decoder";

export const coded = (Class, code, message) => Object.assign(new Class(message), { code });
export const later = (run) => queueMicrotask(run);
const premature = () => coded(Error, "ERR_STREAM_PREMATURE_CLOSE", "Premature close");

export function Stream(options) {
  EventEmitter.call(this, options);
}
Object.setPrototypeOf(Stream.prototype, EventEmitter.prototype);
Object.setPrototypeOf(Stream, EventEmitter);

/** Members whose getters stay getters. */
export function define(prototype, members) {
  const all = Object.getOwnPropertyDescriptors(members);
  for (const name of Reflect.ownKeys(all)) {
    Object.defineProperty(prototype, name, { ...all[name], enumerable: false, configurable: true });
  }
}

const halves = (stream) => [stream._readableState, stream._writableState].filter((state) => state !== undefined);

define(Stream.prototype, {
  get destroyed() { return halves(this).some((state) => state.destroyed); },
  get closed() { return halves(this).some((state) => state.closed); },
  get errored() { return halves(this).find((state) => state.errored)?.errored ?? null; },
  _destroy(error, done) { done(error); },
  destroy(error, done) {
    const states = halves(this);
    if (states.some((state) => state.destroyed)) {
      done?.(null);
      return this;
    }
    for (const state of states) {
      state.destroyed = true;
      if (error) state.errored ??= error;
    }
    let over = false;
    const end = (failure) => {
      if (over) return;
      over = true;
      for (const state of states) {
        if (failure) state.errored ??= failure;
        state.closed = true;
      }
      this._writableState?.fail(failure ?? coded(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed"));
      done?.(failure ?? null);
      later(() => {
        if (failure) this.emit("error", failure);
        if (states.every((state) => state.emitClose)) this.emit("close");
      });
    };
    try {
      this._destroy(error ?? null, end);
    } catch (failure) {
      end(failure);
    }
    return this;
  },
  async [Symbol.asyncDispose]() { this.destroy(); },
});

/** Both halves are over: the stream closes itself. */
export function destroyWhenDone(stream) {
  const { _readableState: r, _writableState: w } = stream;
  if (r?.autoDestroy === false || w?.autoDestroy === false) return;
  if ((r === undefined || r.endEmitted) && (w === undefined || w.finished)) stream.destroy();
}

export function finished(stream, options, done) {
  if (typeof options === "function") [options, done] = [{}, options];
  const { _readableState: r, _writableState: w } = stream;
  const wantsEnd = options?.readable !== false && r !== undefined, wantsFinish = options?.writable !== false && w !== undefined;
  let ended = !wantsEnd || r.endEmitted, finish = !wantsFinish || w.finished, over = false;
  const settle = (error) => {
    if (over) return;
    over = true;
    clean();
    done.call(stream, error);
  };
  const listeners = {
    end: () => { ended = true; if (finish) settle(); },
    finish: () => { finish = true; if (ended) settle(); },
    error: (error) => settle(error),
    close: () => settle(stream.errored ?? (ended && finish ? undefined : premature())),
  };
  const clean = () => { for (const [name, listener] of Object.entries(listeners)) stream.removeListener(name, listener); };
  for (const [name, listener] of Object.entries(listeners)) stream.on(name, listener);
  if (stream.closed) later(listeners.close);
  else if (ended && finish) later(() => settle());
  options?.signal?.addEventListener("abort", () => settle(abortError(options.signal)), { once: true });
  return clean;
}

const abortError = (signal) => Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" });

export function addAbortSignal(signal, stream) {
  const stop = () => stream.destroy(abortError(signal));
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  return stream;
}

export function Readable(options) {
  if (!(this instanceof Readable)) return new Readable(options);
  Stream.call(this, options);
  const objectMode = !!options?.objectMode;
  this._readableState = {
    objectMode,
    highWaterMark: options?.highWaterMark ?? (objectMode ? 16 : 65536),
    buffer: [],
    length: 0, // bytes, characters or objects in the buffer
    flowing: null,
    listening: false, // somebody listens to "readable"
    reading: false, // `_read` was called and has not pushed yet
    inRead: false,
    ended: false, endEmitted: false,
    told: false, // "readable" is on its way
    more: false, // another `_read` is on its way
    didRead: false,
    decoder: null,
    pipes: [],
    destroyed: false, closed: false, errored: null,
    emitClose: options?.emitClose !== false,
    autoDestroy: options?.autoDestroy !== false,
  };
  if (typeof options?.read === "function") this._read = options.read;
  if (typeof options?.destroy === "function") this._destroy = options.destroy;
  if (options?.encoding) this.setEncoding(options.encoding);
  if (options?.signal) addAbortSignal(options.signal, this);
}
Object.setPrototypeOf(Readable.prototype, Stream.prototype);
Object.setPrototypeOf(Readable, Stream);

function store(stream, chunk, first) {
  const state = stream._readableState;
  state.length += state.objectMode ? 1 : chunk.length;
  if (first) state.buffer.unshift(chunk);
  else state.buffer.push(chunk);
}

function add(stream, chunk, encoding, first) {
  const state = stream._readableState;
  if (chunk === null) {
    state.reading = false;
    if (state.ended) return false;
    const rest = state.decoder?.end();
    if (rest) store(stream, rest, false);
    state.ended = true;
    tell(stream);
    return false;
  }
  if (!state.objectMode) {
    if (typeof chunk === "string") {
      if (state.decoder === null || encoding && encoding !== state.decoder.encoding) chunk = Buffer.from(chunk, encoding ?? "utf8");
    } else if (!(chunk instanceof Uint8Array)) {
      stream.destroy(coded(TypeError, "ERR_INVALID_ARG_TYPE", `The "chunk" argument must be of type string or an instance of Buffer or Uint8Array. Received ${chunk === undefined ? "undefined" : `type ${typeof chunk}`}`));
      return false;
    } else if (!(chunk instanceof Buffer)) chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (state.decoder !== null && typeof chunk !== "string") chunk = state.decoder.write(chunk);
  }
  if (!first) state.reading = false;
  if (state.ended && !first) {
    stream.destroy(coded(Error, "ERR_STREAM_PUSH_AFTER_EOF", "stream.push() after EOF"));
    return false;
  }
  if (state.objectMode || chunk.length > 0) {
    if (state.flowing && state.length === 0 && !state.inRead && !first && stream.listenerCount("data") > 0) {
      state.didRead = true;
      stream.emit("data", chunk);
    } else {
      store(stream, chunk, first);
      tell(stream);
    }
  }
  readMore(stream);
  return !state.ended && (state.length < state.highWaterMark || state.length === 0);
}

// Fills the buffer up to its mark while nobody takes anything out.
function readMore(stream) {
  const state = stream._readableState;
  if (state.more) return;
  state.more = true;
  later(() => {
    state.more = false;
    if (!state.reading && !state.ended && !state.destroyed && (state.length < state.highWaterMark || (state.flowing && state.length === 0))) stream.read(0);
  });
}

function tell(stream) {
  const state = stream._readableState;
  if (state.told) return;
  state.told = true;
  later(() => {
    state.told = false;
    if (state.destroyed) return;
    if (state.listening && (state.length > 0 || state.ended)) stream.emit("readable");
    flow(stream);
    if (state.ended && state.length === 0) end(stream);
  });
}

function flow(stream) {
  const state = stream._readableState;
  while (state.flowing && stream.read() !== null);
}

function end(stream) {
  const state = stream._readableState;
  if (state.endEmitted || state.ending) return;
  // An end is seen by who reads: nobody does before something flows or listens.
  if (state.flowing === null && !state.listening && !state.didRead) return;
  state.ending = true;
  later(() => {
    if (state.endEmitted || state.length > 0 || state.errored) return;
    state.endEmitted = true;
    stream.emit("end");
    destroyWhenDone(stream);
  });
}

define(Readable.prototype, {
  _read() { throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _read() method is not implemented"); },
  push(chunk, encoding) { return add(this, chunk, encoding, false); },
  unshift(chunk, encoding) { return add(this, chunk, encoding, true); },
  read(size) {
    const state = this._readableState;
    if (state.destroyed && state.length === 0) return null;
    const wanted = size === undefined || Number.isNaN(size) ? (state.objectMode ? 1 : state.flowing ? state.buffer[0]?.length ?? 0 : state.length) : state.objectMode ? Math.min(1, size) : size;
    if (!state.reading && !state.ended && !state.destroyed && (state.length === 0 || state.length - wanted < state.highWaterMark)) {
      state.reading = state.inRead = true;
      try {
        this._read(state.highWaterMark);
      } catch (error) {
        this.destroy(error);
      }
      state.inRead = false;
    }
    if (size === 0) {
      if (state.ended && state.length === 0) end(this);
      return null;
    }
    const chunk = this._take(size);
    if (chunk === null) {
      if (state.ended && state.length === 0) {
        state.didRead = true;
        end(this);
      }
      return null;
    }
    state.didRead = true;
    this.emit("data", chunk);
    if (state.ended && state.length === 0) end(this);
    return chunk;
  },
  // What `read(size)` gives; null: there is not enough.
  _take(size) {
    const state = this._readableState, { buffer } = state;
    if (state.length === 0 && buffer.length === 0) return null;
    if (state.objectMode) {
      state.length--;
      return buffer.shift();
    }
    if (size === undefined || Number.isNaN(size)) size = state.flowing ? buffer[0].length : state.length;
    if (size > state.length) {
      if (!state.ended) return null;
      size = state.length;
    }
    const whole = buffer.length === 1 ? buffer[0] : buffer[0].length >= size ? buffer[0] : typeof buffer[0] === "string" ? buffer.join("") : Buffer.concat(buffer);
    const rest = whole === buffer[0] ? buffer.slice(1) : [];
    state.length -= size;
    const taken = size === whole.length ? whole : whole.slice(0, size);
    if (size < whole.length) rest.unshift(whole.slice(size));
    state.buffer = rest;
    return taken;
  },
  on(name, listener) {
    const state = this._readableState;
    EventEmitter.prototype.on.call(this, name, listener);
    if (name === "data") {
      if (state.flowing !== false && !state.listening) this.resume();
    } else if (name === "readable" && !state.listening) {
      state.listening = true;
      state.flowing = false;
      if (state.length > 0 || state.ended) tell(this);
      else if (!state.reading) later(() => this.read(0));
    }
    return this;
  },
  addListener(name, listener) { return this.on(name, listener); },
  removeListener(name, listener) {
    EventEmitter.prototype.removeListener.call(this, name, listener);
    if (name === "readable" && this.listenerCount("readable") === 0) {
      const state = this._readableState;
      state.listening = false;
      if (this.listenerCount("data") > 0) this.resume();
      else if (!state.flowing) state.flowing = null;
    }
    return this;
  },
  off(name, listener) { return this.removeListener(name, listener); },
  resume() {
    const state = this._readableState;
    if (state.flowing) return this;
    state.flowing = !state.listening;
    later(() => {
      if (!state.reading && state.length === 0) this.read(0);
      this.emit("resume");
      flow(this);
      if (state.flowing && !state.reading) this.read(0);
    });
    return this;
  },
  pause() {
    const state = this._readableState;
    if (state.flowing !== false) {
      state.flowing = false;
      this.emit("pause");
    }
    return this;
  },
  isPaused() { return this._readableState.flowing === false; },
  setEncoding(encoding) {
    const state = this._readableState;
    state.decoder = new StringDecoder(encoding);
    const text = state.buffer.map((chunk) => state.decoder.write(chunk)).join("");
    state.buffer = text === "" ? [] : [text];
    state.length = text.length;
    return this;
  },
  pipe(target, options) {
    const state = this._readableState;
    const pass = (chunk) => {
      if (target.write(chunk) !== false) return;
      this.pause();
      target.once("drain", onward);
    };
    const onward = () => {
      if (!state.pipes.some((pipe) => pipe.target !== target && pipe.target.writableNeedDrain)) this.resume();
    };
    const over = () => target.end();
    const undo = () => {
      this.removeListener("data", pass);
      this.removeListener("end", over);
      target.removeListener("drain", onward);
      target.removeListener("close", leave);
      target.removeListener("error", leave);
    };
    const leave = () => this.unpipe(target);
    state.pipes.push({ target, undo });
    target.on("close", leave);
    target.prependListener?.("error", leave);
    if (options?.end !== false) {
      if (state.endEmitted) later(over);
      else this.once("end", over);
    }
    this.on("data", pass);
    target.emit("pipe", this);
    if (target.writableNeedDrain === true) {
      this.pause();
      target.once("drain", onward);
    } else if (!state.flowing) this.resume();
    return target;
  },
  unpipe(target) {
    const state = this._readableState;
    const gone = state.pipes.filter((pipe) => target === undefined || pipe.target === target);
    state.pipes = state.pipes.filter((pipe) => !gone.includes(pipe));
    for (const { target: from, undo } of gone) {
      undo();
      from.emit("unpipe", this, { hasUnpiped: false });
    }
    if (gone.length > 0 && state.pipes.length === 0) this.pause();
    return this;
  },
  wrap(old) {
    old.on("data", (chunk) => { if (!this.push(chunk)) old.pause?.(); });
    old.on("end", () => this.push(null));
    old.on("error", (error) => this.destroy(error));
    this._read = () => old.resume?.();
    return this;
  },
  async *iterator({ destroyOnReturn = true } = {}) {
    let end, wake = () => {};
    const stop = finished(this, { writable: false }, (error) => { end = error ?? null; wake(); });
    const onReadable = () => wake();
    this.on("readable", onReadable);
    try {
      for (;;) {
        const chunk = this.destroyed ? null : this.read();
        if (chunk !== null) yield chunk;
        else if (end) throw end;
        else if (end === null) return;
        else await new Promise((go) => { wake = go; });
      }
    } finally {
      stop();
      this.removeListener("readable", onReadable);
      if (destroyOnReturn || end) this.destroy();
    }
  },
  [Symbol.asyncIterator]() { return this.iterator(); },
  async toArray() {
    const all = [];
    for await (const chunk of this) all.push(chunk);
    return all;
  },
  map(change) {
    const source = this;
    return Readable.from((async function* () { for await (const chunk of source) yield await change(chunk); })());
  },
  filter(keep) {
    const source = this;
    return Readable.from((async function* () { for await (const chunk of source) if (await keep(chunk)) yield chunk; })());
  },
  async forEach(each) { for await (const chunk of this) await each(chunk); },
  get readable() {
    const state = this._readableState;
    return !state.destroyed && !state.endEmitted && state.errored === null && state.off !== true;
  },
  set readable(value) { this._readableState.off = !value; },
  get readableFlowing() { return this._readableState.flowing; },
  get readableLength() { return this._readableState.length; },
  get readableHighWaterMark() { return this._readableState.highWaterMark; },
  get readableObjectMode() { return this._readableState.objectMode; },
  get readableEncoding() { return this._readableState.decoder?.encoding ?? null; },
  get readableEnded() { return this._readableState.endEmitted; },
  get readableDidRead() { return this._readableState.didRead; },
  get readableAborted() {
    const state = this._readableState;
    return (state.destroyed || state.errored !== null) && !state.endEmitted;
  },
});

Readable.from = (source, options) => {
  if (typeof source === "string" || source instanceof Uint8Array) source = [source];
  const items = source?.[Symbol.asyncIterator]?.() ?? source?.[Symbol.iterator]?.();
  if (items === undefined) throw coded(TypeError, "ERR_INVALID_ARG_TYPE", 'The "iterable" argument must be an instance of Iterable.');
  let busy = false;
  return new Readable({
    objectMode: true,
    highWaterMark: 1,
    ...options,
    async read() {
      if (busy) return;
      busy = true;
      try {
        for (;;) {
          const { done, value } = await items.next();
          if (done) this.push(null);
          else if (this.push(await value)) continue;
          busy = false;
          return;
        }
      } catch (error) {
        this.destroy(error);
      }
    },
    destroy(error, done) {
      Promise.resolve(items.return?.()).then(() => done(error), (failure) => done(error ?? failure));
    },
  });
};

Readable.toWeb = (source, options) => {
  source.pause();
  const objects = source.readableObjectMode;
  return new ReadableStream({
    start(controller) {
      source.on("data", (chunk) => {
        controller.enqueue(objects || typeof chunk === "string" ? chunk : new Uint8Array(chunk));
        if (controller.desiredSize <= 0) source.pause();
      });
      source.pause();
      finished(source, { writable: false }, (error) => {
        source.on("error", () => {});
        try {
          if (error) controller.error(error);
          else controller.close();
        } catch { /* it was cancelled */ }
      });
    },
    pull() { source.resume(); },
    cancel(reason) { source.destroy(reason); },
  }, options?.strategy ?? { highWaterMark: objects ? source.readableHighWaterMark : 0 });
};

Readable.fromWeb = (stream, options) => {
  const reader = stream.getReader();
  return new Readable({
    ...options,
    read() { reader.read().then(({ done, value }) => this.push(done ? null : value), (error) => this.destroy(error)); },
    destroy(error, done) { reader.cancel(error).then(() => done(error), () => done(error)); },
  });
};
