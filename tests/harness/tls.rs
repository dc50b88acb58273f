//! A front that speaks TLS and passes what is inside on to a server, with a certificate that is made for it. It says
//! so to a server that trusts it as its proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A front. Its thread lives as long as the process.
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
    passed: Arc<Passed>,
}

/// What clients sent inside.
#[derive(Default)]
struct Passed {
    bytes: AtomicU64,
    asked: Mutex<Vec<String>>,
}

impl Front {
    /// Starts one in front of `server`, whose certificate is for `name` and signed by itself.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(server: SocketAddr, name: &str) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), server, name)
    }

    /// The same at another address of this machine.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn at(address: IpAddr, server: SocketAddr, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("authority.pem"), made.cert.pem()).expect("a file");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocols")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a key for its certificate");
        let listener = std::net::TcpListener::bind((address, 0)).expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address");
        let passed = Arc::<Passed>::default();
        let counted = Arc::clone(&passed);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let acceptor = TlsAcceptor::from(Arc::new(config));
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(pass(acceptor.clone(), stream, server, Arc::clone(&counted)));
                }
            });
        });
        Self { address, folder, passed }
    }

    /// The file that a client must trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Requests that clients sent inside, each as `GET /path?query`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.passed.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that clients sent inside.
    #[must_use]
    pub fn bytes_passed(&self) -> u64 {
        self.passed.bytes.load(Ordering::SeqCst)
    }
}

/// The method and path of a request that begins here, and where its fields begin. A client sends a head whole.
fn head(piece: &[u8]) -> Option<(String, usize)> {
    let end = piece.windows(2).position(|two| two == b"\r\n")?;
    let asked = std::str::from_utf8(&piece[..end]).ok()?.strip_suffix(" HTTP/1.1")?;
    Some((asked.to_owned(), end + 2))
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, server: SocketAddr, counted: Arc<Passed>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = tokio::io::split(stream);
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut piece = [0; 16 * 1024];
        while let Ok(bytes @ 1..) = from_client.read(&mut piece).await {
            counted.bytes.fetch_add(bytes as u64, Ordering::SeqCst);
            let piece = match head(&piece[..bytes]) {
                None => piece[..bytes].to_vec(),
                Some((asked, fields)) => {
                    counted.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
                    [&piece[..fields], b"x-forwarded-proto: https\r\n", &piece[fields..bytes]].concat()
                }
            };
            if to_server.write_all(&piece).await.is_err() {
                break;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let down = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}
