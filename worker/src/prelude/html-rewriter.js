// HTMLRewriter, with the interface of Workers. The parser is native; here are the units that handlers see and the
// lists of changes that they make.
//
// The parser cannot wait. A handler that returns a promise is waited for by running promise jobs inside the call; one
// that waits for a timer or for bytes from elsewhere fails, and so does the body.

import native from "fazt:native/html";
import inspection from "fazt:native/inspect";
import { INTERNAL, bytesOf, expose, illegal } from "fazt:webidl";
import { ReadableStream } from "fazt:streams";
import { TextEncoder } from "fazt:encoding";

const kind = (options) => (options?.html ? "html" : "text");
function contentOf(content) {
  if (typeof content === "object" && content !== null && (content instanceof ReadableStream || content.body !== undefined)) {
    throw new TypeError("Streams as content are not supported");
  }
  return `${content}`.toWellFormed();
}
const name = (value) => `${value}`.toWellFormed();

// What all units have: facts, a list of changes, an end of life when their handler is done.
class Unit {
  #facts; #changes = [];
  constructor(guard, facts) {
    if (guard !== INTERNAL) throw illegal();
    this.#facts = facts;
  }
  static facts(unit) {
    if (unit.#facts === null) throw new TypeError("The handler is over: its document has moved on");
    return unit.#facts;
  }
  static change(unit, what, first = "", second = "") {
    Unit.facts(unit);
    unit.#changes.push([what, first, second]);
    return unit;
  }
  static done(unit) {
    unit.#facts = null;
    return unit.#changes;
  }
}
const { facts, change, done } = Unit;

const place = (unit, what, content, options) => change(unit, what, contentOf(content), kind(options));
const remove = (unit) => {
  facts(unit).removed = true;
  return change(unit, "remove");
};

class Element extends Unit {
  get tagName() { return facts(this).tagName; }
  set tagName(value) {
    change(this, "tagName", name(value));
    facts(this).tagName = name(value);
  }
  get namespaceURI() { return facts(this).namespaceURI; }
  get removed() { return facts(this).removed; }
  get attributes() { return facts(this).attributes.map(([key, value]) => [key, value])[Symbol.iterator](); }
  getAttribute(key) {
    key = name(key).toLowerCase();
    return facts(this).attributes.find((pair) => pair[0] === key)?.[1] ?? null;
  }
  hasAttribute(key) { return this.getAttribute(key) !== null; }
  setAttribute(key, value) {
    key = name(key).toLowerCase();
    value = name(value);
    if (key === "" || /[\s/>="'<]/.test(key)) throw new TypeError(`"${key}" is not a name for an attribute`);
    const pair = facts(this).attributes.find((each) => each[0] === key);
    if (pair === undefined) facts(this).attributes.push([key, value]);
    else pair[1] = value;
    return change(this, "setAttribute", key, value);
  }
  removeAttribute(key) {
    key = name(key).toLowerCase();
    facts(this).attributes = facts(this).attributes.filter((pair) => pair[0] !== key);
    return change(this, "removeAttribute", key);
  }
  before(content, options) { return place(this, "before", content, options); }
  after(content, options) { return place(this, "after", content, options); }
  prepend(content, options) { return place(this, "prepend", content, options); }
  append(content, options) { return place(this, "append", content, options); }
  setInnerContent(content, options) { return place(this, "setInnerContent", content, options); }
  replace(content, options) {
    facts(this).removed = true;
    return place(this, "replace", content, options);
  }
  remove() { return remove(this); }
  removeAndKeepContent() {
    facts(this).removed = true;
    return change(this, "removeAndKeepContent");
  }
  onEndTag(handler) {
    if (typeof handler !== "function") throw new TypeError("onEndTag wants a function");
    if (!facts(this).canHaveContent) throw new TypeError("This element has no end tag");
    change(this, "onEndTag", `${facts(this).endTag(handler)}`);
  }
}

class EndTag extends Unit {
  get name() { return facts(this).name; }
  set name(value) {
    change(this, "name", name(value));
    facts(this).name = name(value);
  }
  before(content, options) { return place(this, "before", content, options); }
  after(content, options) { return place(this, "after", content, options); }
  remove() { return remove(this); }
}

class Text extends Unit {
  get text() { return facts(this).text; }
  get lastInTextNode() { return facts(this).lastInTextNode; }
  get removed() { return facts(this).removed; }
  before(content, options) { return place(this, "before", content, options); }
  after(content, options) { return place(this, "after", content, options); }
  replace(content, options) {
    facts(this).removed = true;
    return place(this, "replace", content, options);
  }
  remove() { return remove(this); }
}

class Comment extends Unit {
  get text() { return facts(this).text; }
  set text(value) {
    change(this, "text", name(value));
    facts(this).text = name(value);
  }
  get removed() { return facts(this).removed; }
  before(content, options) { return place(this, "before", content, options); }
  after(content, options) { return place(this, "after", content, options); }
  replace(content, options) {
    facts(this).removed = true;
    return place(this, "replace", content, options);
  }
  remove() { return remove(this); }
}

class Doctype extends Unit {
  get name() { return facts(this).name ?? null; }
  get publicId() { return facts(this).publicId ?? null; }
  get systemId() { return facts(this).systemId ?? null; }
}

class DocumentEnd extends Unit {
  append(content, options) { return place(this, "append", content, options); }
}

const UNITS = { element: Element, endTag: EndTag, text: Text, comments: Comment, doctype: Doctype, end: DocumentEnd };

function wait(result) {
  if (result === null || typeof result !== "object" || typeof result.then !== "function") return;
  const promise = Promise.resolve(result);
  promise.catch(() => {});
  if (!native.settle(promise)) {
    throw new TypeError("An HTMLRewriter handler waited for something that does not come while HTML is parsed: fetch it before transform()");
  }
  const [state, reason] = inspection.promiseState(promise);
  if (state === "rejected") throw reason;
}

export class HTMLRewriter {
  #handlers = [];

  on(selector, handlers) {
    selector = name(selector);
    if (selector === "" || !native.isSelector(selector)) throw new TypeError(`The selector "${selector}" is not understood`);
    this.#handlers.push({ selector, handlers });
    return this;
  }
  onDocument(handlers) {
    this.#handlers.push({ selector: "", handlers });
    return this;
  }

  transform(response) {
    const list = [...this.#handlers];
    const write = native.rewriter(list.map(({ selector, handlers }) => [selector, lettersOf(selector, handlers)]));
    const endTags = [];
    const call = (what, index, given) => {
      if (what === "element") given.endTag = (handler) => endTags.push(handler) - 1;
      if (what === "doctype" || what === "end" || what === "endTag") given.removed = false;
      const unit = new UNITS[what](INTERNAL, given);
      try {
        if (what === "endTag") {
          const handler = endTags[index];
          endTags[index] = undefined;
          wait(handler(unit));
        } else {
          const { handlers } = list[index];
          wait(handlers[what](unit));
        }
      } finally {
        given = done(unit);
      }
      return given;
    };
    if (response.body === null) return new Response(null, response);
    const reader = response.body.getReader();
    const body = new ReadableStream({
      async pull(controller) {
        try {
          for (;;) {
            const { done: last, value } = await reader.read();
            const chunk = last ? undefined : typeof value === "string" ? new TextEncoder().encode(value) : bytesOf(value);
            if (chunk === null) throw new TypeError("The body is not made of bytes");
            const made = last ? write(call) : write(call, chunk);
            if (made.length > 0) controller.enqueue(made);
            if (last) controller.close();
            if (last || made.length > 0) return;
          }
        } catch (error) {
          reader.cancel(error).catch(() => {});
          throw error;
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
    const made = new Response(body, response);
    made.headers.delete("content-length");
    return made;
  }
}
expose(HTMLRewriter);

function lettersOf(selector, handlers) {
  const has = (what) => typeof handlers?.[what] === "function";
  if (selector !== "") return (has("element") ? "e" : "") + (has("comments") ? "c" : "") + (has("text") ? "t" : "");
  return (has("doctype") ? "d" : "") + (has("comments") ? "c" : "") + (has("text") ? "t" : "") + (has("end") ? "z" : "");
}
