// FileReader over in-memory blobs.

import { constants, domString, expose, need } from "fazt:webidl";
import { EventTarget, ProgressEvent, dispatch, eventHandlers, trust } from "fazt:events";
import { DOMException } from "fazt:dom-exception";
import { blobBytes, isBlob } from "fazt:blob";
import native from "fazt:native/encoding";

const EMPTY = 0, LOADING = 1, DONE = 2;
const CHUNK = 0x8000;

function binary(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += CHUNK) text += String.fromCharCode.apply(null, bytes.subarray(i, i + CHUNK));
  return text;
}

function decode(bytes, label, type) {
  let name = label === undefined ? undefined : native.name(label);
  if (name === undefined) {
    const charset = /;\s*charset\s*=\s*"?([^";]+)/i.exec(type);
    if (charset !== null) name = native.name(charset[1]);
  }
  if (bytes[0] === 0xfe && bytes[1] === 0xff) name = "utf-16be";
  else if (bytes[0] === 0xff && bytes[1] === 0xfe) name = "utf-16le";
  else if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) name = "utf-8";
  return native.decode(native.decoder(name ?? "utf-8", false, false), bytes, true);
}

export class FileReader extends EventTarget {
  #state = EMPTY;
  #result = null;
  #error = null;
  #run = 0;

  get readyState() { return this.#state; }
  get result() { return this.#result; }
  get error() { return this.#error; }

  #read(blob, given, name, convert) {
    need(given, 1, name);
    if (!isBlob(blob)) throw new TypeError(`${name}: the argument is not a Blob`);
    if (this.#state === LOADING) throw new DOMException("The reader is busy", "InvalidStateError");
    this.#state = LOADING;
    this.#result = null;
    this.#error = null;
    const run = ++this.#run;
    const total = blob.size;
    const fire = (type, loaded) =>
      dispatch(this, trust(new ProgressEvent(type, { lengthComputable: true, loaded, total })));
    const step = (fn) => globalThis.setTimeout(() => {
      if (run === this.#run) fn();
    }, 0);
    step(() => {
      fire("loadstart", 0);
      step(() => {
        if (total > 0) fire("progress", total);
        step(() => {
          this.#result = convert(blobBytes(blob));
          this.#state = DONE;
          fire("load", total);
          // A new read that "load" began has its own end.
          step(() => fire("loadend", total));
        });
      });
    });
  }

  readAsArrayBuffer(blob) {
    this.#read(blob, arguments.length, "readAsArrayBuffer", (bytes) => bytes.buffer);
  }
  readAsBinaryString(blob) {
    this.#read(blob, arguments.length, "readAsBinaryString", binary);
  }
  readAsText(blob, encoding = undefined) {
    const label = encoding === undefined ? undefined : domString(encoding);
    this.#read(blob, arguments.length, "readAsText", (bytes) => decode(bytes, label, blob.type));
  }
  readAsDataURL(blob) {
    this.#read(blob, arguments.length, "readAsDataURL", (bytes) =>
      `data:${blob.type || "application/octet-stream"};base64,${native.btoa(binary(bytes))}`);
  }
  abort() {
    if (this.#state !== LOADING) {
      this.#result = null;
      return;
    }
    this.#run++;
    this.#state = DONE;
    this.#result = null;
    this.#error = new DOMException("The read was aborted", "AbortError");
    const init = { lengthComputable: false, loaded: 0, total: 0 };
    dispatch(this, trust(new ProgressEvent("abort", init)));
    if (this.#state !== LOADING) dispatch(this, trust(new ProgressEvent("loadend", init)));
  }
}
constants(FileReader, { EMPTY, LOADING, DONE });
expose(FileReader);
Object.defineProperty(FileReader.prototype.readAsText, "length", { value: 1, configurable: true });
eventHandlers(FileReader.prototype, "loadstart", "progress", "load", "abort", "error", "loadend");
