// node:timers.

import { clearInterval, clearTimeout, setInterval, setTimeout } from "fazt:timers";

export { clearInterval, clearTimeout, setInterval, setTimeout };
export const setImmediate = (run, ...args) => setTimeout(run, 0, ...args);
export const clearImmediate = clearTimeout;
const sleep = (ms, value, options) => new Promise((resolve, reject) => {
  const signal = options?.signal;
  if (signal?.aborted) return reject(signal.reason);
  const timer = setTimeout(() => resolve(value), ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});
async function* ticks(ms, value, options) {
  for (;;) yield await sleep(ms, value, options);
}
export const promises = { setTimeout: sleep, setImmediate: (value, options) => sleep(0, value, options), setInterval: ticks, scheduler: { wait: (ms, options) => sleep(ms, undefined, options), yield: () => sleep(0) } };
export default { clearImmediate, clearInterval, clearTimeout, promises, setImmediate, setInterval, setTimeout };
