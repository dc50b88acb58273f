// Stacks without the runtime's own frames.

const INTERNAL = /\((?:fazt|node|cloudflare):|at (?:fazt|node|cloudflare):|\(native\)/;

// Lines of a stack that are the app's.
export function appFrames(stack) {
  let out = "";
  for (const line of `${stack}`.split("\n")) {
    if (line !== "" && !INTERNAL.test(line)) out += line + "\n";
  }
  return out.trimEnd();
}

// `file:line` of the innermost frame of the app.
export function origin() {
  for (const line of new Error().stack.split("\n")) {
    if (INTERNAL.test(line)) continue;
    const at = /\(?([^\s()]+?:\d+)(?::\d+)?\)?$/.exec(line);
    if (at) return at[1];
  }
  return "";
}

// What an error says of itself: [message, stack]. Never throws, whatever the app made of the value.
export function describe(error) {
  try {
    if (error !== null && typeof error === "object") {
      const name = error.name, message = error.message, stack = error.stack;
      if (typeof stack === "string" || typeof message === "string") {
        let text = name === undefined || name === "" ? `${message}` : message ? `${name}: ${message}` : `${name}`;
        let lines = stack === undefined ? "" : appFrames(stack);
        let cause = error.cause;
        for (let depth = 0; cause !== undefined && depth < 4; depth++) {
          lines += `\ncaused by ${cause?.name ?? ""}: ${cause?.message ?? cause}`;
          if (cause?.stack) lines += "\n" + appFrames(cause.stack);
          cause = cause?.cause;
        }
        return [text, lines.trim() && lines];
      }
      try { return [`uncaught ${JSON.stringify(error)}`, ""]; } catch { /* fall through */ }
    }
    return [`uncaught ${String(error)}`, ""];
  } catch {
    return ["uncaught exception that cannot be shown", ""];
  }
}
