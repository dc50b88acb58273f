// The writable half of node:stream.

import { Buffer } from "node:buffer";
import { Stream, addAbortSignal, coded, define, destroyWhenDone, finished, later } from "fazt:node-readable";

class WritableState {
  constructor(options) {
    this.objectMode = !!options?.objectMode;
    this.highWaterMark = options?.highWaterMark ?? (this.objectMode ? 16 : 65536);
    this.decodeStrings = options?.decodeStrings !== false;
    this.defaultEncoding = options?.defaultEncoding ?? "utf8";
    this.emitClose = options?.emitClose !== false;
    this.autoDestroy = options?.autoDestroy !== false;
    this.queue = []; // { chunk, encoding, size, done }
    this.length = 0;
    this.corked = 0;
    this.writing = this.running = this.needDrain = this.ending = this.finalCalled = this.finished = false;
    this.destroyed = this.closed = false;
    this.errored = null;
    this.waiting = []; // callbacks of `end`
  }
  /** Nothing more will be written. */
  fail(error) {
    const lost = this.queue.splice(0);
    const waiting = this.finished ? [] : this.waiting.splice(0);
    for (const { done } of lost) later(() => done(this.errored ?? error));
    for (const done of waiting) later(() => done(this.errored ?? error));
  }
}

export function Writable(options) {
  if (!(this instanceof Writable) && this?._readableState === undefined) return new Writable(options);
  if (this._readableState === undefined) Stream.call(this, options);
  this._writableState = new WritableState(options);
  if (typeof options?.write === "function") this._write = options.write;
  if (typeof options?.writev === "function") this._writev = options.writev;
  if (typeof options?.final === "function") this._final = options.final;
  if (typeof options?.destroy === "function") this._destroy = options.destroy;
  if (options?.signal && this._readableState === undefined) addAbortSignal(options.signal, this);
}
Object.setPrototypeOf(Writable.prototype, Stream.prototype);
Object.setPrototypeOf(Writable, Stream);

const nothing = () => {};

// Writes what is queued, one after another; a sink that answers at once does not make the stack grow.
function advance(stream) {
  const state = stream._writableState;
  if (state.running) return;
  state.running = true;
  while (!state.writing && state.queue.length > 0 && state.corked === 0 && !state.destroyed) {
    const batch = typeof stream._writev === "function" && (state.queue.length > 1 || stream._write === Writable.prototype._write) ? state.queue.splice(0) : [state.queue.shift()];
    const size = batch.reduce((sum, entry) => sum + entry.size, 0);
    state.writing = true;
    let over = false;
    const written = (error) => {
      if (over) return void stream.destroy(coded(Error, "ERR_MULTIPLE_CALLBACK", "Callback called multiple times"));
      over = true;
      state.writing = false;
      state.length -= size;
      if (error) {
        state.errored ??= error;
        for (const { done } of batch) later(() => done(error));
        stream.destroy(error);
        return;
      }
      later(() => {
        if (state.needDrain && state.length === 0 && !state.ending && !state.destroyed) {
          state.needDrain = false;
          stream.emit("drain");
        }
        for (const { done } of batch) done(null);
        finish(stream);
      });
      advance(stream);
    };
    try {
      if (batch.length > 1 || stream._write === Writable.prototype._write) stream._writev(batch, written);
      else stream._write(batch[0].chunk, batch[0].encoding, written);
    } catch (error) {
      state.running = false;
      throw error;
    }
  }
  state.running = false;
}

function finish(stream) {
  const state = stream._writableState;
  if (!state.ending || state.finalCalled || state.writing || state.length > 0 || state.destroyed) return;
  state.finalCalled = true;
  const over = (error) => {
    if (error) return void stream.destroy(error);
    later(() => {
      if (state.errored || state.finished) return;
      state.finished = true;
      for (const done of state.waiting.splice(0)) done();
      stream.emit("finish");
      destroyWhenDone(stream);
    });
  };
  if (typeof stream._final !== "function") return over();
  try {
    stream._final(over);
  } catch (error) {
    over(error);
  }
}

function refused(stream, error, done) {
  later(() => done(error));
  if (error.code !== "ERR_STREAM_DESTROYED") stream.destroy(error);
  return false;
}

