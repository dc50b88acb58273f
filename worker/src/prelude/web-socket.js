// WebSocket and WebSocketPair. A pair is two linked ends in memory; outbound sockets need a grant.

import { INTERNAL, bytesOf, constants, dictionary, expose, need, usvString } from "fazt:webidl";
import { CloseEvent, EventTarget, MessageEvent, dispatch, eventHandlers, trust } from "fazt:events";
import { DOMException } from "fazt:dom-exception";
import { isBlob, blobBytes } from "fazt:blob";
import { encodeUtf8 } from "fazt:encoding";
import { queueMicrotask } from "fazt:microtask";

const CONNECTING = 0, OPEN = 1, CLOSING = 2, CLOSED = 3;

let inside;

export class WebSocket extends EventTarget {
  #w;
  constructor(url, protocols = undefined) {
    if (url === INTERNAL) {
      super();
      this.#w = { peer: null, state: OPEN, accepted: false, queue: [], attachment: null, binaryType: "arraybuffer" };
      return;
    }
    need(arguments.length, 1, "WebSocket");
    const parsed = new globalThis.URL(usvString(url));
    if (!/^(wss?|https?):$/.test(parsed.protocol)) throw new DOMException("The URL's scheme must be ws or wss", "SyntaxError");
    const error = new DOMException(
      `This app may not reach ${parsed.host}: it needs the permission net:${parsed.hostname}`,
      "NotAllowedError",
    );
    error.permission = `net:${parsed.hostname}`;
    throw error;
  }

  get readyState() { return this.#w.state; }
  get url() { this.#w; return ""; }
  get protocol() { this.#w; return ""; }
  get extensions() { this.#w; return ""; }
  get bufferedAmount() { this.#w; return 0; }
  get binaryType() { return this.#w.binaryType; }
  set binaryType(value) {
    if (value === "arraybuffer" || value === "blob") this.#w.binaryType = value;
  }

  /** Starts the delivery of messages to this end. */
  accept(options = undefined) {
    const w = this.#w;
    dictionary(options, "The options");
    if (w.accepted) throw new TypeError("This end was accepted already");
    w.accepted = true;
    deliver(this, w);
  }

  send(data) {
    const w = this.#w;
    need(arguments.length, 1, "send");
    let message;
    if (isBlob(data)) {
      message = blobBytes(data).buffer;
    } else {
      const bytes = bytesOf(data);
      message = bytes !== null ? bytes.slice().buffer : usvString(data);
    }
    if (!w.accepted) throw new TypeError("Call accept() on this end before sending");
    if (w.state !== OPEN) {
      if (w.state === CONNECTING) throw new DOMException("The socket is not open yet", "InvalidStateError");
      return;
    }
    push(w.peer, { message });
  }

  close(code = undefined, reason = undefined) {
    const w = this.#w;
    if (code !== undefined) {
      code = Math.trunc(+code) & 0xffff;
      if (code !== 1000 && (code < 3000 || code > 4999)) {
        throw new DOMException("The code must be 1000, or between 3000 and 4999", "InvalidAccessError");
      }
    }
    reason = reason === undefined ? "" : usvString(reason);
    if (encodeUtf8(reason).length > 123) throw new DOMException("The reason is longer than 123 bytes", "SyntaxError");
    if (w.state >= CLOSING) return;
    w.state = CLOSING;
    push(w.peer, { code: code ?? 1005, reason });
  }

  serializeAttachment(value) { this.#w.attachment = globalThis.structuredClone(value); }
  deserializeAttachment() {
    const { attachment } = this.#w;
    return attachment === null ? null : globalThis.structuredClone(attachment);
  }

  static {
    inside = (socket) => socket.#w;
  }
}
constants(WebSocket, { CONNECTING, OPEN, CLOSING, CLOSED });
Object.defineProperty(WebSocket, "length", { value: 1, configurable: true });
expose(WebSocket);
eventHandlers(WebSocket.prototype, "open", "message", "close", "error");

function push(socket, item) {
  const w = inside(socket);
  w.queue.push(item);
  if (w.accepted) queueMicrotask(() => deliver(socket, w));
}

function deliver(socket, w) {
  while (w.accepted && w.queue.length > 0 && w.state !== CLOSED) {
    const item = w.queue.shift();
    if ("message" in item) {
      const data = w.binaryType === "blob" && typeof item.message !== "string" ? new globalThis.Blob([item.message]) : item.message;
      dispatch(socket, trust(new MessageEvent("message", { data })));
      continue;
    }
    // The other end closed: answer its close, then both are closed.
    const { code, reason } = item;
    const answer = w.state === OPEN;
    w.state = CLOSED;
    if (answer) push(w.peer, { code, reason });
    dispatch(socket, trust(new CloseEvent("close", { wasClean: true, code, reason })));
  }
}

/** Two linked ends, as { 0: client, 1: server }. */
export function WebSocketPair() {
  if (new.target === undefined) throw new TypeError("WebSocketPair needs new");
  const a = new WebSocket(INTERNAL);
  const b = new WebSocket(INTERNAL);
  inside(a).peer = b;
  inside(b).peer = a;
  this[0] = a;
  this[1] = b;
}

export const isWebSocket = (value) => {
  try {
    return inside(value) !== undefined;
  } catch {
    return false;
  }
};
