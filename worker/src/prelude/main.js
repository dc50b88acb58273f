// The core: calls the app's handlers, settles their promises, reports what they throw. Loaded before an app is.
import host from "fazt:native/host";
import link from "fazt:native/link";
import { abortRequest, answered, drained, forgetRequest, incomingRequest, isResponse, sendResponse } from "fazt:fetch";
import { arrived, forgetIncoming } from "fazt:body";
import { describe, origin } from "fazt:stack";

export { answered, arrived, drained, describe };

const EXCEPTION = 0, BAD_RETURN = 1;
const then = Promise.prototype.then, call = Function.prototype.call;
const settledValue = Promise.resolve();

let env = {}, app = null, user = null, served = { folder: "", spa: false };
let target = null; // what `fetch` is called on
let main = null; // the default export
let fetchHandler = null; // a function, or null
let entrypoint = null; // a class to be made anew for each request
let passed = false; // a request has been served
const listeners = { fetch: [], scheduled: [], queue: [] }; // of the old service-worker syntax
const events = new Map(); // stream → what came of an event that is no request

// ------------------------------------------------------------------------------------------- context

class ExecutionContext {
  #stream;
  #head;
  #pending = 1; // promises, and the response

  constructor(stream, head) {
    this.#stream = stream;
    this.#head = head;
  }

