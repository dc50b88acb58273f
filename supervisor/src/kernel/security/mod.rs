//! Who asks, and what that allows.
//!
//! Every decision about a caller is made here and nowhere else. The result is a value that cannot be made
//! outside this module ([`Authority`], [`Admin`]) and must be handed on to whatever acts on it; so code that
//! forgot to ask does not compile. Nothing here reads bytes that a worker sent.
//!
//! | task | file |
//! |---|---|
//! | who a worker acts for | `principal.rs`, `actor.rs` |
//! | may this visitor reach this app | `edge.rs` |
//! | may this process command the server | `peer.rs` |
//! | what an app may ask the owner for | `permission.rs` |
//! | what a token may command, and the table of scopes | `commander.rs` |
//! | sign-in, links, sessions, tokens, users, the audit log | `identity/` |
//! | what is remembered of people, behind a trait | `book.rs` |
//! | passwords; secrets that we hand out | `password.rs`, `secret.rs` |
//! | how often somebody may try | `throttle.rs` |
//! | turns at what is expensive; what waits for an answer | `turns.rs`, `waiting.rs` |
//! | browsers that were signed in before | `device.rs` |
//! | a sign-in carried from one origin to another | `codes.rs` |
//! | passkeys; codes of an app and recovery codes | `passkey.rs`, `totp.rs` |
//! | tokens for one audience, signed | `jwt.rs` |
//! | values that lie in a database sealed | `seal.rs` |
//! | clock and randomness | `world.rs` |

mod actor;
pub mod book;
mod codes;
mod commander;
mod device;
mod edge;
pub mod identity;
mod jwt;
pub mod passkey;
mod password;
mod peer;
mod permission;
mod principal;
mod seal;
mod secret;
mod throttle;
mod totp;
mod turns;
mod waiting;
mod world;

pub use actor::Actor;
pub use commander::{Commander, Need, Refusal, Subject};
pub use edge::{Authority, Denied, Person, Visitor, decide, follow};
pub use identity::{Identity, IdentityError};
pub use jwt::{Claims, Jwt};
pub use peer::{Admin, Peer, PeerRefused, Server, admit};
pub use permission::{NoPermission, Permission};
pub use principal::Principal;
pub use seal::Sealer;
pub use secret::{Mark, Secret, same};
#[cfg(test)]
pub(crate) use totp::code_at;
#[cfg(test)]
pub(crate) use world::Fixed;
pub use world::{Real, World};
