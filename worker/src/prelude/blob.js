// Blob and File. A blob is a list of byte ranges over memory that nobody else writes to, so slicing copies nothing.

import host from "fazt:native/host";
import { INTERNAL, bytesOf, clampLongLong, domString, expose, need, sequence, usvString } from "fazt:webidl";
import { decodeUtf8, encodeUtf8 } from "fazt:encoding";
import { cloners } from "fazt:cloners";

let partsOf, isBlob, fileOf;

function typeOf(value) {
  value = value === undefined ? "" : domString(value);
  return /[^\x20-\x7e]/.test(value) ? "" : value.toLowerCase();
}

function collect(list, endings) {
  const parts = [];
  for (const part of list) {
    if (isBlob(part)) {
      parts.push(...partsOf(part));
      continue;
    }
    const bytes = bytesOf(part);
    if (bytes !== null) {
      if (bytes.length > 0) parts.push(bytes.slice());
      continue;
    }
    let text = usvString(part);
    if (endings === "native") text = text.replace(/\r\n?|\n/g, "\n");
    if (text !== "") parts.push(encodeUtf8(text));
  }
  return parts;
}

function lengthOf(parts) {
  let total = 0;
  for (const part of parts) total += part.length;
  return total;
}

/** All bytes in one array of their own. */
function join(parts) {
  const length = lengthOf(parts);
  host.makeRoom(length);
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function options(value, what) {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" && typeof value !== "function") throw new TypeError(`${what} is not an object`);
  return value;
}

function blobParts(value) {
  if (Object(value) !== value) throw new TypeError("The parts of a blob must be a sequence");
  const method = value[Symbol.iterator];
  if (typeof method !== "function") throw new TypeError("The parts of a blob must be a sequence");
  // Conversion of each member happens as it is met, so that later getters see its effects.
  return sequence(value, method, (part) => {
    if (isBlob(part) || bytesOf(part) !== null) return part;
    return usvString(part);
  });
}

export class Blob {
  #parts;
  #size;
  #type;

  constructor(parts = undefined, init = undefined) {
    if (parts === INTERNAL) {
      this.#parts = init.parts;
      this.#type = init.type;
      this.#size = lengthOf(init.parts);
      return;
    }
    const list = parts === undefined ? [] : blobParts(parts);
    init = options(init, "The options");
    let endings = init.endings;
    if (endings !== undefined) {
      endings = domString(endings);
      if (endings !== "transparent" && endings !== "native") throw new TypeError(`"${endings}" is not a kind of line endings`);
    }
    this.#type = typeOf(init.type);
    this.#parts = collect(list, endings);
    this.#size = lengthOf(this.#parts);
  }

  get size() { return this.#size; }
  get type() { return this.#type; }

  slice(start = 0, end = undefined, contentType = "") {
    const size = this.#size;
    start = clampLongLong(start);
    end = end === undefined ? size : clampLongLong(end);
    start = start < 0 ? Math.max(size + start, 0) : Math.min(start, size);
    end = end < 0 ? Math.max(size + end, 0) : Math.min(end, size);
    const parts = [];
    let at = 0;
    for (const part of this.#parts) {
      const from = Math.max(start - at, 0);
      const to = Math.min(end - at, part.length);
      if (from < to) parts.push(part.subarray(from, to));
      at += part.length;
      if (at >= end) break;
    }
    return new Blob(INTERNAL, { parts, type: typeOf(contentType) });
  }

  stream() {
    const parts = this.#parts;
    // Loaded here: most blobs are never streamed.
    const { createByteReadable, wrap } = host.load("fazt:streams");
    let at = 0;
    return wrap(
      createByteReadable((c) => {
        if (at < parts.length) {
          const part = parts[at++];
          host.makeRoom(part.length);
          c.enqueue(part.slice());
        }
        if (at >= parts.length) {
          c.close();
          if (c.pending.length > 0) c.respond(0);
        }
        return Promise.resolve();
      }),
    );
  }

  async text() { return decodeUtf8(join(this.#parts)); }
  async arrayBuffer() { return join(this.#parts).buffer; }
  async bytes() { return join(this.#parts); }

  static {
    partsOf = (blob) => blob.#parts;
    isBlob = (value) => Object(value) === value && #parts in value;
  }
}
expose(Blob);
Object.defineProperty(Blob.prototype.slice, "length", { value: 0, configurable: true });

export class File extends Blob {
  #name;
  #lastModified;

  constructor(parts, name, init = undefined) {
    if (parts === INTERNAL) {
      super(INTERNAL, init);
      this.#name = name;
      this.#lastModified = init.lastModified;
      return;
    }
    need(arguments.length, 2, "File");
    super(blobParts(parts), init);
    this.#name = usvString(name);
    const modified = options(init, "The options").lastModified;
    this.#lastModified = modified === undefined ? Date.now() : Math.trunc(+modified) || 0;
  }

  get name() { return this.#name; }
  get lastModified() { return this.#lastModified; }
  get webkitRelativePath() {
    this.#name;
    return "";
  }

  static {
    fileOf = (value) => (Object(value) === value && #name in value ? value : null);
  }
}
expose(File);

export const isFile = (value) => fileOf(value) !== null;
export { isBlob, partsOf };

/** All bytes of a blob, at once, for the prelude. */
export const blobBytes = (blob) => join(partsOf(blob));

/** A blob over `bytes`, whose memory the caller gives up. */
export function blobOf(bytes, type) {
  return new Blob(INTERNAL, { parts: bytes.length > 0 ? [bytes] : [], type });
}

export function fileOfBytes(bytes, name, type) {
  return new File(INTERNAL, name, { parts: bytes.length > 0 ? [bytes] : [], type, lastModified: Date.now() });
}

/** A copy of a blob or file under another name, as FormData makes them. */
export function fileFromBlob(blob, name) {
  const lastModified = isFile(blob) ? blob.lastModified : Date.now();
  return new File(INTERNAL, name, { parts: partsOf(blob), type: blob.type, lastModified });
}

/** What structuredClone makes of a blob. */
cloners.push([
  isBlob,
  (blob) => {
    const init = { parts: partsOf(blob), type: blob.type };
    if (!isFile(blob)) return new Blob(INTERNAL, init);
    return new File(INTERNAL, blob.name, { ...init, lastModified: blob.lastModified });
  },
]);
