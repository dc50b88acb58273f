// navigator and scheduler, as far as a server has them.

import { INTERNAL, dictionary, expose, illegal } from "fazt:webidl";
import { addAlgorithm, isSignal, removeAlgorithm } from "fazt:abort";

export class Navigator {
  #brand;
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
  }
  get userAgent() {
    this.#brand;
    return "Fazt";
  }
  get hardwareConcurrency() {
    this.#brand;
    return 1;
  }
  get language() {
    this.#brand;
    return "en";
  }
  get languages() {
    this.#brand;
    return Object.freeze(["en"]);
  }
}

export class Scheduler {
  #brand;
  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
  }
  /** Resolves after `ms` milliseconds; rejects when the signal aborts before. */
  wait(ms, options = undefined) {
    this.#brand;
    return delayed(ms, dictionary(options, "The options").signal, undefined);
  }
  /** Runs a callback as a task of its own. */
  postTask(callback, options = undefined) {
    this.#brand;
    if (typeof callback !== "function") return Promise.reject(new TypeError("postTask: the callback is not a function"));
    const { delay = 0, signal } = dictionary(options, "The options");
    return delayed(delay, signal, callback);
  }
  yield() {
    this.#brand;
    return delayed(0, undefined, undefined);
  }
}
expose(Navigator, Scheduler);

function delayed(ms, signal, callback) {
  return new Promise((resolve, reject) => {
    if (signal !== undefined && signal !== null && !isSignal(signal)) throw new TypeError("The signal is not an AbortSignal");
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      globalThis.clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = globalThis.setTimeout(() => {
      if (signal) removeAlgorithm(signal, onAbort);
      try {
        resolve(callback?.());
      } catch (error) {
        reject(error);
      }
    }, Math.max(0, +ms || 0));
    if (signal) addAlgorithm(signal, onAbort);
  });
}

export const navigator = new Navigator(INTERNAL);
export const scheduler = new Scheduler(INTERNAL);
