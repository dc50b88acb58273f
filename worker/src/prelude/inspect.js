// Values as text for people, in the notation that Node prints: `console`, `node:util`, assertion messages.
//
// Bounded in depth, breadth, string length and number of values, so that printing a hostile value costs little.
// Getters and proxy traps are not run; a value's own `[Symbol.for("nodejs.util.inspect.custom")]` is.
import native from "fazt:native/inspect";

export const custom = Symbol.for("nodejs.util.inspect.custom");

const VALUES_MAX = 5000;

export const defaultOptions = {
  showHidden: false,
  depth: 2,
  colors: false,
  customInspect: true,
  showProxy: false,
  maxArrayLength: 100,
  maxStringLength: 10000,
  breakLength: 80,
  compact: 3,
  sorted: false,
  getters: false,
  numericSeparator: false,
};

export const colors = {
  __proto__: null,
  reset: [0, 0], bold: [1, 22], dim: [2, 22], italic: [3, 23], underline: [4, 24], inverse: [7, 27], hidden: [8, 28],
  strikethrough: [9, 29], black: [30, 39], red: [31, 39], green: [32, 39], yellow: [33, 39], blue: [34, 39],
  magenta: [35, 39], cyan: [36, 39], white: [37, 39], gray: [90, 39], grey: [90, 39], redBright: [91, 39],
  greenBright: [92, 39], yellowBright: [93, 39], blueBright: [94, 39], magentaBright: [95, 39], cyanBright: [96, 39],
  whiteBright: [97, 39], bgBlack: [40, 49], bgRed: [41, 49], bgGreen: [42, 49], bgYellow: [43, 49], bgBlue: [44, 49],
  bgMagenta: [45, 49], bgCyan: [46, 49], bgWhite: [47, 49],
};
export const styles = {
  __proto__: null,
  special: "cyan", number: "yellow", bigint: "yellow", boolean: "yellow", undefined: "grey", null: "bold",
  string: "green", symbol: "green", date: "magenta", regexp: "red", module: "underline",
};

const paint = (text, style) => {
  const code = colors[styles[style]];
  return code === undefined ? text : `\u001b[${code[0]}m${text}\u001b[${code[1]}m`;
};
const bare = (text) => text;

const getOwn = Object.getOwnPropertyDescriptor;
const protoOf = Object.getPrototypeOf;
const hasOwn = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const IDENTIFIER = /^[a-zA-Z_][a-zA-Z_0-9]*$/;
// eslint-disable-next-line no-control-regex
const ESCAPED = /[\u0000-\u001f\u007f-\u009f'\\]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const SHORT = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\", "'": "\\'" };

const escapeOne = (char) => {
  const short = SHORT[char];
  if (short !== undefined) return short;
  const code = char.charCodeAt(0);
  return code < 0x100 ? `\\x${code.toString(16).toUpperCase().padStart(2, "0")}` : `\\u${code.toString(16).toUpperCase()}`;
};

function quote(text) {
  let mark = "'";
  if (text.includes("'")) {
    if (!text.includes('"')) mark = '"';
    else if (!text.includes("`") && !text.includes("${")) mark = "`";
  }
  return mark + text.replace(ESCAPED, (char) => (char === "'" && mark !== "'" ? char : escapeOne(char))) + mark;
}

const separated = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, "_");

function formatNumber(state, value) {
  if (Object.is(value, -0)) return state.stylize("-0", "number");
  let text = String(value);
  if (state.numericSeparator && /^-?\d+(\.\d+)?$/.test(text)) {
    const [whole, fraction] = text.split(".");
    text = separated(whole) + (fraction === undefined ? "" : `.${fraction.replace(/(\d{3})(?=\d)/g, "$1_")}`);
  }
  return state.stylize(text, "number");
}

function formatPrimitive(state, value) {
  switch (typeof value) {
    case "string": {
      let trailer = "";
      if (value.length > state.maxStringLength) {
        const left = value.length - state.maxStringLength;
        value = value.slice(0, state.maxStringLength);
        trailer = `... ${left} more character${left > 1 ? "s" : ""}`;
      }
      if (state.compact !== true && value.length > 16 && value.length > state.breakLength - state.indent - 4 && value.includes("\n")) {
        const lines = value.match(/[^\n]*\n|[^\n]+/g).map((line) => state.stylize(quote(line), "string"));
        return lines.join(` +\n${" ".repeat(state.indent + 2)}`) + trailer;
      }
      return state.stylize(quote(value), "string") + trailer;
    }
    case "number": return formatNumber(state, value);
    case "bigint": return state.stylize(`${state.numericSeparator ? separated(String(value)) : value}n`, "bigint");
    case "boolean": return state.stylize(String(value), "boolean");
    case "undefined": return state.stylize("undefined", "undefined");
    case "symbol": return state.stylize(Symbol.prototype.toString.call(value), "symbol");
    default: return state.stylize("null", "null");
  }
}

