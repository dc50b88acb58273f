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
//! | certificates of an authority | `acme.rs` |
//! | the way to it; what it issued, looked at | `way.rs`, `issued.rs` |
//! | certificates of our own making | `own.rs` |

mod acme;
mod issued;
mod own;
mod way;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
use crate::config::{Config, TlsMode};
use crate::kernel::fs::Fs;
use crate::kernel::storage::StorageError;
use acme::Acme;
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
    /// An authority issued it.
    issued: bool,
    expires_unix_ms: u64,
    renew_unix_ms: u64,
}

/// How long the first client of a host waits for its certificate, before it is shown one of our own.
const ISSUE_PATIENCE: Duration = Duration::from_secs(8);

/// What serves TLS.
pub(crate) struct Tls {
    domain: String,
    mode: TlsMode,
    fs: Arc<Fs>,
    own: Own,
    acme: Option<Arc<Acme>>,
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
    /// It was shown a certificate that everybody trusts.
    pub(super) issued: bool,
}

impl Tls {
    /// As the configuration says. What it cannot get from an authority is of our own making, whose root is kept.
    ///
    /// # Errors
    /// When what is stored cannot be read, or nothing can be stored.
    pub(crate) async fn open(config: &Config, fs: &Arc<Fs>) -> Result<Arc<Self>, TlsError> {
        let own = Own::load(&config.domain, fs.storage()).await?;
        let tickets = ring::Ticketer::new().map_err(|error| TlsError::certificate("sessions", error))?;
        let nobody = builder().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let outbound = fs.outbound().filter(|_| config.tls.mode == TlsMode::Auto);
        let acme = outbound.map(|outbound| Acme::new(&config.tls, fs.storage(), outbound));
        Ok(Arc::new(Self {
            domain: config.domain.clone(),
            // Sockets for TLS were handed over. Should the configuration say otherwise since, that counts from the next
            // start on.
            mode: match config.tls.mode {
                TlsMode::Off => TlsMode::SelfSigned,
                mode => mode,
            },
            fs: Arc::clone(fs),
            own,
            acme,
            tickets,
            shown: Mutex::default(),
            nobody: Arc::new(nobody),
        }))
    }

