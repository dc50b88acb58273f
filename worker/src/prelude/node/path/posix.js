// node:path/posix: the only kind of paths there is.

export * from "node:path";
export { default } from "node:path";
