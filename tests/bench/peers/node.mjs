// Node's own server, with the Fetch classes only where a route needs them.
import { createServer } from "node:http";
import { handle } from "./app.mjs";

const server = createServer(async (request, response) => {
  if (request.url === "/") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ hello: "world" }));
    return;
  }
  const answer = await handle({ url: `http://localhost${request.url}` });
  response.end(await answer.text());
});
server.listen(Number(process.env.PORT), "127.0.0.1");
