//! JSON with places: what a typed decoder cannot tell is where an unknown key stands.

use super::ManifestError;

/// Deepest nesting; the manifest itself needs five.
const DEPTH_MAX: usize = 16;

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: usize,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// Keys with their places, in order, duplicates refused.
    Object(Vec<(String, usize, Node)>),
}

impl Value {
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// Line and column, from 1; columns count characters.
pub(super) fn error(text: &str, at: usize, message: impl Into<String>) -> ManifestError {
    let at = text.floor_char_boundary(at.min(text.len()));
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    ManifestError {
        line: count(before.matches('\n').count()),
        column: count(before[start..].chars().count()),
        // It may quote a key, and a key may hold anything.
        message: message.into().replace(char::is_control, "\u{fffd}"),
    }
}

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Node, ManifestError> {
    let mut parser = Parser { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    parser.space();
    let node = parser.value(0)?;
    parser.space();
    if parser.at < text.len() {
        Err(parser.unexpected("nothing after the end of the object"))
    } else {
        Ok(node)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> ManifestError {
        let found = match self.text[self.at..].chars().next() {
            None => "the end of the file".to_owned(),
            Some('/') if self.text[self.at..].starts_with("//") || self.text[self.at..].starts_with("/*") => {
                "a comment; JSON has none".to_owned()
            }
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        error(self.text, self.at, format!("expected {wanted}, found {found}"))
    }

    fn value(&mut self, depth: usize) -> Result<Node, ManifestError> {
        let at = self.at;
        if depth > DEPTH_MAX {
            return Err(error(self.text, at, format!("nested more than {DEPTH_MAX} deep")));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => {
                let words =
                    [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
                let found = words.into_iter().find(|(word, _)| self.text[at..].starts_with(word));
                let Some((word, value)) = found else { return Err(self.unexpected("a value")) };
                self.at += word.len();
                value
            }
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value, ManifestError> {
        self.at += 1;
        let mut entries: Vec<(String, usize, Node)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(entries));
        }
        loop {
            let at = self.at;
            if self.peek() != Some(b'"') {
                let wanted = if entries.is_empty() {
                    "a key in double quotes or `}`"
                } else {
                    "a key in double quotes"
                };
                return Err(self.unexpected(wanted));
            }
            let key = self.string()?;
            if entries.iter().any(|(other, _, _)| *other == key) {
                return Err(error(self.text, at, format!("`{key}` is given twice")));
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.at += 1;
            self.space();
            let node = self.value(depth + 1)?;
            entries.push((key, at, node));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(entries));
                }
                _ => return Err(self.unexpected("`,` or `}`")),
            }
            self.space();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, ManifestError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                _ => return Err(self.unexpected("`,` or `]`")),
            }
            self.space();
        }
    }

    /// The extent is found here; escapes and digits are serde_json's to judge.
    fn string(&mut self) -> Result<String, ManifestError> {
        let start = self.at;
        let mut end = start + 1;
        loop {
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => return Err(error(self.text, start, "this string is not closed")),
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        let literal = self.text.get(start..=end).unwrap_or_default();
        serde_json::from_str(literal).map_err(|why| {
            error(self.text, start, format!("this string is malformed: {}", strip_place(&why)))
        })
    }

    fn number(&mut self) -> Result<Value, ManifestError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        serde_json::from_str(&self.text[start..self.at])
            .map(Value::Number)
            .map_err(|_| error(self.text, start, "this is not a number as JSON writes them"))
    }
}

fn strip_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
