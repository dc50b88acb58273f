// Intl in English, and dates in digits as some other places write them. There is no library of the world's languages
// in a worker: what is asked in another one is answered in English, and `resolvedOptions` says so. Time zones are all
// there.

import native from "fazt:native/intl";

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
// Order of a date in digits, what stands between, whether day and month have two digits, between date and time, 12 hours.
const DIGITS = {
  "en-US": ["mdy", "/", false, ", ", true], "en-GB": ["dmy", "/", true, ", ", false], "en-CA": ["ymd", "-", true, ", ", true],
  "sv-SE": ["ymd", "-", true, " ", false], "zh-CN": ["ymd", "/", false, " ", false],
  "ja-JP": ["ymd", "/", false, " ", false], "de-DE": ["dmy", ".", false, ", ", false], "fr-FR": ["dmy", "/", true, " ", false],
  "es-ES": ["dmy", "/", false, ", ", false], "it-IT": ["dmy", "/", true, ", ", false], "pt-BR": ["dmy", "/", true, ", ", false],
};
const NUMBERS = { de: [".", ","], es: [".", ","], it: [".", ","], fr: ["\u202f", ","], sv: ["\u00a0", ","] };
const SYMBOLS = { USD: "$", EUR: "€", GBP: "£", JPY: "¥", INR: "₹", CNY: "CN¥", KRW: "₩", BRL: "R$", AUD: "A$", CAD: "CA$", MXN: "MX$", NZD: "NZ$", ILS: "₪", VND: "₫", TWD: "NT$", HKD: "HK$" };
const TAG = /^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*$/;

function tags(locales) {
  if (locales === undefined) return [];
  const list = typeof locales === "string" || locales instanceof Locale ? [locales] : [...locales];
  return list.map((one) => {
    if (typeof one !== "string" && !(one instanceof Locale)) throw new TypeError("Incorrect locale information provided");
    one = `${one}`;
    if (!TAG.test(one)) throw new RangeError(`Incorrect locale information provided`);
    const [language, ...rest] = one.split("-");
    return [language.toLowerCase(), ...rest.map((part) => (part.length === 2 ? part.toUpperCase() : part))].join("-");
  });
}

// The first locale asked for that there is something for, of those in `known`; a language stands for its usual place.
function chosen(locales, known) {
  for (const tag of tags(locales)) {
    const plain = tag.replace(/-u-.*$/, "");
    if (known.includes(plain)) return plain;
    const language = plain.split("-")[0];
    if (language === "en") return ["IE", "NZ", "ZA", "IN"].includes(plain.split("-")[1]) && known.includes("en-GB") ? "en-GB" : "en-US";
    const near = known.find((one) => one.startsWith(`${language}-`));
    if (near !== undefined) return near;
  }
  return "en-US";
}

const pick = (options, name, values, fallback) => {
  const value = options[name];
  if (value === undefined) return fallback;
  const text = `${value}`;
  if (values !== undefined && !values.includes(text)) throw new RangeError(`Value ${text} out of range for Intl options property ${name}`);
  return text;
};
const count = (options, name, min, max, fallback) => {
  const value = options[name];
  if (value === undefined) return fallback;
  const number = Number(value);
  if (!(number >= min && number <= max)) throw new RangeError(`${name} value is out of range.`);
  return Math.floor(number);
};
const optionsOf = (options) => (options === undefined ? {} : Object(options));
const supported = (known) => (locales) => tags(locales).filter((tag) => known.some((one) => one === tag || one.split("-")[0] === tag.split("-")[0]));

// ------------------------------------------------------------------------------------------- numbers

