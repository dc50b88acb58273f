// Algorithm parameters of SubtleCrypto: what each operation takes, converted and checked before anything is done.

import { DOMException } from "fazt:dom-exception";
import { bytesOf, enforceRange } from "fazt:webidl";
import { CryptoKey } from "fazt:crypto-key";

export const fail = (name, message) => new DOMException(message, name);

/** A copy of the bytes of a BufferSource. */
export function bytes(value, what) {
  const view = bytesOf(value);
  if (view === null) throw new TypeError(`${what} is not an ArrayBuffer or a view on one`);
  return view.slice();
}

const DIGESTS = ["SHA-1", "SHA-256", "SHA-384", "SHA-512", "MD5"];
const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
/** Length of a hash's block in bits. */
export const BLOCK = { "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };
/** The name that the native functions use. */
export const nativeHash = (name) => name.replace("-", "").toLowerCase();

const octet = (value, name) => enforceRange(value, 0xff, name);
const short = (value, name) => enforceRange(value, 0xffff, name);
const long = (value, name) => enforceRange(value, 0xffffffff, name);
const text = (value) => `${value}`;
const hash = (value) => normalize("digest", value, HASHES);
const key = (value) => {
  if (!(value instanceof CryptoKey)) throw new TypeError("public is not a CryptoKey");
  return value;
};
const bigInteger = (value) => {
  if (Object.prototype.toString.call(value) !== "[object Uint8Array]") throw new TypeError("publicExponent is not a Uint8Array");
  return new Uint8Array(value);
};

const iv = { iv: bytes };
const rsaKey = { hash };
const rsaMake = { hash, modulusLength: long, publicExponent: bigInteger };
const curve = { namedCurve: text };
const aesLength = { length: short };
const hmacKey = { hash, "length?": long };
const each = (names, parameters) => Object.fromEntries(names.map((name) => [name, parameters]));
const AES = ["AES-CBC", "AES-CTR", "AES-GCM", "AES-KW"];
const RSA = ["RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP"];
const EC = ["ECDSA", "ECDH"];
const OKP = ["Ed25519", "X25519"];
const sign = { HMAC: {}, "RSASSA-PKCS1-v1_5": {}, "RSA-PSS": { saltLength: long }, ECDSA: { hash }, Ed25519: {} };
const encrypt = {
  "AES-CBC": iv,
  "AES-CTR": { counter: bytes, length: octet },
  "AES-GCM": { ...iv, "additionalData?": bytes, "tagLength?": octet },
  "RSA-OAEP": { "label?": bytes },
};

const OPERATIONS = {
  digest: each(DIGESTS, {}),
  sign,
  verify: sign,
  encrypt,
  decrypt: encrypt,
  wrapKey: { ...encrypt, "AES-KW": {} },
  unwrapKey: { ...encrypt, "AES-KW": {} },
  generateKey: { ...each(AES, aesLength), HMAC: hmacKey, ...each(RSA, rsaMake), ...each(EC, curve), ...each(OKP, {}) },
  importKey: { ...each(AES, {}), HMAC: hmacKey, ...each(RSA, rsaKey), ...each(EC, curve), ...each(OKP, {}), HKDF: {}, PBKDF2: {} },
  deriveBits: { HKDF: { hash, info: bytes, salt: bytes }, PBKDF2: { hash, iterations: long, salt: bytes }, ECDH: { public: key }, X25519: { public: key } },
  keyLength: { ...each(AES, aesLength), HMAC: hmacKey, HKDF: {}, PBKDF2: {} },
};
const BY_LOWER = {};
for (const [operation, table] of Object.entries(OPERATIONS)) {
  BY_LOWER[operation] = new Map(Object.keys(table).map((name) => [name.toLowerCase(), name]));
}

/** The algorithm with its parameters converted. Throws NotSupportedError for a name that the operation does not have. */
export function normalize(operation, algorithm, only) {
  if (typeof algorithm !== "object" || algorithm === null) {
    if (typeof algorithm === "function") algorithm = { name: algorithm.name };
    else algorithm = { name: `${algorithm}` };
  }
  const given = algorithm.name;
  if (given === undefined) throw new TypeError("The algorithm has no name");
  // NODE-ED25519 is what earlier versions of Workers called Ed25519.
  const lower = `${given}`.toLowerCase();
  const name = BY_LOWER[operation].get(lower === "node-ed25519" ? "ed25519" : lower);
  if (name === undefined || (only !== undefined && !only.includes(name))) {
    throw fail("NotSupportedError", `The algorithm ${given} is not known for this operation`);
  }
  const made = { name };
  for (const [member, convert] of Object.entries(OPERATIONS[operation][name])) {
    const optional = member.endsWith("?");
    const plain = optional ? member.slice(0, -1) : member;
    const value = algorithm[plain];
    if (value === undefined) {
      if (!optional) throw new TypeError(`The algorithm ${name} wants ${plain}`);
    } else made[plain] = convert(value, plain);
  }
  return made;
}
