// DOM events without a tree: Event, EventTarget and the event classes that a server meets.

import { constants, dictionary, domString, expose, need } from "fazt:webidl";
import { DOMException } from "fazt:dom-exception";
import { now } from "fazt:clock";

const F_BUBBLES = 1, F_CANCELABLE = 2, F_COMPOSED = 4, F_STOP = 8, F_STOP_NOW = 16;
const F_CANCELED = 32, F_PASSIVE = 64, F_DISPATCH = 128, F_TRUSTED = 256, F_UNINITIALISED = 512;

let flagsOf, setFlags, begin, finish;

const isTrustedGetter = Object.getOwnPropertyDescriptor(
  { get isTrusted() { return (flagsOf(this) & F_TRUSTED) !== 0; } }, "isTrusted").get;
const IS_TRUSTED = { get: isTrustedGetter, set: undefined, enumerable: true, configurable: false };

export class Event {
  #type;
  #flags;
  #target = null;
  #current = null;
  #phase = 0;
  #time = 0;

  constructor(type, init = undefined) {
    need(arguments.length, 1, "Event");
    this.#type = domString(type);
    let flags = 0;
    if (init !== undefined && init !== null) {
      dictionary(init, "The event's initialisation");
      if (init.bubbles) flags |= F_BUBBLES;
      if (init.cancelable) flags |= F_CANCELABLE;
      if (init.composed) flags |= F_COMPOSED;
    }
    this.#flags = flags;
    this.#time = now();
    Object.defineProperty(this, "isTrusted", IS_TRUSTED);
  }

