// CryptoKey: what it says of itself, and its secret, which only the prelude's own modules reach.

import { expose, INTERNAL, illegal } from "fazt:webidl";
import { cloners } from "fazt:cloners";

export const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];

export let material, isKey;

export class CryptoKey {
  #type; #extractable; #algorithm; #usages; #material;
  // An interface that apps cannot construct has length 0.
  constructor(...given) {
    const [guard, type, extractable, algorithm, usages, material] = given;
    if (guard !== INTERNAL) throw illegal();
    this.#type = type;
    this.#extractable = extractable;
    this.#algorithm = algorithm;
    this.#usages = USAGES.filter((usage) => usages.includes(usage));
    this.#material = material;
  }
  get type() { return this.#type; }
  get extractable() { return this.#extractable; }
  get algorithm() { return this.#algorithm; }
  get usages() { return this.#usages; }
  static {
    material = (key) => key.#material;
    isKey = (value) => typeof value === "object" && value !== null && #material in value;
  }
}
expose(CryptoKey);

export const makeKey = (type, extractable, algorithm, usages, secret) =>
  new CryptoKey(INTERNAL, type, extractable, algorithm, usages, secret);

const cloned = (key) => makeKey(key.type, key.extractable, structuredClone(key.algorithm), key.usages, material(key));
cloners.push([isKey, cloned]);