// The name of the class whose instance this is, found without running getters. Null: no prototype.
function constructorName(value) {
  let object = protoOf(value);
  if (object === null) return null;
  for (let steps = 0; object !== null && steps < 100; object = protoOf(object), steps++) {
    if (native.isProxy(object)) break;
    const made = object === Promise.prototype ? Promise : getOwn(object, "constructor")?.value;
    if (typeof made !== "function" || native.isProxy(made)) continue;
    const name = getOwn(made, "name")?.value;
    if (typeof name === "string" && name !== "" && getOwn(made, "prototype")?.value === object) return name;
  }
  return "Object";
}

function tagOf(value, name) {
  let object = value;
  for (let steps = 0; object !== null && steps < 100; steps++) {
    if (native.isProxy(object)) return "";
    const found = getOwn(object, Symbol.toStringTag);
    if (found !== undefined) {
      const tag = object === value && found.enumerable ? "" : found.value;
      return typeof tag === "string" && tag !== "" && tag !== name ? tag : "";
    }
    object = protoOf(object);
  }
  return "";
}

function prefix(name, tag, fallback, size = "") {
  const extra = tag === "" ? "" : `[${tag}] `;
  if (name === null) return `[${fallback}${size}: null prototype] ${extra}`;
  return `${name}${size} ${extra}`;
}

const isIndex = (key) => /^(0|[1-9]\d{0,9})$/.test(key) && Number(key) < 4294967295;

function ownKeys(state, value, indexed) {
  let keys;
  if (state.showHidden) {
    keys = Object.getOwnPropertyNames(value);
    if (indexed) keys = keys.filter((key) => !isIndex(key));
  } else {
    // Indices come first, so the rest starts after the last of them.
    keys = Object.keys(value);
    if (indexed) {
      let low = 0, high = keys.length;
      while (low < high) { const mid = (low + high) >> 1; if (isIndex(keys[mid])) low = mid + 1; else high = mid; }
      keys = keys.slice(low);
    }
  }
  for (const symbol of Object.getOwnPropertySymbols(value)) {
    if (state.showHidden || getOwn(value, symbol)?.enumerable) keys.push(symbol);
  }
  return keys;
}

const keyText = (state, key) => {
  if (typeof key === "symbol") return `[${state.stylize(Symbol.prototype.toString.call(key), "symbol")}]`;
  if (key === "__proto__") return "['__proto__']";
  return IDENTIFIER.test(key) ? state.stylize(key, "name") : state.stylize(quote(key), "string");
};

