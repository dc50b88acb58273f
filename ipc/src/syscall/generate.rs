//! Text made from the table: TypeScript declarations and the API page.

use std::fmt::Write as _;

use super::{Permission, Row, TABLE};

fn nouns() -> Vec<&'static str> {
    let mut nouns: Vec<_> = TABLE.iter().filter(|row| row.bound).map(|row| row.noun).collect();
    nouns.dedup();
    nouns
}

fn signature(row: &Row) -> String {
    let arguments: Vec<_> = row
        .arguments
        .iter()
        .filter(|argument| !argument.name.is_empty())
        .map(|argument| match argument.ts.strip_suffix(" | undefined") {
            Some(ts) => format!("{}?: {ts}", argument.name),
            None => format!("{}: {}", argument.name, argument.ts),
        })
        .collect();
    format!("{}({}): Promise<{}>", row.verb, arguments.join(", "), row.returns)
}

const fn permission(row: &Row) -> &'static str {
    match row.permission {
        Permission::None => "none",
        Permission::NetHost => "`net:HOST`",
        Permission::Spaces => "`spaces`",
        Permission::Sql => "`sql`",
        Permission::Schedule => "`schedule`",
    }
}

/// The declarations of `fazt`, for `apps/types/fazt.d.ts`.
#[must_use]
pub fn typescript() -> String {
    let mut out = String::from("/** The system calls, by kernel noun. */\ndeclare namespace fazt {\n");
    for noun in nouns() {
        let _ = writeln!(out, "  const {noun}: {{");
        for row in TABLE.iter().filter(|row| row.bound && row.noun == noun) {
            let _ = writeln!(out, "    /** {} */\n    {};", row.doc.trim(), signature(row));
        }
        out.push_str("  };\n");
    }
    out.push_str(JOB_TYPES);
    storage(&mut out);
    out.push_str("}\n");
    out
}

/// `fazt.storage`: the same calls in every space, so they are methods of one.
fn storage(out: &mut String) {
    let methods = |out: &mut String, noun: &str, indent: &str| {
        for row in TABLE.iter().filter(|row| row.noun == noun) {
            let doc: Vec<_> = row.doc.split_whitespace().collect();
            let _ = writeln!(out, "{indent}/** {} */\n{indent}{};", doc.join(" "), signature(row));
        }
    };
    out.push_str(STORAGE_TYPES);
    out.push_str("  interface Space {\n    kv: {\n");
    methods(out, "storage.kv", "      ");
    out.push_str("    };\n    docs(collection: string): {\n");
    methods(out, "storage.docs", "      ");
    out.push_str("    };\n    blobs: {\n");
    methods(out, "storage.blobs", "      ");
    out.push_str("    };\n");
    out.push_str(SQL_METHODS);
    methods(out, "storage.sql", "      ");
    out.push_str("    };\n  }\n  const storage: Space & {\n");
    out.push_str("    /** The app's space (`app`), or a named one by its id. */\n");
    out.push_str("    space(id: string): Space;\n    /** What another app exports, in the private space of whoever is signed in (permission `apps`). */\n    app(name: string): Pick<Space, \"docs\" | \"blobs\">;\n    spaces: {\n");
    methods(out, "storage.spaces", "      ");
    out.push_str("    };\n  };\n");
}

const JOB_TYPES: &str = r#"  type Job = {
    id: string, kind: "run" | "job", name: string, state: "waiting" | "running" | "dead",
    /** When it is due, in milliseconds since 1970. */
    due: number,
    /** Attempts that were made. */
    attempts: number,
    /** Why the last one failed; empty: it did not. */
    error: string,
  };
"#;

const STORAGE_TYPES: &str = r#"  /** A document as it is stored: JSON, dates, bytes (`Uint8Array`), `bigint`, every number. */
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
"#;

const SQL_METHODS: &str = r"    sql: {
      /** One statement, with `?` where values go. */
      prepare(sql: string): SqlStatement;
";

/// The table of system calls, for the API page.
#[must_use]
pub fn api_page() -> String {
    let mut out = String::from("| call | what it does | permission |\n|---|---|---|\n");
    // Uploads in parts are there as R2's only.
    for row in TABLE.iter().filter(|row| row.noun != "storage.uploads") {
        let name = if let Some(noun) = row.noun.strip_prefix("storage.") {
            let object = if noun == "docs" { "docs(collection)" } else { noun };
            format!("`fazt.storage.{object}.{}`", signature(row))
        } else if row.bound {
            format!("`fazt.{}.{}`", row.noun, signature(row))
        } else {
            format!("global `{}`", row.verb)
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            name.replace('|', "\\|"),
            row.doc.split_whitespace().collect::<Vec<_>>().join(" "),
            permission(row)
        );
    }
    out
}
