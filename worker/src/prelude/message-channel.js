// MessageChannel within one worker: two ports, messages cloned, each delivered as a task.

import { INTERNAL, expose, illegal, need } from "fazt:webidl";
import { EventTarget, MessageEvent, dispatch, eventHandlers, trust } from "fazt:events";
import { cloneWithTransfer, transferOf } from "fazt:structured-clone";
import { transferrers } from "fazt:cloners";
import { DOMException } from "fazt:dom-exception";

let inside;

export class MessagePort extends EventTarget {
  #p;
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
    super();
    this.#p = { peer: null, queue: [], started: false, closed: false, scheduled: false };
  }
  postMessage(message, options = undefined) {
    const p = this.#p;
    need(arguments.length, 1, "postMessage");
    const list = Array.isArray(options) || (options != null && typeof options[Symbol.iterator] === "function")
      ? { transfer: options }
      : options;
    const transfer = transferOf(list);
    if (transfer.includes(this)) throw new DOMException("A port cannot transfer itself", "DataCloneError");
    const { value, moved } = cloneWithTransfer(message, transfer);
    if (p.peer === null || p.closed) return;
    const peer = inside(p.peer);
    peer.queue.push({ data: value, ports: moved.filter(isPort) });
    schedule(p.peer, peer);
  }
  start() {
    const p = this.#p;
    if (p.started) return;
    p.started = true;
    schedule(this, p);
  }
  close() {
    const p = this.#p;
    p.closed = true;
    if (p.peer !== null) {
      inside(p.peer).peer = null;
      p.peer = null;
    }
  }
  static {
    inside = (port) => port.#p;
  }
}
eventHandlers(MessagePort.prototype, "message", "messageerror", "close");
const onmessage = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
Object.defineProperty(MessagePort.prototype, "onmessage", {
  ...onmessage,
  set(value) {
    Reflect.apply(onmessage.set, this, [value]);
    this.start();
  },
});
expose(MessagePort);
Object.defineProperty(MessagePort.prototype.postMessage, "length", { value: 1, configurable: true });

function isPort(value) {
  try {
    return inside(value) !== undefined;
  } catch {
    return false;
  }
}

function schedule(port, p) {
  if (!p.started || p.scheduled || p.queue.length === 0) return;
  p.scheduled = true;
  globalThis.setTimeout(() => {
    p.scheduled = false;
    if (p.closed) return;
    const message = p.queue.shift();
    schedule(port, p);
    if (message) dispatch(port, trust(new MessageEvent("message", message)));
  }, 0);
}

function entangle(a, b) {
  inside(a).peer = b;
  inside(b).peer = a;
}

export class MessageChannel {
  #one = new MessagePort(INTERNAL);
  #two = new MessagePort(INTERNAL);
  constructor() {
    entangle(this.#one, this.#two);
  }
  get port1() { return this.#one; }
  get port2() { return this.#two; }
}
expose(MessageChannel);

transferrers.push([
  isPort,
  {
    prepare: () => new MessagePort(INTERNAL),
    commit(old, fresh) {
      const p = inside(old);
      if (p.peer !== null) entangle(fresh, p.peer);
      inside(fresh).queue = p.queue;
      p.queue = [];
      p.peer = null;
      p.closed = true;
    },
  },
]);
