//! Tells the service manager that the server serves, lives and stops: `sd_notify`, by hand.

use std::env;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType};

/// Where the service manager listens, if it asked to be told.
#[derive(Debug, Default)]
pub(super) struct Notify(Option<SocketAddrUnix>);

impl Notify {
    /// Reads `NOTIFY_SOCKET`.
    pub(super) fn from_environment() -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Self(None) };
        let bytes = path.as_encoded_bytes();
        Self(match bytes.split_first() {
            Some((b'@', name)) => SocketAddrUnix::new_abstract_name(name).ok(),
            Some((b'/', _)) => SocketAddrUnix::new(bytes).ok(),
            _ => None,
        })
    }

    /// Says `state`. That nobody hears it changes nothing.
    pub(super) fn say(&self, state: &str) {
        let Some(address) = &self.0 else { return };
        if let Ok(socket) = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None) {
            let _ = rustix::net::sendto(
                socket,
                state.as_bytes(),
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                address,
            );
        }
    }
}
