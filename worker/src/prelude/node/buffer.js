// node:buffer. A Buffer is a Uint8Array with more methods.

import native from "fazt:native/buffer";
import { Blob, File } from "fazt:blob";
import { atob, btoa } from "fazt:base64";
import { custom } from "fazt:inspect";

export { Blob, File, atob, btoa };
export const kMaxLength = 0x7fffffff;
export const kStringMaxLength = 0x1fffffff;
export const constants = { MAX_LENGTH: kMaxLength, MAX_STRING_LENGTH: kStringMaxLength };
export const INSPECT_MAX_BYTES = 50;

const coded = (Class, code, message) => {
  const error = new Class(message);
  error.code = code;
  return error;
};
const shown = (value) => (value === null ? "null" : typeof value === "object" ? `an instance of ${value.constructor?.name ?? "Object"}` : `type ${typeof value} (${String(value).slice(0, 30)})`);
const badArg = (name, expected, value) => coded(TypeError, "ERR_INVALID_ARG_TYPE", `The ${name} must be ${expected}. Received ${shown(value)}`);
const outOfRange = (name, range, value) => coded(RangeError, "ERR_OUT_OF_RANGE", `The value of "${name}" is out of range. It must be ${range}. Received ${value}`);

const NAMES = {
  utf8: "utf8", "utf-8": "utf8", hex: "hex", base64: "base64", base64url: "base64url", latin1: "latin1", binary: "latin1",
  ascii: "ascii", utf16le: "utf16le", "utf-16le": "utf16le", ucs2: "utf16le", "ucs-2": "utf16le",
};
const known = (encoding) => NAMES[`${encoding}`.toLowerCase()];
function encodingOf(encoding) {
  if (encoding === undefined || encoding === null || encoding === "") return "utf8";
  const name = known(encoding);
  if (name === undefined) throw coded(TypeError, "ERR_UNKNOWN_ENCODING", `Unknown encoding: ${encoding}`);
  return name;
}

function encode(text, encoding) {
  if (encoding === "utf16le") {
    const bytes = new Uint8Array(text.length * 2);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      bytes[2 * i] = unit;
      bytes[2 * i + 1] = unit >> 8;
    }
    return bytes;
  }
  if (encoding === "utf8" || encoding === "latin1" || encoding === "ascii") {
    return new Uint8Array(native.fromText(encoding === "utf8" ? text.toWellFormed() : text, encoding === "ascii" ? "latin1" : encoding));
  }
  return new Uint8Array(native.fromText(text.toWellFormed(), encoding));
}

function decode(bytes, encoding) {
  if (bytes.length === 0) return "";
  if (encoding !== "utf16le") return native.toText(bytes, encoding);
  let text = "";
  for (let at = 0; at + 1 < bytes.length; at += 8192) {
    const units = [];
    for (let i = at; i + 1 < bytes.length && i < at + 8192; i += 2) units.push(bytes[i] | (bytes[i + 1] << 8));
    text += String.fromCharCode(...units);
  }
  return text;
}

const wrap = (bytes) => Object.setPrototypeOf(bytes, Buffer.prototype);
const sized = (size) => {
  if (typeof size !== "number") throw badArg('"size" argument', "of type number", size);
  if (!(size >= 0 && size <= kMaxLength)) throw outOfRange("size", `>= 0 && <= ${kMaxLength}`, size);
  return size;
};

export class Buffer extends Uint8Array {
  constructor(value, encodingOrOffset, length) {
    if (typeof value === "number") super(sized(value));
    else if (value instanceof ArrayBuffer) super(value, encodingOrOffset, length);
    else super(bytesFrom(value, encodingOrOffset));
  }

  static poolSize = 8192;

