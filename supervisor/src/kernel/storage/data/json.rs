//! JSON as documents are stored: checked once when it comes in, then only walked.
//!
//! Every byte is an app's. Nothing is built in memory but the list of an object's top keys: values stay slices
//! of the text. What JSON cannot say is an object of one key: `{"$date": ms}`, `{"$bytes": "base64"}`,
//! `{"$number": "NaN"}`, `{"$bigint": "1"}`; an app's own key that starts with `$` is written with two.

use std::borrow::Cow;

use super::limits::{DEPTH_MAX, ITEMS_MAX};

/// What is wrong with a text, in words for the app's author.
pub(super) type Wrong = String;

/// Checks a whole text: one value, nothing behind it.
pub(super) fn check(text: &str) -> Result<(), Wrong> {
    let mut scan = Scan::new(text);
    scan.space();
    scan.value(0)?;
    scan.space();
    if scan.at < text.len() { Err(scan.wrong("text behind the value")) } else { Ok(()) }
}

/// Checks a whole text in which operators such as `$gt` may stand as keys; what they are is not looked at.
pub(super) fn check_query(text: &str) -> Result<(), Wrong> {
    let mut scan = Scan::new(text);
    scan.operators = true;
    scan.space();
    scan.value(0)?;
    scan.space();
    if scan.at < text.len() { Err(scan.wrong("text behind the value")) } else { Ok(()) }
}

/// Whether a key starts with one `$`, and so is no key of the app's.
pub(super) fn special(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

/// Checks an object and gives its keys with their values as they are written.
pub(super) fn object(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, Wrong> {
    let mut scan = Scan::new(text);
    scan.space();
    if scan.peek() != Some(b'{') {
        return Err("a document is an object".into());
    }
    let mut entries = Vec::new();
    let tagged = scan.object(0, &mut |key, value| entries.push((key, value)))?;
    scan.space();
    if scan.at < text.len() {
        return Err(scan.wrong("text behind the value"));
    }
    if tagged { Err("a document is a plain object, not a date, bytes or number".into()) } else { Ok(entries) }
}

/// Items of a list that was checked.
pub(super) fn items(text: &str) -> Option<Vec<&str>> {
    let mut scan = Scan::new(text);
    scan.space();
    if scan.peek() != Some(b'[') {
        return None;
    }
    scan.at += 1;
    let mut items = Vec::new();
    loop {
        scan.space();
        match scan.peek()? {
            b']' => return Some(items),
            b',' => scan.at += 1,
            _ => items.push(scan.skip()?),
        }
    }
}

/// Entries of an object that was checked; none when it is another value.
pub(super) fn entries(text: &str) -> Option<Vec<(Cow<'_, str>, &str)>> {
    let mut scan = Scan::new(text);
    scan.space();
    if scan.peek() != Some(b'{') {
        return None;
    }
    scan.at += 1;
    let mut entries = Vec::new();
    loop {
        scan.space();
        match scan.peek()? {
            b'}' => return Some(entries),
            b',' => scan.at += 1,
            _ => {
                let key = unquote(scan.skip()?)?;
                scan.space();
                scan.at += 1;
                scan.space();
                entries.push((key, scan.skip()?));
            }
        }
    }
}

/// The value at a path in an object that was checked. A list or a value that is no object ends the path.
pub(super) fn find<'a>(text: &'a str, path: &[&str]) -> Option<&'a str> {
    let Some((first, rest)) = path.split_first() else { return Some(text.trim_ascii()) };
    let mut scan = Scan::new(text);
    scan.space();
    if scan.peek() != Some(b'{') {
        return None;
    }
    scan.at += 1;
    loop {
        scan.space();
        match scan.peek()? {
            b'}' => return None,
            b',' => scan.at += 1,
            _ => {
                let quoted = scan.skip()?;
                let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
                let same = if inner.contains('\\') { unquote(quoted)? == *first } else { inner == *first };
                scan.space();
                scan.at += 1;
                scan.space();
                let value = scan.skip()?;
                if same {
                    return find(value, rest);
                }
            }
        }
    }
}

