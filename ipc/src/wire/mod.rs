//! What kernel and worker say to each other over fd 3.
//!
//! Streams: the kernel opens one for each request (odd numbers), the worker one for each system call (even
//! numbers); stream 0 is the connection. A number is used once. Bodies travel raw under a credit of
//! [`CREDIT_BYTES`](crate::limits::CREDIT_BYTES) each way; the frame with the END flag closes a direction.
//!
//! ```text
//! worker  Booting ──Ready──▶ Locked ──Configure──▶ Loading ──Start──▶ Starting ──Loaded──▶ Running ──Drain──▶ Draining ─▶ exit
//!                                                     └──Compile──▶ Compiling ──Compiled──▶ exit
//! request  Request[END] → Body* → Body[END]        Response[END] ← Body* ← Body[END]     Settled closes the stream
//!          Abort at any time: the client is gone   Failed instead of or after a Response
//! event    Event[END] → Body* → Body[END]          Done or Failed; NoRetry before     Settled closes the stream
//! call     Call[END] ← CallBody*                   Reply[END] → ReplyBody* → ReplyBody[END]
//!          LongCall ← CallBody* ← CallBody[END]    LongReply → ReplyBody* → ReplyBody[END]
//!          Abort after a Reply, in place of the END: the rest of the answer will never come
//!          CancelCall: the END comes soon, and nothing of worth before it
//! ```
//! A worker sends nothing after a call before the kernel has granted it credit.
//! `Settled` comes after the response is complete and every promise given to `waitUntil` has settled; until
//! then the stream counts as open.

pub mod kernel;
pub mod phase;
pub mod worker;

use serde::{Deserialize, Serialize};

pub use kernel::KernelKind;
pub use phase::Phase;
pub use worker::WorkerKind;

/// Header fields, in order, as sent: names in lower case, values as bytes.
pub type Fields<'a> = Vec<(&'a str, &'a [u8])>;

/// Why a worker ended a request or could not load an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The app threw, or a promise it returned was rejected.
    Exception,
    /// What the app returned is not what the handler promises.
    BadReturn,
    /// The CPU budget was used up; the worker is torn and must be recycled.
    CpuExceeded,
    /// The JavaScript heap is full; the worker is wedged and must be recycled.
    OutOfMemory,
    /// A module is missing, does not parse, or its top level threw.
    Load,
}

impl FailureKind {
    /// Whether the worker can go on after it.
    #[must_use]
    pub const fn recycles(self) -> bool {
        matches!(self, Self::CpuExceeded | Self::OutOfMemory | Self::Load)
    }
}

/// A failure, with the app's own file and line in its stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// The exception as text, at most [`ERROR_BYTES_MAX`](crate::limits::ERROR_BYTES_MAX) with the stack.
    pub message: String,
    /// `at function (file:line:column)` lines; may be empty.
    pub stack: String,
}

/// Why a frame is refused: the sender is killed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The header is malformed.
    #[error(transparent)]
    Frame(#[from] crate::frame::FrameError),
    /// The body is malformed.
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
    /// No message has this type.
    #[error("unknown message type {0:#04x}")]
    UnknownKind(u8),
    /// The message may not be sent in this phase.
    #[error("{kind} is not allowed while {phase:?}")]
    Phase {
        /// Name of the message.
        kind: &'static str,
        /// Phase of the connection.
        phase: Phase,
    },
    /// The stream does not exist, is of the wrong parity, or is not in a state for this message.
    #[error("{kind} on stream {stream}, which is not open for it")]
    Stream {
        /// Name of the message.
        kind: &'static str,
        /// The stream it named.
        stream: u32,
    },
    /// More was sent than credit allows, or more streams were opened than may be.
    #[error("{0} over its bound")]
    Bound(&'static str),
}

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$item_doc])* $item = $value,)* }

        impl $name {
            /// Every message of this direction.
            pub const ALL: &'static [Self] = &[$(Self::$item),*];

            /// Its name, for logs and traces.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$item => stringify!($item),)* }
            }
        }

        impl TryFrom<u8> for $name {
            type Error = $crate::wire::WireError;
            fn try_from(value: u8) -> Result<Self, Self::Error> {
                match value {
                    $($value => Ok(Self::$item),)*
                    other => Err($crate::wire::WireError::UnknownKind(other)),
                }
            }
        }
    };
}
use kinds;
