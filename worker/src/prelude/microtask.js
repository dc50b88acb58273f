// queueMicrotask: like the engine's own, but what the callback throws is reported.

import host from "fazt:native/host";
import { reportError } from "fazt:events";

const then = Function.prototype.call.bind(Promise.prototype.then);
const done = Promise.resolve();

export function queueMicrotask(callback) {
  if (arguments.length < 1) throw new TypeError("queueMicrotask: 1 argument required, but only 0 present");
  if (typeof callback !== "function") throw new TypeError("queueMicrotask: the callback is not a function");
  if (host.bindContext !== undefined) callback = host.bindContext(callback);
  then(done, () => {
    try {
      callback();
    } catch (error) {
      reportError(error);
    }
  });
}
