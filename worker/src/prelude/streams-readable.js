// ReadableStream, its default controller and default reader. Public objects are thin: each holds one internal
// state object, and every algorithm works on those, so that nothing an app patches changes how streams work.

import host from "fazt:native/host";
import { INTERNAL, dictionary, domString, enforceRange, expose, illegal, need } from "fazt:webidl";
import {
  Deferred, PullingState, SizedQueue, attempt, doNothing, highWaterMarkOf, method, promiseCall, quiet, rejected, resolved, sizeOf, strategyOf,
  then,
} from "fazt:streams-core";
import { ReadableStreamBYOBReader, setUpBytesFromSource } from "fazt:streams-bytes";
import { asyncIterator, fromIterable, tee } from "fazt:streams-iterate";

/** The inside of a ReadableStream. */
export class ReadableState {
  constructor() {
    this.controller = undefined;
    this.reader = undefined;
    this.disturbed = false;
    this.state = "readable";
    this.error = undefined;
    this.wrapper = undefined;
  }
}

/** The public object of an internal stream. */
export function wrap(s) {
  return s.wrapper ?? new ReadableStream(INTERNAL, s);
}

let readableState, isReadable;

const pipes = () => host.load("fazt:streams-pipe");

export class ReadableStream {
  #s;

  constructor(underlyingSource = undefined, strategy = undefined) {
    if (underlyingSource === INTERNAL) {
      this.#s = strategy;
      strategy.wrapper = this;
      return;
    }
    if (underlyingSource === undefined) underlyingSource = null;
    else if (Object(underlyingSource) !== underlyingSource) throw new TypeError("The underlying source is not an object");
    strategy = strategyOf(strategy);
    const source = underlyingSource ?? {};
    let autoAllocate = source.autoAllocateChunkSize;
    if (autoAllocate !== undefined) autoAllocate = enforceRange(autoAllocate, undefined, "autoAllocateChunkSize");
    const cancel = method(source, "cancel");
    const pull = method(source, "pull");
    const start = method(source, "start");
    let type = source.type;
    if (type !== undefined && (type = domString(type)) !== "bytes") throw new TypeError(`"${type}" is not a stream type`);
    const s = new ReadableState();
    s.wrapper = this;
    this.#s = s;
    if (type === "bytes") {
      if (strategy.size !== undefined) throw new RangeError("A byte stream takes no size function");
      const hwm = highWaterMarkOf(strategy, 0);
      setUpBytesFromSource(s, underlyingSource, { start, pull, cancel, autoAllocate }, hwm);
    } else {
      const size = sizeOf(strategy);
      const hwm = highWaterMarkOf(strategy, 1);
      const c = new DefaultControllerState(s, hwm, size);
      if (pull) c.pullAlgorithm = () => promiseCall(pull, underlyingSource, [wrapController(c)]);
      if (cancel) c.cancelAlgorithm = (reason) => promiseCall(cancel, underlyingSource, [reason]);
      c.setUp(start ? () => Reflect.apply(start, underlyingSource, [wrapController(c)]) : undefined);
    }
  }

  static from(asyncIterable) {
    need(arguments.length, 1, "ReadableStream.from");
    return wrap(fromIterable(asyncIterable));
  }

