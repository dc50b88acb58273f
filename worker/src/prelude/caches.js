// The Cache API with a cache that keeps nothing: matches miss, writes succeed. Apps written for an edge cache run
// unchanged, and always compute their answer.

import { INTERNAL, expose, illegal, need } from "fazt:webidl";

export class Cache {
  #brand;
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
  }
  async match(request) {
    this.#brand;
    need(arguments.length, 1, "match");
    return undefined;
  }
  async matchAll() {
    this.#brand;
    return [];
  }
  async put(request, response) {
    this.#brand;
    need(arguments.length, 2, "put");
    if (response?.bodyUsed) throw new TypeError("put: the response's body was used already");
    // The caller gives the body up: it must not stay open.
    await response?.body?.cancel();
  }
  async add() {
    this.#brand;
  }
  async addAll() {
    this.#brand;
  }
  async delete() {
    this.#brand;
    return false;
  }
  async keys() {
    this.#brand;
    return [];
  }
}

export class CacheStorage {
  #default = new Cache(INTERNAL);
  #named = new Map();
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
  }
  get default() { return this.#default; }
  async open(name) {
    need(arguments.length, 1, "open");
    name = String(name);
    let cache = this.#named.get(name);
    if (!cache) this.#named.set(name, (cache = new Cache(INTERNAL)));
    return cache;
  }
  async has(name) { return this.#named.has(String(name)); }
  async delete(name) { return this.#named.delete(String(name)); }
  async keys() { return [...this.#named.keys()]; }
  async match() {
    this.#named;
    return undefined;
  }
}
expose(Cache, CacheStorage);

export const caches = new CacheStorage(INTERNAL);
