// The routes that every peer serves from the same JavaScript.
const document = JSON.stringify({
  rows: Array.from({ length: 820 }, (_, i) => ({
    id: i, name: `row ${i}`, price: i * 1.25, tags: ["a", "b", "c"], nested: { on: i % 2 === 0, note: "some text here" },
  })),
});
const bytes = new Uint8Array(100_000).fill(120);

export async function handle(request) {
  const { url } = request;
  const path = url.slice(url.indexOf("/", 8));
  if (path === "/json") return new Response(JSON.stringify(JSON.parse(document)));
  if (path === "/sha") {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return new Response(String(digest[0]));
  }
  if (path === "/burn") {
    const end = Date.now() + 100;
    let n = 0;
    while (Date.now() < end) for (let i = 0; i < 1000; i++) n += i;
    return new Response(String(n));
  }
  return Response.json({ hello: "world" });
}

export default { fetch: handle };
