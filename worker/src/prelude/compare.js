// Deep equality as `node:assert` and `node:util` define it. Cycles are followed once; depth is the stack's.
import native from "fazt:native/inspect";

const protoOf = Object.getPrototypeOf;
const isEnumerable = Object.prototype.propertyIsEnumerable;
const typedTag = Object.getOwnPropertyDescriptor(protoOf(Uint8Array.prototype), Symbol.toStringTag).get;

const symbolsOf = (value) => Object.getOwnPropertySymbols(value).filter((key) => isEnumerable.call(value, key));

const loose = (a, b) => a == b || (a !== a && b !== b);

function keysEqual(a, b, strict, memo, skipIndices) {
  let keysA = Object.keys(a), keysB = Object.keys(b);
  if (skipIndices) {
    const named = (key) => !/^(0|[1-9]\d*)$/.test(key);
    keysA = keysA.filter(named);
    keysB = keysB.filter(named);
  }
  if (keysA.length !== keysB.length) return false;
  for (const key of keysA) if (!Object.prototype.hasOwnProperty.call(b, key)) return false;
  if (strict) {
    const symbolsA = symbolsOf(a), symbolsB = symbolsOf(b);
    if (symbolsA.length !== symbolsB.length) return false;
    for (const key of symbolsA) if (!isEnumerable.call(b, key)) return false;
    keysA = keysA.concat(symbolsA);
  }
  for (const key of keysA) if (!equal(a[key], b[key], strict, memo)) return false;
  return true;
}

function setsEqual(a, b, strict, memo) {
  if (a.size !== b.size) return false;
  const left = [];
  for (const item of a) if (!b.has(item)) {
    if (strict && (typeof item !== "object" || item === null)) return false;
    left.push(item);
  }
  if (left.length === 0) return true;
  const right = [...b].filter((item) => !a.has(item));
  for (const item of left) {
    const at = right.findIndex((other) => equal(item, other, strict, memo));
    if (at < 0) return false;
    right.splice(at, 1);
  }
  return true;
}

function mapsEqual(a, b, strict, memo) {
  if (a.size !== b.size) return false;
  const left = [];
  for (const [key, item] of a) {
    if (b.has(key)) {
      if (!equal(item, b.get(key), strict, memo)) return false;
    } else if (strict && (typeof key !== "object" || key === null)) return false;
    else left.push([key, item]);
  }
  if (left.length === 0) return true;
  const right = [...b].filter(([key]) => !a.has(key));
  for (const [key, item] of left) {
    const at = right.findIndex(([k, v]) => equal(key, k, strict, memo) && equal(item, v, strict, memo));
    if (at < 0) return false;
    right.splice(at, 1);
  }
  return true;
}

const bytesOf = (value) => value instanceof ArrayBuffer
  ? new Uint8Array(value) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);

function bytesEqual(a, b) {
  const x = bytesOf(a), y = bytesOf(b);
  if (x.length !== y.length) return false;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
}

function contentsEqual(a, b, strict, memo, kind) {
  if (Array.isArray(a)) {
    if (a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) {
      if (strict && (i in a) !== (i in b)) return false;
      if (!equal(a[i], b[i], strict, memo)) return false;
    }
    return keysEqual(a, b, strict, memo, true);
  }
  const typed = typedTag.call(a);
  if (typed !== undefined) {
    if (typedTag.call(b) !== typed || a.length !== b.length) return false;
    if (typed.startsWith("Float")) {
      for (let i = 0; i < a.length; i++) if (!(strict ? Object.is(a[i], b[i]) : loose(a[i], b[i]))) return false;
    } else if (!bytesEqual(a, b)) return false;
    return keysEqual(a, b, strict, memo, true);
  }
  switch (kind) {
    case "Date": if (!Object.is(Date.prototype.getTime.call(a), Date.prototype.getTime.call(b))) return false; break;
    case "RegExp": if (String(a) !== String(b) || a.lastIndex !== b.lastIndex) return false; break;
    case "Error":
      if (a.message !== b.message || a.name !== b.name || !equal(a.cause, b.cause, strict, memo)) return false;
      if (!equal(a.errors, b.errors, strict, memo)) return false;
      break;
    case "Number": case "String": case "Boolean": case "BigInt": case "Symbol":
      if (!Object.is(a.valueOf(), b.valueOf())) return false;
      break;
    case "ArrayBuffer": case "DataView": if (!bytesEqual(a, b)) return false; break;
    case "Set": if (!setsEqual(a, b, strict, memo)) return false; break;
    case "Map": if (!mapsEqual(a, b, strict, memo)) return false; break;
    case "WeakMap": case "WeakSet": case "Promise": case "WeakRef": return false;
  }
  return keysEqual(a, b, strict, memo, false);
}

function equal(a, b, strict, memo) {
  if (a === b) return a !== 0 || !strict || Object.is(a, b);
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    if (strict) return Object.is(a, b);
    if ((typeof a === "object" && a !== null) || (typeof b === "object" && b !== null)) return false;
    return loose(a, b);
  }
  if (strict && protoOf(a) !== protoOf(b)) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const kind = native.classOf(a) ?? "Object";
  if (kind !== (native.classOf(b) ?? "Object") && kind !== "Proxy" && native.classOf(b) !== "Proxy") return false;
  const seen = memo.get(a);
  if (seen !== undefined && seen.has(b)) return true;
  if (seen === undefined) memo.set(a, new Set([b]));
  else seen.add(b);
  const same = contentsEqual(a, b, strict, memo, kind);
  memo.get(a)?.delete(b);
  return same;
}

export const isDeepStrictEqual = (a, b) => equal(a, b, true, new Map());
export const isDeepEqual = (a, b) => equal(a, b, false, new Map());
