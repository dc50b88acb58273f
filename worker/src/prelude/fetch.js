// Request, Response and fetch.
import host from "fazt:native/host";
import link from "fazt:native/link";
import { Headers, fix, fromList, fromWire, isHeaders, listOf, toWire } from "fazt:headers";
import { Held, USED, abortIncoming, collect, extract, isLocked, isUsed, mixBody, split, streamOf } from "fazt:body";

export { Headers };

const INTERNAL = Symbol("internal");
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NULL_BODY = new Set([101, 103, 204, 205, 304]);

// ------------------------------------------------------------------------------------------- Request

export class Request {
  #method = "GET";
  #url;
  #headers = null; // made of #head at the first touch
  #head = "";
  #body = null;
  #signal = null;
  #stream = 0;
  #extra = null; // redirect, cache and the other members that nobody sets

  constructor(input, init, method, head, hasBody, stream) {
    if (input === INTERNAL) { // from the wire
      this.#url = init;
      this.#method = method;
      this.#head = head;
      this.#stream = stream;
      if (hasBody) {
        this.#body = new Held();
        this.#body.incoming = stream;
      }
      return;
    }
    if (arguments.length === 0) throw new TypeError("Request takes a URL");
    let signal = null, from = null;
    if (typeof input === "object" && input !== null && #url in input) {
      from = input;
      this.#url = from.#url;
      this.#method = from.#method;
      this.#extra = from.#extra;
      this.#headers = fromList(listOf(from.headers).slice());
      signal = from.#signal ?? (from.#stream ? from.signal : null);
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
      this.#signal = AbortSignal.any([signal]);
    }
    for (const name of ["redirect", "cache", "credentials", "mode", "referrer", "referrerPolicy", "integrity", "keepalive", "duplex"]) {
      if (init[name] !== undefined) this.#extra = { ...this.#extra, [name]: name === "keepalive" ? Boolean(init[name]) : `${init[name]}` };
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
  get headers() { return this.#headers ??= fromWire(this.#head); }
  get signal() {
    if (this.#signal !== null) return this.#signal;
    const { createSignal } = host.use("AbortSignal");
    this.#signal = createSignal();
    if (this.#stream !== 0) signals.set(this.#stream, this.#signal);
    return this.#signal;
  }
  get redirect() { return this.#extra?.redirect ?? "follow"; }
  get cache() { return this.#extra?.cache ?? "default"; }
  get credentials() { return this.#extra?.credentials ?? "same-origin"; }
  get mode() { return this.#extra?.mode ?? "cors"; }
  get destination() { this.#url; return ""; }
  get referrer() { return this.#extra?.referrer ?? "about:client"; }
  get referrerPolicy() { return this.#extra?.referrerPolicy ?? ""; }
  get integrity() { return this.#extra?.integrity ?? ""; }
  get keepalive() { return this.#extra?.keepalive ?? false; }
  get duplex() { this.#url; return "half"; }
  get isReloadNavigation() { this.#url; return false; }
  get isHistoryNavigation() { this.#url; return false; }

  clone() {
    if (isUsed(this.#body) || isLocked(this.#body)) throw new TypeError("the body has been read already");
    const copy = new Request(INTERNAL, this.#url, this.#method, "", false, 0);
    copy.#headers = fromList(listOf(this.headers).slice());
    copy.#extra = this.#extra;
    if (this.#signal !== null || this.#stream !== 0) copy.#signal = host.use("AbortSignal").AbortSignal.any([this.signal]);
    [this.#body, copy.#body] = split(this.#body);
    return copy;
  }

  static {
    mixBody(this, (self) => self.#body, (self, body) => { self.#body = body; }, (self) => self.headers);
    partsOf = (request) => ({ method: request.#method, url: request.#url, headers: request.headers, body: request.#body, signal: request.#signal });
    useBody = (request) => { const body = request.#body; if (body !== null) request.#body = USED; return body; };
  }
}
export var partsOf;
var useBody;

// Signals of requests from the wire that somebody has looked at.
const signals = new Map();

export function incomingRequest(stream, method, url, head, hasBody) {
  return new Request(INTERNAL, url, method, head, hasBody, stream);
}

// The client of a request is gone.
export function abortRequest(stream) {
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
  #status = 200;
  #statusText = "";
  #headers = null; // made of #list at the first touch
  #list;
  #body;
  #type = "default";
  #url = "";
  #redirected = false;
  #webSocket = null;

  constructor(body, init) {
    if (init === undefined) { // the common case, at its cheapest
      if (typeof body === "string") {
        this.#body = body;
        this.#list = TEXT;
        return;
      }
      if (body === undefined || body === null) {
        this.#body = null;
        this.#list = NONE;
        return;
      }
    }
    this.#list = NONE;
    if (init !== undefined && init !== null) {
      const { status, statusText, headers, webSocket } = init;
      if (webSocket !== undefined && webSocket !== null) this.#webSocket = webSocket;
      if (status !== undefined) {
        const code = Number(status) & 0xffff;
        if (!(code >= 200 && code <= 599) && !(code === 101 && this.#webSocket !== null)) {
          throw new RangeError(`the status of a response is a number from 200 to 599, not ${status}`);
        }
        this.#status = code;
      }
      if (statusText !== undefined) {
        const text = `${statusText}`;
        if (/[^\t\x20-\x7e\x80-\xff]/.test(text)) throw new TypeError("statusText holds a character that is not allowed");
        this.#statusText = text;
      }
      if (headers !== undefined) {
        if (isHeaders(headers)) this.#list = listOf(headers).slice();
        else this.#list = listOf(this.#headers = new Headers(headers));
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
    const list = this.#list;
    for (let i = 0; i < list.length; i += 2) if (list[i] === "content-type") return;
    if (this.#headers !== null) this.#headers.append("content-type", type);
    else this.#list = list.length === 0 ? ["content-type", type] : [...list, "content-type", type];
  }

  get status() { return this.#status; }
  get ok() { return this.#status >= 200 && this.#status <= 299; }
  get statusText() { return this.#statusText; }
  get headers() {
    if (this.#headers === null) this.#headers = fromList(this.#list.slice());
    return this.#headers;
  }
  get type() { return this.#type; }
  get url() { return this.#url; }
  get redirected() { return this.#redirected; }
  get webSocket() { return this.#webSocket; }

  clone() {
    if (isUsed(this.#body) || isLocked(this.#body)) throw new TypeError("the body has been read already");
    const copy = new Response();
    copy.#status = this.#status;
    copy.#statusText = this.#statusText;
    copy.#list = (this.#headers === null ? this.#list : listOf(this.#headers)).slice();
    copy.#type = this.#type;
    copy.#url = this.#url;
    copy.#redirected = this.#redirected;
    [this.#body, copy.#body] = split(this.#body);
    return copy;
  }

  static error() {
    const response = new Response();
    response.#type = "error";
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
      response.#list = JSON_TYPE;
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
    received = (status, url, fields, body) => {
      const response = new Response();
      response.#status = status;
      response.#url = url;
      response.#headers = fix(fromList(fields));
      response.#body = body;
      return response;
    };
    // Sends a response. True: it is complete; else `done` is called when it is.
    sendResponse = (response, stream, settled, done) => {
      const body = response.#body;
      const fields = toWire(response.#headers === null ? response.#list : listOf(response.#headers));
      if (response.#status < 200) {
        throw new TypeError(response.#type === "error" ? "the handler returned Response.error()" : `status ${response.#status} cannot be sent`);
      }
      if (body === null || !(body instanceof Held)) {
        if (body !== null) response.#body = USED;
        link.respond(stream, response.#status, fields, body, settled);
        return true;
      }
      if (isUsed(body) || isLocked(body)) throw new TypeError("the body of the returned response has been read already");
      const [held, readable] = streamOf(body);
      response.#body = held;
      link.startResponse(stream, response.#status, fields);
      pump(stream, readable).then(() => done(undefined), (error) => done(error ?? new Error("the body's stream failed")));
      return false;
    };
  }
}
export var isResponse, sendResponse;
var received;

const NONE = [];
const TEXT = ["content-type", "text/plain;charset=UTF-8"];
const JSON_TYPE = ["content-type", "application/json"];

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
}

// A system call: a promise of [stream, reply]. The stream is open while its bytes are read.
export function call(number, args, withBody = false) {
  return new Promise((resolve, reject) => {
    const stream = link.call(number, args, withBody);
    calls.set(stream, { resolve: (value) => resolve([stream, value]), reject: (error) => { link.endCall(stream); reject(error); } });
  });
}

const FETCH = link.rows().find((row) => row[1] === "net" && row[2] === "fetch")[0];

export async function fetch(input, init) {
  if (arguments.length === 0) throw new TypeError("fetch takes a URL");
  const request = new Request(input, init);
  const { method, url, headers, signal } = partsOf(request);
  if (signal !== null) signal.throwIfAborted();
  if (url.startsWith("data:")) throw new TypeError("data: URLs are not fetched");
  if (!url.startsWith("http:") && !url.startsWith("https:")) throw new TypeError(`fetch of ${url.slice(0, url.indexOf(":") + 1)} URLs is not possible`);
  const list = listOf(headers), fields = [];
  for (let i = 0; i < list.length; i += 2) fields.push([list[i], list[i + 1]]);
  const body = useBody(request);
  const answer = send(method, url, fields, body);
  const [stream, reply] = signal === null ? await answer : await Promise.race([answer, aborting(signal)]);
  const flat = [];
  for (const [name, value] of reply.fields) flat.push(name.toLowerCase(), String.fromCharCode(...new Uint8Array(value)));
  let held = null;
  if (!NULL_BODY.has(reply.status) && method !== "HEAD") {
    held = new Held();
    held.incoming = stream;
  } else link.endCall(stream);
  return received(reply.status, reply.url, flat, held);
}

function aborting(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

function send(method, url, fields, body) {
  if (body === null) return call(FETCH, [method, url, fields]);
  return new Promise((resolve, reject) => {
    const stream = link.call(FETCH, [method, url, fields], true);
    calls.set(stream, { resolve: (value) => resolve([stream, value]), reject: (error) => { link.endCall(stream); reject(error); } });
    if (typeof body === "string") link.send(stream, host.encode(body), true);
    else if (body instanceof Uint8Array) link.send(stream, body, true);
    else pump(stream, streamOf(body)[1]).catch(reject);
  });
}

// The bytes that come with the answer to a call, as an ArrayBuffer.
export function collectCall(stream) {
  return collect(stream, false).finally(() => link.endCall(stream));
}
