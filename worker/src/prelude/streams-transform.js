// TransformStream and its controller; `createTransform` is what the encoding and compression streams are built on.

import { INTERNAL, expose, illegal } from "fazt:webidl";
import { Deferred, highWaterMarkOf, method, promiseCall, rejected, resolved, sizeOf, strategyOf, then, upon } from "fazt:streams-core";
import { createReadable, wrap } from "fazt:streams";
import { createWritable, wrapWritable } from "fazt:streams-writable";

const doNothing = () => resolved(undefined);

class TransformState {
  constructor(startPromise, writableHwm, writableSize, readableHwm, readableSize) {
    this.backpressure = undefined;
    this.backpressureChange = undefined;
    this.controller = undefined;
    const start = () => startPromise;
    this.writable = createWritable(
      start,
      (chunk) => this.sinkWrite(chunk),
      () => this.sinkClose(),
      (reason) => this.sinkAbort(reason),
      writableHwm,
      writableSize,
    );
    this.readable = createReadable(start, () => this.sourcePull(), (reason) => this.sourceCancel(reason), readableHwm, readableSize);
    this.setBackpressure(true);
  }

  error(error) {
    this.readable.controller.error(error);
    this.errorWritableAndUnblock(error);
  }

  errorWritableAndUnblock(error) {
    this.controller.clearAlgorithms();
    this.writable.controller.errorIfNeeded(error);
    this.unblockWrite();
  }

  unblockWrite() {
    if (this.backpressure) this.setBackpressure(false);
  }

  setBackpressure(backpressure) {
    this.backpressureChange?.resolve(undefined);
    this.backpressureChange = new Deferred();
    this.backpressure = backpressure;
  }

  sinkWrite(chunk) {
    const c = this.controller;
    if (!this.backpressure) return c.performTransform(chunk);
    return then(this.backpressureChange.promise, () => {
      const w = this.writable;
      if (w.state === "erroring") throw w.error;
      return c.performTransform(chunk);
    });
  }

  sinkAbort(reason) {
    const c = this.controller;
    if (c.finish !== undefined) return c.finish.promise;
    c.finish = new Deferred();
    const cancelled = c.cancelAlgorithm(reason);
    c.clearAlgorithms();
    const r = this.readable;
    upon(
      cancelled,
      () => {
        if (r.state === "errored") {
          c.finish.reject(r.error);
        } else {
          r.controller.error(reason);
          c.finish.resolve(undefined);
        }
      },
      (error) => {
        r.controller.error(error);
        c.finish.reject(error);
      },
    );
    return c.finish.promise;
  }

  sinkClose() {
    const c = this.controller;
    if (c.finish !== undefined) return c.finish.promise;
    c.finish = new Deferred();
    const flushed = c.flushAlgorithm();
    c.clearAlgorithms();
    const r = this.readable;
    upon(
      flushed,
      () => {
        if (r.state === "errored") {
          c.finish.reject(r.error);
        } else {
          r.controller.close();
          c.finish.resolve(undefined);
        }
      },
      (error) => {
        r.controller.error(error);
        c.finish.reject(error);
      },
    );
    return c.finish.promise;
  }

  sourcePull() {
    this.setBackpressure(false);
    return this.backpressureChange.promise;
  }

  sourceCancel(reason) {
    const c = this.controller;
    if (c.finish !== undefined) return c.finish.promise;
    c.finish = new Deferred();
    const cancelled = c.cancelAlgorithm(reason);
    c.clearAlgorithms();
    const w = this.writable;
    upon(
      cancelled,
      () => {
        if (w.state === "errored") {
          c.finish.reject(w.error);
        } else {
          w.controller.errorIfNeeded(reason);
          this.unblockWrite();
          c.finish.resolve(undefined);
        }
      },
      (error) => {
        w.controller.errorIfNeeded(error);
        this.unblockWrite();
        c.finish.reject(error);
      },
    );
    return c.finish.promise;
  }
}

class TransformControllerState {
  constructor(t) {
    this.t = t;
    this.finish = undefined;
    this.wrapper = undefined;
    this.transformAlgorithm = (chunk) => {
      try {
        this.enqueue(chunk);
        return resolved(undefined);
      } catch (error) {
        return rejected(error);
      }
    };
    this.flushAlgorithm = doNothing;
    this.cancelAlgorithm = doNothing;
    t.controller = this;
  }

