//! What kernel and build role say to each other: a greeting, items in one direction, then items in the other. The
//! greeting is what the launcher waits for before it looks at the process from outside.
//!
//! ```text
//! role    Ready
//! kernel  Item(bytes) Data…  Item(bytes) Data…  End        the first is a Job, the others are what it works on
//! role                                               Item(bytes) Data…  End        the answers of that job
//! ```
//! | job | items of the kernel | items of the role |
//! |---|---|---|
//! | `Strip` | `Source`s | a `StripResult` for each |
//! | `Unpack` | pieces of the pack | a `Tree` or a `Refusal`, then files |
//! | `Extract` | pieces of an archive | the same |
//! | `Inspect` | files | a `Plan` or a `Refusal` |
//! | `Bundle` | files, then packages | a `Bundle` or a `Refusal` |
//!
//! Frames are those of [`fazt_ipc::frame`]. Both sides bound what they take before they allocate for it.

use std::io::{Read, Write};

use bytes::Bytes;
use fazt_ipc::frame::{self, Header};
use fazt_ipc::limits::{
    FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES, MODULE_BYTES_MAX, MODULES_BYTES_MAX, MODULES_MAX,
    PATH_BYTES_MAX,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::bundle::Bundle;
use super::inspect::{self, Inspect, Plan};
use super::job::{self, Bundling, Job, Refusal, RepoFile, Tree, Unpack};
use super::limits::{PACKAGE_BYTES_MAX, PACKAGES_BYTES_MAX, PIECE_BYTES_MAX};
use super::{Source, StripResult, archive, pack, packages, strip};

const ITEM: u8 = 1;
const DATA: u8 = 2;
const END: u8 = 3;
const READY: u8 = 4;

/// What one side takes of the other, by job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// One item.
    pub(super) item_bytes: usize,
    /// All items together.
    pub(super) bytes: usize,
    /// How many.
    pub(super) items: usize,
}

/// A script with its path.
const SOURCE_BYTES_MAX: usize = MODULE_BYTES_MAX + PATH_BYTES_MAX + 64;
const SOURCES: Bounds =
    Bounds { item_bytes: SOURCE_BYTES_MAX, bytes: MODULES_BYTES_MAX + SOURCE_BYTES_MAX, items: MODULES_MAX };
/// Stripped code can be longer than its source, and its positions come with it.
const RESULTS: Bounds =
    Bounds { item_bytes: 6 * MODULE_BYTES_MAX, bytes: 4 * MODULES_BYTES_MAX, items: MODULES_MAX };

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
    /// What it was to work on is too large to be sent.
    #[error("{0}")]
    Input(String),
}

/// Puts frames together to items.
struct Assembler {
    buffer: Vec<u8>,
    used: usize,
    item: Option<(usize, Vec<u8>)>,
    left: Bounds,
}

enum Event {
    Item(Vec<u8>),
    End,
}

