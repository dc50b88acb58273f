// `env.KV`: Workers KV over the keys of the app's space. The binding's name stands before every key, so that two
// bindings do not see each other's. Texts of errors are those of Workers.
import { ask, decode, encode, read } from "fazt:storage";
import { decodeUtf8, encodeUtf8 } from "fazt:encoding";
import { drain, fromBytes } from "fazt:streams";
import { bytesOf, expose, usvString } from "fazt:webidl";
import host from "fazt:native/host";

const SPACE = "app";
// Workers takes values of 25 MiB. Here a larger one is refused; R2's shape takes any length.
const KEY_BYTES_MAX = 512, META_BYTES_MAX = 1024, VALUE_BYTES_MAX = 1024 * 1024;
const TTL_S_MIN = 60, LIST_MAX = 1000, KEYS_MAX = 100;
const INT_MAX = 2 ** 31 - 1;

const now = () => Math.floor(Date.now() / 1000);

function refuse(verb, status, why) {
  return new Error(`KV ${verb} failed: ${status} ${why}`);
}

function checkKey(verb, key) {
  key = usvString(key);
  if (key === "") throw new TypeError("Key name cannot be empty.");
  if (key === "." || key === "..") throw new TypeError(`"${key}" is not allowed as a key name.`);
  const { length } = encodeUtf8(key);
  if (length > KEY_BYTES_MAX) throw refuse(verb, 414, `UTF-8 encoded length of ${length} exceeds key length limit of ${KEY_BYTES_MAX}.`);
  return key;
}

function typeOf(options) {
  const type = typeof options === "object" && options !== null ? options.type : options;
  return type === undefined || type === null ? "text" : `${type}`;
}

function shape(bytes, type) {
  switch (type) {
    case "text": return decodeUtf8(bytes);
    case "json": return JSON.parse(decodeUtf8(bytes));
    case "arrayBuffer": return bytes.buffer;
    case "stream": return fromBytes(bytes);
    default: throw new TypeError('Unknown response type. Possible types are "text", "arrayBuffer", "json", and "stream".');
  }
}

async function wholeOf(value) {
  if (typeof value === "string") return ["text", encodeUtf8(value)];
  if (value === undefined || value === null || typeof value === "symbol") {
    throw new TypeError("Failed to execute 'put' on 'KvNamespace': parameter 2 is not of type 'string or Object'.");
  }
  if (typeof value !== "object" && typeof value !== "function") return ["text", encodeUtf8(`${value}`)];
  const bytes = typeof value === "object" && value !== null ? bytesOf(value) : null;
  if (bytes !== null) return ["bytes", bytes];
  const readable = host.peek("ReadableStream");
  if (readable !== undefined && value instanceof readable.ReadableStream) return ["bytes", await drain(value)];
  throw new TypeError("KV put() accepts only strings, ArrayBuffers, ArrayBufferViews, and ReadableStreams as values.");
}

// When a key expires, in seconds since 1970; undefined: never.
function expiryOf({ expiration, expirationTtl }) {
  const whole = (value) => Number.isInteger(value) && value > 0;
  for (const value of [expiration, expirationTtl]) {
    if (Math.abs(value) > INT_MAX) throw new TypeError("Value out of range. Must be between -2147483648 and 2147483647 (inclusive).");
  }
  if (expirationTtl !== undefined && expirationTtl !== null) {
    const ttl = Number(expirationTtl);
    if (!whole(ttl)) throw refuse("PUT", 400, `Invalid expiration_ttl of ${ttl}. Please specify integer greater than 0.`);
    if (ttl < TTL_S_MIN) throw refuse("PUT", 400, `Invalid expiration_ttl of ${ttl}. Expiration TTL must be at least ${TTL_S_MIN}.`);
    return now() + ttl;
  }
  if (expiration === undefined || expiration === null) return undefined;
  const at = Number(expiration);
  if (!whole(at) || at <= now()) {
    throw refuse("PUT", 400, `Invalid expiration of ${at}. Please specify integer greater than the current number of seconds since the UNIX epoch.`);
  }
  if (at < now() + TTL_S_MIN) throw refuse("PUT", 400, `Invalid expiration of ${at}. Expiration times must be at least ${TTL_S_MIN} seconds in the future.`);
  return at;
}

export class KvNamespace {
  #prefix;

