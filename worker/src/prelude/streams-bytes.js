// Byte streams: the byte controller, its BYOB requests and the BYOB reader.

import { INTERNAL, dictionary, enforceRange, expose, illegal, isSharedArrayBuffer, need } from "fazt:webidl";
import { PullingState, attempt, doNothing, promiseCall, rejected } from "fazt:streams-core";
import {
  PromiseRequest, ReadableState, ReaderState, closeStream, errorStream, readableState,
} from "fazt:streams-readable";

const { prototype: BufferProto } = ArrayBuffer;
const transferBuffer = Function.prototype.call.bind(BufferProto.transfer);
const sliceBuffer = Function.prototype.call.bind(BufferProto.slice);
const isDetached = Function.prototype.call.bind(Object.getOwnPropertyDescriptor(BufferProto, "detached").get);
const TYPED = new Map([
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array, ...(typeof Float16Array === "function" ? [Float16Array] : []),
].map((C) => [C.name, C]));
const tagOf = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get,
);

const DEFAULT = 0, BYOB = 1, NONE = 2;

function viewOf(value, what) {
  if (!ArrayBuffer.isView(value)) throw new TypeError(`${what} is not an ArrayBuffer view`);
  if (isSharedArrayBuffer(value.buffer)) throw new TypeError(`${what} is backed by shared memory`);
  return value;
}

export class ByteControllerState extends PullingState {
  constructor(s, hwm, autoAllocate) {
    super(s, hwm);
    this.queue = []; // { buffer, offset, length }
    this.total = 0;
    this.pending = []; // pull-into descriptors
    this.byobRequest = null;
    this.autoAllocate = autoAllocate;
  }

  clearAlgorithms() {
    this.pullAlgorithm = this.cancelAlgorithm = doNothing;
  }

  resetQueue() {
    this.queue = [];
    this.total = 0;
  }

  cancelSteps(reason) {
    this.clearPending();
    this.resetQueue();
    const result = this.cancelAlgorithm(reason);
    this.clearAlgorithms();
    return result;
  }

  pullSteps(request) {
    if (this.total > 0) return this.fillRequestFromQueue(request);
    if (this.autoAllocate !== undefined) {
      let buffer;
      try {
        buffer = new ArrayBuffer(this.autoAllocate);
      } catch (error) {
        return request.error(error);
      }
      this.pending.push({
        buffer, bufferLength: this.autoAllocate, offset: 0, length: this.autoAllocate, filled: 0, least: 1, element: 1,
        View: Uint8Array, reader: DEFAULT,
      });
    }
    this.stream.reader.requests.push(request);
    this.pullIfNeeded();
  }

  releaseSteps() {
    if (this.pending.length > 0) {
      const first = this.pending[0];
      first.reader = NONE;
      this.pending = [first];
    }
  }

  requests(byob) {
    const reader = this.stream.reader;
    return reader !== undefined && reader.byob === byob ? reader.requests : null;
  }

  desiredSize() {
    const state = this.stream.state;
    if (state === "errored") return null;
    if (state === "closed") return 0;
    return this.hwm - this.total;
  }

  clearPending() {
    this.invalidateByob();
    this.pending = [];
  }

  error(error) {
    if (this.stream.state !== "readable") return;
    this.clearPending();
    this.resetQueue();
    this.clearAlgorithms();
    errorStream(this.stream, error);
  }

  close() {
    if (!this.canEnqueue()) return;
    if (this.total > 0) {
      this.closeRequested = true;
      return;
    }
    if (this.pending.length > 0) {
      const first = this.pending[0];
      if (first.filled % first.element !== 0) {
        const error = new TypeError("The stream was closed in the middle of an element");
        this.error(error);
        throw error;
      }
    }
    this.clearAlgorithms();
    closeStream(this.stream);
  }

