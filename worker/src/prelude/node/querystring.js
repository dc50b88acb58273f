// node:querystring.

export const escape = (value) => encodeURIComponent(`${value}`.toWellFormed()).replace(/'/g, "%27");
export const unescape = (value) => {
  try { return decodeURIComponent(value); } catch { return new URLSearchParams(`a=${value.replaceAll("+", "%2B").replaceAll("&", "%26")}`).get("a"); }
};
const primitive = (value) => (typeof value === "string" || typeof value === "bigint" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value)) ? `${value}` : "");
export function stringify(object, separator = "&", equals = "=", options = {}) {
  const encode = options?.encodeURIComponent ?? escape;
  if (object === null || typeof object !== "object") return "";
  return Object.entries(object).flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((item) => encode(key) + equals + encode(primitive(item)))).join(separator);
}
export function parse(text, separator = "&", equals = "=", options = {}) {
  const made = Object.create(null), decode = options?.decodeURIComponent ?? unescape, max = options?.maxKeys ?? 1000;
  if (typeof text !== "string" || text === "") return made;
  let pairs = text.split(separator);
  if (max > 0) pairs = pairs.slice(0, max);
  for (const pair of pairs) {
    if (pair === "") continue;
    const at = pair.indexOf(equals);
    const read = (part) => decode(part.replaceAll("+", " "));
    const key = read(at < 0 ? pair : pair.slice(0, at)), value = at < 0 ? "" : read(pair.slice(at + equals.length));
    if (!(key in made)) made[key] = value;
    else if (Array.isArray(made[key])) made[key].push(value);
    else made[key] = [made[key], value];
  }
  return made;
}
export { stringify as encode, parse as decode };
export default { decode: parse, encode: stringify, escape, parse, stringify, unescape };
