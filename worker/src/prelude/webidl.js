// What every class of the prelude needs to look and convert like a Web IDL interface: enumerable members, a
// string tag, and the argument conversions that ECMAScript does not have.

const { defineProperty, getOwnPropertyDescriptor, getOwnPropertyNames } = Object;

/** Prototypes of platform objects: what structuredClone does not take for plain objects. */
export const platformPrototypes = new WeakSet();

/** Makes members enumerable and tags the prototype, as Web IDL wants for each of `classes`. */
export function expose(...classes) {
  for (const C of classes) {
    const proto = C.prototype;
    platformPrototypes.add(proto);
    for (const key of getOwnPropertyNames(proto)) {
      if (key !== "constructor") defineProperty(proto, key, { enumerable: true });
    }
    for (const key of getOwnPropertyNames(C)) {
      if (key !== "length" && key !== "name" && key !== "prototype") {
        const d = getOwnPropertyDescriptor(C, key);
        if (d.configurable) defineProperty(C, key, { enumerable: true });
      }
    }
    defineProperty(proto, Symbol.toStringTag, { value: C.name, configurable: true });
  }
}

/** Read-only numbers on an interface and its prototype. */
export function constants(C, values) {
  for (const key in values) {
    const d = { value: values[key], enumerable: true };
    defineProperty(C, key, d);
    defineProperty(C.prototype, key, d);
  }
}

/** The key that lets the prelude construct what apps may not. */
export const INTERNAL = Symbol("internal");

export function illegal() {
  return new TypeError("Illegal constructor");
}

export function need(given, wanted, what) {
  if (given < wanted) {
    throw new TypeError(`${what}: ${wanted} argument${wanted === 1 ? "" : "s"} required, but only ${given} present`);
  }
}

/** A dictionary argument: undefined and null stand for an empty one. */
export function dictionary(value, what) {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what} is not an object`);
  return value;
}

/** DOMString: like String(), but a symbol is refused. */
export function domString(value) {
  return typeof value === "string" ? value : `${value}`;
}

/** USVString: lone surrogates become U+FFFD. */
export function usvString(value) {
  return (typeof value === "string" ? value : `${value}`).toWellFormed();
}

function integer(value) {
  value = +value;
  if (typeof value === "bigint") throw new TypeError("Cannot convert a BigInt to a number");
  return Number.isFinite(value) ? Math.trunc(value) : 0;
}

/** unsigned long long with the default (modulo) conversion, exact up to 2^53. */
export function unsignedLongLong(value) {
  const n = integer(value);
  return n >= 0 && n <= Number.MAX_SAFE_INTEGER ? n + 0 : Number(BigInt.asUintN(64, BigInt(n)));
}

/** long long with [Clamp]. */
export function clampLongLong(value) {
  value = +value;
  if (!(value === value)) return 0;
  const max = Number.MAX_SAFE_INTEGER;
  if (value >= max) return max;
  if (value <= -max) return -max;
  const floor = Math.floor(value);
  const rest = value - floor;
  const n = rest < 0.5 ? floor : rest > 0.5 ? floor + 1 : floor % 2 === 0 ? floor : floor + 1;
  return n + 0;
}

/** unsigned long long, short or long with [EnforceRange]. */
export function enforceRange(value, max = Number.MAX_SAFE_INTEGER, what = "The value") {
  value = +value;
  if (!Number.isFinite(value)) throw new TypeError(`${what} is not a finite number`);
  value = Math.trunc(value);
  if (value < 0 || value > max) throw new TypeError(`${what} is out of range`);
  return value + 0;
}

export function unsignedShort(value) {
  return integer(value) & 0xffff;
}

/** double: NaN and the infinities are refused. */
export function double(value, what = "The value") {
  value = +value;
  if (!Number.isFinite(value)) throw new TypeError(`${what} is not a finite number`);
  return value;
}

/** An iterable to a list, calling `each` on every member. `method` is its already fetched @@iterator. */
export function sequence(value, method, each) {
  const iterator = Reflect.apply(method, value, []);
  if (Object(iterator) !== iterator) throw new TypeError("The iterator is not an object");
  const next = iterator.next;
  const list = [];
  for (;;) {
    const step = Reflect.apply(next, iterator, []);
    if (Object(step) !== step) throw new TypeError("The iterator result is not an object");
    if (step.done) return list;
    list.push(each ? each(step.value) : step.value);
  }
}

const bufferLength = getOwnPropertyDescriptor(ArrayBuffer.prototype, "byteLength").get;
const sharedLength =
  typeof SharedArrayBuffer === "function" ? getOwnPropertyDescriptor(SharedArrayBuffer.prototype, "byteLength").get : null;

export function isArrayBuffer(value) {
  if (typeof value !== "object" || value === null) return false;
  try {
    Reflect.apply(bufferLength, value, []);
    return true;
  } catch {
    return false;
  }
}

export function isSharedArrayBuffer(value) {
  if (!sharedLength || typeof value !== "object" || value === null) return false;
  try {
    Reflect.apply(sharedLength, value, []);
    return true;
  } catch {
    return false;
  }
}

/** The bytes of a BufferSource as a Uint8Array over the same memory, or null if `value` is none. */
export function bytesOf(value, shared = true) {
  if (ArrayBuffer.isView(value)) {
    if (!shared && isSharedArrayBuffer(value.buffer)) return null;
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (isArrayBuffer(value) || (shared && isSharedArrayBuffer(value))) return new Uint8Array(value);
  return null;
}

const ES_ITERATOR = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));

/** The prototype of an interface's iterators: `next(target, index)` gives a pair or undefined. */
export function iteratorClass(name, at) {
  const state = new WeakMap();
  const proto = Object.create(ES_ITERATOR, {
    next: {
      value: function next() {
        const s = state.get(this);
        if (!s) throw new TypeError(`next called on an object that is not a ${name} Iterator`);
        const pair = at(s.target, s.index);
        if (pair === undefined) return { value: undefined, done: true };
        s.index++;
        const value = s.kind === 0 ? pair[0] : s.kind === 1 ? pair[1] : [pair[0], pair[1]];
        return { value, done: false };
      },
      writable: true,
      enumerable: true,
      configurable: true,
    },
    [Symbol.toStringTag]: { value: `${name} Iterator`, configurable: true },
  });
  return (target, kind) => {
    const it = Object.create(proto);
    state.set(it, { target, index: 0, kind });
    return it;
  };
}

/** Gives `C` the four members of a pair iterable. `size(target)` and `at` read pairs live. */
export function pairIterable(C, name, check, at) {
  const make = iteratorClass(name, at);
  const define = (key, value) =>
    defineProperty(C.prototype, key, { value, writable: true, enumerable: true, configurable: true });
  const entries = {
    entries() {
      check(this);
      return make(this, 2);
    },
    keys() {
      check(this);
      return make(this, 0);
    },
    values() {
      check(this);
      return make(this, 1);
    },
    forEach(callback, thisArg = undefined) {
      check(this);
      need(arguments.length, 1, "forEach");
      if (typeof callback !== "function") throw new TypeError("forEach: the callback is not a function");
      for (let i = 0, pair; (pair = at(this, i)) !== undefined; i++) Reflect.apply(callback, thisArg, [pair[1], pair[0], this]);
    },
  };
  for (const key in entries) define(key, entries[key]);
  Object.defineProperty(entries.forEach, "length", { value: 1, configurable: true });
  defineProperty(C.prototype, Symbol.iterator, { value: entries.entries, writable: true, configurable: true });
}
