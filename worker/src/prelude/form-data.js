// FormData, and its two wire forms: multipart/form-data and application/x-www-form-urlencoded.

import { expose, need, pairIterable, usvString } from "fazt:webidl";
import { fileFromBlob, fileOfBytes, isBlob, isFile, partsOf } from "fazt:blob";
import { decodeUtf8, encodeUtf8 } from "fazt:encoding";

let entriesOf;

function entry(name, value, filename) {
  name = usvString(name);
  if (!isBlob(value)) return [name, usvString(value)];
  if (filename !== undefined) return [name, fileFromBlob(value, usvString(filename))];
  return [name, isFile(value) ? value : fileFromBlob(value, "blob")];
}

function blobArgument(value, given, what) {
  if (given > 2 && !isBlob(value)) throw new TypeError(`${what}: a file name needs a Blob`);
}

export class FormData {
  #entries = [];

  constructor(form = undefined) {
    if (form !== undefined) throw new TypeError("FormData: there are no form elements here");
  }

  append(name, value, filename = undefined) {
    const list = this.#entries;
    need(arguments.length, 2, "append");
    blobArgument(value, arguments.length, "append");
    list.push(entry(name, value, filename));
  }

  delete(name) {
    need(arguments.length, 1, "delete");
    name = usvString(name);
    this.#entries = this.#entries.filter((e) => e[0] !== name);
  }

  get(name) {
    need(arguments.length, 1, "get");
    name = usvString(name);
    return this.#entries.find((e) => e[0] === name)?.[1] ?? null;
  }

  getAll(name) {
    need(arguments.length, 1, "getAll");
    name = usvString(name);
    return this.#entries.filter((e) => e[0] === name).map((e) => e[1]);
  }

  has(name) {
    need(arguments.length, 1, "has");
    name = usvString(name);
    return this.#entries.some((e) => e[0] === name);
  }

  set(name, value, filename = undefined) {
    const list = this.#entries;
    need(arguments.length, 2, "set");
    blobArgument(value, arguments.length, "set");
    const fresh = entry(name, value, filename);
    const at = list.findIndex((e) => e[0] === fresh[0]);
    if (at < 0) return void list.push(fresh);
    this.#entries = list.filter((e, i) => i <= at || e[0] !== fresh[0]);
    this.#entries[at] = fresh;
  }

  static {
    entriesOf = (form) => form.#entries;
  }
}
for (const key of ["append", "set"]) {
  Object.defineProperty(FormData.prototype[key], "length", { value: 2, configurable: true });
}
Object.defineProperty(FormData, "length", { value: 0, configurable: true });
expose(FormData);
pairIterable(FormData, "FormData", entriesOf, (form, i) => entriesOf(form)[i]);

export const isFormData = (value) => {
  try {
    entriesOf(value);
    return true;
  } catch {
    return false;
  }
};

// -- writing --

function quote(name) {
  return name.replace(/\r/g, "%0D").replace(/\n/g, "%0A").replace(/"/g, "%22");
}

/** A form as multipart: { type, parts }, the Content-Type with its boundary and a list of byte arrays. */
export function serializeMultipart(form) {
  let boundary = "----fazt-form-";
  for (let i = 0; i < 24; i++) boundary += Math.floor(Math.random() * 36).toString(36);
  const parts = [];
  for (const [name, value] of entriesOf(form)) {
    const safe = quote(name.replace(/\r\n?|\n/g, "\r\n"));
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${safe}"`;
    if (typeof value === "string") {
      parts.push(encodeUtf8(`${head}\r\n\r\n${value.replace(/\r\n?|\n/g, "\r\n")}\r\n`));
    } else {
      const type = value.type || "application/octet-stream";
      parts.push(encodeUtf8(`${head}; filename="${quote(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
      parts.push(...partsOf(value), encodeUtf8("\r\n"));
    }
  }
  parts.push(encodeUtf8(`--${boundary}--\r\n`));
  return { type: `multipart/form-data; boundary=${boundary}`, parts };
}

// -- reading --

/** A form from the pairs of an urlencoded body (names and values in turn). */
export function formFromPairs(list) {
  const form = new FormData();
  const entries = entriesOf(form);
  for (let i = 0; i < list.length; i += 2) entries.push([list[i], list[i + 1]]);
  return form;
}

function find(bytes, needle, from) {
  const first = needle[0];
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    let i = 1;
    while (i < needle.length && bytes[at + i] === needle[i]) i++;
    if (i === needle.length) return at;
  }
  return -1;
}

function unquote(text) {
  return text.replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, '"');
}

/** The parameter `key` of a header value such as Content-Disposition. */
function parameter(header, key) {
  const match = new RegExp(`;\\s*${key}\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^;\\s]*))`, "i").exec(header);
  if (match === null) return null;
  return match[1] === undefined ? match[2] : match[1].replace(/\\(["\\])/g, "$1");
}

/** The boundary in a multipart Content-Type, or null. */
export function boundaryOf(contentType) {
  return parameter(contentType, "boundary");
}

/** A form from a multipart body; throws a TypeError on what is not one. */
export function parseMultipart(bytes, boundary) {
  const bad = (why) => new TypeError(`The body is not valid multipart/form-data: ${why}`);
  const form = new FormData();
  const entries = entriesOf(form);
  const delimiter = encodeUtf8(`--${boundary}`);
  const CRLF = encodeUtf8("\r\n");
  const BLANK = encodeUtf8("\r\n\r\n");
  const next = encodeUtf8(`\r\n--${boundary}`);
  let at = 0;
  while (bytes[at] === 13 && bytes[at + 1] === 10) at += 2;
  if (find(bytes.subarray(at, at + delimiter.length), delimiter, 0) !== 0) throw bad("it does not start with the boundary");
  at += delimiter.length;
  for (;;) {
    if (bytes[at] === 0x2d && bytes[at + 1] === 0x2d) return form;
    if (find(bytes.subarray(at, at + 2), CRLF, 0) !== 0) throw bad("the boundary's line goes on");
    at += 2;
    let headers;
    if (bytes[at] === 13 && bytes[at + 1] === 10) {
      headers = "";
      at += 2;
    } else {
      const end = find(bytes, BLANK, at);
      if (end < 0) throw bad("a part has no end of headers");
      headers = decodeUtf8(bytes.subarray(at, end));
      at = end + 4;
    }
    let name = null, filename = null, type = "text/plain";
    for (const line of headers.split("\r\n")) {
      const colon = line.indexOf(":");
      if (colon < 0) {
        if (line === "") continue;
        throw bad("a header has no colon");
      }
      const key = line.slice(0, colon).trim().toLowerCase();
      const value = line.slice(colon + 1).trim();
      if (key === "content-disposition") {
        if (!/^form-data\b/i.test(value)) throw bad("a part is not form data");
        name = parameter(value, "name");
        filename = parameter(value, "filename");
      } else if (key === "content-type") {
        type = value;
      }
    }
    if (name === null) throw bad("a part has no name");
    const end = find(bytes, next, at);
    if (end < 0) throw bad("the last boundary is missing");
    const body = bytes.slice(at, end);
    at = end + next.length;
    name = unquote(name);
    if (filename === null) entries.push([name, decodeUtf8(body)]);
    else entries.push([name, fileOfBytes(body, unquote(filename), type)]);
  }
}

