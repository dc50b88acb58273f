// `fazt.storage.blobs`: bytes of any length, sent as they come and read as they are wanted. R2's shape is made of
// the same parts (bindings/r2.js).
import host from "fazt:native/host";
import { Request, Response, call, callWith } from "fazt:fetch";
import { Held, endCall, extract, isLocked, isUsed, mixBody } from "fazt:body";
import { ask, decode, encode, numberOf, read } from "fazt:storage";
import { bytesOf, usvString } from "fazt:webidl";

const NOTHING = new Uint8Array(0);

// What is to be sent, and the content type that it comes with: [body, type or null].
export function bodyOf(value) {
  if (value === undefined || value === null) return [NOTHING, null];
  if (typeof value === "string") return [usvString(value), null];
  if (value instanceof Request || value instanceof Response) {
    if (value.bodyUsed) throw new TypeError("the body has been read already");
    const held = value.body;
    return [held === null ? NOTHING : extract(held)[0], value.headers.get("content-type")];
  }
  if (typeof value === "object") {
    if (bytesOf(value) !== null) return extract(value);
    for (const name of ["ReadableStream", "Blob", "FormData", "URLSearchParams"]) {
      const module = host.peek(name);
      if (module !== undefined && value instanceof module[name]) return extract(value);
    }
  }
  throw new TypeError("A blob is put as a string, bytes, a Blob, a ReadableStream, a Request or a Response");
}

// A call that a body follows; its reply.
export async function send(name, args, body) {
  const [stream, reply] = await callWith(numberOf(name), args, body);
  endCall(stream);
  return reply;
}

// What there is of a blob: [found or null, body or null].
export async function open(space, key, range, conditions) {
  const [stream, found] = await call(numberOf("blobs.get"), [space, key, range, conditions]);
  if (found === null || !found.body) {
    endCall(stream);
    return [found, null];
  }
  const held = new Held();
  held.incoming = stream;
  held.expected = found.length;
  return [found, held];
}

export const parsed = (json) => json === null || json === undefined ? null : JSON.parse(json);

function infoOf(head) {
  return {
    key: head.key,
    size: head.size,
    etag: head.etag,
    version: head.version,
    uploaded: new Date(head.uploaded),
    contentType: parsed(head.http)?.contentType ?? null,
    meta: head.meta === null ? null : decode(head.meta),
  };
}

class BlobBody {
  #body;
  constructor(found, body) {
    Object.assign(this, infoOf(found.head));
    this.range = { offset: found.offset, length: found.length };
    this.#body = body;
  }
  stream() {
    if (isUsed(this.#body) || isLocked(this.#body)) throw new TypeError("the body has been read already");
    return this.body;
  }
  static {
    mixBody(this, (self) => self.#body, (self, body) => { self.#body = body; }, (self) => ({ get: () => self.contentType }));
  }
}
delete BlobBody.prototype.formData;

const whole = (value, what) => {
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${what} is a whole number of bytes`);
  return value;
};

const text = (key) => {
  if (typeof key !== "string") throw new TypeError("The key of a blob is a string");
  return usvString(key);
};

export async function put(space, key, value, options) {
  const { contentType, meta } = options ?? {};
  const [body, implied] = bodyOf(value);
  const type = contentType ?? (implied || null);
  const http = type === null ? undefined : JSON.stringify({ contentType: usvString(type) });
  const kept = meta === undefined ? undefined : encode(meta);
  return infoOf(await send("blobs.put", [space, text(key), [], { http, meta: kept }], body));
}

export async function get(space, key, options) {
  const range = options?.range;
  const asked = range === undefined || range === null ? undefined
    : { offset: whole(range.offset, "offset"), length: whole(range.length, "length"), suffix: whole(range.suffix, "suffix") };
  const [found, body] = await open(space, text(key), asked, undefined);
  return found === null ? null : new BlobBody(found, body);
}

export async function head(space, key) {
  const found = await ask("blobs.head", [space, text(key)]);
  return found === null ? null : infoOf(found);
}

export async function remove(space, keys) {
  return ask("blobs.delete", [space, Array.isArray(keys) ? keys.map(text) : [text(keys)]]);
}

export async function list(space, options) {
  const { prefix, delimiter, limit, cursor } = options ?? {};
  const [next, json] = await read("blobs.list", [space, prefix, delimiter, undefined, limit, cursor ?? undefined]);
  const { items, prefixes } = JSON.parse(json);
  return { blobs: items.map(infoOf), prefixes, cursor: next };
}

export { mixBody };
