//! Decompression of a body, in pieces of bounded size: whoever sends it is hostile, and what a piece becomes may be a
//! thousand times as long. Nothing is made before it is asked for.

use std::io::{self, Write};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use fazt_ipc::egress::{Fault, FaultKind};
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, InBuffer, Operation as _, OutBuffer};

use super::limits::{PIECE_BYTES, ZSTD_WINDOW_LOG_MAX};

/// What is asked for where the app does not ask itself.
pub(super) const ACCEPTED: &str = "gzip, br";

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// A body on its way out of its compression.
pub(super) enum Decoder {
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// Made when its first byte tells with which envelope it comes: some servers send none.
    Deflate(Option<Box<Decompress>>, bool),
    Brotli(Box<Brotli>, bool),
    Zstd(Box<Zstd<'static>>, bool),
}

/// As much as a piece may be; then it takes nothing until that is taken away.
pub(super) struct Sink(Vec<u8>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES.saturating_sub(self.0.len());
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn bad() -> Fault {
    Fault::new(FaultKind::Encoding, "the body is not compressed as its header says")
}

impl Decoder {
    /// For what a `Content-Encoding` names; none: the body is what it is, or is in a form that nobody here knows and
    /// that the app gets as it came.
    pub(super) fn of(encoding: &str) -> Option<Self> {
        let sink = || Sink(Vec::with_capacity(PIECE_BYTES));
        match encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip(Box::new(MultiGzDecoder::new(sink())))),
            "deflate" => Some(Self::Deflate(None, false)),
            "br" => {
                let alloc = StandardAlloc::default;
                Some(Self::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), false))
            }
            "zstd" => {
                let mut zstd = Zstd::new().ok()?;
                zstd.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).ok()?;
                Some(Self::Zstd(Box::new(zstd), true))
            }
            _ => None,
        }
    }

    /// Memory that it may come to take, in MiB.
    pub(super) const fn mib(&self) -> u32 {
        match self {
            Self::Gzip(_) | Self::Deflate(..) => 1,
            // Window, and as much beside it while it grows.
            Self::Brotli(..) => 16,
            Self::Zstd(..) => 9,
        }
    }

    /// Takes from `input` and makes at most a piece. An empty piece: it needs more.
    pub(super) fn step(&mut self, input: &mut &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Gzip(decoder) => {
                write(input, |bytes| decoder.write(bytes)).map(|()| take(decoder.get_mut()))
            }
            Self::Deflate(decoder, done) => {
                let Some(first) = input.first() else { return Ok(Vec::new()) };
                if *done {
                    return Err(bad());
                }
                let decoder = decoder.get_or_insert_with(|| Box::new(Decompress::new(first & 0x0f == 8)));
                let mut out = Vec::with_capacity(PIECE_BYTES);
                let before = decoder.total_in();
                let status =
                    decoder.decompress_vec(input, &mut out, FlushDecompress::None).map_err(|_| bad())?;
                let taken = usize::try_from(decoder.total_in() - before).map_err(|_| bad())?;
                *input = &input[taken..];
                *done = status == Status::StreamEnd;
                Ok(out)
            }
            Self::Brotli(state, done) => {
                if *done {
                    return if input.is_empty() { Ok(Vec::new()) } else { Err(bad()) };
                }
                let mut out = vec![0; PIECE_BYTES];
                let (mut left, mut at, mut room, mut made, mut total) = (input.len(), 0, out.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left, &mut at, input, &mut room, &mut made, &mut out, &mut total, state,
                );
                *input = &input[at..];
                out.truncate(made);
                match result {
                    BrotliResult::ResultFailure => Err(bad()),
                    BrotliResult::ResultSuccess => {
                        *done = true;
                        Ok(out)
                    }
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(out),
                }
            }
            // Nothing between two frames: it would begin another one.
            Self::Zstd(_, true) if input.is_empty() => Ok(Vec::new()),
            Self::Zstd(decoder, done) => {
                let mut out = vec![0; PIECE_BYTES];
                let (taken, made) = {
                    let (mut source, mut target) = (InBuffer::around(input), OutBuffer::around(&mut out[..]));
                    let hint = decoder.run(&mut source, &mut target).map_err(|_| bad())?;
                    *done = hint == 0;
                    (source.pos(), target.pos())
                };
                *input = &input[taken..];
                out.truncate(made);
                Ok(out)
            }
        }
    }

    /// All of the input was given: more that it makes of it; empty at the end.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Gzip(decoder) => {
                let done = decoder.try_finish();
                let piece = take(decoder.get_mut());
                match done {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(bad()),
                    _ => Ok(piece),
                }
            }
            Self::Deflate(_, true) | Self::Brotli(_, true) | Self::Zstd(_, true) => Ok(Vec::new()),
            Self::Deflate(decoder, done) => {
                // What it has taken in may make more than what was asked for.
                let decoder = decoder.as_mut().ok_or_else(bad)?;
                let mut out = Vec::with_capacity(PIECE_BYTES);
                let status = decoder.decompress_vec(&[], &mut out, FlushDecompress::Finish);
                // It says so when there is nothing to be done.
                *done = matches!(status, Ok(Status::StreamEnd));
                if out.is_empty() && !*done { Err(bad()) } else { Ok(out) }
            }
            Self::Brotli(..) | Self::Zstd(..) => {
                let piece = self.step(&mut &[][..])?;
                if piece.is_empty() && !matches!(self, Self::Brotli(_, true) | Self::Zstd(_, true)) {
                    return Err(bad());
                }
                Ok(piece)
            }
        }
    }
}

