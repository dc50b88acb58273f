// crypto: random numbers, SubtleCrypto. Operations run at once, inside the call, and answer settled promises.

import native from "fazt:native/crypto";
import { DOMException } from "fazt:dom-exception";
import { bytesOf, expose, illegal, INTERNAL, need } from "fazt:webidl";
import { BLOCK, bytes, fail, nativeHash, normalize } from "fazt:crypto-algorithms";
import { CryptoKey, USAGES, isKey, material } from "fazt:crypto-key";
import { FAMILIES } from "fazt:crypto-formats";
import { TextDecoder, TextEncoder } from "fazt:encoding";
import { WritableStream } from "fazt:streams-writable";

export { CryptoKey };

const FORMATS = ["raw", "spki", "pkcs8", "jwk"];
const broken = (message = "The operation did not succeed") => fail("OperationError", message);

function formatOf(value) {
  const format = `${value}`;
  if (!FORMATS.includes(format)) throw new TypeError(`${format} is not a format of keys`);
  return format;
}
function usagesOf(value) {
  if (value === null || value === undefined || typeof value[Symbol.iterator] !== "function") throw new TypeError("keyUsages is not a list");
  return Array.from(value, (item) => {
    const usage = `${item}`;
    if (!USAGES.includes(usage)) throw new TypeError(`${usage} is not a usage of keys`);
    return usage;
  });
}
function keyOf(value, name = "key") {
  if (!isKey(value)) throw new TypeError(`${name} is not a CryptoKey`);
  return value;
}
function permit(key, name, usage) {
  if (key.algorithm.name !== name) throw fail("InvalidAccessError", "The key is for another algorithm");
  if (!key.usages.includes(usage)) throw fail("InvalidAccessError", `The key does not allow ${usage}`);
}
const typed = (key, type) => {
  if (key.type !== type) throw fail("InvalidAccessError", `The operation wants a ${type} key`);
};

function crypt(encrypting, algorithm, key, data) {
  const { name } = algorithm;
  const secret = material(key);
  let made;
  if (name === "AES-CBC") {
    if (algorithm.iv.length !== 16) throw broken("iv is not 16 bytes long");
    made = native.aesCbc(encrypting, secret, algorithm.iv, data);
  } else if (name === "AES-CTR") {
    if (algorithm.counter.length !== 16) throw broken("counter is not 16 bytes long");
    if (algorithm.length < 1 || algorithm.length > 128) throw broken("length is not between 1 and 128");
    made = native.aesCtr(secret, algorithm.counter, algorithm.length, data);
  } else if (name === "AES-GCM") {
    const tag = algorithm.tagLength ?? 128;
    if (![32, 64, 96, 104, 112, 120, 128].includes(tag)) throw broken("tagLength is not one of those allowed");
    made = native.aesGcm(encrypting, secret, algorithm.iv, algorithm.additionalData ?? new Uint8Array(0), tag / 8, data);
  } else if (name === "AES-KW") {
    made = native.aesKw(encrypting, secret, data);
  } else {
    typed(key, encrypting ? "public" : "private");
    const run = encrypting ? native.rsaEncrypt : native.rsaDecrypt;
    made = run(nativeHash(key.algorithm.hash.name), algorithm.label ?? new Uint8Array(0), secret, data);
  }
  if (made === null) throw broken();
  return made;
}

function signed(algorithm, key, data) {
  const secret = material(key);
  switch (algorithm.name) {
    case "HMAC": return native.hmac(nativeHash(key.algorithm.hash.name), secret, data);
    case "ECDSA":
      typed(key, "private");
      return native.ecSign(key.algorithm.namedCurve, nativeHash(algorithm.hash.name), secret.scalar, data);
    case "Ed25519":
      typed(key, "private");
      return native.edSign(secret.seed, data);
    default:
      typed(key, "private");
      return native.rsaSign(nativeHash(key.algorithm.hash.name), algorithm.saltLength, secret, data);
  }
}

