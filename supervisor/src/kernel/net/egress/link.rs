//! The socket to egress: streams are opened here, and what comes of them is checked. What egress says is hostile: a
//! frame that it may not send ends it, and with it everything that was on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use fazt_ipc::egress::limits::{CREDIT_BYTES, STREAMS_MAX};
use fazt_ipc::egress::{Fault, FaultKind, FromEgress, Head, Malformed, Request, ToEgress, Use};
use fazt_ipc::frame::Header;
use fazt_ipc::limits::{FRAME_BODY_BYTES_MAX, FRAME_HEADER_BYTES};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::kernel::fs::outbound::{BrokenOff, Sending};

/// One process, while it lives.
pub(super) struct Link {
    table: Mutex<Table>,
    /// Frames on their way: bounded by what streams may send without credit, and a request for each.
    out: mpsc::UnboundedSender<Vec<u8>>,
    closed: Notify,
    /// Tells the task that holds the socket to let go of it.
    shut: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    open: HashMap<u32, Open>,
    last: u32,
    dead: bool,
    /// When the last stream ended.
    idle: Option<Instant>,
}

struct Open {
    /// Where the head goes; none: it has come.
    head: Option<oneshot::Sender<Result<Head, Fault>>>,
    /// Where the rest goes.
    pieces: mpsc::UnboundedSender<Piece>,
    /// Bytes that may still come.
    left: u32,
    /// What may be sent of the request's body.
    window: Arc<Semaphore>,
    /// There is a body, whose end was not sent.
    sends: bool,
    given_up: bool,
}

enum Piece {
    Bytes(Bytes),
    End(Result<Use, Fault>),
}

/// A response on its way. Dropping it gives the request up.
pub(super) struct Response {
    id: u32,
    link: Arc<Link>,
    pieces: mpsc::UnboundedReceiver<Piece>,
    /// Taken, and not granted again.
    owed: u32,
    ended: bool,
}

fn gone() -> Fault {
    Fault::new(FaultKind::Gone, "the process that opens connections to elsewhere has ended; try again")
}