export class NumberFormat {
  #o;
  constructor(locales, options) {
    options = optionsOf(options);
    const style = pick(options, "style", ["decimal", "percent", "currency", "unit"], "decimal");
    const currency = pick(options, "currency", undefined, undefined)?.toUpperCase();
    if (style === "currency" && !/^[A-Z]{3}$/.test(currency ?? "")) throw new TypeError("Currency code is required with currency style.");
    const cents = style === "currency" ? (["JPY", "KRW", "VND"].includes(currency) ? 0 : 2) : 0;
    const notation = pick(options, "notation", ["standard", "compact", "scientific", "engineering"], "standard");
    const most = notation === "compact" || style === "percent" ? 0 : style === "currency" ? cents : 3;
    const min = count(options, "minimumFractionDigits", 0, 100, undefined);
    const max = count(options, "maximumFractionDigits", 0, 100, undefined);
    const least = min ?? Math.min(cents, max ?? cents);
    if (max !== undefined && max < least) throw new RangeError("maximumFractionDigits value is out of range.");
    this.#o = {
      locale: chosen(locales, ["en-US", "en-GB", "de-DE", "es-ES", "it-IT", "fr-FR", "sv-SE"]),
      style, currency, notation,
      unit: pick(options, "unit", undefined, undefined),
      integers: count(options, "minimumIntegerDigits", 1, 21, 1),
      min: least, max: max ?? Math.max(most, least),
      plain: notation === "compact" && min === undefined && max === undefined,
      significant: [count(options, "minimumSignificantDigits", 1, 21, undefined), count(options, "maximumSignificantDigits", 1, 21, undefined)],
      grouping: options.useGrouping !== false && options.useGrouping !== "false",
      display: pick(options, "currencyDisplay", ["symbol", "narrowSymbol", "code", "name"], "symbol"),
      sign: pick(options, "signDisplay", ["auto", "never", "always", "exceptZero", "negative"], "auto"),
    };
    Object.defineProperty(this, "format", { value: (value) => this.formatToParts(value).map((part) => part.value).join(""), configurable: true, writable: true });
  }
  formatToParts(value) {
    const o = this.#o;
    const [group, point] = NUMBERS[o.locale.slice(0, 2)] ?? [",", "."];
    const big = typeof value === "bigint";
    let number = big ? value : Number(value);
    const negative = number < 0 || Object.is(number, -0);
    if (negative) number = -number;
    if (o.style === "percent") number *= big ? 100n : 100;
    let compact = "";
    let most = o.max;
    if (o.notation === "compact" && Number.isFinite(Number(number))) {
      number = Number(number);
      for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
        if (number >= size * 0.9995) {
          [number, compact] = [number / size, letter];
          break;
        }
      }
      if (o.plain) most = number < 100 && Math.round(number * 10) / 10 < 100 ? (number >= 10 && Math.round(number) >= 100 ? 0 : number < 10 ? 1 : 0) : 0;
    }
    const parts = [];
    const shown = negative && (o.sign === "always" || o.sign === "auto" || ((o.sign === "exceptZero" || o.sign === "negative") && Number(number) !== 0));
    if (shown && o.sign !== "never") parts.push({ type: "minusSign", value: "-" });
    else if (!negative && (o.sign === "always" || (o.sign === "exceptZero" && Number(number) !== 0))) parts.push({ type: "plusSign", value: "+" });
    if (o.style === "currency" && o.display !== "name" && group === ",") {
      const dollar = o.locale === "en-GB" && o.currency === "USD" && o.display === "symbol";
      const symbol = dollar ? "US$" : o.display === "code" ? `${o.currency}\u00a0` : SYMBOLS[o.currency] ?? `${o.currency}\u00a0`;
      parts.push({ type: "currency", value: o.display === "narrowSymbol" ? symbol.replace(/^[A-Z]+(?=[^A-Z\u00a0])/, "") : symbol });
    }
    if (typeof number === "number" && Number.isNaN(number)) parts.push({ type: "nan", value: "NaN" });
    else if (number === Infinity) parts.push({ type: "infinity", value: "∞" });
    else {
      let [whole, rest = ""] = big ? [`${number}`] : digitsOf(number, most, o.significant).split(".");
      const least = o.significant[0] === undefined && o.significant[1] === undefined ? o.min : 0;
      while (rest.length > least && rest.endsWith("0") && o.significant[0] === undefined) rest = rest.slice(0, -1);
      rest = rest.padEnd(least, "0");
      whole = whole.padStart(o.integers, "0");
      const groups = [];
      if (o.grouping && (whole.length > 4 || group !== "." || whole.length > 4 || o.locale === "de-DE")) {
        for (; whole.length > 3; whole = whole.slice(0, -3)) groups.unshift(whole.slice(-3));
      }
      for (const [at, part] of [whole, ...groups].entries()) {
        if (at > 0) parts.push({ type: "group", value: group });
        parts.push({ type: "integer", value: part });
      }
      if (rest !== "") parts.push({ type: "decimal", value: point }, { type: "fraction", value: rest });
    }
    if (compact !== "") parts.push({ type: "compact", value: compact });
    if (o.style === "percent") parts.push(...(group === "," ? [] : [{ type: "literal", value: "\u00a0" }]), { type: "percentSign", value: "%" });
    if (o.style === "currency" && group !== ",") parts.push({ type: "literal", value: "\u00a0" }, { type: "currency", value: SYMBOLS[o.currency] ?? o.currency });
    if (o.style === "currency" && group === "," && o.display === "name") parts.push({ type: "literal", value: " " }, { type: "currency", value: o.currency });
    if (o.style === "unit") parts.push({ type: "literal", value: " " }, { type: "unit", value: o.unit });
    return parts;
  }
  resolvedOptions() {
    const { locale, style, currency, notation, integers, min, max, grouping, sign } = this.#o;
    return { locale, numberingSystem: "latn", style, ...(currency === undefined ? {} : { currency }), minimumIntegerDigits: integers, minimumFractionDigits: min, maximumFractionDigits: max, useGrouping: grouping ? "auto" : false, notation, signDisplay: sign, roundingMode: "halfExpand" };
  }
  get [Symbol.toStringTag]() { return "Intl.NumberFormat"; }
  static supportedLocalesOf = supported(["en-US", "en-GB", "de-DE", "es-ES", "it-IT", "fr-FR", "sv-SE"]);
}

