// node:string_decoder.

import { Buffer } from "node:buffer";

export class StringDecoder {
  #decoder; #left = Buffer.alloc(0); #unit = 1;
  constructor(encoding = "utf8") {
    if (!Buffer.isEncoding(encoding)) throw Object.assign(new TypeError(`Unknown encoding: ${encoding}`), { code: "ERR_UNKNOWN_ENCODING" });
    this.encoding = encoding.toLowerCase().replace("utf-8", "utf8");
    if (this.encoding === "utf8") this.#decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    else if (/^(utf-?16le|ucs-?2)$/.test(this.encoding)) this.#decoder = new TextDecoder("utf-16le", { ignoreBOM: true });
    else if (this.encoding.startsWith("base64")) this.#unit = 3;
  }
  write(bytes) {
    if (typeof bytes === "string") return bytes;
    if (this.#decoder) return this.#decoder.decode(bytes, { stream: true });
    const all = Buffer.concat([this.#left, bytes]);
    const whole = all.length - (all.length % this.#unit);
    this.#left = all.subarray(whole);
    return all.toString(this.encoding, 0, whole);
  }
  end(bytes) {
    const text = bytes === undefined ? "" : this.write(bytes);
    if (this.#decoder) return text + this.#decoder.decode();
    const left = this.#left.toString(this.encoding);
    this.#left = Buffer.alloc(0);
    return text + left;
  }
}
export default { StringDecoder };
