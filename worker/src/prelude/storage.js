// `fazt.storage`: keys, documents and spaces, over the calls of the table. Values travel as JSON; what JSON
// cannot say is an object of one key that starts with `$`, and an own key that starts so is written with two.
import host from "fazt:native/host";
import link from "fazt:native/link";
import text from "fazt:native/buffer";
import { ask as askCall, askWhole } from "fazt:fetch";
import { encodeUtf8 } from "fazt:encoding";
import { makeSql } from "fazt:sql";
import { bytesOf } from "fazt:webidl";

const numbers = {};
for (const [number, noun, verb] of link.rows()) {
  if (noun.startsWith("storage.")) numbers[`${noun.slice(8)}.${verb}`] = number;
}

export const numberOf = (name) => numbers[name];

const itself = (value) => value;

// The answer to a call, as `make` makes it of the reply and of what follows it. `args` makes the arguments: what it
// throws rejects.
const call = (name, args, make = itself) => askCall(numbers[name], args, make);
const callText = (name, args, make) => askWhole(numbers[name], args, true, make);
const callBytes = (name, args, make) => askWhole(numbers[name], args, false, make);

// For those whose arguments are made: the reply; the reply and the bytes that follow it.
export const ask = (name, args) => call(name, () => args);
export const read = (name, args, asText = true) => askWhole(numbers[name], () => args, asText, pair);
const pair = (reply, whole) => [reply, whole];

const { isArray } = Array;
const { getPrototypeOf, keys } = Object;
// Deeper than the kernel takes, so that it says so; cycles end here.
const DEPTH_MAX = 40;
const DOLLAR = 0x24;

function isPlain(value) {
  const proto = getPrototypeOf(value);
  return proto === null || proto === Object.prototype || getPrototypeOf(proto) === null;
}

