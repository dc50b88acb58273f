//! JSON as people write it by hand: with comments, and with commas before a closing bracket.

/// The same text as JSON: comments, and commas before a closing bracket, are spaces.
pub(crate) fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let (mut at, mut comma) = (0, None);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                comma = None;
            }
            b'/' if matches!(bytes.get(at + 1), Some(b'/' | b'*')) => {
                let line = bytes[at + 1] == b'/';
                let rest = &bytes[at..];
                let end = if line {
                    rest.iter().position(|byte| *byte == b'\n')
                } else {
                    rest[2..].windows(2).position(|pair| pair == b"*/").map(|found| found + 4)
                };
                let end = at + end.unwrap_or(rest.len());
                for byte in out[at..end].iter_mut().filter(|byte| **byte != b'\n') {
                    *byte = b' ';
                }
                at = end;
                continue;
            }
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    out[comma] = b' ';
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Whole comments became spaces, nothing else changed.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_go_and_places_stay() {
        for (text, expect) in [
            ("{\"a\": 1, // x\n}", "{\"a\": 1      \n}"),
            ("[1, /* , ] */ 2,]", "[1,           2 ]"),
            ("{\"a//b\": \"/* no */\"}", "{\"a//b\": \"/* no */\"}"),
            ("{\"a\\\"//\": 1}", "{\"a\\\"//\": 1}"),
            ("/* open", "       "),
            ("\"open // x", "\"open // x"),
        ] {
            assert_eq!(without_comments(text), expect);
        }
    }
}