function formatProperty(state, value, depth, key, kind) {
  const found = getOwn(value, key) ?? { value: undefined, enumerable: true };
  let text;
  if (found.value !== undefined || !("get" in found || "set" in found)) {
    const step = state.compact !== true || kind !== "object" ? 2 : 3;
    state.indent += step;
    text = formatValue(state, found.value, depth);
    state.indent -= step;
  } else if (found.get !== undefined) {
    const label = found.set === undefined ? "Getter" : "Getter/Setter";
    text = state.stylize(`[${label}]`, "special");
    if (state.getters === true || (state.getters === "get" && found.set === undefined) || (state.getters === "set" && found.set !== undefined)) {
      try {
        state.indent += 2;
        const got = found.get.call(value);
        const plain = (typeof got !== "object" && typeof got !== "function") || got === null;
        text = plain
          ? `${state.stylize(`[${label}:`, "special")} ${formatPrimitive(state, got)}${state.stylize("]", "special")}`
          : `${state.stylize(`[${label}]`, "special")} ${formatValue(state, got, depth)}`;
      } catch (error) {
        text = state.stylize(`[${label}: <Inspection threw (${error?.message})>]`, "special");
      } finally {
        state.indent -= 2;
      }
    }
  } else {
    text = state.stylize(found.set === undefined ? "undefined" : "[Setter]", found.set === undefined ? "undefined" : "special");
  }
  if (kind === "element") return text;
  const name = keyText(state, key);
  return `${found.enumerable === false ? `[${typeof key === "symbol" ? name.slice(1, -1) : key}]` : name}: ${text}`;
}

const more = (left) => `... ${left} more item${left > 1 ? "s" : ""}`;

function formatArray(state, value, depth) {
  const output = [];
  const length = value.length;
  const shown = Math.min(Math.max(0, state.maxArrayLength), length);
  let index = 0;
  while (index < length && output.length < shown) {
    if (getOwn(value, index) !== undefined) {
      output.push(formatProperty(state, value, depth, String(index), "element"));
      index++;
      continue;
    }
    const start = index;
    // Holes may be billions: the keys say where the next element is.
    if (length - index > 1000) {
      const next = Object.keys(value).find((key) => isIndex(key) && Number(key) >= start);
      index = next === undefined ? length : Math.min(Number(next), length);
    } else {
      while (index < length && getOwn(value, index) === undefined) index++;
    }
    const holes = index - start;
    output.push(state.stylize(`<${holes} empty item${holes > 1 ? "s" : ""}>`, "undefined"));
  }
  if (index < length) output.push(more(length - index));
  return output;
}

function formatTyped(state, value, length) {
  const shown = Math.min(Math.max(0, state.maxArrayLength), length);
  const output = [];
  for (let i = 0; i < shown; i++) output.push(formatPrimitive(state, value[i]));
  if (length > shown) output.push(more(length - shown));
  return output;
}

function formatBytes(state, buffer) {
  let bytes;
  try { bytes = new Uint8Array(buffer); } catch { return [state.stylize("(detached)", "special")]; }
  const shown = Math.min(50, Math.max(0, state.maxArrayLength), bytes.length);
  let text = "";
  for (let i = 0; i < shown; i++) text += (i ? " " : "") + bytes[i].toString(16).padStart(2, "0");
  const left = bytes.length - shown;
  if (left > 0) text += ` ... ${left} more byte${left > 1 ? "s" : ""}`;
  return [`${state.stylize("[Uint8Contents]", "special")}: <${text}>`, `byteLength: ${formatNumber(state, bytes.length)}`];
}

const mapSize = getOwn(Map.prototype, "size").get;
const setSize = getOwn(Set.prototype, "size").get;
const mapEach = Map.prototype.forEach;
const setEach = Set.prototype.forEach;
const tagged = (() => {
  const typed = protoOf(Uint8Array.prototype);
  return { length: getOwn(typed, "length").get, tag: getOwn(typed, Symbol.toStringTag).get };
})();

function formatCollection(state, value, depth, isMap) {
  const output = [];
  const size = (isMap ? mapSize : setSize).call(value);
  const shown = Math.min(Math.max(0, state.maxArrayLength), size);
  state.indent += 2;
  let count = 0;
  const each = isMap
    ? (item, key) => { if (count++ < shown) output.push(`${formatValue(state, key, depth)} => ${formatValue(state, item, depth)}`); }
    : (item) => { if (count++ < shown) output.push(formatValue(state, item, depth)); };
  (isMap ? mapEach : setEach).call(value, each);
  state.indent -= 2;
  if (size > shown) output.push(more(size - shown));
  return output;
}

function stackOf(error, name) {
  const data = (key) => {
    for (let object = error, steps = 0; object !== null && steps < 100; object = protoOf(object), steps++) {
      if (native.isProxy(object)) return undefined;
      const found = getOwn(object, key);
      if (found !== undefined) {
        if ("value" in found) return found.value;
        try { return found.get?.call(error); } catch { return undefined; }
      }
    }
    return undefined;
  };
  const text = (value, otherwise) => (typeof value === "string" ? value : value === undefined ? otherwise : typeof value === "object" ? otherwise : String(value));
  let called = text(data("name"), "Error");
  // A subclass that did not set `name` is better known by its class.
  if (name !== null && name !== "Object" && called === "Error" && name !== "Error") called = name;
  const message = text(data("message"), "");
  const head = message === "" ? called : called === "" ? message : `${called}: ${message}`;
  const stack = data("stack");
  if (typeof stack !== "string" || stack === "") return `[${head}]`;
  const own = text(data("name"), "Error");
  const standard = message === "" ? own : `${own}: ${message}`;
  if (stack.startsWith(standard)) return head + stack.slice(standard.length);
  if (stack.startsWith(head)) return stack;
  return `${head}\n${stack.replace(/\n$/, "")}`;
}

function functionBase(value, name, tag) {
  const source = native.isProxy(value) ? "" : sourceOf(value);
  const own = getOwn(value, "name")?.value;
  const isClass = /^class[\s{]/.test(source);
  if (isClass) {
    let text = `[class ${typeof own === "string" && own !== "" ? own : "(anonymous)"}`;
    if (name !== "Function" && name !== null) text += ` [${name}]`;
    if (tag !== "" && name !== tag) text += ` [${tag}]`;
    const parent = protoOf(value);
    if (name === null || parent === null) text += " extends null";
    else if (typeof parent === "function" && getOwn(parent, "name")?.value) text += ` extends ${getOwn(parent, "name").value}`;
    return `${text}]`;
  }
  const kind = native.classOf(value) ?? "Function";
  let text = `[${kind}`;
  if (name === null) text += " (null prototype)";
  text += typeof own === "string" && own !== "" ? `: ${own}]` : " (anonymous)]";
  if (tag !== "" && name !== tag && tag !== kind) text += ` [${tag}]`;
  return text;
}

function sourceOf(value) {
  try { return Function.prototype.toString.call(value).slice(0, 8); } catch { return ""; }
}

const WRAPPERS = { Number: Number.prototype.valueOf, String: String.prototype.valueOf, Boolean: Boolean.prototype.valueOf, BigInt: BigInt.prototype.valueOf, Symbol: Symbol.prototype.valueOf };

function formatValue(state, value, depth, typed) {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return formatPrimitive(state, value);
  if (state.left-- <= 0) return state.stylize("...", "special");
  if (native.isProxy(value)) {
    const [target, handler] = native.proxyParts(value);
    if (target === null || target === undefined) return state.stylize("<Revoked Proxy>", "special");
    if (state.showProxy) {
      if (depth > state.depth) return state.stylize("Proxy [Array]", "special");
      state.indent += 2;
      const parts = [formatValue(state, target, depth + 1), formatValue(state, handler, depth + 1)];
      state.indent -= 2;
      return join(state, parts, "", ["Proxy [", "]"], "array", depth);
    }
    // What a proxy stands for is shown without running its traps.
    return formatValue(state, target, depth, typed);
  }
  if (state.customInspect) {
    const own = custom in value ? value[custom] : undefined;
    if (typeof own === "function" && own !== inspect && !(getOwn(value, "constructor")?.value?.prototype === value)) {
      const left = state.depth - depth;
      const options = { ...state.user, depth: left, stylize: state.stylize };
      const made = own.call(value, left, options, inspect);
      if (made !== value) {
        if (typeof made !== "object" && typeof made !== "function") return typeof made === "string" ? made.replaceAll("\n", `\n${" ".repeat(state.indent)}`) : formatPrimitive(state, made);
        return formatValue(state, made, depth);
      }
    }
  }
  if (state.seen.includes(value)) {
    let index = state.circular.get(value);
    if (index === undefined) state.circular.set(value, (index = state.circular.size + 1));
    return state.stylize(`[Circular *${index}]`, "special");
  }
  return formatRaw(state, value, depth, typed);
}

function formatRaw(state, value, depth) {
  const name = constructorName(value);
  const tag = tagOf(value, name);
  const brand = native.classOf(value);
  let base = "", keys, format = () => [], braces = ["{", "}"], kind = "object", empty = true;

  if (Array.isArray(value)) {
    keys = ownKeys(state, value, true);
    const before = name !== "Array" || tag !== "" ? prefix(name, tag, "Array", `(${value.length})`) : "";
    braces = [`${before}[`, "]"];
    if (value.length === 0 && keys.length === 0) return `${braces[0]}]`;
    kind = "array";
    format = () => formatArray(state, value, depth + 1);
  } else if (brand === "Set" || brand === "Map") {
    const size = (brand === "Map" ? mapSize : setSize).call(value);
    keys = ownKeys(state, value, false);
    braces[0] = `${prefix(name, tag, brand, `(${size})`)}{`;
    if (size === 0 && keys.length === 0) return `${braces[0]}}`;
    format = () => formatCollection(state, value, depth + 1, brand === "Map");
  } else if (tagged.tag.call(value) !== undefined) {
    keys = ownKeys(state, value, true);
    const length = tagged.length.call(value);
    braces = [`${prefix(name, name === tagged.tag.call(value) ? "" : tagged.tag.call(value), tagged.tag.call(value), `(${length})`)}[`, "]"];
    if (length === 0 && keys.length === 0) return `${braces[0]}]`;
    kind = "array";
    format = () => formatTyped(state, value, length);
  } else {
    keys = ownKeys(state, value, false);
    empty = keys.length === 0;
    if (typeof value === "function") {
      base = functionBase(value, name, tag);
      if (empty) return state.stylize(base, "special");
    } else if (brand === "RegExp") {
      base = RegExp.prototype.toString.call(value);
      const before = prefix(name, tag, "RegExp");
      if (before !== "RegExp ") base = before + base;
      if (empty) return state.stylize(base, "regexp");
    } else if (brand === "Date") {
      const time = Date.prototype.getTime.call(value);
      base = Number.isNaN(time) ? "Invalid Date" : Date.prototype.toISOString.call(value);
      const before = prefix(name, tag, "Date");
      if (before !== "Date ") base = before + base;
      if (empty) return state.stylize(base, "date");
    } else if (brand === "Error" || brand === "DOMException" || value instanceof Error) {
      keys = keys.filter((key) => !["stack", "message", "name", "fileName", "lineNumber", "columnNumber"].includes(key));
      base = stackOf(value, name);
      if (hasOwn(value, "cause") && !keys.includes("cause")) keys.push("cause");
      if (Array.isArray(getOwn(value, "errors")?.value) && !keys.includes("errors")) keys.push("errors");
      if (state.indent > 0) base = base.replaceAll("\n", `\n${" ".repeat(state.indent)}`);
      if (keys.length === 0) return base;
    } else if (brand === "ArrayBuffer" || brand === "SharedArrayBuffer") {
      braces[0] = `${prefix(name, tag, "ArrayBuffer")}{`;
      format = () => formatBytes(state, value);
      empty = false;
    } else if (brand === "DataView") {
      braces[0] = `${prefix(name, tag, "DataView")}{`;
      format = () => [
        `byteLength: ${formatNumber(state, value.byteLength)}`,
        `byteOffset: ${formatNumber(state, value.byteOffset)}`,
        `buffer: ${formatValue(state, value.buffer, depth + 1)}`,
      ];
      empty = false;
    } else if (brand === "Promise") {
      braces[0] = `${prefix(name, tag, "Promise")}{`;
      format = () => {
        const [status, result] = native.promiseState(value);
        if (status === "pending") return [state.stylize("<pending>", "special")];
        state.indent += 2;
        const text = formatValue(state, result, depth + 1);
        state.indent -= 2;
        return [status === "rejected" ? `${state.stylize("<rejected>", "special")} ${text}` : text];
      };
      empty = false;
    } else if (brand === "WeakSet" || brand === "WeakMap" || brand === "WeakRef") {
      braces[0] = `${prefix(name, tag, brand)}{`;
      format = () => [state.stylize(brand === "WeakRef" ? "<ref>" : "<items unknown>", "special")];
      empty = false;
    } else if (brand === "Module") {
      braces[0] = `[Module: null prototype] {`;
    } else if (WRAPPERS[brand] !== undefined) {
      const primitive = WRAPPERS[brand].call(value);
      if (brand === "String") keys = keys.filter((key) => typeof key === "symbol" || !isIndex(key));
      base = `[${brand}${name !== brand ? (name === null ? " (null prototype)" : ` (${name})`) : ""}: ${formatPrimitive({ ...state, stylize: bare }, primitive)}]`;
      if (tag !== "" && tag !== name) base += ` [${tag}]`;
      if (keys.length === 0) return state.stylize(base, brand.toLowerCase());
    } else if (brand === "Arguments") {
      braces = ["[Arguments] [", "]"];
      kind = "array";
      keys = ownKeys(state, value, true);
      format = () => formatArray(state, value, depth + 1);
      empty = false;
    } else {
      const before = prefix(name, tag, "Object");
      if (before !== "Object ") braces[0] = `${before}{`;
      if (empty) return `${braces[0]}}`;
    }
  }

  if (depth > state.depth) {
    const shown = prefix(name, tag, Array.isArray(value) ? "Array" : "Object").slice(0, -1);
    return state.stylize(`[${name === null ? shown.replace(/^\[|\]$/g, "") : shown}]`, "special");
  }
  state.seen.push(value);
  state.current = depth;
  let output;
  try {
    output = format();
    for (const key of keys) output.push(formatProperty(state, value, depth + 1, key, kind === "array" ? "extra" : "object"));
  } finally {
    state.seen.pop();
  }
  const index = state.circular.get(value);
  if (index !== undefined) {
    const reference = state.stylize(`<ref *${index}>`, "special");
    if (state.compact === true || base !== "") base = base === "" ? reference : `${reference} ${base}`;
    else braces[0] = `${reference} ${braces[0]}`;
  }
  if (state.sorted) {
    const compare = state.sorted === true ? undefined : state.sorted;
    if (kind === "object") output.sort(compare);
    else if (keys.length > 1) output = output.slice(0, -keys.length).concat(output.slice(-keys.length).sort(compare));
  }
  return join(state, output, base, braces, kind, depth, value);
}

const plainLength = (state, text) => (state.colors ? text.replace(/\u001b\[\d+m/g, "").length : text.length);

function join(state, output, base, braces, kind, depth, value) {
  if (state.compact !== true) {
    const before = output.length;
    if (kind === "array" && before > 6) output = columns(state, output, value);
    if (typeof state.compact === "number" && state.current - depth < state.compact && before === output.length) {
      const start = output.length + state.indent + braces[0].length + base.length + 10;
      if (fits(state, output, start, base)) {
        const line = output.join(", ");
        if (!line.includes("\n")) return `${base === "" ? "" : `${base} `}${braces[0]} ${line} ${braces[1]}`;
      }
    }
    const indentation = `\n${" ".repeat(state.indent)}`;
    return `${base === "" ? "" : `${base} `}${braces[0]}${indentation}  ${output.join(`,${indentation}  `)}${indentation}${braces[1]}`;
  }
  if (fits(state, output, 0, base)) return `${braces[0]}${base === "" ? "" : ` ${base}`} ${output.join(", ")} ${braces[1]}`;
  const indentation = " ".repeat(state.indent);
  const line = base === "" && braces[0].length === 1 ? " " : `${base === "" ? "" : ` ${base}`}\n${indentation}  `;
  return `${braces[0]}${line}${output.join(`,\n${indentation}  `)} ${braces[1]}`;
}

function fits(state, output, start, base) {
  let total = output.length + start;
  if (total + output.length > state.breakLength) return false;
  for (const text of output) {
    total += plainLength(state, text);
    if (total > state.breakLength) return false;
  }
  return base === "" || !base.includes("\n");
}

// Many short elements go into aligned columns, about as wide as high.
function columns(state, output, value) {
  let total = 0, widest = 0, count = output.length;
  const trailing = value !== undefined && state.maxArrayLength < value.length ? 1 : 0;
  count -= trailing;
  const lengths = [];
  for (let i = 0; i < count; i++) {
    const length = plainLength(state, output[i]);
    lengths.push(length);
    total += length + 2;
    widest = Math.max(widest, length);
  }
  const width = widest + 2;
  if (!(width * 3 + state.indent < state.breakLength) || !(total / width > 5 || widest <= 6)) return output;
  const bias = Math.sqrt(width - total / output.length);
  const biased = Math.max(width - 3 - bias, 1);
  const perRow = Math.min(
    Math.round(Math.sqrt(2.5 * biased * count) / biased),
    Math.floor((state.breakLength - state.indent) / width),
    state.compact * 4,
    15,
  );
  if (perRow <= 1) return output;
  const widths = [];
  for (let column = 0; column < perRow; column++) {
    let most = 0;
    for (let i = column; i < count; i += perRow) most = Math.max(most, lengths[i]);
    widths.push(most + 2);
  }
  const numeric = value !== undefined && [...Array(Math.min(value.length, count)).keys()].every((i) => {
    const type = typeof getOwn(value, i)?.value;
    return type === "number" || type === "bigint";
  });
  const rows = [];
  for (let i = 0; i < count; i += perRow) {
    const last = Math.min(i + perRow, count);
    let row = "";
    for (let j = i; j < last; j++) {
      const ends = j === last - 1;
      const cell = ends ? output[j] : `${output[j]}, `;
      const pad = widths[j - i] - lengths[j] - 2;
      if (numeric) row += " ".repeat(Math.max(0, pad)) + cell;
      else row += ends ? cell : cell + " ".repeat(Math.max(0, pad));
    }
    rows.push(row);
  }
  if (trailing) rows.push(output[count]);
  return rows;
}

export function inspect(value, options, ...rest) {
  const user = {};
  if (typeof options === "object" && options !== null) Object.assign(user, options);
  else if (options !== undefined) user.showHidden = options;
  if (rest.length > 0 && rest[0] !== undefined) user.depth = rest[0];
  if (rest.length > 1 && rest[1] !== undefined) user.colors = rest[1];
  const state = { ...defaultOptions, ...user, user, indent: 0, seen: [], circular: new Map(), left: VALUES_MAX, current: 0 };
  if (state.depth === null) state.depth = Infinity;
  if (state.maxArrayLength === null) state.maxArrayLength = Infinity;
  if (state.maxStringLength === null) state.maxStringLength = Infinity;
  state.depth = Math.min(state.depth, 200);
  state.stylize = typeof user.stylize === "function" ? user.stylize : state.colors ? paint : bare;
  return formatValue(state, value, 0);
}
inspect.custom = custom;
inspect.defaultOptions = defaultOptions;
inspect.colors = colors;
inspect.styles = styles;

const short = (value, options) => inspect(value, { ...options, depth: 0, compact: 3 });

// Whether String(value) is what the author of the class wanted to be shown.
function hasOwnToString(value) {
  if (native.isProxy(value)) return false;
  let object = value;
  for (let steps = 0; object !== null && steps < 100; object = protoOf(object), steps++) {
    const found = getOwn(object, "toString") ?? getOwn(object, Symbol.toPrimitive);
    if (found === undefined) continue;
    if (typeof found.value !== "function") return false;
    return object !== Object.prototype && object !== Array.prototype && object !== Error.prototype && object !== Date.prototype
      && object !== Function.prototype && !/\[native code\]/.test(Function.prototype.toString.call(found.value));
  }
  return false;
}

function stringFor(value, options) {
  if (typeof value === "string") return value;
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value === "object" && value !== null) return hasOwnToString(value) ? String(value) : short(value, { ...options, colors: false });
  return String(value);
}

const numberFor = (value, parse) => {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol") return "NaN";
  const number = parse(value);
  return Object.is(number, -0) ? "-0" : String(number);
};

export function formatWithOptions(options, ...args) {
  const first = args[0];
  if (typeof first !== "string") return args.map((arg) => (typeof arg === "string" ? arg : inspect(arg, options))).join(" ");
  if (args.length === 1) return first;
  let text = "", next = 1, last = 0;
  for (let at = first.indexOf("%"); at !== -1 && at < first.length - 1; at = first.indexOf("%", at)) {
    const letter = first[at + 1];
    let made;
    if (letter === "%") {
      text += `${first.slice(last, at)}%`;
      last = at += 2;
      continue;
    }
    if (next < args.length) {
      const arg = args[next];
      switch (letter) {
        case "s": made = stringFor(arg, options); break;
        case "d": made = numberFor(arg, Number); break;
        case "i": made = typeof arg === "object" && arg !== null ? "NaN" : typeof arg === "bigint" ? `${arg}n` : numberFor(arg, parseInt); break;
        case "f": made = typeof arg === "symbol" ? "NaN" : String(parseFloat(arg)); break;
        case "j":
          try { made = JSON.stringify(arg); } catch (error) {
            if (!/circular/i.test(String(error?.message))) throw error;
            made = "[Circular]";
          }
          break;
        case "o": made = inspect(arg, { ...options, showHidden: true, showProxy: true, depth: 4 }); break;
        case "O": made = inspect(arg, options); break;
        case "c": made = ""; break;
        default: made = undefined;
      }
      if (made !== undefined || letter === "j") {
        text += first.slice(last, at) + made;
        next++;
        last = at += 2;
        continue;
      }
    }
    at += 1;
  }
  text += first.slice(last);
  for (; next < args.length; next++) {
    const arg = args[next];
    text += ` ${typeof arg === "string" ? arg : inspect(arg, options)}`;
  }
  return text;
}

export const format = (...args) => formatWithOptions({}, ...args);
