// A request that no file in public/ answers comes here. This process serves this app alone: it sees no other
// app, no file of the machine and no network. When nobody asks for a while it is gone; the next request wakes it.

// What a module holds lives as long as its process.
const since = Date.now();
let served = 0;

export default {
  async fetch(request, env, ctx) {
    served += 1;
    const url = new URL(request.url);

    if (url.pathname === "/api/hello") {
      const name = url.searchParams.get("name")?.trim().slice(0, 40) || "stranger";
      console.log(`said hello to ${name}`);
      return Response.json({
        message: `Hello, ${name}!`,
        worker: { awakeMs: Date.now() - since, served },
        requestId: ctx.requestId,
      });
    }

    if (url.pathname === "/api/count") {
      return new Response(count(10), { headers: { "content-type": "text/plain; charset=utf-8" } });
    }

    if (url.pathname === "/api/echo" && request.method === "POST") {
      const type = request.headers.get("content-type") ?? "text/plain";
      return new Response(request.body, { headers: { "content-type": type } });
    }

    return new Response(`There is nothing at ${url.pathname}.\n`, { status: 404 });
  },
};

/** A body that is sent piece by piece, ten a second. */
function count(to) {
  const encoder = new TextEncoder();
  let number = 0;
  return new ReadableStream({
    async pull(controller) {
      number += 1;
      controller.enqueue(encoder.encode(`${number}\n`));
      if (number === to) return controller.close();
      await new Promise((done) => setTimeout(done, 100));
    },
  });
}
