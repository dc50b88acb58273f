//! The protocol with one worker as a machine without sockets or clock of its own: bytes in, effects and bytes
//! out. Every byte that [`Wire::receive`] sees is hostile; an error from it means: kill the worker.
//!
//! Which message may come when is `fazt_ipc::wire::phase`; which may come on a stream is below.
//! ```text
//! request  ──Response──▶ answered ──Body*──▶ …  ──END──▶ ended ──Settled──▶ free (when the edge let go, too)
//!             Failed at any time before the end; after Abort anything still legal is dropped
//! event    ──NoRetry*──▶ … ──Done or Failed──▶ ended ──Settled──▶ free
//! ```
//!
//! | direction | file |
//! |---|---|
//! | to the worker: requests, bodies, credit, answers, deadlines | `send.rs` |
//! | from the worker: hostile frames | `receive.rs` |

mod receive;
mod send;

use fazt_ipc::frame::Header;
use fazt_ipc::ids::RequestId;
use fazt_ipc::syscall::Call;
use fazt_ipc::wire::kernel::Event;
use fazt_ipc::wire::worker::{Loaded, LogLevel, Ready};
use fazt_ipc::wire::{Failure, Phase};
use http::HeaderMap;

use super::calls::CallTable;
pub(super) use super::calls::{Came, Late};
use super::entry::Entry;

/// What a batch of frames asks of the supervisor beyond moving bytes.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Locked and warm.
    Ready(Ready),
    /// The app's top level ran.
    Loaded(Loaded),
    /// The app did not load.
    LoadFailed(Failure),
    /// A request failed.
    Failed(RequestId, Failure),
    /// A response that no client can be sent; the request has failed.
    BadResponse(RequestId, &'static str),
    /// A log line.
    Log(Option<RequestId>, Line),
    /// A system call to answer.
    Call(u32, Call),
    /// A system call whose arguments, so many bytes, are still to come.
    LongCall(u32, usize),
}

/// A log line out of its frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Severity.
    pub(crate) level: LogLevel,
    /// Text.
    pub(crate) text: String,
    /// File and line in the app.
    pub(crate) origin: String,
    /// Lines that the worker left out before it.
    pub(crate) dropped: u32,
}

/// A stream to open.
pub(crate) struct Opening<'a> {
    /// Id of the request.
    pub(crate) id: RequestId,
    /// What it is.
    pub(crate) what: What<'a>,
    /// A body follows.
    pub(crate) body: bool,
}

/// What a worker is asked.
pub(crate) enum What<'a> {
    /// To answer a request.
    Request {
        /// Method.
        method: &'a str,
        /// Absolute URL.
        url: &'a str,
        /// Header fields.
        headers: &'a HeaderMap,
    },
    /// To do something that nobody asked over HTTP.
    Event(Event<'a>),
}

/// Why a request was not opened here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// This worker takes no more now.
    Full,
    /// Its head does not fit a frame.
    TooLarge,
}

/// A stream between the edge and this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    index: usize,
    stream: u32,
}

/// Told of each frame that passes, when somebody traces.
pub(crate) type Tap = Box<dyn Fn(char, &'static str, &Header, &dyn Fn() -> String) + Send + Sync>;

/// The machine.
pub(crate) struct Wire {
    phase: Phase,
    /// Bytes for the worker.
    out: Vec<u8>,
    entries: Vec<Entry>,
    /// Stream of each entry that the worker has not settled, else 0: what a frame's stream is looked up in.
    streams: Vec<u32>,
    /// Entry of the frame before: a response's frames mostly come together.
    last: usize,
    /// Entries that are neither open nor held by the edge.
    spare: Vec<usize>,
    /// Streams that the worker has not settled.
    open: usize,
    next_stream: u32,
    calls: CallTable,
    effects: Vec<Effect>,
    accepting: bool,
    /// A stream was settled since this was last asked.
    freed: bool,
    answered: u64,
    tap: Option<Tap>,
}

impl Wire {
    /// For a worker that has said nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Booting,
            out: Vec::new(),
            entries: Vec::new(),
            streams: Vec::new(),
            last: 0,
            spare: Vec::new(),
            open: 0,
            next_stream: 1,
            calls: CallTable::default(),
            effects: Vec::new(),
            accepting: false,
            freed: false,
            answered: 0,
            tap: None,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }
    pub(crate) const fn open_streams(&self) -> usize {
        self.open
    }
    /// Requests that this worker has settled.
    pub(crate) const fn answered(&self) -> u64 {
        self.answered
    }
    /// Whether it takes requests at all, free or not.
    pub(crate) const fn accepting(&self) -> bool {
        self.accepting
    }
    /// From now on it takes none.
    pub(crate) fn refuse_more(&mut self) {
        self.accepting = false;
    }
    pub(crate) fn set_tap(&mut self, tap: Option<Tap>) {
        self.tap = tap;
    }
    /// Bytes that wait to be written.
    pub(crate) fn out_bytes(&self) -> usize {
        self.out.len()
    }
    /// Whether a call of the worker's has a deadline.
    pub(crate) fn has_due_calls(&self) -> bool {
        self.calls.has_due()
    }
    /// Takes the bytes to write; `empty` is given back room for the next.
    pub(crate) fn take_out(&mut self, empty: &mut Vec<u8>) {
        debug_assert!(empty.is_empty());
        std::mem::swap(&mut self.out, empty);
    }
    /// Takes what a batch asked for.
    pub(crate) fn take_effects(&mut self, into: &mut Vec<Effect>) {
        into.append(&mut self.effects);
    }
    /// Whether a stream became free since this was last asked.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }
}

/// Whether bytes of an answer may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// So many.
    Open(u32),
    /// The worker has given no credit, or there is no room; the waker is kept.
    Shut,
    /// Nobody wants them any more: end it.
    GivenUp,
    /// The worker is gone.
    Gone,
}

/// How the head of an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is complete, or nobody wants more of it.
    Done,
    /// Its bytes are to follow.
    Bytes,
    /// It does not fit a frame: nothing was sent.
    TooLong,
}

/// What [`Wire::sweep`] found.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Requests that have just failed by their wall limit.
    pub(crate) late: Vec<RequestId>,
    /// Streams that should have been settled after their abort.
    pub(crate) stuck: usize,
    /// A call's bytes that the worker had nothing to wait for did not move.
    pub(crate) idle_call: bool,
}
