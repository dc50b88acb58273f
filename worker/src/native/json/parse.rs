//! JSON text to values. The text is hostile; it is the engine's bytes of a string: UTF-8 with lone surrogates.

use super::DEPTH_MAX;
use super::scan;
use super::sys::{Atom, Engine, Owned, Pile, Thrown};

/// Why there is no value.
pub(super) enum Fail {
    /// Not JSON. The engine's parser makes the error.
    Syntax,
    /// An exception is pending.
    Thrown,
}

impl From<Thrown> for Fail {
    fn from(Thrown: Thrown) -> Self {
        Self::Thrown
    }
}

type Result<T> = std::result::Result<T, Fail>;

const KEYS: usize = 64;

struct Parser<'t> {
    engine: Engine,
    text: &'t [u8],
    at: usize,
    /// Elements of the arrays that are open.
    pile: Pile,
    /// Keys seen lately, by hash: documents repeat theirs.
    keys: [Option<(&'t [u8], Atom)>; KEYS],
    bytes: Vec<u8>,
    units: Vec<u16>,
}

/// The value of a whole text.
pub(super) fn document(engine: Engine, text: &[u8]) -> Result<Owned> {
    let mut parser = Parser {
        engine,
        text,
        at: 0,
        pile: Pile::new(engine),
        keys: [const { None }; KEYS],
        bytes: Vec::new(),
        units: Vec::new(),
    };
    parser.space();
    let value = parser.value(0)?;
    parser.space();
    if parser.at == text.len() { Ok(value) } else { Err(Fail::Syntax) }
}

enum Span<'t> {
    /// ASCII, as it stands in the text.
    Plain(&'t [u8]),
    /// Decoded to UTF-8 in `Parser::bytes`.
    Bytes,
    /// Holds a lone surrogate: UTF-16 in `Parser::units`.
    Units,
}

impl<'t> Parser<'t> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(Fail::Syntax)
    }

    fn value(&mut self, depth: usize) -> Result<Owned> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true").map(|()| self.engine.bool(true)),
            Some(b'f') => self.word(b"false").map(|()| self.engine.bool(false)),
            Some(b'n') => self.word(b"null").map(|()| self.engine.null()),
            _ => Err(Fail::Syntax),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize> {
        if depth == DEPTH_MAX {
            return Err(self.engine.range_error(c"Maximum call stack size exceeded").into());
        }
        Ok(depth + 1)
    }

    fn array(&mut self, depth: usize) -> Result<Owned> {
        let depth = self.deeper(depth)?;
        let start = self.pile.len();
        self.at += 1;
        self.space();
        if !self.take(b']') {
            loop {
                let value = self.value(depth)?;
                self.pile.push(value)?;
                self.space();
                if self.take(b',') {
                    self.space();
                } else if self.take(b']') {
                    break;
                } else {
                    return Err(Fail::Syntax);
                }
            }
        }
        Ok(self.pile.take_array(start)?)
    }

    fn object(&mut self, depth: usize) -> Result<Owned> {
        let depth = self.deeper(depth)?;
        let object = self.engine.object()?;
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(object);
        }
        loop {
            if !self.take(b'"') {
                return Err(Fail::Syntax);
            }
            let key = self.key()?;
            self.space();
            if !self.take(b':') {
                return Err(Fail::Syntax);
            }
            self.space();
            let value = self.value(depth)?;
            match key {
                Ok(slot) => {
                    // A nested object may have put another key into the slot.
                    let (span, slot) = slot;
                    match &self.keys[slot] {
                        Some((seen, atom)) if std::ptr::eq(*seen, span) || *seen == span => {
                            object.define(atom, value)?;
                        }
                        _ => object.define(&self.engine.atom(span)?, value)?,
                    }
                }
                Err(atom) => object.define(&atom, value)?,
            }
            self.space();
            if self.take(b',') {
                self.space();
            } else if self.take(b'}') {
                return Ok(object);
            } else {
                return Err(Fail::Syntax);
            }
        }
    }

    /// A key whose opening quote is taken: its place in the table, or an atom of its own when it is not plain.
    #[inline]
    fn key(&mut self) -> Result<std::result::Result<(&'t [u8], usize), Atom>> {
        match self.span()? {
            Span::Plain(span) => {
                let slot = hash(span);
                match &self.keys[slot] {
                    Some((seen, _)) if *seen == span => {}
                    _ => self.keys[slot] = Some((span, self.engine.atom(span)?)),
                }
                Ok(Ok((span, slot)))
            }
            decoded => Ok(Err(self.made(&decoded)?.to_key()?)),
        }
    }

    fn string(&mut self) -> Result<Owned> {
        match self.span()? {
            Span::Plain(span) => Ok(self.engine.string(span)?),
            decoded => self.made(&decoded),
        }
    }

    fn made(&self, span: &Span<'_>) -> Result<Owned> {
        Ok(match span {
            Span::Plain(span) => self.engine.string(span),
            Span::Bytes => self.engine.string(&self.bytes),
            Span::Units => self.engine.string_utf16(&self.units),
        }?)
    }

    /// Takes a string up to and with its closing quote.
    #[inline]
    fn span(&mut self) -> Result<Span<'t>> {
        let start = self.at;
        self.at += scan::plain(self.text, start);
        if self.take(b'"') {
            return Ok(Span::Plain(&self.text[start..self.at - 1]));
        }
        self.decoded(start)
    }

    #[cold]
    fn decoded(&mut self, start: usize) -> Result<Span<'t>> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&self.text[start..self.at]);
        let mut lone = false;
        loop {
            let run = scan::plain(self.text, self.at);
            self.bytes.extend_from_slice(&self.text[self.at..self.at + run]);
            self.at += run;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => lone |= self.escape()?,
                Some(byte) if byte >= 0x80 => {
                    // 0xED 0xA0.. is a surrogate in the engine's encoding: a lone one, as pairs are four bytes.
                    lone |= byte == 0xed && self.text.get(self.at + 1).is_some_and(|&next| next >= 0xa0);
                    self.bytes.push(byte);
                    self.at += 1;
                }
                _ => return Err(Fail::Syntax),
            }
        }
        self.at += 1;
        if !lone {
            return Ok(Span::Bytes);
        }
        widen(&self.bytes, &mut self.units);
        Ok(Span::Units)
    }

    /// Takes an escape. True when it is a surrogate without its partner beside it in the same notation.
    fn escape(&mut self) -> Result<bool> {
        let byte = *self.text.get(self.at + 1).ok_or(Fail::Syntax)?;
        self.at += 2;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(),
            _ => return Err(Fail::Syntax),
        };
        self.bytes.push(plain);
        Ok(false)
    }

    fn unicode(&mut self) -> Result<bool> {
        let first = self.hex(self.at)?;
        self.at += 4;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let second = self.hex(self.at + 2)?;
            if (0xdc00..0xe000).contains(&second) {
                self.at += 6;
                let point = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                push_point(&mut self.bytes, point);
                return Ok(false);
            }
        }
        push_point(&mut self.bytes, first);
        Ok((0xd800..0xe000).contains(&first))
    }

    fn hex(&self, at: usize) -> Result<u32> {
        let digits = self.text.get(at..at + 4).ok_or(Fail::Syntax)?;
        digits.iter().try_fold(0, |value, &digit| {
            (digit as char).to_digit(16).map(|digit| value * 16 + digit).ok_or(Fail::Syntax)
        })
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Fail::Syntax) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Owned> {
        let start = self.at;
        let negative = self.take(b'-');
        let first = self.at;
        let mut value: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || (digits > 1 && self.text[first] == b'0') {
            return Err(Fail::Syntax);
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        if whole && digits <= 15 && !(negative && value == 0) {
            let value = if negative { -value } else { value };
            return Ok(match i32::try_from(value) {
                Ok(value) => self.engine.int(value),
                #[expect(clippy::cast_precision_loss, reason = "15 digits are exact")]
                Err(_) => self.engine.float(value as f64),
            });
        }
        let text = str::from_utf8(&self.text[start..self.at]).map_err(|_| Fail::Syntax)?;
        let value: f64 = text.parse().map_err(|_| Fail::Syntax)?;
        #[expect(clippy::cast_possible_truncation, reason = "compared with the value it came from")]
        let int = value as i32;
        // Whole numbers are small integers in the engine, except minus zero.
        if f64::from(int).to_bits() == value.to_bits() {
            return Ok(self.engine.int(int));
        }
        Ok(self.engine.float(value))
    }
}

