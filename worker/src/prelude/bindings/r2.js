// `env.BUCKET`: R2 over the blobs of the app's space. The binding's name stands before every key. Texts of errors
// and their numbers are those of R2.
import { bodyOf, mixBody, open, parsed, send } from "fazt:blobs";
import { ask, read } from "fazt:storage";
import { encodeUtf8 } from "fazt:encoding";
import { Headers } from "fazt:fetch";
import text from "fazt:native/buffer";
import { bytesOf, expose, usvString } from "fazt:webidl";

const SPACE = "app";
const KEY_BYTES_MAX = 1024, LIST_MAX = 1000, DELETE_MAX = 1000, PARTS_MAX = 10000;
const SUMS = { md5: 16, sha1: 20, sha256: 32, sha384: 48, sha512: 64 };
const FIELDS = [
  ["content-type", "contentType"], ["content-language", "contentLanguage"], ["content-disposition", "contentDisposition"],
  ["content-encoding", "contentEncoding"], ["cache-control", "cacheControl"],
];

const fail = (verb, why, number) => new Error(`${verb}: ${why} (${number})`);

// Errors of the kernel as R2 has them.
async function asked(verb, promise) {
  try {
    return await promise;
  } catch (error) {
    switch (error?.name) {
      case "NotFound": throw fail(verb, "The specified multipart upload does not exist.", 10024);
      case "Conflict": throw fail(verb, "One or more of the specified parts could not be found.", 10025);
      case "InvalidQuery":
        if (verb === "list") throw fail(verb, "The specified cursor is not valid.", 10001);
        break;
      case "TooLarge":
        if (verb === "completeMultipartUpload") throw fail(verb, "Your proposed upload is smaller than the minimum allowed object size.", 10011);
        break;
      case "InvalidArgument":
        if (verb === "completeMultipartUpload") throw fail(verb, "There was a problem with the multipart upload.", 10048);
        break;
    }
    throw error;
  }
}

function checkKey(verb, key) {
  key = usvString(key);
  if (encodeUtf8(key).length > KEY_BYTES_MAX || key === "") throw fail(verb, "The specified object name is not valid.", 10020);
  return key;
}

function httpOf(metadata) {
  if (metadata === undefined || metadata === null) return undefined;
  const http = {};
  if (metadata instanceof Headers) {
    for (const [field, name] of FIELDS) {
      const value = metadata.get(field);
      if (value !== null) http[name] = value;
    }
    const expires = metadata.get("expires");
    if (expires !== null) http.cacheExpiry = Date.parse(expires);
  } else {
    for (const [, name] of FIELDS) {
      if (metadata[name] !== undefined && metadata[name] !== null) http[name] = usvString(metadata[name]);
    }
    if (metadata.cacheExpiry !== undefined && metadata.cacheExpiry !== null) http.cacheExpiry = new Date(metadata.cacheExpiry).getTime();
  }
  return JSON.stringify(http);
}

function customOf(metadata) {
  if (metadata === undefined || metadata === null) return undefined;
  const kept = {};
  for (const name of Object.keys(metadata)) kept[name] = usvString(metadata[name]);
  return JSON.stringify(kept);
}

// ---------------------------------------------------------------------------------------------- conditions

function bareEtag(etag) {
  etag = usvString(etag);
  if (etag.startsWith('"') && etag.endsWith('"') && etag.length > 1) {
    throw new TypeError(`Conditional ETag should not be wrapped in quotes (${etag}).`);
  }
  return etag;
}

function etagsOf(field, strong) {
  if (field === null) return undefined;
  if (field.trim() === "*") return ["*"];
  const etags = [];
  for (const [, weak, etag] of field.matchAll(/(W\/)?"([^"]*)"/g)) if (!strong || weak === undefined) etags.push(etag);
  return etags;
}

function conditionsOf(onlyIf) {
  if (onlyIf === undefined || onlyIf === null) return undefined;
  const time = (value) => {
    if (value === undefined || value === null) return undefined;
    const ms = new Date(value).getTime();
    return Number.isNaN(ms) ? undefined : Math.max(0, ms);
  };
  if (onlyIf instanceof Headers) {
    return {
      matches: etagsOf(onlyIf.get("if-match"), true),
      differs: etagsOf(onlyIf.get("if-none-match"), false),
      before: time(onlyIf.get("if-unmodified-since")),
      after: time(onlyIf.get("if-modified-since")),
      seconds: true,
    };
  }
  const list = (etags) => etags === undefined || etags === null ? undefined : (Array.isArray(etags) ? etags : [etags]).map(bareEtag);
  return {
    matches: list(onlyIf.etagMatches),
    differs: list(onlyIf.etagDoesNotMatch),
    before: time(onlyIf.uploadedBefore),
    after: time(onlyIf.uploadedAfter),
    seconds: Boolean(onlyIf.secondsGranularity),
  };
}

