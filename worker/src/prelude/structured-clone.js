// structuredClone: kinds of objects are told apart by the engine's own class, which scripts cannot fake.

import host from "fazt:native/host";
import object from "fazt:native/object";
import { dictionary, need, platformPrototypes, sequence } from "fazt:webidl";
import { cloners, transferrers } from "fazt:cloners";
import { DOMException, isDOMException } from "fazt:dom-exception";

const classOf = object.classOf;
const OBJECT = classOf({}), ARRAY = classOf([]), DATE = classOf(new Date(0)), REGEXP = classOf(/x/), MAP = classOf(new Map()),
  SET = classOf(new Set()), ERROR = classOf(new Error("")), BUFFER = classOf(new ArrayBuffer(0)), NUMBER = classOf(Object(1)),
  STRING = classOf(Object("")), BOOLEAN = classOf(Object(true)), BIGINT = classOf(Object(1n)), ARGUMENTS = classOf((function () { return arguments; })());
const getTime = Function.prototype.call.bind(Date.prototype.getTime);
const mapEntries = Function.prototype.call.bind(Map.prototype.forEach);
const setEntries = Function.prototype.call.bind(Set.prototype.forEach);
const bufferOf = { detached: Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "detached").get };
const ERRORS = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

function cannot(what) {
  return new DOMException(`${what} cannot be cloned`, "DataCloneError");
}

function describe(value) {
  try {
    return typeof value === "function" ? `function ${value.name}` : Object.prototype.toString.call(value);
  } catch {
    return "The value";
  }
}

function clone(value, memory) {
  switch (typeof value) {
    case "object":
      if (value === null) return null;
      break;
    case "symbol":
      throw cannot(value.toString());
    case "function":
      throw cannot(describe(value));
    default:
      return value;
  }
  const seen = memory.get(value);
  if (seen !== undefined) return seen;
  const keep = (copy) => {
    memory.set(value, copy);
    return copy;
  };
  const kind = classOf(value);
  switch (kind) {
    case OBJECT:
      return cloneObject(value, memory, keep);
    case ARRAY: {
      const copy = keep(new Array(value.length));
      return properties(value, copy, memory);
    }
    case DATE:
      return keep(new Date(getTime(value)));
    case REGEXP:
      return keep(new RegExp(value.source, value.flags));
    case MAP: {
      const copy = keep(new Map());
      const entries = [];
      mapEntries(value, (v, k) => entries.push([k, v]));
      for (const [k, v] of entries) {
        const key = clone(k, memory);
        Map.prototype.set.call(copy, key, clone(v, memory));
      }
      return copy;
    }
    case SET: {
      const copy = keep(new Set());
      const members = [];
      setEntries(value, (v) => members.push(v));
      for (const v of members) Set.prototype.add.call(copy, clone(v, memory));
      return copy;
    }
    case NUMBER:
    case STRING:
    case BOOLEAN:
    case BIGINT:
      return keep(Object(primitive(kind, value)));
    case ERROR:
      return isDOMException(value) ? keep(cloneException(value)) : cloneError(value, memory, keep);
    case BUFFER:
      return keep(cloneBuffer(value));
    case ARGUMENTS:
      return properties(value, keep({}), memory);
    default:
      if (ArrayBuffer.isView(value)) return keep(cloneView(value, memory));
      throw cannot(describe(value));
  }
}

function primitive(kind, value) {
  if (kind === NUMBER) return Number.prototype.valueOf.call(value);
  if (kind === STRING) return String.prototype.valueOf.call(value);
  if (kind === BOOLEAN) return Boolean.prototype.valueOf.call(value);
  return BigInt.prototype.valueOf.call(value);
}

function properties(from, to, memory) {
  for (const key of Object.keys(from)) {
    // A getter may have deleted a later key.
    if (!Object.prototype.hasOwnProperty.call(from, key)) continue;
    Object.defineProperty(to, key, {
      value: clone(from[key], memory), writable: true, enumerable: true, configurable: true,
    });
  }
  return to;
}

/** The classes of fetch keep to themselves; they exist only if their module is loaded. */
function isFetchClass(proto) {
  const fetch = host.peek("Response");
  return fetch !== undefined && [fetch.Headers, fetch.Request, fetch.Response].some((C) => C.prototype === proto);
}

