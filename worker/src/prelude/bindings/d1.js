// `env.DB`: D1 over an SQL file of the binding's own.
export function make(name) {
  throw new Error(`env.${name}: this server has no SQL databases yet`);
}