impl Link {
    /// Takes over the socket of a process that is ready.
    pub(super) fn start(socket: UnixStream) -> Arc<Self> {
        let (from, to) = socket.into_split();
        let (out, outbox) = mpsc::unbounded_channel();
        let link = Arc::new(Self {
            table: Mutex::new(Table { idle: Some(Instant::now()), ..Table::default() }),
            out,
            closed: Notify::new(),
            shut: Arc::default(),
        });
        let (reading, shut) = (Arc::downgrade(&link), Arc::clone(&link.shut));
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = read(from, &reading) => outcome,
                () = write(to, outbox) => Ok(()),
                () = shut.notified() => Ok(()),
            };
            if let Err(malformed) = outcome {
                tracing::error!(%malformed, "egress does not keep to the protocol: it is ended");
            }
            if let Some(link) = reading.upgrade() {
                link.die();
            }
        });
        link
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether requests can be sent.
    pub(super) fn lives(&self) -> bool {
        !self.table().dead
    }

    /// Since when there is no request; none: there is one.
    pub(super) fn idle(&self) -> Option<Instant> {
        self.table().idle
    }

    /// Returns when the process is gone, or must go.
    pub(super) async fn closed(&self) {
        loop {
            let closed = self.closed.notified();
            if !self.lives() {
                return;
            }
            closed.await;
        }
    }

    /// Ends it, if nothing is on its way. From then on it takes nothing.
    pub(super) fn close_idle(&self) -> bool {
        let mut table = self.table();
        let idle = table.open.is_empty();
        table.dead |= idle;
        drop(table);
        if idle {
            self.closed.notify_waiters();
        }
        idle
    }

    /// The process is gone, or must go: whoever waits learns it.
    pub(super) fn die(&self) {
        let open = {
            let mut table = self.table();
            table.dead = true;
            std::mem::take(&mut table.open)
        };
        for (_, mut open) in open {
            open.window.close();
            if let Some(head) = open.head.take() {
                let _ = head.send(Err(gone()));
            }
            let _ = open.pieces.send(Piece::End(Err(gone())));
        }
        self.shut.notify_one();
        self.closed.notify_waiters();
    }

    fn say(&self, id: u32, word: &ToEgress<'_>, end: bool) -> Result<(), Fault> {
        let mut frame = Vec::new();
        let encoded = word.encode(id, end, &mut frame);
        encoded.map_err(|_| Fault::new(FaultKind::Invalid, "the request does not fit what may be sent"))?;
        self.out.send(frame).map_err(|_| gone())
    }

    /// Sends a request; returns when the answer begins.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        request: Request,
        body: Option<Box<dyn Sending>>,
    ) -> Result<(Head, Response), Fault> {
        let malformed =
            |Malformed(why): Malformed| Fault::new(FaultKind::Invalid, format!("the request has {why}"));
        request.check().map_err(malformed)?;
        let (tell, told) = oneshot::channel();
        let (sender, pieces) = mpsc::unbounded_channel();
        let window = Arc::new(Semaphore::new(0));
        let id = {
            let mut table = self.table();
            if table.dead {
                return Err(gone());
            }
            if table.open.len() >= STREAMS_MAX {
                return Err(Fault::new(
                    FaultKind::Busy,
                    "too many requests are on their way at once; try again",
                ));
            }
            let id = table.last.checked_add(1).ok_or_else(gone)?;
            // Said first: what does not fit a frame never was.
            self.say(id, &ToEgress::Request(Box::new(request)), body.is_none())?;
            table.last = id;
            table.idle = None;
            let open = Open {
                head: Some(tell),
                pieces: sender,
                left: CREDIT_BYTES,
                window: Arc::clone(&window),
                sends: body.is_some(),
                given_up: false,
            };
            table.open.insert(id, open);
            id
        };
        // From here on whoever drops this gives the request up.
        let response = Response { id, link: Arc::clone(self), pieces, owed: 0, ended: false };
        if let Some(body) = body {
            tokio::spawn(send(Arc::downgrade(self), id, body, window));
        }
        match told.await {
            Ok(Ok(head)) => Ok((head, response)),
            Ok(Err(fault)) => {
                let mut response = response;
                response.ended = true;
                Err(fault)
            }
            Err(_) => Err(gone()),
        }
    }

    fn give_up(&self, id: u32) {
        let mut table = self.table();
        if let Some(open) = table.open.get_mut(&id)
            && !std::mem::replace(&mut open.given_up, true)
        {
            open.window.close();
            let _ = self.say(id, &ToEgress::Cancel, false);
        }
    }

    fn take(&self, header: Header, body: &[u8]) -> Result<(), Malformed> {
        let word = FromEgress::decode(header, body)?;
        let id = header.stream;
        let mut table = self.table();
        let open = table.open.get_mut(&id).ok_or(Malformed("a word after the last one"))?;
        match word {
            FromEgress::Head(head) => {
                let tell = open.head.take().ok_or(Malformed("a second head"))?;
                // Nobody may be waiting any more.
                let _ = tell.send(Ok(*head));
            }
            FromEgress::Body(bytes) => {
                if open.head.is_some() {
                    return Err(Malformed("a body before its head"));
                }
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                open.left = open.left.checked_sub(length).ok_or(Malformed("a body without credit"))?;
                if !open.given_up {
                    let _ = open.pieces.send(Piece::Bytes(Bytes::copy_from_slice(bytes)));
                }
            }
            FromEgress::Credit(bytes) => {
                if !open.sends || open.window.available_permits() + bytes as usize > CREDIT_BYTES as usize {
                    return Err(Malformed("credit over its bound"));
                }
                open.window.add_permits(bytes as usize);
            }
            FromEgress::Done(used) => {
                if open.head.is_some() {
                    return Err(Malformed("an end without a head"));
                }
                end(&mut table, id, Ok(used));
            }
            FromEgress::Failed(fault) => end(&mut table, id, Err(fault)),
        }
        Ok(())
    }
}

