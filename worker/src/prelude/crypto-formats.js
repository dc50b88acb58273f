// Keys in and out: raw, PKCS #8, SPKI, JWK, for each family of algorithms. Also making new ones.
// Material: bytes (AES, HMAC, HKDF, PBKDF2), list of numbers (RSA), {scalar?, point} (curves), {seed?, point} (Curve25519).

import native from "fazt:native/crypto";
import text from "fazt:native/buffer";
import { BLOCK, fail } from "fazt:crypto-algorithms";
import { makeKey, material } from "fazt:crypto-key";
import { concat, parsePkcs8, parseSpki, pkcs8, spki, trimmed } from "fazt:crypto-der";

const SIZES = { "P-256": 32, "P-384": 48, "P-521": 66 };
const data = (message) => fail("DataError", message);
const u8 = (buffer) => (buffer === null ? null : new Uint8Array(buffer));
const encoded = (bytes) => text.toText(bytes, "base64url");

function decoded(jwk, name) {
  const value = jwk[name];
  if (typeof value !== "string" || !/^[A-Za-z0-9_-]*$/.test(value)) throw data(`The JWK's ${name} is not base64url`);
  return new Uint8Array(text.fromText(value, "base64url"));
}

function allow(usages, allowed) {
  for (const usage of usages) if (!allowed.includes(usage)) throw fail("SyntaxError", `The usage ${usage} does not fit the key`);
}
function some(usages) {
  if (usages.length === 0) throw fail("SyntaxError", "A secret or private key needs a usage");
}

function checkJwk(jwk, kty, extractable, usages, use) {
  if (jwk.kty !== kty) throw data(`The JWK's kty is not ${kty}`);
  if (use !== undefined && usages.length > 0 && jwk.use !== undefined && jwk.use !== use) throw data(`The JWK's use is not ${use}`);
  if (jwk.key_ops !== undefined) {
    if (!Array.isArray(jwk.key_ops) || new Set(jwk.key_ops).size !== jwk.key_ops.length) throw data("The JWK's key_ops is not a list of different usages");
    if (!usages.every((usage) => jwk.key_ops.includes(usage))) throw data("The JWK's key_ops does not allow the usages");
  }
  if (jwk.ext === false && extractable) throw data("The JWK is not extractable");
}

const exportJwk = (key, members) => ({ ...members, key_ops: [...key.usages], ext: key.extractable });
const badFormat = (format) => fail("NotSupportedError", `The format ${format} does not fit the key`);
const badType = () => fail("InvalidAccessError", "The format does not fit the type of the key");

// ------------------------------------------------------------------------------------------------ bytes

const aesUsages = (name) => (name === "AES-KW" ? ["wrapKey", "unwrapKey"] : ["encrypt", "decrypt", "wrapKey", "unwrapKey"]);

const aes = {
  generate(algorithm, extractable, usages) {
    allow(usages, aesUsages(algorithm.name));
    if (![128, 192, 256].includes(algorithm.length)) throw fail("OperationError", "The length is not 128, 192 or 256");
    some(usages);
    return makeKey("secret", extractable, { name: algorithm.name, length: algorithm.length }, usages, random(algorithm.length / 8));
  },
  import(format, source, algorithm, extractable, usages) {
    allow(usages, aesUsages(algorithm.name));
    let secret = source;
    if (format === "jwk") {
      if (source.kty !== "oct") throw data("The JWK's kty is not oct");
      secret = decoded(source, "k");
    } else if (format !== "raw") throw badFormat(format);
    if (![16, 24, 32].includes(secret.length)) throw data("The key is not 128, 192 or 256 bits long");
    if (format === "jwk") {
      const wanted = `A${secret.length * 8}${algorithm.name.slice(4)}`;
      if (source.alg !== undefined && source.alg !== wanted) throw data(`The JWK's alg is not ${wanted}`);
      checkJwk(source, "oct", extractable, usages, "enc");
    }
    some(usages);
    return makeKey("secret", extractable, { name: algorithm.name, length: secret.length * 8 }, usages, secret);
  },
  export(format, key) {
    if (format === "raw") return material(key).slice().buffer;
    if (format !== "jwk") throw badFormat(format);
    return exportJwk(key, { kty: "oct", k: encoded(material(key)), alg: `A${key.algorithm.length}${key.algorithm.name.slice(4)}` });
  },
};

export function random(length) {
  const bytes = new Uint8Array(length);
  native.random(bytes);
  return bytes;
}