impl Assembler {
    fn new(bounds: Bounds) -> Self {
        Self { buffer: Vec::new(), used: 0, item: None, left: bounds }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole item, if it is here.
    fn next(&mut self) -> Result<Option<Event>, WireError> {
        while let Some((header, body)) =
            frame::split(&self.buffer[self.used..]).map_err(|_| WireError::Protocol("frame"))?
        {
            self.used += FRAME_HEADER_BYTES + body.len();
            if let Some(found) = take(&mut self.item, header, body, &mut self.left)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn take(
    open: &mut Option<(usize, Vec<u8>)>,
    header: Header,
    body: &[u8],
    left: &mut Bounds,
) -> Result<Option<Event>, WireError> {
    match (header.kind, &mut *open) {
        (ITEM, None) => {
            let bytes: [u8; 4] = body.try_into().map_err(|_| WireError::Protocol("item"))?;
            let bytes = u32::from_le_bytes(bytes) as usize;
            if bytes == 0 || bytes > left.item_bytes || bytes > left.bytes || left.items == 0 {
                return Err(WireError::Protocol("item over its bound"));
            }
            left.bytes -= bytes;
            left.items -= 1;
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

fn head(kind: u8, bytes: usize) -> [u8; FRAME_HEADER_BYTES] {
    // Never over FRAME_BODY_BYTES_MAX: callers chunk.
    Header { body_bytes: bytes as u32, kind, end: false, stream: 0 }.encode()
}

/// An item of two parts, so that a large one is not copied to be put together.
fn write_parts(first: &[u8], second: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let length =
        u32::try_from(first.len() + second.len()).map_err(|_| WireError::Protocol("item over its bound"))?;
    out.extend_from_slice(&head(ITEM, 4));
    out.extend_from_slice(&length.to_le_bytes());
    for chunk in first.chunks(FRAME_BODY_BYTES_MAX).chain(second.chunks(FRAME_BODY_BYTES_MAX)) {
        out.extend_from_slice(&head(DATA, chunk.len()));
        out.extend_from_slice(chunk);
    }
    Ok(())
}

fn write_item<T: Serialize>(item: &T, out: &mut Vec<u8>) -> Result<(), WireError> {
    let bytes = postcard::to_stdvec(item).map_err(|_| WireError::Protocol("item cannot be encoded"))?;
    write_parts(&bytes, &[], out)
}

fn read_item<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(bytes) {
        Ok((item, [])) => Ok(item),
        _ => Err(WireError::Protocol("malformed item")),
    }
}

/// A file is its path, and its bytes behind it as they are.
fn write_file(file: &RepoFile, out: &mut Vec<u8>) -> Result<(), WireError> {
    let path = postcard::to_stdvec(&file.path).map_err(|_| WireError::Protocol("item cannot be encoded"))?;
    write_parts(&path, &file.bytes, out)
}

fn read_file(mut item: Vec<u8>) -> Result<RepoFile, WireError> {
    let (path, rest): (String, _) =
        postcard::take_from_bytes(&item).map_err(|_| WireError::Protocol("malformed item"))?;
    let start = item.len() - rest.len();
    item.drain(..start);
    Ok(RepoFile { path, bytes: item })
}

/// The role's side of the items.
struct Input<'a, S> {
    stream: &'a mut S,
    assembler: Assembler,
    chunk: Vec<u8>,
}

impl<S: Read> Input<'_, S> {
    /// The next item, none at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        loop {
            match self.assembler.next()? {
                Some(Event::Item(item)) => return Ok(Some(item)),
                Some(Event::End) => return Ok(None),
                None => {}
            }
            let bytes = self.stream.read(&mut self.chunk)?;
            if bytes == 0 {
                return Err(WireError::Protocol("closed before the end of the job"));
            }
            self.assembler.push(&self.chunk[..bytes]);
        }
    }

    fn bound(&mut self, bounds: Bounds) {
        self.assembler.left = bounds;
    }
}

/// The role: reads one job, answers it, returns. Called in the jail, after the lock-down.
///
/// # Errors
/// When the socket fails or the job is malformed.
pub fn serve(stream: &mut (impl Read + Write)) -> Result<(), WireError> {
    stream.write_all(&head(READY, 0))?;
    let mut input =
        Input { stream, assembler: Assembler::new(job::JOB), chunk: vec![0; FRAME_BODY_BYTES_MAX] };
    let job = input.next()?.ok_or(WireError::Protocol("no job"))?;
    let mut out = Vec::new();
    match read_item::<Job>(&job)? {
        Job::Strip => {
            input.bound(SOURCES);
            let mut sources: Vec<Source> = Vec::new();
            while let Some(item) = input.next()? {
                sources.push(read_item(&item)?);
            }
            for source in sources {
                write_item(&strip(&source), &mut out)?;
                input.stream.write_all(&out)?;
                out.clear();
            }
        }
        Job::Unpack(unpack) => {
            input.bound(job::PACK);
            let mut bytes = Vec::new();
            while let Some(piece) = input.next()? {
                bytes.extend_from_slice(&piece);
            }
            answer_files(input.stream, pack::unpack(&bytes, &unpack))?;
        }
        Job::Extract => {
            input.bound(job::PACK);
            let mut bytes = Vec::new();
            while let Some(piece) = input.next()? {
                bytes.extend_from_slice(&piece);
            }
            let files = archive::app(&bytes).map(|files| {
                let count = files.len() as u32;
                (Tree { tree: String::new(), committed_unix_s: 0, files: count }, files)
            });
            answer_files(input.stream, files)?;
        }
        Job::Inspect(job) => {
            input.bound(job::FILES);
            let mut files = Vec::new();
            while let Some(item) = input.next()? {
                files.push(read_file(item)?);
            }
            write_item(&shortly(inspect::inspect(&job, files)), &mut out)?;
            input.stream.write_all(&out)?;
        }
        Job::Bundle { files: count, bundling } => {
            input.bound(job::MATERIAL);
            let (mut files, mut packages) = (Vec::new(), Vec::new());
            while let Some(item) = input.next()? {
                if files.len() < count as usize {
                    files.push(read_file(item)?);
                } else {
                    packages.push(item);
                }
            }
            write_item(&shortly(packages::bundle(&bundling, files, packages)), &mut out)?;
            input.stream.write_all(&out)?;
        }
    }
    stream.write_all(&head(END, 0))?;
    stream.flush()?;
    Ok(())
}

/// A refusal within its bound.
fn shortly<T>(outcome: Result<T, Refusal>) -> Result<T, Refusal> {
    outcome.map_err(|refusal| Refusal(refusal.shown()))
}

fn answer_files<T: Serialize>(
    stream: &mut impl Write,
    outcome: Result<(T, Vec<RepoFile>), Refusal>,
) -> Result<(), WireError> {
    let mut out = Vec::new();
    let (head, files) = match shortly(outcome) {
        Ok((head, files)) => (Ok(head), files),
        Err(refusal) => (Err(refusal), Vec::new()),
    };
    write_item(&head, &mut out)?;
    stream.write_all(&out)?;
    for file in files {
        out.clear();
        write_file(&file, &mut out)?;
        stream.write_all(&out)?;
    }
    Ok(())
}

/// The kernel's side of the answers.
struct Answers<'a, S> {
    stream: &'a mut S,
    assembler: Assembler,
    chunk: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Answers<'a, S> {
    /// Waits for the greeting and sends the job.
    async fn begin(stream: &'a mut S, job: &Job, bounds: Bounds) -> Result<Self, WireError> {
        let mut greeting = head(END, 0);
        stream.read_exact(&mut greeting).await?;
        if greeting != head(READY, 0) {
            return Err(WireError::Protocol("no greeting"));
        }
        let mut out = Vec::new();
        write_item(job, &mut out)?;
        stream.write_all(&out).await?;
        Ok(Self { stream, assembler: Assembler::new(bounds), chunk: vec![0; FRAME_BODY_BYTES_MAX] })
    }

    async fn sent(&mut self) -> Result<(), WireError> {
        self.stream.write_all(&head(END, 0)).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next event; none when the process is gone.
    async fn next(&mut self) -> Result<Option<Event>, WireError> {
        loop {
            if let Some(event) = self.assembler.next()? {
                return Ok(Some(event));
            }
            let bytes = self.stream.read(&mut self.chunk).await?;
            if bytes == 0 {
                return Ok(None);
            }
            self.assembler.push(&self.chunk[..bytes]);
        }
    }

    async fn item(&mut self) -> Result<Vec<u8>, WireError> {
        match self.next().await? {
            Some(Event::Item(item)) => Ok(item),
            Some(Event::End) => Err(WireError::Protocol("answers are missing")),
            None => Err(WireError::Protocol("closed before the end of its answer")),
        }
    }

    async fn end(&mut self) -> Result<(), WireError> {
        match self.next().await? {
            Some(Event::End) => Ok(()),
            Some(Event::Item(_)) => Err(WireError::Protocol("more answers than were announced")),
            None => Err(WireError::Protocol("closed before the end of its answer")),
        }
    }
}

/// The kernel's side of stripping: takes the answers in the order of the sources. Sets no deadline: the
/// caller has one, and kills the process.
///
/// # Errors
/// When the process is gone or its answer is malformed.
pub async fn converse<S>(stream: &mut S, sources: &[Source]) -> Result<Vec<StripResult>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answers = Answers::begin(stream, &Job::Strip, RESULTS).await?;
    let mut out = Vec::new();
    for source in sources {
        write_item(source, &mut out)?;
        answers.stream.write_all(&out).await?;
        out.clear();
    }
    answers.sent().await?;
    drop(out);
    let mut results: Vec<StripResult> = Vec::with_capacity(sources.len());
    loop {
        match answers.next().await? {
            // Answers come in order, so the one that is missing is the one it died of.
            None => {
                return Err(match sources.get(results.len()) {
                    Some(source) => WireError::Ended(source.path.clone()),
                    None => WireError::Protocol("closed before the end of its answer"),
                });
            }
            Some(Event::Item(_)) if results.len() == sources.len() => {
                return Err(WireError::Protocol("more answers than scripts"));
            }
            Some(Event::Item(item)) => results.push(read_item(&item)?),
            Some(Event::End) if results.len() == sources.len() => return Ok(results),
            Some(Event::End) => return Err(WireError::Protocol("answers are missing")),
        }
    }
}

/// The kernel's side of unpacking: sends the pack, in the pieces in which it came, takes the files. Sets no deadline.
/// The files are as many as announced; their paths are whatever the jail says.
///
/// # Errors
/// When the pack is too large, when the process is gone, or its answer is malformed. A pack that is refused is the
/// inner error.
pub async fn unpack<S>(
    stream: &mut S,
    job: &Unpack,
    pack: &[Bytes],
) -> Result<Result<(Tree, Vec<RepoFile>), Refusal>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answers = Answers::begin(stream, &Job::Unpack(job.clone()), job::FILES).await?;
    send_pieces(answers.stream, pack, job::PACK).await?;
    answers.sent().await?;
    take_files(&mut answers, |tree: &Tree| tree.files).await
}

