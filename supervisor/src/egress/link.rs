//! The socket to the kernel: frames in, frames out, and what each stream may still send.
//!
//! ```text
//! frame ─▶ Link::take ─▶ task of its stream ─▶ outbox ─▶ socket
//! ```
//! What waits in the outbox is bounded by credit: 128 KiB for each stream, and a few small frames.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fazt_ipc::egress::limits::{CREDIT_BYTES, STREAMS_MAX};
use fazt_ipc::egress::{Fault, FaultKind, FromEgress, Head, Malformed, Request, ToEgress, Use};
use fazt_ipc::frame::Header;
use fazt_ipc::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// Whoever carries requests out.
pub(super) trait Carrier: Send + Sync + 'static {
    /// Carries a request out, to its last word.
    fn carry(
        self: Arc<Self>,
        request: Box<Request>,
        stream: Stream,
    ) -> impl Future<Output = Result<Use, Fault>> + Send;
}

/// A request's end of the socket.
pub(super) struct Stream {
    id: u32,
    link: Arc<Link>,
    window: Arc<Semaphore>,
    /// What follows the request; none: nothing does.
    pub(super) body: Option<Incoming>,
}

/// The body of a request will never be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BrokenOff;

/// The body of a request as it comes.
pub(super) struct Incoming {
    id: u32,
    link: Arc<Link>,
    /// Pieces, then that there are no more. That nobody can send any is no end.
    pieces: mpsc::UnboundedReceiver<Option<Bytes>>,
    /// Taken, and not granted again.
    owed: u32,
    begun: bool,
}

struct Open {
    window: Arc<Semaphore>,
    /// Bytes that the kernel may still send; the way to who takes them. None: it has said that was all.
    body: Option<(u32, mpsc::UnboundedSender<Option<Bytes>>)>,
    task: Option<AbortHandle>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u32, Open>,
    last: u32,
}

/// Every stream.
pub(super) struct Link {
    table: Mutex<Table>,
    out: mpsc::UnboundedSender<Vec<u8>>,
}

/// Serves the kernel until it closes the socket.
///
/// # Errors
/// When it does not keep to the protocol.
pub(super) async fn serve(socket: UnixStream, carrier: Arc<impl Carrier>) -> Result<(), Malformed> {
    let (mut from, to) = socket.into_split();
    let (out, outbox) = mpsc::unbounded_channel();
    let link = Arc::new(Link { table: Mutex::default(), out });
    let writing = tokio::spawn(write(to, outbox));
    let mut body = Vec::new();
    let outcome = loop {
        match read(&mut from, &mut body).await {
            None => break Ok(()),
            Some(Err(malformed)) => break Err(malformed),
            Some(Ok(header)) => match ToEgress::decode(header, &body) {
                Ok(word) => match link.take(header, word, &carrier) {
                    Ok(()) => {}
                    Err(malformed) => break Err(malformed),
                },
                Err(malformed) => break Err(malformed),
            },
        }
    };
    writing.abort();
    outcome
}

/// The next frame; none: the kernel has gone.
async fn read(from: &mut OwnedReadHalf, body: &mut Vec<u8>) -> Option<Result<Header, Malformed>> {
    let mut head = [0; FRAME_HEADER_BYTES];
    from.read_exact(&mut head).await.ok()?;
    let Ok(header) = Header::decode(&head) else { return Some(Err(Malformed("a malformed header"))) };
    body.resize(header.body_bytes as usize, 0);
    from.read_exact(body).await.ok()?;
    Some(Ok(header))
}

async fn write(mut to: OwnedWriteHalf, mut outbox: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut frames) = outbox.recv().await {
        while frames.len() < FRAME_BODY_BYTES_MAX
            && let Ok(more) = outbox.try_recv()
        {
            frames.extend_from_slice(&more);
        }
        if to.write_all(&frames).await.is_err() {
            // The kernel has gone; whoever reads learns it.
            return;
        }
    }
}

