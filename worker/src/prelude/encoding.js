// TextEncoder and TextDecoder.

import native from "fazt:native/encoding";
import { bytesOf, dictionary, domString, expose, need, usvString } from "fazt:webidl";

const counts = new Uint32Array(2);
const NO_BYTES = new Uint8Array(0);

/** UTF-8 of a string, for the prelude. */
export const encodeUtf8 = (text) => native.encode(text.toWellFormed());
/** The string of UTF-8 bytes with a byte order mark dropped, malformed parts replaced: what bodies decode by. */
export const decodeUtf8 = (bytes) => native.utf8(bytes, false, false);

export class TextEncoder {
  #brand;
  get encoding() {
    this.#brand;
    return "utf-8";
  }
  encode(input = "") {
    this.#brand;
    return native.encode(usvString(input));
  }
  encodeInto(source, destination) {
    this.#brand;
    need(arguments.length, 2, "encodeInto");
    source = usvString(source);
    if (!(destination instanceof Uint8Array)) throw new TypeError("encodeInto: the destination is not a Uint8Array");
    native.encodeInto(source, destination, counts);
    return { read: counts[0], written: counts[1] };
  }
}
expose(TextEncoder);
Object.defineProperty(TextEncoder.prototype.encode, "length", { value: 0, configurable: true });

export class TextDecoder {
  #encoding;
  #fatal;
  #ignoreBOM;
  #decoder = null;
  #streaming = false;

  constructor(label = "utf-8", options = undefined) {
    const name = native.name(domString(label));
    options = dictionary(options, "The options");
    const fatal = !!options.fatal;
    const ignoreBOM = !!options.ignoreBOM;
    if (name === undefined) throw new RangeError(`"${label}" is not an encoding`);
    this.#encoding = name;
    this.#fatal = fatal;
    this.#ignoreBOM = ignoreBOM;
  }

  get encoding() { return this.#encoding; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#ignoreBOM; }

  decode(input = undefined, options = undefined) {
    const encoding = this.#encoding;
    let bytes = NO_BYTES;
    if (input !== undefined) {
      bytes = input instanceof Uint8Array ? input : bytesOf(input);
      if (bytes === null) throw new TypeError("decode: the input is not a buffer or a view on one");
    }
    const stream = !!dictionary(options, "The options").stream;
    let text;
    if (!stream && !this.#streaming && encoding === "utf-8") {
      text = native.utf8(bytes, this.#fatal, this.#ignoreBOM);
    } else {
      this.#decoder ??= native.decoder(encoding, this.#fatal, this.#ignoreBOM);
      text = native.decode(this.#decoder, bytes, !stream);
    }
    this.#streaming = stream && text !== undefined;
    if (text === undefined) throw new TypeError(`The data is not valid ${encoding}`);
    return text;
  }
}
expose(TextDecoder);
Object.defineProperty(TextDecoder.prototype.decode, "length", { value: 0, configurable: true });
