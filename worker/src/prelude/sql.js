// `fazt.storage.sql`: statements that are sent whole, results as objects. `bindings/d1.js` speaks D1's dialect of it.
import link from "fazt:native/link";
import text from "fazt:native/buffer";
import { call } from "fazt:fetch";
import { collect, endCall } from "fazt:body";
import { bytesOf } from "fazt:webidl";

const numbers = {};
for (const [number, noun, verb] of link.rows()) {
  if (noun === "storage.sql") numbers[verb] = number;
}

const { isArray } = Array;
const INT64 = [-(2n ** 63n), 2n ** 63n - 1n];

// How a database speaks: its own way, or as D1 does.
const plain = {
  encode(value) {
    switch (typeof value) {
      case "string": return JSON.stringify(value.toWellFormed());
      case "boolean": return value ? "1" : "0";
      case "number": return Number.isSafeInteger(value) ? String(value) : real(value);
      case "bigint":
        if (value < INT64[0] || value > INT64[1]) throw new RangeError("A bigint for a database has 64 bits");
        return `{"$bigint":"${value}"}`;
      case "object": {
        if (value === null) return "null";
        const bytes = bytesOf(value);
        if (bytes !== null) return `{"$bytes":"${text.toText(bytes, "base64")}"}`;
      }
    }
    throw new TypeError(`A database does not hold ${value instanceof Date ? "a Date: use its getTime() or toISOString()" : `a value of type ${typeof value}`}`);
  },
  decode: (value) => value,
  fail(error) { throw error; },
  Statement: undefined,
  // A script is one text.
  async exec(database, sql) {
    const [outcome] = await ask(database, "exec", [String(sql)]);
    return { count: outcome.meta.statements, duration: outcome.meta.durationUs / 1000 };
  },
  first(row, column) {
    if (column in row) return row[column];
    throw new TypeError(`The result has no column ${column}`);
  },
};

export function real(value) {
  if (Number.isNaN(value)) return "null";
  if (!Number.isFinite(value)) return `{"$number":"${value}"}`;
  const digits = String(value);
  return /^-?\d+$/.test(digits) ? `${Object.is(value, -0) ? "-0" : digits}.0` : digits;
}

// What JSON cannot say is an object of one key.
function revive(value) {
  if (typeof value !== "object" || value === null) return value;
  if (value.$bytes !== undefined) return new Uint8Array(text.fromText(value.$bytes, "base64"));
  if (value.$bigint !== undefined) return BigInt(value.$bigint);
  return Number(value.$number);
}

export async function ask({ space, binding }, verb, list) {
  const [stream, failure] = await call(numbers[verb], [space, binding, list]);
  try {
    const json = await collect(stream, true);
    if (failure !== null) {
      const error = new Error(failure.message);
      Object.defineProperty(error, "name", { value: failure.code, configurable: true, writable: true });
      error.at = failure.at;
      throw error;
    }
    return JSON.parse(json);
  } finally {
    endCall(stream);
  }
}

function query(database, list) {
  return ask(database, "batch", list).catch((error) => database.way.fail(error));
}

function meta({ meta: { changes, lastRowId, rowsRead, changed, bytes, durationUs } }) {
  return {
    served_by: "fazt", duration: durationUs / 1000, changes, last_row_id: lastRowId, changed_db: changed, size_after: bytes,
    rows_read: rowsRead, rows_written: changes,
  };
}

function objects({ columns, rows }, way) {
  const found = [];
  for (const row of rows) {
    const object = {};
    for (let at = 0; at < columns.length; at++) {
      // A column may be called `__proto__`.
      const value = way.decode(revive(row[at]));
      if (columns[at] === "__proto__") Object.defineProperty(object, columns[at], { value, enumerable: true, configurable: true, writable: true });
      else object[columns[at]] = value;
    }
    found.push(object);
  }
  return found;
}

const result = (outcome, way) => ({ success: true, meta: meta(outcome), results: objects(outcome, way) });

// Whom an object stands for: what `prepare` and `bind` were given.
export const hidden = new WeakMap();

export class Statement {
  constructor(database, sql, values) {
    hidden.set(this, { database, sql, values });
  }
  bind(...values) {
    const { database, sql } = hidden.get(this);
    return new database.way.Statement(database, sql, `[${values.map(database.way.encode).join(",")}]`);
  }
  async all() {
    const { database, sql, values } = hidden.get(this);
    const [outcome] = await query(database, [{ sql, values }]);
    return result(outcome, database.way);
  }
  run() { return this.all(); }
  async first(column) {
    const { database, sql, values } = hidden.get(this);
    const [outcome] = await query(database, [{ sql, values }]);
    if (outcome.rows.length === 0) return null;
    const [row] = objects({ columns: outcome.columns, rows: [outcome.rows[0]] }, database.way);
    return column === undefined ? row : database.way.first(row, column);
  }
  async raw(options) {
    const { database, sql, values } = hidden.get(this);
    const [{ columns, rows }] = await query(database, [{ sql, values }]);
    const found = rows.map((row) => row.map((value) => database.way.decode(revive(value))));
    return options?.columnNames ? [columns, ...found] : found;
  }
}

export class Database {
  constructor(space, binding, way) {
    hidden.set(this, { space, binding, way });
  }
  prepare(sql) {
    const database = hidden.get(this);
    return new database.way.Statement(database, String(sql).toWellFormed(), "");
  }
  async batch(statements) {
    const database = hidden.get(this);
    if (!isArray(statements)) throw new TypeError("batch takes a list of statements");
    const list = statements.map((statement) => {
      const known = hidden.get(statement);
      if (known === undefined || known.sql === undefined) throw new TypeError("batch takes statements that prepare made");
      return { sql: known.sql, values: known.values };
    });
    if (list.length === 0) return database.way.none();
    return (await query(database, list)).map((outcome) => result(outcome, database.way));
  }
  async exec(sql) {
    const database = hidden.get(this);
    return database.way.exec(database, sql);
  }
}

plain.Statement = Statement;
plain.none = () => [];

export const makeSql = (space) => new Database(space, undefined, plain);
