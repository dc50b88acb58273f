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
  readonly name: "PermissionDenied" | "SignInRequired" | "NotFound" | "Conflict" | "InvalidArgument" | "InvalidQuery" | "QuotaExceeded" | "TooLarge" | "RateLimited" | "Unavailable" | "Internal";
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

/** The system calls, by kernel noun. */
declare namespace fazt {
  const fs: {
    /** Reads a file that the app was deployed with. */
    read(path: string): Promise<ArrayBuffer>;
    /** Lists a folder of the app's deployed files, sorted by name. Without a path: the top. */
    list(path?: string): Promise<DirEntry[]>;
    /** Says what a deployed file or folder is. */
    stat(path: string): Promise<FileStat>;
  };
  const proc: {
    /** Runs the app's `scheduled` once, later: at a `Date`, at milliseconds since 1970, or so many seconds from now.
 Gives an id. The payload is anything that JSON can say, and comes as `event.payload`. */
    schedule(when: Date | number | { inS: number }, payload?: unknown): Promise<string>;
    /** Gives the app's `queue` a job, now or after `delayS` seconds. Gives an id. */
    enqueue(name: string, payload?: unknown, options?: { delayS?: number }): Promise<string>;
    /** Takes back a run or job that waits, or throws away a dead letter. Says whether there was one. */
    cancel(id: string): Promise<boolean>;
    /** Lists the app's runs and jobs that wait, run or are dead, a thousand at most, next ones first. */
    list(): Promise<Job[]>;
  };
  type Job = {
    id: string, kind: "run" | "job", name: string, state: "waiting" | "running" | "dead",
    /** When it is due, in milliseconds since 1970. */
    due: number,
    /** Attempts that were made. */
    attempts: number,
    /** Why the last one failed; empty: it did not. */
    error: string,
  };
  /** A document as it is stored: JSON, dates, bytes (`Uint8Array`), `bigint`, every number. */
  type Doc = { id: string, version: number, [field: string]: any };
  /** Conditions by field, `id`, `version`, `created` and `updated` among them; dots lead inwards. A value, or
   *  operators: $eq $ne $gt $gte $lt $lte $in $nin $exists $prefix $contains. Joined by $and, $or, $not. */
  type Where = { [field: string]: unknown };
  /** "updated", "-updated", several of those, [["updated", "desc"]] or { updated: "desc" }. */
  type Order = string | (string | [string, "asc" | "desc"])[] | { [field: string]: "asc" | "desc" };
  type Change =
    | { put: { id: string, [field: string]: unknown }, ifVersion?: number }
    | { insert: { [field: string]: unknown } }
    | { update: string, patch: { [field: string]: unknown }, ifVersion?: number }
    | { delete: string, ifVersion?: number };
  type KeyInfo = { key: string, version: number, metadata: unknown, expires: number | null };
  type BlobInfo = {
    key: string, size: number, etag: string, version: string, uploaded: Date, contentType: string | null, meta: unknown,
  };
  type BlobBody = BlobInfo & {
    /** Which bytes these are. */
    range: { offset: number, length: number }, body: ReadableStream, bodyUsed: boolean,
    stream(): ReadableStream, bytes(): Promise<Uint8Array>, arrayBuffer(): Promise<ArrayBuffer>, text(): Promise<string>,
    json(): Promise<any>, blob(): Promise<Blob>,
  };
  type Role = "reader" | "writer" | "manager";
  /** What a database holds. Integers over 2⁵³ are `bigint`, blobs are `Uint8Array`. */
  type SqlValue = null | number | bigint | string | boolean | Uint8Array;
  type SqlMeta = {
    changes: number, last_row_id: number, rows_read: number, rows_written: number,
    duration: number, size_after: number, changed_db: boolean,
  };
  type SqlResult<Row = Record<string, SqlValue>> = { success: true, results: Row[], meta: SqlMeta };
  interface SqlStatement {
    /** The values of its `?`, in order. */
    bind(...values: SqlValue[]): SqlStatement;
    all<Row = Record<string, SqlValue>>(): Promise<SqlResult<Row>>;
    run<Row = Record<string, SqlValue>>(): Promise<SqlResult<Row>>;
    /** The first row, or one column of it; null where there is none. */
    first<Row = Record<string, SqlValue>>(): Promise<Row | null>;
    first(column: string): Promise<SqlValue>;
    /** Rows as lists, with the names of columns as the first one where that is asked for. */
    raw(options?: { columnNames?: boolean }): Promise<SqlValue[][]>;
  }
  type SpaceInfo = { id: string, name: string, role: Role };
  interface Space {
    kv: {
      /** Reads the value of a key; null where there is none. */
      get(key: string): Promise<unknown>;
      /** Sets a key to a text, bytes, or anything that can be stored, for a while or for good. With `ifVersion` only if the key has this version; 0: only if it does not exist. Gives the new version. */
      set(key: string, value: unknown, options?: { ttlS?: number, ifVersion?: number, metadata?: unknown }): Promise<number>;
      /** Deletes a key. Says whether there was one. */
      delete(key: string, options?: { ifVersion?: number }): Promise<boolean>;
      /** Lists keys in order, a page at a time: 100 unless `limit` (1,000 at most) says otherwise. */
      list(options?: { prefix?: string, limit?: number, cursor?: string }): Promise<{ keys: KeyInfo[], cursor: string | null }>;
    };
    docs(collection: string): {
      /** Reads a document; null where there is none. */
      get(id: string): Promise<Doc | null>;
      /** Makes or replaces the document of this `id`. Gives it as it is stored. */
      put(doc: { id: string, [field: string]: unknown }, options?: { ifVersion?: number }): Promise<Doc>;
      /** Adds a document; without an `id` it gets one. Gives it as it is stored. */
      insert(doc: { [field: string]: unknown }): Promise<Doc>;
      /** Replaces some fields of a document. Gives it as it is stored. */
      update(id: string, patch: { [field: string]: unknown }, options?: { ifVersion?: number }): Promise<Doc>;
      /** Deletes a document. Says whether there was one. */
      delete(id: string, options?: { ifVersion?: number }): Promise<boolean>;
      /** Finds documents, a page at a time: 100 unless `limit` (1,000 at most) says otherwise. */
      find(query?: { where?: Where, order?: Order, limit?: number, cursor?: string }): Promise<{ items: Doc[], cursor: string | null }>;
      /** Counts documents. */
      count(where?: Where): Promise<number>;
      /** Makes several changes, all or none. Gives each document as it is stored, null for a deletion. */
      batch(changes: Change[]): Promise<(Doc | null)[]>;
    };
    blobs: {
      /** Makes or replaces a blob: bytes of any length, as they come. The content type of a `Blob` is kept unless another is given; `meta` is anything that JSON can say. */
      put(key: string, body: string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream | Request | Response, options?: { contentType?: string, meta?: unknown }): Promise<BlobInfo>;
      /** Reads a blob, or a range of it; null where there is none. Its bytes come as they are read. */
      get(key: string, options?: { range?: { offset?: number, length?: number } | { suffix: number } }): Promise<BlobBody | null>;
      /** Says what is known of a blob; null where there is none. */
      head(key: string): Promise<BlobInfo | null>;
      /** Deletes a blob, or several (1,000 at most). Says how many there were. */
      delete(keys: string | string[]): Promise<number>;
      /** Lists blobs in order of their keys, a page at a time: 100 unless `limit` (1,000 at most) says otherwise. With a `delimiter`, keys that hold it after the prefix are given as their starts in `prefixes`. */
      list(options?: { prefix?: string, delimiter?: string, limit?: number, cursor?: string }): Promise<{ blobs: BlobInfo[], prefixes: string[], cursor: string | null }>;
    };
    sql: {
      /** One statement, with `?` where values go. */
      prepare(sql: string): SqlStatement;
      /** Runs statements on a database of the app's own SQL: one by itself, several all or none. Changes are on the disk when it is answered. */
      batch(statements: SqlStatement[]): Promise<SqlResult[]>;
      /** Runs a script of statements that bind nothing: all of them or none. */
      exec(script: string): Promise<{ count: number, duration: number }>;
    };
  }
  const storage: Space & {
    /** The app's space (`app`), or a named one by its id. */
    space(id: string): Space;
    /** What another app exports, in the private space of whoever is signed in (permission `apps`). */
    app(name: string): Pick<Space, "docs" | "blobs">;
    spaces: {
      /** Makes a named space, of which the caller is the manager. */
      create(name: string): Promise<SpaceInfo>;
      /** Lists the named spaces that the caller is a member of. */
      list(): Promise<SpaceInfo[]>;
      /** Uses up an invitation code. */
      join(code: string): Promise<SpaceInfo>;
      /** Lists who is in a space. For its members. */
      members(space: string): Promise<{ user: string, role: Role }[]>;
      /** Makes an invitation code, good once and for a week; or, with `user`, changes the role of a member. For managers. */
      add(space: string, role: Role, user?: string): Promise<string | null>;
      /** Takes a member out of a space. For managers; everybody may leave. */
      remove(space: string, user: string): Promise<void>;
    };
  };
}
