// Readable streams, with the hooks that bodies use (the writable side and transforms are modules of their own):
//   fromBytes(u8)             a byte stream that yields one chunk and ends
//   createByteReadable(pull, cancel, hwm)   pull(controller) → promise; controller.enqueue(u8) takes the memory over,
//                             controller.close(), controller.error(e), controller.desiredSize()
//   readableState(stream)     the internal state of a public stream (throws on anything else); wrap(state) goes back
//   isDisturbed, isLocked     of a public stream
//   drain(stream)             all bytes of a stream (locks it): a promise of a Uint8Array; a chunk that is no Uint8Array
//                             rejects with a TypeError
//   readChunks(stream, each)  calls each(u8) per chunk, waiting for what it returns; a promise of the end

import host from "fazt:native/host";
import { ReadableStream, acquireReader, isReadable, readableState, wrap } from "fazt:streams-readable";
import { createByteReadable } from "fazt:streams-bytes";
import { Deferred, resolved, then, upon } from "fazt:streams-core";
import { cancelStream, closeStream, createReadable, errorStream } from "fazt:streams-readable";
import { tee as teeState } from "fazt:streams-iterate";

export { ByteLengthQueuingStrategy, CountQueuingStrategy } from "fazt:streams-core";
export { ReadableStream, ReadableStreamDefaultController, ReadableStreamDefaultReader } from "fazt:streams-readable";
export { ReadableByteStreamController, ReadableStreamBYOBReader, ReadableStreamBYOBRequest } from "fazt:streams-bytes";
export { cancelStream, closeStream, createByteReadable, createReadable, errorStream, isReadable, readableState, wrap };

export function isDisturbed(stream) {
  return readableState(stream).disturbed;
}

export function isLocked(stream) {
  return readableState(stream).reader !== undefined;
}

export function fromBytes(bytes) {
  let sent = bytes.byteLength === 0;
  const s = createByteReadable((c) => {
    if (!sent) {
      sent = true;
      c.enqueue(bytes);
    }
    c.close();
    if (c.pending.length > 0) c.respond(0);
    return resolved(undefined);
  });
  return wrap(s);
}

/** Both branches of a body, as public streams. */
export function teeStream(stream) {
  return teeState(readableState(stream)).map(wrap);
}

export function readChunks(stream, each) {
  const reader = acquireReader(readableState(stream));
  const done = new Deferred();
  const fail = (error) => {
    upon(reader.cancel(error), () => {}, () => {});
    done.reject(error);
  };
  const request = {
    chunk(value) {
      if (!(value instanceof Uint8Array)) return fail(new TypeError("The body's stream gave a chunk that is not a Uint8Array"));
      let wait;
      try {
        wait = each(value);
      } catch (error) {
        return fail(error);
      }
      upon(resolved(wait), next, fail);
    },
    close: () => done.resolve(undefined),
    error: (error) => done.reject(error),
  };
  const next = () => {
    try {
      reader.read(request);
    } catch (error) {
      fail(error); // memory was short
    }
  };
  next();
  return done.promise;
}

export function drain(stream) {
  const chunks = [];
  let total = 0;
  const read = readChunks(stream, (chunk) => {
    chunks.push(chunk);
    total += chunk.byteLength;
  });
  // There may be no memory for all of them in one piece: then the promise is rejected, like any other failure.
  return then(read, () => concat(chunks, total));
}

function concat(chunks, total) {
  if (chunks.length === 1) return chunks[0];
  host.makeRoom(total);
  const all = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
