// HTMLRewriter, with the interface of Workers. The parser is native; here are the units that handlers see and the
// lists of changes that they make.
//
// The parser cannot wait, handlers may. Each piece of a document is parsed twice: first to learn which units handlers
// want to see; then, when all of them are done with those, to make their changes. See `native/html.rs`.

import native from "fazt:native/html";
import host from "fazt:native/host";
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
    facts(this).endTag(handler);
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

// Bytes of HTML that are parsed at once: between two pieces the CPU budget is looked at.
const PIECE_BYTES = 4096;

const isThenable = (value) => value !== null && typeof value === "object" && typeof value.then === "function";

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
    const [scout, rewrite] = native.pair(list.map(({ selector, handlers }) => [selector, lettersOf(selector, handlers)]));
    const endTags = new Map(); // element → {facts, handlers}
    let type, shared; // of the unit that handlers see now
    // Calls the handlers that `unit` is for; a promise if one of them is not done yet.
    const meet = ([what, index, unit, given], into) => {
      if (what !== "") {
        [type, shared] = [what, given];
        shared.removed = false;
      }
      if (what === "element") {
        shared.written = shared.tagName;
        shared.endTag = (handler) => {
          const entry = endTags.get(unit);
          if (entry === undefined) endTags.set(unit, { facts: given, handlers: [handler] });
          else entry.handlers.push(handler);
        };
      }
      if (type !== "endTag") {
        const { handlers } = list[index];
        return visit(type, handlers[type], handlers, shared, into);
      }
      const entry = endTags.get(index);
      if (entry === undefined) return undefined;
      endTags.delete(index);
      if (entry.facts.tagName !== entry.facts.written) shared.name = entry.facts.tagName;
      return entry.handlers.length === 1
        ? visit(type, entry.handlers[0], undefined, shared, into)
        : visitAll(entry.handlers, shared, into);
    };
    const piece = async (bytes) => {
      const changes = [];
      for (const unit of scout(bytes)) {
        const into = [];
        changes.push(into);
        const waiting = meet(unit, into);
        if (waiting !== undefined) await waiting;
      }
      return rewrite(changes, bytes);
    };
    if (response.body === null) return new Response(null, response);
    const reader = response.body.getReader();
    const next = async (controller) => {
      try {
        for (;;) {
          const { done: last, value } = await reader.read();
          let sent = false;
          const send = (made) => {
            if (made.length === 0) return;
            sent = true;
            controller.enqueue(made);
          };
          if (last) {
            send(await piece());
            controller.close();
            return;
          }
          // A copy: the app must not change between the two looks at it.
          const chunk = typeof value === "string" ? new TextEncoder().encode(value) : bytesOf(value)?.slice();
          if (chunk === undefined) throw new TypeError("The body is not made of bytes");
          for (let at = 0; at < chunk.length; at += PIECE_BYTES) send(await piece(chunk.subarray(at, at + PIECE_BYTES)));
          if (sent) return;
        }
      } catch (error) {
        reader.cancel(error).catch(() => {});
        throw error;
      }
    };
    const body = new ReadableStream({
      // Handlers run in the context of whoever asked for the transformation.
      pull: host.bindContext === undefined ? next : host.bindContext(next),
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

// Calls one handler; its changes go to the end of `into`, when it is done.
function visit(type, handler, self, shared, into) {
  const unit = new UNITS[type](INTERNAL, shared);
  const end = () => { into.push(...done(unit)); };
  let result;
  try {
    result = Reflect.apply(handler, self, [unit]);
  } catch (error) {
    done(unit);
    throw error;
  }
  if (!isThenable(result)) return end();
  return (async () => {
    try {
      await result;
      end();
    } finally {
      done(unit);
    }
  })();
}

async function visitAll(handlers, shared, into) {
  for (const handler of handlers) await visit("endTag", handler, undefined, shared, into);
}
