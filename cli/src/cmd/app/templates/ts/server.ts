interface Greeting {
  message: string;
  requestId: string;
}

function greet(name: string, ctx: ExecutionContext): Greeting {
  return { message: `Hello, ${name}!`, requestId: ctx.requestId };
}

export default {
  async fetch(request, _env, ctx): Promise<Response> {
    const { searchParams } = new URL(request.url);
    return Response.json(greet(searchParams.get("name") ?? "stranger", ctx));
  },
} satisfies ExportedHandler;
