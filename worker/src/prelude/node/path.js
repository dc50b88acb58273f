// node:path: POSIX paths.

const text = (value, name = "path") => {
  if (typeof value !== "string") throw Object.assign(new TypeError(`The "${name}" argument must be of type string. Received ${value === null ? "null" : typeof value}`), { code: "ERR_INVALID_ARG_TYPE" });
  return value;
};

function parts(path, absolute) {
  const kept = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") kept.push(part);
    else if (kept.length > 0 && kept.at(-1) !== "..") kept.pop();
    else if (!absolute) kept.push("..");
  }
  return kept.join("/");
}

export const sep = "/";
export const delimiter = ":";
export const isAbsolute = (path) => text(path).startsWith("/");
export function normalize(path) {
  if (text(path) === "") return ".";
  const absolute = path.startsWith("/");
  const made = parts(path, absolute);
  if (made === "") return absolute ? "/" : path.endsWith("/") ? "./" : ".";
  return (absolute ? "/" : "") + made + (path.endsWith("/") ? "/" : "");
}
export function join(...paths) {
  const joined = paths.filter((path) => text(path) !== "").join("/");
  return joined === "" ? "." : normalize(joined);
}
export function resolve(...paths) {
  let made = "";
  for (let i = paths.length - 1; i >= 0 && !made.startsWith("/"); i--) if (text(paths[i]) !== "") made = made === "" ? paths[i] : `${paths[i]}/${made}`;
  return `/${parts(made, true)}`;
}
export function relative(from, to) {
  const a = resolve(text(from, "from")).split("/").filter(Boolean), b = resolve(text(to, "to")).split("/").filter(Boolean);
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return [...a.slice(same).map(() => ".."), ...b.slice(same)].join("/");
}
export function dirname(path) {
  const trimmed = text(path).replace(/\/+$/, "");
  if (trimmed === "") return path.startsWith("/") ? "/" : ".";
  const at = trimmed.lastIndexOf("/");
  if (at < 0) return ".";
  return trimmed.slice(0, at).replace(/\/+$/, "") || "/";
}
export function basename(path, suffix) {
  const trimmed = text(path).replace(/\/+$/, "");
  const base = trimmed.slice(trimmed.lastIndexOf("/") + 1);
  return suffix !== undefined && base !== suffix && base.endsWith(text(suffix, "suffix")) ? base.slice(0, -suffix.length) : base;
}
export function extname(path) {
  const base = basename(path), at = base.lastIndexOf(".");
  return at <= 0 || /^\.+$/.test(base.slice(0, at + 1)) && at === base.length - 1 ? "" : base.slice(at);
}
export function parse(path) {
  const base = basename(path), ext = extname(path), root = path.startsWith("/") ? "/" : "";
  const dir = dirname(path);
  return { root, dir: dir === "." && !path.startsWith(".") ? root : dir, base, ext, name: ext === "" ? base : base.slice(0, -ext.length) };
}
export function format(object) {
  const dir = object.dir || object.root || "", base = object.base || `${object.name ?? ""}${object.ext ? (object.ext.startsWith(".") ? "" : ".") + object.ext : ""}`;
  if (dir === "") return base;
  return dir === object.root ? `${dir}${base}` : `${dir}/${base}`;
}
export const toNamespacedPath = (path) => path;
export const posix = { basename, delimiter, dirname, extname, format, isAbsolute, join, normalize, parse, relative, resolve, sep, toNamespacedPath };
posix.posix = posix;
export default posix;
