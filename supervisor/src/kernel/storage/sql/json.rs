//! Values to bind out of an app's JSON, rows into JSON. What JSON cannot say is an object of one key that starts with
//! `$`, as in documents: `{"$bytes": "base64"}`, `{"$bigint": "1"}`, `{"$number": "Infinity"}`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fazt_ipc::store::limits::{STATEMENTS_MAX, VALUES_MAX};
use fazt_ipc::store::{Answer, Cell, Malformed, Outcome, Rows, Value};
use serde_json::Value as Json;

use super::limits::JSON_BYTES_MAX;
use crate::kernel::storage::data::DataError;

/// Largest integer that a number of JavaScript holds.
const SAFE: i64 = (1 << 53) - 1;

/// Reads the list of values that a statement binds.
///
/// # Errors
/// When it is none, or one of them is nothing that a database holds.
pub fn values(text: &str) -> Result<Vec<Value>, DataError> {
    let list: Vec<Json> = serde_json::from_str(text)
        .map_err(|_| DataError::argument("the values of a statement are a list of what JSON can say"))?;
    if list.len() > VALUES_MAX {
        let message = format!("{} values for one statement; at most {VALUES_MAX}", list.len());
        return Err(DataError::new(fazt_ipc::syscall::ErrorCode::TooLarge, message));
    }
    list.into_iter().map(value).collect()
}

fn value(json: Json) -> Result<Value, DataError> {
    let wrong = || DataError::argument("a value is null, a number, a text, a bigint of 64 bits or bytes");
    Ok(match json {
        Json::Null => Value::Null,
        Json::Bool(yes) => Value::Integer(i64::from(yes)),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Real(number.as_f64().ok_or_else(wrong)?),
        },
        Json::String(text) => Value::Text(text),
        Json::Object(object) if object.len() == 1 => match object.into_iter().next() {
            Some((key, Json::String(text))) => match key.as_str() {
                "$bytes" => Value::Blob(BASE64.decode(text).map_err(|_| wrong())?),
                "$bigint" => Value::Integer(text.parse().map_err(|_| wrong())?),
                "$number" => Value::Real(text.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        },
        Json::Array(_) | Json::Object(_) => return Err(wrong()),
    })
}

/// What is said of an outcome beside its rows, at most.
const META_BYTES: usize = 320;

/// Bytes that an answer of so many makes the supervisor hold, with its JSON: a letter may become six, and what says
/// how long something is is left out.
pub(super) fn held_bytes(answer_bytes: usize) -> usize {
    let outcomes = (answer_bytes / 8 + 1).min(STATEMENTS_MAX);
    let json = 7 * answer_bytes + META_BYTES * (outcomes + 1);
    answer_bytes + json.min(JSON_BYTES_MAX)
}

/// Bytes of a value as JSON, at most.
fn longest(cell: Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) => {
            2 + text
                .bytes()
                .map(|byte| {
                    if byte < b' ' {
                        6
                    } else if matches!(byte, b'"' | b'\\') {
                        2
                    } else {
                        1
                    }
                })
                .sum::<usize>()
        }
        Cell::Blob(bytes) => 16 + bytes.len().div_ceil(3) * 4,
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => 40,
    }
}

/// An answer became too long as JSON.
#[derive(Debug)]
pub(super) struct TooLong;

/// The JSON of what was done. The answer was read by `fazt_ipc::store::read_answer`.
pub(super) fn text(answer: &Answer<'_>) -> Result<Result<String, TooLong>, Malformed> {
    let Answer::Done { outcomes, .. } = answer else { return Ok(Ok("[]".to_owned())) };
    let mut bytes = META_BYTES;
    for outcome in outcomes {
        bytes += META_BYTES + outcome.columns.iter().map(|name| 6 * name.len() + 3).sum::<usize>();
        let mut rows = Rows::new(outcome.rows);
        while bytes <= JSON_BYTES_MAX && !rows.is_empty() {
            bytes += longest(rows.take()?) + 3;
        }
    }
    // Once, so that it is never copied to a longer one.
    let mut out = String::with_capacity(bytes.min(JSON_BYTES_MAX));
    out.push('[');
    for (at, outcome) in outcomes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if write(outcome, &mut out)?.is_err() {
            return Ok(Err(TooLong));
        }
    }
    out.push(']');
    Ok(Ok(out))
}