  get type() { return this.#type; }
  get target() { return this.#target; }
  get srcElement() { return this.#target; }
  get currentTarget() { return this.#current; }
  composedPath() { return this.#current === null ? [] : [this.#current]; }
  get eventPhase() { return this.#phase; }
  stopPropagation() { this.#flags |= F_STOP; }
  get cancelBubble() { return (this.#flags & F_STOP) !== 0; }
  set cancelBubble(value) { if (value) this.#flags |= F_STOP; else this.#flags |= 0; }
  stopImmediatePropagation() { this.#flags |= F_STOP | F_STOP_NOW; }
  get bubbles() { return (this.#flags & F_BUBBLES) !== 0; }
  get cancelable() { return (this.#flags & F_CANCELABLE) !== 0; }
  get returnValue() { return (this.#flags & F_CANCELED) === 0; }
  set returnValue(value) { if (!value) this.preventDefault(); }
  preventDefault() {
    const f = this.#flags;
    if (f & F_CANCELABLE && !(f & F_PASSIVE)) this.#flags = f | F_CANCELED;
  }
  get defaultPrevented() { return (this.#flags & F_CANCELED) !== 0; }
  get composed() { return (this.#flags & F_COMPOSED) !== 0; }
  get timeStamp() { return this.#time; }
  initEvent(type, bubbles = false, cancelable = false) {
    const f = this.#flags;
    need(arguments.length, 1, "initEvent");
    type = domString(type);
    if (f & F_DISPATCH) return;
    this.#type = type;
    this.#target = null;
    this.#flags = (bubbles ? F_BUBBLES : 0) | (cancelable ? F_CANCELABLE : 0) | (f & F_COMPOSED);
  }

  static {
    flagsOf = (e) => e.#flags;
    setFlags = (e, f) => { e.#flags = f; };
    begin = (e, target) => {
      e.#target = e.#current = target;
      e.#phase = 2;
      e.#flags |= F_DISPATCH;
    };
    finish = (e) => {
      e.#current = null;
      e.#phase = 0;
      e.#flags &= ~(F_DISPATCH | F_STOP | F_STOP_NOW);
    };
  }
}
constants(Event, { NONE: 0, CAPTURING_PHASE: 1, AT_TARGET: 2, BUBBLING_PHASE: 3 });
Object.defineProperty(Event.prototype.initEvent, "length", { value: 1, configurable: true });

/** Whether `value` is an Event (by brand). */
function isEvent(value) {
  if (Object(value) !== value) return false;
  try {
    flagsOf(value);
    return true;
  } catch {
    return false;
  }
}

/** Marks an event as made by the platform. */
export function trust(event) {
  setFlags(event, flagsOf(event) | F_TRUSTED);
  return event;
}

let globalListeners = null;
const globalHandlers = { map: null };
let listenersOf, setListeners, handlersOf;

/** How other modules learn that an abort signal should drop a listener, without importing them. */
export const signalHooks = { add: null };

function flatten(options) {
  if (typeof options === "object" && options !== null || typeof options === "function") {
    const capture = !!options.capture;
    const once = !!options.once;
    const passive = options.passive === undefined ? false : !!options.passive;
    const signal = options.signal;
    if (signal !== undefined && !signalHooks.add?.(signal)) throw new TypeError("The signal is not an AbortSignal");
    return { capture, once, passive, signal };
  }
  return { capture: !!options, once: false, passive: false, signal: undefined };
}

function capturing(options) {
  return typeof options === "object" && options !== null || typeof options === "function" ? !!options.capture : !!options;
}

function callbackOf(value) {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object" && typeof value !== "function") throw new TypeError("The listener is not an object");
  return value;
}

export class EventTarget {
  #listeners = null;
  #handlers = null;

  addEventListener(type, callback, options = undefined) {
    const target = this ?? globalThis;
    let list = listenersOf(target);
    need(arguments.length, 2, "addEventListener");
    type = domString(type);
    callback = callbackOf(callback);
    const { capture, once, passive, signal } = flatten(options);
    if (callback === null || signal?.aborted) return;
    if (list === null) setListeners(target, (list = []));
    for (const l of list) {
      if (!l.removed && l.type === type && l.callback === callback && l.capture === capture) return;
    }
    const listener = { type, callback, capture, once, passive, removed: false };
    list.push(listener);
    if (signal !== undefined) signalHooks.add(signal, () => drop(list, listener));
  }

  removeEventListener(type, callback, options = undefined) {
    const list = listenersOf(this ?? globalThis);
    need(arguments.length, 2, "removeEventListener");
    type = domString(type);
    callback = callbackOf(callback);
    const capture = capturing(options);
    if (list === null || callback === null) return;
    for (const l of list) {
      if (l.type === type && l.callback === callback && l.capture === capture) return void drop(list, l);
    }
  }

  dispatchEvent(event) {
    const target = this ?? globalThis;
    listenersOf(target);
    need(arguments.length, 1, "dispatchEvent");
    if (!isEvent(event)) throw new TypeError("dispatchEvent: the argument is not an Event");
    const flags = flagsOf(event);
    if (flags & (F_DISPATCH | F_UNINITIALISED)) {
      throw new DOMException("The event is already being dispatched", "InvalidStateError");
    }
    setFlags(event, flags & ~F_TRUSTED);
    return dispatch(target, event);
  }

  static {
    listenersOf = (t) => (t === globalThis ? globalListeners : t.#listeners);
    setListeners = (t, list) => {
      if (t === globalThis) globalListeners = list;
      else t.#listeners = list;
    };
    handlersOf = (t) => {
      if (t === globalThis) return (globalHandlers.map ??= new Map());
      return (t.#handlers ??= new Map());
    };
  }
}
for (const key of ["addEventListener", "removeEventListener"]) {
  Object.defineProperty(EventTarget.prototype[key], "length", { value: 2, configurable: true });
}

function drop(list, listener) {
  listener.removed = true;
  const i = list.indexOf(listener);
  if (i >= 0) list.splice(i, 1);
}

/** Dispatches `event` at `target` as the platform does; false when a listener cancelled it. */
export function dispatch(target, event) {
  const list = listenersOf(target);
  if (list !== null && list.length > 0) {
    begin(event, target);
    const snapshot = list.slice();
    invoke(target, event, list, snapshot, true);
    if (!(flagsOf(event) & F_STOP)) invoke(target, event, list, listenersOf(target).slice(), false);
    finish(event);
  } else {
    begin(event, target);
    finish(event);
  }
  return !(flagsOf(event) & F_CANCELED);
}

/** Whether anything listens for `type` at `target`. */
export function listens(target, type) {
  const list = listenersOf(target);
  return list !== null && list.some((l) => l.type === type);
}

function invoke(target, event, list, snapshot, capture) {
  const type = event.type;
  for (const l of snapshot) {
    if (l.removed || l.type !== type || l.capture !== capture) continue;
    if (l.once) drop(list, l);
    if (l.passive) setFlags(event, flagsOf(event) | F_PASSIVE);
    try {
      if (typeof l.callback === "function") {
        Reflect.apply(l.callback, target, [event]);
      } else {
        const handle = l.callback.handleEvent;
        if (typeof handle !== "function") throw new TypeError("The listener has no handleEvent function");
        Reflect.apply(handle, l.callback, [event]);
      }
    } catch (error) {
      reportError(error);
    }
    if (l.passive) setFlags(event, flagsOf(event) & ~F_PASSIVE);
    if (flagsOf(event) & F_STOP_NOW) return;
  }
}

/** Defines `on<type>` attributes on a prototype (or on the global object). */
export function eventHandlers(proto, ...types) {
  for (const type of types) {
    const key = `on${type}`;
    const accessor = {
      get [key]() {
        return handlersOf(this ?? globalThis).get(type)?.value ?? null;
      },
      set [key](value) {
        const target = this ?? globalThis;
        const map = handlersOf(target);
        if (typeof value !== "function" && (typeof value !== "object" || value === null)) value = null;
        let handler = map.get(type);
        if (value === null) {
          if (handler) {
            map.delete(type);
            target.removeEventListener(type, handler.listener);
          }
        } else if (handler) {
          handler.value = value;
        } else {
          handler = { value, listener: null };
          handler.listener = function (event) {
            if (typeof handler.value !== "function") return;
            // An error handler is called with the parts of the error, and cancels by returning true.
            if (type === "error" && target === globalThis && event instanceof ErrorEvent) {
              const { message, filename, lineno, colno, error } = event;
              if (Reflect.apply(handler.value, this, [message, filename, lineno, colno, error]) === true) event.preventDefault();
            } else if (Reflect.apply(handler.value, this, [event]) === false) {
              event.preventDefault();
            }
          };
          map.set(type, handler);
          EventTarget.prototype.addEventListener.call(target, type, handler.listener);
        }
      },
    };
    Object.defineProperty(proto, key, {
      ...Object.getOwnPropertyDescriptor(accessor, key),
      enumerable: true,
      configurable: true,
    });
  }
}

export class CustomEvent extends Event {
  #detail;
  constructor(type, init = undefined) {
    need(arguments.length, 1, "CustomEvent");
    super(type, init);
    this.#detail = init?.detail ?? null;
  }
  get detail() { return this.#detail; }
  initCustomEvent(type, bubbles = false, cancelable = false, detail = null) {
    need(arguments.length, 1, "initCustomEvent");
    if (flagsOf(this) & F_DISPATCH) return;
    this.initEvent(type, bubbles, cancelable);
    this.#detail = detail;
  }
}
Object.defineProperty(CustomEvent.prototype.initCustomEvent, "length", { value: 1, configurable: true });

export class ErrorEvent extends Event {
  #init;
  constructor(type, init = undefined) {
    need(arguments.length, 1, "ErrorEvent");
    super(type, init);
    init ??= {};
    this.#init = {
      message: init.message === undefined ? "" : domString(init.message),
      filename: init.filename === undefined ? "" : domString(init.filename),
      lineno: init.lineno >>> 0,
      colno: init.colno >>> 0,
      error: init.error,
    };
  }
  get message() { return this.#init.message; }
  get filename() { return this.#init.filename; }
  get lineno() { return this.#init.lineno; }
  get colno() { return this.#init.colno; }
  get error() { return this.#init.error; }
}

export class MessageEvent extends Event {
  #init;
  constructor(type, init = undefined) {
    need(arguments.length, 1, "MessageEvent");
    super(type, init);
    init ??= {};
    const { data = null, origin = "", lastEventId = "", source = null, ports = [] } = init;
    this.#init = {
      data,
      origin: domString(origin),
      lastEventId: domString(lastEventId),
      source,
      ports: Object.freeze([...ports]),
    };
  }
  get data() { return this.#init.data; }
  get origin() { return this.#init.origin; }
  get lastEventId() { return this.#init.lastEventId; }
  get source() { return this.#init.source; }
  get ports() { return this.#init.ports; }
}

export class CloseEvent extends Event {
  #init;
  constructor(type, init = undefined) {
    need(arguments.length, 1, "CloseEvent");
    super(type, init);
    const { wasClean = false, code = 0, reason = "" } = init ?? {};
    this.#init = { wasClean: !!wasClean, code: code & 0xffff, reason: domString(reason).toWellFormed() };
  }
  get wasClean() { return this.#init.wasClean; }
  get code() { return this.#init.code; }
  get reason() { return this.#init.reason; }
}

export class ProgressEvent extends Event {
  #init;
  constructor(type, init = undefined) {
    need(arguments.length, 1, "ProgressEvent");
    super(type, init);
    const { lengthComputable = false, loaded = 0, total = 0 } = init ?? {};
    this.#init = { lengthComputable: !!lengthComputable, loaded: +loaded, total: +total };
  }
  get lengthComputable() { return this.#init.lengthComputable; }
  get loaded() { return this.#init.loaded; }
  get total() { return this.#init.total; }
}

export class PromiseRejectionEvent extends Event {
  #init;
  constructor(type, init) {
    need(arguments.length, 2, "PromiseRejectionEvent");
    super(type, init);
    if (Object(init) !== init || init.promise === undefined) throw new TypeError("PromiseRejectionEvent: promise is required");
    this.#init = { promise: init.promise, reason: init.reason };
  }
  get promise() { return this.#init.promise; }
  get reason() { return this.#init.reason; }
}

expose(Event, EventTarget, CustomEvent, ErrorEvent, MessageEvent, CloseEvent, ProgressEvent, PromiseRejectionEvent);

let reporting = false;

/** The global reportError: an `error` event at the global object; what nobody cancels goes to the log. */
export function reportError(error) {
  if (arguments.length < 1) throw new TypeError("reportError: 1 argument required, but only 0 present");
  let handled = false;
  if (!reporting && globalListeners !== null && globalListeners.length > 0) {
    reporting = true;
    try {
      let message = "";
      try {
        message = `Uncaught ${error}`;
      } catch {
        message = "Uncaught exception";
      }
      handled = !dispatch(globalThis, trust(new ErrorEvent("error", { cancelable: true, message, error })));
    } finally {
      reporting = false;
    }
  }
  if (!handled) globalThis.console?.error?.("Uncaught", error);
}

/** Tells the global object of a promise rejected without a handler; true when a listener took care of it. */
export function unhandledRejection(promise, reason) {
  if (!listens(globalThis, "unhandledrejection")) return false;
  return !dispatch(globalThis, trust(new PromiseRejectionEvent("unhandledrejection", { cancelable: true, promise, reason })));
}

const { addEventListener, dispatchEvent, removeEventListener } = EventTarget.prototype;
export { addEventListener, dispatchEvent, removeEventListener };
