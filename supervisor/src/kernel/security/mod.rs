//! Who asks, and what that allows.
//!
//! Every decision about a caller is made here and nowhere else. The result is a value that cannot be made
//! outside this module ([`Authority`], [`Admin`]) and must be handed on to whatever acts on it; so code that
//! forgot to ask does not compile. Nothing here reads bytes that a worker sent.
//!
//! | task | file |
//! |---|---|
//! | who a worker acts for | `principal.rs` |
//! | may this visitor reach this app | `edge.rs` |
//! | may this process command the server | `peer.rs` |

mod edge;
mod peer;
mod principal;

pub use edge::{Authority, Denied, Visitor, decide};
pub use peer::{Admin, Peer, PeerRefused, Server, admit};
pub use principal::Principal;