function verified(algorithm, key, signature, data) {
  const secret = material(key);
  switch (algorithm.name) {
    case "HMAC": return native.equal(new Uint8Array(native.hmac(nativeHash(key.algorithm.hash.name), secret, data)), signature);
    case "ECDSA":
      typed(key, "public");
      return native.ecVerify(key.algorithm.namedCurve, nativeHash(algorithm.hash.name), secret.point, signature, data) ?? false;
    case "Ed25519":
      typed(key, "public");
      return native.edVerify(secret.point, signature, data);
    default:
      typed(key, "public");
      return native.rsaVerify(nativeHash(key.algorithm.hash.name), algorithm.saltLength, secret, signature, data);
  }
}

function derived(algorithm, key, length) {
  const { name } = algorithm, secret = material(key);
  if (name === "HKDF" || name === "PBKDF2") {
    if (length === null || length === undefined || length % 8 !== 0) throw broken("length is not a multiple of 8");
    const hash = nativeHash(algorithm.hash.name);
    if (name === "PBKDF2" && length === 0) throw broken("length is zero");
    if (name === "PBKDF2" && algorithm.iterations === 0) throw broken("iterations is zero");
    if (length === 0) return new ArrayBuffer(0);
    const made = name === "HKDF"
      ? native.hkdf(hash, secret, algorithm.salt, algorithm.info, length / 8)
      : native.pbkdf2(hash, secret, algorithm.salt, algorithm.iterations, length / 8);
    if (made === null) throw broken(name === "HKDF" ? "length is too long for the hash" : "That many iterations are not allowed");
    return made;
  }
  const other = algorithm.public;
  typed(key, "private");
  typed(other, "public");
  if (other.algorithm.name !== name || other.algorithm.namedCurve !== key.algorithm.namedCurve) throw fail("InvalidAccessError", "The two keys are for different algorithms or curves");
  const made = name === "ECDH"
    ? native.ecShared(key.algorithm.namedCurve, secret.scalar, material(other).point)
    : native.xShared(secret.seed, material(other).point);
  if (made === null) throw broken();
  if (length === null || length === undefined) return made;
  if (length > made.byteLength * 8) throw broken("length is more than the algorithm gives");
  const cut = new Uint8Array(made.slice(0, Math.ceil(length / 8)));
  if (length % 8 !== 0) cut[cut.length - 1] &= 0xff << (8 - (length % 8));
  return cut.buffer;
}

function lengthOf(algorithm) {
  switch (algorithm.name) {
    case "HKDF": case "PBKDF2": return null;
    case "HMAC":
      if (algorithm.length === undefined) return BLOCK[algorithm.hash.name];
      if (algorithm.length === 0) throw new TypeError("length is zero");
      return algorithm.length;
    default:
      if (![128, 192, 256].includes(algorithm.length)) throw broken("The length is not 128, 192 or 256");
      return algorithm.length;
  }
}

const jwkOf = (value) => {
  if (typeof value !== "object" || value === null || bytesOf(value) !== null) throw new TypeError("A JWK is an object");
  return value;
};

const subtleBrand = new WeakSet();
function check(subtle) {
  if (!subtleBrand.has(subtle)) throw new TypeError("Illegal invocation");
}

export class SubtleCrypto {
  constructor(...given) {
    if (given[0] !== INTERNAL) throw illegal();
    subtleBrand.add(this);
  }

  async digest(algorithm, data) {
    check(this);
    need(arguments.length, 2, "digest");
    // A string has no getters that could change the data meanwhile, so that no copy is needed.
    const view = typeof algorithm === "string" ? bytesOf(data) : bytes(data, "data");
    if (view === null) throw new TypeError("data is not an ArrayBuffer or a view on one");
    const { name } = normalize("digest", algorithm);
    return native.digest(nativeHash(name), view);
  }

  async encrypt(algorithm, key, data) {
    check(this);
    need(arguments.length, 3, "encrypt");
    keyOf(key);
    data = bytes(data, "data");
    algorithm = normalize("encrypt", algorithm);
    permit(key, algorithm.name, "encrypt");
    return crypt(true, algorithm, key, data);
  }

