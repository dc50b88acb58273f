// TextEncoderStream and TextDecoderStream.

import native from "fazt:native/encoding";
import { bytesOf, dictionary, domString, expose } from "fazt:webidl";
import { createTransform } from "fazt:streams-transform";

const NO_BYTES = new Uint8Array(0);

export class TextEncoderStream {
  #pair;
  constructor() {
    // A high surrogate at the end of a chunk waits for what follows.
    let high = "";
    this.#pair = createTransform(
      (chunk, enqueue) => {
        chunk = high + domString(chunk);
        high = "";
        const last = chunk.charCodeAt(chunk.length - 1);
        if (last >= 0xd800 && last <= 0xdbff) {
          high = chunk[chunk.length - 1];
          chunk = chunk.slice(0, -1);
        }
        if (chunk.length > 0) enqueue(native.encode(chunk.toWellFormed()));
      },
      (enqueue) => {
        if (high !== "") enqueue(new Uint8Array([0xef, 0xbf, 0xbd]));
      },
    );
  }
  get encoding() {
    this.#pair;
    return "utf-8";
  }
  get readable() { return this.#pair.readable; }
  get writable() { return this.#pair.writable; }
}

export class TextDecoderStream {
  #pair;
  #encoding;
  #fatal;
  #ignoreBOM;
  constructor(label = "utf-8", options = undefined) {
    const name = native.name(domString(label));
    options = dictionary(options, "The options");
    const fatal = !!options.fatal;
    const ignoreBOM = !!options.ignoreBOM;
    if (name === undefined) throw new RangeError(`"${label}" is not an encoding`);
    this.#encoding = name;
    this.#fatal = fatal;
    this.#ignoreBOM = ignoreBOM;
    const decoder = native.decoder(name, fatal, ignoreBOM);
    const decode = (bytes, last, enqueue) => {
      const text = native.decode(decoder, bytes, last);
      if (text === undefined) throw new TypeError(`The data is not valid ${name}`);
      if (text !== "") enqueue(text);
    };
    this.#pair = createTransform(
      (chunk, enqueue) => {
        const bytes = bytesOf(chunk);
        if (bytes === null) throw new TypeError("The chunk is not a buffer or a view on one");
        decode(bytes, false, enqueue);
      },
      (enqueue) => decode(NO_BYTES, true, enqueue),
    );
  }
  get encoding() { return this.#encoding; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#ignoreBOM; }
  get readable() { return this.#pair.readable; }
  get writable() { return this.#pair.writable; }
}
expose(TextEncoderStream, TextDecoderStream);