  constructor(name) {
    this.#prefix = `${name}/`;
  }

  async get(key, options) {
    if (Array.isArray(key)) return this.#several(key, options, false);
    const [bytes, , type] = await this.#one(key, options);
    return bytes === null ? null : shape(bytes, type);
  }

  async getWithMetadata(key, options) {
    if (Array.isArray(key)) return this.#several(key, options, true);
    const [bytes, metadata, type] = await this.#one(key, options);
    return { value: bytes === null ? null : shape(bytes, type), metadata, cacheStatus: null };
  }

  async #one(key, options) {
    key = checkKey("GET", key);
    const type = typeOf(options);
    const [head, bytes] = await read("kv.get", [SPACE, this.#prefix + key], false);
    if (head === null) return [null, null, type];
    return [new Uint8Array(bytes), head.metadata === null ? null : decode(head.metadata), type];
  }

  async #several(keys, options, withMetadata) {
    const type = typeof options === "object" && options !== null ? options.type ?? "text" : options ?? "text";
    if (type !== "text" && type !== "json") throw refuse("GET_BULK", 400, `"${type}" is not a valid type. Use "json" or "text"`);
    if (keys.length > KEYS_MAX) throw refuse("GET_BULK", 400, `You can request a maximum of ${KEYS_MAX} keys`);
    if (keys.length < 1) throw refuse("GET_BULK", 400, "You must request a minimum of 1 key");
    const found = new Map();
    for (const key of keys) found.set(checkKey("GET_BULK", key), null);
    for (const key of found.keys()) {
      const [bytes, metadata] = await this.#one(key, "text");
      const value = bytes === null ? null : shape(bytes, type);
      found.set(key, withMetadata ? (value === null ? null : { value, metadata }) : value);
    }
    return found;
  }

  async put(key, value, options) {
    key = checkKey("PUT", key);
    const { expiration, expirationTtl, metadata } = options ?? {};
    const expiresS = expiryOf({ expiration, expirationTtl });
    let kept;
    if (metadata !== undefined && metadata !== null) {
      const json = JSON.stringify(metadata);
      const { length } = encodeUtf8(json);
      if (length > META_BYTES_MAX) throw refuse("PUT", 413, `Metadata length of ${length} exceeds limit of ${META_BYTES_MAX}.`);
      kept = encode(JSON.parse(json));
    }
    const [kind, bytes] = await wholeOf(value);
    if (bytes.byteLength > VALUE_BYTES_MAX) {
      throw refuse("PUT", 413, `Value length of ${bytes.byteLength} exceeds limit of ${VALUE_BYTES_MAX}. An R2 binding takes larger ones.`);
    }
    await ask("kv.set", [SPACE, this.#prefix + key, bytes, kind, { expiresS, metadata: kept }]);
  }

  async delete(key) {
    for (const one of Array.isArray(key) ? key : [key]) {
      await ask("kv.delete", [SPACE, this.#prefix + checkKey("DELETE", one)]);
    }
  }

  async list(options) {
    const { prefix, limit, cursor } = options ?? {};
    const start = prefix === undefined || prefix === null ? "" : usvString(prefix);
    const { length } = encodeUtf8(start);
    if (length > KEY_BYTES_MAX) throw refuse("GET", 414, `UTF-8 encoded length of ${length} exceeds key length limit of ${KEY_BYTES_MAX}.`);
    const most = Math.trunc(limit) > 0 ? Math.trunc(limit) : LIST_MAX;
    if (most > LIST_MAX) throw refuse("GET", 400, `Invalid key_count_limit of ${most}. Please specify an integer less than ${LIST_MAX}.`);
    const [next, json] = await read("kv.list", [SPACE, this.#prefix + start, most, cursor ? `${cursor}` : undefined]);
    const keys = JSON.parse(json).map((found) => {
      const one = { name: found.key.slice(this.#prefix.length) };
      if (found.expires !== null) one.expiration = Math.floor(found.expires / 1000);
      if (found.metadata !== null) one.metadata = decode(found.metadata);
      return one;
    });
    return next === null ? { keys, list_complete: true, cacheStatus: null } : { keys, list_complete: false, cursor: next, cacheStatus: null };
  }
}
expose(KvNamespace);

export const make = (name) => new KvNamespace(name);
