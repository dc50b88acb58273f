//! The body of a request on its way out: counted, held to what the app said of its length, and remembered while it is
//! small, for the server that redirects and wants it again.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fazt_ipc::egress::limits::{REPLAY_BYTES_MAX, SENT_BYTES_MAX};
use fazt_ipc::egress::{Fault, FaultKind};
use http_body::{Body, Frame, SizeHint};

use super::connect::Refused;
use super::link::{BrokenOff, Incoming};

/// See the module.
pub(super) struct Upload {
    from: From,
    /// What the app says of its length.
    length: Option<u64>,
    count: u64,
    sent: Sent,
}

enum From {
    Nothing,
    Whole(Bytes),
    Coming(Incoming),
}

/// What was sent of a request, for who asks later.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: u64,
    /// All of it so far; none: it was too much to keep.
    copy: Option<Vec<u8>>,
    whole: bool,
}

impl Sent {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Body bytes that were sent, each time that they were.
    pub(super) fn bytes(&self) -> u64 {
        self.kept().bytes
    }

    /// The whole body, if all of it was sent and it was small.
    pub(super) fn again(&self) -> Option<Bytes> {
        let mut kept = self.kept();
        if kept.whole { kept.copy.take().map(Bytes::from) } else { None }
    }
}

impl Upload {
    /// A request without a body.
    pub(super) const fn nothing(sent: Sent) -> Self {
        Self { from: From::Nothing, length: None, count: 0, sent }
    }

    /// A body that was sent before.
    pub(super) fn again(bytes: Bytes, sent: Sent) -> Self {
        *sent.kept() = Kept { bytes: sent.bytes(), copy: Some(Vec::new()), whole: false };
        Self { length: Some(bytes.len() as u64), from: From::Whole(bytes), count: 0, sent }
    }

    /// A body that is to come.
    pub(super) fn coming(incoming: Incoming, length: Option<u64>, sent: Sent) -> Self {
        sent.kept().copy = Some(Vec::new());
        Self { from: From::Coming(incoming), length, count: 0, sent }
    }

    fn note(&mut self, bytes: &Bytes) -> Result<(), Fault> {
        self.count += bytes.len() as u64;
        if self.count > SENT_BYTES_MAX {
            return Err(Fault::new(
                FaultKind::TooLarge,
                "the body of the request is too large: at most 10 MiB",
            ));
        }
        if self.length.is_some_and(|length| self.count > length) {
            return Err(Fault::new(
                FaultKind::Invalid,
                "the body of the request is longer than its Content-Length",
            ));
        }
        let mut kept = self.sent.kept();
        kept.bytes += bytes.len() as u64;
        match &mut kept.copy {
            Some(copy) if copy.len() + bytes.len() <= REPLAY_BYTES_MAX => copy.extend_from_slice(bytes),
            _ => kept.copy = None,
        }
        // Nobody asks for an end whose place is known.
        kept.whole |= self.length == Some(self.count);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.from = From::Nothing;
        if self.length.is_some_and(|length| self.count != length) {
            return Err(Fault::new(
                FaultKind::Invalid,
                "the body of the request is shorter than its Content-Length",
            ));
        }
        self.sent.kept().whole = true;
        Ok(())
    }
}

fn error(fault: Fault) -> io::Error {
    io::Error::other(Refused(fault))
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = match &mut self.from {
            From::Nothing => return Poll::Ready(None),
            From::Whole(bytes) if bytes.is_empty() => None,
            From::Whole(bytes) => Some(std::mem::take(bytes)),
            From::Coming(incoming) => match ready!(incoming.poll(cx)) {
                Ok(next) => next,
                Err(BrokenOff) => {
                    self.from = From::Nothing;
                    let fault = Fault::new(FaultKind::Cancelled, "the body of the request broke off");
                    return Poll::Ready(Some(Err(error(fault))));
                }
            },
        };
        Poll::Ready(match next {
            Some(bytes) => Some(self.note(&bytes).map(|()| Frame::data(bytes)).map_err(error)),
            None => self.end().err().map(|fault| Err(error(fault))),
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.from, From::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.from, self.length) {
            (From::Nothing, _) => SizeHint::with_exact(0),
            (_, Some(length)) => SizeHint::with_exact(length.saturating_sub(self.count)),
            (_, None) => SizeHint::default(),
        }
    }
}
