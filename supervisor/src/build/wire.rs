//! What kernel and build role say to each other: a greeting, items in one direction, then items in the other. The
//! greeting is what the launcher waits for before it looks at the process from outside.
//!
//! ```text
//! role    Ready
//! kernel  Item(bytes) Data…  Item(bytes) Data…  End        each item is a Source
//! role                                               Item(bytes) Data…  End        each item is a StripResult
//! ```
//! Frames are those of [`fazt_ipc::frame`]. Both sides bound what they take before they allocate for it.

use std::io::{Read, Write};

use fazt_ipc::frame::{self, Header};
use fazt_ipc::limits::{
    FRAME_BODY_BYTES_MAX, MODULE_BYTES_MAX, MODULES_BYTES_MAX, MODULES_MAX, PATH_BYTES_MAX,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Source, StripResult, strip};

const ITEM: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;
const READY: u8 = 4;

/// A script with its path.
const SOURCE_BYTES_MAX: usize = MODULE_BYTES_MAX + PATH_BYTES_MAX + 64;
/// Stripped code can be longer than its source, and its positions come with it.
const RESULT_BYTES_MAX: usize = 6 * MODULE_BYTES_MAX;
/// All answers to one job.
const RESULTS_BYTES_MAX: usize = 4 * MODULES_BYTES_MAX;

/// The other side does not keep to the protocol, or is gone.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed or closed.
    #[error("the build socket: {0}")]
    Io(#[from] std::io::Error),
    /// Not what may be said here.
    #[error("the build process broke the protocol: {0}")]
    Protocol(&'static str),
    /// The process ended in the middle of its work.
    #[error("the build process ended while it looked at `{0}`; is that script very deeply nested?")]
    Ended(String),
}

/// Puts frames together to items.
struct Assembler {
    buffer: Vec<u8>,
    item: Option<(usize, Vec<u8>)>,
    item_bytes_max: usize,
    bytes_left: usize,
    items_left: usize,
}

enum Event {
    Item(Vec<u8>),
    End,
}

impl Assembler {
    fn new(item_bytes_max: usize, bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            item: None,
            item_bytes_max,
            bytes_left: bytes_max,
            items_left: MODULES_MAX,
        }
    }

    fn push(
        &mut self,
        bytes: &[u8],
        mut event: impl FnMut(Event) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        self.buffer.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((header, body)) =
            frame::split(&self.buffer[used..]).map_err(|_| WireError::Protocol("frame"))?
        {
            used += fazt_ipc::limits::FRAME_HEADER_BYTES + body.len();
            if let Some(found) = take(
                &mut self.item,
                header,
                body,
                self.item_bytes_max,
                &mut self.bytes_left,
                &mut self.items_left,
            )? {
                event(found)?;
            }
        }
        self.buffer.drain(..used);
        Ok(())
    }
}

fn take(
    open: &mut Option<(usize, Vec<u8>)>,
    header: Header,
    body: &[u8],
    item_bytes_max: usize,
    bytes_left: &mut usize,
    items_left: &mut usize,
) -> Result<Option<Event>, WireError> {
    match (header.kind, &mut *open) {
        (ITEM, None) => {
            let bytes: [u8; 4] = body.try_into().map_err(|_| WireError::Protocol("item"))?;
            let bytes = u32::from_le_bytes(bytes) as usize;
            if bytes == 0 || bytes > item_bytes_max || bytes > *bytes_left || *items_left == 0 {
                return Err(WireError::Protocol("item over its bound"));
            }
            *bytes_left -= bytes;
            *items_left -= 1;
            *open = Some((bytes, Vec::new()));
            Ok(None)
        }
        (DATA, Some((bytes, item))) if !body.is_empty() && item.len() + body.len() <= *bytes => {
            item.extend_from_slice(body);
            if item.len() < *bytes {
                return Ok(None);
            }
            Ok(open.take().map(|(_, item)| Event::Item(item)))
        }
        (END, None) if body.is_empty() => Ok(Some(Event::End)),
        _ => Err(WireError::Protocol("unexpected frame")),
    }
}

fn head(kind: u8, bytes: usize) -> [u8; fazt_ipc::limits::FRAME_HEADER_BYTES] {
    // Never over FRAME_BODY_BYTES_MAX: callers chunk.
    Header { body_bytes: bytes as u32, kind, end: false, stream: 0 }.encode()
}

fn write_item<T: Serialize>(item: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    let bytes = postcard::to_stdvec(item).map_err(|_| WireError::Protocol("item cannot be encoded"))?;
    let length = u32::try_from(bytes.len()).map_err(|_| WireError::Protocol("item over its bound"))?;
    out.extend_from_slice(&head(ITEM, 4));
    out.extend_from_slice(&length.to_le_bytes());
    for chunk in bytes.chunks(FRAME_BODY_BYTES_MAX) {
        out.extend_from_slice(&head(DATA, chunk.len()));
        out.extend_from_slice(chunk);
    }
    Ok(())
}

fn read_item<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(bytes) {
        Ok((item, [])) => Ok(item),
        _ => Err(WireError::Protocol("malformed item")),
    }
}

