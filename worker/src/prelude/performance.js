// performance: a clock in whole milliseconds, marks and measures, and observers of them.

import { timeOrigin, now } from "fazt:clock";
import { INTERNAL, dictionary, domString, double, expose, illegal, need, sequence } from "fazt:webidl";
import { DOMException } from "fazt:dom-exception";
import { EventTarget, reportError } from "fazt:events";
import { structuredClone } from "fazt:structured-clone";

let entries = [];
const observers = new Set();
const SUPPORTED = Object.freeze(["mark", "measure"]);

export class PerformanceEntry {
  #name;
  #type;
  #start;
  #duration;
  constructor(key = undefined, name = undefined, type = undefined, start = undefined, duration = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#name = name;
    this.#type = type;
    this.#start = start;
    this.#duration = duration;
  }
  get name() { return this.#name; }
  get entryType() { return this.#type; }
  get startTime() { return this.#start; }
  get duration() { return this.#duration; }
  toJSON() {
    return { name: this.#name, entryType: this.#type, startTime: this.#start, duration: this.#duration };
  }
}

function detailOf(value) {
  return value === undefined || value === null ? null : structuredClone(value);
}

export class PerformanceMark extends PerformanceEntry {
  #detail;
  constructor(name, options = undefined) {
    need(arguments.length, 1, "PerformanceMark");
    name = domString(name);
    options = dictionary(options, "The options");
    const detail = options.detail;
    let start = options.startTime;
    if (start === undefined) start = now();
    else if ((start = double(start, "startTime")) < 0) throw new TypeError("startTime cannot be negative");
    super(INTERNAL, name, "mark", start, 0);
    this.#detail = detailOf(detail);
  }
  get detail() { return this.#detail; }
  toJSON() { return { ...super.toJSON(), detail: this.#detail }; }
}

export class PerformanceMeasure extends PerformanceEntry {
  #detail;
  constructor(key = undefined, name = undefined, start = undefined, duration = undefined, detail = undefined) {
    if (key !== INTERNAL) throw illegal();
    super(INTERNAL, name, "measure", start, duration);
    this.#detail = detailOf(detail);
  }
  get detail() { return this.#detail; }
  toJSON() { return { ...super.toJSON(), detail: this.#detail }; }
}
expose(PerformanceEntry, PerformanceMark, PerformanceMeasure);

function sorted(list) {
  return list.slice().sort((a, b) => a.startTime - b.startTime);
}

function select(list, type, name) {
  return sorted(list.filter((e) => (type === undefined || e.entryType === type) && (name === undefined || e.name === name)));
}

/** The start time of the latest mark `name`, or a time given as a number. */
function timeOf(mark) {
  if (typeof mark === "number") {
    mark = double(mark, "The time");
    if (mark < 0) throw new TypeError("A time cannot be negative");
    return mark;
  }
  for (let i = entries.length - 1; i >= 0; i--) {
    if (entries[i].entryType === "mark" && entries[i].name === mark) return entries[i].startTime;
  }
  throw new DOMException(`There is no mark "${mark}"`, "SyntaxError");
}

const markOrTime = (value) => (typeof value === "number" ? value : domString(value));

function add(entry) {
  entries.push(entry);
  for (const o of observers) o.queue(entry);
  return entry;
}

export class Performance extends EventTarget {
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
    super();
  }
  #check() {}
  now() {
    this.#check();
    return now();
  }
  get timeOrigin() {
    this.#check();
    return timeOrigin;
  }
  toJSON() {
    this.#check();
    return { timeOrigin };
  }
  mark(name, options = undefined) {
    this.#check();
    need(arguments.length, 1, "mark");
    return add(new PerformanceMark(name, options));
  }
  measure(name, startOrOptions = undefined, endMark = undefined) {
    this.#check();
    need(arguments.length, 1, "measure");
    name = domString(name);
    let start, end, detail;
    if (startOrOptions !== null && typeof startOrOptions === "object") {
      const o = startOrOptions;
      detail = o.detail;
      let { duration, end: until, start: from } = o;
      if (duration !== undefined) duration = double(duration, "duration");
      if (until !== undefined) until = markOrTime(until);
      if (from !== undefined) from = markOrTime(from);
      if (from !== undefined || until !== undefined || duration !== undefined || detail !== undefined) {
        if (endMark !== undefined) throw new TypeError("measure: options and an end mark exclude each other");
        if (from === undefined && until === undefined) throw new TypeError("measure: options need a start or an end");
        if (from !== undefined && until !== undefined && duration !== undefined) {
          throw new TypeError("measure: start, end and duration exclude each other");
        }
      }
      if (until !== undefined) end = timeOf(until);
      else if (from !== undefined && duration !== undefined) end = timeOf(from) + duration;
      else end = endMark === undefined ? now() : timeOf(markOrTime(endMark));
      if (from !== undefined) start = timeOf(from);
      else if (duration !== undefined && until !== undefined) start = timeOf(until) - duration;
      else start = 0;
    } else {
      end = endMark === undefined ? now() : timeOf(domString(endMark));
      start = startOrOptions === undefined || startOrOptions === null ? 0 : timeOf(domString(startOrOptions));
    }
    return add(new PerformanceMeasure(INTERNAL, name, start, end - start, detail));
  }
  clearMarks(name = undefined) {
    this.#check();
    if (name !== undefined) name = domString(name);
    entries = entries.filter((e) => e.entryType !== "mark" || (name !== undefined && e.name !== name));
  }
  clearMeasures(name = undefined) {
    this.#check();
    if (name !== undefined) name = domString(name);
    entries = entries.filter((e) => e.entryType !== "measure" || (name !== undefined && e.name !== name));
  }
  getEntries() {
    this.#check();
    return sorted(entries);
  }
  getEntriesByType(type) {
    this.#check();
    need(arguments.length, 1, "getEntriesByType");
    return select(entries, domString(type));
  }
  getEntriesByName(name, type = undefined) {
    this.#check();
    need(arguments.length, 1, "getEntriesByName");
    name = domString(name);
    return select(entries, type === undefined ? undefined : domString(type), name);
  }
}
for (const [key, length] of [["mark", 1], ["measure", 1], ["clearMarks", 0], ["clearMeasures", 0], ["getEntriesByName", 1]]) {
  Object.defineProperty(Performance.prototype[key], "length", { value: length, configurable: true });
}
expose(Performance);

export class PerformanceObserverEntryList {
  #list;
  constructor(key = undefined, list = undefined) {
    if (key !== INTERNAL) throw illegal();
    this.#list = list;
  }
  getEntries() { return sorted(this.#list); }
  getEntriesByType(type) {
    need(arguments.length, 1, "getEntriesByType");
    return select(this.#list, domString(type));
  }
  getEntriesByName(name, type = undefined) {
    need(arguments.length, 1, "getEntriesByName");
    name = domString(name);
    return select(this.#list, type === undefined ? undefined : domString(type), name);
  }
}
Object.defineProperty(PerformanceObserverEntryList.prototype.getEntriesByName, "length", { value: 1, configurable: true });

let scheduled = false;

function deliver() {
  scheduled = false;
  for (const o of [...observers]) o.deliver();
}

export class PerformanceObserver {

  #inside;
  constructor(callback) {
    need(arguments.length, 1, "PerformanceObserver");
    if (typeof callback !== "function") throw new TypeError("PerformanceObserver: the callback is not a function");

    const self = this;
    this.#inside = {
      kind: null, // "single" or "multiple", fixed by the first observe()
      types: new Set(),
      buffer: [],
      queue(entry) {
        if (!this.types.has(entry.entryType)) return;
        this.buffer.push(entry);
        if (!scheduled) {
          scheduled = true;
          globalThis.setTimeout(deliver, 0);
        }
      },
      deliver() {
        if (this.buffer.length === 0) return;
        const list = new PerformanceObserverEntryList(INTERNAL, this.buffer);
        this.buffer = [];
        try {
          Reflect.apply(callback, self, [list, self, { droppedEntriesCount: 0 }]);
        } catch (error) {
          reportError(error);
        }
      },
    };
  }
  static get supportedEntryTypes() { return SUPPORTED; }
  observe(options = undefined) {
    const o = this.#inside;
    options = dictionary(options, "The options");
    const { buffered, entryTypes, type } = options;
    if (entryTypes === undefined && type === undefined) throw new TypeError("observe: entryTypes or type is required");
    if (entryTypes !== undefined && (type !== undefined || buffered !== undefined)) {
      throw new TypeError("observe: entryTypes excludes the other options");
    }
    const kind = entryTypes !== undefined ? "multiple" : "single";
    if (o.kind !== null && o.kind !== kind) {
      throw new DOMException("observe: the observer was used the other way before", "InvalidModificationError");
    }
    o.kind = kind;
    if (kind === "multiple") {
      if (Object(entryTypes) !== entryTypes || typeof entryTypes[Symbol.iterator] !== "function") {
        throw new TypeError("observe: entryTypes is not a sequence");
      }
      const types = sequence(entryTypes, entryTypes[Symbol.iterator], domString).filter((t) => SUPPORTED.includes(t));
      if (types.length === 0) return;
      o.types = new Set(types);
      observers.add(o);
      return;
    }
    const wanted = domString(type);
    if (!SUPPORTED.includes(wanted)) return;
    o.types.add(wanted);
    observers.add(o);
    if (buffered) for (const e of entries) if (e.entryType === wanted) o.queue(e);
  }
  disconnect() {
    const o = this.#inside;
    observers.delete(o);
    o.buffer = [];
    o.types.clear();
  }
  takeRecords() {
    const records = this.#inside.buffer;
    this.#inside.buffer = [];
    return records;
  }
}
Object.defineProperty(PerformanceObserver.prototype.observe, "length", { value: 0, configurable: true });
expose(PerformanceObserver, PerformanceObserverEntryList);

export const performance = new Performance(INTERNAL);
