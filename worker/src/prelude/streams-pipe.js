// pipeTo and pipeThrough. Loaded when something is piped: it brings the writable side and abort signals along.

import { dictionary } from "fazt:webidl";
import { Deferred, quiet, resolved, then, upon } from "fazt:streams-core";
import { acquireReader, cancelStream } from "fazt:streams-readable";
import { abortStream, acquireWriter, closeQueuedOrInFlight, writableState } from "fazt:streams-writable";
import { addAlgorithm, isSignal, removeAlgorithm } from "fazt:abort";

export { quiet, writableState };

export function pipeOptions(options) {
  const o = dictionary(options, "The options");
  const preventAbort = !!o.preventAbort;
  const preventCancel = !!o.preventCancel;
  const preventClose = !!o.preventClose;
  const signal = o.signal;
  if (signal !== undefined && !isSignal(signal)) throw new TypeError("The signal is not an AbortSignal");
  return { preventAbort, preventCancel, preventClose, signal };
}

export function pipeTo(source, dest, preventClose, preventAbort, preventCancel, signal) {
  const reader = acquireReader(source);
  const writer = acquireWriter(dest);
  source.disturbed = true;
  let shuttingDown = false;
  let currentWrite = resolved(undefined);
  const result = new Deferred();

  function finalize(failed, error) {
    writer.release();
    reader.release();
    if (signal !== undefined) removeAlgorithm(signal, onAbort);
    if (failed) result.reject(error);
    else result.resolve(undefined);
  }

  function waitForWrites() {
    const seen = currentWrite;
    return then(currentWrite, () => (seen === currentWrite ? undefined : waitForWrites()));
  }

  function shutdown(action, failed, error) {
    if (shuttingDown) return;
    shuttingDown = true;
    const rest = () => {
      if (action === null) finalize(failed, error);
      else upon(action(), () => finalize(failed, error), (e) => finalize(true, e));
    };
    if (dest.state === "writable" && !closeQueuedOrInFlight(dest)) upon(waitForWrites(), rest);
    else rest();
  }

  function onAbort() {
    const error = signal.reason;
    const actions = [];
    if (!preventAbort) actions.push(() => (dest.state === "writable" ? abortStream(dest, error) : resolved(undefined)));
    if (!preventCancel) {
      actions.push(() => (source.state === "readable" ? cancelStream(source, error) : resolved(undefined)));
    }
    shutdown(() => all(actions.map((action) => action())), true, error);
  }

  if (signal !== undefined) {
    if (signal.aborted) {
      onAbort();
      return result.promise;
    }
    addAlgorithm(signal, onAbort);
  }

  const sourceFailed = (error) => {
    if (preventAbort) shutdown(null, true, error);
    else shutdown(() => abortStream(dest, error), true, error);
  };
  if (source.state === "errored") sourceFailed(source.error);
  else upon(reader.closedPromise(), undefined, sourceFailed);

  const destFailed = (error) => {
    if (preventCancel) shutdown(null, true, error);
    else shutdown(() => cancelStream(source, error), true, error);
  };
  if (dest.state === "errored") destFailed(dest.error);
  else upon(writer.closed.promise, undefined, destFailed);

  const sourceClosed = () => {
    if (preventClose) shutdown(null);
    else shutdown(() => writer.closeWithErrorPropagation());
  };
  if (source.state === "closed") sourceClosed();
  else upon(reader.closedPromise(), sourceClosed, () => {});

  if (closeQueuedOrInFlight(dest) || dest.state === "closed") {
    const error = new TypeError("The destination is closing or closed");
    if (preventCancel) shutdown(null, true, error);
    else shutdown(() => cancelStream(source, error), true, error);
  }

  const request = {
    chunk(value) {
      // Not at once: whoever enqueued the chunk must not find itself in the sink's write.
      currentWrite = then(resolved(undefined), () => {
        try {
          const written = then(writer.write(value), undefined, () => {});
          step();
          return written;
        } catch (error) {
          sourceFailed(error); // memory was short
          return undefined;
        }
      });
    },
    close() {},
    error() {},
  };
  function step() {
    if (shuttingDown) return;
    upon(writer.ready.promise, () => {
      if (shuttingDown) return;
      try {
        reader.read(request);
      } catch (error) {
        sourceFailed(error);
      }
    }, () => {});
  }
  step();
  return result.promise;
}

/** Promise.all for the prelude's own promises, with their values dropped. */
function all(promises) {
  const d = new Deferred();
  let left = promises.length;
  if (left === 0) d.resolve(undefined);
  for (const p of promises) upon(p, () => --left === 0 && d.resolve(undefined), (e) => d.reject(e));
  return d.promise;
}