  waitUntil(promise) {
    this.#pending++;
    const done = () => { if (--this.#pending === 0) finish(this.#stream); };
    then.call(Promise.resolve(promise), done, (error) => {
      const event = events.get(this.#stream);
      if (event === undefined) report("in a promise given to waitUntil: ", error);
      else event.fail(error);
      done();
    });
  }

  passThroughOnException() { this.#stream; }
  get user() { this.#stream; return user; }
  get app() { this.#stream; return app; }
  get requestId() {
    const head = this.#head, line = head.indexOf("\n");
    return line < 0 ? head : head.slice(0, line);
  }
  get props() {
    this.#stream;
    const value = {};
    Object.defineProperty(this, "props", { value, configurable: true, enumerable: true, writable: true });
    return value;
  }

  static {
    isAlone = (ctx) => ctx.#pending === 1;
    // The response is complete: the request settles with the last promise.
    complete = (ctx, stream) => { if (--ctx.#pending === 0) finish(stream); };
  }
}
var isAlone, complete;

function finish(stream) {
  if (events.size !== 0) endEvent(stream);
  forgetRequest(stream);
  forgetIncoming(stream);
  link.settle(stream);
}

function report(prefix, error) {
  const [message, stack] = describe(error);
  host.log(3, prefix + message + (stack ? "\n" + stack : ""), firstPlace(stack));
}

function firstPlace(stack) {
  const at = /\(?([^\s()]+?:\d+)(?::\d+)?\)?$/m.exec(stack);
  return at ? at[1] : "";
}

// ------------------------------------------------------------------------------------------ requests

export function request(stream, method, url, head, hasBody) {
  // `head` is the request's id and then its fields; both are taken apart when somebody asks.
  const ctx = new ExecutionContext(stream, head);
  const incoming = incomingRequest(stream, method, url, head, hasBody);
  let result;
  try {
    if (fetchHandler !== null) result = call.call(fetchHandler, target, incoming, env, ctx);
    else if (entrypoint !== null) result = new entrypoint(ctx, env).fetch(incoming);
    else if (listeners.fetch.length !== 0) result = dispatchEvent(incoming, ctx);
    else throw new TypeError("the app has no fetch handler");
  } catch (error) {
    return failed(stream, ctx, error);
  }
  if (isResponse(result)) return respond(stream, ctx, result);
  // An async handler that waited for nothing: there is no job to come before the one that would answer.
  const early = link.fulfilled(result);
  if (isResponse(early)) return respond(stream, ctx, early);
  if (result !== null && typeof result === "object" && typeof result.then === "function") {
    then.call(
      result instanceof Promise ? result : Promise.resolve(result),
      (response) => isResponse(response) ? respond(stream, ctx, response) : badReturn(stream, ctx, response),
      (error) => failed(stream, ctx, error),
    );
    return;
  }
  badReturn(stream, ctx, result);
}

function respond(stream, ctx, response) {
  try {
    // Nothing but the response: what closes the stream can go out with it.
    const alone = isAlone(ctx);
    const end = sendResponse(response, stream, alone);
    if (end !== null) then.call(end, () => complete(ctx, stream), (error) => failed(stream, ctx, error ?? new Error("the body's stream failed")));
    else if (alone) forgetRequest(stream);
    else complete(ctx, stream);
  } catch (error) {
    failed(stream, ctx, error);
  }
}

function failed(stream, ctx, error) {
  const [message, stack] = describe(error);
  link.fail(stream, EXCEPTION, message, stack);
  complete(ctx, stream);
}

function badReturn(stream, ctx, value) {
  const what = value === undefined ? "undefined" : value === null ? "null" : typeof value === "object" ? `an object (${value?.constructor?.name ?? "no class"})` : `a ${typeof value}`;
  link.fail(stream, BAD_RETURN, `the fetch handler must return a Response or a promise of one; it returned ${what}`, "");
  complete(ctx, stream);
}

// ------------------------------------------------------------------------- events that are no requests

export function event(stream, head) {
  const ctx = new ExecutionContext(stream, head.requestId);
  const { begin } = host.load("fazt:scheduled");
  events.set(stream, begin(stream, head, ctx, handlerOf, () => complete(ctx, stream)));
}

// The app's handler of this name, as a function of what Workers hands to it.
function handlerOf(name, ctx) {
  if (entrypoint !== null) {
    const instance = new entrypoint(ctx, env);
    if (typeof instance[name] === "function") return (what) => instance[name](what);
  } else if (typeof main?.[name] === "function") return (what) => main[name](what, env, ctx);
  else if (listeners[name].length !== 0) return (what) => {
    for (const listener of [...listeners[name]]) {
      if (typeof listener === "function") listener.call(globalThis, what);
      else listener.handleEvent(what);
    }
  };
  throw new TypeError(`the app has no ${name} handler`);
}

function endEvent(stream) {
  const event = events.get(stream);
  if (event === undefined) return;
  events.delete(stream);
  const { error, decided } = event;
  if (decided !== null) {
    // What the app said of the job counts, whatever it did then.
    if (error !== undefined) report("Uncaught ", error.value);
    link.done(stream, decided.retry, decided.delayS);
  } else if (error === undefined) link.done(stream, false, undefined);
  else link.fail(stream, EXCEPTION, ...describe(error.value));
}

export function abort(stream) {
  abortRequest(stream);
}

// -------------------------------------------------------------------------- the service-worker syntax

class FetchEvent {
  type = "fetch";
  request;
  #ctx;
  #response;
  constructor(request, ctx) {
    this.request = request;
    this.#ctx = ctx;
  }
  respondWith(response) {
    if (this.#response !== undefined) throw new TypeError("respondWith was called twice");
    this.#response = response instanceof Promise ? response : Promise.resolve(response);
  }
  waitUntil(promise) { this.#ctx.waitUntil(promise); }
  passThroughOnException() {}
  preventDefault() {}
  stopImmediatePropagation() {}
  static { responseOf = (event) => event.#response; }
}
var responseOf;

function dispatchEvent(incoming, ctx) {
  const event = new FetchEvent(incoming, ctx);
  for (const listener of listeners.fetch) {
    if (typeof listener === "function") listener.call(globalThis, event);
    else listener.handleEvent(event);
    if (responseOf(event) !== undefined) return responseOf(event);
  }
  throw new TypeError("no listener called event.respondWith()");
}

// Listeners of `fetch`, `scheduled` and `queue` are the app's handlers; all others are the platform's.
export function addEventListener(type, listener, options) {
  const own = Object.hasOwn(listeners, type) ? listeners[type] : undefined;
  if (own === undefined) return host.load("fazt:events").addEventListener.call(globalThis, type, listener, options);
  if (listener && !own.includes(listener)) own.push(listener);
}

export function removeEventListener(type, listener, options) {
  const own = Object.hasOwn(listeners, type) ? listeners[type] : undefined;
  if (own === undefined) return host.load("fazt:events").removeEventListener.call(globalThis, type, listener, options);
  const at = own.indexOf(listener);
  if (at >= 0) own.splice(at, 1);
}

// --------------------------------------------------------------------------------------------- start

export function configure(newEnv, newApp, newUser, bindings, folder, spa) {
  env = newEnv;
  served = { folder, spa };
  for (let i = 0; i < bindings.length; i += 2) bind(bindings[i], bindings[i + 1]);
  app = newApp;
  user = newUser;
}

// A binding is made when it is first asked for; its module is not loaded before.
function bind(name, kind) {
  if (kind === "json") {
    try {
      env[name] = JSON.parse(env[name]);
    } catch {
      // Whoever set it wrote no JSON, or nobody did.
    }
    return;
  }
  const keep = (value) => Object.defineProperty(env, name, { value, enumerable: true, configurable: true, writable: true });
  Object.defineProperty(env, name, {
    get() {
      const value = host.load(`fazt:${kind}`).make(name);
      keep(value);
      return value;
    },
    set: keep,
    enumerable: true,
    configurable: true,
  });
}

// What is served without a worker: its folder, and whether it is a single page.
export function assets() {
  return served;
}

export function environment() {
  return env;
}

// The app's main module has run: which handlers are there? 1 fetch, 2 scheduled, 4 message, 8 queue.
export function start(namespace) {
  main = namespace.default;
  const has = (object, name) => typeof object?.[name] === "function";
  const others = (object) => (has(object, "scheduled") ? 2 : 0) | (has(object, "message") ? 4 : 0) | (has(object, "queue") ? 8 : 0);
  let found = (listeners.fetch.length === 0 ? 0 : 1) | (listeners.scheduled.length === 0 ? 0 : 2) | (listeners.queue.length === 0 ? 0 : 8);
  if (main === undefined || main === null) return found;
  const isClass = typeof main === "function" && ["fetch", "scheduled", "queue"].some((name) => has(main.prototype, name) && !has(main, name));
  if (isClass) {
    entrypoint = main;
    return (has(main.prototype, "fetch") ? 1 : 0) | others(main.prototype);
  }
  target = main;
  if (typeof main.fetch === "function") {
    fetchHandler = main.fetch;
    found |= 1;
  } else if (typeof main === "function") {
    fetchHandler = main;
    target = undefined;
    found |= 1;
  }
  return found | others(main);
}

// Serves a request that nobody made, so that what every request needs is there before an app is.
export function warmUp() {
  fetchHandler = async (incoming) => new Response2(`${incoming.method} ${incoming.headers.get("host")}`);
  request(1, "GET", "http://warm/", "req_\nhost\nwarm", false);
  fetchHandler = null;
}
import { Response as Response2 } from "fazt:fetch";

// --------------------------------------------------------------------------------- unhandled rejections

const unhandled = new Map();

export function rejection(promise, reason, handled) {
  if (handled) unhandled.delete(promise);
  else unhandled.set(promise, reason);
}

export function flushRejections() {
  const lost = [...unhandled];
  unhandled.clear();
  for (const [promise, reason] of lost) {
    if (!host.peek("EventTarget")?.unhandledRejection(promise, reason)) report("Uncaught (in promise) ", reason);
  }
}

// What a timer or another turn without a request threw.
export function uncaught(error) {
  report("Uncaught ", error);
}

export function log(level, text) {
  host.log(level, text, origin());
}