export function encode(value, depth = 0) {
  if (depth > DEPTH_MAX) throw new TypeError("The value is nested too deep, or holds itself");
  switch (typeof value) {
    case "string": return JSON.stringify(value.toWellFormed());
    case "boolean": return value ? "true" : "false";
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return String(value);
      return `{"$number":"${Object.is(value, -0) ? "-0" : value}"}`;
    case "bigint": return `{"$bigint":"${value}"}`;
    case "object": break;
    default: throw new TypeError(`A ${typeof value} cannot be stored`);
  }
  if (value === null) return "null";
  if (value instanceof Date) return `{"$date":${Number.isNaN(value.getTime()) ? "null" : value.getTime()}}`;
  const bytes = bytesOf(value);
  if (bytes !== null) return `{"$bytes":"${text.toText(bytes, "base64")}"}`;
  if (isArray(value)) return `[${Array.from(value, (one) => encode(one === undefined ? null : one, depth + 1)).join(",")}]`;
  if (typeof value.toJSON === "function") return encode(value.toJSON(), depth + 1);
  if (!isPlain(value)) throw new TypeError(`A ${value.constructor?.name || "value of a class"} cannot be stored`);
  const parts = [];
  for (const key of keys(value)) {
    const inner = value[key];
    if (inner === undefined || typeof inner === "function") continue;
    parts.push(`${JSON.stringify((key.startsWith("$") ? `$${key}` : key).toWellFormed())}:${encode(inner, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}

// A walk over what was parsed costs more than parsing: most documents need none.
export function decode(json) {
  return json.includes('"$') ? JSON.parse(json, revive) : JSON.parse(json);
}

function revive(_, value) {
  if (typeof value !== "object" || value === null || isArray(value)) return value;
  const names = keys(value);
  if (!names.some((name) => name.startsWith("$"))) return value;
  if (names.length === 1 && !names[0].startsWith("$$")) {
    const inner = value[names[0]];
    switch (names[0]) {
      case "$date": return new Date(inner ?? NaN);
      case "$bytes": return new Uint8Array(text.fromText(inner, "base64"));
      case "$number": return Number(inner);
      case "$bigint": return BigInt(inner);
    }
  }
  return Object.fromEntries(names.map((name) => [name.startsWith("$$") ? name.slice(1) : name, value[name]]));
}

function encodeDoc(value) {
  if (typeof value !== "object" || value === null || isArray(value)) throw new TypeError("A document is an object");
  return encodeFlat(value) ?? encode(value);
}

// A plain object of nothing but text, whole and finite numbers and truth values, as most documents are, is what the
// engine's own JSON makes of it, several times faster. Null: it is something else.
function encodeFlat(value) {
  if (getPrototypeOf(value) !== Object.prototype || typeof value.toJSON === "function") return null;
  for (const key in value) {
    if (key.charCodeAt(0) === DOLLAR) return null;
    const inner = value[key];
    switch (typeof inner) {
      case "string": case "boolean": continue;
      case "number": if (Number.isFinite(inner) && (inner !== 0 || Object.is(inner, 0))) continue;
    }
    return null;
  }
  const json = JSON.stringify(value);
  // Half of a pair of surrogates comes out as it is, and is to be replaced.
  return json === undefined || json.includes("\\ud") ? null : json;
}

// Operators stay as they are; what they compare with is encoded.
function encodeWhere(where, depth = 0) {
  if (typeof where !== "object" || where === null || isArray(where)) throw new TypeError("`where` is an object such as { done: false }");
  if (depth > DEPTH_MAX) throw new TypeError("`where` is nested too deep, or holds itself");
  const list = (value) => isArray(value) ? `[${value.map((one) => encodeWhere(one, depth + 1)).join(",")}]` : encode(value);
  const parts = [];
  for (const key of keys(where)) {
    const value = where[key];
    if (value === undefined) continue;
    let inner;
    if (key === "$and" || key === "$or") inner = list(value);
    else if (key === "$not") inner = encodeWhere(value, depth + 1);
    else if (isOperators(value)) {
      inner = `{${keys(value).map((operator) => `${JSON.stringify(operator)}:${encode(value[operator] ?? null)}`).join(",")}}`;
    } else inner = encode(value);
    parts.push(`${JSON.stringify(key.toWellFormed())}:${inner}`);
  }
  return `{${parts.join(",")}}`;
}

function isOperators(value) {
  return typeof value === "object" && value !== null && !isArray(value) && !(value instanceof Date) && bytesOf(value) === null && keys(value).some((key) => key.startsWith("$"));
}

function orderOf(order) {
  if (order === undefined || order === null) return [];
  if (typeof order === "string") return [one(order)];
  if (isArray(order)) return order.map((entry) => isArray(entry) ? [String(entry[0]), direction(entry[1])] : one(String(entry)));
  return keys(order).map((field) => [field, direction(order[field])]);
}

function one(field) {
  return field.startsWith("-") ? [field.slice(1), true] : [field, false];
}

function direction(word) {
  if (word === undefined || word === "asc" || word === 1) return false;
  if (word === "desc" || word === -1) return true;
  throw new TypeError('An order is "asc" or "desc"');
}

const options = (value) => value ?? {};
const maybeWhere = (where) => where === undefined || where === null ? undefined : encodeWhere(where);

function makeKv(space) {
  return Object.freeze({
    get(key) { return callBytes("kv.get", () => [space, key], entryOf); },
    set(key, value, init) {
      return call("kv.set", () => {
        const { ttlS, ifVersion, metadata } = options(init);
        const bytes = typeof value === "object" && value !== null ? bytesOf(value) : null;
        const [kind, raw] = bytes !== null ? ["bytes", bytes]
          : typeof value === "string" ? ["text", encodeUtf8(value.toWellFormed())]
          : ["json", encodeUtf8(encode(value))];
        const kept = metadata === undefined ? undefined : encode(metadata);
        return [space, key, raw, kind, { ttlS, ifVersion, metadata: kept }];
      });
    },
    delete(key, init) { return call("kv.delete", () => [space, key, options(init).ifVersion]); },
    list(init) {
      return callText("kv.list", () => {
        const { prefix, limit, cursor } = options(init);
        return [space, prefix, limit, cursor];
      }, (next, json) => {
        const found = JSON.parse(json);
        for (const key of found) key.metadata = key.metadata === null ? null : decode(key.metadata);
        return { keys: found, cursor: next };
      });
    },
  });
}

function entryOf(head, bytes) {
  if (head === null) return null;
  if (head.kind === "bytes") return new Uint8Array(bytes);
  const whole = text.toText(new Uint8Array(bytes), "utf8");
  return head.kind === "text" ? whole : decode(whole);
}

const docOf = (found, json) => found ? decode(json) : null;
const written = (_, json) => decode(json);

function makeDocs(space, collection) {
  return Object.freeze({
    get(id) { return callText("docs.get", () => [space, collection, id], docOf); },
    put(doc, init) {
      return callText("docs.put", () => [space, collection, encodeDoc(doc), options(init).ifVersion], written);
    },
    insert(doc) { return callText("docs.insert", () => [space, collection, encodeDoc(doc)], written); },
    update(id, patch, init) {
      return callText("docs.update", () => [space, collection, id, encodeDoc(patch), options(init).ifVersion], written);
    },
    delete(id, init) { return call("docs.delete", () => [space, collection, id, options(init).ifVersion]); },
    find(query) {
      return callText("docs.find", () => {
        const { where, order, limit, cursor } = options(query);
        return [space, collection, maybeWhere(where), orderOf(order), limit, cursor ?? undefined];
      }, (next, json) => ({ items: decode(json), cursor: next }));
    },
    count(where) { return call("docs.count", () => [space, collection, maybeWhere(where)]); },
    batch(changes) {
      return callText("docs.batch", () => {
        if (!isArray(changes)) throw new TypeError("batch takes a list of changes");
        return [space, collection, changes.map(changeOf)];
      }, written);
    },
  });
}

function changeOf(change) {
  const { put, insert, update, patch, ifVersion } = options(change);
  if (put !== undefined) return { verb: "put", body: encodeDoc(put), ifVersion };
  if (insert !== undefined) return { verb: "insert", body: encodeDoc(insert) };
  if (update !== undefined) return { verb: "update", id: update, body: encodeDoc(patch), ifVersion };
  if (change?.delete !== undefined) return { verb: "delete", id: change.delete, ifVersion };
  throw new TypeError("A change is { put }, { insert }, { update, patch } or { delete }");
}

// What is done with bytes is loaded when somebody has some.
function makeBlobs(space) {
  const does = (verb) => async (...args) => host.load("fazt:blobs")[verb](space, ...args);
  return Object.freeze({ put: does("put"), get: does("get"), head: does("head"), delete: does("remove"), list: does("list") });
}

const inside = (space) => ({
  kv: makeKv(space),
  docs: (collection) => makeDocs(space, String(collection)),
  blobs: makeBlobs(space),
  sql: makeSql(space),
});

export const storage = Object.freeze({
  ...inside("user"),
  space: (id) => Object.freeze(inside(String(id))),
  app(name) {
    const space = `apps:${name}`;
    return Object.freeze({ docs: (collection) => makeDocs(space, String(collection)), blobs: makeBlobs(space) });
  },
  spaces: Object.freeze({
    create(name) { return call("spaces.create", () => [name]); },
    list() { return callText("spaces.list", () => [], (_, json) => JSON.parse(json)); },
    join(code) { return call("spaces.join", () => [code]); },
    members(space) { return call("spaces.members", () => [space]); },
    add(space, role, user) { return call("spaces.add", () => [space, role, user]); },
    remove(space, user) { return call("spaces.remove", () => [space, user]); },
  }),
});
