//! Every bound of the supervisor in one place, asserted against each other. Those of the contract are in
//! `fazt_ipc::limits`.

use std::time::Duration;

/// Longest host name with its port: 253 of a name, and a port.
pub const HOST_BYTES_MAX: usize = 253 + 6;

/// Header fields of one request from a client: more are answered 431. The worker's bound is lower by the
/// fields that the edge sets itself.
pub const REQUEST_HEADERS_MAX: usize = fazt_ipc::limits::HEADERS_MAX;
/// Head of one request as it travels, and the read buffer of a connection.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields that the edge may add to a request for a worker.
pub const FORWARDED_FIELDS: usize = 6;
/// Requests on one HTTP/2 connection at once.
pub const HTTP2_STREAMS_MAX: u32 = 128;

/// A connection that has not sent a whole head within this time is closed.
pub const HEAD_S_MAX: u64 = 15;
/// A connection without a request for so long is closed.
pub const KEEP_ALIVE_S_MAX: u64 = 75;
/// A body that does not grow for so long, or a client that does not take bytes for so long, ends the connection.
pub const STALL_S_MAX: u64 = 30;
/// Requests on one connection before it is closed in an orderly way, so that no client keeps one for ever.
pub const REQUESTS_PER_CONNECTION_MAX: u32 = 100_000;
/// How often connections are looked at for the bounds above.
pub const SWEEP: Duration = Duration::from_secs(1);
/// Requests in flight get so long to finish when the server stops.
pub const DRAIN: Duration = Duration::from_secs(10);
/// A client may be so far ahead of its rate of requests.
pub const BURST_S: u64 = 4;
/// Client addresses remembered for limits. When there are more, the ones that are idle are forgotten.
pub const CLIENTS_MAX: usize = 65_536;

/// A large file leaves its cartridge in pieces of this size.
pub const PIECE_BYTES: u32 = 128 * 1024;

/// Connections that wait to be accepted, for each address. The system may have a lower bound.
pub const BACKLOG: i32 = 4_096;
/// Threads for work that blocks: SQLite, files. Few: the disk is one, and each thread has a stack and an arena.
pub const BLOCKING_THREADS_MAX: usize = 8;
/// A blocking thread without work goes after this time.
pub const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(5);
/// Blocking work gets so long to finish after everything else has ended.
pub const BLOCKING_LINGER: Duration = Duration::from_secs(2);

/// Connections to the control socket at once.
pub const CONTROL_CONNECTIONS_MAX: usize = 64;
/// Control connections get so long to be answered when the server stops.
pub const CONTROL_LINGER: Duration = Duration::from_secs(2);
/// Between two signs of life to the launcher. The service manager's patience is a multiple of it.
pub const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// JSON body of one control request. A deploy plan of the most files, each with the longest path, fits.
pub const CONTROL_JSON_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Requests of the admin API at once, logs that are followed included.
pub const API_REQUESTS_MAX: usize = 64;
/// Requests a second of one token, contents of deploys left out.
pub const API_REQUESTS_PER_S: f64 = 20.0;
/// A token may be so many requests ahead of its rate.
pub const API_BURST: f64 = 100.0;
/// Tokens of which the rate is remembered. When there are more, all begin anew.
pub const API_TOKENS_MAX: usize = 4_096;
/// Descriptors that the supervisor keeps back from connections, for databases, workers and files.
pub const DESCRIPTORS_KEPT: u64 = 2_048;

const _: () = assert!(HEAD_S_MAX < KEEP_ALIVE_S_MAX);
const _: () =
    assert!(fazt_ipc::limits::HEADER_BYTES_MAX + fazt_ipc::limits::URL_BYTES_MAX <= REQUEST_HEAD_BYTES_MAX);
const _: () =
    assert!(CONTROL_JSON_BYTES_MAX >= fazt_ipc::limits::FILES_MAX * (fazt_ipc::limits::PATH_BYTES_MAX + 256));
