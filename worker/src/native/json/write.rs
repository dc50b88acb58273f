//! Values to JSON text, in the order of operations of the language's definition: keys first, then for each key the
//! value, its `toJSON`, its text. Getters, proxies and `toJSON` run app code, which may change what is being written;
//! nothing here trusts a length or a key that it saw before such a call.

use super::DEPTH_MAX;
use super::scan;
use super::sys::{Atom, Buffer, Engine, Kind, Owned, Thrown, class};

const KEYS: usize = 64;

/// A key already written once: its atom (held, so that the number keeps its meaning) and where its quoted text stands.
struct Known {
    atom: Atom,
    start: usize,
    end: usize,
}

struct Writer {
    engine: Engine,
    out: Buffer<u8>,
    to_json: Atom,
    /// Objects that are open, to find cycles.
    open: Vec<usize>,
    keys: [Option<Known>; KEYS],
}

/// Where a value stands, for the argument of `toJSON`.
#[derive(Clone, Copy)]
enum Place<'k> {
    Root,
    Index(i64),
    Key(&'k Atom),
}

/// The text of a value as a string of the engine, or undefined.
pub(super) fn document(engine: Engine, value: Owned) -> Result<Owned, Thrown> {
    let mut writer = Writer {
        engine,
        out: Buffer::new(engine),
        to_json: engine.atom(b"toJSON")?,
        open: Vec::new(),
        keys: [const { None }; KEYS],
    };
    let value = writer.prepared(value, Place::Root)?;
    if left_out(&value) {
        return Ok(engine.undefined());
    }
    writer.value(&value)?;
    engine.string(writer.out.as_slice())
}

/// Values that objects leave out and arrays write as null.
fn left_out(value: &Owned) -> bool {
    match value.kind() {
        Kind::Undefined | Kind::Other => true,
        Kind::Object => !matches!(value.class(), class::OBJECT | class::ARRAY) && value.is_function(),
        _ => false,
    }
}

impl Writer {
    /// Applies `toJSON`.
    #[inline]
    fn prepared(&self, value: Owned, place: Place<'_>) -> Result<Owned, Thrown> {
        if !matches!(value.kind(), Kind::Object | Kind::BigInt) {
            return Ok(value);
        }
        let method = value.get(&self.to_json)?;
        if !method.is_function() {
            return Ok(value);
        }
        let key = match place {
            Place::Root => self.engine.string(b"")?,
            Place::Index(index) => self.engine.string(index.to_string().as_bytes())?,
            Place::Key(atom) => atom.to_value()?,
        };
        method.call(&value, &key)
    }

    #[inline]
    fn value(&mut self, value: &Owned) -> Result<(), Thrown> {
        match value.kind() {
            Kind::Null | Kind::Undefined | Kind::Other => self.out.extend(b"null"),
            Kind::Bool(true) => self.out.extend(b"true"),
            Kind::Bool(false) => self.out.extend(b"false"),
            Kind::Int(int) => self.int(int),
            Kind::Float(float) => self.float(float),
            Kind::String => self.string(value),
            Kind::BigInt => Err(self.engine.type_error(c"BigInt are forbidden in JSON.stringify")),
            Kind::Object => self.composite(value),
        }
    }

    fn int(&mut self, int: i32) -> Result<(), Thrown> {
        let mut digits = [0; 11];
        let mut at = digits.len();
        let mut rest = int.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if int < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.out.extend(&digits[at..])
    }

    fn float(&mut self, float: f64) -> Result<(), Thrown> {
        if !float.is_finite() {
            return self.out.extend(b"null");
        }
        self.out.extend(ryu_js::Buffer::new().format_finite(float).as_bytes())
    }

    fn string(&mut self, value: &Owned) -> Result<(), Thrown> {
        let text = value.to_text()?;
        quote(&mut self.out, text.bytes())
    }

    fn composite(&mut self, value: &Owned) -> Result<(), Thrown> {
        let class = value.class();
        if class == class::OBJECT {
            return self.nested(value, Self::object);
        }
        match class {
            class::ARRAY => self.nested(value, Self::array),
            class::NUMBER => {
                let number = value.to_number()?;
                self.value(&number)
            }
            class::STRING => self.string(value),
            class::BOOLEAN => self.engines(value),
            _ => {
                if value.is_array() {
                    self.nested(value, Self::array)
                } else if is_wrapper(value) {
                    self.engines(value)
                } else {
                    self.nested(value, Self::object)
                }
            }
        }
    }

