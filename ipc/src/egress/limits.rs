//! Bounds of what goes out, asserted against each other. Those of apps are what SANDBOX promises; the kernel's own
//! requests, for the code of an app that is installed, may take more, and say so each time.

use crate::limits::{FRAME_BODY_BYTES_MAX, URL_BYTES_MAX};

/// Requests in flight, of all apps and the kernel together.
pub const STREAMS_MAX: usize = 128;
/// Body bytes that a sender may have on the way without credit from the receiver, each stream and direction. With all
/// streams open this is what either side holds at most.
pub const CREDIT_BYTES: u32 = 128 * 1024;

/// Body of one app's response as it comes, and again as it is after decompression.
pub const APP_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Body of one response that the kernel itself asks for: an archive of a repository, a package.
pub const KERNEL_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Body of one request.
pub const SENT_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// One app's request, from its first byte to the last of its response, in milliseconds.
pub const APP_WALL_MS_MAX: u32 = 30_000;
/// The same for a request of the kernel.
pub const KERNEL_WALL_MS_MAX: u32 = 600_000;

/// Header fields of one request or response.
pub const FIELDS_MAX: usize = 100;
/// Names and values of all header fields together. Secrets may be in them, so there is more room than what a worker
/// may send.
pub const FIELDS_BYTES_MAX: usize = 20 * 1024;
/// Hosts that one request may be led to.
pub const HOSTS_MAX: usize = 100;
/// Longest host name that DNS allows.
pub const HOST_BYTES_MAX: usize = 253;
/// Names of hosts together: as many and as long as a manifest may have them.
pub const HOSTS_BYTES_MAX: usize = HOSTS_MAX * HOST_BYTES_MAX;
/// Longest message of a fault.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Redirects that are followed; one more is a fault.
pub const REDIRECTS_MAX: usize = 5;
/// Body of a request that is kept to be sent again after a redirect that wants it so.
pub const REPLAY_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(CREDIT_BYTES as usize >= FRAME_BODY_BYTES_MAX);
const _: () = assert!(FIELDS_BYTES_MAX >= crate::limits::HEADER_BYTES_MAX);
// Lengths in front of each field and host are at most three bytes.
const _: () = assert!(
    FIELDS_BYTES_MAX + FIELDS_MAX * 8 + HOSTS_BYTES_MAX + HOSTS_MAX * 4 + URL_BYTES_MAX + 1024
        < FRAME_BODY_BYTES_MAX
);
const _: () = assert!(REPLAY_BYTES_MAX <= CREDIT_BYTES as usize);
const _: () = assert!(APP_BYTES_MAX <= KERNEL_BYTES_MAX && APP_WALL_MS_MAX <= KERNEL_WALL_MS_MAX);