fn write(outcome: &Outcome<'_>, out: &mut String) -> Result<Result<(), TooLong>, Malformed> {
    out.push_str("{\"columns\":[");
    for (at, name) in outcome.columns.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(name, out);
    }
    out.push_str("],\"rows\":[");
    let mut rows = Rows::new(outcome.rows);
    for row in 0..outcome.count {
        out.push_str(if row == 0 { "[" } else { ",[" });
        for column in 0..outcome.columns.len() {
            if column > 0 {
                out.push(',');
            }
            let next = rows.take()?;
            if out.len() + longest(next) > JSON_BYTES_MAX {
                return Ok(Err(TooLong));
            }
            cell(next, out);
        }
        out.push(']');
    }
    let Outcome { statements, changes, last_row_id, rows_read, changed, bytes, duration_us, .. } = *outcome;
    // Writing to a string does not fail.
    let _ = write!(
        out,
        "],\"meta\":{{\"statements\":{statements},\"changes\":{changes},\"lastRowId\":{last_row_id},\
         \"rowsRead\":{rows_read},\"changed\":{changed},\"bytes\":{bytes},\"durationUs\":{duration_us}}}}}"
    );
    Ok(Ok(()))
}

fn cell(cell: Cell<'_>, out: &mut String) {
    // Writing to a string does not fail.
    let _ = match cell {
        Cell::Null => write!(out, "null"),
        Cell::Integer(value) if (-SAFE..=SAFE).contains(&value) => write!(out, "{value}"),
        Cell::Integer(value) => write!(out, "{{\"$bigint\":\"{value}\"}}"),
        Cell::Real(value) if value.is_finite() => write!(out, "{value:?}"),
        Cell::Real(value) if value.is_nan() => write!(out, "null"),
        Cell::Real(value) => {
            write!(out, "{{\"$number\":\"{}Infinity\"}}", if value < 0.0 { "-" } else { "" })
        }
        Cell::Text(text) => {
            quote(text, out);
            Ok(())
        }
        Cell::Blob(bytes) => {
            out.push_str("{\"$bytes\":\"");
            BASE64.encode_string(bytes, out);
            out.push_str("\"}");
            Ok(())
        }
    };
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_what_they_are_and_nothing_else_is_taken() {
        let text = r#"[null, true, 1, 1.0, -9007199254740993, 1e21, "é", {"$bytes":"AP8="}, {"$bigint":"-1"}, {"$number":"Infinity"}]"#;
        let expect = vec![
            Value::Null,
            Value::Integer(1),
            Value::Integer(1),
            Value::Real(1.0),
            Value::Integer(-9_007_199_254_740_993),
            Value::Real(1e21),
            Value::Text("é".into()),
            Value::Blob(vec![0, 255]),
            Value::Integer(-1),
            Value::Real(f64::INFINITY),
        ];
        assert_eq!(values(text), Ok(expect));
        for wrong in [
            "",
            "{}",
            "[",
            "[[]]",
            "[{}]",
            "[{\"a\":1}]",
            "[{\"$bytes\":1}]",
            "[{\"$bytes\":\"!\"}]",
            "[{\"$bigint\":\"9223372036854775808\"}]",
            "[{\"$bytes\":\"\",\"x\":1}]",
            "[1] x",
            "[NaN]",
        ] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
        assert!(values(&format!("[{}]", ["1"; 101].join(","))).is_err());
        assert!(values(&"[".repeat(100_000)).is_err(), "nested");
    }

    #[test]
    fn rows_become_json_that_says_the_same() {
        let cells = [
            Cell::Null,
            Cell::Integer(SAFE),
            Cell::Integer(SAFE + 1),
            Cell::Real(1.0),
            Cell::Real(f64::NEG_INFINITY),
            Cell::Text("\"\\\n\u{1}é\u{2028}"),
            Cell::Blob(&[0, 255]),
        ];
        let mut rows = Vec::new();
        cells.iter().for_each(|cell| cell.put(&mut rows));
        let outcome = Outcome {
            columns: vec!["a\"", "b", "c", "d", "e", "f", "g"],
            count: 1,
            rows: &rows,
            statements: 1,
            changes: 2,
            last_row_id: -3,
            rows_read: 4,
            changed: true,
            bytes: 4096,
            duration_us: 5,
        };
        let text =
            text(&Answer::Done { outcomes: vec![outcome], bytes: 4096 }).expect("sound").expect("short");
        let json: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json[0]["columns"][0], "a\"");
        assert_eq!(
            json[0]["rows"][0],
            serde_json::json!([null, SAFE, {"$bigint": "9007199254740992"}, 1.0, {"$number": "-Infinity"},
                "\"\\\n\u{1}é\u{2028}", {"$bytes": "AP8="}])
        );
        assert_eq!(json[0]["meta"]["lastRowId"], -3);
    }
}