const hmacBits = (length, secret) => {
  if (length === undefined) return secret.length * 8;
  if (length === 0 || length > secret.length * 8 || length <= secret.length * 8 - 8) throw data("The length does not fit the key");
  return length;
};

const hmac = {
  generate(algorithm, extractable, usages) {
    allow(usages, ["sign", "verify"]);
    const length = algorithm.length ?? BLOCK[algorithm.hash.name];
    if (length === 0) throw fail("OperationError", "The length is zero");
    if (length > 1 << 20) throw fail("OperationError", "The key would be too long");
    some(usages);
    return makeKey("secret", extractable, { name: "HMAC", hash: algorithm.hash, length }, usages, random(Math.ceil(length / 8)));
  },
  import(format, source, algorithm, extractable, usages) {
    allow(usages, ["sign", "verify"]);
    let secret = source;
    if (format === "jwk") {
      if (source.kty !== "oct") throw data("The JWK's kty is not oct");
      secret = decoded(source, "k");
      const wanted = `HS${algorithm.hash.name.slice(4)}`;
      if (source.alg !== undefined && source.alg !== wanted) throw data(`The JWK's alg is not ${wanted}`);
      checkJwk(source, "oct", extractable, usages, "sig");
    } else if (format !== "raw") throw badFormat(format);
    if (secret.length === 0) throw data("The key is empty");
    const length = hmacBits(algorithm.length, secret);
    some(usages);
    return makeKey("secret", extractable, { name: "HMAC", hash: algorithm.hash, length }, usages, secret);
  },
  export(format, key) {
    if (format === "raw") return material(key).slice().buffer;
    if (format !== "jwk") throw badFormat(format);
    return exportJwk(key, { kty: "oct", k: encoded(material(key)), alg: `HS${key.algorithm.hash.name.slice(4)}` });
  },
};

const derivation = {
  import(format, source, algorithm, extractable, usages) {
    if (format !== "raw") throw badFormat(format);
    allow(usages, ["deriveBits", "deriveKey"]);
    if (extractable) throw fail("SyntaxError", "The key cannot be extractable");
    some(usages);
    return makeKey("secret", false, { name: algorithm.name }, usages, source);
  },
};

// -------------------------------------------------------------------------------------------------- RSA

const PARTS = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
const rsaPublic = (name) => (name === "RSA-OAEP" ? ["encrypt", "wrapKey"] : ["verify"]);
const rsaPrivate = (name) => (name === "RSA-OAEP" ? ["decrypt", "unwrapKey"] : ["sign"]);
const rsaAlg = (name, hash) => {
  const bits = hash.name.slice(4);
  if (name === "RSA-OAEP") return bits === "1" ? "RSA-OAEP" : `RSA-OAEP-${bits}`;
  return (name === "RSA-PSS" ? "PS" : "RS") + bits;
};
function bitsOf(number) {
  const bytes = trimmed(number);
  return bytes.length * 8 - Math.clz32(bytes[0]) + 24;
}
const rsaAlgorithm = (algorithm, key) => ({
  name: algorithm.name, modulusLength: bitsOf(key[0]), publicExponent: trimmed(key[1]).slice(), hash: algorithm.hash,
});

