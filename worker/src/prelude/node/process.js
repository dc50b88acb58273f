// node:process: what libraries look at to find out where they run. `env` starts empty; apps have `env` of their own.

import { EventEmitter } from "node:events";

export const env = {};
export const version = "v22.0.0";
export const versions = { node: "22.0.0" };
export const platform = "linux";
export const arch = "x64";
export const title = "fazt";
export const pid = 1;
export const ppid = 0;
export const argv = [];
export const execArgv = [];
export const release = { name: "node" };
export const features = {};
export const exitCode = undefined;
export const cwd = () => "/";
export const umask = () => 0;
export const uptime = () => performance.now() / 1000;
export const nextTick = (run, ...args) => {
  if (typeof run !== "function") throw Object.assign(new TypeError('The "callback" argument must be of type function.'), { code: "ERR_INVALID_ARG_TYPE" });
  queueMicrotask(() => run(...args));
};
export const hrtime = (since) => {
  const now = performance.now();
  const time = [Math.floor(now / 1000), Math.round((now % 1000) * 1e6)];
  if (since === undefined) return time;
  const nanos = time[1] - since[1];
  return nanos < 0 ? [time[0] - since[0] - 1, nanos + 1e9] : [time[0] - since[0], nanos];
};
hrtime.bigint = () => BigInt(Math.round(performance.now() * 1e6));
export const memoryUsage = () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 });
export const emitWarning = (warning) => console.warn(String(warning?.message ?? warning));
const absent = (name) => () => { throw Object.assign(new Error(`process.${name} is not supported`), { code: "ERR_METHOD_NOT_IMPLEMENTED" }); };
export const exit = absent("exit");
export const abort = absent("abort");
export const chdir = absent("chdir");
export const kill = absent("kill");

const process = Object.assign(new EventEmitter(), {
  abort, arch, argv, chdir, cwd, emitWarning, env, execArgv, exit, exitCode, features, hrtime, kill, memoryUsage, nextTick, pid, platform, ppid, release, title, umask, uptime, version, versions,
});
Object.defineProperty(process, Symbol.toStringTag, { value: "process", configurable: true });
export { process };
export default process;
