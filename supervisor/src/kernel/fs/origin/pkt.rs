//! Lines of Git's protocol: four hexadecimal digits of length, then so many bytes, the digits included.

use super::client::GitError;

/// A line with its length, as the protocol bounds it.
const LINE_BYTES_MAX: usize = 65_520;

/// One line, or one of the marks between lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pkt<'a> {
    Line(&'a [u8]),
    /// The end of a message.
    Flush,
    /// The end of a section.
    Delimiter,
}

/// Cuts bytes that arrive anyhow into lines. Holds at most one line and what was pushed last.
#[derive(Debug, Default)]
pub(super) struct Pkts {
    buffer: Vec<u8>,
    used: usize,
}

impl Pkts {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line if it is here whole.
    pub(super) fn next(&mut self) -> Result<Option<Pkt<'_>>, GitError> {
        let rest = &self.buffer[self.used..];
        let Some(digits) = rest.get(..4) else { return Ok(None) };
        let hex = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits);
        let length = hex
            .and_then(|digits| usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .ok_or(GitError::Protocol("a length that is no number"))?;
        let pkt = match length {
            0 => Pkt::Flush,
            1 => Pkt::Delimiter,
            4..=LINE_BYTES_MAX => {
                if rest.len() < length {
                    return Ok(None);
                }
                let start = self.used + 4;
                self.used += length;
                return Ok(Some(Pkt::Line(&self.buffer[start..self.used])));
            }
            _ => return Err(GitError::Protocol("a length that cannot be")),
        };
        self.used += 4;
        Ok(Some(pkt))
    }

    /// Whether nothing of a line is left over.
    pub(super) fn is_empty(&self) -> bool {
        self.used == self.buffer.len()
    }
}

/// Writes one line. Callers write short ones.
pub(super) fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

pub(super) const FLUSH: &[u8] = b"0000";
pub(super) const DELIMITER: &[u8] = b"0001";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let mut bytes = Vec::new();
        line(&mut bytes, "version 2");
        bytes.extend_from_slice(DELIMITER);
        line(&mut bytes, "x");
        bytes.extend_from_slice(FLUSH);
        for step in 1..bytes.len() {
            let mut pkts = Pkts::default();
            let mut got = Vec::new();
            for chunk in bytes.chunks(step) {
                pkts.push(chunk);
                while let Some(pkt) = pkts.next().expect("fine") {
                    got.push(format!("{pkt:?}"));
                }
            }
            assert_eq!(got.len(), 4, "{got:?}");
            assert!(pkts.is_empty());
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        for text in ["0002", "0003", "fff1", "00g0", "+004", "-001", "<!do"] {
            let mut pkts = Pkts::default();
            pkts.push(text.as_bytes());
            assert!(pkts.next().is_err(), "{text}");
        }
    }
}