const rsa = {
  generate(algorithm, extractable, usages) {
    const { name } = algorithm;
    allow(usages, [...rsaPublic(name), ...rsaPrivate(name)]);
    const own = usages.filter((usage) => rsaPrivate(name).includes(usage));
    const exponent = trimmed(algorithm.publicExponent);
    const odd = exponent.length > 0 && exponent.length <= 4 && exponent.at(-1) % 2 === 1 && !(exponent.length === 1 && exponent[0] < 3);
    const parts = odd ? native.rsaGenerate(algorithm.modulusLength, exponent) : undefined;
    if (!parts) throw fail("OperationError", "A key of this modulus length and public exponent cannot be made");
    some(own);
    const key = parts.map(u8);
    const described = { name, modulusLength: algorithm.modulusLength, publicExponent: algorithm.publicExponent, hash: algorithm.hash };
    return {
      publicKey: makeKey("public", true, described, usages.filter((usage) => rsaPublic(name).includes(usage)), key.slice(0, 2)),
      privateKey: makeKey("private", extractable, { ...described }, own, key),
    };
  },
  import(format, source, algorithm, extractable, usages) {
    let key, secret = false;
    const { name } = algorithm;
    if (format === "spki") {
      allow(usages, rsaPublic(name));
      key = parseSpki("rsa", source);
    } else if (format === "pkcs8") {
      allow(usages, rsaPrivate(name));
      key = parsePkcs8("rsa", source);
      secret = true;
    } else if (format === "jwk") {
      secret = source.d !== undefined;
      allow(usages, secret ? rsaPrivate(name) : rsaPublic(name));
      checkJwk(source, "RSA", extractable, usages, name === "RSA-OAEP" ? "enc" : "sig");
      const wanted = rsaAlg(name, algorithm.hash);
      if (source.alg !== undefined && source.alg !== wanted) throw data(`The JWK's alg is not ${wanted}`);
      if (source.oth !== undefined) throw fail("NotSupportedError", "Keys of more than two primes are not supported");
      key = PARTS.slice(0, secret ? 8 : 2).map((part) => decoded(source, part));
    } else throw badFormat(format);
    if (key === undefined || key.some((part) => part.length === 0)) throw data("The key is not an RSA key");
    if (secret && !native.rsaCheck(key)) throw data("The numbers are not an RSA key");
    if (secret) some(usages);
    return makeKey(secret ? "private" : "public", extractable, rsaAlgorithm(algorithm, key), usages, key);
  },
  export(format, key) {
    const parts = material(key), secret = key.type === "private";
    if (format === "spki" && !secret) return spki("rsa", parts).buffer;
    if (format === "pkcs8" && secret) return pkcs8("rsa", parts).buffer;
    if (format === "spki" || format === "pkcs8") throw badType();
    if (format !== "jwk") throw badFormat(format);
    const jwk = { kty: "RSA", alg: rsaAlg(key.algorithm.name, key.algorithm.hash) };
    parts.forEach((part, index) => { jwk[PARTS[index]] = encoded(trimmed(part)); });
    return exportJwk(key, jwk);
  },
};

// ----------------------------------------------------------------------------------------------- curves

const publicUsages = (name) => (name === "ECDSA" || name === "Ed25519" ? ["verify"] : []);
const privateUsages = (name) => (name === "ECDSA" || name === "Ed25519" ? ["sign"] : ["deriveKey", "deriveBits"]);

function pair(algorithm, extractable, usages, key) {
  const { name } = algorithm;
  const own = usages.filter((usage) => privateUsages(name).includes(usage));
  some(own);
  return {
    publicKey: makeKey("public", true, algorithm, usages.filter((usage) => publicUsages(name).includes(usage)), { point: key.point }),
    privateKey: makeKey("private", extractable, { ...algorithm }, own, key),
  };
}