function cloneObject(value, memory, keep) {
  for (let proto = Object.getPrototypeOf(value); proto !== null && proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    if (!platformPrototypes.has(proto) && !isFetchClass(proto)) continue;
    for (const [test, copy] of cloners) if (test(value)) return keep(copy(value));
    throw cannot(describe(value));
  }
  return properties(value, keep({}), memory);
}

function cloneException(value) {
  const copy = new DOMException(value.message, value.name);
  Object.defineProperty(copy, "stack", { value: value.stack, writable: true, configurable: true });
  return copy;
}

function cloneError(value, memory, keep) {
  const name = value.name === undefined ? "Error" : String(value.name);
  const C = Object.hasOwn(ERRORS, name) ? ERRORS[name] : Error;
  const data = (key) => {
    const d = Object.getOwnPropertyDescriptor(value, key);
    return d !== undefined && "value" in d ? d : undefined;
  };
  const message = data("message");
  const copy = keep(message === undefined ? new C() : new C(String(message.value)));
  const cause = data("cause");
  if (cause !== undefined) {
    Object.defineProperty(copy, "cause", { value: clone(cause.value, memory), writable: true, configurable: true });
  }
  Object.defineProperty(copy, "stack", { value: String(value.stack), writable: true, configurable: true });
  return copy;
}

function cloneBuffer(value) {
  if (Reflect.apply(bufferOf.detached, value, [])) throw cannot("A detached ArrayBuffer");
  if (!value.resizable) return ArrayBuffer.prototype.slice.call(value, 0);
  const copy = new ArrayBuffer(value.byteLength, { maxByteLength: value.maxByteLength });
  new Uint8Array(copy).set(new Uint8Array(value));
  return copy;
}

function cloneView(value, memory) {
  const buffer = clone(value.buffer, memory);
  const tag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get.call(value);
  const View = tag === undefined ? DataView : globalThis[tag];
  const tracking = value.buffer.resizable && tracksLength(value);
  return new View(buffer, value.byteOffset, tracking ? undefined : tag === undefined ? value.byteLength : value.length);
}

/** Whether a view on a resizable buffer follows its length: one without a fixed length ends where the buffer does. */
function tracksLength(view) {
  return view.byteOffset + view.byteLength === view.buffer.byteLength;
}

/**
 * Clones `value` and transfers the objects of `transfer`; gives the copy and the transferred objects in order.
 * A buffer is copied, and the original is detached once everything has been cloned: a failure takes nothing away.
 */
export function cloneWithTransfer(value, transfer) {
  const memory = new Map();
  const moves = [];
  const listed = new Set();
  for (const item of transfer) {
    if (listed.has(item)) throw new DOMException("An object is in the transfer list twice", "DataCloneError");
    listed.add(item);
    if (classOf(item) === BUFFER) {
      if (Reflect.apply(bufferOf.detached, item, [])) throw cannot("A detached ArrayBuffer");
      moves.push({ item, move: null });
      continue;
    }
    const known = transferrers.find(([test]) => test(item));
    if (!known) throw new DOMException(`${describe(item)} cannot be transferred`, "DataCloneError");
    const result = known[1].prepare(item);
    memory.set(item, result);
    moves.push({ item, move: known[1], result });
  }
  const copy = clone(value, memory);
  for (const { item, move, result } of moves) {
    if (move !== null) move.commit(item, result);
    else if (Reflect.apply(bufferOf.detached, item, [])) throw cannot("A detached ArrayBuffer");
    else item.transfer();
  }
  return { value: copy, moved: moves.filter((m) => m.move !== null).map((m) => m.result) };
}

/** The transfer list of an options argument. */
export function transferOf(options) {
  const list = dictionary(options, "The options").transfer;
  if (list === undefined) return [];
  if (Object(list) !== list || typeof list[Symbol.iterator] !== "function") throw new TypeError("transfer is not a sequence");
  return sequence(list, list[Symbol.iterator], (item) => {
    if (Object(item) !== item) throw new TypeError("A member of transfer is not an object");
    return item;
  });
}

export function structuredClone(value, options = undefined) {
  need(arguments.length, 1, "structuredClone");
  const transfer = transferOf(options);
  return transfer.length === 0 ? clone(value, new Map()) : cloneWithTransfer(value, transfer).value;
}
Object.defineProperty(structuredClone, "length", { value: 1, configurable: true });

export { clone };
