//! Two answers beside each other: status, fields, body. What differs by nature, such as times, is made alike.

use std::collections::BTreeMap;

use fazt_tests::Response;
use serde_json::Value;

/// Fields that the two servers set for themselves.
const OWN_FIELDS: [&str; 13] = [
    "date",
    "server",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "x-request-id",
    "permissions-policy",
    "x-content-type-options",
    "vary",
    "content-encoding",
    "accept-ranges",
    "cf-cache-status",
];

/// One line for each way in which two answers differ; `alike` makes the same of what is each side's own.
pub fn differences(
    name: &str,
    volatile: &[String],
    ours: &Response,
    theirs: &Response,
    our_own: impl Fn(&str) -> String,
    their_own: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut found = Vec::new();
    if ours.status != theirs.status {
        found.push(format!("{name} status: {} is not {}", ours.status, theirs.status));
    }
    let mine = fields(ours, &our_own);
    let other = fields(theirs, &their_own);
    for key in mine.keys().chain(other.keys().filter(|key| !mine.contains_key(*key))) {
        if mine.get(key) != other.get(key) {
            found.push(format!("{name} field {key}: {:?} is not {:?}", mine.get(key), other.get(key)));
        }
    }
    let (mine, other) = (masked(&our_own(&ours.text())), masked(&their_own(&theirs.text())));
    let values = |text: &str| still(json(text), volatile);
    let is_json = matches!(json(&mine), Value::Object(_) | Value::Array(_));
    if mine != other && (!is_json || values(&mine) != values(&other)) {
        let at = mine.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let part = |text: &str| {
            let start = (0..=at.saturating_sub(40)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.get(start..).unwrap_or_default().chars().take(160).collect::<String>()
        };
        found.push(format!("{name} body at {at}: {:?} is not {:?}", part(&mine), part(&other)));
    }
    found
}

/// Without the values of these names.
fn still(mut value: Value, volatile: &[String]) -> Value {
    match &mut value {
        Value::Object(entries) => {
            entries.retain(|name, _| !volatile.contains(name));
            entries.values_mut().for_each(|inner| *inner = still(inner.take(), volatile));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = still(item.take(), volatile)),
        _ => {}
    }
    value
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn fields(response: &Response, own: impl Fn(&str) -> String) -> BTreeMap<String, Vec<String>> {
    let mut fields = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &response.fields {
        if !OWN_FIELDS.contains(&name.as_str()) {
            fields.entry(name.clone()).or_default().push(masked(&own(value)));
        }
    }
    fields
}

/// Times and random identifiers as their kind: `2026-01-01T…`, `Mon, 01 Jan 2026 …`, milliseconds since 1970, UUIDs.
fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let fresh = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let found = [
            ("<time>", time(rest)),
            ("<uuid>", like(rest, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")),
            ("<date>", like(rest, "aaa, dd aaa dddd dd:dd:dd")),
            ("<ms>", like(rest, "1dddddddddddd")),
            ("<s>", like(rest, "1ddddddddd")),
        ];
        match found.into_iter().find_map(|(name, length)| Some((name, length?))) {
            Some((name, length)) if fresh && !rest.get(length).is_some_and(u8::is_ascii_digit) => {
                out.push_str(name);
                at += length;
            }
            _ => {
                let end =
                    (at + 1..=bytes.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(bytes.len());
                out.push_str(&text[at..end]);
                at = end;
            }
        }
    }
    out
}

/// `2026-01-01T00:00:00`, with a space too, and what follows of it.
fn time(bytes: &[u8]) -> Option<usize> {
    let start = like(bytes, "dddd-dd-ddTdd:dd:dd").or_else(|| like(bytes, "dddd-dd-dd dd:dd:dd"))?;
    let fraction = bytes[start..].iter().take_while(|byte| **byte == b'.' || byte.is_ascii_digit()).count();
    Some(start + fraction)
}

/// How long it is, if it looks so: `d` a digit, `x` a hexadecimal one, `a` a letter.
fn like(bytes: &[u8], pattern: &str) -> Option<usize> {
    let fits = |(byte, kind): (&u8, u8)| match kind {
        b'd' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        b'a' => byte.is_ascii_alphabetic(),
        other => *byte == other,
    };
    (bytes.len() >= pattern.len() && bytes.iter().zip(pattern.bytes()).all(fits)).then_some(pattern.len())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn what_is_each_sides_own_is_made_alike() {
        for (text, expect) in [
            ("at 2026-01-02T03:04:05.678Z.", "at <time>Z."),
            ("2026-01-02 03:04:05", "<time>"),
            ("{\"at\":1795000000000}", "{\"at\":<ms>}"),
            ("id 01234567-89ab-cdef-0123-456789abcdef", "id <uuid>"),
            ("Sun, 22 Nov 2026 02:00:00 GMT", "<date> GMT"),
            ("17950000000001", "17950000000001"),
            ("größer 12", "größer 12"),
        ] {
            assert_eq!(masked(text), expect);
        }
    }
}
