// Does what was acknowledged outlive a power cut? Run against a server with the app beside this file deployed:
//
//   node tests/power/power.mjs write http://127.0.0.1:8080 ledger.localhost FILE   # until the power goes
//   node tests/power/power.mjs check http://127.0.0.1:8080 ledger.localhost FILE   # once it is back
//
// FILE gets a line for each acknowledged number. It lies on the machine that keeps its power.
import { createWriteStream, existsSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";

const [verb, base, host, file] = process.argv.slice(2);
const WRITERS = 16;
const agent = new Agent({ keepAlive: true, maxSockets: WRITERS });

function ask(method, path) {
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, base), { method, agent, headers: { host }, timeout: 20_000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part) => (text += part));
      answer.on("end", () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`))));
      answer.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end();
  });
}

/** The numbers that FILE holds, by writer: `"3-17"`. A last line that was cut off does not count. */
function acknowledged() {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}

async function write() {
  const before = acknowledged();
  const next = before.reduce((most, line) => Math.max(most, Number(line.split("-")[1])), 0) + 1;
  const log = createWriteStream(file, { flags: "a" });
  let count = 0;
  const one = async (writer) => {
    for (let n = next; ; n++) {
      await ask("POST", `/?writer=${writer}&n=${n}`);
      log.write(`${writer}-${n}\n`);
      count++;
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: WRITERS }, (_, writer) => one(writer)));
  await new Promise((resolve) => log.end(resolve));
  console.log(`${count} acknowledged; then: ${ends[0].reason.message}`);
}

async function check() {
  const halves = new Map();
  for (let cursor = ""; cursor !== undefined; ) {
    const page = JSON.parse(await ask("GET", cursor ? `/?cursor=${encodeURIComponent(cursor)}` : "/"));
    for (const id of page.ids) {
      const name = id.slice(0, id.lastIndexOf("-"));
      halves.set(name, (halves.get(name) ?? 0) + 1);
    }
    cursor = page.cursor ?? undefined;
  }
  const lines = acknowledged();
  const lost = lines.filter((name) => !halves.has(name));
  const half = [...halves].filter(([, count]) => count !== 2).map(([name]) => name);
  console.log(`${lines.length} acknowledged, ${halves.size} there, ${lost.length} lost, ${half.length} half there`);
  if (lines.length === 0 || lost.length || half.length) {
    console.error("lost:", lost.slice(0, 10), "half there:", half.slice(0, 10));
    process.exit(1);
  }
}

if (verb === "write" && file) await write();
else if (verb === "check" && file) await check().finally(() => agent.destroy());
else {
  console.error("power.mjs write|check URL HOST FILE");
  process.exit(2);
}
