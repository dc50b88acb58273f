// `env.DB`: D1 over an SQL file of the binding's own, in the app's space. Texts of errors are those of D1.
import text from "fazt:native/buffer";
import { Database, Statement, ask, real } from "fazt:sql";
import { bytesOf } from "fazt:webidl";

const isByte = (value) => typeof value === "number" && value >= 0 && value < 256;

function failure(kind, message, shown = message) {
  return new Error(`${kind}: ${shown}`, { cause: new Error(message) });
}

// Errors of the database get D1's prefix; so do those of the kernel, which D1 does not know.
function fail(error) {
  throw failure("D1_ERROR", error.message);
}

const d1 = {
  encode(value) {
    if (typeof value === "number") return Number.isFinite(value) ? real(value) : "null";
    if (typeof value === "string") return JSON.stringify(value.toWellFormed());
    if (typeof value === "boolean") return value ? "1.0" : "0.0";
    if (value === null) return "null";
    if (typeof value === "object") {
      const bytes = Array.isArray(value) && value.every(isByte) ? Uint8Array.from(value) : bytesOf(value);
      if (bytes !== null) return `{"$bytes":"${text.toText(bytes, "base64")}"}`;
    }
    throw failure("D1_TYPE_ERROR", `Type '${typeof value}' not supported for value '${value}'`);
  },
  decode(value) {
    if (typeof value === "bigint") return Number(value);
    if (typeof value === "number") return Number.isFinite(value) ? value : null;
    return value instanceof Uint8Array ? Array.from(value) : value;
  },
  fail,
  none() { throw failure("D1_ERROR", "No SQL statements detected."); },
  first(row, column) {
    if (column in row) return row[column];
    throw failure("D1_COLUMN_NOTFOUND", "Column not found", `Column not found (${column})`);
  },
  // Each line is a script; all of them are done or none.
  async exec(database, sql) {
    const lines = sql.trim().split("\n");
    try {
      const outcomes = await ask(database, "exec", lines.map((line) => line.toWellFormed()));
      return { count: outcomes.length, duration: outcomes.reduce((sum, { meta }) => sum + meta.durationUs / 1000, 0) };
    } catch (error) {
      const at = error.at ?? 0;
      throw failure("D1_EXEC_ERROR", `Error in line ${at + 1}: ${lines[at]}: ${error.message}`);
    }
  },
};

class D1PreparedStatement extends Statement {}
d1.Statement = D1PreparedStatement;

// There is one copy of the file: every read sees every write, and any bookmark has been reached.
const BOOKMARK = "00000000-00000000-00000000-00000000000000000000000000000000";

class D1DatabaseSession {
  #database;
  constructor(database) { this.#database = database; }
  prepare(sql) { return this.#database.prepare(sql); }
  batch(statements) { return this.#database.batch(statements); }
  getBookmark() { return BOOKMARK; }
}

class D1Database extends Database {
  withSession() { return new D1DatabaseSession(this); }
  async dump() { throw failure("D1_DUMP_ERROR", "Status 404", "Status + 404"); }
}

export function make(name) {
  return new D1Database("app", name, d1);
}
