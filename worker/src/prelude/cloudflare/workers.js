// What apps import from "cloudflare:workers".
import { environment } from "fazt:main";

export class WorkerEntrypoint {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}

export class DurableObject {
  constructor(ctx, env) {
    this.ctx = ctx;
    this.env = env;
  }
}

export class RpcTarget {}

// A live view: the values are known when the app starts.
export const env = new Proxy({}, {
  get: (_, name) => environment()[name],
  has: (_, name) => name in environment(),
  ownKeys: () => Reflect.ownKeys(environment()),
  getOwnPropertyDescriptor: (_, name) => {
    const property = Reflect.getOwnPropertyDescriptor(environment(), name);
    return property && { ...property, configurable: true };
  },
});

export function waitUntil(promise) {
  Promise.resolve(promise).catch(() => {});
}