/// The text of a string that was checked.
pub(super) fn unquote(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// A string as JSON.
pub(super) fn quote(text: &str, into: &mut String) {
    into.push('"');
    if !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        into.push_str(text);
        into.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            c if (c as u32) < 0x20 => {
                use std::fmt::Write;
                // Writing to a string cannot fail.
                let _ = write!(into, "\\u{:04x}", c as u32);
            }
            c => into.push(c),
        }
    }
    into.push('"');
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// Keys that start with `$` are somebody else's to judge.
    operators: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, operators: false }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self, what: &str) -> Wrong {
        format!("not JSON at byte {}: {what}", self.at)
    }

    fn value(&mut self, depth: usize) -> Result<(), Wrong> {
        if depth > DEPTH_MAX {
            return Err(format!("nested more than {DEPTH_MAX} deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth, &mut |_, _| ()).map(|_| ()),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word));
                self.at += word.ok_or_else(|| self.wrong("a value is missing"))?.len();
                Ok(())
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), Wrong> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for _ in 0..ITEMS_MAX {
            self.space();
            self.value(depth + 1)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("`,` or `]` is missing")),
            }
        }
        Err(format!("a list of more than {ITEMS_MAX} items"))
    }

    /// True: it stands for a value that JSON does not have.
    fn object(&mut self, depth: usize, entry: &mut dyn FnMut(Cow<'a, str>, &'a str)) -> Result<bool, Wrong> {
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(false);
        }
        let mut keys: Vec<Cow<'a, str>> = Vec::new();
        let mut tagged = false;
        for _ in 0..ITEMS_MAX {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in double quotes is missing"));
            }
            let quoted = self.string()?;
            let key = unquote(quoted).ok_or_else(|| self.wrong("a malformed string"))?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("`:` is missing"));
            }
            self.at += 1;
            self.space();
            let start = self.at;
            self.value(depth + 1)?;
            let value = &self.text[start..self.at];
            if !self.operators && special(&key) {
                tag(&key, value)?;
                tagged = true;
            }
            keys.push(key.clone());
            entry(key, value);
            if tagged && keys.len() > 1 {
                return Err("a key that starts with `$` stands alone, or is written with two `$`".into());
            }
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    keys.sort_unstable();
                    return match keys.windows(2).find(|pair| pair[0] == pair[1]) {
                        Some(pair) => Err(format!("the key `{}` is given twice", shown(&pair[0]))),
                        None => Ok(tagged),
                    };
                }
                _ => return Err(self.wrong("`,` or `}` is missing")),
            }
        }
        Err(format!("an object of more than {ITEMS_MAX} keys"))
    }

    /// Checks a string; gives it with its quotes.
    fn string(&mut self) -> Result<&'a str, Wrong> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0..0x20) | None => return Err(self.wrong("a string is not closed")),
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        let quoted = self.text.get(start..self.at).ok_or_else(|| self.wrong("a malformed string"))?;
        // Escapes are serde_json's to judge; half of a surrogate pair is no text.
        if escaped && serde_json::from_str::<Cow<'_, str>>(quoted).is_err() {
            return Err(format!("not JSON at byte {start}: a malformed string"));
        }
        Ok(quoted)
    }

    fn number(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |at: &mut usize| {
            let from = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > from
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let whole = at;
        let mut good = digits(&mut at) && (bytes[whole] != b'0' || at == whole + 1);
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            good &= digits(&mut at);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            good &= digits(&mut at);
        }
        good = good && self.text[start..at].parse::<f64>().is_ok_and(f64::is_finite);
        if !good {
            return Err(self.wrong("not a number, or one beyond the range of numbers"));
        }
        self.at = at;
        Ok(())
    }

    /// Walks over a value that was checked; none where a damaged file holds something else.
    fn skip(&mut self) -> Option<&'a str> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match *bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    loop {
                        match *bytes.get(self.at)? {
                            b'"' => break,
                            b'\\' => self.at += 2,
                            _ => self.at += 1,
                        }
                    }
                    self.at += 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                _ => {
                    while !matches!(
                        bytes.get(self.at),
                        None | Some(b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                    ) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return self.text.get(start..self.at);
            }
        }
    }
}

/// Checks what a key that starts with one `$` stands for.
fn tag(key: &str, value: &str) -> Result<(), Wrong> {
    use base64::Engine;
    let good = match key {
        "$date" => value == "null" || value.parse::<i64>().is_ok_and(|ms| ms.abs() <= DATE_MS_MAX),
        "$bytes" => unquote(value)
            .is_some_and(|text| base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).is_ok()),
        "$number" => matches!(value, "\"NaN\"" | "\"Infinity\"" | "\"-Infinity\"" | "\"-0\""),
        "$bigint" => unquote(value).is_some_and(|text| {
            let digits = text.strip_prefix('-').unwrap_or(&text);
            (1..=BIGINT_DIGITS_MAX).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && (!digits.starts_with('0') || &*text == "0")
        }),
        _ => {
            return Err(format!(
                "the key `{}` starts with `$`: write an own key with two of them",
                shown(key)
            ));
        }
    };
    if good { Ok(()) } else { Err(format!("`{key}` does not hold what it stands for")) }
}

/// The range of JavaScript's dates.
const DATE_MS_MAX: i64 = 8_640_000_000_000_000;
/// Digits of a `bigint` in a document.
const BIGINT_DIGITS_MAX: usize = 1_000;

/// Text of an app in a message: short, nothing that moves a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