  get locked() { return this.#s.reader !== undefined; }

  cancel(reason = undefined) {
    if (!isReadable(this)) return rejected(new TypeError("The receiver is not a ReadableStream"));
    if (this.#s.reader !== undefined) return rejected(new TypeError("Cannot cancel a locked stream"));
    return cancelStream(this.#s, reason);
  }

  getReader(options = undefined) {
    const s = this.#s;
    options = dictionary(options, "The options");
    let mode = options.mode;
    if (mode === undefined) return new ReadableStreamDefaultReader(this);
    if ((mode = domString(mode)) !== "byob") throw new TypeError(`"${mode}" is not a reader mode`);
    return new ReadableStreamBYOBReader(this);
  }

  pipeThrough(transform, options = undefined) {
    const s = this.#s;
    need(arguments.length, 1, "pipeThrough");
    if (Object(transform) !== transform) throw new TypeError("pipeThrough: the transform is not an object");
    const { pipeOptions, pipeTo, quiet, writableState } = pipes();
    const readable = transform.readable;
    readableState(readable);
    const writable = writableState(transform.writable);
    const o = pipeOptions(options);
    if (s.reader !== undefined) throw new TypeError("pipeThrough: the stream is locked");
    if (writable.writer !== undefined) throw new TypeError("pipeThrough: the writable side is locked");
    quiet(pipeTo(s, writable, o.preventClose, o.preventAbort, o.preventCancel, o.signal));
    return readable;
  }

  pipeTo(destination, options = undefined) {
    const { pipeOptions, pipeTo, writableState } = pipes();
    let s, w, o;
    try {
      s = this.#s;
      need(arguments.length, 1, "pipeTo");
      w = writableState(destination);
      o = pipeOptions(options);
    } catch (error) {
      return rejected(error);
    }
    if (s.reader !== undefined) return rejected(new TypeError("pipeTo: the stream is locked"));
    if (w.writer !== undefined) return rejected(new TypeError("pipeTo: the destination is locked"));
    return pipeTo(s, w, o.preventClose, o.preventAbort, o.preventCancel, o.signal);
  }

  tee() {
    const [a, b] = tee(this.#s);
    return [wrap(a), wrap(b)];
  }

  values(options = undefined) {
    const s = this.#s;
    const preventCancel = !!dictionary(options, "The options").preventCancel;
    return asyncIterator(s, preventCancel);
  }

  static {
    readableState = (stream) => {
      if (Object(stream) !== stream || !(#s in stream)) throw new TypeError("Not a ReadableStream");
      return stream.#s;
    };
    isReadable = (stream) => Object(stream) === stream && #s in stream;
  }
}
expose(ReadableStream);
for (const [key, length] of [["pipeThrough", 1], ["pipeTo", 1]]) {
  Object.defineProperty(ReadableStream.prototype[key], "length", { value: length, configurable: true });
}
Object.defineProperty(ReadableStream.prototype, Symbol.asyncIterator, {
  value: ReadableStream.prototype.values,
  writable: true,
  configurable: true,
});

export { isReadable, readableState };

// -- streams --

export function cancelStream(s, reason) {
  s.disturbed = true;
  if (s.state === "closed") return resolved(undefined);
  if (s.state === "errored") return rejected(s.error);
  closeStream(s);
  const reader = s.reader;
  if (reader !== undefined && reader.byob) {
    const requests = reader.requests;
    reader.requests = [];
    for (const r of requests) r.close(undefined);
  }
  return then(s.controller.cancelSteps(reason), () => undefined);
}

export function closeStream(s) {
  s.state = "closed";
  const reader = s.reader;
  if (reader === undefined) return;
  reader.closed?.resolve(undefined);
  if (!reader.byob) {
    const requests = reader.requests;
    reader.requests = [];
    for (const r of requests) r.close();
  }
}

export function errorStream(s, error) {
  s.state = "errored";
  s.error = error;
  const reader = s.reader;
  if (reader === undefined) return;
  if (reader.closed) {
    reader.closed.reject(error);
    quiet(reader.closed.promise);
  }
  errorRequests(reader, error);
}

function errorRequests(reader, error) {
  const requests = reader.requests;
  reader.requests = [];
  for (const r of requests) r.error(error);
}

// -- readers --

/** The inside of a reader; its `closed` promise is made when somebody asks for it. */
export class ReaderState {
  constructor(s, byob) {
    if (s.reader !== undefined) throw new TypeError("The stream is locked to another reader");
    this.stream = s;
    this.byob = byob;
    this.requests = [];
    this.closed = null;
    s.reader = this;
  }

  closedPromise() {
    if (this.closed === null) {
      const s = this.stream;
      if (s === undefined) this.closed = Deferred.rejected(new TypeError("The reader was released"));
      else if (s.state === "readable") this.closed = new Deferred();
      else if (s.state === "closed") this.closed = Deferred.resolved(undefined);
      else this.closed = Deferred.rejected(s.error);
    }
    return this.closed.promise;
  }

  cancel(reason) {
    return cancelStream(this.stream, reason);
  }

  release() {
    const s = this.stream;
    if (s === undefined) return;
    const error = new TypeError("The reader was released");
    if (this.closed) {
      if (s.state === "readable") this.closed.reject(error);
      else this.closed = Deferred.rejected(error);
      quiet(this.closed.promise);
    }
    s.controller.releaseSteps();
    s.reader = undefined;
    this.stream = undefined;
    errorRequests(this, new TypeError("The reader was released"));
  }

  /** Reads one chunk into `request` ({ chunk(value), close(), error(e) }). */
  read(request) {
    const s = this.stream;
    s.disturbed = true;
    if (s.state === "closed") request.close();
    else if (s.state === "errored") request.error(s.error);
    else s.controller.pullSteps(request);
  }
}

/** Locks a stream for the prelude itself. */
export function acquireReader(s) {
  return new ReaderState(s, false);
}

class PromiseRequest {
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.error = reject;
    });
  }
  chunk(value) { this.resolve({ value, done: false }); }
  close(value) { this.resolve({ value, done: true }); }
}
export { PromiseRequest };

export class ReadableStreamDefaultReader {
  #r;
  constructor(stream) {
    need(arguments.length, 1, "ReadableStreamDefaultReader");
    this.#r = new ReaderState(readableState(stream), false);
  }
  get closed() {
    if (!(Object(this) === this && #r in this)) return rejected(new TypeError("The receiver is not a ReadableStreamDefaultReader"));
    return this.#r.closedPromise();
  }
  cancel(reason = undefined) {
    if (!(Object(this) === this && #r in this)) return rejected(new TypeError("The receiver is not a ReadableStreamDefaultReader"));
    if (this.#r.stream === undefined) return rejected(new TypeError("The reader was released"));
    return this.#r.cancel(reason);
  }
  read() {
    if (!(Object(this) === this && #r in this)) return rejected(new TypeError("The receiver is not a ReadableStreamDefaultReader"));
    if (this.#r.stream === undefined) return rejected(new TypeError("The reader was released"));
    const request = new PromiseRequest();
    this.#r.read(request);
    return request.promise;
  }
  releaseLock() {
    this.#r.release();
  }
}
expose(ReadableStreamDefaultReader);

// -- the default controller --

export class DefaultControllerState extends PullingState {
  constructor(s, hwm, size) {
    super(s, hwm);
    this.queue = new SizedQueue();
    this.sizeAlgorithm = size;
  }

  cancelSteps(reason) {
    this.queue.clear();
    const result = this.cancelAlgorithm(reason);
    this.clearAlgorithms();
    return result;
  }

  pullSteps(request) {
    if (this.queue.length > 0) {
      const chunk = this.queue.shift();
      if (this.closeRequested && this.queue.length === 0) {
        this.clearAlgorithms();
        closeStream(this.stream);
      } else {
        this.pullIfNeeded();
      }
      request.chunk(chunk);
    } else {
      this.stream.reader.requests.push(request);
      this.pullIfNeeded();
    }
  }

  releaseSteps() {}

  clearAlgorithms() {
    this.pullAlgorithm = this.cancelAlgorithm = doNothing;
    this.sizeAlgorithm = undefined;
  }

  desiredSize() {
    const state = this.stream.state;
    if (state === "errored") return null;
    if (state === "closed") return 0;
    return this.hwm - this.queue.total;
  }

  close() {
    if (!this.canEnqueue()) return;
    this.closeRequested = true;
    if (this.queue.length === 0) {
      this.clearAlgorithms();
      closeStream(this.stream);
    }
  }

  enqueue(chunk) {
    if (!this.canEnqueue()) return;
    const reader = this.stream.reader;
    if (reader !== undefined && reader.requests.length > 0) {
      reader.requests.shift().chunk(chunk);
    } else {
      try {
        this.queue.push(chunk, this.sizeAlgorithm(chunk));
      } catch (error) {
        this.error(error);
        throw error;
      }
    }
    this.pullIfNeeded();
  }

  error(error) {
    if (this.stream.state !== "readable") return;
    this.queue.clear();
    this.clearAlgorithms();
    errorStream(this.stream, error);
  }
}

export class ReadableStreamDefaultController {
  #c;
  constructor(key = undefined, c = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#c = c;
    c.wrapper = this;
  }
  get desiredSize() { return this.#c.desiredSize(); }
  close() {
    if (!this.#c.canEnqueue()) throw new TypeError("The stream is already closed or errored");
    this.#c.close();
  }
  enqueue(chunk = undefined) {
    if (!this.#c.canEnqueue()) throw new TypeError("The stream is already closed or errored");
    this.#c.enqueue(chunk);
  }
  error(error = undefined) { this.#c.error(error); }
}
expose(ReadableStreamDefaultController);

function wrapController(c) {
  return c.wrapper ?? new ReadableStreamDefaultController(INTERNAL, c);
}

/** A stream of the prelude's own: `pull` and `cancel` return promises, `start` may be undefined. */
export function createReadable(start, pull, cancel, hwm = 1, size = () => 1) {
  const s = new ReadableState();
  const c = new DefaultControllerState(s, hwm, size);
  if (pull) c.pullAlgorithm = () => attempt(pull);
  if (cancel) c.cancelAlgorithm = (reason) => attempt(cancel, reason);
  c.setUp(start);
  return s;
}
