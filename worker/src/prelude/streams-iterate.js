// Other ways to read a stream: tee, async iteration, and ReadableStream.from, which makes a stream of an iteration.

import { Deferred, rejected, resolved, then, upon } from "fazt:streams-core";
import { acquireReader, cancelStream, createReadable } from "fazt:streams-readable";
import { ByobReaderState, ByteControllerState, createByteReadable } from "fazt:streams-bytes";

const microtask = (job) => then(resolved(undefined), job);

export function tee(s) {
  return s.controller instanceof ByteControllerState ? teeBytes(s) : teeDefault(s);
}

function teeDefault(s) {
  const reader = acquireReader(s);
  let reading = false, readAgain = false;
  const canceled = [false, false], reasons = [undefined, undefined];
  const cancelled = new Deferred();
  const branches = [];
  const each = (fn) => {
    for (let i = 0; i < 2; i++) if (!canceled[i]) fn(branches[i].controller);
  };
  function pull() {
    if (reading) {
      readAgain = true;
      return resolved(undefined);
    }
    reading = true;
    reader.read({
      chunk(value) {
        microtask(() => {
          readAgain = false;
          each((c) => c.enqueue(value));
          reading = false;
          if (readAgain) pull();
        });
      },
      close() {
        reading = false;
        each((c) => c.close());
        if (!canceled[0] || !canceled[1]) cancelled.resolve(undefined);
      },
      error() {
        reading = false;
      },
    });
    return resolved(undefined);
  }
  const cancel = (i) => (reason) => {
    canceled[i] = true;
    reasons[i] = reason;
    if (canceled[1 - i]) cancelled.resolve(cancelStream(s, [reasons[0], reasons[1]]));
    return cancelled.promise;
  };
  branches.push(createReadable(undefined, pull, cancel(0)), createReadable(undefined, pull, cancel(1)));
  upon(reader.closedPromise(), undefined, (error) => {
    for (const b of branches) b.controller.error(error);
    if (!canceled[0] || !canceled[1]) cancelled.resolve(undefined);
  });
  return branches;
}

function teeBytes(s) {
  let reader = acquireReader(s);
  let reading = false;
  const again = [false, false];
  const canceled = [false, false], reasons = [undefined, undefined];
  const cancelled = new Deferred();
  const branches = [];

  function forward(current) {
    upon(current.closedPromise(), undefined, (error) => {
      if (current !== reader) return;
      for (const b of branches) b.controller.error(error);
      if (!canceled[0] || !canceled[1]) cancelled.resolve(undefined);
    });
  }

  function fail(error) {
    for (const b of branches) b.controller.error(error);
    cancelled.resolve(cancelStream(s, error));
  }

  function rest() {
    reading = false;
    if (again[0]) pull(0);
    else if (again[1]) pull(1);
  }

  function pullDefault() {
    if (reader.byob) {
      reader.release();
      reader = acquireReader(s);
      forward(reader);
    }
    reader.read({
      chunk(chunk) {
        microtask(() => {
          again[0] = again[1] = false;
          let second = chunk;
          if (!canceled[0] && !canceled[1]) {
            try {
              second = chunk.slice();
            } catch (error) {
              return fail(error);
            }
          }
          if (!canceled[0]) branches[0].controller.enqueue(chunk);
          if (!canceled[1]) branches[1].controller.enqueue(second);
          rest();
        });
      },
      close() {
        reading = false;
        for (let i = 0; i < 2; i++) if (!canceled[i]) branches[i].controller.close();
        for (const b of branches) if (b.controller.pending.length > 0) b.controller.respond(0);
        if (!canceled[0] || !canceled[1]) cancelled.resolve(undefined);
      },
      error() {
        reading = false;
      },
    });
  }

  function pullByob(view, i) {
    if (!reader.byob) {
      reader.release();
      reader = ByobReaderState.acquire(s);
      forward(reader);
    }
    const mine = branches[i].controller, other = branches[1 - i].controller;
    ByobReaderState.read(reader, view, 1, {
      chunk(chunk) {
        microtask(() => {
          again[0] = again[1] = false;
          if (!canceled[1 - i]) {
            let copy;
            try {
              copy = new Uint8Array(chunk.slice().buffer);
            } catch (error) {
              mine.error(error);
              other.error(error);
              cancelled.resolve(cancelStream(s, error));
              return;
            }
            if (!canceled[i]) mine.respondWithNewView(chunk);
            other.enqueue(copy);
          } else if (!canceled[i]) {
            mine.respondWithNewView(chunk);
          }
          rest();
        });
      },
      close(chunk) {
        reading = false;
        if (!canceled[i]) mine.close();
        if (!canceled[1 - i]) other.close();
        if (chunk !== undefined) {
          if (!canceled[i]) mine.respondWithNewView(chunk);
          if (!canceled[1 - i] && other.pending.length > 0) other.respond(0);
        }
        if (!canceled[0] || !canceled[1]) cancelled.resolve(undefined);
      },
      error() {
        reading = false;
      },
    });
  }

  function pull(i) {
    if (reading) {
      again[i] = true;
      return resolved(undefined);
    }
    reading = true;
    const request = branches[i].controller.getByobRequest();
    if (request === null) pullDefault();
    else pullByob(request.view, i);
    return resolved(undefined);
  }

  const cancel = (i) => (reason) => {
    canceled[i] = true;
    reasons[i] = reason;
    if (canceled[1 - i]) cancelled.resolve(cancelStream(s, [reasons[0], reasons[1]]));
    return cancelled.promise;
  };
  branches.push(
    createByteReadable(() => pull(0), cancel(0)),
    createByteReadable(() => pull(1), cancel(1)),
  );
  forward(reader);
  return branches;
}

