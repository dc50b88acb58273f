// Runs a bundle with Workers KV, R2 and D1 beside it, until its input ends. Says its port first.
import { readFileSync } from "node:fs";
import { Miniflare } from "miniflare";

const [, , bundle] = process.argv;
const server = new Miniflare({
  modules: [{ type: "ESModule", path: bundle, contents: readFileSync(bundle, "utf8") }],
  modulesRoot: "/",
  compatibilityDate: "2026-01-01",
  compatibilityFlags: ["nodejs_compat"],
  kvNamespaces: ["KV"],
  r2Buckets: ["BUCKET"],
  d1Databases: { DB: "db" },
  host: "127.0.0.1",
  port: 0,
  cf: false,
  telemetry: { enabled: false },
});
console.log((await server.ready).port);
process.stdin.on("end", () => server.dispose().then(() => process.exit(0)));
process.stdin.resume();