const ec = {
  generate(algorithm, extractable, usages) {
    const { name, namedCurve } = algorithm;
    allow(usages, [...publicUsages(name), ...privateUsages(name)]);
    if (SIZES[namedCurve] === undefined) throw fail("NotSupportedError", `The curve ${namedCurve} is not known`);
    const scalar = u8(native.ecGenerate(namedCurve));
    return pair({ name, namedCurve }, extractable, usages, { scalar, point: u8(native.ecPublic(namedCurve, scalar)) });
  },
  import(format, source, algorithm, extractable, usages) {
    const { name, namedCurve } = algorithm;
    const size = SIZES[namedCurve];
    const known = () => { if (size === undefined) throw fail("NotSupportedError", `The curve ${namedCurve} is not known`); };
    let point, scalar;
    if (format === "raw" || format === "spki") {
      known();
      allow(usages, publicUsages(name));
      point = format === "raw" ? source : parseSpki(namedCurve, source);
    } else if (format === "pkcs8") {
      known();
      allow(usages, privateUsages(name));
      ({ scalar, point } = parsePkcs8(namedCurve, source) ?? {});
      if (scalar === undefined) throw data("The key is not a key of this curve");
    } else if (format === "jwk") {
      const secret = source.d !== undefined;
      allow(usages, secret ? privateUsages(name) : publicUsages(name));
      checkJwk(source, "EC", extractable, usages, name === "ECDSA" ? "sig" : "enc");
      if (source.crv !== namedCurve) throw data("The JWK's crv is another curve");
      known();
      if (name === "ECDSA" && source.alg !== undefined && source.alg !== { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" }[namedCurve]) throw data("The JWK's alg does not fit its curve");
      const x = decoded(source, "x"), y = decoded(source, "y");
      if (x.length !== size || y.length !== size) throw data("The JWK's point has the wrong length");
      point = concat([Uint8Array.of(4), x, y]);
      if (secret) {
        scalar = decoded(source, "d");
        if (scalar.length !== size) throw data("The JWK's d has the wrong length");
      }
    } else throw badFormat(format);
    if (scalar !== undefined) {
      const made = u8(native.ecPublic(namedCurve, scalar));
      if (made === null || (point !== undefined && !native.equal(made, point))) throw data("The private key does not fit its curve or its public key");
      some(usages);
      return makeKey("private", extractable, { name, namedCurve }, usages, { scalar, point: made });
    }
    const checked = point === undefined ? null : u8(native.ecPoint(namedCurve, point));
    if (checked === null) throw data("The point is not on the curve");
    return makeKey("public", extractable, { name, namedCurve }, usages, { point: checked });
  },
  export(format, key) {
    const { scalar, point } = material(key), { namedCurve } = key.algorithm, secret = key.type === "private";
    if (format === "raw" || format === "spki") {
      if (secret) throw badType();
      return format === "raw" ? point.slice().buffer : spki(namedCurve, point).buffer;
    }
    if (format === "pkcs8") {
      if (!secret) throw badType();
      return pkcs8(namedCurve, { scalar, point }).buffer;
    }
    if (format !== "jwk") throw badFormat(format);
    const size = SIZES[namedCurve];
    const jwk = { kty: "EC", crv: namedCurve, x: encoded(point.subarray(1, 1 + size)), y: encoded(point.subarray(1 + size)) };
    if (secret) jwk.d = encoded(scalar);
    return exportJwk(key, jwk);
  },
};

const pointOf = (name, seed) => u8(name === "Ed25519" ? native.edPublic(seed) : native.xPublic(seed));

const okp = {
  generate(algorithm, extractable, usages) {
    const { name } = algorithm;
    allow(usages, [...publicUsages(name), ...privateUsages(name)]);
    const seed = random(32);
    return pair({ name }, extractable, usages, { seed, point: pointOf(name, seed) });
  },
  import(format, source, algorithm, extractable, usages) {
    const { name } = algorithm;
    let seed, point;
    if (format === "raw" || format === "spki") {
      allow(usages, publicUsages(name));
      point = format === "raw" ? source : parseSpki(name, source);
    } else if (format === "pkcs8") {
      allow(usages, privateUsages(name));
      seed = parsePkcs8(name, source);
      if (seed === undefined) throw data(`The key is not a key for ${name}`);
    } else if (format === "jwk") {
      const secret = source.d !== undefined;
      allow(usages, secret ? privateUsages(name) : publicUsages(name));
      checkJwk(source, "OKP", extractable, usages, name === "Ed25519" ? "sig" : "enc");
      if (source.crv !== name) throw data("The JWK's crv is another curve");
      point = decoded(source, "x");
      if (secret) {
        seed = decoded(source, "d");
        if (seed.length !== 32 || !native.equal(pointOf(name, seed), point)) throw data("The JWK's d and x do not fit");
      }
    } else throw badFormat(format);
    if (seed !== undefined) {
      some(usages);
      return makeKey("private", extractable, { name }, usages, { seed, point: pointOf(name, seed) });
    }
    if (point?.length !== 32) throw data("The public key is not 32 bytes long");
    return makeKey("public", extractable, { name }, usages, { point });
  },
  export(format, key) {
    const { seed, point } = material(key), { name } = key.algorithm, secret = key.type === "private";
    if (format === "raw" || format === "spki") {
      if (secret) throw badType();
      return format === "raw" ? point.slice().buffer : spki(name, point).buffer;
    }
    if (format === "pkcs8") {
      if (!secret) throw badType();
      return pkcs8(name, seed).buffer;
    }
    if (format !== "jwk") throw badFormat(format);
    return exportJwk(key, { kty: "OKP", crv: name, x: encoded(point), ...(secret ? { d: encoded(seed) } : {}) });
  },
};

/** The functions for an algorithm's keys. */
export const FAMILIES = {
  "AES-CBC": aes, "AES-CTR": aes, "AES-GCM": aes, "AES-KW": aes, HMAC: hmac, HKDF: derivation, PBKDF2: derivation,
  "RSASSA-PKCS1-v1_5": rsa, "RSA-PSS": rsa, "RSA-OAEP": rsa, ECDSA: ec, ECDH: ec, Ed25519: okp, X25519: okp,
};
