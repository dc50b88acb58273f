// node:stream: the classes, `pipeline` and `finished`, and the way to web streams and back. The halves are in
// `fazt:node-readable` and `fazt:node-writable`, which hang their methods on what is made here.

import { EventEmitter } from "node:events";
import { Readable, Stream, addAbortSignal, coded, finished, later } from "fazt:node-readable";
import { Writable, writableMembers } from "fazt:node-writable";

export { Readable, Stream, Writable, addAbortSignal, finished };

function inherit(Child, Parent) {
  Object.setPrototypeOf(Child.prototype, Parent.prototype);
  Object.setPrototypeOf(Child, Parent);
}

export function Duplex(options = {}) {
  if (!(this instanceof Duplex)) return new Duplex(options);
  options ??= {};
  Readable.call(this, { ...options, objectMode: options.readableObjectMode ?? options.objectMode, highWaterMark: options.readableHighWaterMark ?? options.highWaterMark });
  Writable.call(this, { ...options, objectMode: options.writableObjectMode ?? options.objectMode, highWaterMark: options.writableHighWaterMark ?? options.highWaterMark });
  this.allowHalfOpen = options.allowHalfOpen !== false;
  if (!this.allowHalfOpen) this.once("end", () => this.end());
}
inherit(Duplex, Readable);
Object.defineProperties(Duplex.prototype, writableMembers);
Object.defineProperty(Writable, Symbol.hasInstance, {
  value(value) { return Function.prototype[Symbol.hasInstance].call(this, value) || (this === Writable && value instanceof Duplex); },
});

export function Transform(options = {}) {
  if (!(this instanceof Transform)) return new Transform(options);
  Duplex.call(this, options);
  if (typeof options?.transform === "function") this._transform = options.transform;
  if (typeof options?.flush === "function") this._flush = options.flush;
  this._waiting = null;
}
inherit(Transform, Duplex);
Object.assign(Transform.prototype, {
  _transform() { throw coded(Error, "ERR_METHOD_NOT_IMPLEMENTED", "The _transform() method is not implemented"); },
  _write(chunk, encoding, done) {
    const state = this._readableState, before = state.length;
    this._transform(chunk, encoding, (error, value) => {
      if (error) return done(error);
      if (value !== null && value !== undefined) this.push(value);
      if (state.ended || state.length === before || state.length < state.highWaterMark) done();
      else this._waiting = done;
    });
  },
  _read() {
    const done = this._waiting;
    this._waiting = null;
    done?.();
  },
  _final(done) {
    const end = (error, value) => {
      if (error) return done(error);
      if (value !== null && value !== undefined) this.push(value);
      this.push(null);
      done();
    };
    if (typeof this._flush === "function") this._flush(end);
    else end();
  },
});

export function PassThrough(options) {
  if (!(this instanceof PassThrough)) return new PassThrough(options);
  Transform.call(this, options);
}
inherit(PassThrough, Transform);
PassThrough.prototype._transform = (chunk, _, done) => done(null, chunk);

// --------------------------------------------------------------------------------------------- pipeline

const isStream = (value) => value instanceof EventEmitter && typeof value.on === "function";
const isWritable = (value) => isStream(value) && typeof value.write === "function";

function readableOf(value) {
  if (isStream(value)) return value;
  if (value instanceof ReadableStream) return Readable.fromWeb(value);
  if (typeof value?.[Symbol.asyncIterator] === "function" || typeof value?.[Symbol.iterator] === "function") return Readable.from(value);
  throw coded(TypeError, "ERR_INVALID_ARG_TYPE", "A step of the pipeline is neither a stream nor iterable");
}

