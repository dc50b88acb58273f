//! What the edge holds of one request: the wait for the head, then the response's body. The request's body is
//! pumped by whoever waits, so that an exchange needs no task of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use super::super::{BodyError, DispatchError, RequestBody, bounds};
use super::Ended;
use super::entry::Head;
use super::{Link, Ticket};

/// A request on a worker. Dropping it before its end tells the worker that the client is gone.
pub(crate) struct Exchange {
    link: Arc<Link>,
    ticket: Ticket,
    upload: Option<Upload>,
}

/// The part of a request's body that has not gone out.
struct Upload {
    body: UnsyncBoxBody<Bytes, BodyError>,
    bytes: Bytes,
}

impl Exchange {
    /// Takes over an opened request.
    pub(crate) fn new(link: Arc<Link>, ticket: Ticket, body: RequestBody) -> Self {
        let upload = match body {
            RequestBody::Empty => None,
            RequestBody::Stream(body) => Some(Upload { body, bytes: Bytes::new() }),
        };
        Self { link, ticket, upload }
    }

    /// Waits for the response's head. What has arrived of the body by then comes along.
    pub(crate) async fn response(mut self) -> Result<http::Response<WorkerBody>, DispatchError> {
        let (head, whole, length) = std::future::poll_fn(|cx| self.poll_head(cx)).await?;
        let body = match whole {
            Some(whole) => WorkerBody(Kind::Whole(Some(whole))),
            None => WorkerBody(Kind::Stream(Box::new(Streaming { exchange: self, left: length }))),
        };
        let mut response = http::Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    /// Waits until an event is over.
    pub(crate) async fn ended(mut self) -> Ended {
        std::future::poll_fn(|cx| self.poll_ended(cx)).await
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.poll_upload(cx);
        let mut inner = self.link.inner();
        let entry = inner.wire.entry(self.ticket);
        let event = entry.event.as_deref_mut();
        let (done, no_retry, reason) = event.map_or((None, false, String::new()), |event| {
            (event.done, event.no_retry, std::mem::take(&mut event.reason))
        });
        if let Some(error) = &entry.failed {
            let reason = if reason.is_empty() { error.to_string() } else { reason };
            return Poll::Ready(Ended { outcome: Err(error.clone()), no_retry, reason });
        }
        if let Some(done) = done {
            return Poll::Ready(Ended { outcome: Ok(done), no_retry, reason });
        }
        match &mut entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    #[expect(clippy::type_complexity, reason = "head, whole body, announced length: read in one place")]
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Head, Option<Bytes>, Option<u64>), DispatchError>> {
        self.poll_upload(cx);
        let mut inner = self.link.inner();
        let entry = inner.wire.entry(self.ticket);
        if let Some(error) = entry.failed.take() {
            // Kept for the drop, which must not abort what is over.
            entry.failed = Some(error.clone());
            return Poll::Ready(Err(error));
        }
        let Some(head) = entry.head.take() else {
            match &mut entry.waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                waker => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        let whole = entry.ended.then(|| match entry.last.take() {
            Some(last) if entry.buffer.is_empty() => last,
            Some(last) => {
                entry.buffer.extend_from_slice(&last);
                std::mem::take(&mut entry.buffer).freeze()
            }
            None => std::mem::take(&mut entry.buffer).freeze(),
        });
        let length = entry.left.map(|left| left + entry.buffer.len() as u64 + entry.last_bytes());
        Poll::Ready(Ok((head, whole, length)))
    }

    /// Moves what can be moved of the request's body. A body that breaks off is the client's end: the exchange
    /// is dropped with its connection.
    fn poll_upload(&mut self, cx: &mut Context<'_>) {
        let Some(upload) = &mut self.upload else { return };
        loop {
            if !upload.bytes.is_empty() {
                let mut inner = self.link.inner();
                let sent = inner.wire.send_body(self.ticket, &upload.bytes);
                if sent > 0 {
                    inner.kick();
                    drop(inner);
                    bytes::Buf::advance(&mut upload.bytes, sent);
                    continue;
                }
                let entry = inner.wire.entry(self.ticket);
                if entry.sent {
                    break;
                }
                entry.waker = Some(cx.waker().clone());
                return;
            }
            match Pin::new(&mut upload.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        upload.bytes = bytes;
                    }
                }
                Poll::Ready(None) => {
                    let mut inner = self.link.inner();
                    inner.wire.end_body(self.ticket);
                    inner.kick();
                    break;
                }
                Poll::Ready(Some(Err(_))) => {
                    // Half a body must not look whole to the app.
                    let mut inner = self.link.inner();
                    let deadline = Instant::now() + bounds::BACKGROUND_MAX;
                    inner.wire.give_up(self.ticket, deadline);
                    inner.kick();
                    break;
                }
                Poll::Pending => return,
            }
        }
        self.upload = None;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut inner = self.link.inner();
        // What the app still does for a client that is gone counts as `waitUntil`.
        let deadline = Instant::now() + bounds::BACKGROUND_MAX;
        let aborted = inner.wire.release(self.ticket, deadline);
        if aborted || inner.wire.full() {
            inner.kick();
        }
    }
}

/// The body of a worker's response. Dropping it before its end tells the worker that the client is gone.
pub struct WorkerBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Stream(Box<Streaming>),
}

struct Streaming {
    exchange: Exchange,
    /// What is to come, where the worker said.
    left: Option<u64>,
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.exchange.poll_upload(cx);
        let ticket = self.exchange.ticket;
        let mut inner = self.exchange.link.inner();
        let entry = inner.wire.entry(ticket);
        let bytes = if entry.buffer.is_empty() {
            entry.last.take().filter(|last| !last.is_empty())
        } else {
            Some(std::mem::take(&mut entry.buffer).freeze())
        };
        if let Some(bytes) = bytes {
            inner.wire.taken(ticket, bytes.len());
            if inner.wire.out_bytes() > 0 {
                inner.kick();
            }
            drop(inner);
            self.left = self.left.map(|left| left.saturating_sub(bytes.len() as u64));
            return Poll::Ready(Some(Ok(bytes)));
        }
        if entry.ended {
            return Poll::Ready(None);
        }
        if let Some(error) = &entry.failed {
            return Poll::Ready(Some(Err(error.clone().into())));
        }
        match &mut entry.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn over(&self) -> bool {
        let mut inner = self.exchange.link.inner();
        let entry = inner.wire.entry(self.exchange.ticket);
        entry.ended && entry.buffer.is_empty() && entry.last.as_ref().is_none_or(Bytes::is_empty)
    }
}

impl Body for WorkerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(
                bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))),
            ),
            Kind::Stream(stream) => stream.poll(cx).map(|item| item.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Stream(stream) => stream.over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Stream(stream) => stream.left.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl std::fmt::Debug for WorkerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerBody").field("size", &self.size_hint()).finish_non_exhaustive()
    }
}