  /** Takes a view's memory over and hands it to whoever reads. */
  enqueue(chunk) {
    if (!this.canEnqueue()) return;
    const { buffer, byteOffset, byteLength } = chunk;
    if (isDetached(buffer)) throw new TypeError("The chunk's buffer is detached");
    const own = transferBuffer(buffer);
    if (this.pending.length > 0) {
      const first = this.pending[0];
      if (isDetached(first.buffer)) throw new TypeError("The BYOB request's buffer is detached");
      this.invalidateByob();
      first.buffer = transferBuffer(first.buffer);
      if (first.reader === NONE) this.enqueueDetached(first);
    }
    let requests;
    if ((requests = this.requests(false)) !== null) {
      while (requests.length > 0 && this.total > 0) this.fillRequestFromQueue(requests.shift());
      requests = this.stream.reader?.requests ?? requests;
      if (requests.length === 0) {
        this.push(own, byteOffset, byteLength);
      } else {
        if (this.pending.length > 0) this.pending.shift();
        requests.shift().chunk(new Uint8Array(own, byteOffset, byteLength));
      }
    } else if (this.requests(true) !== null) {
      this.push(own, byteOffset, byteLength);
      for (const d of this.fillPending()) this.commit(d);
    } else {
      this.push(own, byteOffset, byteLength);
    }
    this.pullIfNeeded();
  }

  push(buffer, offset, length) {
    this.queue.push({ buffer, offset, length });
    this.total += length;
  }

  pushClone(buffer, offset, length) {
    let copy;
    try {
      copy = sliceBuffer(buffer, offset, offset + length);
    } catch (error) {
      this.error(error);
      throw error;
    }
    this.push(copy, 0, length);
  }

  enqueueDetached(d) {
    if (d.filled > 0) this.pushClone(d.buffer, d.offset, d.filled);
    this.pending.shift();
  }

  fillRequestFromQueue(request) {
    const { buffer, offset, length } = this.queue.shift();
    this.total -= length;
    this.handleDrain();
    request.chunk(new Uint8Array(buffer, offset, length));
  }

  handleDrain() {
    if (this.total === 0 && this.closeRequested) {
      this.clearAlgorithms();
      closeStream(this.stream);
    } else {
      this.pullIfNeeded();
    }
  }

  fillFromQueue(d) {
    const copyMax = Math.min(this.total, d.length - d.filled);
    const filledMax = d.filled + copyMax;
    const aligned = filledMax - (filledMax % d.element);
    let left = copyMax;
    const ready = aligned >= d.least;
    if (ready) left = aligned - d.filled;
    while (left > 0) {
      const head = this.queue[0];
      const n = Math.min(left, head.length);
      new Uint8Array(d.buffer, d.offset + d.filled, n).set(new Uint8Array(head.buffer, head.offset, n));
      if (head.length === n) {
        this.queue.shift();
      } else {
        head.offset += n;
        head.length -= n;
      }
      this.total -= n;
      d.filled += n;
      left -= n;
    }
    return ready;
  }

  fillPending() {
    const filled = [];
    while (this.pending.length > 0 && this.total > 0) {
      const first = this.pending[0];
      if (!this.fillFromQueue(first)) break;
      this.pending.shift();
      filled.push(first);
    }
    return filled;
  }

  commit(d) {
    const done = this.stream.state === "closed";
    const request = this.stream.reader.requests.shift();
    const view = this.convert(d);
    if (done) request.close(view);
    else request.chunk(view);
  }

  convert(d) {
    return new d.View(transferBuffer(d.buffer), d.offset, d.filled / d.element);
  }

  getByobRequest() {
    if (this.byobRequest === null && this.pending.length > 0) {
      const first = this.pending[0];
      const view = new Uint8Array(first.buffer, first.offset + first.filled, first.length - first.filled);
      this.byobRequest = new ReadableStreamBYOBRequest(INTERNAL, { controller: this, view });
    }
    return this.byobRequest;
  }

  invalidateByob() {
    if (this.byobRequest === null) return;
    const r = requestState(this.byobRequest);
    r.controller = undefined;
    r.view = null;
    this.byobRequest = null;
  }

