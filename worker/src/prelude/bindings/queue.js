// `env.QUEUE`: a producer of Workers Queues. Its messages are jobs of the queue that the binding names.
import { enqueueAll } from "fazt:proc";

class Queue {
  #name;
  constructor(name) { this.#name = name; }
  async send(body, options) {
    await enqueueAll(this.#name, [[body, options?.delaySeconds]]);
  }
  async sendBatch(messages, options) {
    const jobs = Array.from(messages, ({ body, delaySeconds }) => [body, delaySeconds]);
    if (jobs.length !== 0) await enqueueAll(this.#name, jobs, options?.delaySeconds);
  }
}

export const make = (name) => new Queue(name);