fn end(table: &mut Table, id: u32, outcome: Result<Use, Fault>) {
    let Some(mut open) = table.open.remove(&id) else { return };
    open.window.close();
    if let (Some(head), Err(fault)) = (open.head.take(), &outcome) {
        let _ = head.send(Err(fault.clone()));
    }
    let _ = open.pieces.send(Piece::End(outcome));
    if table.open.is_empty() {
        table.idle = Some(Instant::now());
    }
}

async fn read(mut from: OwnedReadHalf, link: &Weak<Link>) -> Result<(), Malformed> {
    let mut body = Vec::new();
    loop {
        let mut head = [0; FRAME_HEADER_BYTES];
        if from.read_exact(&mut head).await.is_err() {
            return Ok(());
        }
        let header = Header::decode(&head).map_err(|_| Malformed("a malformed header"))?;
        body.resize(header.body_bytes as usize, 0);
        if from.read_exact(&mut body).await.is_err() {
            return Ok(());
        }
        let Some(link) = link.upgrade() else { return Ok(()) };
        link.take(header, &body)?;
    }
}

async fn write(mut to: OwnedWriteHalf, mut outbox: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut frames) = outbox.recv().await {
        while frames.len() < FRAME_BODY_BYTES_MAX
            && let Ok(more) = outbox.try_recv()
        {
            frames.extend_from_slice(&more);
        }
        if to.write_all(&frames).await.is_err() {
            return;
        }
    }
}

/// Sends the body of a request as egress takes it.
async fn send(link: Weak<Link>, id: u32, mut body: Box<dyn Sending>, window: Arc<Semaphore>) {
    loop {
        // Not asked for before there is room: what is not taken is not held.
        let Ok(room) = window.acquire().await else { return };
        drop(room);
        let piece = body.next().await;
        match piece {
            Ok(Some(bytes)) => {
                for piece in bytes.chunks(FRAME_BODY_BYTES_MAX) {
                    let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                    let Ok(permit) = window.acquire_many(length).await else { return };
                    permit.forget();
                    let Some(link) = link.upgrade() else { return };
                    if link.say(id, &ToEgress::Body(piece), false).is_err() {
                        return;
                    }
                }
            }
            Ok(None) => {
                if let Some(link) = link.upgrade() {
                    let mut table = link.table();
                    if let Some(open) = table.open.get_mut(&id).filter(|open| !open.given_up) {
                        open.sends = false;
                        let _ = link.say(id, &ToEgress::Body(&[]), true);
                    }
                }
                return;
            }
            Err(BrokenOff) => {
                // Half of it must not be taken for the whole.
                if let Some(link) = link.upgrade() {
                    link.give_up(id);
                }
                return;
            }
        }
    }
}

impl Response {
    /// The next bytes; none: that was all, and what it took.
    pub(super) async fn next(&mut self) -> Result<Result<Bytes, Use>, Fault> {
        match self.pieces.recv().await {
            Some(Piece::Bytes(bytes)) => {
                self.owed += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.grant();
                Ok(Ok(bytes))
            }
            Some(Piece::End(outcome)) => {
                self.ended = true;
                outcome.map(Err)
            }
            None => {
                self.ended = true;
                Err(gone())
            }
        }
    }

    /// In steps, to save frames.
    fn grant(&mut self) {
        if self.owed <= CREDIT_BYTES / 2 {
            return;
        }
        let mut table = self.link.table();
        if let Some(open) = table.open.get_mut(&self.id) {
            open.left += self.owed;
            let _ = self.link.say(self.id, &ToEgress::Credit(self.owed), false);
        }
        self.owed = 0;
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        if !self.ended {
            self.link.give_up(self.id);
        }
    }
}
