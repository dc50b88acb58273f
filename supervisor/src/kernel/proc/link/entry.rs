//! One request's stream, as the supervisor holds it between the edge and the worker.

use std::task::Waker;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fazt_ipc::ids::RequestId;
use fazt_ipc::limits::CREDIT_BYTES;
use fazt_ipc::wire::worker::Done;
use http::{HeaderMap, StatusCode};

use super::super::DispatchError;

/// Head of a worker's response, validated.
#[derive(Debug)]
pub(crate) struct Head {
    /// 200 to 599.
    pub(crate) status: StatusCode,
    /// Fields; the edge still has to apply its rules.
    pub(crate) headers: HeaderMap,
}

/// What is known of an event's end.
#[derive(Debug, Default)]
pub(super) struct EventEnd {
    /// Its handler did not throw, and said this.
    pub(super) done: Option<Done>,
    /// It is not to be tried again.
    pub(super) no_retry: bool,
    /// What it threw, in a line.
    pub(super) reason: String,
}

/// A request's stream. Lives until the worker has settled it and the edge has let go of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Number on the wire; 0: the entry is free.
    pub(super) stream: u32,
    pub(super) request: RequestId,
    /// The edge's task, while it waits for this stream.
    pub(super) waker: Option<Waker>,

    pub(super) head: Option<Head>,
    /// The worker has sent a head.
    pub(super) answered: bool,
    /// Bytes that the edge has not taken.
    pub(super) buffer: BytesMut,
    /// The last bytes, where they came in one piece with nothing before them.
    pub(super) last: Option<Bytes>,
    /// What the worker may still send without new credit.
    pub(super) window: u32,
    /// What the edge has taken and the worker was not told of.
    pub(super) owed: u32,
    /// What is missing of the length that the worker announced.
    pub(super) left: Option<u64>,
    /// The response is complete.
    pub(super) ended: bool,
    pub(super) failed: Option<DispatchError>,
    /// It is an event, which has no response.
    pub(super) event: Option<Box<EventEnd>>,

    /// What may still be sent of the request's body without new credit.
    pub(super) send_window: u32,
    /// The request's body has been sent, or the worker wants no more of it.
    pub(super) sent: bool,

    /// The worker was told that the client is gone.
    pub(super) aborted: bool,
    /// The worker has closed the stream.
    pub(super) settled: bool,
    /// The edge has let go.
    pub(super) released: bool,
    /// When patience ends; after an abort, when the worker must have settled.
    pub(super) deadline: Instant,
}

impl Entry {
    pub(super) fn free(now: Instant) -> Self {
        Self {
            stream: 0,
            request: RequestId::new(0, 0),
            waker: None,
            head: None,
            answered: false,
            buffer: BytesMut::new(),
            last: None,
            window: 0,
            owed: 0,
            left: None,
            ended: false,
            failed: None,
            event: None,
            send_window: 0,
            sent: true,
            aborted: false,
            settled: true,
            released: true,
            deadline: now,
        }
    }

    /// Takes a new request; buffers keep their room.
    pub(super) fn open(&mut self, stream: u32, request: RequestId, body: bool, deadline: Instant) {
        let buffer = std::mem::take(&mut self.buffer);
        *self = Self::free(deadline);
        self.buffer = buffer;
        self.buffer.clear();
        self.stream = stream;
        self.request = request;
        self.window = CREDIT_BYTES;
        self.send_window = CREDIT_BYTES;
        self.sent = !body;
        self.settled = false;
        self.released = false;
    }

    /// Ends it for the edge.
    pub(super) fn fail(&mut self, error: DispatchError) {
        if self.failed.is_none() && !self.ended {
            self.failed = Some(error);
        }
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn last_bytes(&self) -> u64 {
        self.last.as_ref().map_or(0, Bytes::len) as u64
    }

    /// Nothing of the response is still to come to the edge.
    pub(super) const fn over(&self) -> bool {
        self.ended || self.failed.is_some()
    }
}
