// Headers. A list of names and values, in order; made of the wire's text at the first touch.

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BAD_VALUE = /[\0\r\n]/;
const WIDE = /[^\0-\xff]/;
const EDGES = /^[\t\n\r ]+|[\t\n\r ]+$/g;

function nameOf(name) {
  name = `${name}`;
  if (!TOKEN.test(name)) throw new TypeError(`"${name}" is not a valid header name`);
  return name.toLowerCase();
}

function valueOf(value) {
  value = `${value}`;
  const first = value.charCodeAt(0), last = value.charCodeAt(value.length - 1);
  if (first <= 32 || last <= 32) value = value.replace(EDGES, "");
  if (BAD_VALUE.test(value) || WIDE.test(value)) throw new TypeError(`invalid value of a header: ${JSON.stringify(value)}`);
  return value;
}

// Headers that a request to another server may not set. Origin and cookies are the app's own affair here.
const FORBIDDEN = new Set();

export class Headers {
  #list = [];
  #fixed = false;
  #sorted = null;

  constructor(init) {
    if (init === undefined) return;
    if (init === null || (typeof init !== "object" && typeof init !== "function")) {
      throw new TypeError("Headers: the argument is neither an object nor a list of pairs");
    }
    fill(this, init);
  }

  append(name, value) {
    if (arguments.length < 2) throw new TypeError("Headers.append takes a name and a value");
    name = nameOf(name);
    value = valueOf(value);
    this.#writable();
    this.#list.push(name, value);
    this.#sorted = null;
  }

  delete(name) {
    if (arguments.length < 1) throw new TypeError("Headers.delete takes a name");
    name = nameOf(name);
    this.#writable();
    const list = this.#list;
    if (!this.#has(name)) return;
    const kept = [];
    for (let i = 0; i < list.length; i += 2) if (list[i] !== name) kept.push(list[i], list[i + 1]);
    this.#list = kept;
    this.#sorted = null;
  }

  get(name) {
    if (arguments.length < 1) throw new TypeError("Headers.get takes a name");
    name = nameOf(name);
    const list = this.#list;
    let found = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) found = found === null ? list[i + 1] : found + ", " + list[i + 1];
    }
    return found;
  }

  getSetCookie() {
    const list = this.#list, found = [];
    for (let i = 0; i < list.length; i += 2) if (list[i] === "set-cookie") found.push(list[i + 1]);
    return found;
  }

  has(name) {
    if (arguments.length < 1) throw new TypeError("Headers.has takes a name");
    return this.#has(nameOf(name));
  }

  set(name, value) {
    if (arguments.length < 2) throw new TypeError("Headers.set takes a name and a value");
    name = nameOf(name);
    value = valueOf(value);
    this.#writable();
    const list = this.#list;
    this.#sorted = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] !== name) continue;
      list[i + 1] = value;
      for (let j = list.length - 2; j > i; j -= 2) if (list[j] === name) list.splice(j, 2);
      return;
    }
    list.push(name, value);
  }

  forEach(callback, self) {
    if (typeof callback !== "function") throw new TypeError("Headers.forEach takes a function");
    for (let i = 0, all; i < (all = this.#all()).length; i++) callback.call(self, all[i][1], all[i][0], this);
  }

  entries() { this.#list; return iterate(() => this.#all(), (pair) => [pair[0], pair[1]]); }
  keys() { this.#list; return iterate(() => this.#all(), (pair) => pair[0]); }
  values() { this.#list; return iterate(() => this.#all(), (pair) => pair[1]); }

  get [Symbol.toStringTag]() { return "Headers"; }

  #has(name) {
    const list = this.#list;
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return true;
    return false;
  }

  #writable() {
    if (this.#fixed) throw new TypeError("these headers are immutable");
  }

  // Sorted, same names joined, except Set-Cookie.
  #all() {
    if (this.#sorted !== null) return this.#sorted;
    const list = this.#list, byName = new Map(), out = [];
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i], known = name === "set-cookie" ? undefined : byName.get(name);
      if (known !== undefined) known[1] += ", " + list[i + 1];
      else {
        const pair = [name, list[i + 1]];
        out.push(pair);
        if (name !== "set-cookie") byName.set(name, pair);
      }
    }
    out.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    return (this.#sorted = out);
  }

  static {
    listOf = (headers) => headers.#list;
    isHeaders = (value) => typeof value === "object" && value !== null && #list in value;
    fix = (headers) => { headers.#fixed = true; return headers; };
    fromList = (list) => { const headers = new Headers(); headers.#list = list; return headers; };
  }
}
Headers.prototype[Symbol.iterator] = Headers.prototype.entries;
for (const name of ["append", "delete", "get", "getSetCookie", "has", "set", "forEach", "entries", "keys", "values"]) {
  Object.defineProperty(Headers.prototype, name, { enumerable: true });
}
Object.defineProperty(Headers.prototype, Symbol.iterator, { enumerable: false });
Object.defineProperty(Headers.prototype, Symbol.toStringTag, { value: "Headers", configurable: true });

const iteratorPrototype = Object.setPrototypeOf({
  next() {
    const state = this?.[STATE];
    if (state === undefined) throw new TypeError("not an iterator of Headers");
    const all = state.all();
    if (state.at >= all.length) return { value: undefined, done: true };
    return { value: state.pick(all[state.at++]), done: false };
  },
}, Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())));
Object.defineProperty(iteratorPrototype, Symbol.toStringTag, { value: "Headers Iterator", configurable: true });
var STATE = Symbol();

function iterate(all, pick) {
  const iterator = Object.create(iteratorPrototype);
  Object.defineProperty(iterator, STATE, { value: { all, pick, at: 0 } });
  return iterator;
}

function fill(headers, init) {
  const iterator = init[Symbol.iterator];
  if (iterator !== undefined && iterator !== null) {
    if (isHeaders(init) && iterator === Headers.prototype.entries) {
      const list = listOf(init);
      for (let i = 0; i < list.length; i += 2) headers.append(list[i], list[i + 1]);
      return;
    }
    if (typeof iterator !== "function") throw new TypeError("Headers: the argument is not a list of pairs");
    for (const pair of init) {
      if (pair === null || typeof pair !== "object") throw new TypeError("Headers: a pair is not a list");
      const two = [...pair];
      if (two.length !== 2) throw new TypeError("Headers: each entry must be a name and a value");
      headers.append(two[0], two[1]);
    }
    return;
  }
  for (const key of Reflect.ownKeys(init)) {
    const property = Reflect.getOwnPropertyDescriptor(init, key);
    if (property === undefined || !property.enumerable) continue;
    if (typeof key === "symbol") throw new TypeError("Headers: a name is a symbol");
    headers.append(key, init[key]);
  }
}

export var listOf, isHeaders, fix, fromList;

// From the wire: the request's id, then `name\nvalue\n…`.
export function fromWire(text) {
  const list = text.split("\n");
  list.shift();
  return fromList(list);
}

// To the wire; undefined when there are none.
export function toWire(list) {
  return list.length === 0 ? undefined : list.join("\n");
}
