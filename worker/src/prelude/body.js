// Bodies of requests and responses. Text and bytes that are whole never become a stream unless `body` is asked for.
//
//   null          no body
//   string        text, to be sent as UTF-8
//   Uint8Array    bytes that nobody else holds
//   Held          everything else: a stream, a blob, bytes on their way, or a body that was used
import host from "fazt:native/host";
import link from "fazt:native/link";

export class Held {
  stream = null;
  blob = null;
  incoming = 0;
  expected = undefined; // bytes that an answer to a call must have
  used = false;
}

const { Promise: P, Uint8Array: U8, ArrayBuffer: AB, JSON: json } = globalThis;
const resolve = P.resolve.bind(P), reject = P.reject.bind(P);
const parse = json.parse;
export const streams = () => host.use("ReadableStream");

// ------------------------------------------------------------------------------- calls that wait for room

const queued = []; // calls that would be more than may be open at once

// Begins a call now, or when another has ended.
export function whenCallable(begin) {
  if (queued.length === 0 && link.callable()) begin();
  else queued.push(begin);
}

export function beginQueued() {
  while (queued.length !== 0 && link.callable()) queued.shift()();
}

// Forgets a call, or gives the rest of it up.
export function endCall(stream) {
  link.endCall(stream);
  if (queued.length !== 0) beginQueued();
}

// ------------------------------------------------------------------ bytes on their way from the kernel

const waiting = new Map(); // stream → {wake, error}

// Called by the link: bytes have arrived, the last one has, or they never will (`error`).
export function arrived(stream, error) {
  const entry = waiting.get(stream);
  if (entry === undefined) return;
  waiting.delete(stream);
  if (error === undefined) entry.wake();
  else entry.fail(error);
}

const aborted = new Map(); // stream → why
export function abortIncoming(stream, error) {
  aborted.set(stream, error);
  arrived(stream, error);
}
export function forgetIncoming(stream) {
  aborted.delete(stream);
}

function wait(stream) {
  if (aborted.has(stream)) return reject(aborted.get(stream));
  return new P((wake, fail) => waiting.set(stream, { wake, fail }));
}

async function collectLater(stream, text) {
  for (;;) {
    await wait(stream);
    const whole = link.collect(stream, text);
    if (whole !== undefined) return whole;
  }
}

// Everything that arrives on a stream, as text or an ArrayBuffer: a promise.
export function collect(stream, text) {
  const whole = link.collect(stream, text);
  if (whole !== undefined) return aborted.has(stream) ? reject(aborted.get(stream)) : resolve(whole);
  return collectLater(stream, text);
}

// What arrives on a stream as a public ReadableStream of bytes. `expected`: how many there must be.
export function incomingStream(stream, expected) {
  const { createByteReadable, wrap } = streams();
  let came = 0;
  return wrap(createByteReadable(
    (controller) => {
      const take = () => {
        const bytes = link.read(stream);
        if (bytes === undefined) return wait(stream).then(take);
        if (bytes === null) {
          if (aborted.has(stream)) throw aborted.get(stream);
          if (stream % 2 === 0) endCall(stream);
          if (expected !== undefined && came < expected) throw new TypeError("the bytes broke off before their end");
          controller.close();
          if (controller.pending?.length > 0) controller.respond(0);
        } else {
          came += bytes.byteLength;
          controller.enqueue(new U8(bytes));
        }
      };
      try { return resolve(take()); } catch (error) { return reject(error); }
    },
    () => { link.stop(stream); return resolve(); },
  ));
}

// ---------------------------------------------------------------------------------- making and reading

