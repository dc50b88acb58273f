// CompressionStream and DecompressionStream.

import native from "fazt:native/compress";
import { bytesOf, domString, expose, need } from "fazt:webidl";
import { createTransform } from "fazt:streams-transform";

const FORMATS = ["deflate", "deflate-raw", "gzip"];
const NO_BYTES = new Uint8Array(0);

function formatOf(value, given, what) {
  need(given, 1, what);
  value = domString(value);
  if (!FORMATS.includes(value)) throw new TypeError(`${what}: "${value}" is not a compression format`);
  return value;
}

function bytes(chunk) {
  const view = bytesOf(chunk, false);
  if (view === null) throw new TypeError("The chunk is not a buffer or a view on one");
  return view;
}

export class CompressionStream {
  #pair;
  constructor(format) {
    const state = native.deflater(formatOf(format, arguments.length, "CompressionStream"));
    this.#pair = createTransform(
      (chunk, enqueue) => native.deflate(state, bytes(chunk), false, enqueue),
      (enqueue) => native.deflate(state, NO_BYTES, true, enqueue),
    );
  }
  get readable() { return this.#pair.readable; }
  get writable() { return this.#pair.writable; }
}

export class DecompressionStream {
  #pair;
  constructor(format) {
    const state = native.inflater(formatOf(format, arguments.length, "DecompressionStream"));
    const run = (input, last, enqueue) => {
      const wrong = native.inflate(state, input, last, enqueue);
      if (wrong !== undefined) throw new TypeError(`Decompression failed: ${wrong}`);
    };
    this.#pair = createTransform(
      (chunk, enqueue) => run(bytes(chunk), false, enqueue),
      (enqueue) => run(NO_BYTES, true, enqueue),
    );
  }
  get readable() { return this.#pair.readable; }
  get writable() { return this.#pair.writable; }
}
expose(CompressionStream, DecompressionStream);
