//! The egress role: the one process that opens connections to elsewhere, for all apps and for the kernel. It holds no
//! file, no capability, and nothing of an app but what is on its way; every byte that it reads may be hostile, from
//! either side.
//!
//! ```text
//! kernel ─Request─▶ link ─▶ exchange ─▶ target (what the URL means, which hosts) ─▶ connect (name, addresses, TLS)
//!        ◀─Head, Body─ link ◀─ decode ◀─ body
//! ```
//!
//! | task | file |
//! |---|---|
//! | a bound | `limits.rs`, and those that the kernel knows too in `fazt_ipc::egress::limits` |
//! | which addresses are closed | `address.rs` |
//! | what a URL means, which scheme and port | `target.rs` |
//! | looking up a name | `names.rs` |
//! | connecting, certificates | `connect.rs` |
//! | header fields, what is secret | `fields.rs` |
//! | redirects, caps, the body of a response | `exchange.rs` |
//! | the body of a request | `upload.rs` |
//! | decompression | `decode.rs` |
//! | what is kept between two requests, and for whom | `lanes.rs`, `cache.rs` |
//! | the socket to the kernel | `link.rs` |

mod address;
mod cache;
mod connect;
mod decode;
mod exchange;
mod fields;
mod lanes;
mod limits;
mod link;
mod names;
mod target;
mod upload;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use fazt_ipc::egress::{BEGIN, Malformed, READY};
use tokio::sync::Semaphore;

use connect::Connector;
use lanes::Lanes;
use limits::{ADDRESSES_BYTES_MAX, CERTIFICATES_BYTES_MAX, DECODERS_MIB, RESOLV_BYTES_MAX};
use names::Dns;
pub(crate) use names::Names;

/// Argument that opens loopback, plain http and every port: for tests.
pub(crate) const TEST_NETWORK: &str = "--test-network";
/// Argument before the server's own host.
pub(crate) const DOMAIN: &str = "--domain";

/// What the process is told once.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// See [`TEST_NETWORK`].
    pub(crate) test_network: bool,
    /// The server's own host; apps are below it.
    pub(crate) domain: String,
    /// Addresses of this machine.
    pub(crate) own: Vec<IpAddr>,
}

impl Settings {
    /// Reads the arguments of the process.
    pub(crate) fn of(arguments: impl Iterator<Item = String>) -> Self {
        let arguments: Vec<String> = arguments.collect();
        let domain = arguments.iter().skip_while(|one| *one != DOMAIN).nth(1);
        Self {
            test_network: arguments.iter().any(|one| one == TEST_NETWORK),
            domain: domain.cloned().unwrap_or_default(),
            own: Vec::new(),
        }
    }

    /// Whether a host is this server itself, or one of its apps. In the test network `localhost` is everybody's.
    fn is_own(&self, host: &str) -> bool {
        let nobodys = self.domain.is_empty() || (self.test_network && self.domain == "localhost");
        !nobodys
            && (host == self.domain
                || host.strip_suffix(&self.domain).is_some_and(|below| below.ends_with('.')))
    }
}

/// What was handed to the process, read and closed before it locks itself down.
pub(crate) struct Prepared {
    client: Client,
}

/// Whoever carries requests out.
struct Client {
    settings: Arc<Settings>,
    lanes: Lanes,
    /// Memory that all decompression may take, in MiB.
    decoders: Arc<Semaphore>,
}

/// Reads what was handed over: name servers, certificates, addresses of this machine.
pub(crate) fn prepare(mut settings: Settings, files: [Option<OwnedFd>; 4]) -> Prepared {
    let read = |file: Option<OwnedFd>, bytes_max: u64| {
        let mut bytes = Vec::new();
        if let Some(file) = file {
            // What cannot be read is as what is not there; it is said when it is needed.
            let _ = File::from(file).take(bytes_max).read_to_end(&mut bytes);
        }
        bytes
    };
    let [names, certificates, four, six] = files;
    let names: Arc<dyn Names> = Arc::new(Dns::new(&read(names, RESOLV_BYTES_MAX)));
    let tls = connect::tls(&read(certificates, CERTIFICATES_BYTES_MAX));
    let (four, six) = (read(four, ADDRESSES_BYTES_MAX), read(six, ADDRESSES_BYTES_MAX));
    settings.own = address::own(&String::from_utf8_lossy(&four), &String::from_utf8_lossy(&six));
    Prepared { client: Client::new(settings, names, tls) }
}

impl Client {
    fn new(
        settings: Settings,
        names: Arc<dyn Names>,
        tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
    ) -> Self {
        let settings = Arc::new(settings);
        let lanes = Lanes::new(Connector { settings: Arc::clone(&settings), names, tls });
        Self { settings, lanes, decoders: Arc::new(Semaphore::new(DECODERS_MIB as usize)) }
    }
}

/// The role inside a test, whose names mean what the test says. The other end of the socket is the kernel's.
#[cfg(test)]
pub(crate) async fn serve_here(
    socket: tokio::net::UnixStream,
    settings: Settings,
    names: Arc<dyn Names>,
    certificates: &[u8],
) -> Result<(), Malformed> {
    link::serve(socket, Arc::new(Client::new(settings, names, connect::tls(certificates)))).await
}

/// Why the process ends before the kernel wants it to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The kernel does not keep to the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The system gives no runtime or socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Says that it is locked, and serves until the kernel closes the socket.
///
/// # Errors
/// See [`ServeError`].
pub(crate) fn serve(socket: OwnedFd, prepared: Prepared) -> Result<(), ServeError> {
    let mut socket = UnixStream::from(socket);
    // One word before anything else is open: now the launcher looks, and nothing is opened until it has.
    socket.write_all(READY)?;
    let mut word = [0; BEGIN.len()];
    socket.read_exact(&mut word)?;
    if &word != BEGIN {
        return Err(Malformed("another word than the first").into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    socket.set_nonblocking(true)?;
    runtime.block_on(async {
        let socket = tokio::net::UnixStream::from_std(socket)?;
        link::serve(socket, Arc::new(prepared.client)).await?;
        Ok(())
    })
}
