// URL and URLSearchParams. A URL is its serialisation and the places of its parts, so a getter is a substring.

import native from "fazt:native/url";
import { INTERNAL, expose, need, pairIterable, sequence, usvString } from "fazt:webidl";

const places = new Uint32Array(11);
const SCHEME = 0, USER = 1, USER_END = 2, PASSWORD = 3, PASSWORD_END = 4, HOST = 5, HOST_END = 6, PORT_END = 7, PATH = 8,
  PATH_END = 9, QUERY_END = 10;

let updateQuery, queryOf;

export class URL {
  #href;
  #at;
  #origin = null;
  #params = null;

  constructor(url, base = undefined) {
    need(arguments.length, 1, "URL");
    if (url === INTERNAL) {
      this.#take(base);
      return;
    }
    const input = usvString(url);
    const against = base === undefined ? undefined : usvString(base);
    const href = native.parse(input, against, places);
    if (href === undefined) {
      const error = new TypeError("Invalid URL");
      error.code = "ERR_INVALID_URL";
      error.input = input;
      throw error;
    }
    this.#take(href);
  }

  #take(href) {
    this.#href = href;
    const p = places; // a literal is many times faster than Array.from
    this.#at = [p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10]];
    this.#origin = null;
  }

  #set(part, value) {
    const href = native.set(this.#href, part, value, places);
    if (href !== undefined) this.#take(href);
  }

  static parse(url, base = undefined) {
    need(arguments.length, 1, "URL.parse");
    const href = native.parse(usvString(url), base === undefined ? undefined : usvString(base), places);
    return href === undefined ? null : new URL(INTERNAL, href);
  }

  static canParse(url, base = undefined) {
    need(arguments.length, 1, "URL.canParse");
    return native.canParse(usvString(url), base === undefined ? undefined : usvString(base));
  }

  get href() { return this.#href; }
  set href(value) {
    const href = native.parse(usvString(value), undefined, places);
    if (href === undefined) throw new TypeError("Invalid URL");
    this.#take(href);
    this.#refresh();
  }

  #refresh() {
    if (this.#params !== null) setList(this.#params, parseQuery(this.search.slice(1)));
  }

  get origin() { return (this.#origin ??= native.origin(this.#href)); }
  get protocol() { return this.#href.slice(0, this.#at[SCHEME] + 1); }
  set protocol(value) { this.#set("protocol", usvString(value)); }
  get username() { return this.#href.slice(this.#at[USER], this.#at[USER_END]); }
  set username(value) { this.#set("username", usvString(value)); }
  get password() { return this.#href.slice(this.#at[PASSWORD], this.#at[PASSWORD_END]); }
  set password(value) { this.#set("password", usvString(value)); }
  get host() { return this.#href.slice(this.#at[HOST], this.#at[PORT_END]); }
  set host(value) { this.#set("host", usvString(value)); }
  get hostname() { return this.#href.slice(this.#at[HOST], this.#at[HOST_END]); }
  set hostname(value) { this.#set("hostname", usvString(value)); }
  get port() { return this.#href.slice(this.#at[HOST_END] + 1, this.#at[PORT_END]); }
  set port(value) { this.#set("port", usvString(value)); }
  get pathname() { return this.#href.slice(this.#at[PATH], this.#at[PATH_END]); }
  set pathname(value) { this.#set("pathname", usvString(value)); }
  get search() {
    const at = this.#at;
    return at[QUERY_END] - at[PATH_END] > 1 ? this.#href.slice(at[PATH_END], at[QUERY_END]) : "";
  }
  set search(value) {
    this.#set("search", usvString(value));
    this.#refresh();
  }
  get searchParams() {
    return (this.#params ??= new URLSearchParams(INTERNAL, this));
  }
  get hash() {
    const start = this.#at[QUERY_END];
    return this.#href.length - start > 1 ? this.#href.slice(start) : "";
  }
  set hash(value) { this.#set("hash", usvString(value)); }
  toString() { return this.#href; }
  toJSON() { return this.#href; }

  static {
    updateQuery = (url, query) => url.#set("search", query);
    queryOf = (url) => url.search.slice(1);
  }
}
for (const [key, length] of [["parse", 1], ["canParse", 1]]) {
  Object.defineProperty(URL[key], "length", { value: length, configurable: true });
}
Object.defineProperty(URL, "length", { value: 1, configurable: true });
expose(URL);

function unsupported(name) {
  const fn = {
    [name](_) {
      throw new TypeError(`URL.${name} is not available: there is no page to use the URL in`);
    },
  }[name];
  Object.defineProperty(URL, name, { value: fn, writable: true, enumerable: true, configurable: true });
}
unsupported("createObjectURL");
unsupported("revokeObjectURL");

/** Names and values in turn. */
function parseQuery(query) {
  return query === "" ? [] : native.formParse(query);
}

/** Names and values of an urlencoded body. */
export const parseFormBytes = (bytes) => native.formParseBytes(bytes);
const serializeForm = (list) => (list.length === 0 ? "" : native.formSerialize(list));

let listOf, setList;

export class URLSearchParams {
  #list; // names and values in turn
  #url = null;

  constructor(init = "", url = undefined) {
    if (init === INTERNAL) {
      this.#url = url;
      this.#list = parseQuery(queryOf(url));
      return;
    }
    if (typeof init === "object" && init !== null || typeof init === "function") {
      const method = init[Symbol.iterator];
      if (method !== undefined && method !== null) {
        const pairs = sequence(init, method, (pair) => {
          if (Object(pair) !== pair || typeof pair[Symbol.iterator] !== "function") {
            throw new TypeError("URLSearchParams: a pair is not iterable");
          }
          return sequence(pair, pair[Symbol.iterator], usvString);
        });
        this.#list = [];
        for (const pair of pairs) {
          if (pair.length !== 2) throw new TypeError("URLSearchParams: a pair must have a name and a value");
          this.#list.push(pair[0], pair[1]);
        }
      } else {
        const map = new Map();
        for (const key of Reflect.ownKeys(init)) {
          const d = Reflect.getOwnPropertyDescriptor(init, key);
          if (d === undefined || !d.enumerable) continue;
          map.set(usvString(key), usvString(init[key]));
        }
        this.#list = [];
        for (const [name, value] of map) this.#list.push(name, value);
      }
      return;
    }
    init = usvString(init);
    this.#list = parseQuery(init.startsWith("?") ? init.slice(1) : init);
  }

  #update() {
    if (this.#url !== null) updateQuery(this.#url, serializeForm(this.#list));
  }

  get size() { return this.#list.length / 2; }

  append(name, value) {
    const list = this.#list;
    need(arguments.length, 2, "append");
    list.push(usvString(name), usvString(value));
    this.#update();
  }

  delete(name, value = undefined) {
    const list = this.#list;
    need(arguments.length, 1, "delete");
    name = usvString(name);
    if (value !== undefined) value = usvString(value);
    for (let i = 0; i < list.length; ) {
      if (list[i] === name && (value === undefined || list[i + 1] === value)) list.splice(i, 2);
      else i += 2;
    }
    this.#update();
  }

  get(name) {
    const list = this.#list;
    need(arguments.length, 1, "get");
    name = usvString(name);
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1];
    return null;
  }

  getAll(name) {
    const list = this.#list;
    need(arguments.length, 1, "getAll");
    name = usvString(name);
    const values = [];
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) values.push(list[i + 1]);
    return values;
  }

  has(name, value = undefined) {
    const list = this.#list;
    need(arguments.length, 1, "has");
    name = usvString(name);
    if (value !== undefined) value = usvString(value);
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name && (value === undefined || list[i + 1] === value)) return true;
    }
    return false;
  }

  set(name, value) {
    const list = this.#list;
    need(arguments.length, 2, "set");
    name = usvString(name);
    value = usvString(value);
    let found = false;
    for (let i = 0; i < list.length; ) {
      if (list[i] !== name) {
        i += 2;
      } else if (found) {
        list.splice(i, 2);
      } else {
        found = true;
        list[i + 1] = value;
        i += 2;
      }
    }
    if (!found) list.push(name, value);
    this.#update();
  }

  sort() {
    const list = this.#list;
    const pairs = [];
    for (let i = 0; i < list.length; i += 2) pairs.push([list[i], list[i + 1]]);
    pairs.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.#list = pairs.flat();
    this.#update();
  }

  toString() { return serializeForm(this.#list); }

  static {
    listOf = (params) => params.#list;
    setList = (params, list) => { params.#list = list; };
  }
}
for (const [key, length] of [["delete", 1], ["has", 1]]) {
  Object.defineProperty(URLSearchParams.prototype[key], "length", { value: length, configurable: true });
}
expose(URLSearchParams);
pairIterable(URLSearchParams, "URLSearchParams", listOf, (params, i) => {
  const list = listOf(params);
  return i * 2 < list.length ? [list[i * 2], list[i * 2 + 1]] : undefined;
});

