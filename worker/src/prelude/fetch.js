// Request, Response and fetch.
import host from "fazt:native/host";
import link from "fazt:native/link";
import { Headers, fix, fromList, fromWire, isHeaders, listOf, toWire } from "fazt:headers";
import {
  Held, USED, abortIncoming, beginQueued, collect, endCall, extract, isLocked, isUsed, mixBody, split, streamOf, whenCallable,
} from "fazt:body";

export { Headers };

const INTERNAL = Symbol("internal");
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NULL_BODY = new Set([101, 103, 204, 205, 304]);
// Fields of most responses, and what they are on the wire. Nobody changes these lists.
const NONE = [];
const TEXT = ["content-type", "text/plain;charset=UTF-8"];
const JSON_TYPE = ["content-type", "application/json"];
const TEXT_WIRE = toWire(TEXT), JSON_WIRE = toWire(JSON_TYPE);
const { isArray } = Array;

// ------------------------------------------------------------------------------------------- Request

export class Request {
  // Few, because the engine pays for each of them in every request.
  #method = "GET";
  #url;
  #headers = ""; // text as it came over the wire, until the first touch
  #body = null;
  #stream = 0;
  #rare = null; // signal, redirect, cache and the other members that nobody sets

  constructor(input, init, method, head, hasBody, stream) {
    if (input === INTERNAL) { // from the wire
      this.#url = init;
      this.#method = method;
      this.#headers = head;
      this.#stream = stream;
      if (hasBody) {
        this.#body = new Held();
        this.#body.incoming = stream;
      }
      return;
    }
    // Not by `arguments`, which would be made for every request from the wire too.
    if (input === undefined) throw new TypeError("Request takes a URL");
    let signal = null, from = null;
    if (typeof input === "object" && input !== null && #url in input) {
      from = input;
      this.#url = from.#url;
      this.#method = from.#method;
      this.#rare = withoutSignal(from.#rare);
      this.#headers = fromList(listOf(from.headers).slice());
      signal = from.#rare?.signal ?? (from.#stream ? from.signal : null);
    } else {
      this.#url = parseUrl(`${input}`);
      this.#headers = new Headers();
    }
    if (init === undefined || init === null) init = {};
    else if (typeof init !== "object" && typeof init !== "function") throw new TypeError("Request: the second argument is not an object");
    if (init.method !== undefined) this.#method = methodOf(init.method);
    if (init.headers !== undefined) this.#headers = new Headers(init.headers);
    if (init.signal !== undefined) signal = init.signal;
    if (signal !== null) {
      const { AbortSignal } = host.use("AbortSignal");
      if (!(signal instanceof AbortSignal)) throw new TypeError("Request: signal is not an AbortSignal");
      this.#rare = { ...this.#rare, signal: AbortSignal.any([signal]) };
    }
    for (const name of ["redirect", "cache", "credentials", "mode", "referrer", "referrerPolicy", "integrity", "keepalive", "duplex"]) {
      if (init[name] !== undefined) this.#rare = { ...this.#rare, [name]: name === "keepalive" ? Boolean(init[name]) : `${init[name]}` };
    }
    if (init.redirect !== undefined && !["follow", "error", "manual"].includes(`${init.redirect}`)) {
      throw new TypeError(`Request: "${init.redirect}" is not a redirect mode`);
    }
    const replaces = init.body !== undefined && init.body !== null;
    if ((replaces || (from !== null && from.#body !== null)) && (this.#method === "GET" || this.#method === "HEAD")) {
      throw new TypeError(`a ${this.#method} request cannot have a body`);
    }
    if (replaces) {
      const [body, type] = extract(init.body);
      this.#body = body;
      if (type !== null && !this.#headers.has("content-type")) this.#headers.append("content-type", type);
    } else if (from !== null && from.#body !== null) {
      if (isUsed(from.#body) || isLocked(from.#body)) throw new TypeError("the request's body has been read already");
      this.#body = from.#body;
      if (this.#body instanceof Held) {
        const moved = new Held();
        Object.assign(moved, this.#body);
        this.#body = moved;
      }
      from.#body = USED;
    }
  }

  get method() { return this.#method; }
  get url() { return this.#url; }
  get headers() {
    const headers = this.#headers;
    return typeof headers === "string" ? (this.#headers = fromWire(headers)) : headers;
  }
  get signal() {
    let signal = this.#rare?.signal ?? null;
    if (signal !== null) return signal;
    signal = host.use("AbortSignal").createSignal();
    this.#rare = { ...this.#rare, signal };
    if (this.#stream !== 0) signals.set(this.#stream, signal);
    return signal;
  }
  // What Cloudflare's network knows of the client: here it is nothing, and an object all the same, as on Workers.
  get cf() {
    if (this.#stream !== 0 && this.#rare?.cf === undefined) this.#rare = { ...this.#rare, cf: {} };
    return this.#rare?.cf;
  }
  get redirect() { return this.#rare?.redirect ?? "follow"; }
  get cache() { return this.#rare?.cache ?? "default"; }
  get credentials() { return this.#rare?.credentials ?? "same-origin"; }
  get mode() { return this.#rare?.mode ?? "cors"; }
  get destination() { this.#url; return ""; }
  get referrer() { return this.#rare?.referrer ?? "about:client"; }
  get referrerPolicy() { return this.#rare?.referrerPolicy ?? ""; }
  get integrity() { return this.#rare?.integrity ?? ""; }
  get keepalive() { return this.#rare?.keepalive ?? false; }
  get duplex() { this.#url; return "half"; }
  get isReloadNavigation() { this.#url; return false; }
  get isHistoryNavigation() { this.#url; return false; }

  clone() {
    if (isUsed(this.#body) || isLocked(this.#body)) throw new TypeError("the body has been read already");
    const copy = new Request(INTERNAL, this.#url, this.#method, "", false, 0);
    copy.#headers = fromList(listOf(this.headers).slice());
    copy.#rare = withoutSignal(this.#rare);
    if ((this.#rare?.signal ?? null) !== null || this.#stream !== 0) {
      copy.#rare = { ...copy.#rare, signal: host.use("AbortSignal").AbortSignal.any([this.signal]) };
    }
    [this.#body, copy.#body] = split(this.#body);
    return copy;
  }

  static {
    mixBody(this, (self) => self.#body, (self, body) => { self.#body = body; }, (self) => self.headers);
    partsOf = (request) => ({ method: request.#method, url: request.#url, headers: request.headers, body: request.#body, signal: request.#rare?.signal ?? null });
    useBody = (request) => { const body = request.#body; if (body !== null) request.#body = USED; return body; };
  }
}
export var partsOf;
var useBody;

function withoutSignal(rare) {
  return rare === null ? null : { ...rare, signal: null };
}

// Signals of requests from the wire that somebody has looked at.
const signals = new Map();

export function incomingRequest(stream, method, url, head, hasBody) {
  return new Request(INTERNAL, url, method, head, hasBody, stream);
}

// The client of a request is gone, or the rest of an answer will never come.
export function abortRequest(stream) {
  if (stream % 2 === 0) {
    abortIncoming(stream, new TypeError("the body broke off before its end"));
    senders.get(stream)?.(new TypeError("the answer has ended"));
    endCall(stream);
    return;
  }
  const reason = new (host.use("DOMException").DOMException)("the client is gone", "AbortError");
  abortIncoming(stream, reason);
  const signal = signals.get(stream);
  if (signal !== undefined) host.use("AbortSignal").abortSignal(signal, reason);
  senders.get(stream)?.(reason);
}

export function forgetRequest(stream) {
  if (signals.size !== 0) signals.delete(stream);
}

function methodOf(method) {
  method = `${method}`;
  if (!TOKEN.test(method)) throw new TypeError(`"${method}" is not a valid method`);
  const upper = method.toUpperCase();
  if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") throw new TypeError(`the method ${upper} is not allowed`);
  return ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"].includes(upper) ? upper : method;
}

function parseUrl(text) {
  const { URL } = host.use("URL");
  let url;
  try { url = new URL(text); } catch { throw new TypeError(`"${text}" is not an absolute URL`); }
  if (url.username !== "" || url.password !== "") throw new TypeError("the URL of a request holds credentials");
  return url.href;
}

// ------------------------------------------------------------------------------------------ Response

export class Response {
  // Few, because the engine pays for each of them in every response.
  #status = 200;
  #headers = NONE; // a list, which others may hold too, until the first touch
  #body = null;
  #rare = null; // statusText, type, url, webSocket: what few responses have

  constructor(body, init) {
    if (init === undefined) { // the common case, at its cheapest
      if (typeof body === "string") {
        this.#body = body;
        this.#headers = TEXT;
        return;
      }
      if (body === undefined || body === null) return;
    }
    if (init !== undefined && init !== null) {
      const { status, statusText, headers, webSocket } = init;
      if (webSocket !== undefined && webSocket !== null) this.#rare = { webSocket };
      if (status !== undefined) {
        const code = Number(status) & 0xffff;
        if (!(code >= 200 && code <= 599) && !(code === 101 && this.#rare !== null)) {
          throw new RangeError(`the status of a response is a number from 200 to 599, not ${status}`);
        }
        this.#status = code;
      }
      if (statusText !== undefined) {
        const text = `${statusText}`;
        if (/[^\t\x20-\x7e\x80-\xff]/.test(text)) throw new TypeError("statusText holds a character that is not allowed");
        this.#rare = { ...this.#rare, statusText: text };
      }
      if (headers !== undefined) {
        this.#headers = isHeaders(headers) ? listOf(headers).slice() : new Headers(headers);
      }
    }
    if (typeof body === "string") {
      this.#body = body;
      this.#implied("text/plain;charset=UTF-8");
    } else {
      const [extracted, type] = extract(body);
      this.#body = extracted;
      if (type !== null) this.#implied(type);
    }
    if (this.#body !== null && NULL_BODY.has(this.#status)) throw new TypeError(`a response with status ${this.#status} cannot have a body`);
  }

  #implied(type) {
    const headers = this.#headers, list = isArray(headers) ? headers : listOf(headers);
    for (let i = 0; i < list.length; i += 2) if (list[i] === "content-type") return;
    if (list !== headers) headers.append("content-type", type);
    else this.#headers = [...list, "content-type", type];
  }

  get status() { return this.#status; }
  get ok() { return this.#status >= 200 && this.#status <= 299; }
  get statusText() { return this.#rare?.statusText ?? ""; }
  get headers() {
    const headers = this.#headers;
    return isArray(headers) ? (this.#headers = fromList(headers.slice())) : headers;
  }
  get type() { return this.#rare?.type ?? "default"; }
  get url() { return this.#rare?.url ?? ""; }
  get redirected() { return this.#rare?.redirected ?? false; }
  get webSocket() { return this.#rare?.webSocket ?? null; }

  clone() {
    if (isUsed(this.#body) || isLocked(this.#body)) throw new TypeError("the body has been read already");
    const copy = new Response();
    copy.#status = this.#status;
    copy.#headers = (isArray(this.#headers) ? this.#headers : listOf(this.#headers)).slice();
    copy.#rare = this.#rare === null ? null : { ...this.#rare, webSocket: null };
    [this.#body, copy.#body] = split(this.#body);
    return copy;
  }

  static error() {
    const response = new Response();
    response.#rare = { type: "error" };
    response.#status = 0;
    response.#headers = fix(new Headers());
    return response;
  }

  static redirect(url, status = 302) {
    const { URL } = host.use("URL");
    let location;
    try { location = new URL(`${url}`).href; } catch {
      // Workers and their frameworks redirect to paths, which a browser resolves.
      location = `${url}`;
      if (!location.startsWith("/")) throw new TypeError(`"${url}" is not a URL`);
    }
    status = Number(status) & 0xffff;
    if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`${status} is not a status of a redirect`);
    const response = new Response(null, { status, headers: [["location", location]] });
    return response;
  }

  static json(data, init) {
    const text = JSON.stringify(data);
    if (text === undefined) throw new TypeError("the value has no form in JSON");
    if (init === undefined) {
      const response = new Response();
      response.#body = text;
      response.#headers = JSON_TYPE;
      return response;
    }
    const response = new Response(null, init);
    if (NULL_BODY.has(response.#status)) throw new TypeError(`a response with status ${response.#status} cannot have a body`);
    response.#body = text;
    response.#implied("application/json");
    return response;
  }

  static {
    mixBody(this, (self) => self.#body, (self, body) => { self.#body = body; }, (self) => self.headers);
    isResponse = (value) => typeof value === "object" && value !== null && #status in value;
    received = (status, url, redirected, fields, body) => {
      const response = new Response();
      response.#status = status;
      response.#rare = { url, redirected };
      response.#headers = fix(fromList(fields));
      response.#body = body;
      return response;
    };
    // Sends a response. Null: it is complete; else a promise of its end.
    sendResponse = (response, stream, settled) => {
      const body = response.#body, headers = response.#headers;
      const fields = headers === JSON_TYPE ? JSON_WIRE : headers === TEXT ? TEXT_WIRE : toWire(isArray(headers) ? headers : listOf(headers));
      if (response.#status < 200) {
        throw new TypeError(response.#rare?.type === "error" ? "the handler returned Response.error()" : `status ${response.#status} cannot be sent`);
      }
      if (body === null || !(body instanceof Held)) {
        if (body !== null) response.#body = USED;
        link.respond(stream, response.#status, fields, body, settled);
        return null;
      }
      if (isUsed(body) || isLocked(body)) throw new TypeError("the body of the returned response has been read already");
      const [held, readable] = streamOf(body);
      response.#body = held;
      link.startResponse(stream, response.#status, fields);
      return pump(stream, readable);
    };
  }
}
export var isResponse, sendResponse;
var received;

for (const C of [Request, Response]) {
  for (const name of Object.getOwnPropertyNames(C.prototype)) {
    if (name !== "constructor") Object.defineProperty(C.prototype, name, { enumerable: true });
  }
  Object.defineProperty(C.prototype, Symbol.toStringTag, { value: C.name, configurable: true });
}
for (const name of ["error", "redirect", "json"]) Object.defineProperty(Response, name, { enumerable: true });

// ---------------------------------------------------------------------------------- streamed responses

const drains = new Map(); // stream → called when there is credit again
const senders = new Map(); // stream → called when the client is gone

export function drained(stream) {
  const go = drains.get(stream);
  if (go !== undefined) {
    drains.delete(stream);
    go();
  }
  // The end of a call that was given up comes here too.
  beginQueued();
}

async function pump(stream, readable) {
  const reader = readable.getReader();
  senders.set(stream, (reason) => {
    reader.cancel(reason).catch(() => {});
    drained(stream);
  });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const chunk = typeof value === "string" ? new Uint8Array(host.encode(value)) : value;
      if (!(chunk instanceof Uint8Array)) {
        const error = new TypeError("a chunk of the response's stream is not a Uint8Array");
        reader.cancel(error).catch(() => {});
        throw error;
      }
      const state = link.send(stream, chunk, false);
      if (state < 0) {
        await reader.cancel(new Error("the client is gone")).catch(() => {});
        return;
      }
      if (state === 0) await new Promise((go) => drains.set(stream, go));
    }
    if (link.send(stream, undefined, true) === 0) await new Promise((go) => drains.set(stream, go));
  } finally {
    senders.delete(stream);
    drains.delete(stream);
  }
}

// --------------------------------------------------------------------------------------------- calls

const calls = new Map(); // stream → {resolve, reject}

// Called by the link with the answer to a call.
export function answered(stream, ok, value) {
  const call = calls.get(stream);
  if (call === undefined) return;
  calls.delete(stream);
  if (ok) return call.resolve(value);
  const error = new Error(value.message);
  Object.defineProperty(error, "name", { value: value.code, configurable: true, writable: true });
  if (value.permission !== "") error.permission = value.permission;
  call.reject(error);
  // Whoever sends bytes after it need not go on.
  drained(stream);
}

// Opens a call for the request on whose behalf it is made, now or when there is room; `sent` gets its stream.
function begin(number, args, withBody, reject, sent) {
  const owner = link.owner();
  whenCallable(() => {
    try {
      sent(link.call(number, args, withBody, owner));
    } catch (error) {
      reject(error);
    }
  });
}

// A system call: a promise of [stream, reply]. The stream is open while its bytes are read.
export function call(number, args, withBody = false, opened = undefined) {
  return new Promise((resolve, reject) => begin(number, args, withBody, reject, (stream) => {
    calls.set(stream, { resolve: (value) => resolve([stream, value]), reject: (error) => { endCall(stream); reject(error); } });
    opened?.(stream);
  }));
}

// A system call whose answer is `make(reply)`: a promise. `args` makes the arguments.
export function ask(number, args, make) {
  return new Promise((resolve, reject) => begin(number, args(), false, reject, (stream) => {
    const fail = (error) => { endCall(stream); reject(error); };
    calls.set(stream, { reject: fail, resolve: (reply) => finish(stream, resolve, reject, make, reply) });
  }));
}

// The same for a call whose answer is `make(reply, whole)`, `whole` being the bytes that follow, as text or an
// ArrayBuffer. One promise for the whole way: the engine pays for each.
export function askWhole(number, args, text, make) {
  return new Promise((resolve, reject) => begin(number, args(), false, reject, (stream) => {
    const fail = (error) => { endCall(stream); reject(error); };
    calls.set(stream, {
      reject: fail,
      resolve: (reply) => {
        const whole = link.collect(stream, text);
        if (whole !== undefined) finish(stream, resolve, reject, make, reply, whole);
        else collect(stream, text).then((whole) => finish(stream, resolve, reject, make, reply, whole), fail);
      },
    });
  }));
}

function finish(stream, resolve, reject, make, reply, whole) {
  endCall(stream);
  try {
    resolve(make(reply, whole));
  } catch (error) {
    reject(error);
  }
}

const FETCH = link.rows().find((row) => row[1] === "net" && row[2] === "fetch")[0];

// What `cache` may be. The kernel's names for it have no hyphens.
const CACHES = ["default", "no-store", "reload", "no-cache", "force-cache", "only-if-cached"];

export async function fetch(input, init) {
  if (arguments.length === 0) throw new TypeError("fetch takes a URL");
  const request = new Request(input, init);
  const { method, url, headers, signal } = partsOf(request);
  if (signal !== null) signal.throwIfAborted();
  if (url.startsWith("data:")) throw new TypeError("data: URLs are not fetched");
  if (!url.startsWith("http:") && !url.startsWith("https:")) throw new TypeError(`fetch of ${url.slice(0, url.indexOf(":") + 1)} URLs is not possible`);
  const list = listOf(headers), fields = [];
  for (let i = 0; i < list.length; i += 2) fields.push([list[i], list[i + 1]]);
  let body = useBody(request);
  if (typeof body === "string") body = new Uint8Array(host.encode(body));
  // What is whole goes out with its length: not every server takes a body without one.
  if (body instanceof Uint8Array && !headers.has("content-length")) fields.push(["content-length", `${body.byteLength}`]);
  const cache = CACHES.includes(request.cache) ? request.cache.replaceAll("-", "") : "default";
  const args = [method, url, fields, request.redirect, cache];
  const [stream, reply] = await send(args, body, signal);
  const flat = [];
  for (const [name, value] of reply.fields) flat.push(name.toLowerCase(), String.fromCharCode(...new Uint8Array(value)));
  let held = null;
  if (!NULL_BODY.has(reply.status) && method !== "HEAD") {
    held = new Held();
    held.incoming = stream;
    signal?.addEventListener("abort", () => { abortIncoming(stream, signal.reason); endCall(stream); }, { once: true });
  } else endCall(stream);
  return received(reply.status, reply.url, reply.redirected, flat, held);
}

// Sends a request: a promise of [stream, reply], which breaks off when the signal says so.
function send(args, body, signal) {
  let opened = 0, over = false;
  const open = (stream) => {
    opened = stream;
    // Given up while it waited for its turn.
    if (over) giveUp();
  };
  const giveUp = () => {
    over = true;
    if (opened === 0 || !calls.delete(opened)) return;
    endCall(opened);
    drained(opened);
  };
  const answer = body === null ? call(FETCH, args, false, open) : callWith(FETCH, args, body, open);
  if (signal === null) return answer.catch(unreachable);
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => {
      giveUp();
      reject(signal.reason);
    }, { once: true });
    answer.catch(unreachable).then(resolve, reject);
  });
}

// The web has one error for whatever keeps a request from being answered; what is not granted stays what it is.
function unreachable(error) {
  if (!["InvalidArgument", "TooLarge", "Unavailable"].includes(error?.name)) throw error;
  throw Object.assign(new TypeError(error.message), { code: error.name });
}

// A call that bytes follow: a string, bytes, or a body that streams. A promise of [stream, reply].
export function callWith(number, args, body, opened) {
  return new Promise((resolve, reject) => begin(number, args, true, reject, (stream) => {
    const fail = (error) => {
      calls.delete(stream);
      endCall(stream);
      reject(error);
    };
    calls.set(stream, { resolve: (value) => resolve([stream, value]), reject: fail });
    opened?.(stream);
    if (typeof body === "string") link.send(stream, host.encode(body), true);
    else if (body instanceof Uint8Array) link.send(stream, body, true);
    // Half of it must not be taken for the whole: without an end the kernel keeps nothing.
    else pump(stream, streamOf(body)[1]).catch(fail);
  }));
}

// The bytes that come with the answer to a call, as an ArrayBuffer.
export function collectCall(stream) {
  return collect(stream, false).finally(() => endCall(stream));
}