// Calls `done(error, value)` once.
function run(steps, done, signal) {
  if (steps.length === 1 && Array.isArray(steps[0])) steps = steps[0];
  if (steps.length < 2) throw coded(TypeError, "ERR_MISSING_ARGS", 'The "streams" argument must be specified');
  const streams = [];
  let left = 0, over = false, value;
  const settle = (error) => {
    if (over) return;
    if (!error && --left > 0) return;
    over = true;
    if (error) for (const stream of streams) stream.destroy?.(stream.destroyed ? undefined : error);
    done(error ?? undefined, value);
  };
  const watch = (stream, options) => {
    streams.push(stream);
    left++;
    stream.on?.("error", () => {});
    finished(stream, options, settle);
  };
  left++; // until everything is connected
  let flow;
  try {
    for (const [at, step] of steps.entries()) {
      const last = at === steps.length - 1;
      if (typeof step === "function") {
        const made = at === 0 ? step({ signal }) : step(flow, { signal });
        if (last && typeof made?.then === "function") {
          left++;
          made.then((result) => { value = result; settle(); }, settle);
          break;
        }
        flow = readableOf(made);
        watch(flow, { writable: false });
        continue;
      }
      const next = step instanceof WritableStream ? Writable.fromWeb(step) : at === 0 ? readableOf(step) : step;
      if (at > 0 && !isWritable(next)) throw coded(TypeError, "ERR_INVALID_ARG_TYPE", "A step of the pipeline cannot be written to");
      watch(next, { readable: !last && at < steps.length - 1, writable: at > 0 });
      if (at > 0) flow.pipe(next);
      flow = next;
    }
  } catch (error) {
    settle(error);
  }
  if (signal) {
    const stop = () => settle(Object.assign(new Error("The operation was aborted", { cause: signal.reason }), { name: "AbortError", code: "ABORT_ERR" }));
    if (signal.aborted) later(stop);
    else signal.addEventListener("abort", stop, { once: true });
  }
  settle();
  return flow;
}

export function pipeline(...steps) {
  const done = steps.pop();
  if (typeof done !== "function") throw coded(TypeError, "ERR_INVALID_ARG_TYPE", 'The "streams[stream.length - 1]" property must be of type function');
  return run(steps, (error, value) => later(() => done(error, value)));
}

export const promises = {
  pipeline: (...steps) => new Promise((resolve, reject) => {
    const last = steps.at(-1), options = last !== null && typeof last === "object" && !isStream(last) && !(last instanceof WritableStream) && typeof last[Symbol.asyncIterator] !== "function" && typeof last[Symbol.iterator] !== "function" ? steps.pop() : undefined;
    run(steps, (error, value) => (error ? reject(error) : resolve(value)), options?.signal);
  }),
  finished: (stream, options) => new Promise((resolve, reject) => finished(stream, options, (error) => (error ? reject(error) : resolve()))),
};

// ------------------------------------------------------------------------------------------ web streams

Duplex.toWeb = (duplex) => ({ readable: Readable.toWeb(duplex), writable: Writable.toWeb(duplex) });
Duplex.fromWeb = ({ readable, writable }, options) => {
  const reader = Readable.fromWeb(readable, options), writer = Writable.fromWeb(writable, options);
  return new Duplex({
    ...options,
    read() { reader._read.call(this); },
    write(chunk, encoding, done) { writer._write(chunk, encoding, done); },
    final(done) { writer._final(done); },
    destroy(error, done) { reader._destroy(error, () => writer._destroy(error, done)); },
  });
};
Duplex.from = (body) => {
  if (body instanceof Duplex) return body;
  if (body?.readable && body?.writable) return Duplex.fromWeb(body);
  return Object.assign(Readable.from(body), { writable: false });
};

export const isErrored = (stream) => !!stream?.errored;
export const isReadable = (stream) => !!stream?.readable;
export const isDisturbed = (stream) => !!stream?.readableDidRead;
export const destroy = (stream, error) => stream.destroy(error);
export const getDefaultHighWaterMark = (objectMode) => (objectMode ? 16 : 65536);
Object.assign(Stream, { Duplex, PassThrough, Readable, Stream, Transform, Writable, addAbortSignal, destroy, finished, getDefaultHighWaterMark, isDisturbed, isErrored, isReadable, pipeline, promises });
export default Stream;
