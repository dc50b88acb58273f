// What web-platform-tests expect around a worker's globals: self, a location, local fetch, a report.
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
  own("fetch", (address, init) => {
    // The one handler of the test server that is asked for: it sends a body back.
    if (String(address).endsWith("/echo-content.py")) return Promise.resolve(new Response(init.body));
    const text = host.read(String(address));
    if (text === undefined) return Promise.reject(new TypeError(`no such file: ${address}`));
    return Promise.resolve({
      ok: true, status: 200, text: async () => text, json: async () => JSON.parse(text),
    });
  });

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
    settled: () => settled,
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
