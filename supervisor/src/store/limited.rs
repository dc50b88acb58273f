//! `UPDATE … LIMIT` and `DELETE … LIMIT`, which D1 has and this build of SQLite has not: its parser would have to be
//! generated with them. SQLite itself makes of them what is made here, a look for the rows by their `rowid`.
//!
//! Only what SQLite has refused comes here, and what is made is prepared, and judged, like any other statement.

/// Another statement that means the same, of one that ends in `ORDER BY` or `LIMIT`.
pub(super) fn rewritten(sql: &str) -> Option<String> {
    let words = words(sql);
    let (first, _, after) = *words.first()?;
    let at = |word: &str| words.iter().find(|(found, ..)| found.eq_ignore_ascii_case(word));
    let is_update = first.eq_ignore_ascii_case("UPDATE");
    // Table, and for an update what it sets.
    let (table, set, rest) = if is_update {
        let (_, start, end) = *at("SET")?;
        // With other tables beside it the rows are not its own.
        if at("FROM").is_some() {
            return None;
        }
        (&sql[after..start], Some(end), end)
    } else if first.eq_ignore_ascii_case("DELETE") {
        let (_, _, end) = *at("FROM")?;
        (&sql[end..], None, end)
    } else {
        return None;
    };
    let clauses = ["WHERE", "RETURNING", "ORDER", "LIMIT"];
    let starts: Vec<(&str, usize)> = clauses
        .into_iter()
        .filter_map(|name| Some((name, at(name).map(|word| word.1).filter(|start| *start >= rest)?)))
        .collect();
    let end = sql.trim_end().trim_end_matches(';').len();
    let until = |start: usize| starts.iter().map(|one| one.1).filter(|one| *one > start).min().unwrap_or(end);
    let clause = |name: &str| {
        let found = starts.iter().find(|one| one.0 == name);
        found.map_or("", |(_, start)| sql.get(*start..until(*start)).unwrap_or_default().trim())
    };
    if clause("LIMIT").is_empty() && clause("ORDER").is_empty() {
        return None;
    }
    let table = if is_update { table } else { table.get(..until(rest).checked_sub(rest)?)? }.trim();
    let mut name = table;
    if is_update && words.get(1)?.0.eq_ignore_ascii_case("OR") {
        name = sql.get(words.get(2)?.2..at("SET")?.1)?.trim();
    }
    let chosen =
        format!("SELECT rowid FROM {name} {} {} {}", clause("WHERE"), clause("ORDER"), clause("LIMIT"));
    let head = match set {
        Some(set) => format!("UPDATE {table} SET {}", sql.get(set..until(set))?.trim()),
        None => format!("DELETE FROM {table}"),
    };
    Some(
        format!("{head} WHERE rowid IN ({}) {}", chosen.trim_end(), clause("RETURNING"))
            .trim_end()
            .to_owned(),
    )
}

/// Words outside of brackets, quotes and comments: each with where it starts and ends.
fn words(sql: &str) -> Vec<(&str, usize, usize)> {
    let bytes = sql.as_bytes();
    let (mut found, mut depth, mut at) = (Vec::new(), 0usize, 0);
    let find = |from: usize, what: &str| {
        sql.get(from..).and_then(|rest| rest.find(what)).map(|end| from + end + what.len())
    };
    while at < bytes.len() {
        let end = match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => find(at + 1, char::from(quote).encode_utf8(&mut [0; 4])),
            b'[' => find(at + 1, "]"),
            b'-' if bytes.get(at + 1) == Some(&b'-') => find(at, "\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => find(at + 2, "*/"),
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                let is_word =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80;
                let end = at + bytes[at..].iter().take_while(|byte| is_word(byte)).count();
                // `?1a`, `:name`, `x.limit` are no keywords.
                let part = at > 0 && matches!(bytes[at - 1], b'.' | b':' | b'@' | b'$' | b'?' | b'0'..=b'9');
                if depth == 0 && !part {
                    found.push((&sql[at..end], at, end));
                }
                Some(end)
            }
            byte => {
                depth = match byte {
                    b'(' => depth + 1,
                    b')' => depth.saturating_sub(1),
                    _ => depth,
                };
                Some(at + 1)
            }
        };
        at = end.unwrap_or(bytes.len());
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::rewritten;

    #[test]
    fn what_is_limited_is_looked_for_first() {
        for (sql, expect) in [
            ("DELETE FROM t LIMIT 1", Some("DELETE FROM t WHERE rowid IN (SELECT rowid FROM t   LIMIT 1)")),
            (
                "delete from \"limit\" where a = ? and b in (select 1 limit 2) returning * limit 1;",
                Some(
                    "DELETE FROM \"limit\" WHERE rowid IN (SELECT rowid FROM \"limit\" where a = ? and b in (select 1 limit 2)  limit 1) returning *",
                ),
            ),
            (
                "UPDATE t SET a = 'ORDER BY', b = 2 WHERE c > ?1 ORDER BY c LIMIT ?2",
                Some(
                    "UPDATE t SET a = 'ORDER BY', b = 2 WHERE rowid IN (SELECT rowid FROM t WHERE c > ?1 ORDER BY c LIMIT ?2)",
                ),
            ),
            (
                "UPDATE OR IGNORE t SET a = 1 LIMIT 1",
                Some("UPDATE OR IGNORE t SET a = 1 WHERE rowid IN (SELECT rowid FROM t   LIMIT 1)"),
            ),
            ("UPDATE t SET a = 1 FROM u LIMIT 1", None),
            ("DELETE FROM t WHERE a = 1", None),
            ("SELECT 1 LIMIT 1", None),
            ("WITH x AS (SELECT 1) DELETE FROM t LIMIT 1", None),
            ("DELETE FROM t -- LIMIT 1", None),
            ("", None),
        ] {
            assert_eq!(rewritten(sql).as_deref(), expect, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(text in "(DELETE FROM |UPDATE t SET |)\\PC{0,80}( LIMIT | ORDER | RETURNING |)\\PC{0,20}") {
            let _ = rewritten(&text);
        }
    }
}