// Rounded half away from zero by its shortest digits, without an exponent.
function digitsOf(number, most, [least, significant]) {
  if (least !== undefined || significant !== undefined) {
    let text = plain(Number(number.toPrecision(Math.min(significant ?? 21, 21))));
    if (least !== undefined && text.replace(/[.]|^0+[.]?0*/g, "").length < least) text = plain(number.toPrecision(least));
    return text;
  }
  const [whole, rest = ""] = plain(number).split(".");
  if (rest.length <= most) return rest === "" ? whole : `${whole}.${rest}`;
  const digits = BigInt(whole + rest.slice(0, most)) + (rest[most] >= "5" ? 1n : 0n);
  const text = `${digits}`.padStart(most + 1, "0");
  return most === 0 ? text : `${text.slice(0, -most)}.${text.slice(-most)}`;
}

function plain(number) {
  const text = `${number}`;
  const parts = /^(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text);
  if (parts === null) return text;
  const [, first, rest = "", power] = parts;
  const shift = Number(power);
  if (shift < 0) return `0.${"0".repeat(-shift - 1)}${first}${rest}`;
  return rest.length <= shift ? first + rest.padEnd(shift, "0") : `${first}${rest.slice(0, shift)}.${rest.slice(shift)}`;
}

// --------------------------------------------------------------------------------------------- dates

const FIELDS = { weekday: ["narrow", "short", "long"], era: ["narrow", "short", "long"], year: ["2-digit", "numeric"], month: ["2-digit", "numeric", "narrow", "short", "long"], day: ["2-digit", "numeric"], hour: ["2-digit", "numeric"], minute: ["2-digit", "numeric"], second: ["2-digit", "numeric"] };
const STYLES = {
  full: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
  long: { year: "numeric", month: "long", day: "numeric" },
  medium: { year: "numeric", month: "short", day: "numeric" },
  short: { year: "2-digit", month: "numeric", day: "numeric" },
};
const TIMES = {
  full: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "long" },
  long: { hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "short" },
  medium: { hour: "numeric", minute: "2-digit", second: "2-digit" },
  short: { hour: "numeric", minute: "2-digit" },
};