  async decrypt(algorithm, key, data) {
    check(this);
    need(arguments.length, 3, "decrypt");
    keyOf(key);
    data = bytes(data, "data");
    algorithm = normalize("decrypt", algorithm);
    permit(key, algorithm.name, "decrypt");
    return crypt(false, algorithm, key, data);
  }

  async sign(algorithm, key, data) {
    check(this);
    need(arguments.length, 3, "sign");
    keyOf(key);
    data = bytes(data, "data");
    algorithm = normalize("sign", algorithm);
    permit(key, algorithm.name, "sign");
    const made = signed(algorithm, key, data);
    if (made === null) throw broken();
    return made;
  }

  async verify(algorithm, key, signature, data) {
    check(this);
    need(arguments.length, 4, "verify");
    keyOf(key);
    signature = bytes(signature, "signature");
    data = bytes(data, "data");
    algorithm = normalize("verify", algorithm);
    permit(key, algorithm.name, "verify");
    return verified(algorithm, key, signature, data);
  }

  async generateKey(algorithm, extractable, keyUsages) {
    check(this);
    need(arguments.length, 3, "generateKey");
    const usages = usagesOf(keyUsages);
    algorithm = normalize("generateKey", algorithm);
    return FAMILIES[algorithm.name].generate(algorithm, Boolean(extractable), usages);
  }

  async importKey(format, keyData, algorithm, extractable, keyUsages) {
    check(this);
    need(arguments.length, 5, "importKey");
    format = formatOf(format);
    const usages = usagesOf(keyUsages);
    const source = format === "jwk" ? jwkOf(keyData) : bytes(keyData, "keyData");
    algorithm = normalize("importKey", algorithm);
    return FAMILIES[algorithm.name].import(format, source, algorithm, Boolean(extractable), usages);
  }

  async exportKey(format, key) {
    check(this);
    need(arguments.length, 2, "exportKey");
    format = formatOf(format);
    keyOf(key);
    const family = FAMILIES[key.algorithm.name];
    if (family.export === undefined) throw fail("NotSupportedError", "Keys of this algorithm cannot be exported");
    if (!key.extractable) throw fail("InvalidAccessError", "The key is not extractable");
    return family.export(format, key);
  }

  async deriveBits(algorithm, baseKey, length = null) {
    check(this);
    need(arguments.length, 2, "deriveBits");
    keyOf(baseKey, "baseKey");
    if (length !== null) length = length >>> 0;
    algorithm = normalize("deriveBits", algorithm);
    permit(baseKey, algorithm.name, "deriveBits");
    return derived(algorithm, baseKey, length);
  }

  async deriveKey(algorithm, baseKey, derivedKeyType, extractable, keyUsages) {
    check(this);
    need(arguments.length, 5, "deriveKey");
    keyOf(baseKey, "baseKey");
    const usages = usagesOf(keyUsages);
    algorithm = normalize("deriveBits", algorithm);
    const made = normalize("importKey", derivedKeyType);
    const length = lengthOf(normalize("keyLength", derivedKeyType));
    permit(baseKey, algorithm.name, "deriveKey");
    const secret = derived(algorithm, baseKey, length);
    return FAMILIES[made.name].import("raw", new Uint8Array(secret), made, Boolean(extractable), usages);
  }

  async wrapKey(format, key, wrappingKey, wrapAlgorithm) {
    check(this);
    need(arguments.length, 4, "wrapKey");
    format = formatOf(format);
    keyOf(key);
    keyOf(wrappingKey, "wrappingKey");
    const algorithm = normalize("wrapKey", wrapAlgorithm);
    permit(wrappingKey, algorithm.name, "wrapKey");
    const family = FAMILIES[key.algorithm.name];
    if (family.export === undefined) throw fail("NotSupportedError", "Keys of this algorithm cannot be exported");
    if (!key.extractable) throw fail("InvalidAccessError", "The key is not extractable");
    const made = family.export(format, key);
    const plain = format === "jwk" ? new TextEncoder().encode(JSON.stringify(made)) : new Uint8Array(made);
    return crypt(true, algorithm, wrappingKey, plain);
  }