impl Link {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, id: u32, word: &FromEgress<'_>) {
        let mut frame = Vec::new();
        let encoded = word.encode(id, &mut frame);
        // Everything that is said was bounded where it was made.
        debug_assert!(encoded.is_ok(), "{word:?}");
        // Nobody is there any more: the process is about to end.
        let _ = self.out.send(frame);
    }

    fn take(
        self: &Arc<Self>,
        header: Header,
        word: ToEgress<'_>,
        carrier: &Arc<impl Carrier>,
    ) -> Result<(), Malformed> {
        let id = header.stream;
        if let ToEgress::Request(request) = word {
            return self.begin(id, request, header.end, carrier);
        }
        let mut table = self.table();
        if id > table.last {
            return Err(Malformed("a stream that was never begun"));
        }
        let Some(open) = table.open.get_mut(&id) else { return Ok(()) };
        match word {
            ToEgress::Request(_) => {}
            ToEgress::Body(bytes) => {
                let (left, sender) = open.body.as_mut().ok_or(Malformed("a body after its end"))?;
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                *left = left.checked_sub(length).ok_or(Malformed("a body without credit"))?;
                if !bytes.is_empty() {
                    let _ = sender.send(Some(Bytes::copy_from_slice(bytes)));
                }
                if header.end {
                    let _ = sender.send(None);
                    open.body = None;
                }
            }
            ToEgress::Credit(bytes) => {
                if open.window.available_permits() + bytes as usize > CREDIT_BYTES as usize {
                    return Err(Malformed("credit over its bound"));
                }
                open.window.add_permits(bytes as usize);
            }
            ToEgress::Cancel => {
                if let Some(task) = table.open.remove(&id).and_then(|open| open.task) {
                    task.abort();
                }
                drop(table);
                self.say(id, &FromEgress::Failed(Fault::new(FaultKind::Cancelled, "it was given up")));
            }
        }
        Ok(())
    }

    fn begin(
        self: &Arc<Self>,
        id: u32,
        request: Box<Request>,
        bare: bool,
        carrier: &Arc<impl Carrier>,
    ) -> Result<(), Malformed> {
        let window = Arc::new(Semaphore::new(CREDIT_BYTES as usize));
        let (sender, pieces) = mpsc::unbounded_channel();
        {
            let mut table = self.table();
            if id <= table.last {
                return Err(Malformed("a stream that was begun before"));
            }
            if table.open.len() >= STREAMS_MAX {
                return Err(Malformed("too many streams"));
            }
            table.last = id;
            let body = (!bare).then_some((0, sender));
            table.open.insert(id, Open { window: Arc::clone(&window), body, task: None });
        }
        let incoming = Incoming { id, link: Arc::clone(self), pieces, owed: CREDIT_BYTES, begun: false };
        let stream = Stream { id, link: Arc::clone(self), window, body: (!bare).then_some(incoming) };
        let (link, carrier) = (Arc::clone(self), Arc::clone(carrier));
        let task = tokio::spawn(async move {
            let outcome = carrier.carry(request, stream).await;
            // One last word, by whoever takes the stream out of the table.
            if link.table().open.remove(&id).is_some() {
                match outcome {
                    Ok(used) => link.say(id, &FromEgress::Done(used)),
                    Err(fault) => link.say(id, &FromEgress::Failed(fault)),
                }
            }
        });
        if let Some(open) = self.table().open.get_mut(&id) {
            open.task = Some(task.abort_handle());
        }
        Ok(())
    }
}

impl Stream {
    /// The response begins.
    pub(super) fn head(&self, head: Head) {
        self.link.say(self.id, &FromEgress::Head(Box::new(head)));
    }

    /// More of its body, when the kernel has room for it.
    pub(super) async fn send(&self, bytes: &[u8]) {
        for piece in bytes.chunks(FRAME_BODY_BYTES_MAX) {
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            // It is never closed.
            if let Ok(permit) = self.window.acquire_many(length).await {
                permit.forget();
            }
            self.link.say(self.id, &FromEgress::Body(piece));
        }
    }
}

impl Incoming {
    /// The next piece; none: that was all.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BrokenOff>> {
        self.grant();
        let polled = ready!(self.pieces.poll_recv(cx));
        if let Some(Some(bytes)) = &polled {
            self.owed += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        }
        Poll::Ready(polled.ok_or(BrokenOff))
    }

    /// In steps, to save frames.
    fn grant(&mut self) {
        if self.owed > CREDIT_BYTES / 2 || !self.begun {
            self.begun = true;
            let mut table = self.link.table();
            if let Some((left, _)) = table.open.get_mut(&self.id).and_then(|open| open.body.as_mut()) {
                *left += self.owed;
                let owed = std::mem::take(&mut self.owed);
                drop(table);
                self.link.say(self.id, &FromEgress::Credit(owed));
            }
        }
    }
}