function rangeOf(range) {
  if (range === undefined || range === null) return undefined;
  if (range instanceof Headers) {
    const field = range.get("range");
    const found = field === null ? null : /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(field);
    // What is no single range is none.
    if (found === null || (found[1] === "" && found[2] === "")) return undefined;
    if (found[1] === "") return { suffix: Number(found[2]) };
    const offset = Number(found[1]);
    if (found[2] === "") return { offset };
    return Number(found[2]) < offset ? undefined : { offset, length: Number(found[2]) - offset + 1 };
  }
  const { offset, length, suffix } = range;
  for (const [name, value] of [["Starting offset", offset], ["Length", length], ["Suffix", suffix]]) {
    if (value < 0) throw new RangeError(`Invalid range. ${name} (${value}) must be greater than or equal to 0.`);
  }
  if (suffix !== undefined && suffix !== null) {
    if (offset !== undefined && offset !== null) throw new TypeError("Suffix is incompatible with offset.");
    if (length !== undefined && length !== null) throw new TypeError("Suffix is incompatible with length.");
    return { suffix: Number(suffix) };
  }
  return { offset: offset ?? undefined, length: length ?? undefined };
}

// ------------------------------------------------------------------------------------------------- objects

class Checksums {
  constructor(sums) {
    for (const name of Object.keys(SUMS)) {
      if (sums?.[name] !== undefined) this[name] = text.fromText(sums[name], "hex");
    }
  }
  toJSON() {
    const all = {};
    for (const name of Object.keys(SUMS)) if (this[name] !== undefined) all[name] = text.toText(new Uint8Array(this[name]), "hex");
    return all;
  }
}

function fill(object, head, prefix, range) {
  const http = parsed(head.http) ?? {};
  if (http.cacheExpiry !== undefined) http.cacheExpiry = new Date(http.cacheExpiry);
  object.key = head.key.slice(prefix.length);
  object.version = head.version;
  object.size = head.size;
  object.etag = head.etag;
  object.httpEtag = `"${head.etag}"`;
  object.checksums = new Checksums(parsed(head.sums));
  object.uploaded = new Date(head.uploaded);
  object.httpMetadata = http;
  object.customMetadata = parsed(head.meta) ?? {};
  if (range !== undefined) object.range = range;
  object.storageClass = "Standard";
}

function writeHttp(object, headers) {
  for (const [field, name] of FIELDS) {
    if (object.httpMetadata[name] !== undefined) headers.set(field, object.httpMetadata[name]);
  }
  const { cacheExpiry } = object.httpMetadata;
  if (cacheExpiry !== undefined) headers.set("expires", cacheExpiry.toUTCString());
}

const whole = ({ size }) => ({ offset: 0, length: size });

export class HeadResult {
  constructor(head, prefix, range) { fill(this, head, prefix, range); }
  writeHttpMetadata(headers) { writeHttp(this, headers); }
}

export class GetResult {
  #body;
  constructor(found, prefix, body) {
    fill(this, found.head, prefix, { offset: found.offset, length: found.length });
    this.#body = body;
  }
  writeHttpMetadata(headers) { writeHttp(this, headers); }
  static {
    mixBody(this, (self) => self.#body, (self, body) => { self.#body = body; }, (self) => ({ get: () => self.httpMetadata.contentType ?? null }));
  }
}
delete GetResult.prototype.formData;

export class R2MultipartUpload {
  #prefix;
  #id;
  constructor(prefix, key, id) {
    this.#prefix = prefix;
    this.#id = id;
    this.key = key;
    this.uploadId = id;
  }

