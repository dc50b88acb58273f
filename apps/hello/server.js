// A guestbook in three parts: entries are everybody's, the wall is for whoever is signed in, notes are their
// writer's alone. No line here keeps one person's notes from another: `fazt.storage` is the person's own, and
// `space("app")` is what all of them share.
const shared = fazt.storage.space("app");

const parts = {
  entries: {
    docs: shared.docs("entries"),
    title: "Guestbook",
    about: "Everybody reads this, and everybody may sign.",
    empty: "Nobody has signed yet.",
  },
  wall: {
    docs: shared.docs("wall"),
    signedIn: true,
    title: "Members' wall",
    about: "Whoever is signed in reads and writes here.",
    empty: "The wall is still bare.",
  },
  notes: {
    docs: fazt.storage.docs("notes"),
    signedIn: true,
    title: "Your notes",
    about: "Nobody else who uses this app sees these.",
    empty: "You have written nothing down yet.",
  },
};

export default {
  async fetch(request, env, { user }) {
    const name = new URL(request.url).pathname.slice(1);
    if (request.method === "POST" && Object.hasOwn(parts, name)) return write(request, name, user);
    if (name !== "") return new Response("There is nothing here.\n", { status: 404 });
    const shown = Object.entries(parts).filter(([, part]) => user || !part.signedIn);
    const sections = await Promise.all(shown.map(([name, part]) => section(name, part, user)));
    return new Response(page(user, sections).text, {
      headers: {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'",
      },
    });
  },
};

async function write(request, name, user) {
  // A page of another site must not write here in the name of whoever looks at it.
  if ((request.headers.get("sec-fetch-site") ?? "same-origin") !== "same-origin")
    return new Response("This form came from another site.\n", { status: 403 });
  if (parts[name].signedIn && !user) return Response.redirect(new URL("/_fazt/sign-in?to=/", request.url), 303);
  const form = await request.formData().catch(() => new FormData());
  const field = (name, chars) => String(form.get(name) ?? "").trim().slice(0, chars);
  const text = field("text", 500);
  const by = user?.name ?? (field("by", 40) || "somebody");
  if (text) await parts[name].docs.insert({ text, by, at: new Date() });
  return new Response(null, { status: 303, headers: { location: `/#${name}` } });
}

async function section(name, { docs, title, about, empty }, user) {
  const { items } = await docs.find({ order: "-id", limit: 20 });
  const item = ({ text, by, at }) => html`<li>${text} <small>${by}, ${at.toISOString().slice(0, 10)}</small></li>`;
  return html`<section id="${name}">
    <h2>${title}</h2>
    <p>${about}</p>
    <form method="post" action="/${name}" class="row">
      ${user ? "" : html`<input name="by" maxlength="40" placeholder="Your name" aria-label="Your name">`}
      <input name="text" maxlength="500" required placeholder="Say something" aria-label="${title}: your words">
      <button>Write</button>
    </form>
    ${items.length ? html`<ul>${items.map(item)}</ul>` : html`<p class="empty">${empty}</p>`}
  </section>`;
}

const page = (user, sections) => html`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Guestbook</title><link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/style.css">
<main>
  <h1>${user ? `Hello, ${user.name}` : "Hello, stranger"}</h1>
  <p class="lead">${user
    ? html`What you write is kept under your name. <a href="/_fazt/sign-out">Sign out</a>`
    : html`<a href="/_fazt/sign-in?to=/">Sign in</a> for the wall and for notes of your own.`}</p>
  ${sections}
</main>
</html>`;

/** HTML in which every value is text, unless it is HTML itself. */
function html(strings, ...values) {
  const escape = (value) =>
    value instanceof Html ? value.text
    : Array.isArray(value) ? value.map(escape).join("")
    : String(value).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
  return new Html(strings.reduce((all, piece, at) => all + escape(values[at - 1]) + piece));
}
class Html { constructor(text) { this.text = text; } }
