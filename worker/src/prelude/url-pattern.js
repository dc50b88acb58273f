// URLPattern: components of a URL matched by patterns (the language is in fazt:url-pattern-parse).

import native from "fazt:native/url";
import { URL } from "fazt:url";
import { expose, usvString } from "fazt:webidl";
import { compile, escapePattern, tokenize } from "fazt:url-pattern-parse";

const COMPONENTS = ["protocol", "username", "password", "hostname", "port", "pathname", "search", "hash"];
const PORTS = { http: "80", https: "443", ws: "80", wss: "443", ftp: "21", file: "" };
const DUMMY = "https://dummy.invalid/";
const places = new Uint32Array(11);
const PLAIN = { delimiter: "", prefix: "", ignoreCase: false };
const HOST = { delimiter: ".", prefix: "", ignoreCase: false };

const isSpecial = (scheme) => Object.hasOwn(PORTS, scheme);

// -- canonical forms: what a URL makes of a part --

function bad(what, value) {
  return new TypeError(`"${value}" is not a valid ${what}`);
}

function canonical(part, value, href = DUMMY) {
  const url = new URL(native.set(href, part, value, places));
  return url[part];
}

const encode = {
  protocol(value) {
    if (value === "") return value;
    const url = URL.parse(`${value}://dummy.invalid/`);
    if (url === null) throw bad("protocol", value);
    return url.protocol.slice(0, -1);
  },
  username: (value) => (value === "" ? "" : canonical("username", value)),
  password: (value) => (value === "" ? "" : canonical("password", value)),
  hostname(value) {
    if (value === "") return value;
    const host = canonical("hostname", value);
    if (host === "dummy.invalid" && value !== host) throw bad("hostname", value);
    return host;
  },
  opaqueHostname(value) {
    if (value === "") return value;
    const host = canonical("hostname", value, "a://dummy.invalid/");
    if (host === "dummy.invalid" && value !== host) throw bad("hostname", value);
    return host;
  },
  ipv6(value) {
    if (!/^[0-9a-f[\]:]*$/i.test(value)) throw bad("IPv6 address", value);
    return value.toLowerCase();
  },
  port(value, protocol = "") {
    if (value === "") return value;
    const digits = /^[0-9]+/.exec(value.replace(/[\t\n\r]/g, ""));
    if (digits === null || +digits[0] > 65535) throw bad("port", value);
    const port = String(+digits[0]);
    return PORTS[protocol] === port ? "" : port;
  },
  pathname(value) {
    if (value === "") return value;
    if (value[0] === "/") return canonical("pathname", value);
    return canonical("pathname", `/-${value}`).slice(2);
  },
  opaquePathname: (value) => (value === "" ? "" : new URL(`data:${value}`).pathname),
  search: (value) => (value === "" ? "" : canonical("search", `?${value}`).slice(1)),
  hash: (value) => (value === "" ? "" : canonical("hash", `#${value}`).slice(1)),
};

// -- a pattern written as one string --

const before = (list, part) => list.slice(0, list.indexOf(part) + 1);
const ORDER = ["protocol", "authority", "username", "password", "hostname", "port", "pathname", "search", "hash"];

