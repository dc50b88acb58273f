// `fazt`: the system calls by kernel noun, bound from the table.
import link from "fazt:native/link";
import { call, collectCall } from "fazt:fetch";
import { endCall } from "fazt:body";
import { proc } from "fazt:proc";
import { storage } from "fazt:storage";

export const fazt = {};

for (const [number, noun, verb, returnsBytes, bound] of link.rows()) {
  if (!bound || noun === "proc") continue;
  const group = (fazt[noun] ??= {});
  group[verb] = returnsBytes
    ? async (...args) => { const [stream] = await call(number, args); return collectCall(stream); }
    : async (...args) => { const [stream, reply] = await call(number, args); endCall(stream); return reply; };
  Object.defineProperty(group[verb], "name", { value: verb });
}
for (const noun of Object.keys(fazt)) Object.freeze(fazt[noun]);
fazt.proc = proc;
fazt.storage = storage;
Object.freeze(fazt);
