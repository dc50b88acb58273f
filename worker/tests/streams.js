// Chains of streams made at random from a seed. Each must end, whatever fails, is cancelled or aborted in it, and what
// nobody disturbed must arrive whole. A promise that never settles shows: nothing is left to do and END is not set.

let state = SEED >>> 0 || 1;
const random = (below) => {
  state ^= state << 13; state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5; state >>>= 0;
  return state % below;
};
const chance = (percent) => random(100) < percent;
const pause = () => {
  const how = random(6);
  if (how === 0) return new Promise((go) => setTimeout(go, 0));
  return how < 3 ? Promise.resolve() : undefined;
};
class Meant extends Error {}

function chunksOf() {
  return Array.from({ length: random(12) }, () => {
    const chunk = new Uint8Array(1 + random(chance(20) ? 70_000 : 40));
    for (let i = 0; i < chunk.length; i += 1 + random(7)) chunk[i] = random(256);
    return chunk;
  });
}

// The writable sides have room for a chunk at least: without it nothing is ever written, by the standard.

function source(chunks, plan) {
  let at = 0;
  const fail = chance(12) ? random(chunks.length + 1) : -1;
  if (fail >= 0) plan.disturbed = true;
  const step = (put, end) => {
    if (at === fail) throw new Meant("source");
    if (at === chunks.length) return end();
    put(chunks[at++].slice());
  };
  const cancel = () => {
    if (chance(20)) throw new Meant("cancel");
    return pause();
  };
  switch (random(5)) {
    case 0: return new ReadableStream({
      async pull(c) {
        await pause();
        step((chunk) => c.enqueue(chunk), () => c.close());
      },
      cancel,
    }, { highWaterMark: random(4) });
    case 1: return new ReadableStream({
      pull(c) { return step((chunk) => c.enqueue(chunk), () => c.close()); },
      cancel,
    }, { highWaterMark: random(3) });
    case 2: return new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: chance(50) ? 1 + random(5000) : undefined,
      async pull(c) {
        await pause();
        step((chunk) => {
          const view = c.byobRequest?.view;
          if (!view) return c.enqueue(chunk);
          const part = chunk.subarray(0, view.byteLength);
          if (part.length < chunk.length) chunks[--at] = chunk.slice(part.length);
          new Uint8Array(view.buffer, view.byteOffset).set(part);
          c.byobRequest.respond(part.length);
        }, () => {
          c.close();
          c.byobRequest?.respond(0);
        });
      },
      cancel,
    }, { highWaterMark: chance(50) ? 0 : random(9000) });
    case 3: return ReadableStream.from((async function* () {
      for (;;) {
        await pause();
        let given, over = false;
        step((chunk) => { given = chunk; }, () => { over = true; });
        if (over) return;
        yield given;
      }
    })());
    default: {
      const { readable, writable } = new TransformStream(undefined, { highWaterMark: 1 + random(3) }, { highWaterMark: random(3) });
      const writer = writable.getWriter();
      (async () => {
        for (let over = false; !over;) {
          if (chance(50)) await writer.ready;
          let given;
          try {
            step((chunk) => { given = chunk; }, () => { over = true; });
          } catch (error) {
            return writer.abort(error);
          }
          if (over) await writer.close();
          else if (chance(50)) await writer.write(given);
          else writer.write(given).catch(() => {});
        }
      })().catch(() => {});
      return readable;
    }
  }
}

const identity = (plan) => {
  const fail = chance(8) ? random(6) : -1;
  let at = 0;
  if (fail >= 0) plan.disturbed = true;
  return new TransformStream({
    async transform(chunk, c) {
      if (at++ === fail) throw new Meant("transform");
      await pause();
      if (chunk.length > 1 && chance(50)) {
        c.enqueue(chunk.slice(0, 1));
        c.enqueue(chunk.slice(1));
      } else c.enqueue(chunk);
    },
    flush() { return pause(); },
  }, { highWaterMark: 1 + random(3) }, { highWaterMark: random(3) });
};

function stage(stream, plan, others) {
  switch (random(5)) {
    case 0: return stream.pipeThrough(identity(plan));
    case 1: {
      const format = ["gzip", "deflate", "deflate-raw"][random(3)];
      return stream.pipeThrough(new CompressionStream(format)).pipeThrough(new DecompressionStream(format));
    }
    case 2: {
      const [one, two] = stream.tee();
      if (chance(40)) {
        plan.partly = true; // a cancelled branch waits for the other one
        others.push(two.cancel(new Meant("branch")));
      } else others.push(sink(two, { ...plan, disturbed: true }, []));
      return one;
    }
    case 3: {
      const gone = new AbortController();
      if (chance(25)) {
        plan.disturbed = true;
        (async () => {
          for (let i = random(6); i > 0; i--) await pause();
          gone.abort(new Meant("abort"));
        })();
      }
      const options = { signal: gone.signal };
      const { readable, writable } = identity(plan);
      others.push(stream.pipeTo(writable, options));
      return readable;
    }
    default: return new Response(stream).body;
  }
}

async function sink(stream, plan, got) {
  const stop = chance(15) ? random(5) : -1;
  if (stop >= 0) plan.disturbed = true;
  switch (random(5)) {
    case 0: {
      const reader = stream.getReader();
      for (let n = 0; ; n++) {
        if (n === stop) return void await reader.cancel(new Meant("stop"));
        const { done, value } = await reader.read();
        if (done) return;
        got.push(value);
        await pause();
      }
    }
    case 1: {
      let reader;
      try {
        reader = stream.getReader({ mode: "byob" });
      } catch {
        return void got.push(await new Response(stream).bytes());
      }
      for (let n = 0; ; n++) {
        if (n === stop) return void await reader.cancel(new Meant("stop"));
        const size = 1 + random(6000);
        const { done, value } = await reader.read(new Uint8Array(size), { min: 1 + random(Math.min(size, 9)) });
        if (value) got.push(value.slice());
        if (done) return;
      }
    }
    case 2: {
      let n = 0;
      return void await stream.pipeTo(new WritableStream({
        async write(chunk) {
          if (n++ === stop) throw new Meant("sink");
          await pause();
          got.push(chunk);
        },
        close() { return pause(); },
        abort() { return pause(); },
      }, { highWaterMark: 1 + random(3) }));
    }
    case 3: {
      let n = 0;
      for await (const chunk of stream) {
        if (n++ === stop) break;
        got.push(chunk);
        await pause();
      }
      return;
    }
    default: got.push(await new Response(stream).bytes());
  }
}

const joined = (chunks) => {
  const all = [];
  for (const chunk of chunks) for (const byte of chunk) all.push(byte);
  return all;
};

for (let round = 0; round < ROUNDS; round++) {
  WHERE = `round ${round}`;
  const plan = { disturbed: false };
  const chunks = chunksOf(), expected = joined(chunks);
  const others = [], got = [];
  let stream = source(chunks, plan);
  for (let n = random(4); n > 0; n--) stream = stage(stream, plan, others);
  const ends = await Promise.allSettled([sink(stream, plan, got), ...others]);
  for (const { status, reason } of ends) {
    if (status === "rejected" && !(reason instanceof Meant) && !plan.disturbed) throw reason;
  }
  if (!plan.disturbed) {
    const bytes = joined(got);
    if (bytes.length !== expected.length || bytes.some((byte, i) => byte !== expected[i])) {
      throw new Error(`${WHERE}: ${bytes.length} bytes, not the ${expected.length} that were sent`);
    }
  }
}
END = true;