function parseConstructorString(text) {
  const input = Array.from(text);
  const tokens = tokenize(input, false);
  const result = {};
  let start = 0, at = 0, step = 1, depth = 0, brackets = 0, special = false, state = "init";

  const token = (i) => tokens[i] ?? tokens[tokens.length - 1];
  const isChar = (i, value) => {
    const t = token(i);
    return t.value === value && (t.type === "char" || t.type === "escaped" || t.type === "invalid");
  };
  const component = () => input.slice(tokens[start].index, token(at).index).join("");
  const change = (next, skip) => {
    if (state !== "init" && state !== "authority" && state !== "done") result[state] = component();
    if (state !== "init" && next !== "done") {
      const from = before(ORDER, "password").includes(state), rank = ORDER.indexOf(next);
      if (from && rank >= ORDER.indexOf("port")) result.hostname ??= "";
      if (before(ORDER, "port").includes(state) && (next === "search" || next === "hash")) {
        result.pathname ??= special ? "/" : "";
      }
      if (before(ORDER, "pathname").includes(state) && next === "hash") result.search ??= "";
    }
    state = next;
    at += skip;
    start = at;
    step = 0;
  };
  const rewind = (next) => {
    at = start;
    step = 0;
    state = next;
  };
  const isSearch = () => {
    if (isChar(at, "?")) return true;
    if (token(at).value !== "?") return false;
    return at === 0 || !["name", "regexp", "close", "asterisk"].includes(token(at - 1).type);
  };
  const isHash = () => isChar(at, "#");
  const rest = (path) => {
    if (path && isChar(at, "/")) change("pathname", 0);
    else if (isSearch()) change("search", 1);
    else if (isHash()) change("hash", 1);
  };

  while (at < tokens.length) {
    step = 1;
    const { type } = tokens[at];
    if (type === "end") {
      if (state === "init") {
        rewind("init");
        if (isHash()) change("hash", 1);
        else if (isSearch()) change("search", 1);
        else change("pathname", 0);
        at += step;
        continue;
      }
      if (state === "authority") {
        rewind("hostname");
        at += step;
        continue;
      }
      change("done", 0);
      break;
    }
    if (type === "open") {
      depth++;
      at += step;
      continue;
    }
    if (depth > 0) {
      if (type === "close") depth--;
      else {
        at += step;
        continue;
      }
    }
    switch (state) {
      case "init":
        if (isChar(at, ":")) rewind("protocol");
        break;
      case "protocol":
        if (isChar(at, ":")) {
          const protocol = compile(component(), encode.protocol, PLAIN);
          special = Object.keys(PORTS).some((scheme) => protocol.regexp.test(scheme));
          if (isChar(at + 1, "/") && isChar(at + 2, "/")) change("authority", 3);
          else change(special ? "authority" : "pathname", 1);
        }
        break;
      case "authority":
        if (isChar(at, "@")) rewind("username");
        else if (isChar(at, "/") || isSearch() || isHash()) rewind("hostname");
        break;
      case "username":
        if (isChar(at, ":")) change("password", 1);
        else if (isChar(at, "@")) change("hostname", 1);
        break;
      case "password":
        if (isChar(at, "@")) change("hostname", 1);
        break;
      case "hostname":
        if (isChar(at, "[")) brackets++;
        else if (isChar(at, "]")) brackets--;
        else if (isChar(at, ":") && brackets === 0) change("port", 1);
        else rest(true);
        break;
      case "port":
        rest(true);
        break;
      case "pathname":
        rest(false);
        break;
      case "search":
        if (isHash()) change("hash", 1);
        break;
    }
    at += step;
  }
  if (result.hostname !== undefined) result.port ??= "";
  return result;
}

// -- a pattern or URL written as its parts --

function isAbsolute(path, pattern) {
  return path[0] === "/" || (pattern && (path.startsWith("\\/") || path.startsWith("{/")));
}