    /// Gets certificates from the authority, until it is aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        let Some(acme) = &self.acme else { return };
        // Before anybody asks: the first page is the owner's.
        let _ = acme.certificate(&self.domain);
        let tls = Arc::clone(&self);
        Arc::clone(acme).run(move |host| host::routes(host, &tls.domain, &tls.fs)).await;
    }

    /// What an authority looks for at a path, as a proof that a host is ours.
    pub(super) fn proof_at(&self, path: &str) -> Option<String> {
        self.acme.as_ref()?.proof_at(path)
    }

    /// Agrees with a client. None: nothing came of it.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: S) -> Option<Accepted<S>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await.ok()?;
        let hello = start.client_hello();
        let host = hello.server_name().map(str::to_ascii_lowercase);
        let prove = hello.alpn().is_some_and(|mut offered| offered.any(|one| one == acme::PROOF));
        if prove {
            let proof = self.acme.as_ref().and_then(|acme| acme.proof(host.as_deref()?));
            let config = proof.unwrap_or_else(|| Arc::clone(&self.nobody));
            // The authority has seen what it wanted, and says nothing (RFC 8737, section 3).
            drop(start.into_stream(config).await);
            return None;
        }
        let shown = self.config(host.as_deref()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a client cannot be answered over TLS");
            None
        });
        let (config, issued) = shown.unwrap_or_else(|| (Arc::clone(&self.nobody), false));
        let stream = start.into_stream(config).await.ok()?;
        Some(Accepted { stream, host, issued })
    }

    /// The settings for a host, and whether an authority issued its certificate; none: it is not ours. A client that
    /// names none came by an address, and is shown the server's own.
    async fn config(&self, host: Option<&str>) -> Result<Option<(Arc<ServerConfig>, bool)>, TlsError> {
        let host = host.unwrap_or(&self.domain);
        if !host::routes(host, &self.domain, &self.fs) {
            self.shown().remove(host);
            return Ok(None);
        }
        let now = unix_ms();
        let good = |shown: &&Shown| now < shown.renew_unix_ms && (shown.issued || self.acme.is_none());
        if let Some(shown) = self.shown().get(host).filter(good) {
            return Ok(Some((Arc::clone(&shown.config), shown.issued)));
        }
        let issued = match &self.acme {
            Some(acme) => acme.certificate_soon(host, ISSUE_PATIENCE).await,
            None => None,
        };
        let made;
        let (identity, is_issued) = match &issued {
            Some(identity) => (&**identity, true),
            None => {
                // Until there is one of the authority, one of our own is as good as another.
                if let Some(shown) =
                    self.shown().get(host).filter(|shown| !shown.issued && now < shown.renew_unix_ms)
                {
                    return Ok(Some((Arc::clone(&shown.config), false)));
                }
                made = self.own.certificate(host, now)?;
                (&made, false)
            }
        };
        let mut config = single(host, identity.chain.clone(), identity.key.clone())?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(&self.tickets);
        // What a client may come back with is in its ticket: nothing is kept for it here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let config = Arc::new(config);
        let shown = Shown {
            config: Arc::clone(&config),
            issued: is_issued,
            expires_unix_ms: identity.expires_unix_ms,
            // One that is due and could not be renewed is looked for again with each client, until it has ended.
            renew_unix_ms: identity.renew_unix_ms,
        };
        let mut all = self.shown();
        if !all.contains_key(host) {
            all.retain(|host, _| host::routes(host, &self.domain, &self.fs));
        }
        all.insert(host.to_owned(), shown);
        Ok(Some((config, is_issued)))
    }

    /// What clients are shown.
    pub(crate) fn list(&self) -> CertificateList {
        let info = |(host, shown): (&String, &Shown)| CertificateInfo {
            host: host.clone(),
            issued: shown.issued,
            expires_unix_ms: shown.expires_unix_ms,
            renew_unix_ms: shown.renew_unix_ms,
            trouble: String::new(),
            try_unix_ms: None,
        };
        let ours = |host: &str| host::routes(host, &self.domain, &self.fs);
        let mut certificates: BTreeMap<_, _> =
            self.shown().iter().filter(|one| ours(one.0)).map(|one| (one.0.clone(), info(one))).collect();
        for (host, known) in self.acme.iter().flat_map(|acme| acme.hosts()).filter(|(host, _)| ours(host)) {
            let entry = certificates.entry(host.clone());
            let one = entry.or_insert_with(|| CertificateInfo { host, ..CertificateInfo::default() });
            if known.expires_unix_ms > 0 {
                one.issued = true;
                one.expires_unix_ms = known.expires_unix_ms;
                one.renew_unix_ms = known.renew_unix_ms;
            }
            one.try_unix_ms = Some(known.try_unix_ms).filter(|_| !known.trouble.is_empty());
            one.trouble = known.trouble;
        }
        let root_pem = Some(self.own.root_pem().to_owned()).filter(|_| self.acme.is_none());
        CertificateList {
            mode: self.mode.name().into(),
            root_pem,
            certificates: certificates.into_values().collect(),
        }
    }

    fn shown(&self) -> MutexGuard<'_, HashMap<String, Shown>> {
        // Nothing in it is half done when something panics.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One certificate, whatever host is asked for.
fn single(host: &str, chain: Vec<CertificateDer<'static>>, key: Vec<u8>) -> Result<ServerConfig, TlsError> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    builder().with_single_cert(chain, key).map_err(|error| TlsError::certificate(host, error))
}

/// TLS 1.2 and 1.3 with the suites that rustls finds good, all with forward secrecy.
fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    #[expect(clippy::expect_used, reason = "the provider has suites for both versions, whatever comes in")]
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("suites for the versions");
    builder.with_no_client_auth()
}