  pullInto(view, min, request) {
    const tag = tagOf(view);
    const View = tag === undefined ? DataView : TYPED.get(tag);
    const element = tag === undefined ? 1 : View.BYTES_PER_ELEMENT;
    const { byteOffset: offset, byteLength: length } = view;
    let buffer;
    try {
      buffer = transferBuffer(view.buffer);
    } catch (error) {
      return request.error(error);
    }
    const d = {
      buffer, bufferLength: buffer.byteLength, offset, length, filled: 0, least: min * element, element, View, reader: BYOB,
    };
    if (this.pending.length > 0) {
      this.pending.push(d);
      this.stream.reader.requests.push(request);
      return;
    }
    if (this.stream.state === "closed") return request.close(new View(buffer, offset, 0));
    if (this.total > 0) {
      if (this.fillFromQueue(d)) {
        const filled = this.convert(d);
        this.handleDrain();
        return request.chunk(filled);
      }
      if (this.closeRequested) {
        const error = new TypeError("The stream was closed in the middle of an element");
        this.error(error);
        return request.error(error);
      }
    }
    this.pending.push(d);
    this.stream.reader.requests.push(request);
    this.pullIfNeeded();
  }

  respond(written) {
    const first = this.pending[0];
    if (this.stream.state === "closed") {
      if (written !== 0) throw new TypeError("The stream is closed: only 0 bytes can be written");
    } else {
      if (written === 0) throw new TypeError("0 bytes were written to an open stream");
      if (first.filled + written > first.length) throw new RangeError("More bytes were written than the view holds");
    }
    first.buffer = transferBuffer(first.buffer);
    this.respondInternal(written);
  }

  respondWithNewView(view) {
    const first = this.pending[0];
    const { byteOffset, byteLength, buffer } = view;
    if (this.stream.state === "closed") {
      if (byteLength !== 0) throw new TypeError("The stream is closed: the view must be empty");
    } else if (byteLength === 0) {
      throw new TypeError("The view is empty");
    }
    if (first.offset + first.filled !== byteOffset) throw new RangeError("The view starts elsewhere than the request");
    if (first.bufferLength !== buffer.byteLength) throw new RangeError("The view's buffer has another length");
    if (first.filled + byteLength > first.length) throw new RangeError("The view is longer than the request");
    first.buffer = transferBuffer(buffer);
    this.respondInternal(byteLength);
  }

  respondInternal(written) {
    const first = this.pending[0];
    this.invalidateByob();
    if (this.stream.state === "closed") this.respondClosed(first);
    else this.respondReadable(written, first);
    this.pullIfNeeded();
  }

  respondClosed(first) {
    if (first.reader === NONE) this.pending.shift();
    const requests = this.requests(true);
    if (requests !== null) {
      const filled = [];
      while (filled.length < requests.length) filled.push(this.pending.shift());
      for (const d of filled) this.commit(d);
    }
  }

  respondReadable(written, d) {
    d.filled += written;
    if (d.reader === NONE) {
      this.enqueueDetached(d);
      for (const f of this.fillPending()) this.commit(f);
      return;
    }
    if (d.filled < d.least) return;
    this.pending.shift();
    const rest = d.filled % d.element;
    if (rest > 0) {
      const end = d.offset + d.filled;
      this.pushClone(d.buffer, end - rest, rest);
    }
    d.filled -= rest;
    const filled = this.fillPending();
    this.commit(d);
    for (const f of filled) this.commit(f);
  }
}

let requestState;

