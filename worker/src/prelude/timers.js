// Timers. Rust keeps the deadlines, this module what is to be called.
import host from "fazt:native/host";

const live = new Map();
let last = 0;

function start(callback, delay, args, repeat) {
  if (typeof callback !== "function") {
    const source = String(callback);
    callback = () => (0, eval)(source);
  }
  return arm(host.bindContext === undefined ? callback : host.bindContext(callback), delay, args, repeat);
}

function arm(callback, delay, args, repeat) {
  delay = Number(delay);
  delay = delay >= 1 && delay <= 2147483647 ? Math.trunc(delay) : 0;
  const id = ++last;
  if (!host.setTimer(id, delay)) throw new RangeError("too many timers: an app may have 10,000 at once");
  live.set(id, { callback, args, delay: repeat ? Math.max(1, delay) : -1 });
  return id;
}

function stop(id) {
  id = Number(id);
  if (live.delete(id)) host.clearTimer(id);
}

export function setTimeout(callback, delay = 0, ...args) { return start(callback, delay, args, false); }
export function setInterval(callback, delay = 0, ...args) { return start(callback, delay, args, true); }
export function clearTimeout(id) { stop(id); }
export function clearInterval(id) { stop(id); }

// For the prelude: in no context of AsyncLocalStorage, and whatever the app makes of the global.
export function after(callback, delay) { arm(callback, delay, [], false); }

// Called when a timer is due. What it throws is the caller's to report.
export function fire(id) {
  const timer = live.get(id);
  if (timer === undefined) return;
  if (timer.delay < 0) live.delete(id);
  else host.setTimer(id, timer.delay);
  Reflect.apply(timer.callback, globalThis, timer.args);
}
