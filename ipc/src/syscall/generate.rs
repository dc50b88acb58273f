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
    out.push_str("}\n");
    out
}

/// The table of system calls, for the API page.
#[must_use]
pub fn api_page() -> String {
    let mut out = String::from("| call | what it does | permission |\n|---|---|---|\n");
    for row in TABLE {
        let name = if row.bound {
            format!("`fazt.{}.{}`", row.noun, signature(row))
        } else {
            format!("global `{}`", row.verb)
        };
        let _ = writeln!(out, "| {} | {} | {} |", name.replace('|', "\\|"), row.doc.trim(), permission(row));
    }
    out
}
