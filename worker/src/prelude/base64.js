// atob and btoa.

import native from "fazt:native/encoding";
import { domString, need } from "fazt:webidl";
import { DOMException } from "fazt:dom-exception";

export function atob(data) {
  need(arguments.length, 1, "atob");
  const text = native.atob(domString(data).toWellFormed());
  if (text === undefined) throw new DOMException("The string is not base64", "InvalidCharacterError");
  return text;
}

export function btoa(data) {
  need(arguments.length, 1, "btoa");
  const text = native.btoa(domString(data).toWellFormed());
  if (text === undefined) {
    throw new DOMException("The string holds characters outside Latin-1", "InvalidCharacterError");
  }
  return text;
}