    /// Objects around a primitive that the interface cannot unwrap, and `JSON.rawJSON`.
    fn engines(&mut self, value: &Owned) -> Result<(), Thrown> {
        let text = self.engine.engine_stringify(value)?.to_text()?;
        self.out.extend(text.bytes())
    }

    fn nested(
        &mut self,
        value: &Owned,
        write: fn(&mut Self, &Owned) -> Result<(), Thrown>,
    ) -> Result<(), Thrown> {
        let address = value.address();
        if self.open.contains(&address) {
            return Err(self.engine.type_error(c"circular reference"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.engine.range_error(c"Maximum call stack size exceeded"));
        }
        self.open.push(address);
        write(self, value)?;
        self.open.pop();
        Ok(())
    }

    fn array(&mut self, value: &Owned) -> Result<(), Thrown> {
        let length = value.length()?;
        self.out.push(b'[')?;
        for index in 0..length {
            if index > 0 {
                self.out.push(b',')?;
            }
            let element = self.prepared(value.element(index)?, Place::Index(index))?;
            if left_out(&element) {
                self.out.extend(b"null")?;
            } else {
                self.value(&element)?;
            }
        }
        self.out.push(b']')
    }

    fn object(&mut self, value: &Owned) -> Result<(), Thrown> {
        let keys = value.keys()?;
        self.out.push(b'{')?;
        let mut first = true;
        for index in 0..keys.len() {
            keys.with(index, |key| {
                let member = self.prepared(value.get(key)?, Place::Key(key))?;
                if left_out(&member) {
                    return Ok(());
                }
                if !first {
                    self.out.push(b',')?;
                }
                first = false;
                self.key(key)?;
                self.value(&member)
            })?;
        }
        self.out.push(b'}')
    }

    /// Writes a key, its quotes and the colon.
    #[inline]
    fn key(&mut self, key: &Atom) -> Result<(), Thrown> {
        let slot = key.id() as usize % KEYS;
        if let Some(known) = &self.keys[slot]
            && known.atom.id() == key.id()
        {
            return self.out.repeat(known.start, known.end);
        }
        let start = self.out.len();
        quote(&mut self.out, key.to_text()?.bytes())?;
        self.out.push(b':')?;
        self.keys[slot] = Some(Known { atom: key.clone(), start, end: self.out.len() });
        Ok(())
    }
}

/// Whether the engine unwraps this object: a big integer's wrapper or raw JSON. Told by what it makes of a bare one,
/// so that no more class numbers of the engine are needed.
fn is_wrapper(value: &Owned) -> bool {
    matches!(value.class(), class::BIG_INT | class::RAW_JSON)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn quote(out: &mut Buffer<u8>, bytes: &[u8]) -> Result<(), Thrown> {
    out.push(b'"')?;
    let mut at = 0;
    loop {
        let run = scan::plain(bytes, at);
        out.extend(&bytes[at..at + run])?;
        at += run;
        let Some(&byte) = bytes.get(at) else { break };
        at += 1;
        match byte {
            b'"' => out.extend(b"\\\"")?,
            b'\\' => out.extend(b"\\\\")?,
            0x08 => out.extend(b"\\b")?,
            0x09 => out.extend(b"\\t")?,
            0x0a => out.extend(b"\\n")?,
            0x0c => out.extend(b"\\f")?,
            0x0d => out.extend(b"\\r")?,
            0..0x20 => escape(out, u16::from(byte))?,
            // A lone surrogate: pairs are four bytes.
            0xed if bytes.get(at).is_some_and(|&next| next >= 0xa0) => {
                let low = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0) & 0x3f);
                escape(out, 0xd000 | low(at) << 6 | low(at + 1))?;
                at += 2;
            }
            _ => {
                // The rest of a run that is not ASCII goes in one piece.
                let start = at - 1;
                while bytes.get(at).is_some_and(|&next| next >= 0x80 && next != 0xed) {
                    at += 1;
                }
                out.extend(&bytes[start..at])?;
            }
        }
    }
    out.push(b'"')
}

fn escape(out: &mut Buffer<u8>, unit: u16) -> Result<(), Thrown> {
    let digit = |shift: u32| HEX[usize::from(unit >> shift & 15)];
    out.extend(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)])
}
