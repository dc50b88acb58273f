// node:assert.

import { inspect } from "fazt:inspect";
import { isDeepEqual, isDeepStrictEqual } from "fazt:compare";

const show = (value) => inspect(value, { depth: 6, compact: false, sorted: true, maxArrayLength: 200 });

const LEADS = {
  deepStrictEqual: "Expected values to be strictly deep-equal:",
  strictEqual: "Expected values to be strictly equal:",
  deepEqual: "Expected values to be loosely deep-equal:",
  notDeepStrictEqual: 'Expected "actual" not to be strictly deep-equal to:',
  notStrictEqual: 'Expected "actual" to be strictly unequal to:',
  notDeepEqual: 'Expected "actual" not to be loosely deep-equal to:',
};

// The lines of both, those that differ marked: the longest common run of lines is found for short texts only.
function difference(actual, expected) {
  const a = show(actual).split("\n"), b = show(expected).split("\n");
  if (a.length > 400 || b.length > 400) return `${a.slice(0, 50).map((line) => `+ ${line}`).join("\n")}\n...\n${b.slice(0, 50).map((line) => `- ${line}`).join("\n")}`;
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  const lines = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { lines.push(`  ${a[i++]}`); j++; }
    else if (i < a.length && (j >= b.length || common[i + 1][j] >= common[i][j + 1])) lines.push(`+ ${a[i++]}`);
    else lines.push(`- ${b[j++]}`);
  }
  return lines.join("\n");
}

function messageFor({ actual, expected, operator }) {
  const lead = LEADS[operator];
  if (lead === undefined) return `${inspect(actual)} ${operator} ${inspect(expected)}`;
  if (operator.startsWith("not")) return `${lead}\n\n${show(actual)}\n`;
  const primitive = (value) => (typeof value !== "object" && typeof value !== "function") || value === null;
  if (operator === "strictEqual" && primitive(actual) && primitive(expected)) {
    const line = `${inspect(actual)} !== ${inspect(expected)}`;
    if (line.length < 80 && !line.includes("\\n")) return `${lead}\n\n${line}\n`;
  }
  return `${lead}\n+ actual - expected\n\n${difference(actual, expected)}\n`;
}

export class AssertionError extends Error {
  constructor(options) {
    super(options.message ?? messageFor(options));
    this.generatedMessage = options.message === undefined || options.message === null;
    this.code = "ERR_ASSERTION";
    this.actual = options.actual;
    this.expected = options.expected;
    this.operator = options.operator;
    Object.defineProperty(this, "name", { value: "AssertionError", writable: true, configurable: true });
  }
}

function failed(actual, expected, message, operator, generated) {
  if (message instanceof Error) throw message;
  const error = new AssertionError({ actual, expected, operator, message: message ?? generated });
  if (message === undefined) error.generatedMessage = true;
  throw error;
}
const check = (passed, actual, expected, message, operator, generated) => {
  if (!passed) failed(actual, expected, message, operator, generated);
};

export function ok(value, message) {
  check(value, value, true, arguments.length === 0 ? "No value argument passed to `assert.ok()`" : message, "==", "The expression evaluated to a falsy value");
}
export const equal = (a, b, message) => check(a == b || (a !== a && b !== b), a, b, message, "==");
export const notEqual = (a, b, message) => check(!(a == b || (a !== a && b !== b)), a, b, message, "!=");
export const strictEqual = (a, b, message) => check(Object.is(a, b), a, b, message, "strictEqual");
export const notStrictEqual = (a, b, message) => check(!Object.is(a, b), a, b, message, "notStrictEqual");
export const deepEqual = (a, b, message) => check(isDeepEqual(a, b), a, b, message, "deepEqual");
export const notDeepEqual = (a, b, message) => check(!isDeepEqual(a, b), a, b, message, "notDeepEqual");
export const deepStrictEqual = (a, b, message) => check(isDeepStrictEqual(a, b), a, b, message, "deepStrictEqual");
export const notDeepStrictEqual = (a, b, message) => check(!isDeepStrictEqual(a, b), a, b, message, "notDeepStrictEqual");
export const fail = (message = "Failed") => failed(undefined, undefined, message, "fail");
export const match = (text, pattern, message) => check(typeof text === "string" && pattern.test(text), text, pattern, message, "match", `The input did not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`);
export const doesNotMatch = (text, pattern, message) => check(typeof text !== "string" || !pattern.test(text), text, pattern, message, "doesNotMatch", `The input was expected to not match the regular expression ${inspect(pattern)}. Input:\n\n${inspect(text)}\n`);
export function ifError(value) {
  if (value === null || value === undefined) return;
  failed(value, null, undefined, "ifError", `ifError got unwanted exception: ${value?.message ?? inspect(value)}`);
}

