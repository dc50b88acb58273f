// AbortController and AbortSignal, with dependent signals (AbortSignal.any) and timeouts.

import { INTERNAL, enforceRange, expose, illegal, need } from "fazt:webidl";
import { DOMException } from "fazt:dom-exception";
import { after } from "fazt:timers";
import { Event, EventTarget, dispatch, eventHandlers, signalHooks, trust } from "fazt:events";

let abortSignal, addAlgorithm, removeAlgorithm, isSignal, depend;

export class AbortSignal extends EventTarget {
  #reason = undefined;
  #aborted = false;
  #algorithms = null;
  #sources = null; // of a dependent signal: its source signals
  #dependents = null; // the dependent signals to abort after this one

  constructor(key = undefined) {
    if (key !== INTERNAL) throw illegal();
    super();
  }

  static abort(reason = undefined) {
    const signal = new AbortSignal(INTERNAL);
    signal.#reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason;
    signal.#aborted = true;
    return signal;
  }

  static timeout(milliseconds) {
    need(arguments.length, 1, "AbortSignal.timeout");
    milliseconds = enforceRange(milliseconds, Number.MAX_SAFE_INTEGER, "The timeout");
    const signal = new AbortSignal(INTERNAL);
    after(() => {
      abortSignal(signal, new DOMException("The operation timed out", "TimeoutError"));
    }, Math.min(milliseconds, 0x7fffffff));
    return signal;
  }

  static any(signals) {
    need(arguments.length, 1, "AbortSignal.any");
    if (Object(signals) !== signals) throw new TypeError("AbortSignal.any: the argument is not iterable");
    return depend([...signals]);
  }

  get aborted() { return this.#aborted; }
  get reason() { return this.#reason; }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }

  static {
    isSignal = (value) => Object(value) === value && #aborted in value;

    abortSignal = (signal, reason) => {
      if (signal.#aborted) return;
      signal.#aborted = true;
      signal.#reason = reason === undefined ? new DOMException("The operation was aborted", "AbortError") : reason;
      const waiting = [];
      for (const dependent of signal.#dependents ?? []) {
        if (!dependent.#aborted) {
          dependent.#aborted = true;
          dependent.#reason = signal.#reason;
          waiting.push(dependent);
        }
      }
      run(signal);
      for (const dependent of waiting) run(dependent);
    };

    const run = (signal) => {
      const algorithms = signal.#algorithms;
      signal.#algorithms = null;
      for (const algorithm of algorithms ?? []) algorithm();
      dispatch(signal, trust(new Event("abort")));
      for (const source of signal.#sources ?? []) source.#dependents?.delete(signal);
      signal.#sources = null;
      signal.#dependents = null;
    };

    addAlgorithm = (signal, algorithm) => {
      if (!signal.#aborted) (signal.#algorithms ??= new Set()).add(algorithm);
    };
    removeAlgorithm = (signal, algorithm) => signal.#algorithms?.delete(algorithm);

    depend = (signals) => {
      for (const s of signals) if (!isSignal(s)) throw new TypeError("AbortSignal.any: a member is not an AbortSignal");
      const result = new AbortSignal(INTERNAL);
      for (const s of signals) {
        if (s.#aborted) {
          result.#aborted = true;
          result.#reason = s.#reason;
          return result;
        }
      }
      const sources = new Set();
      for (const s of signals) {
        if (s.#sources === null) sources.add(s);
        else for (const source of s.#sources) sources.add(source);
      }
      result.#sources = sources;
      for (const source of sources) (source.#dependents ??= new Set()).add(result);
      return result;
    };
  }
}
expose(AbortSignal);
eventHandlers(AbortSignal.prototype, "abort");

export class AbortController {
  #signal = new AbortSignal(INTERNAL);
  get signal() { return this.#signal; }
  abort(reason = undefined) {
    abortSignal(this.#signal, reason);
  }
}
expose(AbortController);

signalHooks.add = (signal, algorithm) => {
  if (!isSignal(signal)) return false;
  if (algorithm) addAlgorithm(signal, algorithm);
  return true;
};

/** A fresh signal and, in `abortSignal`, the way to abort it: what a request's signal is made of. */
export function createSignal() {
  return new AbortSignal(INTERNAL);
}
/** A signal that follows all of `signals`. */
export const dependentSignal = (signals) => depend(signals);

export { abortSignal, addAlgorithm, removeAlgorithm, isSignal };