  static from(value, encodingOrOffset, length) {
    if (value instanceof ArrayBuffer) return wrap(new Uint8Array(value, encodingOrOffset, length));
    return wrap(bytesFrom(value, encodingOrOffset));
  }
  static of(...items) { return wrap(Uint8Array.of(...items)); }
  static alloc(size, fill, encoding) {
    const made = wrap(new Uint8Array(sized(size)));
    return fill === undefined || fill === 0 ? made : made.fill(fill, 0, size, encoding);
  }
  static allocUnsafe(size) { return wrap(new Uint8Array(sized(size))); }
  static allocUnsafeSlow(size) { return Buffer.allocUnsafe(size); }
  static isBuffer(value) { return value instanceof Buffer; }
  static isEncoding(name) { return typeof name === "string" && name !== "" && known(name) !== undefined; }
  static byteLength(value, encoding) {
    if (typeof value === "string") {
      const name = known(encoding ?? "utf8") ?? "utf8";
      if (name === "latin1" || name === "ascii") return value.length;
      if (name === "utf16le") return value.length * 2;
      return encode(value, name).length;
    }
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
    throw badArg('"string" argument', "of type string or an instance of Buffer or ArrayBuffer", value);
  }
  static compare(a, b) {
    if (!(a instanceof Uint8Array)) throw badArg('"buf1" argument', "an instance of Buffer or Uint8Array", a);
    if (!(b instanceof Uint8Array)) throw badArg('"buf2" argument', "an instance of Buffer or Uint8Array", b);
    return native.compare(a, b);
  }
  static concat(list, total) {
    if (!Array.isArray(list)) throw badArg('"list" argument', "an instance of Array", list);
    if (total === undefined) total = list.reduce((sum, item) => sum + item.length, 0);
    const made = Buffer.alloc(total);
    let at = 0;
    for (const [index, item] of list.entries()) {
      if (!(item instanceof Uint8Array)) throw badArg(`"list[${index}]" argument`, "an instance of Buffer or Uint8Array", item);
      if (at >= total) break;
      made.set(item.length > total - at ? item.subarray(0, total - at) : item, at);
      at += item.length;
    }
    return made;
  }
  static copyBytesFrom(view, offset = 0, length) {
    const part = view.subarray(offset, length === undefined ? undefined : offset + length);
    return wrap(new Uint8Array(part.buffer, part.byteOffset, part.byteLength).slice());
  }

  get parent() { return this.buffer; }
  get offset() { return this.byteOffset; }

  toString(encoding, start = 0, end = this.length) {
    start = Math.min(Math.max(start | 0, 0), this.length);
    end = Math.min(Math.max(end | 0, 0), this.length);
    const name = encodingOf(encoding);
    if (end <= start) return "";
    return decode(start === 0 && end === this.length ? this : this.subarray(start, end), name);
  }
  toLocaleString(encoding, start, end) { return this.toString(encoding, start, end); }
  toJSON() { return { type: "Buffer", data: Array.from(this) }; }
  equals(other) {
    if (!(other instanceof Uint8Array)) throw badArg('"otherBuffer" argument', "an instance of Buffer or Uint8Array", other);
    return this.length === other.length && native.compare(this, other) === 0;
  }
  compare(target, targetStart = 0, targetEnd = target.length, start = 0, end = this.length) {
    if (!(target instanceof Uint8Array)) throw badArg('"target" argument', "an instance of Buffer or Uint8Array", target);
    return native.compare(this.subarray(start, end), target.subarray(targetStart, targetEnd));
  }
  // Unlike a typed array's, it shares the memory.
  slice(start, end) { return this.subarray(start, end); }
  copy(target, targetStart = 0, start = 0, end = this.length) {
    if (start >= end || targetStart >= target.length) return 0;
    const part = Uint8Array.prototype.subarray.call(this, start, Math.min(end, start + target.length - targetStart, this.length));
    target.set(part, targetStart);
    return part.length;
  }
  write(text, offset, length, encoding) {
    if (typeof text !== "string") throw badArg('"string" argument', "of type string", text);
    if (typeof offset === "string") [encoding, offset, length] = [offset, undefined, undefined];
    else if (typeof length === "string") [encoding, length] = [length, undefined];
    offset = offset === undefined ? 0 : offset;
    if (offset < 0 || offset > this.length) throw outOfRange("offset", `>= 0 && <= ${this.length}`, offset);
    const room = Math.min(length ?? Infinity, this.length - offset);
    const name = encodingOf(encoding);
    let bytes = encode(text, name);
    if (bytes.length > room) {
      let end = room;
      // A character is written whole or not at all.
      if (name === "utf8") while (end > 0 && (bytes[end] & 0xc0) === 0x80) end--;
      if (name === "utf16le") end &= ~1;
      bytes = bytes.subarray(0, end);
    }
    this.set(bytes, offset);
    return bytes.length;
  }
  fill(value, offset = 0, end = this.length, encoding) {
    if (typeof offset === "string") [encoding, offset, end] = [offset, 0, this.length];
    else if (typeof end === "string") [encoding, end] = [end, this.length];
    if (offset < 0 || offset > this.length) throw outOfRange("offset", `>= 0 && <= ${this.length}`, offset);
    if (end < 0 || end > this.length) throw outOfRange("end", `>= 0 && <= ${this.length}`, end);
    if (typeof value === "number" || typeof value === "boolean") {
      super.fill(Number(value) & 255, offset, end);
      return this;
    }
    const bytes = typeof value === "string" ? encode(value, encodingOf(encoding)) : value;
    if (bytes.length === 0) {
      if (typeof value !== "string" || value !== "") throw coded(TypeError, "ERR_INVALID_ARG_VALUE", `The argument 'value' is invalid. Received ${shown(value)}`);
      super.fill(0, offset, end);
    } else for (let at = offset, i = 0; at < end; at++, i++) this[at] = bytes[i % bytes.length];
    return this;
  }
  indexOf(value, offset, encoding) { return find(this, value, offset, encoding, false); }
  lastIndexOf(value, offset, encoding) { return find(this, value, offset, encoding, true); }
  includes(value, offset, encoding) { return this.indexOf(value, offset, encoding) !== -1; }
  swap16() { return swapped(this, 2); }
  swap32() { return swapped(this, 4); }
  swap64() { return swapped(this, 8); }
  readUIntLE(offset, size) { return readInt(this, offset, size, true, false); }
  readUIntBE(offset, size) { return readInt(this, offset, size, false, false); }
  readIntLE(offset, size) { return readInt(this, offset, size, true, true); }
  readIntBE(offset, size) { return readInt(this, offset, size, false, true); }
  writeUIntLE(value, offset, size) { return writeInt(this, value, offset, size, true, false); }
  writeUIntBE(value, offset, size) { return writeInt(this, value, offset, size, false, false); }
  writeIntLE(value, offset, size) { return writeInt(this, value, offset, size, true, true); }
  writeIntBE(value, offset, size) { return writeInt(this, value, offset, size, false, true); }
  [custom]() {
    const shownBytes = Array.from(Uint8Array.prototype.subarray.call(this, 0, INSPECT_MAX_BYTES), (byte) => ` ${byte.toString(16).padStart(2, "0")}`).join("");
    const left = this.length - INSPECT_MAX_BYTES;
    return `<${this.constructor?.name ?? "Buffer"}${shownBytes}${left > 0 ? ` ... ${left} more byte${left > 1 ? "s" : ""}` : ""}>`;
  }
  inspect() { return this[custom](); }
}