// A body and the content type that it implies: [body, type or null].
export function extract(init) {
  if (typeof init === "string") return [init, "text/plain;charset=UTF-8"];
  if (init === null || init === undefined) return [null, null];
  if (typeof init === "object") {
    if (init instanceof AB) return [new U8(init.slice(0)), null];
    if (AB.isView(init)) return [new U8(init.buffer, init.byteOffset, init.byteLength).slice(), null];
    const readable = host.peek("ReadableStream");
    if (readable !== undefined && init instanceof readable.ReadableStream) {
      if (readable.isDisturbed(init) || readable.isLocked(init)) throw new TypeError("the stream is locked or was read already");
      const held = new Held();
      held.stream = init;
      return [held, null];
    }
    const params = host.peek("URLSearchParams");
    if (params !== undefined && init instanceof params.URLSearchParams) {
      return [init.toString(), "application/x-www-form-urlencoded;charset=UTF-8"];
    }
    const blobs = host.peek("Blob");
    if (blobs !== undefined && init instanceof blobs.Blob) {
      const held = new Held();
      held.blob = init;
      return [held, init.type || null];
    }
    const forms = host.peek("FormData");
    if (forms !== undefined && init instanceof forms.FormData) {
      const { type, parts } = forms.serializeMultipart(init);
      const whole = new U8(parts.reduce((length, part) => length + part.byteLength, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.byteLength;
      }
      return [whole, type];
    }
    if (typeof init[Symbol.asyncIterator] === "function") {
      const held = new Held();
      held.stream = streams().ReadableStream.from(init);
      return [held, null];
    }
  }
  return [`${init}`, "text/plain;charset=UTF-8"];
}

export const USED = new Held();
USED.used = true;

export function isUsed(body) {
  if (!(body instanceof Held)) return false;
  return body.used || (body.stream !== null && streams().isDisturbed(body.stream));
}

export function isLocked(body) {
  return body instanceof Held && body.stream !== null && streams().isLocked(body.stream);
}

// The public stream of a body, made once: [body to keep, stream or null].
export function streamOf(body) {
  if (body === null) return [null, null];
  if (!(body instanceof Held)) {
    const held = new Held();
    const bytes = typeof body === "string" ? new U8(host.encode(body)) : body;
    held.stream = streams().fromBytes(bytes);
    return [held, held.stream];
  }
  if (body.stream === null) {
    if (body.blob !== null) body.stream = body.blob.stream();
    else if (body.incoming !== 0) body.stream = incomingStream(body.incoming, body.expected);
    else { // used before anybody asked
      body = new Held();
      body.stream = streams().fromBytes(new U8());
      streams().readableState(body.stream).disturbed = true;
    }
    if (body.used) streams().readableState(body.stream).disturbed = true;
  }
  return [body, body.stream];
}

// Two bodies of one.
export function split(body) {
  if (!(body instanceof Held)) return [body, body instanceof U8 ? body.slice() : body];
  if (body.blob !== null && body.stream === null) {
    const copy = new Held();
    copy.blob = body.blob;
    return [body, copy];
  }
  const [, stream] = streamOf(body);
  const [one, two] = streams().teeStream(stream);
  const first = new Held(), second = new Held();
  first.stream = one;
  second.stream = two;
  return [first, second];
}

// A promise of all of it, as text or as an ArrayBuffer that belongs to the caller.
export function consume(body, text) {
  if (body === null) return resolve(text ? "" : new AB(0));
  if (typeof body === "string") return resolve(text ? body.charCodeAt(0) === 0xfeff ? body.slice(1) : body : host.encode(body));
  if (body instanceof U8) return resolve(text ? host.decode(body) : body.buffer.byteLength === body.byteLength ? body.buffer : body.slice().buffer);
  body.used = true;
  if (body.stream === null) {
    if (body.incoming !== 0) return body.incoming % 2 === 1 ? collect(body.incoming, text) : collectAnswer(body, text);
    if (body.blob !== null) return text ? body.blob.text() : body.blob.arrayBuffer();
  }
  return streams().drain(body.stream).then((bytes) => text ? host.decode(bytes) : bytes.buffer.byteLength === bytes.byteLength ? bytes.buffer : bytes.slice().buffer);
}

async function collectAnswer({ incoming, expected }, text) {
  try {
    const bytes = await collect(incoming, false);
    if (expected !== undefined && bytes.byteLength !== expected) throw new TypeError("the bytes broke off before their end");
    return text ? host.decode(bytes) : bytes;
  } finally {
    endCall(incoming);
  }
}

// Gives `C` the members that Request and Response share.
export function mixBody(C, get, set, headersOf) {
  const take = (self, text) => {
    let body;
    try {
      body = get(self);
    } catch (error) {
      return reject(error);
    }
    if (isUsed(body) || isLocked(body)) return reject(new TypeError("the body has been read already"));
    if (body !== null && !(body instanceof Held)) set(self, USED);
    return consume(body, text);
  };
  const members = {
    get body() {
      const [body, stream] = streamOf(get(this));
      set(this, body);
      return stream;
    },
    get bodyUsed() { return isUsed(get(this)); },
    text() { return take(this, true); },
    json() { return take(this, true).then(parse1); },
    arrayBuffer() { return take(this, false); },
    bytes() { return take(this, false).then((buffer) => new U8(buffer)); },
    blob() {
      let type;
      return take(this, false).then((buffer) => {
        type = headersOf(this).get("content-type") ?? "";
        return new (host.use("Blob").Blob)([buffer], { type: type.toLowerCase() });
      });
    },
    formData() {
      return take(this, false).then((buffer) => parseForm(buffer, headersOf(this).get("content-type") ?? ""));
    },
  };
  for (const name of Object.keys(members)) {
    Object.defineProperty(C.prototype, name, { ...Object.getOwnPropertyDescriptor(members, name), enumerable: true });
  }
}

function parseForm(buffer, type) {
  const forms = host.use("FormData"), bytes = new U8(buffer), kind = type.split(";", 1)[0].trim().toLowerCase();
  if (kind === "application/x-www-form-urlencoded") {
    return forms.formFromPairs(host.use("URLSearchParams").parseFormBytes(bytes));
  }
  const boundary = kind === "multipart/form-data" ? forms.boundaryOf(type) : null;
  if (boundary === null) throw new TypeError(`a body of type "${type}" is not a form`);
  return forms.parseMultipart(bytes, boundary);
}

function parse1(text) {
  return JSON.parse(text);
}
