// Serves a repository for Cloudflare Workers as Wrangler understands it: bundled by Wrangler, its D1 migrations applied,
// run by workerd. `node workerd.mjs FOLDER STATE '{"config", "main", "vars"}'`. Says its port first; then each line of
// its input is a schedule to be run, answered by a line.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, extname, join } from "node:path";
import { createInterface } from "node:readline";
import { Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";

const [, , folder, state, given] = process.argv;
const { config: name, main, vars } = JSON.parse(given);
process.chdir(folder);
const config = join(folder, name);
const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
const env = { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", NO_COLOR: "1" };
const run = (...words) =>
  execFileSync(process.execPath, [wrangler, ...words, "--config", config], { env, stdio: ["ignore", "ignore", "inherit"] });

const read = unstable_readConfig({ config });
const script = main ?? read.main;
const { workerOptions } = unstable_getMiniflareWorkerOptions(config);
const options = { ...workerOptions, compatibilityDate: workerOptions.compatibilityDate ?? "2025-01-01", bindings: { ...workerOptions.bindings, ...vars } };
if (script) {
  const out = join(state, "bundle");
  mkdirSync(out, { recursive: true });
  const dated = read.compatibility_date ? [] : ["--compatibility-date", "2025-01-01"];
  run("deploy", ...(main ? [main] : []), ...dated, "--dry-run", "--outdir", out);
  const entry = `${basename(script, extname(script))}.js`;
  const code = readFileSync(join(out, entry), "utf8");
  if (/^export\s/m.test(code)) {
    const others = readdirSync(out).filter((file) => ![entry, `${entry}.map`, "README.md"].includes(file));
    const kind = (file) => ({ ".wasm": "CompiledWasm", ".bin": "Data" })[extname(file)] ?? "Text";
    options.modulesRoot = out;
    options.modules = [
      { type: "ESModule", path: join(out, entry) },
      ...others.map((file) => ({ type: kind(file), path: join(out, file) })),
    ];
  } else {
    options.script = code;
  }
} else {
  options.modules = true;
  options.script = "export default { fetch: () => new Response('Not Found', { status: 404 }) };";
}
for (const database of read.d1_databases ?? []) {
  const migrations = database.migrations_dir ?? "migrations";
  let files = [];
  try {
    files = readdirSync(join(folder, migrations)).filter((file) => file.endsWith(".sql"));
  } catch {}
  if (files.length > 0) run("d1", "migrations", "apply", database.binding, "--local", "--persist-to", state);
}
const server = new Miniflare({
  ...options,
  rootPath: folder,
  defaultPersistRoot: join(state, "v3"),
  host: "127.0.0.1",
  port: 0,
  cf: false,
  telemetry: { enabled: false },
});
console.log(`port ${(await server.ready).port}`);
for await (const line of createInterface({ input: process.stdin })) {
  const worker = await server.getWorker();
  const { outcome } = await worker.scheduled({ cron: line });
  console.log(`outcome ${outcome}`);
}
await server.dispose();
process.exit(0);