const members = {
  _write(chunk, encoding, done) {
    if (typeof this._writev === "function") this._writev([{ chunk, encoding }], done);
    else throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _write() method is not implemented");
  },
  write(chunk, encoding, done) {
    const state = this._writableState;
    if (typeof encoding === "function") [encoding, done] = [undefined, encoding];
    done ??= nothing;
    encoding ??= state.defaultEncoding;
    if (chunk === null) throw coded(TypeError, "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
    if (!state.objectMode) {
      if (typeof chunk === "string") {
        if (state.decodeStrings) [chunk, encoding] = [Buffer.from(chunk, encoding), "buffer"];
      } else if (chunk instanceof Uint8Array) {
        encoding = "buffer";
        if (!(chunk instanceof Buffer)) chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      } else throw coded(TypeError, "ERR_INVALID_ARG_TYPE", `The "chunk" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received ${chunk === undefined ? "undefined" : `type ${typeof chunk}`}`);
    }
    if (state.ending) return refused(this, coded(Error, "ERR_STREAM_WRITE_AFTER_END", "write after end"), done);
    if (state.destroyed) return refused(this, coded(Error, "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed"), done);
    const size = state.objectMode ? 1 : chunk.length;
    state.length += size;
    const room = state.length < state.highWaterMark;
    if (!room) state.needDrain = true;
    state.queue.push({ chunk, encoding, size, done });
    advance(this);
    return room && !state.errored && !state.destroyed;
  },
  end(chunk, encoding, done) {
    const state = this._writableState;
    if (typeof chunk === "function") [chunk, encoding, done] = [undefined, undefined, chunk];
    else if (typeof encoding === "function") [encoding, done] = [undefined, encoding];
    if (chunk !== undefined && chunk !== null) this.write(chunk, encoding);
    state.corked = 0;
    if (typeof done === "function") {
      if (state.finished || state.destroyed) later(() => done(state.errored ?? (state.finished ? coded(Error, "ERR_STREAM_ALREADY_FINISHED", "Cannot call end after a stream was finished") : coded(Error, "ERR_STREAM_DESTROYED", "Cannot call end after a stream was destroyed"))));
      else state.waiting.push(done);
    }
    if (!state.ending && !state.destroyed) {
      state.ending = true;
      advance(this);
      later(() => finish(this));
    }
    return this;
  },
  cork() { this._writableState.corked++; },
  uncork() {
    const state = this._writableState;
    if (state.corked > 0 && --state.corked === 0) advance(this);
  },
  setDefaultEncoding(encoding) {
    this._writableState.defaultEncoding = encoding;
    return this;
  },
  get writable() {
    const state = this._writableState;
    return state !== undefined && !state.destroyed && !state.ending && !state.errored && state.off !== true;
  },
  set writable(value) { if (this._writableState) this._writableState.off = !value; },
  get writableEnded() { return this._writableState.ending; },
  get writableFinished() { return this._writableState.finished; },
  get writableLength() { return this._writableState.length; },
  get writableHighWaterMark() { return this._writableState.highWaterMark; },
  get writableObjectMode() { return this._writableState.objectMode; },
  get writableCorked() { return this._writableState.corked; },
  get writableNeedDrain() {
    const state = this._writableState;
    return !state.destroyed && !state.ending && state.needDrain;
  },
  get writableAborted() {
    const state = this._writableState;
    return (state.destroyed || state.errored !== null) && !state.finished;
  },
};
define(Writable.prototype, members);
Writable.prototype.pipe = function () { this.destroy(coded(Error, "ERR_STREAM_CANNOT_PIPE", "Cannot pipe, not readable")); };

/** What a Duplex takes over. */
export const writableMembers = Object.fromEntries(Object.keys(members).map((name) => [name, Object.getOwnPropertyDescriptor(Writable.prototype, name)]));

Writable.toWeb = (target) => {
  let controller;
  finished(target, { readable: false }, (error) => {
    target.on("error", nothing);
    if (error) controller?.error(error);
  });
  return new WritableStream({
    start(given) { controller = given; },
    write(chunk) {
      if (target.writableNeedDrain || !target.write(chunk)) return new Promise((go) => target.once("drain", go));
      return undefined;
    },
    close() { return new Promise((go, fail) => target.end((error) => (error ? fail(error) : go()))); },
    abort(reason) { target.destroy(reason); },
  }, { highWaterMark: target.writableObjectMode ? target.writableHighWaterMark : 1 });
};

Writable.fromWeb = (stream, options) => {
  const writer = stream.getWriter();
  return new Writable({
    ...options,
    write(chunk, _, done) { writer.ready.then(() => writer.write(chunk)).then(() => done(), done); },
    final(done) { writer.close().then(() => done(), done); },
    destroy(error, done) {
      if (error) writer.abort(error).then(() => done(error), () => done(error));
      else writer.close().then(() => done(error), () => done(error));
    },
  });
};
