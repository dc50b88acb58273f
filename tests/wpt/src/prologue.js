// What web-platform-tests expect around a worker's globals: self, a location, local fetch, timers, a report.
"use strict";
var WPT = (() => {
  const host = WPT_HOST;
  delete globalThis.WPT_HOST;
  const own = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });

  if (!("self" in globalThis)) own("self", globalThis);
  own("GLOBAL", { isWindow: () => false, isWorker: () => false, isShadowRealm: () => false });
  const href = `https://web-platform.test/${host.file}${host.variant}`;
  own("location", {
    href, search: host.variant, pathname: `/${host.file}`, hash: "", origin: "https://web-platform.test",
    protocol: "https:", host: "web-platform.test", hostname: "web-platform.test", port: "", toString: () => href,
  });

  // Local files only; idlharness and the vector files are read so.
  own("fetch", (address) => {
    const text = host.read(String(address));
    if (text === undefined) return Promise.reject(new TypeError(`no such file: ${address}`));
    return Promise.resolve({
      ok: true, status: 200, text: async () => text, json: async () => JSON.parse(text),
    });
  });

  // Timers, turned by the runner.
  const timers = new Map();
  let next = 1;
  const start = (repeat) => function (callback, ms, ...args) {
    const id = next++;
    ms = Math.max(0, Math.min(ms | 0, 0x7fffffff));
    const run = typeof callback === "function" ? callback : Function(String(callback));
    timers.set(id, { id, at: host.now() + ms, ms, run, args, repeat });
    return id;
  };
  const stop = (id) => void timers.delete(id | 0);
  own("setTimeout", start(false));
  own("setInterval", start(true));
  own("clearTimeout", stop);
  own("clearInterval", stop);

  let report = null;
  let settled = false;

  return {
    install() {
      own("gc", host.gc);
      if (host.file.includes("idlharness")) {
        // Interfaces are looked at as properties, and as those of a worker.
        for (const name of Object.getOwnPropertyNames(globalThis)) void globalThis[name];
        own("DedicatedWorkerGlobalScope", class DedicatedWorkerGlobalScope {
          static [Symbol.hasInstance](value) { return value === globalThis; }
        });
      }
      setup({ output: false });
      add_completion_callback((tests, status) => {
        report = {
          tests: tests.map((t) => ({ name: t.name, status: t.status, message: t.message })),
          error: status.status === 0 ? null : `harness: ${status.message}`,
        };
        settled = true;
      });
    },
    // Runs one due timer; how long to wait for the next turn, or -1 at the end.
    turn() {
      if (settled) return -1;
      let first = null;
      for (const t of timers.values()) if (first === null || t.at < first.at || (t.at === first.at && t.id < first.id)) first = t;
      if (first === null) return -1;
      const wait = first.at - host.now();
      if (wait > 0) return wait;
      if (first.repeat) first.at = host.now() + Math.max(first.ms, 1);
      else timers.delete(first.id);
      try {
        Reflect.apply(first.run, globalThis, first.args);
      } catch (error) {
        host.debug(`timer: ${error}`);
        reportError(error);
      }
      return 0;
    },
    report() {
      if (report === null) {
        // Some test never ended: those that did count.
        const all = typeof tests === "undefined" ? [] : tests.tests;
        const list = all.map((t) => ({
          name: t.name,
          status: t.phase === t.phases.COMPLETE ? t.status : 3,
          message: t.phase === t.phases.COMPLETE ? t.message : "did not end",
        }));
        report = { tests: list, error: list.length === 0 ? "the file ended without a report" : null };
      }
      return JSON.stringify(report);
    },
  };
})();
