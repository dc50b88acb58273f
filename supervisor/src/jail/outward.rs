//! What the one process that opens connections to elsewhere is given, beyond what every jailed process has: a user of
//! its own, what the configuration says of it, and files that are opened for it before its root is empty.
//!
//! ```text
//! 3 socket   4 resolv.conf   5 trusted certificates   6 IPv4 addresses of this machine   7 its IPv6 addresses
//! ```
//! The launcher opens the files, and never reads them.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use super::child::above;
use super::user::{self, User};

/// Where the machine says which name servers it asks.
const NAMES: &CStr = c"/etc/resolv.conf";
/// Where the machine says what addresses it has.
const ADDRESSES: [&CStr; 2] = [c"/proc/self/net/fib_trie", c"/proc/self/net/if_inet6"];
/// Where systems keep the certificates that they trust: Debian and Ubuntu, Fedora, openSUSE, Alpine.
const CERTIFICATES: [&CStr; 4] = [
    c"/etc/ssl/certs/ca-certificates.crt",
    c"/etc/pki/tls/certs/ca-bundle.crt",
    c"/etc/ssl/ca-bundle.pem",
    c"/etc/ssl/cert.pem",
];

/// See the module.
#[derive(Debug)]
pub(super) struct Outward {
    pub(super) user: User,
    /// What follows the name of the role.
    pub(super) arguments: Vec<CString>,
    /// Tried in order.
    certificates: Vec<CString>,
}

impl Outward {
    /// Reads the environment: `SSL_CERT_FILE` names certificates in place of the system's.
    pub(super) fn new(arguments: &[String]) -> Self {
        let own = std::env::var("SSL_CERT_FILE").ok().and_then(|path| CString::new(path).ok());
        let certificates = match own {
            Some(path) => vec![path],
            None => CERTIFICATES.iter().map(|&path| path.to_owned()).collect(),
        };
        let arguments = arguments.iter().filter_map(|one| CString::new(one.clone()).ok()).collect();
        Self { user: user::egress(), arguments, certificates }
    }

    /// In the child: the files, in their order; `null` where there is none.
    pub(super) fn open(&self, null: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
        let read = |path: &CStr| {
            let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty()).ok()
        };
        let certificates = self.certificates.iter().find_map(|path| read(path));
        let [four, six] = ADDRESSES;
        let files = [read(NAMES), certificates, read(four), read(six)];
        files.into_iter().map(|file| above(file.map_or_else(|| null.try_clone_to_owned(), Ok)?)).collect()
    }
}
