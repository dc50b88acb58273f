// What the kernel asks of an app without a request: `scheduled` and `queue`, in the shapes of Workers. Loaded when the
// first one comes.
import link from "fazt:native/link";
import { collect } from "fazt:body";

// Starts an event. What came of it is in what this gives, when `over` is called and every `waitUntil` has settled.
export function begin(stream, head, ctx, handlerOf, over) {
  const event = {
    error: undefined, // the first one: { value }
    decided: null, // what the app said of a job: { retry, delayS }
    fail(value) { event.error ??= { value }; },
  };
  run(stream, head, ctx, handlerOf, event).catch(event.fail).then(over);
  return event;
}

async function run(stream, head, ctx, handlerOf, event) {
  const handler = handlerOf(head.handler, ctx);
  const payload = head.hasPayload ? JSON.parse(await collect(stream, true)) : undefined;
  if (head.handler === "queue") await handler(new MessageBatch(head, payload, ctx, event));
  else await handler(new ScheduledController(stream, head, payload, ctx));
}

class ScheduledController {
  type = "scheduled";
  #stream;
  #ctx;
  constructor(stream, head, payload, ctx) {
    this.#stream = stream;
    this.#ctx = ctx;
    this.cron = head.cron;
    this.scheduledTime = head.time;
    this.name = head.name;
    this.id = head.id;
    this.attempts = head.attempts;
    this.payload = payload;
  }
  noRetry() { link.noRetry(this.#stream); }
  // Of the service-worker syntax.
  waitUntil(promise) { this.#ctx.waitUntil(promise); }
}

// Jobs come one by one. What is said of the message itself counts before what is said of the batch, and what was said
// first before what comes later.
class MessageBatch {
  type = "queue";
  #all;
  #ctx;
  constructor(head, payload, ctx, event) {
    this.#ctx = ctx;
    const state = { event, own: false };
    this.queue = head.name;
    this.messages = Object.freeze([new Message(head, payload, state)]);
    this.#all = (what) => { if (!state.own) event.decided ??= what; };
  }
  ackAll() { this.#all({ retry: false }); }
  retryAll(options) { this.#all({ retry: true, delayS: options?.delaySeconds }); }
  waitUntil(promise) { this.#ctx.waitUntil(promise); }
}

class Message {
  #state;
  constructor(head, payload, state) {
    this.#state = state;
    this.id = head.id;
    this.timestamp = new Date(head.time);
    this.body = payload;
    this.attempts = head.attempts;
  }
  #decide(what) {
    const state = this.#state;
    if (state.own) return;
    state.own = true;
    state.event.decided = what;
  }
  ack() { this.#decide({ retry: false }); }
  retry(options) { this.#decide({ retry: true, delayS: options?.delaySeconds }); }
}
