//! Streaming deflate and inflate with the zlib and gzip envelopes.
//!
//! Compressed input is hostile: what comes out leaves in blocks of bounded size, each allocated on the
//! JavaScript heap and so under its limit, which is what ends a decompression bomb.

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use rquickjs::{Class, Ctx, Exception, Function, Object, Result, TypedArray, Value};

use crate::engine::Charge;
use crate::limits::{GZIP_HEADER_BYTES_MAX, INFLATE_BLOCK_BYTES};
use crate::sys::{Held, with_bytes};

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("deflater", Function::new(ctx.clone(), deflater)?)?;
    natives.set("inflater", Function::new(ctx.clone(), inflater)?)?;
    natives.set("deflate", Function::new(ctx.clone(), deflate)?)?;
    natives.set("inflate", Function::new(ctx.clone(), inflate)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Gzip,
    Zlib,
    Raw,
}

fn format(ctx: &Ctx<'_>, name: &str) -> Result<Format> {
    match name {
        "gzip" => Ok(Format::Gzip),
        "deflate" => Ok(Format::Zlib),
        "deflate-raw" => Ok(Format::Raw),
        _ => Err(Exception::throw_type(ctx, "there is no such compression format")),
    }
}

/// Memory of a compressor: window, hash chains, pending output.
const DEFLATER_BYTES: usize = 320 << 10;
/// Memory of a decompressor: its window and tables.
const INFLATER_BYTES: usize = 48 << 10;

struct Deflater {
    _charge: Charge,
    format: Format,
    codec: Compress,
    crc: Crc,
    started: bool,
}

fn deflater<'js>(ctx: Ctx<'js>, name: String) -> Result<Class<'js, Held<Deflater>>> {
    let format = format(&ctx, &name)?;
    let charge = Charge::new(&ctx, DEFLATER_BYTES)?;
    let codec = Compress::new(Compression::default(), format == Format::Zlib);
    Class::instance(ctx, Held(Deflater { _charge: charge, format, codec, crc: Crc::new(), started: false }))
}

/// Compresses a piece; `emit` is called with each block that is ready.
fn deflate<'js>(
    ctx: Ctx<'js>,
    state: Class<'js, Held<Deflater>>,
    input: Value<'js>,
    last: bool,
    emit: Function<'js>,
) -> Result<()> {
    let input = with_bytes(&input, <[u8]>::to_vec).unwrap_or_default();
    let mut out = Vec::with_capacity(INFLATE_BLOCK_BYTES);
    let mut blocks = Vec::new();
    {
        let mut state = state.try_borrow_mut()?;
        let state = &mut state.0;
        if state.format == Format::Gzip && !state.started {
            // No name, no time, unknown system.
            out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        }
        state.started = true;
        if state.format == Format::Gzip {
            state.crc.update(&input);
        }
        let mut rest = &input[..];
        loop {
            let before = state.codec.total_in();
            let flush = if last { FlushCompress::Finish } else { FlushCompress::None };
            let status = state
                .codec
                .compress_vec(rest, &mut out, flush)
                .map_err(|_| Exception::throw_type(&ctx, "the data cannot be compressed"))?;
            rest = &rest[(state.codec.total_in() - before) as usize..];
            if status == Status::StreamEnd || (!last && rest.is_empty() && out.len() < out.capacity()) {
                break;
            }
            if out.len() == out.capacity() {
                blocks.push(std::mem::replace(&mut out, Vec::with_capacity(INFLATE_BLOCK_BYTES)));
            }
        }
        if last && state.format == Format::Gzip {
            out.extend_from_slice(&state.crc.sum().to_le_bytes());
            out.extend_from_slice(&state.crc.amount().to_le_bytes());
        }
        blocks.push(out);
    }
    for block in blocks.into_iter().filter(|block| !block.is_empty()) {
        emit.call::<_, ()>((TypedArray::new_copy(ctx.clone(), block)?,))?;
    }
    Ok(())
}

/// Where an inflater is in its input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Body,
    Trailer,
    End,
}

struct Inflater {
    _charge: Charge,
    format: Format,
    codec: Decompress,
    crc: Crc,
    at: At,
    /// Bytes of a gzip header or trailer that is not whole yet.
    kept: Vec<u8>,
}

fn inflater<'js>(ctx: Ctx<'js>, name: String) -> Result<Class<'js, Held<Inflater>>> {
    let format = format(&ctx, &name)?;
    let at = if format == Format::Gzip { At::Header } else { At::Body };
    let charge = Charge::new(&ctx, INFLATER_BYTES)?;
    let codec = Decompress::new(format == Format::Zlib);
    Class::instance(ctx, Held(Inflater { _charge: charge, format, codec, crc: Crc::new(), at, kept: Vec::new() }))
}

