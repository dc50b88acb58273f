// node:stream/consumers.

import { Buffer } from "node:buffer";

const whole = (stream) => new Response(stream instanceof ReadableStream ? stream : ReadableStream.from(pieces(stream)));
async function* pieces(stream) {
  for await (const chunk of stream) yield typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
}
export const arrayBuffer = (stream) => whole(stream).arrayBuffer();
export const blob = (stream) => whole(stream).blob();
export const buffer = async (stream) => Buffer.from(await arrayBuffer(stream));
export const json = (stream) => whole(stream).json();
export const text = (stream) => whole(stream).text();
export default { arrayBuffer, blob, buffer, json, text };
