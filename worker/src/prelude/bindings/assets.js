// `env.ASSETS`: static assets of Workers. What the edge serves without waking a worker, for a script that wants to
// answer with a file, or to change one on its way.
import link from "fazt:native/link";
import { Request, Response, call } from "fazt:fetch";
import { Held, endCall, streamOf } from "fazt:body";
import { assets } from "fazt:main";
import { URL } from "fazt:url";

const READ = link.rows().find(([, noun, verb]) => noun === "fs" && verb === "read")[0];

// The file of a path below the assets: [what it is, the stream of its bytes], or null.
async function open(path) {
  const { folder } = assets();
  try {
    const [stream, found] = await call(READ, [folder === "" ? path : `${folder}/${path}`]);
    if (found.kind === "file") return [found, stream];
    endCall(stream);
  } catch (error) {
    // A folder, a name that no file can have: there is no file.
    if (!["NotFound", "InvalidArgument"].includes(error?.name)) throw error;
  }
  return null;
}

function answer(request, [found, stream], status) {
  const etag = `"${found.sha256}"`;
  const headers = { "content-type": found.mediaType, etag, "cache-control": "public, max-age=0, must-revalidate" };
  const known = (request.headers.get("if-none-match") ?? "").split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
  if (status === 200 && known) {
    endCall(stream);
    return new Response(null, { status: 304, headers });
  }
  if (request.method === "HEAD") {
    endCall(stream);
    return new Response(null, { status, headers });
  }
  const held = new Held();
  held.incoming = stream;
  held.expected = found.bytes;
  return new Response(streamOf(held)[1], { status, headers });
}

class Fetcher {
  async fetch(input, init) {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init);
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("Method Not Allowed", { status: 405, headers: { allow: "GET, HEAD" } });
    }
    const url = new URL(request.url);
    let path;
    try {
      path = decodeURIComponent(url.pathname).slice(1);
    } catch {
      return new Response("Bad Request", { status: 400 });
    }
    const folder = path === "" || path.endsWith("/");
    if (!folder) {
      const found = await open(path) ?? await open(`${path}.html`);
      if (found !== null) return answer(request, found, 200);
    }
    const index = await open(folder ? `${path}index.html` : `${path}/index.html`);
    if (index !== null) {
      if (folder) return answer(request, index, 200);
      endCall(index[1]);
      return new Response(null, { status: 307, headers: { location: `${url.pathname}/${url.search}` } });
    }
    const page = assets().spa ? await open("index.html") : await open("404.html");
    return page === null ? new Response(null, { status: 404 }) : answer(request, page, assets().spa ? 200 : 404);
  }
}

export const make = () => new Fetcher();
