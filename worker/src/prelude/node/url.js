// node:url: the web's URL and the way between file URLs and paths.

import { URL, URLSearchParams } from "fazt:url";

export { URL, URLSearchParams };
const coded = (code, message) => Object.assign(new TypeError(message), { code });
export function fileURLToPath(url) {
  url = typeof url === "string" ? new URL(url) : url;
  if (url.protocol !== "file:") throw coded("ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
  if (url.hostname !== "") throw coded("ERR_INVALID_FILE_URL_HOST", 'File URL host must be "localhost" or empty');
  if (/%2f/i.test(url.pathname)) throw coded("ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded / characters");
  return decodeURIComponent(url.pathname);
}
export const pathToFileURL = (path) => new URL(`file://${path.startsWith("/") ? "" : "/"}${encodeURI(path).replace(/[?#]/g, encodeURIComponent)}`);
export const domainToASCII = (domain) => { try { return new URL(`ws://${domain}`).hostname; } catch { return ""; } };
export const domainToUnicode = domainToASCII;
export const urlToHttpOptions = (url) => ({ protocol: url.protocol, hostname: url.hostname, hash: url.hash, search: url.search, pathname: url.pathname, path: url.pathname + url.search, href: url.href, ...(url.port ? { port: Number(url.port) } : {}), ...(url.username || url.password ? { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` } : {}) });
export const format = (url, options = {}) => {
  if (typeof url === "string") return url;
  if (!(url instanceof URL)) {
    const search = url.search ?? (url.query ? `?${new URLSearchParams(url.query)}` : "");
    return `${url.protocol ? `${url.protocol.replace(/:?$/, ":")}//` : ""}${url.auth ? `${url.auth}@` : ""}${url.host ?? (url.hostname ?? "") + (url.port ? `:${url.port}` : "")}${url.pathname ?? ""}${search}${url.hash ?? ""}`;
  }
  const made = new URL(url);
  if (options.fragment === false) made.hash = "";
  if (options.search === false) made.search = "";
  if (options.auth === false) made.username = made.password = "";
  return made.href;
};
export const parse = (text) => {
  try {
    const url = new URL(text);
    return { ...urlToHttpOptions(url), host: url.host, slashes: true, query: url.search.slice(1) || null };
  } catch {
    const [, pathname, search = "", hash = ""] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text);
    return { protocol: null, slashes: null, auth: null, host: null, port: null, hostname: null, hash: hash || null, search: search || null, query: search.slice(1) || null, pathname, path: pathname + search, href: text };
  }
};
export const resolve = (from, to) => {
  const base = new URL(from, "resolve://");
  const made = new URL(to, base);
  return made.protocol === "resolve:" ? made.pathname + made.search + made.hash : made.href;
};
export default { URL, URLSearchParams, domainToASCII, domainToUnicode, fileURLToPath, format, parse, pathToFileURL, resolve, urlToHttpOptions };