#[inline]
fn hash(bytes: &[u8]) -> usize {
    let first = bytes.first().copied().unwrap_or(0);
    let middle = bytes.get(bytes.len() / 2).copied().unwrap_or(0);
    let last = bytes.last().copied().unwrap_or(0);
    let mixed = usize::from(first) + usize::from(middle) * 7 + usize::from(last) * 31 + bytes.len() * 11;
    mixed % KEYS
}

/// Appends a code point, a surrogate as its three bytes.
fn push_point(bytes: &mut Vec<u8>, point: u32) {
    if let Some(char) = char::from_u32(point) {
        bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        let low = |shift: u32| 0x80 | u8::try_from((point >> shift) & 0x3f).unwrap_or(0);
        bytes.extend_from_slice(&[0xed, low(6), low(0)]);
    }
}

/// UTF-8 with surrogates as three bytes, to UTF-16.
fn widen(bytes: &[u8], units: &mut Vec<u16>) {
    units.clear();
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&rest[..error.valid_up_to()]).unwrap_or(""),
        };
        units.extend(valid.encode_utf16());
        rest = &rest[valid.len()..];
        if let [lead, middle, last, after @ ..] = rest {
            units.push(
                u16::from(*lead & 0x0f) << 12 | u16::from(*middle & 0x3f) << 6 | u16::from(*last & 0x3f),
            );
            rest = after;
        } else {
            break;
        }
    }
}
