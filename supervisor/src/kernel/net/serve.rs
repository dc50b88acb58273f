//! Listening sockets: accepts within the bounds, serves HTTP/1.1 and HTTP/2 on each connection, drains at the
//! end. hyper frames; nothing here looks at bytes.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::conns::{Clock, Conn, Conns, Secure, Watched};
use super::edge::{Apps, Edge};
use super::tls::{Accepted, Tls};
use crate::limits::{DRAIN, HTTP2_STREAMS_MAX, REQUEST_HEAD_BYTES_MAX, REQUEST_HEADERS_MAX, SWEEP};

/// To a client beyond its share of connections.
const SHARE: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: text/plain\r\ncontent-length: 40\r\n\r\ntoo many connections from your address.\n";

/// To a client for whom there is no room at all.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: text/plain\r\ncontent-length: 40\r\n\r\nthe server has too many connections now\n";

/// A running edge.
pub(crate) struct Serving {
    conns: Arc<Conns>,
    stop: watch::Sender<bool>,
}

/// Serves on these sockets, over TLS where there is one, until [`Serving::drain`].
pub(crate) fn serve<A: Apps>(
    edge: &Arc<Edge<A>>,
    listeners: Vec<(TcpListener, Option<Arc<Tls>>)>,
) -> Serving {
    let conns = Arc::new(Conns::default());
    let clock: Clock = Arc::new(AtomicU64::new(0));
    let (stop, stopping) = watch::channel(false);
    for (listener, tls) in listeners {
        let door = Door {
            edge: Arc::clone(edge),
            conns: Arc::clone(&conns),
            clock: Arc::clone(&clock),
            stopping: stopping.clone(),
            builder: builder(),
            tls,
        };
        tokio::spawn(door.accept(listener));
    }
    tokio::spawn(sweep(Arc::clone(edge), Arc::clone(&conns), clock, stopping));
    Serving { conns, stop }
}

impl Serving {
    /// Stops accepting and lets what is in flight finish, within a bound.
    pub(crate) async fn drain(&self) {
        let _ = self.stop.send(true);
        self.conns.leave_all();
        let deadline = tokio::time::Instant::now() + DRAIN;
        while self.conns.count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.conns.abort_all();
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_headers(REQUEST_HEADERS_MAX).max_buf_size(REQUEST_HEAD_BYTES_MAX).half_close(false);
    builder
        .http2()
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(REQUEST_HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(fazt_ipc::limits::CREDIT_BYTES)
        .initial_connection_window_size(4 * fazt_ipc::limits::CREDIT_BYTES)
        .max_send_buf_size(fazt_ipc::limits::CREDIT_BYTES as usize);
    builder
}

async fn sweep<A: Apps>(
    edge: Arc<Edge<A>>,
    conns: Arc<Conns>,
    clock: Clock,
    stopping: watch::Receiver<bool>,
) {
    let start = tokio::time::Instant::now();
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stopping.borrow() || conns.count() > 0 {
        tick.tick().await;
        let now = start.elapsed().as_secs();
        clock.store(now, Relaxed);
        edge.metrics.connections_timed_out.fetch_add(conns.sweep(now), Relaxed);
    }
}

struct Door<A> {
    edge: Arc<Edge<A>>,
    conns: Arc<Conns>,
    clock: Clock,
    stopping: watch::Receiver<bool>,
    builder: auto::Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
}

impl<A: Apps> Door<A> {
    async fn accept(self, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stop| *stop) => {
                    // The launcher holds the socket too: closing it here would leave new clients waiting in its
                    // queue. Shut down, they are refused at once and can go elsewhere.
                    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
                    return;
                }
            };
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                // A client that went away before it was accepted is no news.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors: give those that end a moment.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn admit(&self, socket: TcpStream, peer: SocketAddr) {
        let metrics = &self.edge.metrics;
        metrics.connections_total.fetch_add(1, Relaxed);
        let clients = &self.edge.clients;
        let full = self.conns.count() >= self.edge.config.limits.connections as usize;
        // A trusted proxy brings many clients; they are told apart request by request.
        let exempt = clients.exempt(peer.ip())
            || self.edge.config.trusted_proxies.iter().any(|net| net.contains(peer.ip()));
        let place = if exempt { None } else { clients.connect(peer.ip()) };
        if full || (place.is_none() && !exempt) {
            metrics.connections_refused.fetch_add(1, Relaxed);
            // As far as it goes without waiting: whoever reads before the end of the connection learns why.
            if self.tls.is_none() {
                let _ = socket.try_write(if full { FULL } else { SHARE });
            }
            return;
        }
        // Answers go out as they are written; without it the last segment of each would wait for an ACK.
        let _ = socket.set_nodelay(true);
        let conn = Conn::new(peer, Arc::clone(&self.clock), place);
        let key = self.conns.insert(Arc::clone(&conn));
        if *self.stopping.borrow() {
            conn.leave();
        }
        metrics.connections.fetch_add(1, Relaxed);
        let left = Left { edge: Arc::clone(&self.edge), conns: Arc::clone(&self.conns), key };
        let (edge, builder, tls) = (Arc::clone(&self.edge), self.builder.clone(), self.tls.clone());
        let task = tokio::spawn(async move {
            let _left = left;
            match tls {
                None => speak(socket, conn, edge, builder).await,
                Some(tls) => match conn.unless_leaving(tls.accept(socket)).await.flatten() {
                    Some(accepted) => {
                        let Accepted { stream, host, issued } = accepted;
                        conn.secured(Secure { host, issued });
                        speak(stream, conn, edge, builder).await;
                    }
                    None => {
                        edge.metrics.handshakes_failed.fetch_add(1, Relaxed);
                    }
                },
            }
        });
        self.conns.arm(key, task.abort_handle());
    }
}

/// Answers what comes on a connection until it ends.
async fn speak<A: Apps, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    socket: S,
    conn: Arc<Conn>,
    edge: Arc<Edge<A>>,
    builder: auto::Builder<TokioExecutor>,
) {
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&conn)));
    let asked = Arc::clone(&conn);
    let service = service_fn(move |request| Arc::clone(&edge).handle(Arc::clone(&asked), request));
    let mut serving = std::pin::pin!(builder.serve_connection(io, service));
    let mut leaving = false;
    // What goes wrong with a connection is its client's affair.
    let _ = std::future::poll_fn(|cx| {
        if !leaving && conn.is_leaving(cx) {
            leaving = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(cx)
    })
    .await;
}

/// Notes the end of a connection, however it ends.
struct Left<A> {
    edge: Arc<Edge<A>>,
    conns: Arc<Conns>,
    key: u64,
}

impl<A> Drop for Left<A> {
    fn drop(&mut self) {
        self.conns.remove(self.key);
        self.edge.metrics.connections.fetch_sub(1, Relaxed);
    }
}