function bytesFrom(value, encoding) {
  if (typeof value === "string") return encode(value, encodingOf(encoding));
  if (typeof value === "object" && value !== null) {
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) return new Uint8Array(value);
    if (Object.prototype.toString.call(value) === "[object ArrayBuffer]") return new Uint8Array(value);
    const plain = value.valueOf?.();
    if (plain !== null && plain !== undefined && plain !== value && (typeof plain === "string" || typeof plain === "object")) return bytesFrom(plain, encoding);
    if (typeof value.length === "number" || Array.isArray(value)) return Uint8Array.from({ length: Math.max(0, value.length) || 0 }, (_, i) => value[i]);
    if (value.type === "Buffer" && Array.isArray(value.data)) return Uint8Array.from(value.data);
    if (typeof value[Symbol.toPrimitive] === "function") return bytesFrom(value[Symbol.toPrimitive]("string"), encoding);
  }
  throw badArg("first argument", "of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object", value);
}

function find(buffer, value, offset, encoding, last) {
  if (typeof offset === "string") [encoding, offset] = [offset, undefined];
  const length = buffer.length;
  offset = Number(offset);
  if (Number.isNaN(offset)) offset = last ? length : 0;
  offset = Math.trunc(offset);
  if (offset < 0) offset += length;
  if (typeof value === "number") {
    value &= 255;
    return last ? Uint8Array.prototype.lastIndexOf.call(buffer, value, Math.min(offset, length - 1)) : Uint8Array.prototype.indexOf.call(buffer, value, Math.max(0, offset));
  }
  const needle = typeof value === "string" ? encode(value, encodingOf(encoding)) : value;
  if (!(needle instanceof Uint8Array)) throw badArg('"value" argument', "one of type number or string or an instance of Buffer or Uint8Array", value);
  if (!last) {
    if (needle.length === 0) return Math.min(Math.max(0, offset), length);
    return offset >= length ? -1 : native.find(buffer, needle, Math.max(0, offset));
  }
  if (offset < 0) return -1;
  for (let at = Math.min(offset, length - needle.length); at >= 0; at--) {
    let i = 0;
    while (i < needle.length && buffer[at + i] === needle[i]) i++;
    if (i === needle.length) return at;
  }
  return -1;
}

function swapped(buffer, size) {
  if (buffer.length % size !== 0) throw coded(RangeError, "ERR_INVALID_BUFFER_SIZE", `Buffer size must be a multiple of ${size * 8}-bits`);
  for (let at = 0; at < buffer.length; at += size) Uint8Array.prototype.subarray.call(buffer, at, at + size).reverse();
  return buffer;
}

function place(buffer, offset, size) {
  if (typeof offset !== "number") throw badArg('"offset" argument', "of type number", offset);
  if (!Number.isInteger(offset)) throw outOfRange("offset", "an integer", offset);
  if (buffer.length < size) throw coded(RangeError, "ERR_BUFFER_OUT_OF_BOUNDS", "Attempt to access memory outside buffer bounds");
  if (offset < 0 || offset + size > buffer.length) throw outOfRange("offset", `>= 0 and <= ${buffer.length - size}`, offset);
}