/// The kernel's side of extracting an archive, in the pieces in which it came. Sets no deadline. Paths are whatever the
/// jail says.
///
/// # Errors
/// As those of [`unpack`].
pub async fn extract<S>(
    stream: &mut S,
    archive: &[Bytes],
) -> Result<Result<Vec<RepoFile>, Refusal>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answers = Answers::begin(stream, &Job::Extract, job::FILES).await?;
    send_pieces(answers.stream, archive, job::PACK).await?;
    answers.sent().await?;
    let answer = take_files(&mut answers, |tree: &Tree| tree.files).await?;
    Ok(answer.map(|(_, files)| files))
}

/// The kernel's side of looking at a repository. Sets no deadline. The plan is whatever the jail says.
///
/// # Errors
/// When the process is gone, or its answer is malformed. What is wrong with the repository is the inner error.
pub async fn inspect<S>(
    stream: &mut S,
    job: &Inspect,
    files: &[RepoFile],
) -> Result<Result<Plan, Refusal>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answers = Answers::begin(stream, &Job::Inspect(job.clone()), job::PLAN).await?;
    send_files(answers.stream, files).await?;
    answers.sent().await?;
    let plan = read_item(&answers.item().await?)?;
    answers.end().await?;
    Ok(plan)
}

/// The kernel's side of bundling; `packages` in the order of their places. Sets no deadline.
///
/// # Errors
/// When the packages are too large, when the process is gone, or its answer is malformed. What is wrong with the
/// scripts or packages is the inner error.
pub async fn bundle<S>(
    stream: &mut S,
    bundling: &Bundling,
    files: &[RepoFile],
    packages: &[Bytes],
) -> Result<Result<Bundle, Refusal>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if packages.len() != bundling.packages.len()
        || packages.iter().any(|package| package.is_empty() || package.len() > PACKAGE_BYTES_MAX)
        || packages.iter().map(Bytes::len).sum::<usize>() > PACKAGES_BYTES_MAX
    {
        let (one, all) = (PACKAGE_BYTES_MAX >> 20, PACKAGES_BYTES_MAX >> 20);
        let why = format!("a package has more than {one} MiB, or all have more than {all} MiB, packed");
        return Err(WireError::Input(why));
    }
    let job = Job::Bundle { files: files.len() as u32, bundling: bundling.clone() };
    let mut answers = Answers::begin(stream, &job, job::BUNDLE).await?;
    send_files(answers.stream, files).await?;
    let mut out = Vec::new();
    for package in packages {
        out.clear();
        write_parts(package, &[], &mut out)?;
        answers.stream.write_all(&out).await?;
    }
    drop(out);
    answers.sent().await?;
    let bundle = read_item(&answers.item().await?)?;
    answers.end().await?;
    Ok(bundle)
}

