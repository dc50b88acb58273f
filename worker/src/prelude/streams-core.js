// What all stream classes share: promise plumbing that apps cannot patch, queues with sizes, strategies.

import { dictionary, expose, need } from "fazt:webidl";

const PromiseThen = Promise.prototype.then;
const call = Function.prototype.call;
const callThen = call.bind(PromiseThen);
const PromiseCtor = Promise;
const resolvePromise = Promise.resolve.bind(Promise);
const rejectPromise = Promise.reject.bind(Promise);
const noop = () => {};

export const resolved = resolvePromise;
export const rejected = rejectPromise;
export const doNothing = () => resolved(undefined);

/**
 * Runs one of two reactions. What they throw is lost, and with it whoever waits for them: where memory may be short
 * (all that allocates by the size of a chunk), they catch it themselves.
 */
export function upon(promise, fulfilled, failed) {
  callThen(promise, fulfilled, failed);
}

export function then(promise, fulfilled, failed) {
  return callThen(promise, fulfilled, failed);
}

/** A rejection nobody has to handle. */
export function quiet(promise) {
  callThen(promise, undefined, noop);
  return promise;
}

/** A promise with its two ends. */
export class Deferred {
  constructor() {
    this.settled = false;
    this.promise = new PromiseCtor((resolve, reject) => {
      this.accept = resolve;
      this.refuse = reject;
    });
  }
  resolve(value) {
    this.settled = true;
    this.accept(value);
  }
  reject(error) {
    this.settled = true;
    this.refuse(error);
  }
  static resolved(value) {
    const d = new Deferred();
    d.resolve(value);
    return d;
  }
  static rejected(error) {
    const d = new Deferred();
    d.reject(error);
    quiet(d.promise);
    return d;
  }
}

/** "A promise resolved with": even a promise is wrapped, which takes the turns of the job queue that it takes. */
export function resolvedWith(value) {
  return Object(value) === value ? new PromiseCtor((resolve) => resolve(value)) : resolvePromise(value);
}

/** Calls an app's callback; its result as a promise. */
export function promiseCall(fn, self, args) {
  try {
    return resolvedWith(Reflect.apply(fn, self, args));
  } catch (error) {
    return rejectPromise(error);
  }
}

/** Calls an algorithm of the prelude's own, which gives a promise; what it throws is a rejection as well. */
export function attempt(algorithm, argument) {
  try {
    return algorithm(argument);
  } catch (error) {
    return rejectPromise(error);
  }
}

/** A member of an underlying source or sink: a function, or undefined. */
export function method(object, name) {
  const fn = object[name];
  if (fn === undefined) return undefined;
  if (typeof fn !== "function") throw new TypeError(`${name} is not a function`);
  return fn;
}

/** What both controllers of a readable stream do: begin, and pull while somebody wants more. */
export class PullingState {
  constructor(s, hwm) {
    this.stream = s;
    this.started = this.closeRequested = this.pulling = this.pullAgain = false;
    this.hwm = hwm;
    this.pullAlgorithm = doNothing;
    this.cancelAlgorithm = doNothing;
    this.wrapper = undefined;
    s.controller = this;
  }

  setUp(start) {
    const result = start === undefined ? undefined : start();
    upon(
      resolvedWith(result),
      () => {
        this.started = true;
        this.pullIfNeeded();
      },
      (error) => this.error(error),
    );
  }

  pullIfNeeded() {
    if (!this.shouldPull()) return;
    if (this.pulling) {
      this.pullAgain = true;
      return;
    }
    this.pulling = true;
    upon(
      this.pullAlgorithm(),
      () => {
        this.pulling = false;
        if (this.pullAgain) {
          this.pullAgain = false;
          this.pullIfNeeded();
        }
      },
      (error) => this.error(error),
    );
  }

  shouldPull() {
    if (!this.canEnqueue() || !this.started) return false;
    const reader = this.stream.reader;
    if (reader !== undefined && reader.requests.length > 0) return true;
    return this.desiredSize() > 0;
  }

  canEnqueue() {
    return !this.closeRequested && this.stream.state === "readable";
  }
}

/** A queue of values with sizes. */
export class SizedQueue {
  constructor() {
    this.values = [];
    this.sizes = [];
    this.head = 0;
    this.total = 0;
  }
  get length() {
    return this.values.length - this.head;
  }
  push(value, size) {
    size = +size;
    if (!(size >= 0) || size === Infinity) throw new RangeError("The size of a chunk must be a finite, non-negative number");
    this.values.push(value);
    this.sizes.push(size);
    this.total += size;
  }
  shift() {
    const value = this.values[this.head];
    this.total -= this.sizes[this.head];
    this.values[this.head] = undefined;
    if (++this.head === this.values.length) {
      this.values.length = this.sizes.length = this.head = 0;
    } else if (this.head >= 64) {
      this.values.splice(0, this.head);
      this.sizes.splice(0, this.head);
      this.head = 0;
    }
    if (this.total < 0) this.total = 0;
    return value;
  }
  peek() {
    return this.values[this.head];
  }
  clear() {
    this.values.length = this.sizes.length = this.head = this.total = 0;
  }
}

/** The dictionary QueuingStrategy. */
export function strategyOf(value) {
  const dict = dictionary(value, "The queuing strategy");
  const highWaterMark = dict.highWaterMark;
  const hwm = highWaterMark === undefined ? undefined : +highWaterMark;
  const size = dict.size;
  if (size !== undefined && typeof size !== "function") throw new TypeError("The strategy's size is not a function");
  return { highWaterMark: hwm, size };
}

export function highWaterMarkOf(strategy, standard) {
  const hwm = strategy.highWaterMark;
  if (hwm === undefined) return standard;
  if (!(hwm >= 0)) throw new RangeError("highWaterMark must be a non-negative number");
  return hwm;
}

const one = () => 1;
export function sizeOf(strategy) {
  const size = strategy.size;
  return size === undefined ? one : (chunk) => size(chunk);
}

function highWaterMarkInit(init, args, what) {
  need(args, 1, what);
  if (Object(init) !== init) throw new TypeError(`${what}: the argument is not an object`);
  const value = init.highWaterMark;
  if (value === undefined) throw new TypeError(`${what}: highWaterMark is required`);
  return +value;
}

const byteLengthSize = ({ size: (chunk) => chunk.byteLength }).size;
Object.defineProperty(byteLengthSize, "name", { value: "size", configurable: true });
const countSize = ({ size: () => 1 }).size;

export class ByteLengthQueuingStrategy {
  #highWaterMark;
  constructor(init) {
    this.#highWaterMark = highWaterMarkInit(init, arguments.length, "ByteLengthQueuingStrategy");
  }
  get highWaterMark() { return this.#highWaterMark; }
  get size() {
    this.#highWaterMark;
    return byteLengthSize;
  }
}

export class CountQueuingStrategy {
  #highWaterMark;
  constructor(init) {
    this.#highWaterMark = highWaterMarkInit(init, arguments.length, "CountQueuingStrategy");
  }
  get highWaterMark() { return this.#highWaterMark; }
  get size() {
    this.#highWaterMark;
    return countSize;
  }
}
expose(ByteLengthQueuingStrategy, CountQueuingStrategy);
