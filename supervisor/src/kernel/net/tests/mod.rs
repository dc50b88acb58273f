//! The edge over real loopback sockets, with real releases and a stand-in for the workers.

mod connections;
mod files;
mod http2;
mod requests;
mod stage;