async fn send_files<S>(stream: &mut S, files: &[RepoFile]) -> Result<(), WireError>
where
    S: AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    for file in files {
        out.clear();
        write_file(file, &mut out)?;
        stream.write_all(&out).await?;
    }
    Ok(())
}

/// Sends bytes in pieces of one size, whatever they came in.
async fn send_pieces<S>(stream: &mut S, chunks: &[Bytes], bounds: Bounds) -> Result<(), WireError>
where
    S: AsyncWrite + Unpin,
{
    if chunks.iter().map(Bytes::len).sum::<usize>() > bounds.bytes {
        return Err(WireError::Input(format!("more than {} MiB, packed", bounds.bytes >> 20)));
    }
    let mut piece = Vec::with_capacity(PIECE_BYTES_MAX);
    let mut out = Vec::new();
    for mut chunk in chunks.iter().map(|chunk| &chunk[..]) {
        while !chunk.is_empty() {
            let some = chunk.len().min(PIECE_BYTES_MAX - piece.len());
            piece.extend_from_slice(&chunk[..some]);
            chunk = &chunk[some..];
            if piece.len() == PIECE_BYTES_MAX {
                out.clear();
                write_parts(&piece, &[], &mut out)?;
                stream.write_all(&out).await?;
                piece.clear();
            }
        }
    }
    if !piece.is_empty() {
        out.clear();
        write_parts(&piece, &[], &mut out)?;
        stream.write_all(&out).await?;
    }
    Ok(())
}

/// Takes what was announced and the files behind it, or the refusal.
async fn take_files<S, T>(
    answers: &mut Answers<'_, S>,
    count: impl Fn(&T) -> u32,
) -> Result<Result<(T, Vec<RepoFile>), Refusal>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: DeserializeOwned,
{
    let announced: Result<T, Refusal> = read_item(&answers.item().await?)?;
    let announced = match announced {
        Ok(announced) => announced,
        Err(refusal) => {
            answers.end().await?;
            return Ok(Err(refusal));
        }
    };
    let mut files = Vec::new();
    for _ in 0..count(&announced) {
        files.push(read_file(answers.item().await?)?);
    }
    answers.end().await?;
    Ok(Ok((announced, files)))
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