export class DateTimeFormat {
  #o;
  constructor(locales, options, [needs, adds] = ["any", "date"]) {
    options = optionsOf(options);
    const o = {};
    const dateStyle = pick(options, "dateStyle", Object.keys(STYLES), undefined);
    const timeStyle = pick(options, "timeStyle", Object.keys(TIMES), undefined);
    for (const [name, values] of Object.entries(FIELDS)) {
      const value = pick(options, name, values, undefined);
      if (value !== undefined) o[name] = value;
    }
    const fraction = count(options, "fractionalSecondDigits", 1, 3, undefined);
    const zoneName = pick(options, "timeZoneName", ["short", "long", "shortOffset", "longOffset", "shortGeneric", "longGeneric"], undefined);
    if (dateStyle !== undefined || timeStyle !== undefined) {
      if (Object.keys(o).length > 0 || fraction !== undefined || zoneName !== undefined) throw new TypeError("Can't set option when dateStyle or timeStyle is used");
      Object.assign(o, STYLES[dateStyle], TIMES[timeStyle]);
    } else {
      if (fraction !== undefined) o.fraction = fraction;
      if (zoneName !== undefined) o.timeZoneName = zoneName;
      const dated = ["weekday", "year", "month", "day"].some((name) => name in o);
      const timed = ["hour", "minute", "second", "fraction"].some((name) => name in o);
      if (!((needs !== "time" && dated) || (needs !== "date" && timed))) {
        if (adds !== "time") Object.assign(o, { year: "numeric", month: "numeric", day: "numeric" });
        if (adds !== "date") Object.assign(o, { hour: "numeric", minute: "2-digit", second: "2-digit" });
      }
    }
    let zone = options.timeZone === undefined ? "UTC" : `${options.timeZone}`;
    const canonical = native.zone(zone);
    if (canonical === "") throw new RangeError(`Invalid time zone specified: ${zone}`);
    o.timeZone = canonical;
    // Names are English: only dates in digits are written as elsewhere.
    const named = o.weekday !== undefined || o.era !== undefined || (o.month !== undefined && !["numeric", "2-digit"].includes(o.month)) || dateStyle !== undefined;
    const locale = chosen(locales, Object.keys(DIGITS));
    o.locale = named && !locale.startsWith("en-") ? "en-US" : locale;
    const cycle = pick(options, "hourCycle", ["h11", "h12", "h23", "h24"], undefined);
    o.twelve = options.hour12 !== undefined ? Boolean(options.hour12) : cycle !== undefined ? cycle === "h11" || cycle === "h12" : DIGITS[o.locale][4];
    o.cycle = o.twelve ? (cycle === "h11" ? "h11" : "h12") : cycle === "h24" ? "h24" : "h23";
    Object.assign(o, { dateStyle, timeStyle });
    this.#o = o;
    Object.defineProperty(this, "format", { value: (date) => this.formatToParts(date).map((part) => part.value).join(""), configurable: true, writable: true });
  }
  formatToParts(date) {
    const o = this.#o;
    const ms = date === undefined ? Date.now() : Number(date);
    if (!(Math.abs(ms) <= 8.64e15)) throw new RangeError("Invalid time value");
    const offset = native.offset(o.timeZone, ms);
    const at = new Date(ms + offset * 1000);
    const parts = [];
    const add = (type, value) => parts.push({ type, value: `${value}` });
    const two = (value) => `${value}`.padStart(2, "0");
    const [order, between, padded, joint] = DIGITS[o.locale];
    const british = o.locale === "en-GB";
    const year = () => add("year", o.year === "2-digit" && (o.dateStyle === undefined || o.locale === "en-US") ? two(at.getUTCFullYear() % 100) : at.getUTCFullYear());
    const day = (wide) => add("day", o.day === "2-digit" || wide ? two(at.getUTCDate()) : at.getUTCDate());
    const weekday = () => add("weekday", o.weekday === "long" ? DAYS[at.getUTCDay()] : DAYS[at.getUTCDay()].slice(0, o.weekday === "short" ? 3 : 1));
    const text = o.month === "long" || o.month === "short" || o.month === "narrow";
    if (o.weekday !== undefined) {
      weekday();
      if (o.month !== undefined || o.day !== undefined || o.year !== undefined) add("literal", (british && o.year === undefined) || (o.month === undefined && o.year === undefined) ? " " : ", ");
    }
    if (text) {
      const month = () => add("month", o.month === "long" ? MONTHS[at.getUTCMonth()] : british && o.month === "short" && at.getUTCMonth() === 8 ? "Sept" : MONTHS[at.getUTCMonth()].slice(0, o.month === "short" ? 3 : 1));
      if (british) {
        if (o.day !== undefined) (day(), add("literal", " "));
        month();
        if (o.year !== undefined) (add("literal", " "), year());
      } else {
        month();
        if (o.day !== undefined) (add("literal", " "), day());
        if (o.year !== undefined) (add("literal", o.day === undefined ? " " : ", "), year());
      }
    } else {
      const wide = padded && o.day !== undefined && o.month !== undefined;
      const short = o.dateStyle === "short" && !padded && between === "/";
      const fields = { y: ["year", year], m: ["month", () => add("month", o.month === "2-digit" || (wide && !short) ? two(at.getUTCMonth() + 1) : at.getUTCMonth() + 1)], d: ["day", () => day(wide && !short)] };
      let first = true;
      for (const letter of order) {
        const [name, put] = fields[letter];
        if (o[name] === undefined) continue;
        if (!first) add("literal", between);
        first = false;
        put();
      }
    }
    if (o.hour !== undefined || o.minute !== undefined || o.second !== undefined || o.fraction !== undefined) {
      if (parts.length > 0) add("literal", o.dateStyle === "full" || o.dateStyle === "long" ? " at " : joint);
      this.#time(o, at, add, two);
    }
    if (o.timeZoneName !== undefined) {
      if (parts.length > 0) add("literal", o.hour === undefined ? ", " : " ");
      add("timeZoneName", zoneName(o, offset));
    }
    return parts;
  }
  #time(o, at, add, two) {
    const hour = at.getUTCHours();
    const wide = o.hour === "2-digit" || (!o.twelve && o.hour !== undefined && (o.minute !== undefined || DIGITS[o.locale][4] || true));
    if (o.hour !== undefined) {
      const value = o.cycle === "h12" ? hour % 12 || 12 : o.cycle === "h11" ? hour % 12 : o.cycle === "h24" ? hour || 24 : hour;
      add("hour", wide ? two(value) : value);
    }
    if (o.minute !== undefined) {
      if (o.hour !== undefined) add("literal", ":");
      add("minute", o.hour !== undefined || o.second !== undefined ? two(at.getUTCMinutes()) : at.getUTCMinutes());
    }
    if (o.second !== undefined) {
      if (o.minute !== undefined) add("literal", ":");
      add("second", o.minute !== undefined ? two(at.getUTCSeconds()) : at.getUTCSeconds());
    }
    if (o.fraction !== undefined) {
      if (o.second !== undefined) add("literal", ".");
      add("fractionalSecond", `${at.getUTCMilliseconds()}`.padStart(3, "0").slice(0, o.fraction));
    }
    if (o.twelve && o.hour !== undefined) {
      const letters = o.locale === "en-GB" ? ["am", "pm"] : o.locale === "en-CA" ? ["a.m.", "p.m."] : ["AM", "PM"];
      add("literal", " ");
      add("dayPeriod", letters[hour < 12 ? 0 : 1]);
    }
  }
  formatRange(from, to) { return `${this.format(from)} – ${this.format(to)}`; }
  resolvedOptions() {
    const { locale, timeZone, cycle, twelve, fraction, dateStyle, timeStyle, ...fields } = this.#o;
    const hours = fields.hour === undefined ? {} : { hourCycle: cycle, hour12: twelve };
    const styles = { ...(dateStyle && { dateStyle }), ...(timeStyle && { timeStyle }) };
    return { locale, calendar: "gregory", numberingSystem: "latn", timeZone, ...hours, ...(dateStyle || timeStyle ? styles : fields), ...(fraction && { fractionalSecondDigits: fraction }) };
  }
  get [Symbol.toStringTag]() { return "Intl.DateTimeFormat"; }
  static supportedLocalesOf = supported(Object.keys(DIGITS));
}

