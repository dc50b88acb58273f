//! What a request carries.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Piece in which a file is sent.
const PIECE_BYTES: usize = 64 * 1024;

/// A request body.
pub(super) enum Outgoing {
    /// Nothing, or bytes that are at hand.
    Whole(Option<Bytes>),
    /// A file of which so many bytes are still to be sent.
    File { file: File, left: u64 },
}

impl Outgoing {
    pub(super) const fn empty() -> Self {
        Self::Whole(None)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match &mut *self {
            Self::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::File { left: 0, .. } => None,
            Self::File { file, left } => {
                let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(*left).unwrap_or(PIECE_BYTES))];
                Some(match file.read(&mut piece) {
                    Ok(0) => Err(io::Error::other("a file became shorter while it was sent")),
                    Ok(read) => {
                        *left -= read as u64;
                        piece.truncate(read);
                        Ok(Frame::data(piece.into()))
                    }
                    Err(error) => Err(error),
                })
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
        })
    }
}