/// Decompresses a piece; `emit` is called with each block. Gives nothing, or what is wrong with the data.
fn inflate<'js>(
    ctx: Ctx<'js>,
    state: Class<'js, Held<Inflater>>,
    input: Value<'js>,
    last: bool,
    emit: Function<'js>,
) -> Result<Option<&'static str>> {
    let input = with_bytes(&input, <[u8]>::to_vec).unwrap_or_default();
    let mut rest = &input[..];
    let mut out = Vec::with_capacity(INFLATE_BLOCK_BYTES);
    loop {
        // The state is borrowed per step and never across `emit`, which is JavaScript.
        let step = state.try_borrow_mut()?.0.step(&mut rest, &mut out);
        if !out.is_empty() {
            emit.call::<_, ()>((TypedArray::new_copy(ctx.clone(), &out)?,))?;
            out.clear();
        }
        match step {
            Step::More => {}
            Step::Hungry => break,
            Step::Bad(why) => return Ok(Some(why)),
        }
    }
    let at = state.try_borrow()?.0.at;
    Ok((last && at != At::End).then_some("the compressed data ends too early"))
}

enum Step {
    More,
    Hungry,
    Bad(&'static str),
}

impl Inflater {
    fn step(&mut self, rest: &mut &[u8], out: &mut Vec<u8>) -> Step {
        match self.at {
            At::Header => {
                let before = self.kept.len();
                self.kept.extend_from_slice(rest);
                match gzip_header(&self.kept) {
                    Header::Whole(length) => {
                        // It was not whole before, so it ends within this piece.
                        *rest = &rest[length - before..];
                        self.kept.clear();
                        self.at = At::Body;
                        Step::More
                    }
                    Header::Partial if self.kept.len() > GZIP_HEADER_BYTES_MAX => {
                        Step::Bad("the gzip header is too long")
                    }
                    Header::Partial => {
                        *rest = &[];
                        Step::Hungry
                    }
                    Header::Bad => Step::Bad("the data is not gzip"),
                }
            }
            At::Body => self.body(rest, out),
            At::Trailer => {
                let take = (8 - self.kept.len()).min(rest.len());
                self.kept.extend_from_slice(&rest[..take]);
                *rest = &rest[take..];
                let Some(trailer) = self.kept.first_chunk::<8>() else { return Step::Hungry };
                let mut expected = [0; 8];
                expected[..4].copy_from_slice(&self.crc.sum().to_le_bytes());
                expected[4..].copy_from_slice(&self.crc.amount().to_le_bytes());
                if *trailer != expected {
                    return Step::Bad("the gzip checksum does not match");
                }
                self.at = At::End;
                Step::More
            }
            At::End if rest.is_empty() => Step::Hungry,
            At::End => Step::Bad("there is data after the end of the compressed data"),
        }
    }

    fn body(&mut self, rest: &mut &[u8], out: &mut Vec<u8>) -> Step {
        let before = self.codec.total_in();
        let status = self.codec.decompress_vec(rest, out, FlushDecompress::None);
        let read = (self.codec.total_in() - before) as usize;
        *rest = &rest[read..];
        if self.format == Format::Gzip {
            self.crc.update(out);
        }
        match status {
            Ok(Status::StreamEnd) => {
                self.at = if self.format == Format::Gzip { At::Trailer } else { At::End };
                Step::More
            }
            Ok(_) if out.len() == out.capacity() => Step::More,
            Ok(_) if rest.is_empty() || (read == 0 && out.is_empty()) => Step::Hungry,
            Ok(_) => Step::More,
            Err(_) => Step::Bad("the compressed data is not valid"),
        }
    }
}

enum Header {
    Whole(usize),
    Partial,
    Bad,
}

/// RFC 1952, section 2.3.
fn gzip_header(bytes: &[u8]) -> Header {
    if !b"\x1f\x8b\x08".starts_with(&bytes[..bytes.len().min(3)]) {
        return Header::Bad;
    }
    let Some(flags) = bytes.get(3).copied() else { return Header::Partial };
    if flags & 0xe0 != 0 {
        return Header::Bad;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(length) = bytes.get(at..at + 2) else { return Header::Partial };
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let Some(end) = bytes.get(at..).and_then(|name| name.iter().position(|byte| *byte == 0)) else {
                return Header::Partial;
            };
            at += end + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if at <= bytes.len() { Header::Whole(at) } else { Header::Partial }
}
