// WritableStream, its controller and its writer, on internal state objects as in fazt:streams-readable.

import { INTERNAL, expose, illegal, need } from "fazt:webidl";
import {
  Deferred, SizedQueue, attempt, highWaterMarkOf, method, promiseCall, quiet, rejected, resolved, resolvedWith, sizeOf, strategyOf,
  upon,
} from "fazt:streams-core";
import { abortSignal, createSignal } from "fazt:abort";

const CLOSE = Symbol("close");
const doNothing = () => resolved(undefined);

export class WritableState {
  constructor() {
    this.state = "writable";
    this.error = undefined;
    this.writer = undefined;
    this.controller = undefined;
    this.requests = []; // Deferred of each write that waits
    this.inFlightWrite = undefined;
    this.closeRequest = undefined;
    this.inFlightClose = undefined;
    this.pendingAbort = undefined;
    this.backpressure = false;
    this.wrapper = undefined;
  }
}

let writableState, isWritable;

export class WritableStream {
  #s;
  constructor(underlyingSink = undefined, strategy = undefined) {
    if (underlyingSink === INTERNAL) {
      this.#s = strategy;
      strategy.wrapper = this;
      return;
    }
    if (underlyingSink === undefined) underlyingSink = null;
    else if (Object(underlyingSink) !== underlyingSink) throw new TypeError("The underlying sink is not an object");
    strategy = strategyOf(strategy);
    const sink = underlyingSink ?? {};
    const abort = method(sink, "abort");
    const close = method(sink, "close");
    const start = method(sink, "start");
    const type = sink.type;
    const write = method(sink, "write");
    if (type !== undefined) throw new RangeError("The sink's type must be undefined");
    const s = new WritableState();
    s.wrapper = this;
    this.#s = s;
    const size = sizeOf(strategy);
    const hwm = highWaterMarkOf(strategy, 1);
    const c = new WritableControllerState(s, hwm, size);
    if (write) c.writeAlgorithm = (chunk) => promiseCall(write, underlyingSink, [chunk, wrapController(c)]);
    if (close) c.closeAlgorithm = () => promiseCall(close, underlyingSink, []);
    if (abort) c.abortAlgorithm = (reason) => promiseCall(abort, underlyingSink, [reason]);
    c.setUp(start ? () => Reflect.apply(start, underlyingSink, [wrapController(c)]) : undefined);
  }

