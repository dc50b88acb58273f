//! Where an app comes from: what a person types, and what is said to a Git server to get it. Nothing here opens a
//! connection: [`Origin`] and [`Client`] say which request to send, and read what came back. Every answer is hostile.
//!
//! ```text
//! Origin::parse ─▶ Client::new ─▶ advertisement ─▶ refs ─▶ fetch ─▶ Prepare::unpack
//!                                  GET              POST    POST      in a jail
//! ```
//! A commit that is named with all of its 40 digits needs no `refs`.
//!
//! | file | what |
//! |---|---|
//! | `spec.rs` | `github.com/owner/repo@ref#folder` and its relatives |
//! | `pkt.rs` | the lines of Git's protocol, bounded |
//! | `client.rs` | version 2 of the protocol: capabilities, references, one commit |

mod client;
mod pkt;
mod spec;
#[cfg(test)]
mod tests;

pub use client::{Client, GitError, PackReader, Reference, RefsReader, Request};
pub use spec::{Origin, OriginError};