  async unwrapKey(format, wrappedKey, unwrappingKey, unwrapAlgorithm, unwrappedKeyAlgorithm, extractable, keyUsages) {
    check(this);
    need(arguments.length, 7, "unwrapKey");
    format = formatOf(format);
    keyOf(unwrappingKey, "unwrappingKey");
    const usages = usagesOf(keyUsages);
    const wrapped = bytes(wrappedKey, "wrappedKey");
    const algorithm = normalize("unwrapKey", unwrapAlgorithm);
    const made = normalize("importKey", unwrappedKeyAlgorithm);
    permit(unwrappingKey, algorithm.name, "unwrapKey");
    let source = new Uint8Array(crypt(false, algorithm, unwrappingKey, wrapped));
    if (format === "jwk") {
      try { source = jwkOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(source))); } catch { throw fail("DataError", "What was wrapped is not a JWK"); }
    }
    return FAMILIES[made.name].import(format, source, made, Boolean(extractable), usages);
  }

  // An extension of Workers.
  timingSafeEqual(a, b) {
    const x = bytesOf(a), y = bytesOf(b);
    if (x === null || y === null) throw new TypeError("Both arguments are buffers or views");
    if (x.length !== y.length) throw new TypeError("The buffers differ in length");
    return native.equal(x, y);
  }
}
expose(SubtleCrypto);

/** Workers' stream that hashes what is written to it. */
export class DigestStream extends WritableStream {
  #digest; #count = 0n;
  constructor(algorithm) {
    const { name } = normalize("digest", algorithm);
    const hasher = native.hasher(nativeHash(name));
    let settle;
    const digest = new Promise((resolve, reject) => { settle = { resolve, reject }; });
    digest.catch(() => {});
    let count;
    super({
      write(chunk) {
        const view = typeof chunk === "string" ? new TextEncoder().encode(chunk) : bytesOf(chunk);
        if (view === null) {
          const error = new TypeError("A DigestStream takes strings, buffers and views");
          settle.reject(error);
          throw error;
        }
        count(view.length);
        hasher(view);
      },
      close() { settle.resolve(hasher()); },
      abort(reason) { settle.reject(reason); },
    });
    count = (length) => { this.#count += BigInt(length); };
    this.#digest = digest;
  }
  get digest() { return this.#digest; }
  get bytesWritten() { return this.#count; }
}

const INTEGERS = ["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"];
const tagOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const cryptoBrand = new WeakSet();
export class Crypto {
  #subtle = new SubtleCrypto(INTERNAL);
  constructor(...given) {
    if (given[0] !== INTERNAL) throw illegal();
    cryptoBrand.add(this);
  }
  get subtle() { return this.#subtle; }

  getRandomValues(array) {
    if (!cryptoBrand.has(this)) throw new TypeError("Illegal invocation");
    need(arguments.length, 1, "getRandomValues");
    if (!ArrayBuffer.isView(array)) throw new TypeError("The argument is not a typed array");
    if (!INTEGERS.includes(tagOf.call(array))) throw new DOMException("The array does not hold integers", "TypeMismatchError");
    if (array.byteLength > 65536) throw new DOMException(`The array is ${array.byteLength} bytes long, at most 65536 are given`, "QuotaExceededError");
    native.random(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return array;
  }

  randomUUID() {
    if (!cryptoBrand.has(this)) throw new TypeError("Illegal invocation");
    const b = new Uint8Array(16);
    native.random(b);
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let text = "";
    for (let i = 0; i < 16; i++) text += (i === 4 || i === 6 || i === 8 || i === 10 ? "-" : "") + HEX[b[i]];
    return text;
  }
}
expose(Crypto);
Object.defineProperty(Crypto.prototype, "DigestStream", { value: DigestStream, writable: true, configurable: true });

export const crypto = new Crypto(INTERNAL);