fn write(input: &mut &[u8], write: impl FnOnce(&[u8]) -> io::Result<usize>) -> Result<(), Fault> {
    match write(input) {
        // It takes no more: the stream has ended, and something stands behind it.
        Ok(0) if !input.is_empty() => Err(bad()),
        Ok(taken) => {
            *input = &input[taken..];
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(_) => Err(bad()),
    }
}

fn take(sink: &mut Sink) -> Vec<u8> {
    std::mem::replace(&mut sink.0, Vec::with_capacity(PIECE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        use flate2::Compression;
        match encoding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).expect("memory");
                encoder.finish().expect("memory")
            }
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(bytes).expect("memory");
                encoder.finish().expect("memory")
            }
            "br" => {
                let mut out = Vec::new();
                brotli::BrotliCompress(
                    &mut &bytes[..],
                    &mut out,
                    &brotli::enc::BrotliEncoderParams::default(),
                )
                .expect("memory");
                out
            }
            _ => zstd::stream::encode_all(bytes, 3).expect("memory"),
        }
    }

    /// Fed `piece` bytes at a time.
    fn decoded(encoding: &str, bytes: &[u8], piece: usize) -> Result<Vec<u8>, Fault> {
        let mut decoder = Decoder::of(encoding).expect("a decoder");
        let mut out = Vec::new();
        for mut input in bytes.chunks(piece) {
            loop {
                let before = input.len();
                let made = decoder.step(&mut input)?;
                assert!(made.len() <= PIECE_BYTES);
                out.extend_from_slice(&made);
                if made.is_empty() && (input.is_empty() || input.len() == before) {
                    assert!(input.is_empty(), "{encoding} stands still");
                    break;
                }
            }
        }
        loop {
            let made = decoder.finish()?;
            if made.is_empty() {
                return Ok(out);
            }
            out.extend_from_slice(&made);
        }
    }

    const ENCODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

    #[test]
    fn what_was_compressed_comes_back_however_it_is_cut() {
        let mut text = Vec::new();
        for number in 0u32..40_000 {
            text.extend_from_slice(number.wrapping_mul(2_654_435_761).to_string().as_bytes());
        }
        for encoding in ENCODINGS {
            for bytes in [&b""[..], b"x", &text, &[0; 1 << 20]] {
                let packed = encoded(encoding, bytes);
                for piece in [1, 7, 4096, 1 << 20] {
                    if piece < 4096 && bytes.len() > 1000 {
                        continue;
                    }
                    assert!(
                        decoded(encoding, &packed, piece) == Ok(bytes.to_vec()),
                        "{encoding} {} {piece}",
                        bytes.len()
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_none_is_refused() {
        for encoding in ENCODINGS {
            let packed = encoded(encoding, &b"something that is long enough ".repeat(100));
            assert!(decoded(encoding, &packed[..packed.len() - 3], 64).is_err(), "{encoding} cut");
            assert!(
                decoded(encoding, b"this is no compressed body at all, is it", 64).is_err(),
                "{encoding} none"
            );
        }
        assert!(Decoder::of("identity").is_none() && Decoder::of("aes128gcm").is_none());
    }
}
