//! Bodies that pass between the HTTP edge and a worker.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

/// What goes wrong with a body: its client or its worker is gone, or it is longer than it said.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body on its way to a worker.
#[derive(Debug, Default)]
pub enum RequestBody {
    /// There is none.
    #[default]
    Empty,
    /// Bytes to come.
    Stream(UnsyncBoxBody<Bytes, BodyError>),
}

impl RequestBody {
    /// Takes a body; one that is already at its end costs nothing.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        if body.is_end_stream() { Self::Empty } else { Self::Stream(body.map_err(Into::into).boxed_unsync()) }
    }
}
