// `env.BUCKET`: R2 over the blobs of the app's space.
export function make(name) {
  throw new Error(`env.${name}: this server has no buckets yet`);
}