function zoneName(o, offset) {
  if (o.timeZone === "UTC" && !o.timeZoneName.endsWith("Offset")) return o.timeZoneName === "long" ? "Coordinated Universal Time" : "UTC";
  const minutes = Math.abs(Math.trunc(offset / 60));
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (minutes === 0) return "GMT";
  const sign = offset < 0 ? "-" : "+";
  if (o.timeZoneName === "longOffset") return `GMT${sign}${`${hours}`.padStart(2, "0")}:${`${rest}`.padStart(2, "0")}`;
  const american = { "America/New_York": "E", "America/Chicago": "C", "America/Denver": "M", "America/Los_Angeles": "P" }[o.timeZone];
  if (american !== undefined && o.timeZoneName === "short" && o.locale === "en-US") {
    return `${american}${hours === { E: 4, C: 5, M: 6, P: 7 }[american] ? "D" : "S"}T`;
  }
  return `GMT${sign}${hours}${rest === 0 ? "" : `:${`${rest}`.padStart(2, "0")}`}`;
}

// ---------------------------------------------------------------------------------------- the others

export class PluralRules {
  #ordinal;
  constructor(locales, options) {
    tags(locales);
    this.#ordinal = pick(optionsOf(options), "type", ["cardinal", "ordinal"], "cardinal") === "ordinal";
  }
  select(number) {
    number = Number(number);
    if (!this.#ordinal) return number === 1 ? "one" : "other";
    const [last, two] = [number % 10, number % 100];
    if (last === 1 && two !== 11) return "one";
    if (last === 2 && two !== 12) return "two";
    return last === 3 && two !== 13 ? "few" : "other";
  }
  resolvedOptions() { return { locale: "en-US", type: this.#ordinal ? "ordinal" : "cardinal", pluralCategories: this.#ordinal ? ["few", "one", "two", "other"] : ["one", "other"] }; }
  get [Symbol.toStringTag]() { return "Intl.PluralRules"; }
  static supportedLocalesOf = supported(["en-US"]);
}

export class Collator {
  #numeric;
  #base;
  constructor(locales, options) {
    options = optionsOf(options);
    this.#numeric = Boolean(options.numeric) || tags(locales).some((tag) => /-u-(?:.*-)?kn(?:-true)?(?:-|$)/i.test(tag));
    this.#base = ["base", "accent"].includes(pick(options, "sensitivity", ["base", "accent", "case", "variant"], "variant"));
    Object.defineProperty(this, "compare", { value: (a, b) => this.#order(`${a}`, `${b}`), configurable: true, writable: true });
  }
  #order(a, b) {
    const bare = (text) => text.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
    const split = (text) => (this.#numeric ? bare(text).split(/(\d+)/) : [bare(text)]);
    const [left, right] = [split(a), split(b)];
    for (let at = 0; at < Math.max(left.length, right.length); at++) {
      const [x = "", y = ""] = [left[at], right[at]];
      const numbers = at % 2 === 1 && x !== "" && y !== "";
      if (numbers && Number(x) !== Number(y)) return Number(x) < Number(y) ? -1 : 1;
      if (!numbers && x !== y) return x < y ? -1 : 1;
    }
    if (this.#base || a === b) return 0;
    // Small letters stand before large ones.
    return a < b ? 1 : -1;
  }
  resolvedOptions() { return { locale: "en-US", usage: "sort", sensitivity: this.#base ? "base" : "variant", ignorePunctuation: false, collation: "default", numeric: this.#numeric, caseFirst: "false" }; }
  get [Symbol.toStringTag]() { return "Intl.Collator"; }
  static supportedLocalesOf = supported(["en-US"]);
}

export class ListFormat {
  #word;
  #unit;
  constructor(locales, options) {
    tags(locales);
    const type = pick(optionsOf(options), "type", ["conjunction", "disjunction", "unit"], "conjunction");
    this.#unit = type === "unit";
    this.#word = type === "disjunction" ? "or" : "and";
  }
  format(list) {
    const all = [...list];
    if (this.#unit || all.length < 2) return all.join(", ");
    return all.length === 2 ? all.join(` ${this.#word} `) : `${all.slice(0, -1).join(", ")}, ${this.#word} ${all.at(-1)}`;
  }
  get [Symbol.toStringTag]() { return "Intl.ListFormat"; }
  static supportedLocalesOf = supported(["en-US"]);
}

const NEAR = { day: { "-1": "yesterday", 0: "today", 1: "tomorrow" } };
for (const unit of ["year", "quarter", "month", "week"]) NEAR[unit] = { "-1": `last ${unit}`, 0: `this ${unit}`, 1: `next ${unit}` };

export class RelativeTimeFormat {
  #auto;
  constructor(locales, options) {
    tags(locales);
    this.#auto = pick(optionsOf(options), "numeric", ["always", "auto"], "always") === "auto";
  }
  format(value, unit) {
    value = Number(value);
    unit = `${unit}`.replace(/s$/, "");
    if (!["second", "minute", "hour", "day", "week", "month", "quarter", "year"].includes(unit)) throw new RangeError(`Invalid unit argument for format() '${unit}'`);
    if (!Number.isFinite(value)) throw new RangeError("Invalid value for format()");
    const near = this.#auto ? NEAR[unit]?.[value] ?? (unit === "second" && value === 0 ? "now" : undefined) : undefined;
    if (near !== undefined) return near;
    const size = Math.abs(value);
    const text = `${new NumberFormat("en-US").format(size)} ${unit}${size === 1 ? "" : "s"}`;
    return value < 0 || Object.is(value, -0) ? `${text} ago` : `in ${text}`;
  }
  resolvedOptions() { return { locale: "en-US", style: "long", numeric: this.#auto ? "auto" : "always", numberingSystem: "latn" }; }
  get [Symbol.toStringTag]() { return "Intl.RelativeTimeFormat"; }
  static supportedLocalesOf = supported(["en-US"]);
}

export class Locale {
  #tag;
  constructor(tag) {
    [this.#tag] = tags([tag]);
  }
  get baseName() { return this.#tag.replace(/-u-.*$/, ""); }
  get language() { return this.#tag.split("-")[0]; }
  get region() { return this.#tag.split("-").find((part, at) => at > 0 && /^(?:[A-Z]{2}|\d{3})$/.test(part)); }
  toString() { return this.#tag; }
  get [Symbol.toStringTag]() { return "Intl.Locale"; }
}

// These three are also called without `new`.
const called = (Class) => {
  const both = new Proxy(Class, { apply: (_, self, given) => new Class(...given) });
  Object.defineProperty(Class.prototype, "constructor", { value: both, writable: true, configurable: true });
  return both;
};

export const Intl = Object.defineProperties({}, {
  ...Object.fromEntries(
    Object.entries({ Collator: called(Collator), DateTimeFormat: called(DateTimeFormat), ListFormat, Locale, NumberFormat: called(NumberFormat), PluralRules, RelativeTimeFormat }).map(([name, value]) => [name, { value, writable: true, configurable: true }]),
  ),
  getCanonicalLocales: { value: (locales) => [...new Set(tags(locales))], writable: true, configurable: true },
  supportedValuesOf: { value: (key) => (key === "currency" ? Object.keys(SYMBOLS).sort() : []), writable: true, configurable: true },
  [Symbol.toStringTag]: { value: "Intl", configurable: true },
});

// What the methods of dates and numbers are, by whatever calls them.
const written = (what) => (date, locales, options) => {
  const at = Date.prototype.getTime.call(date);
  return Number.isNaN(at) ? "Invalid Date" : new DateTimeFormat(locales, options, what).format(at);
};
export const dateAndTime = written(["any", "all"]);
export const dateOnly = written(["date", "date"]);
export const timeOnly = written(["time", "time"]);
export const number = (value, locales, options) => new NumberFormat(locales, options).format(value.valueOf());
