//! Drives the real `fazt` binary: real processes, real sockets, the real sandbox. Nothing in here knows how
//! Fazt works inside.
//!
//! | piece | file |
//! |---|---|
//! | a server on a data folder of its own, stopped and checked for orphans at the end | `server.rs` |
//! | `fazt` as a command, with its JSON | `command.rs` |
//! | an HTTP/1.1 client that shows the bytes | `http.rs` |
//! | a browser with cookies, redirects and forms | `browser.rs` |
//! | folders to deploy | `folder.rs` |
//! | an answer against its description | `schema.rs` |
//! | programs and libraries from npm | `npm.rs` |
//! | TLS in front of a server | `tls.rs` |
//! | random numbers that can be had again | `random.rs` |

pub mod acme;
mod browser;
mod command;
mod folder;
mod git;
mod http;
mod npm;
mod random;
pub mod schema;
mod server;
pub mod tls;

pub use browser::{Browser, Page};
pub use command::{Outcome, fazt, fazt_command, fazt_path};
pub use folder::Folder;
pub use git::{GitServer, Repository};
pub use http::{Client, Response};
pub use npm::npm;
pub use random::{noise, seed};
pub use server::{PASSWORD, Server, ServerOptions};
