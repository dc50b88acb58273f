// The pattern language of URLPattern: tokens, parts, and the regular expression and canonical text of a component.

const FULL = ".*";
const REGEXP = new Set(". + * ? ^ $ { } ( ) [ ] | / \\".split(" "));
const PATTERN = new Set("+ * ? : { } ( ) \\".split(" "));

const escape = (text, set) => Array.from(text, (c) => (set.has(c) ? `\\${c}` : c)).join("");
export const escapePattern = (text) => escape(text, PATTERN);
const escapeRegexp = (text) => escape(text, REGEXP);

const nameStart = (c) => c !== undefined && (c === "$" || c === "_" || /\p{ID_Start}/u.test(c));
const namePart = (c) => c !== undefined && (c === "$" || c === "‌" || c === "‍" || /\p{ID_Continue}/u.test(c));
const ascii = (c) => c <= "\x7f";

/** The tokens of `input`, an array of code points. `strict` throws on what is not a pattern. */
export function tokenize(input, strict) {
  const tokens = [];
  let at = 0;
  const push = (type, end, from = at, to = end) => {
    tokens.push({ type, index: at, value: input.slice(from, to).join("") });
    at = end;
  };
  const invalid = (end, why) => {
    if (strict) throw new TypeError(`Invalid pattern: ${why} at ${at}`);
    push("invalid", end);
  };
  while (at < input.length) {
    const c = input[at];
    if (c === "*") push("asterisk", at + 1);
    else if (c === "+" || c === "?") push("modifier", at + 1);
    else if (c === "\\") {
      if (at === input.length - 1) invalid(at + 1, "a backslash at the end");
      else push("escaped", at + 2, at + 1);
    } else if (c === "{") push("open", at + 1);
    else if (c === "}") push("close", at + 1);
    else if (c === ":") {
      let end = at + 1;
      while (end < input.length && (end === at + 1 ? nameStart(input[end]) : namePart(input[end]))) end++;
      if (end === at + 1) invalid(end, "a colon without a name");
      else push("name", end, at + 1);
    } else if (c === "(") regexp(input, at, push, invalid);
    else push("char", at + 1);
  }
  tokens.push({ type: "end", index: input.length, value: "" });
  return tokens;
}

function regexp(input, start, push, invalid) {
  let depth = 1;
  let at = start + 1;
  while (at < input.length) {
    const c = input[at];
    if (!ascii(c)) return invalid(start + 1, "a character that is not ASCII in a group");
    if (at === start + 1 && c === "?") return invalid(start + 1, "a group that starts with ?");
    if (c === "\\") {
      if (at === input.length - 1 || !ascii(input[at + 1])) return invalid(start + 1, "a bad escape in a group");
      at += 2;
      continue;
    }
    if (c === ")") {
      if (--depth === 0) {
        if (at === start + 1) return invalid(start + 1, "an empty group");
        return push("regexp", at + 1, start + 1, at);
      }
    } else if (c === "(") {
      depth++;
      if (input[at + 1] !== "?") return invalid(start + 1, "a capturing group in a group");
    }
    at++;
  }
  return invalid(start + 1, "a group without an end");
}

/** The parts of a pattern; fixed text goes through `encode`. */
function parse(text, options, encode) {
  const tokens = tokenize(Array.from(text), true);
  const parts = [];
  const names = new Set();
  const wildcard = segmentWildcard(options);
  let at = 0;
  let pending = "";
  let numeric = 0;
  const take = (type) => (tokens[at].type === type ? tokens[at++] : null);
  const need = (type) => {
    const token = take(type);
    if (token === null) throw new TypeError(`Invalid pattern: expected ${type} at ${tokens[at].index}`);
  };
  const regexpOrWildcard = (name) => take("regexp") ?? (name === null ? take("asterisk") : null);
  const modifier = () => take("modifier") ?? take("asterisk");
  const flush = () => {
    if (pending === "") return;
    parts.push({ type: "fixed", value: encode(pending), modifier: "" });
    pending = "";
  };
  const consumeText = () => {
    let out = "";
    for (let token; (token = take("char") ?? take("escaped")) !== null; ) out += token.value;
    return out;
  };
  const add = (prefix, name, regexp, suffix, modifier) => {
    const mod = modifier === null ? "" : modifier.value;
    if (name === null && regexp === null && mod === "") {
      pending += prefix;
      return;
    }
    flush();
    if (name === null && regexp === null) {
      if (prefix !== "") parts.push({ type: "fixed", value: encode(prefix), modifier: mod });
      return;
    }
    let value = regexp === null ? wildcard : regexp.type === "asterisk" ? FULL : regexp.value;
    let type = "regexp";
    if (value === wildcard) [type, value] = ["segment", ""];
    else if (value === FULL) [type, value] = ["full", ""];
    const key = name === null ? String(numeric++) : name.value;
    if (names.has(key)) throw new TypeError(`Invalid pattern: the name "${key}" is there twice`);
    names.add(key);
    parts.push({ type, value, modifier: mod, name: key, prefix: encode(prefix), suffix: encode(suffix) });
  };
  while (at < tokens.length) {
    const char = take("char");
    const name = take("name");
    const group = regexpOrWildcard(name);
    if (name !== null || group !== null) {
      let prefix = char === null ? "" : char.value;
      if (prefix !== "" && prefix !== options.prefix) {
        pending += prefix;
        prefix = "";
      }
      flush();
      add(prefix, name, group, "", modifier());
      continue;
    }
    const fixed = char ?? take("escaped");
    if (fixed !== null) {
      pending += fixed.value;
      continue;
    }
    if (take("open") !== null) {
      const prefix = consumeText();
      const inner = take("name");
      const innerGroup = regexpOrWildcard(inner);
      const suffix = consumeText();
      need("close");
      add(prefix, inner, innerGroup, suffix, modifier());
      continue;
    }
    flush();
    need("end");
  }
  return parts;
}

