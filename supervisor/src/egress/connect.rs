//! The way to a host: its name is looked up once, every address that it stands for is looked at, and one of those very
//! addresses is connected to. Nobody looks the name up again.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use fazt_ipc::egress::{Fault, FaultKind};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::limits::{ADDRESSES_MAX, CONNECT, HANDSHAKE, NEXT_ADDRESS};
use super::names::{self, Names};
use super::{Settings, address, target};

/// Connects, for one client.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) settings: Arc<Settings>,
    pub(super) names: Arc<dyn Names>,
    /// None: this machine trusts nobody.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// A fault on its way through those who know errors only.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Fault);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for Refused {}

/// What certificates are checked by.
pub(super) fn tls(certificates: &[u8]) -> Option<Arc<ClientConfig>> {
    let mut trusted = RootCertStore::empty();
    // One that is malformed is not trusted; the others are.
    trusted.add_parsable_certificates(CertificateDer::pem_slice_iter(certificates).filter_map(Result::ok));
    if trusted.is_empty() {
        return None;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().ok()?;
    let mut config = config.with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(Arc::new(config))
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<TokioIo<Stream>, Fault> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let addresses = self.addresses(host).await?;
        let stream = any(&addresses, port).await.map_err(|fault| fault.at(host))?;
        // Requests are written whole and wait for their answers.
        let _ = stream.set_nodelay(true);
        if !https {
            return Ok(TokioIo::new(Stream::Plain(stream)));
        }
        let unsafe_ = |message: String| Fault::new(FaultKind::Tls, message).at(host);
        let tls = self.tls.clone().ok_or_else(|| {
            unsafe_(
                "the server has no certificates to check others by: install the package ca-certificates, or name a \
                 file of them in SSL_CERT_FILE"
                    .into(),
            )
        })?;
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(name).map_err(|_| unsafe_("no certificate can hold this name".into()))?;
        match timeout(HANDSHAKE, TlsConnector::from(tls).connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(TokioIo::new(Stream::Tls(Box::new(stream)))),
            Ok(Err(error)) => Err(unsafe_(format!("no safe connection: {}", plain(&error.to_string())))),
            Err(_) => {
                Err(Fault::new(FaultKind::Late, "it does not agree on a safe connection in time").at(host))
            }
        }
    }

    /// Every address of a host, all of which may be connected to.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Fault> {
        let found = match target::address(host) {
            Some(address) => Some(vec![address]),
            None => match names::of_this_machine(host) {
                Some(_) if !self.settings.test_network => {
                    return Err(Fault::new(FaultKind::Address, "it is this machine").at(host));
                }
                Some(here) => Some(here),
                None => self.names.look_up(host).await,
            },
        };
        let found = found.filter(|found| !found.is_empty());
        let found =
            found.ok_or_else(|| Fault::new(FaultKind::Name, "its name cannot be looked up").at(host))?;
        if found.len() > ADDRESSES_MAX {
            return Err(Fault::new(FaultKind::Name, "its name stands for too many addresses").at(host));
        }
        let refused = found
            .iter()
            .find_map(|&one| address::refused(one, &self.settings.own, self.settings.test_network));
        match refused {
            None => Ok(found),
            Some(what) => {
                let message = format!("it stands for an address that is closed to apps: {what}");
                Err(Fault::new(FaultKind::Address, message).at(host))
            }
        }
    }
}

/// A message of a library, fit for one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// The first of them that answers: each gets a head start before the next one.
async fn any(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Fault> {
    let mut running = FuturesUnordered::new();
    let mut waiting = addresses.iter();
    let mut why = io::Error::from(io::ErrorKind::TimedOut);
    let connect = |address: IpAddr| async move {
        match timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, port))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    loop {
        if running.is_empty() {
            match waiting.next() {
                Some(&address) => running.push(connect(address)),
                None => break,
            }
        }
        match timeout(NEXT_ADDRESS, running.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => why = error,
            Ok(None) => {}
            Err(_) => {
                if let Some(&address) = waiting.next() {
                    running.push(connect(address));
                }
            }
        }
    }
    let (kind, message) = match why.kind() {
        io::ErrorKind::TimedOut => (FaultKind::Late, "nobody answers there in time"),
        io::ErrorKind::ConnectionRefused => (FaultKind::Connect, "nobody listens there"),
        io::ErrorKind::PermissionDenied => (FaultKind::Connect, "this port is closed to apps"),
        _ => (FaultKind::Connect, "it cannot be reached"),
    };
    Err(Fault::new(kind, message))
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Refused;
    type Future = BoxFuture<'static, Result<TokioIo<Stream>, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map_err(Refused) })
    }
}

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            _ => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
