//! Bodies of answers: whole from memory, in pieces from a cartridge, or from a worker. A body carries what
//! must end when it ends: the places that its request holds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

use super::api::ApiBody;
use super::conns::InFlight;
use crate::kernel::fs::{Encoding, File, FsError, Release};
use crate::kernel::proc::BodyError;
use crate::limits::PIECE_BYTES;

/// A body in memory.
#[derive(Debug, Default)]
pub(crate) struct Whole(Option<Bytes>);

impl Whole {
    /// Of these bytes.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { None } else { Some(bytes) })
    }

    #[cfg(test)]
    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.unwrap_or_default()
    }
}

/// The body of an answer.
pub(crate) struct EdgeBody<W> {
    kind: Kind<W>,
    held: Option<InFlight>,
}

enum Kind<W> {
    Whole(Whole),
    Pieces(Box<Pieces>),
    Worker(W),
    Api(Box<ApiBody>),
    /// No bytes, but the length that a `GET` would have: the answer to `HEAD`.
    Length(Option<u64>),
}

impl<W: Body> EdgeBody<W> {
    /// From memory.
    pub(crate) const fn whole(whole: Whole) -> Self {
        Self { kind: Kind::Whole(whole), held: None }
    }

    /// From a cartridge.
    pub(crate) fn pieces(pieces: Pieces) -> Self {
        Self { kind: Kind::Pieces(Box::new(pieces)), held: None }
    }

    /// From a worker.
    pub(crate) const fn worker(body: W) -> Self {
        Self { kind: Kind::Worker(body), held: None }
    }

    /// From the admin API.
    pub(crate) fn api(body: ApiBody) -> Self {
        Self { kind: Kind::Api(Box::new(body)), held: None }
    }

    /// None, of this length if it is known.
    pub(crate) const fn length(bytes: Option<u64>) -> Self {
        Self { kind: Kind::Length(bytes), held: None }
    }

    /// Holds the request's places until the body ends.
    pub(crate) fn holding(mut self, held: InFlight) -> Self {
        self.held = Some(held);
        self
    }
}

impl<W> Body for EdgeBody<W>
where
    W: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.kind {
            Kind::Whole(whole) => Poll::Ready(whole.0.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Pieces(pieces) => Pin::new(&mut **pieces).poll_frame(cx),
            Kind::Worker(body) => Pin::new(body).poll_frame(cx),
            Kind::Api(body) => Pin::new(&mut **body).poll_frame(cx).map_err(Into::into),
            Kind::Length(_) => Poll::Ready(None),
        };
        if let Some(held) = &mut self.held {
            held.unasked(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(whole) => whole.0.is_none(),
            Kind::Pieces(pieces) => pieces.left == 0,
            Kind::Worker(body) => body.is_end_stream(),
            Kind::Api(body) => body.is_end_stream(),
            // hyper asks for the length of a body that has not ended, and writes it in the answer to `HEAD`.
            Kind::Length(bytes) => bytes.is_none_or(|bytes| bytes == 0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(whole) => SizeHint::with_exact(whole.0.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Pieces(pieces) => SizeHint::with_exact(pieces.left),
            Kind::Worker(body) => body.size_hint(),
            Kind::Api(body) => body.size_hint(),
            Kind::Length(Some(bytes)) => SizeHint::with_exact(*bytes),
            Kind::Length(None) => SizeHint::default(),
        }
    }
}

/// A content read piece by piece, so that a large file is never whole in memory.
pub(crate) struct Pieces {
    release: Arc<Release>,
    file: Arc<File>,
    encoding: Encoding,
    offset: u64,
    left: u64,
    reading: Option<BoxFuture<'static, Result<Bytes, FsError>>>,
}

impl Pieces {
    /// `left` bytes from `offset`.
    pub(crate) fn new(release: Arc<Release>, file: File, encoding: Encoding, offset: u64, left: u64) -> Self {
        Self { release, file: Arc::new(file), encoding, offset, left, reading: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let reading = this.reading.get_or_insert_with(|| {
            let (release, file) = (Arc::clone(&this.release), Arc::clone(&this.file));
            let (encoding, offset) = (this.encoding, this.offset);
            let bytes = u32::try_from(this.left).unwrap_or(u32::MAX).min(PIECE_BYTES);
            Box::pin(async move { release.content_range(&file, encoding, offset, bytes).await })
        });
        let piece = std::task::ready!(reading.as_mut().poll(cx));
        this.reading = None;
        match piece {
            Ok(piece) if piece.is_empty() || piece.len() as u64 > this.left => {
                this.left = 0;
                Poll::Ready(Some(Err("a deployed file is not as long as its index says".into())))
            }
            Ok(piece) => {
                this.offset += piece.len() as u64;
                this.left -= piece.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                this.left = 0;
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
