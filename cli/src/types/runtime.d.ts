// Types of Fazt's runtime. Made from cli/src/types/runtime.d.ts and the table of system calls: change those,
// then run the tests of the crate `fazt` with FAZT_UPDATE=1.
//
// Everything else that an app sees is the web's (fetch, Request, Response, URL, streams, crypto, …): compile with
// "lib": ["ES2023", "WebWorker"].

/** The variables and secrets that `app.json` declares. Extend it with your own names. */
interface Env {
  [name: string]: string | undefined;
}

/** The person whom a request is for. */
interface User {
  readonly id: string;
  readonly name: string;
  readonly role: "owner" | "admin" | "member";
}

/** What is known of one call of a handler. */
interface ExecutionContext {
  /** Keeps the worker until the promise is settled, after the response was sent. */
  waitUntil(promise: Promise<unknown>): void;
  /** Cloudflare's: there is no origin to pass through to, so it does nothing. */
  passThroughOnException(): void;
  /** Who is signed in, or null. */
  readonly user: User | null;
  /** The app itself. */
  readonly app: { readonly id: string; readonly name: string; readonly version: string };
  /** Names this request in the log and on error pages. */
  readonly requestId: string;
}

/** What a scheduled run is told. */
interface ScheduledEvent {
  readonly type: "scheduled";
  /** The expression in `app.json` that fired; empty for a run that the app asked for. */
  readonly cron: string;
  /** When it was due, in milliseconds since 1970. */
  readonly scheduledTime: number;
  /** Name of the entry of `cron`; empty for a run that the app asked for. */
  readonly name: string;
  /** Names the run; what `fazt.proc.schedule` gave. */
  readonly id: string;
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  /** What `fazt.proc.schedule` was given. */
  readonly payload: any;
  /** If this run fails, it is not tried again. */
  noRetry(): void;
}

/** A job of `fazt.proc.enqueue`, or of a binding of the kind `queue`. */
interface Message<Body = any> {
  readonly id: string;
  /** When it was enqueued. */
  readonly timestamp: Date;
  readonly body: Body;
  /** Which attempt this is, from 1. */
  readonly attempts: number;
  /** It is done, whatever happens then. */
  ack(): void;
  /** It is to be tried again. */
  retry(options?: { delaySeconds?: number }): void;
}

/** Jobs of one queue; here always one. */
interface MessageBatch<Body = any> {
  readonly queue: string;
  readonly messages: readonly Message<Body>[];
  ackAll(): void;
  retryAll(options?: { delaySeconds?: number }): void;
}

/** A binding of the kind `queue`. */
interface Queue<Body = any> {
  send(body: Body, options?: { delaySeconds?: number }): Promise<void>;
  sendBatch(messages: Iterable<{ body: Body, delaySeconds?: number }>, options?: { delaySeconds?: number }): Promise<void>;
}

/** The default export of an app's main module. */
interface ExportedHandler<E = Env> {
  /** Answers a request that no file in `assets` answers. */
  fetch?(request: Request, env: E, ctx: ExecutionContext): Response | Promise<Response>;
  /** Runs when an entry of `cron` or a run of `fazt.proc.schedule` is due, as the app itself: `ctx.user` is null. */
  scheduled?(event: ScheduledEvent, env: E, ctx: ExecutionContext): void | Promise<void>;
  /** Does a job, as the app itself. One that throws is tried again later. */
  queue?(batch: MessageBatch, env: E, ctx: ExecutionContext): void | Promise<void>;
  /** Receives a message of a WebSocket. */
  message?(socket: WebSocket, data: string | ArrayBuffer): void | Promise<void>;
}

/** One entry of a folder. */
interface DirEntry {
  /** Name, without the folder. */
  readonly name: string;
  readonly kind: "file" | "dir";
  /** Size; 0 for a folder. */
  readonly bytes: number;
}

/** What a path is. */
interface FileStat {
  /** Path as deployed. */
  readonly path: string;
  readonly kind: "file" | "dir";
  /** Size; 0 for a folder. */
  readonly bytes: number;
  /** SHA-256 of the content in hexadecimal; empty for a folder. */
  readonly sha256: string;
  /** Media type; empty for a folder. */
  readonly mediaType: string;
}

/** What a system call throws when it is refused or fails. */
interface FaztError extends Error {
  readonly name: @ERROR_NAMES@;
  /** The grant that is missing, `net:api.github.com`; empty unless `PermissionDenied`. */
  readonly permission: string;
}

/** Rewrites HTML while it streams, as on Cloudflare Workers. */
declare class HTMLRewriter {
  on(selector: string, handlers: HTMLRewriterElementHandlers): this;
  onDocument(handlers: HTMLRewriterDocumentHandlers): this;
  transform(response: Response): Response;
}

interface HTMLRewriterElementHandlers {
  element?(element: HTMLRewriterElement): void | Promise<void>;
  comments?(comment: HTMLRewriterComment): void | Promise<void>;
  text?(text: HTMLRewriterText): void | Promise<void>;
}

interface HTMLRewriterDocumentHandlers {
  doctype?(doctype: HTMLRewriterDoctype): void | Promise<void>;
  comments?(comment: HTMLRewriterComment): void | Promise<void>;
  text?(text: HTMLRewriterText): void | Promise<void>;
  end?(end: { append(content: string, options?: { html?: boolean }): unknown }): void | Promise<void>;
}

interface HTMLRewriterElement {
  tagName: string;
  readonly attributes: Iterable<[name: string, value: string]>;
  readonly removed: boolean;
  readonly namespaceURI: string;
  getAttribute(name: string): string | null;
  hasAttribute(name: string): boolean;
  setAttribute(name: string, value: string): this;
  removeAttribute(name: string): this;
  before(content: string, options?: { html?: boolean }): this;
  after(content: string, options?: { html?: boolean }): this;
  prepend(content: string, options?: { html?: boolean }): this;
  append(content: string, options?: { html?: boolean }): this;
  replace(content: string, options?: { html?: boolean }): this;
  setInnerContent(content: string, options?: { html?: boolean }): this;
  remove(): this;
  removeAndKeepContent(): this;
  onEndTag(handler: (tag: HTMLRewriterEndTag) => void | Promise<void>): void;
}

interface HTMLRewriterEndTag {
  name: string;
  before(content: string, options?: { html?: boolean }): this;
  after(content: string, options?: { html?: boolean }): this;
  remove(): this;
}

interface HTMLRewriterComment {
  text: string;
  readonly removed: boolean;
  before(content: string, options?: { html?: boolean }): this;
  after(content: string, options?: { html?: boolean }): this;
  replace(content: string, options?: { html?: boolean }): this;
  remove(): this;
}

interface HTMLRewriterText {
  readonly text: string;
  readonly lastInTextNode: boolean;
  readonly removed: boolean;
  before(content: string, options?: { html?: boolean }): this;
  after(content: string, options?: { html?: boolean }): this;
  replace(content: string, options?: { html?: boolean }): this;
  remove(): this;
}

interface HTMLRewriterDoctype {
  readonly name: string | null;
  readonly publicId: string | null;
  readonly systemId: string | null;
}

/** Two ends of one socket, as on Cloudflare Workers. */
declare class WebSocketPair {
  readonly 0: WebSocket;
  readonly 1: WebSocket;
}

/** Files beside the code can be imported as what they hold. */
declare module "*.txt" {
  const text: string;
  export default text;
}
declare module "*.md" {
  const text: string;
  export default text;
}
declare module "*.html" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*.sql" {
  const text: string;
  export default text;
}