// -- async iteration --

const AsyncIteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf(async function* () {}).prototype);
const END = Symbol("end");
const iterators = new WeakMap();

const ReadableStreamAsyncIteratorPrototype = Object.create(AsyncIteratorPrototype);
for (const [name, fn] of Object.entries({
  next() {
    const it = iterators.get(this);
    if (!it) return rejected(new TypeError("next called on an object that is not a ReadableStream async iterator"));
    const step = () => nextStep(it);
    return (it.ongoing = it.ongoing === null ? step() : then(it.ongoing, step, step));
  },
  return(value) {
    const it = iterators.get(this);
    if (!it) return rejected(new TypeError("return called on an object that is not a ReadableStream async iterator"));
    const step = () => returnStep(it, value);
    it.ongoing = it.ongoing === null ? step() : then(it.ongoing, step, step);
    return then(it.ongoing, () => ({ value, done: true }));
  },
})) {
  Object.defineProperty(ReadableStreamAsyncIteratorPrototype, name, {
    value: fn, writable: true, enumerable: true, configurable: true,
  });
}

function nextStep(it) {
  if (it.finished) return resolved({ value: undefined, done: true });
  const d = new Deferred();
  it.reader.read({
    chunk: (value) => d.resolve([value]),
    close() {
      it.reader.release();
      d.resolve(END);
    },
    error(error) {
      it.reader.release();
      d.reject(error);
    },
  });
  return then(
    d.promise,
    (got) => {
      it.ongoing = null;
      if (got !== END) return { value: got[0], done: false };
      it.finished = true;
      return { value: undefined, done: true };
    },
    (error) => {
      it.ongoing = null;
      it.finished = true;
      throw error;
    },
  );
}

function returnStep(it, value) {
  if (it.finished) return resolved(undefined);
  it.finished = true;
  const reader = it.reader;
  const result = it.preventCancel ? resolved(undefined) : reader.cancel(value);
  reader.release();
  return result;
}

export function asyncIterator(s, preventCancel) {
  const iterator = Object.create(ReadableStreamAsyncIteratorPrototype);
  iterators.set(iterator, { reader: acquireReader(s), preventCancel, finished: false, ongoing: null });
  return iterator;
}

// -- ReadableStream.from --

function iteratorOf(value) {
  if (value === undefined || value === null) throw new TypeError("ReadableStream.from: the argument is not iterable");
  let make = value[Symbol.asyncIterator];
  let sync = false;
  if (make === undefined || make === null) {
    make = value[Symbol.iterator];
    sync = true;
  }
  if (typeof make !== "function") throw new TypeError("ReadableStream.from: the argument is not iterable");
  const iterator = Reflect.apply(make, value, []);
  if (Object(iterator) !== iterator) throw new TypeError("The iterator is not an object");
  return { iterator, next: iterator.next, sync };
}

export function fromIterable(iterable) {
  const { iterator, next, sync } = iteratorOf(iterable);
  const object = (value) => {
    if (Object(value) !== value) throw new TypeError("The iterator result is not an object");
    return value;
  };
  let s;
  function pull() {
    let result;
    try {
      result = Reflect.apply(next, iterator, []);
      if (sync) {
        const { done, value } = object(result);
        result = then(resolved(value), (v) => ({ done, value: v }));
      } else {
        result = resolved(result);
      }
    } catch (error) {
      return rejected(error);
    }
    return then(result, (step) => {
      if (object(step).done) s.controller.close();
      else s.controller.enqueue(step.value);
    });
  }
  function cancel(reason) {
    let result;
    try {
      const close = iterator.return;
      if (close === undefined || close === null) return resolved(undefined);
      if (typeof close !== "function") throw new TypeError("The iterator's return is not a function");
      result = Reflect.apply(close, iterator, [reason]);
      if (sync) {
        const { value, done } = object(result);
        result = then(resolved(value), () => ({ done }));
      }
    } catch (error) {
      return rejected(error);
    }
    return then(resolved(result), (value) => void object(value));
  }
  s = createReadable(undefined, pull, cancel, 0);
  return s;
}