/// The role: reads one job, answers it, returns. Called in the jail, after the lock-down.
///
/// # Errors
/// When the socket fails or the job is malformed.
pub fn serve(stream: &mut (impl Read + Write)) -> Result<(), WireError> {
    let mut sources: Vec<Source> = Vec::new();
    let mut assembler = Assembler::new(SOURCE_BYTES_MAX, MODULES_BYTES_MAX + SOURCE_BYTES_MAX);
    let mut chunk = vec![0; FRAME_BODY_BYTES_MAX];
    let mut end = false;
    stream.write_all(&head(READY, 0))?;
    while !end {
        let bytes = stream.read(&mut chunk)?;
        if bytes == 0 {
            return Err(WireError::Protocol("closed before the end of the job"));
        }
        assembler.push(&chunk[..bytes], |event| {
            match event {
                Event::Item(item) => sources.push(read_item(&item)?),
                Event::End => end = true,
            }
            Ok(())
        })?;
    }
    let mut out = Vec::new();
    for source in sources {
        write_item(&strip(&source), &mut out)?;
        stream.write_all(&out)?;
        out.clear();
    }
    stream.write_all(&head(END, 0))?;
    stream.flush()?;
    Ok(())
}

/// The kernel's side: sends one job, takes the answers in the order of the sources. Sets no deadline: the
/// caller has one, and kills the process.
///
/// # Errors
/// When the process is gone or its answer is malformed.
pub async fn converse<S>(stream: &mut S, sources: &[Source]) -> Result<Vec<StripResult>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut greeting = head(END, 0);
    stream.read_exact(&mut greeting).await?;
    if greeting != head(READY, 0) {
        return Err(WireError::Protocol("no greeting"));
    }
    let mut out = Vec::new();
    for source in sources {
        write_item(source, &mut out)?;
        stream.write_all(&out).await?;
        out.clear();
    }
    stream.write_all(&head(END, 0)).await?;
    stream.flush().await?;
    drop(out);
    let mut results: Vec<StripResult> = Vec::with_capacity(sources.len());
    let mut assembler = Assembler::new(RESULT_BYTES_MAX, RESULTS_BYTES_MAX);
    let mut chunk = vec![0; FRAME_BODY_BYTES_MAX];
    let mut end = false;
    while !end {
        let bytes = stream.read(&mut chunk).await?;
        if bytes == 0 {
            // Answers come in order, so the one that is missing is the one it died of.
            return Err(match sources.get(results.len()) {
                Some(source) => WireError::Ended(source.path.clone()),
                None => WireError::Protocol("closed before the end of its answer"),
            });
        }
        assembler.push(&chunk[..bytes], |event| {
            match event {
                Event::Item(_) if results.len() == sources.len() => {
                    return Err(WireError::Protocol("more answers than scripts"));
                }
                Event::Item(item) => results.push(read_item(&item)?),
                Event::End => end = true,
            }
            Ok(())
        })?;
    }
    if results.len() == sources.len() { Ok(results) } else { Err(WireError::Protocol("answers are missing")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_and_its_answers_survive_the_socket() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().expect("socket pair");
        let role = std::thread::spawn(move || serve(&mut theirs));
        ours.set_nonblocking(true).expect("socket");
        let mut ours = tokio::net::UnixStream::from_std(ours).expect("socket");
        let big = format!("export const a: string = \"{}\";", "x".repeat(200_000));
        let sources = [
            Source { path: "big.ts".into(), text: big, ..Source::default() },
            Source { path: "bad.ts".into(), text: "let = 1 =".into(), ..Source::default() },
            Source { path: "a.js".into(), text: "import './b.js'".into(), ..Source::default() },
        ];
        let results = converse(&mut ours, &sources).await.expect("answers");
        assert!(results[0].as_ref().is_ok_and(|stripped| stripped.code.len() > 200_000));
        assert!(results[1].is_err());
        assert!(results[2].as_ref().is_ok_and(|stripped| stripped.imports == ["./b.js"]));
        role.join().expect("role").expect("job");
    }

    #[tokio::test]
    async fn a_jail_that_answers_nonsense_is_refused() {
        let answers: [&[u8]; 5] = [
            b"",
            &[0xff; 64],
            &head(END, 0),
            &[&head(ITEM, 4)[..], &u32::MAX.to_le_bytes()].concat(),
            &[&head(ITEM, 4)[..], &1u32.to_le_bytes(), &head(DATA, 1), &[9], &head(END, 0)].concat(),
        ];
        for answer in answers {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
            theirs.write_all(&head(READY, 0)).await.expect("room");
            theirs.write_all(answer).await.expect("room");
            theirs.shutdown().await.expect("open");
            let source = Source { path: "a.js".into(), text: "1".into(), ..Source::default() };
            let error = converse(&mut ours, &[source]).await;
            assert!(error.is_err(), "{answer:?}");
            if answer.is_empty() {
                assert!(matches!(error, Err(WireError::Ended(path)) if path == "a.js"));
            }
        }
    }
}
