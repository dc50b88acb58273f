//! What kernel and store role, which runs an app's SQL, say to each other: a greeting, two descriptors, then requests
//! and answers in turn. Answers are hostile: whoever found a hole in SQLite wrote them.
//!
//! ```text
//! role    READY
//! kernel  FILES + two descriptors
//! kernel  length(u32) Request          role  length(u32) Answer          …
//! ```
//! Lengths are bounded before anything is allocated. Rows travel as flat bytes that [`Rows`] walks, so that no answer
//! makes the kernel hold more than its own length.

pub mod limits;

use serde::{Deserialize, Serialize};

use limits::{COLUMNS_MAX, ROWS_MAX, STATEMENTS_MAX};

/// What the role says when it is locked: the launcher looks at it from outside then.
pub const READY: &[u8; 8] = b"fazt sql";
/// Goes with the descriptors of the database and its WAL.
pub const FILES: &[u8; 8] = b"two file";

/// The same, when neither can be written to.
pub const FILES_TO_READ: &[u8; 8] = b"two read";

/// Exit code of a role that ended itself: a function in a statement looked at no clock.
pub const EXIT_LATE: i32 = 104;
/// Exit code of a role whose file is no database that can be used.
pub const EXIT_DAMAGED: i32 = 105;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Refuse what changes something.
    pub read_only: bool,
    /// The quota of the file.
    pub bytes_max: u64,
    /// CPU time of the whole call.
    pub cpu_ms: u32,
    /// How the statements are to be taken.
    pub form: Form,
    /// Several: all or none.
    pub statements: Vec<Statement>,
}

/// What one text of SQL may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// One statement.
    One,
    /// Several statements, of which the last binds and answers, as D1 has it.
    Last,
    /// Several statements that bind nothing and answer nothing.
    Script,
    /// No statement of the app's: the file is looked through for damage.
    Check,
}

/// SQL and what it binds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// As the app wrote it.
    pub sql: String,
    /// In order.
    pub values: Vec<Value>,
}

/// A value to bind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// NULL
    Null,
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT
    Text(String),
    /// BLOB
    Blob(Vec<u8>),
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// All of it was done, and is on the disk.
    Done {
        /// One for each statement or script.
        #[serde(borrow, deserialize_with = "at_most::<_, _, STATEMENTS_MAX>")]
        outcomes: Vec<Outcome<'a>>,
        /// Size of the database.
        bytes: u64,
    },
    /// Nothing was changed.
    Failed {
        /// Which statement or script.
        at: u32,
        /// Kind.
        fault: Fault,
        /// For the app's author.
        message: &'a str,
    },
}

/// What one statement gave; of a script, its last one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome<'a> {
    /// Names of columns.
    #[serde(borrow, deserialize_with = "at_most::<_, _, COLUMNS_MAX>")]
    pub columns: Vec<&'a str>,
    /// How many rows.
    pub count: u32,
    /// Their values, one after the other: see [`Rows`].
    pub rows: &'a [u8],
    /// Statements that ran: more than one in a script.
    pub statements: u32,
    /// Rows inserted, changed or deleted, by triggers too.
    pub changes: u64,
    /// Of the last row that was inserted into a table with such a number, ever.
    pub last_row_id: i64,
    /// Rows that SQLite stepped over.
    pub rows_read: u64,
    /// The database is another than before.
    pub changed: bool,
    /// Size of the database after it.
    pub bytes: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
}

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The statement is wrong, or not allowed, or breaks a constraint.
    Query,
    /// A value, a statement or the answer is too large.
    TooLarge,
    /// The file may not grow further.
    Quota,
    /// It changes something and may not.
    ReadOnly,
    /// Its CPU time is used up.
    Late,
    /// SQLite's memory is used up.
    Memory,
    /// The disk is full.
    DiskFull,
    /// The disk fails.
    Disk,
    /// The file is damaged.
    Damaged,
}

/// The other side does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store process broke the protocol: {0}")]
pub struct Malformed(pub &'static str);

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// NULL
    Null,
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT; what is no UTF-8 was replaced.
    Text(&'a str),
    /// BLOB
    Blob(&'a [u8]),
}

impl Cell<'_> {
    /// Writes it behind others.
    pub fn put(&self, out: &mut Vec<u8>) {
        let mut long = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        match self {
            Self::Null => out.push(0),
            Self::Integer(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Real(value) => {
                out.push(2);
                out.extend_from_slice(&value.to_le_bytes());
            }
            Self::Text(text) => long(3, text.as_bytes()),
            Self::Blob(bytes) => long(4, bytes),
        }
    }
}

/// Walks over the values of rows.
#[derive(Debug, Clone)]
pub struct Rows<'a>(&'a [u8]);

impl<'a> Rows<'a> {
    /// Over these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&mut self) -> Result<Cell<'a>, Malformed> {
        let (&tag, rest) = self.0.split_first().ok_or(Malformed("a value is missing"))?;
        self.0 = rest;
        Ok(match tag {
            0 => Cell::Null,
            1 => Cell::Integer(i64::from_le_bytes(self.fixed()?)),
            2 => Cell::Real(f64::from_le_bytes(self.fixed()?)),
            3 => {
                let text = std::str::from_utf8(self.long()?);
                Cell::Text(text.map_err(|_| Malformed("text that is no UTF-8"))?)
            }
            4 => Cell::Blob(self.long()?),
            _ => return Err(Malformed("a value of no kind")),
        })
    }

    /// Whether every byte was walked over.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed("a value is cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let bytes = u32::from_le_bytes(self.fixed()?) as usize;
        let (value, rest) = self.0.split_at_checked(bytes).ok_or(Malformed("a value is cut off"))?;
        self.0 = rest;
        Ok(value)
    }
}

