// Notes of one's own and a board for all. Nothing here says who may see what.
const mine = fazt.storage.docs("notes");
const board = fazt.storage.space("app").docs("notes");

const escape = (text) => text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const form = (path, label) => `<form method="post" action="${path}"><label>${label} <input name="text"></label>
  <button>Keep</button></form>`;

async function list(id, docs) {
  const { items } = await docs.find({ order: "created" });
  return `<ul id="${id}">${items.map((item) => `<li>${escape(item.text)}</li>`).join("")}</ul>`;
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (request.method === "POST") {
      const text = (await request.formData()).get("text");
      await (url.pathname === "/board" ? board : mine).insert({ text });
      return Response.redirect(new URL("/", url), 303);
    }
    const html = `<!doctype html><html lang="en"><title>Board</title><h1>${escape(ctx.user.name)}</h1>
      ${await list("mine", mine)}${form("/mine", "Mine")}${await list("board", board)}${form("/board", "Board")}`;
    return new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
};