const segmentWildcard = (options) => (options.delimiter === "" ? "[^]+?" : `[^${escapeRegexp(options.delimiter)}]+?`);

function regexpOf(parts, options) {
  const names = [];
  let out = "^";
  for (const p of parts) {
    if (p.type === "fixed") {
      out += p.modifier === "" ? escapeRegexp(p.value) : `(?:${escapeRegexp(p.value)})${p.modifier}`;
      continue;
    }
    names.push(p.name);
    const value = p.type === "segment" ? segmentWildcard(options) : p.type === "full" ? FULL : p.value;
    const once = p.modifier === "" || p.modifier === "?";
    if (p.prefix === "" && p.suffix === "") {
      out += once ? `(${value})${p.modifier}` : `((?:${value})${p.modifier})`;
      continue;
    }
    const prefix = escapeRegexp(p.prefix), suffix = escapeRegexp(p.suffix);
    if (once) out += `(?:${prefix}(${value})${suffix})${p.modifier}`;
    else out += `(?:${prefix}((?:${value})(?:${suffix}${prefix}(?:${value}))*)${suffix})${p.modifier === "*" ? "?" : ""}`;
  }
  return { source: `${out}$`, names };
}

function textOf(parts, options) {
  let out = "";
  parts.forEach((p, i) => {
    if (p.type === "fixed") {
      out += p.modifier === "" ? escapePattern(p.value) : `{${escapePattern(p.value)}}${p.modifier}`;
      return;
    }
    const previous = parts[i - 1], next = parts[i + 1];
    const named = !/^[0-9]/.test(p.name);
    let grouped = p.suffix !== "" || (p.prefix !== "" && p.prefix !== options.prefix);
    if (!grouped && named && p.type === "segment" && p.modifier === "" && next && !next.prefix && !next.suffix) {
      grouped = next.type === "fixed" ? namePart(Array.from(next.value)[0]) : /^[0-9]/.test(next.name);
    }
    if (!grouped && p.prefix === "" && previous?.type === "fixed" && options.prefix !== "") {
      grouped = previous.value.endsWith(options.prefix);
    }
    if (grouped) out += "{";
    out += escapePattern(p.prefix);
    if (named) out += `:${p.name}`;
    if (p.type === "regexp") {
      out += `(${p.value})`;
    } else if (p.type === "segment") {
      if (!named) out += `(${segmentWildcard(options)})`;
    } else if (!named && (!previous || previous.type === "fixed" || previous.modifier !== "" || grouped || p.prefix !== "")) {
      out += "*";
    } else {
      out += "(.*)";
    }
    if (p.type === "segment" && named && p.suffix !== "" && namePart(Array.from(p.suffix)[0])) out += "\\";
    out += escapePattern(p.suffix);
    if (grouped) out += "}";
    out += p.modifier;
  });
  return out;
}

/** With set notation as the standard has it; the engine refuses some plain text then, such as "a-b". */
function regexpFrom(source, flags) {
  for (const mode of ["v", "u"]) {
    try {
      return new RegExp(source, mode + flags);
    } catch {
      // The other mode may know it.
    }
  }
  return null;
}

/** A compiled component: its canonical text, regular expression and group names. */
export function compile(text, encode, options) {
  const parts = parse(text, options, encode);
  const { source, names } = regexpOf(parts, options);
  const regexp = regexpFrom(source, options.ignoreCase ? "i" : "");
  if (regexp === null) throw new TypeError(`Invalid pattern "${text}": its regular expression is not valid`);
  return { text: textOf(parts, options), regexp, names, hasRegexp: parts.some((p) => p.type === "regexp") };
}