export class ReadableStreamBYOBRequest {
  #r;
  constructor(key = undefined, r = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#r = r;
  }
  get view() { return this.#r.view; }
  respond(bytesWritten) {
    const r = this.#r;
    need(arguments.length, 1, "respond");
    bytesWritten = enforceRange(bytesWritten, undefined, "bytesWritten");
    if (r.controller === undefined) throw new TypeError("The BYOB request was already answered");
    if (isDetached(r.view.buffer)) throw new TypeError("The BYOB request's buffer is detached");
    r.controller.respond(bytesWritten);
  }
  respondWithNewView(view) {
    const r = this.#r;
    need(arguments.length, 1, "respondWithNewView");
    viewOf(view, "The view");
    if (r.controller === undefined) throw new TypeError("The BYOB request was already answered");
    if (isDetached(view.buffer)) throw new TypeError("The view's buffer is detached");
    r.controller.respondWithNewView(view);
  }
  static {
    requestState = (request) => request.#r;
  }
}
expose(ReadableStreamBYOBRequest);

export class ReadableByteStreamController {
  #c;
  constructor(key = undefined, c = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#c = c;
    c.wrapper = this;
  }
  get byobRequest() { return this.#c.getByobRequest(); }
  get desiredSize() { return this.#c.desiredSize(); }
  close() {
    if (!this.#c.canEnqueue()) throw new TypeError("The stream is already closed or errored");
    this.#c.close();
  }
  enqueue(chunk) {
    const c = this.#c;
    need(arguments.length, 1, "enqueue");
    viewOf(chunk, "The chunk");
    if (chunk.byteLength === 0 || chunk.buffer.byteLength === 0) throw new TypeError("The chunk is empty");
    if (!c.canEnqueue()) throw new TypeError("The stream is already closed or errored");
    c.enqueue(chunk);
  }
  error(error = undefined) { this.#c.error(error); }
}
expose(ReadableByteStreamController);

function wrapController(c) {
  return c.wrapper ?? new ReadableByteStreamController(INTERNAL, c);
}

export function setUpBytesFromSource(s, source, { start, pull, cancel, autoAllocate }, hwm) {
  if (autoAllocate === 0) throw new TypeError("autoAllocateChunkSize must be greater than 0");
  const c = new ByteControllerState(s, hwm, autoAllocate);
  if (pull) c.pullAlgorithm = () => promiseCall(pull, source, [wrapController(c)]);
  if (cancel) c.cancelAlgorithm = (reason) => promiseCall(cancel, source, [reason]);
  c.setUp(start ? () => Reflect.apply(start, source, [wrapController(c)]) : undefined);
}

/** A byte stream of the prelude's own. `pull(controllerState)` and `cancel(reason)` return promises. */
export function createByteReadable(pull, cancel, hwm = 0) {
  const s = new ReadableState();
  const c = new ByteControllerState(s, hwm, undefined);
  if (pull) c.pullAlgorithm = () => attempt(pull, c);
  if (cancel) c.cancelAlgorithm = (reason) => attempt(cancel, reason);
  c.setUp(undefined);
  return s;
}

export class ByobReaderState {
  static acquire(s) {
    if (!(s.controller instanceof ByteControllerState)) throw new TypeError("Not a byte stream");
    return new ReaderState(s, true);
  }
  /** Reads into `view`; at least `min` elements unless the stream ends. */
  static read(reader, view, min, request) {
    const s = reader.stream;
    s.disturbed = true;
    if (s.state === "errored") request.error(s.error);
    else s.controller.pullInto(view, min, request);
  }
}

export class ReadableStreamBYOBReader {
  #r;
  constructor(stream) {
    need(arguments.length, 1, "ReadableStreamBYOBReader");
    const s = readableState(stream);
    if (s.reader !== undefined) throw new TypeError("The stream is locked to another reader");
    this.#r = ByobReaderState.acquire(s);
  }
  get closed() {
    if (!(Object(this) === this && #r in this)) return rejected(new TypeError("The receiver is not a ReadableStreamBYOBReader"));
    return this.#r.closedPromise();
  }
  cancel(reason = undefined) {
    if (!(Object(this) === this && #r in this)) return rejected(new TypeError("The receiver is not a ReadableStreamBYOBReader"));
    if (this.#r.stream === undefined) return rejected(new TypeError("The reader was released"));
    return this.#r.cancel(reason);
  }
  read(view, options = undefined) {
    try {
      const r = this.#r;
      need(arguments.length, 1, "read");
      viewOf(view, "The view");
      options = dictionary(options, "The options");
      let min = options.min;
      min = min === undefined ? 1 : enforceRange(min, undefined, "min");
      if (isDetached(view.buffer)) throw new TypeError("The view's buffer is detached");
      if (view.byteLength === 0 || view.buffer.byteLength === 0) throw new TypeError("The view is empty");
      if (min === 0) throw new TypeError("min must be greater than 0");
      const room = tagOf(view) === undefined ? view.byteLength : view.length;
      if (min > room) throw new RangeError("min is larger than the view");
      if (r.stream === undefined) throw new TypeError("The reader was released");
      const request = new PromiseRequest();
      ByobReaderState.read(r, view, min, request);
      return request.promise;
    } catch (error) {
      return rejected(error);
    }
  }
  releaseLock() {
    this.#r.release();
  }
}
expose(ReadableStreamBYOBReader);
Object.defineProperty(ReadableStreamBYOBReader.prototype.read, "length", { value: 1, configurable: true });