  clearAlgorithms() {
    this.transformAlgorithm = undefined;
    this.flushAlgorithm = this.cancelAlgorithm = doNothing;
  }

  performTransform(chunk) {
    return then(this.transformAlgorithm(chunk), undefined, (error) => {
      this.t.error(error);
      throw error;
    });
  }

  enqueue(chunk) {
    const t = this.t;
    const rc = t.readable.controller;
    if (!rc.canEnqueue()) throw new TypeError("The readable side cannot take a chunk");
    try {
      rc.enqueue(chunk);
    } catch (error) {
      t.errorWritableAndUnblock(error);
      throw t.readable.error;
    }
    const backpressure = !rc.shouldPull();
    if (backpressure !== t.backpressure) t.setBackpressure(true);
  }

  error(error) {
    this.t.error(error);
  }

  terminate() {
    this.t.readable.controller.close();
    this.t.errorWritableAndUnblock(new TypeError("The transform was terminated"));
  }
}

export class TransformStream {
  #t;
  constructor(transformer = undefined, writableStrategy = undefined, readableStrategy = undefined) {
    if (transformer === INTERNAL) {
      this.#t = writableStrategy;
      return;
    }
    if (transformer === undefined) transformer = null;
    else if (Object(transformer) !== transformer) throw new TypeError("The transformer is not an object");
    writableStrategy = strategyOf(writableStrategy);
    readableStrategy = strategyOf(readableStrategy);
    const dict = transformer ?? {};
    const cancel = method(dict, "cancel");
    const flush = method(dict, "flush");
    const readableType = dict.readableType;
    const start = method(dict, "start");
    const transform = method(dict, "transform");
    const writableType = dict.writableType;
    if (readableType !== undefined) throw new RangeError("readableType must be undefined");
    if (writableType !== undefined) throw new RangeError("writableType must be undefined");
    const readableHwm = highWaterMarkOf(readableStrategy, 0);
    const readableSize = sizeOf(readableStrategy);
    const writableHwm = highWaterMarkOf(writableStrategy, 1);
    const writableSize = sizeOf(writableStrategy);
    const started = new Deferred();
    const t = new TransformState(started.promise, writableHwm, writableSize, readableHwm, readableSize);
    this.#t = t;
    const c = new TransformControllerState(t);
    if (transform) c.transformAlgorithm = (chunk) => promiseCall(transform, transformer, [chunk, wrapController(c)]);
    if (flush) c.flushAlgorithm = () => promiseCall(flush, transformer, [wrapController(c)]);
    if (cancel) c.cancelAlgorithm = (reason) => promiseCall(cancel, transformer, [reason]);
    started.resolve(start ? Reflect.apply(start, transformer, [wrapController(c)]) : undefined);
  }
  get readable() { return wrap(this.#t.readable); }
  get writable() { return wrapWritable(this.#t.writable); }
}
expose(TransformStream);

export class TransformStreamDefaultController {
  #c;
  constructor(key = undefined, c = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#c = c;
    c.wrapper = this;
  }
  get desiredSize() { return this.#c.t.readable.controller.desiredSize(); }
  enqueue(chunk = undefined) { this.#c.enqueue(chunk); }
  error(reason = undefined) { this.#c.error(reason); }
  terminate() { this.#c.terminate(); }
}
expose(TransformStreamDefaultController);

function wrapController(c) {
  return c.wrapper ?? new TransformStreamDefaultController(INTERNAL, c);
}

/**
 * A transform of the prelude's own: `transform(chunk, enqueue)` and `flush(enqueue)` run to their end at once, and
 * what they throw errors both sides. Gives { readable, writable } as public streams.
 */
export function createTransform(transform, flush, cancel) {
  const t = new TransformState(resolved(undefined), 1, () => 1, 0, () => 1);
  const c = new TransformControllerState(t);
  const enqueue = (chunk) => c.enqueue(chunk);
  const run = (fn) => {
    try {
      fn();
      return resolved(undefined);
    } catch (error) {
      return rejected(error);
    }
  };
  c.transformAlgorithm = (chunk) => run(() => transform(chunk, enqueue));
  if (flush) c.flushAlgorithm = () => run(() => flush(enqueue));
  if (cancel) c.cancelAlgorithm = () => run(cancel);
  return { readable: wrap(t.readable), writable: wrapWritable(t.writable) };
}