function widthOf(size) {
  if (typeof size !== "number") throw badArg('"byteLength" argument', "of type number", size);
  if (!(Number.isInteger(size) && size >= 1 && size <= 6)) throw outOfRange("byteLength", "an integer >= 1 and <= 6", size);
}

function readInt(buffer, offset, size, little, signed) {
  widthOf(size);
  place(buffer, offset, size);
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + buffer[offset + (little ? size - 1 - i : i)];
  const limit = 2 ** (8 * size - 1);
  return signed && value >= limit ? value - 2 * limit : value;
}

function bounded(value, min, max) {
  if (value < min || value > max) throw outOfRange("value", `>= ${min} and <= ${max}`, value);
}

function writeInt(buffer, value, offset, size, little, signed) {
  value = +value;
  widthOf(size);
  const limit = 2 ** (8 * size);
  bounded(value, signed ? -limit / 2 : 0, signed ? limit / 2 - 1 : limit - 1);
  place(buffer, offset, size);
  value = Math.trunc(value) || 0;
  if (value < 0) value += limit;
  for (let i = 0; i < size; i++) {
    buffer[offset + (little ? i : size - 1 - i)] = value % 256;
    value = Math.floor(value / 256);
  }
  return offset + size;
}

// The fixed widths, from DataView's methods: [name, size, DataView's name, smallest, largest].
const FIXED = [
  ["UInt8", 1, "Uint8", 0, 255], ["Int8", 1, "Int8", -128, 127],
  ["UInt16", 2, "Uint16", 0, 65535], ["Int16", 2, "Int16", -32768, 32767],
  ["UInt32", 4, "Uint32", 0, 4294967295], ["Int32", 4, "Int32", -2147483648, 2147483647],
  ["BigUInt64", 8, "BigUint64", 0n, 0xffffffffffffffffn], ["BigInt64", 8, "BigInt64", -0x8000000000000000n, 0x7fffffffffffffffn],
  ["Float", 4, "Float32"], ["Double", 8, "Float64"],
];
const method = (name, value) => Object.defineProperty(Buffer.prototype, name, { value, writable: true, configurable: true });
for (const [name, size, viewed, min, max] of FIXED) {
  for (const ending of size === 1 ? [""] : ["LE", "BE"]) {
    const little = ending === "LE";
    const get = DataView.prototype[`get${viewed}`], set = DataView.prototype[`set${viewed}`];
    const read = function (offset = 0) {
      place(this, offset, size);
      return get.call(new DataView(this.buffer, this.byteOffset, this.byteLength), offset, little);
    };
    const write = function (value, offset = 0) {
      if (typeof min === "bigint") {
        if (typeof value !== "bigint") throw badArg('"value" argument', "of type bigint", value);
      } else value = +value;
      if (min !== undefined) bounded(value, min, max);
      place(this, offset, size);
      set.call(new DataView(this.buffer, this.byteOffset, this.byteLength), offset, value, little);
      return offset + size;
    };
    for (const alias of new Set([name, name.replace("UInt", "Uint")])) {
      method(`read${alias}${ending}`, read);
      method(`write${alias}${ending}`, write);
    }
  }
}
for (const name of ["readUIntLE", "readUIntBE", "writeUIntLE", "writeUIntBE"]) method(name.replace("UInt", "Uint"), Buffer.prototype[name]);
for (const [name, encoding] of Object.entries({ ascii: "ascii", base64: "base64", base64url: "base64url", latin1: "latin1", hex: "hex", ucs2: "utf16le", utf8: "utf8" })) {
  method(`${name}Slice`, function (start, end) { return this.toString(encoding, start, end); });
  method(`${name}Write`, function (text, offset, length) { return this.write(text, offset, length, encoding); });
}

export function SlowBuffer(size) { return Buffer.allocUnsafe(size); }
Object.setPrototypeOf(SlowBuffer.prototype, Uint8Array.prototype);
export const isUtf8 = (input) => { try { new TextDecoder("utf-8", { fatal: true }).decode(input); return true; } catch { return false; } };
export const isAscii = (input) => new Uint8Array(input.buffer ?? input, input.byteOffset ?? 0, input.byteLength).every((byte) => byte < 128);
export function transcode(source, fromEncoding, toEncoding) { return Buffer.from(Buffer.from(source).toString(fromEncoding), toEncoding); }

export default { Blob, Buffer, File, INSPECT_MAX_BYTES, SlowBuffer, atob, btoa, constants, isAscii, isUtf8, kMaxLength, kStringMaxLength, transcode };