  async uploadPart(partNumber, value) {
    const number = Number(partNumber);
    if (!Number.isInteger(number) || number < 1 || number > PARTS_MAX) {
      throw new TypeError(`Part number must be between 1 and ${PARTS_MAX} (inclusive). Actual value was: ${partNumber}`);
    }
    const etag = await asked("uploadPart", send("uploads.part", [SPACE, this.#prefix + this.key, this.#id, number], bodyOf(value)[0]));
    return { partNumber: number, etag };
  }

  async abort() {
    await asked("abortMultipartUpload", ask("uploads.abort", [SPACE, this.#prefix + this.key, this.#id]));
  }

  async complete(parts) {
    const named = [];
    for (const { partNumber, etag } of parts) named.push([Number(partNumber), usvString(etag)]);
    const info = await asked("completeMultipartUpload", ask("uploads.complete", [SPACE, this.#prefix + this.key, this.#id, named]));
    return new HeadResult(info, this.#prefix);
  }
}

export class R2Bucket {
  #prefix;
  constructor(name) {
    this.#prefix = `${name}/`;
  }

  async head(key) {
    const info = await asked("head", ask("blobs.head", [SPACE, this.#prefix + checkKey("head", key)]));
    return info === null ? null : new HeadResult(info, this.#prefix, whole(info));
  }

  async get(key, options) {
    key = checkKey("get", key);
    const { range, onlyIf } = options ?? {};
    const wanted = rangeOf(range), conditions = conditionsOf(onlyIf);
    let opened;
    try {
      opened = await open(SPACE, this.#prefix + key, wanted, conditions);
    } catch (error) {
      if (error?.name !== "InvalidQuery" || wanted === undefined) throw error;
      // A header field that asks for what is not there asks for nothing in particular.
      if (!(range instanceof Headers)) throw fail("get", "The requested range is not satisfiable", 10039);
      opened = await open(SPACE, this.#prefix + key, undefined, conditions);
    }
    const [found, body] = opened;
    if (found === null) return null;
    return body === null ? new HeadResult(found.head, this.#prefix, whole(found.head)) : new GetResult(found, this.#prefix, body);
  }

  async put(key, value, options) {
    key = checkKey("put", key);
    const { onlyIf, httpMetadata, customMetadata } = options ?? {};
    let expect;
    for (const name of Object.keys(SUMS)) {
      const sum = options?.[name];
      if (sum === undefined || sum === null) continue;
      if (expect !== undefined) throw new TypeError("You cannot specify multiple hashing algorithms.");
      const bytes = typeof sum === "object" ? bytesOf(sum) : null;
      const hex = bytes !== null ? text.toText(bytes, "hex") : usvString(sum).toLowerCase();
      if (hex.length !== 2 * SUMS[name] || /[^0-9a-f]/.test(hex)) {
        throw new TypeError(`Provided ${name === "md5" ? "MD5" : name.toUpperCase().replace("SHA", "SHA-")} wasn't ${2 * SUMS[name]} hex characters.`);
      }
      expect = [name, hex];
    }
    const settings = { http: httpOf(httpMetadata), meta: customOf(customMetadata), onlyIf: conditionsOf(onlyIf), expect };
    let body, info;
    try {
      [body] = bodyOf(value);
    } catch (error) {
      if (typeof value === "object") throw error;
      throw new TypeError("Failed to execute 'put' on 'R2Bucket': parameter 2 is not of type 'JsReadableStream or ArrayBuffer or ArrayBufferView or string or Blob'.");
    }
    try {
      info = await send("blobs.put", [SPACE, this.#prefix + key, [], settings], body);
    } catch (error) {
      if (error?.name !== "InvalidQuery" || expect === undefined) throw error;
      const [name, hex] = expect, what = name === "md5" ? "MD5" : name.toUpperCase().replace("SHA", "SHA-");
      const actual = / is ([0-9a-f]+),/.exec(error.message)?.[1];
      throw fail("put", `The ${what} checksum you specified did not match what we received.\nYou provided a ${what} checksum with value: ${hex}\nActual ${what} was: ${actual}`, 10037);
    }
    return info === null ? null : new HeadResult(info, this.#prefix);
  }

  async delete(keys) {
    const list = Array.isArray(keys) ? keys : [keys];
    if (list.length > DELETE_MAX) throw fail("delete", `Too many keys: at most ${DELETE_MAX}.`, 10001);
    const named = list.map((key) => this.#prefix + checkKey("delete", key));
    if (named.length > 0) await asked("delete", ask("blobs.delete", [SPACE, named]));
  }

  async list(options) {
    const { limit, prefix, cursor, delimiter, startAfter, include } = options ?? {};
    const most = limit === undefined || limit === null ? LIST_MAX : Number(limit);
    if (!Number.isInteger(most) || most < 1 || most > LIST_MAX) {
      throw fail("list", `MaxKeys params must be positive integer <= ${LIST_MAX}.`, 10022);
    }
    const start = prefix === undefined || prefix === null ? "" : usvString(prefix);
    const after = startAfter === undefined || startAfter === null ? undefined : this.#prefix + usvString(startAfter);
    const fold = delimiter === undefined || delimiter === null ? undefined : usvString(delimiter);
    const [next, json] = await asked("list", read("blobs.list", [SPACE, this.#prefix + start, fold, after, most, cursor ?? undefined]));
    const { items, prefixes } = JSON.parse(json);
    const wants = (what) => Array.isArray(include) && include.includes(what);
    const objects = items.map((item) => {
      if (!wants("httpMetadata")) item.http = null;
      if (!wants("customMetadata")) item.meta = null;
      return new HeadResult(item, this.#prefix);
    });
    const found = { objects, truncated: next !== null, delimitedPrefixes: prefixes.map((one) => one.slice(this.#prefix.length)) };
    if (next !== null) found.cursor = next;
    return found;
  }

  async createMultipartUpload(key, options) {
    key = checkKey("createMultipartUpload", key);
    const { httpMetadata, customMetadata } = options ?? {};
    const settings = { http: httpOf(httpMetadata), meta: customOf(customMetadata) };
    const id = await asked("createMultipartUpload", ask("uploads.begin", [SPACE, this.#prefix + key, settings]));
    return new R2MultipartUpload(this.#prefix, key, id);
  }

  resumeMultipartUpload(key, uploadId) {
    return new R2MultipartUpload(this.#prefix, checkKey("resumeMultipartUpload", key), usvString(uploadId));
  }
}
expose(R2Bucket, R2MultipartUpload, HeadResult, GetResult);

export const make = (name) => new R2Bucket(name);