// Whether what was thrown is what was expected: a class, a pattern, a test, or an object of properties.
function fits(error, expected, message, operator) {
  if (typeof expected === "function") {
    if (expected.prototype !== undefined && error instanceof expected) return;
    if (Object.prototype.isPrototypeOf.call(Error, expected) || expected === Error) throw error;
    const answer = expected.call({}, error);
    if (answer !== true) failed(error, expected, message, operator, `The ${expected.name ? `"${expected.name}" ` : ""}validation function is expected to return "true". Received ${inspect(answer)}`);
  } else if (expected instanceof RegExp) {
    if (!expected.test(String(error))) failed(error, expected, message, operator, `The input did not match the regular expression ${inspect(expected)}. Input:\n\n${inspect(String(error))}\n`);
  } else if (typeof expected === "object" && expected !== null) {
    const keys = Object.keys(expected);
    if (expected instanceof Error) keys.push("name", "message");
    for (const key of keys) {
      const same = expected[key] instanceof RegExp && typeof error?.[key] === "string" ? expected[key].test(error[key]) : error !== null && error !== undefined && key in Object(error) && isDeepStrictEqual(error[key], expected[key]);
      if (!same) {
        const pick = (from) => Object.fromEntries(keys.filter((each) => from !== null && from !== undefined && each in Object(from)).map((each) => [each, from[each]]));
        failed(error, expected, message, operator, `Expected values to be strictly deep-equal:\n+ actual - expected\n\n${difference(pick(error), pick(expected))}\n`);
      }
    }
  }
}
const missing = (operator, expected, message) => failed(undefined, expected, message, operator, `Missing expected ${operator === "rejects" ? "rejection" : "exception"}${typeof expected === "function" && expected.name ? ` (${expected.name}).` : "."}`);
const sorted = (expected, message) => (typeof expected === "string" ? [undefined, expected] : [expected, message]);

export function throws(run, ...rest) {
  const [expected, message] = sorted(...rest);
  let error;
  try { run(); } catch (thrown) { error = [thrown]; }
  if (error === undefined) missing("throws", expected, message);
  else if (expected !== undefined) fits(error[0], expected, message, "throws");
}
export function doesNotThrow(run, ...rest) {
  const [, message] = sorted(...rest);
  try { run(); } catch (error) {
    failed(error, undefined, undefined, "doesNotThrow", `Got unwanted exception${message ? `: ${message}` : "."}\nActual message: "${error?.message}"`);
  }
}
export async function rejects(run, ...rest) {
  const [expected, message] = sorted(...rest);
  let error;
  try { await (typeof run === "function" ? run() : run); } catch (thrown) { error = [thrown]; }
  if (error === undefined) missing("rejects", expected, message);
  else if (expected !== undefined) fits(error[0], expected, message, "rejects");
}
export async function doesNotReject(run, ...rest) {
  const [, message] = sorted(...rest);
  try { await (typeof run === "function" ? run() : run); } catch (error) {
    failed(error, undefined, undefined, "doesNotReject", `Got unwanted rejection${message ? `: ${message}` : "."}\nActual message: "${error?.message}"`);
  }
}

const all = { AssertionError, deepEqual, deepStrictEqual, doesNotMatch, doesNotReject, doesNotThrow, equal, fail, ifError, match, notDeepEqual, notDeepStrictEqual, notEqual, notStrictEqual, ok, rejects, strictEqual, throws };
export function assert(...args) { Reflect.apply(ok, undefined, args); }
export function strict(...args) { Reflect.apply(ok, undefined, args); }
Object.assign(assert, all, { strict });
Object.assign(strict, all, { equal: strictEqual, notEqual: notStrictEqual, deepEqual: deepStrictEqual, notDeepEqual: notDeepStrictEqual, strict });
export default assert;