/// A list, given up at the first item too many: one byte on the socket may be a hundred in memory.
fn at_most<'de, D, T, const MOST: usize>(list: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Items<T, const MOST: usize>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> serde::de::Visitor<'de> for Items<T, MOST> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MOST} items")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                if items.len() == MOST {
                    return Err(serde::de::Error::custom("too many items"));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    list.deserialize_seq(Items::<T, MOST>(std::marker::PhantomData))
}

/// Writes a message with its length in front.
///
/// # Errors
/// When it is longer than `bytes_max`.
pub fn encode(message: &impl Serialize, bytes_max: usize) -> Result<Vec<u8>, Malformed> {
    let mut out = postcard::to_extend(message, vec![0; 4]).map_err(|_| Malformed("it cannot be written"))?;
    let bytes = out.len() - 4;
    if bytes > bytes_max {
        return Err(Malformed("a message over its bound"));
    }
    let length = u32::try_from(bytes).map_err(|_| Malformed("a message over its bound"))?;
    out[..4].copy_from_slice(&length.to_le_bytes());
    Ok(out)
}

/// The length that stands in front of a message.
///
/// # Errors
/// When it is over its bound.
pub fn length(head: [u8; 4], bytes_max: usize) -> Result<usize, Malformed> {
    let bytes = u32::from_le_bytes(head) as usize;
    if bytes <= bytes_max { Ok(bytes) } else { Err(Malformed("a message over its bound")) }
}

/// Reads a request, every byte of it.
///
/// # Errors
/// When it is none.
pub fn read_request(bytes: &[u8]) -> Result<Request, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((request, [])) => Ok(request),
        _ => Err(Malformed("a malformed request")),
    }
}

/// Reads an answer, every byte of it, and looks at every value.
///
/// # Errors
/// When it is none, or says more than a role may.
pub fn read_answer(bytes: &[u8]) -> Result<Answer<'_>, Malformed> {
    let Ok((answer, [])) = postcard::take_from_bytes::<Answer<'_>>(bytes) else {
        return Err(Malformed("a malformed answer"));
    };
    if let Answer::Done { outcomes, .. } = &answer {
        let mut rows_left = ROWS_MAX;
        for outcome in outcomes {
            let count = outcome.count as usize;
            rows_left = rows_left.checked_sub(count).ok_or(Malformed("too many rows"))?;
            if outcome.columns.is_empty() && count > 0 {
                return Err(Malformed("rows without columns"));
            }
            let mut rows = Rows::new(outcome.rows);
            for _ in 0..count * outcome.columns.len() {
                rows.take()?;
            }
            if !rows.is_empty() {
                return Err(Malformed("more values than rows"));
            }
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome<'a>(columns: Vec<&'a str>, count: u32, rows: &'a [u8]) -> Outcome<'a> {
        Outcome { columns, count, rows, statements: 1, bytes: 4096, ..Outcome::default() }
    }

    #[test]
    fn values_survive_the_wire() {
        let cells =
            [Cell::Null, Cell::Integer(i64::MIN), Cell::Real(-0.5), Cell::Text("é"), Cell::Blob(&[0, 255])];
        let mut rows = Vec::new();
        cells.iter().for_each(|cell| cell.put(&mut rows));
        let answer = Answer::Done { outcomes: vec![outcome(vec!["a"], 5, &rows)], bytes: 4096 };
        let bytes = encode(&answer, 1 << 20).expect("short");
        let read = read_answer(&bytes[4..]).expect("an answer");
        assert_eq!(read, answer);
        let mut walk = Rows::new(&rows);
        let back: Vec<_> = (0..5).map(|_| walk.take().expect("a value")).collect();
        assert_eq!(back, cells);
        assert!(walk.is_empty() && walk.take().is_err());
    }

    #[test]
    fn an_answer_that_says_more_or_less_than_it_announces_is_refused() {
        let mut rows = Vec::new();
        Cell::Integer(1).put(&mut rows);
        let too_long = [3, 255, 255, 255, 255, b'x'];
        let bad_text = [3, 1, 0, 0, 0, 0xff];
        for (why, columns, count, rows) in [
            ("fewer values", vec!["a"], 2, &rows[..]),
            ("more values", vec!["a"], 0, &rows[..]),
            ("rows without columns", vec![], 1, &[][..]),
            ("too many rows", vec!["a"], u32::MAX, &rows[..]),
            ("too many columns", vec!["a"; COLUMNS_MAX + 1], 0, &[][..]),
            ("a length beyond the end", vec!["a"], 1, &too_long[..]),
            ("no UTF-8", vec!["a"], 1, &bad_text[..]),
            ("no such kind", vec!["a"], 1, &[9][..]),
        ] {
            let answer = Answer::Done { outcomes: vec![outcome(columns, count, rows)], bytes: 0 };
            let bytes = encode(&answer, 1 << 20).expect("short");
            assert!(read_answer(&bytes[4..]).is_err(), "{why}");
        }
        assert!(read_answer(&[]).is_err());
        let whole = encode(&Answer::Done { outcomes: vec![], bytes: 0 }, 64).expect("short");
        assert!(read_answer(&[&whole[4..], &[0]].concat()).is_err(), "a byte too many");
        assert!(length([255; 4], 1 << 20).is_err());
        assert!(encode(&"x".repeat(100), 64).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_refused(bytes: Vec<u8>, tag in 0u8..3) {
            let bytes = [&[tag][..], &bytes].concat();
            if let Ok(Answer::Done { outcomes, .. }) = read_answer(&bytes) {
                prop_assert!(outcomes.iter().map(|one| one.count as usize).sum::<usize>() <= ROWS_MAX);
            }
            let _ = read_request(&bytes);
        }
    }
}
