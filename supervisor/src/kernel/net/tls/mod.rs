//! TLS: which certificate a client is shown, and what is agreed with it before its first request.
//!
//! ```text
//! hello ─▶ host ─▶ one of ours? ─▶ its certificate ─▶ handshake ─▶ HTTP/1.1 or HTTP/2
//!                   no: refused                        within the time for a head
//! ```
//! The bytes are a stranger's; rustls bounds and parses them. A certificate is shown, or made, only for a host that
//! routes: the server's own, or that of an app. On a connection for one host no other one is asked for: see
//! [`Conn::secure`](super::conns::Conn::secure).
//!
//! | task | file |
//! |---|---|
//! | certificates of our own making | `own.rs` |

mod own;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fazt_ipc::control::{CertificateInfo, CertificateList};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::{
    Acceptor, NoServerSessionStorage, ProducesTickets, ResolvesServerCertUsingSni,
};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::edge::unix_ms;
use super::host;
use crate::config::TlsMode;
use crate::kernel::fs::Fs;
use crate::kernel::storage::StorageError;
use own::Own;

/// What is offered inside (RFC 7301); the first that both know.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What is stored cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A certificate or key is none, or cannot be made.
    #[error("the certificate of {name}: {detail}")]
    Certificate {
        /// Of what.
        name: String,
        /// What the library says.
        detail: String,
    },
}

impl TlsError {
    fn certificate(name: &str, error: impl std::fmt::Display) -> Self {
        Self::Certificate { name: name.to_owned(), detail: error.to_string() }
    }
}

/// A certificate, with what it was signed by, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    /// As PKCS #8.
    key: Vec<u8>,
    /// Good until then, in milliseconds since 1970.
    expires_unix_ms: u64,
    /// Another one is due then.
    renew_unix_ms: u64,
}

/// A host that clients asked for.
struct Shown {
    config: Arc<ServerConfig>,
    expires_unix_ms: u64,
    renew_unix_ms: u64,
}

/// What serves TLS.
pub(crate) struct Tls {
    domain: String,
    fs: Arc<Fs>,
    own: Own,
    tickets: Arc<dyn ProducesTickets>,
    /// By host: those that clients asked for. As many as there are apps, at most.
    shown: Mutex<HashMap<String, Shown>>,
    /// Answers whoever asks for a host that is not ours.
    nobody: Arc<ServerConfig>,
}

/// A connection, and the host that its client named.
pub(super) struct Accepted<S> {
    pub(super) stream: TlsStream<S>,
    /// In lower case; none: the client named none.
    pub(super) host: Option<String>,
}

impl Tls {
    /// With certificates of our own making, whose root is kept.
    ///
    /// # Errors
    /// When what is stored cannot be read, or nothing can be stored.
    pub(crate) async fn own(domain: &str, fs: &Arc<Fs>) -> Result<Self, TlsError> {
        let own = Own::load(domain, fs.storage()).await?;
        let tickets = ring::Ticketer::new().map_err(|error| TlsError::certificate("sessions", error))?;
        let nobody = builder().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        Ok(Self {
            domain: domain.to_owned(),
            fs: Arc::clone(fs),
            own,
            tickets,
            shown: Mutex::default(),
            nobody: Arc::new(nobody),
        })
    }

    /// Agrees with a client. None: nothing came of it.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: S) -> Option<Accepted<S>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await.ok()?;
        let host = start.client_hello().server_name().map(str::to_ascii_lowercase);
        let config = self.config(host.as_deref()).unwrap_or_else(|error| {
            tracing::error!(%error, "a client cannot be answered over TLS");
            None
        });
        let stream = start.into_stream(config.unwrap_or_else(|| Arc::clone(&self.nobody))).await.ok()?;
        Some(Accepted { stream, host })
    }

    /// The settings for a host; none: it is not ours. A client that names none came by an address, and is shown the
    /// server's own.
    fn config(&self, host: Option<&str>) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        let host = host.unwrap_or(&self.domain);
        let ours = host::routes(host, &self.domain, &self.fs);
        let mut shown = self.shown();
        if !ours {
            shown.remove(host);
            return Ok(None);
        }
        let now = unix_ms();
        if let Some(shown) = shown.get(host)
            && now < shown.renew_unix_ms
        {
            return Ok(Some(Arc::clone(&shown.config)));
        }
        let Identity { chain, key, expires_unix_ms, renew_unix_ms } = self.own.certificate(host, now)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let config = builder().with_single_cert(chain, key);
        let mut config = config.map_err(|error| TlsError::certificate(host, error))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(&self.tickets);
        // What a client may come back with is in its ticket: nothing is kept for it here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let config = Arc::new(config);
        let made = Shown { config: Arc::clone(&config), expires_unix_ms, renew_unix_ms };
        shown.insert(host.to_owned(), made);
        Ok(Some(config))
    }

    /// What clients have been shown.
    pub(crate) fn list(&self) -> CertificateList {
        let info = |(host, shown): (&String, &Shown)| CertificateInfo {
            host: host.clone(),
            expires_unix_ms: shown.expires_unix_ms,
            renew_unix_ms: shown.renew_unix_ms,
        };
        let mut certificates: Vec<_> = self.shown().iter().map(info).collect();
        certificates.sort_unstable_by(|one, other| one.host.cmp(&other.host));
        let root_pem = Some(self.own.root_pem().to_owned());
        CertificateList { mode: TlsMode::SelfSigned.name().into(), root_pem, certificates }
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
        // Nothing in it is half done when something panics.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// TLS 1.2 and 1.3 with the suites that rustls finds good, all with forward secrecy.
fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    #[expect(clippy::expect_used, reason = "the provider has suites for both versions, whatever comes in")]
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("suites for the versions");
    builder.with_no_client_auth()
}
