// console: lines for the app's log, with the file and line of the caller.
import host from "fazt:native/host";
import { origin } from "fazt:stack";

const counts = new Map();
const timers = new Map();
let indent = "";

// Loaded when something other than text is printed.
const inspect = (value, options) => host.load("fazt:inspect").inspect(value, options);

function format(args) {
  let text = "";
  for (let i = 0; i < args.length; i++) {
    if (typeof args[i] !== "string" || (i === 0 && args.length > 1 && args[0].includes("%"))) {
      return host.load("fazt:inspect").format(...args);
    }
    text = i === 0 ? args[0] : text + " " + args[i];
  }
  return text;
}

function write(level, args) {
  let text = format(args);
  if (indent) text = indent + text.replaceAll("\n", "\n" + indent);
  host.log(level, text, origin());
}

export const console = {
  debug(...args) { write(0, args); },
  log(...args) { write(1, args); },
  info(...args) { write(1, args); },
  warn(...args) { write(2, args); },
  error(...args) { write(3, args); },
  trace(...args) {
    const stack = String(new Error().stack).split("\n").filter((line) => !line.includes("(fazt:")).join("\n");
    write(0, ["Trace: " + format(args) + "\n" + stack.trimEnd()]);
  },
  assert(condition, ...args) {
    if (condition) return;
    if (typeof args[0] === "string") args[0] = "Assertion failed: " + args[0];
    else args.unshift("Assertion failed");
    write(3, args);
  },
  dir(value, options) { write(1, [inspect(value, options)]); },
  dirxml(...args) { write(1, args); },
  table(value) { write(1, [inspect(value)]); },
  group(...args) { if (args.length) write(1, args); if (indent.length < 40) indent += "  "; },
  groupCollapsed(...args) { console.group(...args); },
  groupEnd() { indent = indent.slice(2); },
  count(label = "default") {
    const n = (counts.get(`${label}`) ?? 0) + 1;
    counts.set(`${label}`, n);
    write(1, [`${label}: ${n}`]);
  },
  countReset(label = "default") { counts.delete(`${label}`); },
  time(label = "default") { timers.set(`${label}`, host.now()); },
  timeLog(label = "default", ...args) {
    const start = timers.get(`${label}`);
    if (start !== undefined) write(1, [`${label}: ${host.now() - start}ms`, ...args]);
  },
  timeEnd(label = "default") { console.timeLog(label); timers.delete(`${label}`); },
  timeStamp() {},
  clear() {},
};
Object.defineProperty(console, Symbol.toStringTag, { value: "console", configurable: true });
// A namespace object of Web IDL: an empty prototype of its own, and no required arguments.
Object.setPrototypeOf(console, {});
for (const name of ["assert", "dir", "table"]) Object.defineProperty(console[name], "length", { value: 0, configurable: true });
