//! The HTTP edge and the control API.
//!
//! Called by `kernel::run` only. The edge reads strangers' bytes, framed by hyper; the control API those of
//! whoever `security` admits to the control socket, or who shows a token at the OS origin.
//!
//! What never happens here: a worker sees a cookie, a token or a word about the client that the edge did not
//! write; a client sees a field from a worker that speaks for the connection or the site; a file wakes a
//! worker; a client holds a connection without moving bytes.
//!
//! | task | file |
//! |---|---|
//! | which host is whose | `host.rs` |
//! | what may pass in a field | `fields.rs`, `cookies.rs` |
//! | what an author is told of fields that did not pass | `hints.rs` |
//! | serve a deployed file | `assets.rs`, `negotiate.rs`, `conditional.rs` |
//! | the way of a request; who asks | `edge/`; `edge/asked.rs` |
//! | connections and their times | `serve.rs`, `conns.rs` |
//! | TLS, certificates | `tls/` |
//! | bounds per client and app | `clients.rs` |
//! | signing in, the OS origin's pages | `identity/` |
//! | what an error looks like | `page.rs` |
//! | requests to elsewhere: the process, what apps reached | `egress/` |
//! | counters | `metrics.rs` |
//! | an operation of the command line, its OpenAPI description | `control/` |
//! | operations at the OS origin, for tokens | `api.rs` |

pub(crate) mod api;
mod assets;
mod body;
pub(crate) mod clients;
mod conditional;
mod conns;
pub(crate) mod control;
mod cookies;
pub(crate) mod edge;
pub(crate) mod egress;
mod fields;
pub(crate) mod hints;
mod host;
pub(crate) mod identity;
pub(crate) mod metrics;
mod negotiate;
mod page;
pub(crate) mod serve;
pub(crate) mod tls;

#[cfg(test)]
mod tests;
