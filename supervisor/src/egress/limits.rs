//! Bounds of the process that opens connections to elsewhere.

use std::time::Duration;

/// One address is tried for so long.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The next address is tried beside it after this time: what browsers do.
pub(super) const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// Name and certificate are agreed on within this time.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// A name is looked up within this time.
pub(super) const LOOK_UP: Duration = Duration::from_secs(5);
/// Addresses of one name that are looked at; a name with more is refused.
pub(super) const ADDRESSES_MAX: usize = 64;
/// A connection that nobody uses is closed after this time.
pub(super) const IDLE: Duration = Duration::from_secs(20);
/// Idle connections that are kept to one host, for one lane.
pub(super) const IDLE_PER_HOST: usize = 2;
/// Lanes whose connections are kept.
pub(super) const LANES_MAX: usize = 32;
/// Read buffer of a connection: no header of a response can be larger.
pub(super) const BUFFER_BYTES_MAX: usize = 48 * 1024;
/// What may come of one HTTP/2 response, and on one connection, before it is taken.
pub(super) const WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes of a body that are made or sent at a time.
pub(super) const PIECE_BYTES: usize = 16 * 1024;
/// Memory that windows of decompression may take, in MiB: of all requests, and of one lane.
pub(super) const DECODERS_MIB: u32 = 32;
/// See [`DECODERS_MIB`].
pub(super) const DECODERS_MIB_PER_LANE: u32 = 16;
/// Answers that are kept for one lane.
pub(super) const CACHE_BYTES_PER_LANE: usize = 512 * 1024;
/// One of them.
pub(super) const CACHE_ENTRY_BYTES_MAX: usize = 128 * 1024;
/// Largest window of zstd, as a power of two: what RFC 9659 has for content encodings.
pub(super) const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Of `/etc/resolv.conf`.
pub(super) const RESOLV_BYTES_MAX: u64 = 64 * 1024;
/// Of the file of trusted certificates.
pub(super) const CERTIFICATES_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Of the kernel's lists of addresses.
pub(super) const ADDRESSES_BYTES_MAX: u64 = 1024 * 1024;

const _: () = assert!(BUFFER_BYTES_MAX > fazt_ipc::egress::limits::FIELDS_BYTES_MAX);
const _: () = assert!(CACHE_ENTRY_BYTES_MAX < CACHE_BYTES_PER_LANE);
// Beside what is on its way, which is as much again: see the jail's own bound.
const _: () =
    assert!(DECODERS_MIB as usize * 1024 * 1024 + LANES_MAX * CACHE_BYTES_PER_LANE <= 64 * 1024 * 1024);
const _: () = assert!(DECODERS_MIB_PER_LANE < DECODERS_MIB);