  get locked() { return this.#s.writer !== undefined; }

  abort(reason = undefined) {
    if (!isWritable(this)) return rejected(new TypeError("The receiver is not a WritableStream"));
    if (this.#s.writer !== undefined) return rejected(new TypeError("Cannot abort a locked stream"));
    return abortStream(this.#s, reason);
  }

  close() {
    if (!isWritable(this)) return rejected(new TypeError("The receiver is not a WritableStream"));
    const s = this.#s;
    if (s.writer !== undefined) return rejected(new TypeError("Cannot close a locked stream"));
    if (closeQueuedOrInFlight(s)) return rejected(new TypeError("The stream is already closing"));
    return closeWritable(s);
  }

  getWriter() {
    this.#s;
    return new WritableStreamDefaultWriter(this);
  }

  static {
    writableState = (stream) => {
      if (Object(stream) !== stream || !(#s in stream)) throw new TypeError("Not a WritableStream");
      return stream.#s;
    };
    isWritable = (stream) => Object(stream) === stream && #s in stream;
  }
}
expose(WritableStream);
export { isWritable, writableState };

/** The public object of an internal stream. */
export function wrapWritable(s) {
  return s.wrapper ?? new WritableStream(INTERNAL, s);
}

// -- streams --

export function closeQueuedOrInFlight(s) {
  return s.closeRequest !== undefined || s.inFlightClose !== undefined;
}

export function abortStream(s, reason) {
  if (s.state === "closed" || s.state === "errored") return resolved(undefined);
  abortSignal(s.controller.signal(), reason);
  if (s.state === "closed" || s.state === "errored") return resolved(undefined);
  if (s.pendingAbort !== undefined) return s.pendingAbort.deferred.promise;
  let wasErroring = false;
  if (s.state === "erroring") {
    wasErroring = true;
    reason = undefined;
  }
  const deferred = new Deferred();
  s.pendingAbort = { deferred, reason, wasErroring };
  if (!wasErroring) startErroring(s, reason);
  return deferred.promise;
}

export function closeWritable(s) {
  if (s.state === "closed" || s.state === "errored") {
    return rejected(new TypeError(`The stream is ${s.state} and cannot be closed`));
  }
  const d = new Deferred();
  s.closeRequest = d;
  if (s.writer !== undefined && s.backpressure && s.state === "writable") s.writer.ready.resolve(undefined);
  s.controller.close();
  return d.promise;
}

function dealWithRejection(s, error) {
  if (s.state === "writable") startErroring(s, error);
  else finishErroring(s);
}

function startErroring(s, reason) {
  s.state = "erroring";
  s.error = reason;
  if (s.writer !== undefined) s.writer.rejectReady(reason);
  if (!(s.inFlightWrite !== undefined || s.inFlightClose !== undefined) && s.controller.started) finishErroring(s);
}

function finishErroring(s) {
  s.state = "errored";
  s.controller.errorSteps();
  const requests = s.requests;
  s.requests = [];
  for (const r of requests) r.reject(s.error);
  if (s.pendingAbort === undefined) return rejectCloseAndClosed(s);
  const abort = s.pendingAbort;
  s.pendingAbort = undefined;
  if (abort.wasErroring) {
    abort.deferred.reject(s.error);
    return rejectCloseAndClosed(s);
  }
  upon(
    s.controller.abortSteps(abort.reason),
    () => {
      abort.deferred.resolve(undefined);
      rejectCloseAndClosed(s);
    },
    (error) => {
      abort.deferred.reject(error);
      rejectCloseAndClosed(s);
    },
  );
}

function rejectCloseAndClosed(s) {
  if (s.closeRequest !== undefined) {
    s.closeRequest.reject(s.error);
    s.closeRequest = undefined;
  }
  if (s.writer !== undefined) {
    s.writer.closed.reject(s.error);
    quiet(s.writer.closed.promise);
  }
}

function finishClose(s) {
  s.inFlightClose.resolve(undefined);
  s.inFlightClose = undefined;
  if (s.state === "erroring") {
    s.error = undefined;
    if (s.pendingAbort !== undefined) {
      s.pendingAbort.deferred.resolve(undefined);
      s.pendingAbort = undefined;
    }
  }
  s.state = "closed";
  s.writer?.closed.resolve(undefined);
}

function finishCloseWithError(s, error) {
  s.inFlightClose.reject(error);
  s.inFlightClose = undefined;
  if (s.pendingAbort !== undefined) {
    s.pendingAbort.deferred.reject(error);
    s.pendingAbort = undefined;
  }
  dealWithRejection(s, error);
}

function updateBackpressure(s, backpressure) {
  if (s.writer !== undefined && backpressure !== s.backpressure) {
    if (backpressure) s.writer.ready = new Deferred();
    else s.writer.ready.resolve(undefined);
  }
  s.backpressure = backpressure;
}

// -- the writer --

export class WriterState {
  constructor(s) {
    if (s.writer !== undefined) throw new TypeError("The stream is locked to another writer");
    this.stream = s;
    s.writer = this;
    if (s.state === "writable") {
      this.ready = !closeQueuedOrInFlight(s) && s.backpressure ? new Deferred() : Deferred.resolved(undefined);
      this.closed = new Deferred();
    } else if (s.state === "erroring") {
      this.ready = Deferred.rejected(s.error);
      this.closed = new Deferred();
    } else if (s.state === "closed") {
      this.ready = Deferred.resolved(undefined);
      this.closed = Deferred.resolved(undefined);
    } else {
      this.ready = Deferred.rejected(s.error);
      this.closed = Deferred.rejected(s.error);
    }
  }

  rejectReady(error) {
    if (!this.ready.settled) {
      this.ready.reject(error);
      quiet(this.ready.promise);
    } else {
      this.ready = Deferred.rejected(error);
    }
  }

  rejectClosed(error) {
    if (!this.closed.settled) {
      this.closed.reject(error);
      quiet(this.closed.promise);
    } else {
      this.closed = Deferred.rejected(error);
    }
  }

  desiredSize() {
    const s = this.stream;
    if (s.state === "errored" || s.state === "erroring") return null;
    if (s.state === "closed") return 0;
    return s.controller.desiredSize();
  }

  closeWithErrorPropagation() {
    const s = this.stream;
    if (closeQueuedOrInFlight(s) || s.state === "closed") return resolved(undefined);
    if (s.state === "errored") return rejected(s.error);
    return closeWritable(s);
  }

  write(chunk) {
    const s = this.stream;
    const c = s.controller;
    const size = c.chunkSize(chunk);
    if (s !== this.stream) return rejected(new TypeError("The writer was released"));
    if (s.state === "errored") return rejected(s.error);
    if (closeQueuedOrInFlight(s) || s.state === "closed") {
      return rejected(new TypeError("The stream is closing or closed and cannot be written to"));
    }
    if (s.state === "erroring") return rejected(s.error);
    const d = new Deferred();
    s.requests.push(d);
    c.write(chunk, size);
    return d.promise;
  }

  release() {
    const s = this.stream;
    if (s === undefined) return;
    const error = new TypeError("The writer was released");
    this.rejectReady(error);
    this.rejectClosed(error);
    s.writer = undefined;
    this.stream = undefined;
  }
}

/** Locks a stream for the prelude itself. */
export function acquireWriter(s) {
  return new WriterState(s);
}

export class WritableStreamDefaultWriter {
  #w;
  constructor(stream) {
    need(arguments.length, 1, "WritableStreamDefaultWriter");
    this.#w = new WriterState(writableState(stream));
  }
  get closed() {
    if (!(Object(this) === this && #w in this)) return rejected(new TypeError("The receiver is not a WritableStreamDefaultWriter"));
    return this.#w.closed.promise;
  }
  get desiredSize() {
    if (this.#w.stream === undefined) throw new TypeError("The writer was released");
    return this.#w.desiredSize();
  }
  get ready() {
    if (!(Object(this) === this && #w in this)) return rejected(new TypeError("The receiver is not a WritableStreamDefaultWriter"));
    return this.#w.ready.promise;
  }
  abort(reason = undefined) {
    if (!(Object(this) === this && #w in this)) return rejected(new TypeError("The receiver is not a WritableStreamDefaultWriter"));
    if (this.#w.stream === undefined) return rejected(new TypeError("The writer was released"));
    return abortStream(this.#w.stream, reason);
  }
  close() {
    if (!(Object(this) === this && #w in this)) return rejected(new TypeError("The receiver is not a WritableStreamDefaultWriter"));
    const s = this.#w.stream;
    if (s === undefined) return rejected(new TypeError("The writer was released"));
    if (closeQueuedOrInFlight(s)) return rejected(new TypeError("The stream is already closing"));
    return closeWritable(s);
  }
  releaseLock() {
    this.#w.release();
  }
  write(chunk = undefined) {
    if (!(Object(this) === this && #w in this)) return rejected(new TypeError("The receiver is not a WritableStreamDefaultWriter"));
    if (this.#w.stream === undefined) return rejected(new TypeError("The writer was released"));
    return this.#w.write(chunk);
  }
}
expose(WritableStreamDefaultWriter);

// -- the controller --

export class WritableControllerState {
  constructor(s, hwm, size) {
    this.stream = s;
    this.queue = new SizedQueue();
    this.started = false;
    this.hwm = hwm;
    this.sizeAlgorithm = size;
    this.writeAlgorithm = this.closeAlgorithm = this.abortAlgorithm = doNothing;
    this.abortSignal = undefined;
    this.wrapper = undefined;
    s.controller = this;
  }

  signal() {
    return (this.abortSignal ??= createSignal());
  }

  setUp(start) {
    const s = this.stream;
    updateBackpressure(s, this.desiredSize() <= 0);
    const result = start === undefined ? undefined : start();
    upon(
      resolvedWith(result),
      () => {
        this.started = true;
        this.advance();
      },
      (error) => {
        this.started = true;
        dealWithRejection(s, error);
      },
    );
  }

  abortSteps(reason) {
    const result = this.abortAlgorithm(reason);
    this.clearAlgorithms();
    return result;
  }

  errorSteps() {
    this.queue.clear();
  }

  clearAlgorithms() {
    this.writeAlgorithm = this.closeAlgorithm = this.abortAlgorithm = doNothing;
    this.sizeAlgorithm = undefined;
  }

  desiredSize() {
    return this.hwm - this.queue.total;
  }

  chunkSize(chunk) {
    if (this.sizeAlgorithm === undefined) return 1;
    try {
      return this.sizeAlgorithm(chunk);
    } catch (error) {
      this.errorIfNeeded(error);
      return 1;
    }
  }

  close() {
    this.queue.push(CLOSE, 0);
    this.advance();
  }

  write(chunk, size) {
    const s = this.stream;
    try {
      this.queue.push(chunk, size);
    } catch (error) {
      this.errorIfNeeded(error);
      return;
    }
    if (!closeQueuedOrInFlight(s) && s.state === "writable") updateBackpressure(s, this.desiredSize() <= 0);
    this.advance();
  }

  errorIfNeeded(error) {
    if (this.stream.state === "writable") this.error(error);
  }

  error(error) {
    this.clearAlgorithms();
    startErroring(this.stream, error);
  }

  advance() {
    const s = this.stream;
    if (!this.started || s.inFlightWrite !== undefined) return;
    if (s.state === "erroring") return finishErroring(s);
    if (this.queue.length === 0) return;
    const value = this.queue.peek();
    if (value === CLOSE) this.processClose();
    else this.processWrite(value);
  }

  processClose() {
    const s = this.stream;
    s.inFlightClose = s.closeRequest;
    s.closeRequest = undefined;
    this.queue.shift();
    const result = this.closeAlgorithm();
    this.clearAlgorithms();
    upon(result, () => finishClose(s), (error) => finishCloseWithError(s, error));
  }

  processWrite(chunk) {
    const s = this.stream;
    s.inFlightWrite = s.requests.shift();
    upon(
      this.writeAlgorithm(chunk),
      () => {
        s.inFlightWrite.resolve(undefined);
        s.inFlightWrite = undefined;
        const state = s.state;
        this.queue.shift();
        if (!closeQueuedOrInFlight(s) && state === "writable") updateBackpressure(s, this.desiredSize() <= 0);
        this.advance();
      },
      (error) => {
        if (s.state === "writable") this.clearAlgorithms();
        s.inFlightWrite.reject(error);
        s.inFlightWrite = undefined;
        dealWithRejection(s, error);
      },
    );
  }
}

export class WritableStreamDefaultController {
  #c;
  constructor(key = undefined, c = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#c = c;
    c.wrapper = this;
  }
  get signal() { return this.#c.signal(); }
  error(error = undefined) {
    if (this.#c.stream.state === "writable") this.#c.error(error);
  }
}
expose(WritableStreamDefaultController);

function wrapController(c) {
  return c.wrapper ?? new WritableStreamDefaultController(INTERNAL, c);
}

/** A stream of the prelude's own. */
export function createWritable(start, write, close, abort, hwm = 1, size = () => 1) {
  const s = new WritableState();
  const c = new WritableControllerState(s, hwm, size);
  c.writeAlgorithm = (chunk) => attempt(write, chunk);
  c.closeAlgorithm = () => attempt(close);
  c.abortAlgorithm = (reason) => attempt(abort, reason);
  c.setUp(start);
  return s;
}