/** The parts of `init` with those of its base filled in; canonical when it is a URL and not a pattern. */
function processInit(init, pattern, standard) {
  const result = {};
  if (standard !== undefined) for (const key of COMPONENTS) result[key] = standard;
  const has = (...keys) => keys.some((key) => init[key] !== undefined);
  const inherited = (text) => (pattern ? escapePattern(text) : text);
  let base = null;
  if (init.baseURL !== undefined) {
    base = new URL(init.baseURL);
    if (!has("protocol")) result.protocol = inherited(base.protocol.slice(0, -1));
    if (!pattern && !has("protocol", "hostname", "port", "username")) {
      result.username = base.username;
      if (!has("password")) result.password = base.password;
    }
    if (!has("protocol", "hostname")) result.hostname = inherited(base.hostname);
    if (!has("protocol", "hostname", "port")) result.port = base.port;
    if (!has("protocol", "hostname", "port", "pathname")) {
      result.pathname = inherited(base.pathname);
      if (!has("search")) {
        result.search = inherited(base.search.slice(1));
        if (!has("hash")) result.hash = inherited(base.hash.slice(1));
      }
    }
  }
  const set = (key, value, canonicalize) => {
    result[key] = pattern ? value : canonicalize(value);
  };
  if (has("protocol")) set("protocol", init.protocol.replace(/:$/, ""), encode.protocol);
  if (has("username")) set("username", init.username, encode.username);
  if (has("password")) set("password", init.password, encode.password);
  const protocol = result.protocol ?? "";
  if (has("hostname")) {
    set("hostname", init.hostname, protocol === "" || isSpecial(protocol) ? encode.hostname : encode.opaqueHostname);
  }
  if (has("port")) set("port", init.port, (value) => encode.port(value, protocol));
  if (has("pathname")) {
    let path = init.pathname;
    if (base !== null && !isAbsolute(path, pattern) && (base.pathname[0] === "/" || base.pathname === "")) {
      const basePath = inherited(base.pathname);
      path = basePath.slice(0, basePath.lastIndexOf("/") + 1) + path;
    }
    set("pathname", path, protocol === "" || isSpecial(protocol) ? encode.pathname : encode.opaquePathname);
  }
  if (has("search")) set("search", init.search.replace(/^\?/, ""), encode.search);
  if (has("hash")) set("hash", init.hash.replace(/^#/, ""), encode.hash);
  return result;
}

function initOf(value) {
  const init = {};
  for (const key of ["baseURL", ...COMPONENTS]) {
    const part = value[key];
    if (part !== undefined) init[key] = usvString(part);
  }
  return init;
}

const isDictionary = (value) => value === undefined || value === null || typeof value === "object" || typeof value === "function";

export class URLPattern {
  #parts = {};

  constructor(input = undefined, baseURL = undefined, options = undefined) {
    if (arguments.length < 3 && isDictionary(baseURL) && baseURL !== undefined) {
      options = baseURL;
      baseURL = undefined;
    }
    if (!isDictionary(options)) throw new TypeError("URLPattern: the options are not an object");
    const ignoreCase = !!options?.ignoreCase;
    let init;
    if (isDictionary(input)) {
      if (baseURL !== undefined) throw new TypeError("URLPattern: a base URL goes with a string only");
      init = initOf(input ?? {});
    } else {
      init = parseConstructorString(usvString(input));
      if (baseURL !== undefined) init.baseURL = usvString(baseURL);
      else if (init.protocol === undefined) throw new TypeError("URLPattern: a relative pattern needs a base URL");
    }
    const p = processInit(init, true);
    for (const key of COMPONENTS) p[key] ??= "*";
    if (isSpecial(p.protocol) && p.port === PORTS[p.protocol]) p.port = "";
    const parts = this.#parts;
    const plain = { ...PLAIN, ignoreCase };
    parts.protocol = compile(p.protocol, encode.protocol, PLAIN);
    parts.username = compile(p.username, encode.username, PLAIN);
    parts.password = compile(p.password, encode.password, PLAIN);
    const special = Object.keys(PORTS).some((scheme) => parts.protocol.regexp.test(scheme));
    const host = /^(\[|\{\[|\\\[)/.test(p.hostname) ? encode.ipv6 : special ? encode.hostname : encode.opaqueHostname;
    parts.hostname = compile(p.hostname, host, HOST);
    parts.port = compile(p.port, encode.port, PLAIN);
    parts.pathname = special
      ? compile(p.pathname, encode.pathname, { delimiter: "/", prefix: "/", ignoreCase })
      : compile(p.pathname, encode.opaquePathname, plain);
    parts.search = compile(p.search, encode.search, plain);
    parts.hash = compile(p.hash, encode.hash, plain);
  }

  #match(input, baseURL) {
    const inputs = [];
    let values;
    if (isDictionary(input)) {
      if (baseURL !== undefined) throw new TypeError("A base URL goes with a string only");
      inputs.push(input ?? {});
      const init = initOf(input ?? {});
      try {
        values = processInit(init, false, "");
      } catch {
        return null;
      }
    } else {
      input = usvString(input);
      inputs.push(input);
      if (baseURL !== undefined) inputs.push((baseURL = usvString(baseURL)));
      const url = URL.parse(input, baseURL);
      if (url === null) return null;
      values = {
        protocol: url.protocol.slice(0, -1), username: url.username, password: url.password, hostname: url.hostname,
        port: url.port, pathname: url.pathname, search: url.search.slice(1), hash: url.hash.slice(1),
      };
    }
    const result = { inputs };
    for (const key of COMPONENTS) {
      const { regexp, names } = this.#parts[key];
      const found = regexp.exec(values[key]);
      if (found === null) return null;
      const groups = {};
      names.forEach((name, i) => { groups[name] = found[i + 1]; });
      result[key] = { input: values[key], groups };
    }
    return result;
  }

  test(input = undefined, baseURL = undefined) {
    return this.#match(input, baseURL) !== null;
  }
  exec(input = undefined, baseURL = undefined) {
    return this.#match(input, baseURL);
  }
  get protocol() { return this.#parts.protocol.text; }
  get username() { return this.#parts.username.text; }
  get password() { return this.#parts.password.text; }
  get hostname() { return this.#parts.hostname.text; }
  get port() { return this.#parts.port.text; }
  get pathname() { return this.#parts.pathname.text; }
  get search() { return this.#parts.search.text; }
  get hash() { return this.#parts.hash.text; }
  get hasRegExpGroups() { return COMPONENTS.some((key) => this.#parts[key].hasRegexp); }
}
expose(URLPattern);

