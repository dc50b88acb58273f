//! The edge over real loopback sockets, with real releases and a stand-in for the workers.

mod connections;
mod files;
mod requests;
mod stage;
