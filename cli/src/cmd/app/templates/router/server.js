import { Router } from "./router.js";

const app = new Router();

app.get("/", () => new Response("Hello from __NAME__. Try /greet/Ada\n"));
app.get("/greet/:name", ({ params }) => Response.json({ message: `Hello, ${params.name}!` }));
app.post("/echo", ({ request }) => new Response(request.body));

export default app;
