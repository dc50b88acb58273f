// Each number is written as two entries in one batch: after a power cut both are there or neither is.
const entries = fazt.storage.space("app").docs("entries");

export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (request.method === "POST") {
      const writer = Number(url.searchParams.get("writer"));
      const n = Number(url.searchParams.get("n"));
      await entries.batch(["a", "b"].map((half) => ({ put: { id: `${writer}-${n}-${half}`, writer, n } })));
      return new Response("written\n");
    }
    const cursor = url.searchParams.get("cursor") ?? undefined;
    const page = await entries.find({ order: ["writer", "n"], limit: 500, cursor });
    return Response.json({ ids: page.items.map(({ id }) => id), cursor: page.cursor });
  },
};
