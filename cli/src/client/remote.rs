//! The way to a server elsewhere: its name is looked up, its certificate checked against those that this machine
//! trusts. No byte, and so no token, goes out before that.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fazt_ipc::control::{ErrorKind, Problem};
use hickory_resolver::TokioResolver;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::place::Url;
use crate::error::{Done, failed, plain, problem};

/// One address is tried for so long.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects.
pub(super) async fn connect(url: &Url) -> Done<Box<dyn Stream>> {
    let mut trouble = format!("{} has no address", url.host);
    for address in addresses(url).await? {
        match timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, url.port))).await {
            Ok(Ok(stream)) => {
                // Requests are small and wait for their answers.
                let _ = stream.set_nodelay(true);
                return if url.https { encrypt(url, stream).await } else { Ok(Box::new(stream)) };
            }
            Ok(Err(error)) => trouble = plain(&error.to_string()),
            Err(_) => trouble = format!("no answer within {} s", CONNECT.as_secs()),
        }
    }
    Err(unreachable(url, &trouble))
}

fn unreachable(url: &Url, why: &str) -> Problem {
    problem(
        ErrorKind::Unreachable,
        format!("cannot reach the server at {url}: {why}"),
        "fazt host list shows saved servers",
    )
}

async fn addresses(url: &Url) -> Done<Vec<IpAddr>> {
    if let Some(address) = url.address() {
        return Ok(vec![address]);
    }
    let here = url.loopback();
    if !here.is_empty() {
        return Ok(here);
    }
    match look_up(&url.host).await {
        Ok(found) => Ok(found),
        Err(error) => Err(unreachable(url, &format!("its name cannot be looked up: {error}"))),
    }
}

/// Addresses of a host, by the name servers of this machine.
pub(crate) async fn look_up(host: &str) -> Result<Vec<IpAddr>, hickory_resolver::net::NetError> {
    let resolver = TokioResolver::builder_tokio()?.build()?;
    let found = resolver.lookup_ip(format!("{}.", host.trim_end_matches('.'))).await?;
    Ok(found.iter().collect())
}

async fn encrypt(url: &Url, stream: TcpStream) -> Done<Box<dyn Stream>> {
    let mut trusted = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // One that is malformed is not trusted; the others are.
    trusted.add_parsable_certificates(found.certs);
    if trusted.is_empty() {
        return Err(problem(
            ErrorKind::Failed,
            "this machine has no certificates to check the server's against",
            "install the package ca-certificates, or name a file of them in SSL_CERT_FILE",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(format!("cannot encrypt: {error}")))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| failed(format!("{} is not a name that a certificate can hold", url.host)))?;
    match timeout(CONNECT, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(problem(
            ErrorKind::Unreachable,
            format!("no safe connection to {url}: {}", plain(&error.to_string())),
            "the certificate must name this host and be signed by somebody whom this machine trusts; one of your own \
             can be named in SSL_CERT_FILE",
        )),
        Err(_) => Err(unreachable(url, &format!("no handshake within {} s", CONNECT.as_secs()))),
    }
}
