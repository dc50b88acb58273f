// The little of DER that keys need: SPKI and PKCS #8 around RSA, curve and Curve25519 keys.
// `parse…` answer undefined for bytes that are not exactly such a structure.

const OIDS = {
  rsa: "2a864886f70d010101", ec: "2a8648ce3d0201", "P-256": "2a8648ce3d030107", "P-384": "2b81040022", "P-521": "2b81040023",
  X25519: "2b656e", Ed25519: "2b6570",
};
const INTEGER = 0x02, BITS = 0x03, OCTETS = 0x04, NULL = 0x05, OID = 0x06, SEQUENCE = 0x30;

const hex = (bytes) => { let text = ""; for (const byte of bytes) text += byte.toString(16).padStart(2, "0"); return text; };
const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));

/** The elements that lie one after another in `bytes`: [tag, content] each. */
function elements(bytes) {
  const list = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at++];
    let length = bytes[at++];
    if (length === undefined) return undefined;
    if (length >= 0x80) {
      const digits = length & 0x7f;
      if (digits === 0 || digits > 4) return undefined;
      length = 0;
      for (let i = 0; i < digits; i++) {
        if (at >= bytes.length) return undefined;
        length = length * 256 + bytes[at++];
      }
    }
    if (length > bytes.length - at) return undefined;
    list.push([tag, bytes.slice(at, at + length)]);
    at += length;
  }
  return list;
}

function sequence(bytes) {
  const outer = elements(bytes);
  return outer?.length === 1 && outer[0][0] === SEQUENCE ? elements(outer[0][1]) : undefined;
}

export function tlv(tag, ...parts) {
  const content = concat(parts);
  const n = content.length;
  const head = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return concat([Uint8Array.of(tag, ...head), content]);
}

export function concat(parts) {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

export function trimmed(bytes) {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}
const integer = (bytes) => {
  const value = trimmed(bytes);
  return tlv(INTEGER, value[0] >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0), value);
};
const algorithm = (kind) => {
  if (kind === "rsa") return tlv(SEQUENCE, tlv(OID, unhex(OIDS.rsa)), tlv(NULL));
  if (kind.startsWith("P-")) return tlv(SEQUENCE, tlv(OID, unhex(OIDS.ec)), tlv(OID, unhex(OIDS[kind])));
  return tlv(SEQUENCE, tlv(OID, unhex(OIDS[kind])));
};

function matches(element, kind) {
  if (element?.[0] !== SEQUENCE) return false;
  const parts = elements(element[1]);
  if (parts?.[0]?.[0] !== OID) return false;
  const oid = hex(parts[0][1]);
  if (kind === "rsa") return oid === OIDS.rsa;
  if (kind.startsWith("P-")) return oid === OIDS.ec && parts[1]?.[0] === OID && hex(parts[1][1]) === OIDS[kind];
  return oid === OIDS[kind] && parts.length === 1;
}

const integers = (bytes) => {
  const parts = sequence(bytes);
  return parts?.every(([tag]) => tag === INTEGER) ? parts.map(([, value]) => trimmed(value)) : undefined;
};

export function spki(kind, key) {
  const bits = kind === "rsa" ? tlv(SEQUENCE, integer(key[0]), integer(key[1])) : key;
  return tlv(SEQUENCE, algorithm(kind), tlv(BITS, Uint8Array.of(0), bits));
}

/** The public key: two numbers for RSA, else bytes. */
export function parseSpki(kind, bytes) {
  const parts = sequence(bytes);
  if (parts?.length !== 2 || !matches(parts[0], kind) || parts[1][0] !== BITS || parts[1][1][0] !== 0) return undefined;
  const bits = parts[1][1].slice(1);
  if (kind !== "rsa") return bits;
  const numbers = integers(bits);
  return numbers?.length === 2 ? numbers : undefined;
}

export function pkcs8(kind, key) {
  let inner;
  if (kind === "rsa") inner = tlv(SEQUENCE, tlv(INTEGER, Uint8Array.of(0)), ...key.map(integer));
  else if (kind.startsWith("P-")) {
    inner = tlv(SEQUENCE, tlv(INTEGER, Uint8Array.of(1)), tlv(OCTETS, key.scalar), tlv(0xa1, tlv(BITS, Uint8Array.of(0), key.point)));
  } else inner = tlv(OCTETS, key);
  return tlv(SEQUENCE, tlv(INTEGER, Uint8Array.of(0)), algorithm(kind), tlv(OCTETS, inner));
}

/** The private key: eight numbers for RSA, {scalar, point?} for curves, the seed for Curve25519. */
export function parsePkcs8(kind, bytes) {
  const parts = sequence(bytes);
  if (parts === undefined || parts.length < 3 || parts[0][0] !== INTEGER || !matches(parts[1], kind) || parts[2][0] !== OCTETS) return undefined;
  const inner = parts[2][1];
  if (kind === "rsa") {
    const numbers = integers(inner);
    return numbers?.length === 9 ? numbers.slice(1) : undefined;
  }
  if (kind.startsWith("P-")) {
    const key = sequence(inner);
    if (key === undefined || key[0]?.[0] !== INTEGER || key[1]?.[0] !== OCTETS) return undefined;
    let point;
    for (const [tag, content] of key.slice(2)) {
      if (tag === 0xa1) point = elements(content)?.[0]?.[1]?.slice(1);
      else if (tag === 0xa0 && hex(elements(content)?.[0]?.[1] ?? []) !== OIDS[kind]) return undefined;
    }
    return { scalar: key[1][1], point };
  }
  const seed = elements(inner);
  return seed?.length === 1 && seed[0][0] === OCTETS && seed[0][1].length === 32 ? seed[0][1] : undefined;
}
