// node:crypto: hashes, random numbers, key derivation. The rest of it is in `webcrypto`.

import native from "fazt:native/crypto";
import { crypto as webcrypto, CryptoKey } from "fazt:crypto";
import { bytesOf } from "fazt:webidl";
import { Buffer } from "node:buffer";

export { webcrypto };
export const subtle = webcrypto.subtle;
export const getRandomValues = (array) => webcrypto.getRandomValues(array);
export const randomUUID = () => webcrypto.randomUUID();

const coded = (Class, code, message) => Object.assign(new Class(message), { code });
const bytes = (value, encoding, name = "data") => {
  if (typeof value === "string") return Buffer.from(value, encoding === "buffer" ? undefined : encoding);
  const view = bytesOf(value);
  if (view === null) throw coded(TypeError, "ERR_INVALID_ARG_TYPE", `The "${name}" argument must be of type string or an instance of ArrayBuffer, Buffer, TypedArray, or DataView.`);
  return view;
};
const out = (buffer, encoding) => {
  const made = Buffer.from(buffer);
  return encoding === undefined || encoding === null || encoding === "buffer" ? made : made.toString(encoding);
};
const HASHES = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
const nameOf = (algorithm) => {
  const name = `${algorithm}`.toLowerCase().replace(/^rsa-/, "").replace("sha-", "sha");
  if (!HASHES.includes(name)) throw coded(Error, "ERR_OSSL_EVP_UNSUPPORTED", "Digest method not supported");
  return name;
};

class Hash {
  #hasher; #done = false;
  constructor(hasher) {
    this.#hasher = hasher;
  }
  update(data, encoding) {
    if (this.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this.#hasher(bytes(data, encoding));
    return this;
  }
  digest(encoding) {
    if (this.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    this.#done = true;
    return out(this.#hasher(), encoding);
  }
  copy() {
    if (this.#done) throw coded(Error, "ERR_CRYPTO_HASH_FINALIZED", "Digest already called");
    return new this.constructor(this.#hasher(null));
  }
}
class Hmac extends Hash {}
export { Hash, Hmac };

export const createHash = (algorithm) => {
  const name = nameOf(algorithm);
  return new Hash(native.hasher(name));
};
export const createHmac = (algorithm, key) => {
  const name = nameOf(algorithm);
  return new Hmac(native.hasher(name, bytes(key, undefined, "key")));
};
export const hash = (algorithm, data, encoding = "hex") => out(native.digest(nameOf(algorithm), bytes(data)), encoding);
export const getHashes = () => [...HASHES];
export const getCiphers = () => [];
export const getCurves = () => ["P-256", "P-384", "P-521"];

const later = (callback, error, value) => queueMicrotask(() => (error ? callback(error) : callback(null, value)));
const perhaps = (callback, run) => {
  if (typeof callback !== "function") return run();
  let value;
  try { value = run(); } catch (error) { return later(callback, error); }
  later(callback, null, value);
};

function filled(view) {
  for (let at = 0; at < view.length; at += 65536) native.random(view.subarray(at, at + 65536));
  return view;
}
export const randomBytes = (size, callback) => {
  if (typeof size !== "number") throw coded(TypeError, "ERR_INVALID_ARG_TYPE", 'The "size" argument must be of type number.');
  return perhaps(callback, () => filled(Buffer.alloc(size)));
};
export const pseudoRandomBytes = randomBytes;
export const randomFillSync = (buffer, offset = 0, size) => {
  const view = bytes(buffer);
  filled(new Uint8Array(view.buffer, view.byteOffset + offset, size ?? view.length - offset));
  return buffer;
};
export const randomFill = (buffer, ...rest) => {
  const callback = rest.pop();
  perhaps(callback, () => randomFillSync(buffer, ...rest));
};
export const randomInt = (min, max, callback) => {
  if (max === undefined || typeof max === "function") [min, max, callback] = [0, min, max];
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max)) throw coded(TypeError, "ERR_INVALID_ARG_TYPE", "The bounds must be safe integers.");
  const range = max - min;
  if (!(range > 0 && range < 2 ** 48)) throw coded(RangeError, "ERR_OUT_OF_RANGE", `The value of "max" is out of range. Received ${max}`);
  return perhaps(callback, () => {
    const limit = 2 ** 48 - (2 ** 48 % range);
    for (;;) {
      const value = filled(Buffer.alloc(6)).readUIntBE(0, 6);
      if (value < limit) return min + (value % range);
    }
  });
};

export const timingSafeEqual = (a, b) => {
  const x = bytes(a), y = bytes(b);
  if (x.length !== y.length) throw coded(RangeError, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH", "Input buffers must have the same byte length");
  return native.equal(x, y);
};

export const pbkdf2Sync = (password, salt, iterations, length, digest) => {
  const made = native.pbkdf2(nameOf(digest), bytes(password), bytes(salt), iterations, length);
  if (made === null) throw coded(RangeError, "ERR_OUT_OF_RANGE", "That many iterations are not allowed here");
  return Buffer.from(made);
};
export const pbkdf2 = (password, salt, iterations, length, digest, callback) => perhaps(callback, () => pbkdf2Sync(password, salt, iterations, length, digest));
export const hkdfSync = (digest, key, salt, info, length) => {
  const made = native.hkdf(nameOf(digest), bytes(key), bytes(salt), bytes(info), length);
  if (made === null) throw coded(RangeError, "ERR_CRYPTO_INVALID_KEYLEN", "Invalid key length");
  return made;
};
export const hkdf = (digest, key, salt, info, length, callback) => perhaps(callback, () => hkdfSync(digest, key, salt, info, length));
export const scryptSync = (password, salt, length, options = {}) => {
  const n = options.N ?? options.cost ?? 16384, r = options.r ?? options.blockSize ?? 8, p = options.p ?? options.parallelization ?? 1;
  const log = Math.log2(n);
  const made = Number.isInteger(log) && log > 0 ? native.scrypt(bytes(password), bytes(salt), log, r, p, length) : null;
  if (made === null) throw coded(RangeError, "ERR_CRYPTO_INVALID_SCRYPT_PARAMS", "Invalid scrypt params: memory limit exceeded");
  return Buffer.from(made);
};
export const scrypt = (password, salt, length, options, callback) => {
  if (typeof options === "function") [callback, options] = [options, {}];
  return perhaps(callback, () => scryptSync(password, salt, length, options));
};

export const constants = {};
export { CryptoKey };
export default {
  CryptoKey, Hash, Hmac, constants, createHash, createHmac, getCiphers, getCurves, getHashes, getRandomValues, hash, hkdf, hkdfSync, pbkdf2, pbkdf2Sync,
  pseudoRandomBytes, randomBytes, randomFill, randomFillSync, randomInt, randomUUID, scrypt, scryptSync, subtle, timingSafeEqual, webcrypto,
};
