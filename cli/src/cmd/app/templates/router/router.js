// A router in a few lines. Hono, itty-router and the like work as well: bundle them into server.js.
export class Router {
  #routes = [];

  constructor() {
    for (const method of ["get", "post", "put", "patch", "delete"]) {
      this[method] = (pathname, handle) => {
        this.#routes.push({ method: method.toUpperCase(), pattern: new URLPattern({ pathname }), handle });
        return this;
      };
    }
    // Cloudflare's module syntax calls `fetch` without `this`.
    this.fetch = this.fetch.bind(this);
  }

  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const allowed = new Set();
    for (const { method, pattern, handle } of this.#routes) {
      const match = pattern.exec({ pathname });
      if (!match) continue;
      if (method === request.method) return handle({ request, env, ctx, params: match.pathname.groups });
      allowed.add(method);
    }
    if (allowed.size === 0) return new Response("Not found\n", { status: 404 });
    return new Response("Method not allowed\n", { status: 405, headers: { allow: [...allowed].join(", ") } });
  }
}
