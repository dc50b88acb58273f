// `fazt.proc`: runs and jobs for later. Their payloads travel as JSON.
import link from "fazt:native/link";
import { ask } from "fazt:fetch";

const numbers = {};
for (const [number, noun, verb] of link.rows()) {
  if (noun === "proc") numbers[verb] = number;
}

const call = (verb, args, make) => ask(numbers[verb], args, make);
const itself = (value) => value;

function json(payload) {
  const text = JSON.stringify(payload);
  if (text === undefined) throw new TypeError(`A ${typeof payload} cannot be a payload: it is anything that JSON can say`);
  return text.toWellFormed();
}

export function millis(seconds) {
  if (seconds === undefined || seconds === null) return undefined;
  const ms = Math.ceil(Number(seconds) * 1000);
  if (!(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) throw new RangeError("A delay is a number of seconds, not negative");
  return ms;
}

function timeOf(when) {
  if (typeof when === "object" && when !== null && !(when instanceof Date)) {
    if (when.inS === undefined) throw new TypeError("schedule takes a Date, milliseconds since 1970, or { inS: seconds }");
    return { inMs: millis(when.inS) };
  }
  const ms = typeof when === "number" ? when : when instanceof Date ? when.getTime() : NaN;
  if (!Number.isFinite(ms)) throw new TypeError("schedule takes a Date, milliseconds since 1970, or { inS: seconds }");
  return { unixMs: Math.min(Math.max(Math.ceil(ms), 0), Number.MAX_SAFE_INTEGER) };
}

// A promise of the ids of jobs: `[payload, seconds or undefined]` each.
export function enqueueAll(name, jobs, seconds) {
  return call("enqueue", () => {
    const list = jobs.map(([payload, delayS]) => ({ payload: json(payload), delayMs: millis(delayS) }));
    return [`${name}`, list, millis(seconds)];
  }, itself);
}

export const proc = Object.freeze({
  schedule(when, payload) {
    return call("schedule", () => [timeOf(when), payload === undefined ? undefined : json(payload)], itself);
  },
  enqueue(name, payload, options) {
    return enqueueAll(name, [[payload ?? null, options?.delayS]]).then(([id]) => id);
  },
  cancel(id) { return call("cancel", () => [`${id}`], itself); },
  list() { return call("list", () => [], itself); },
});
