//! Connections and the time they may take. Nothing on the hot path sets a timer: a connection notes when it
//! last did something, and one sweep a second closes those that are over a bound.
//!
//! ```text
//! opened ──whole head──▶ answering ──last body ends──▶ idle ──next head──▶ answering …
//!   HEAD_S_MAX             STALL_S_MAX without a byte    KEEP_ALIVE_S_MAX; HEAD_S_MAX once a head has begun
//! ```
//! A client may refuse bytes in two ways: by not reading, which the socket tells, and in HTTP/2 by opening no
//! window, which only the body tells that nobody asks for its next piece.
//! ```text
//! piece given ──asked for the next──▶ … ──end──▶ done
//!   STALL_S_MAX, unless the connection sends
//! ```

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

use super::clients::{Connected, Place};
use crate::limits::{HEAD_S_MAX, KEEP_ALIVE_S_MAX, STALL_S_MAX};

/// Seconds since start, told by the sweep.
pub(crate) type Clock = Arc<AtomicU64>;

/// What was agreed over TLS.
#[derive(Debug)]
pub(crate) struct Secure {
    /// The host that the client named, in lower case.
    pub(crate) host: Option<String>,
    /// It was shown a certificate that everybody trusts.
    pub(crate) issued: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// Its address as a field value.
    pub(crate) peer_value: HeaderValue,
    clock: Clock,
    /// Requests whose answer is not finished.
    in_flight: AtomicU32,
    served: AtomicU32,
    http2: AtomicBool,
    /// When nothing was in flight any more.
    idle_since_s: AtomicU64,
    /// When the first byte of a head came, plus 1; 0: none has begun.
    head_since_s: AtomicU64,
    last_read_s: AtomicU64,
    /// Since when the client takes no bytes, plus 1; 0: it does.
    blocked_since_s: AtomicU64,
    /// Request bodies that are waited for.
    awaited: AtomicU32,
    /// Bodies of answers that gave a piece and were not asked for the next.
    unasked: AtomicU32,
    /// When one of them last gave or was asked.
    last_piece_s: AtomicU64,
    /// When the connection last sent more than the small frames with which HTTP/2 speaks of itself.
    last_sent_s: AtomicU64,
    /// Once TLS is agreed.
    secure: OnceLock<Secure>,
    /// It ends with the request that is in flight.
    leaving: AtomicBool,
    /// Its task, from its first turn on: a task keeps its waker for life.
    task: OnceLock<Waker>,
    _place: Option<Connected>,
}

impl Conn {
    /// A connection that was accepted just now.
    pub(crate) fn new(peer: SocketAddr, clock: Clock, place: Option<Connected>) -> Arc<Self> {
        let address = peer.ip().to_canonical().to_string();
        let now = clock.load(Relaxed);
        Arc::new(Self {
            peer,
            peer_value: HeaderValue::from_maybe_shared(Bytes::from(address))
                .unwrap_or(HeaderValue::from_static("unknown")),
            clock,
            in_flight: AtomicU32::new(0),
            served: AtomicU32::new(0),
            http2: AtomicBool::new(false),
            idle_since_s: AtomicU64::new(now),
            head_since_s: AtomicU64::new(now + 1),
            last_read_s: AtomicU64::new(now),
            blocked_since_s: AtomicU64::new(0),
            awaited: AtomicU32::new(0),
            unasked: AtomicU32::new(0),
            last_piece_s: AtomicU64::new(now),
            last_sent_s: AtomicU64::new(now),
            secure: OnceLock::new(),
            leaving: AtomicBool::new(false),
            task: OnceLock::new(),
            _place: place,
        })
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>, http2: bool) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.head_since_s.store(0, Relaxed);
        self.served.fetch_add(1, Relaxed);
        if http2 {
            self.http2.store(true, Relaxed);
        }
        InFlight { conn: Arc::clone(self), http2, unasked: false, _app: None }
    }

    /// TLS is agreed.
    pub(super) fn secured(&self, agreed: Secure) {
        // It is agreed once.
        let _ = self.secure.set(agreed);
    }

    /// Whether it is over TLS. A client that named a host is answered for that one only: what it has seen the
    /// certificate of.
    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.get()
    }

    /// Requests that began on it.
    pub(crate) fn served(&self) -> u32 {
        self.served.load(Relaxed)
    }

    /// Has it end in an orderly way.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Whether it shall end; asked by its task, which is woken when that changes.
    pub(crate) fn is_leaving(&self, cx: &Context<'_>) -> bool {
        // First the waker, then the question: one of the two sides sees the other's word.
        self.task.get_or_init(|| cx.waker().clone());
        self.leaving.load(SeqCst)
    }

    /// What the future comes to, unless the connection shall end before: what is not agreed by then is not waited for.
    pub(crate) async fn unless_leaving<F: Future>(&self, future: F) -> Option<F::Output> {
        let leaving = std::future::poll_fn(|cx| match self.is_leaving(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            outcome = future => Some(outcome),
            () = leaving => None,
        }
    }

    /// Whether it is over a bound.
    fn is_over(&self, now: u64) -> bool {
        let since = |mark: &AtomicU64| match mark.load(Relaxed) {
            0 => 0,
            mark => (now + 1).saturating_sub(mark),
        };
        if since(&self.blocked_since_s) > STALL_S_MAX {
            return true;
        }
        let sent = self.last_sent_s.load(Relaxed);
        let refused = self.unasked.load(Relaxed) > 0;
        if refused && now.saturating_sub(self.last_piece_s.load(Relaxed).max(sent)) > STALL_S_MAX {
            return true;
        }
        if self.in_flight.load(Relaxed) > 0 {
            return self.awaited.load(Relaxed) > 0
                && now.saturating_sub(self.last_read_s.load(Relaxed)) > STALL_S_MAX;
        }
        // The last piece of an answer may be on its way long after its body has ended.
        now.saturating_sub(self.idle_since_s.load(Relaxed).max(sent)) > KEEP_ALIVE_S_MAX
            || (!self.http2.load(Relaxed) && since(&self.head_since_s) > HEAD_S_MAX)
    }
}

/// A request that is being answered. Dropped with the end of the answer's body.
#[derive(Debug)]
pub(crate) struct InFlight {
    conn: Arc<Conn>,
    http2: bool,
    unasked: bool,
    _app: Option<Place>,
}

impl InFlight {
    /// Holds a place at an app as well.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self._app = Some(place);
        self
    }
}

impl InFlight {
    /// The answer's body gave a piece, or was asked for the next one. Of no interest in HTTP/1.1: there the
    /// socket itself is blocked.
    pub(crate) fn unasked(&mut self, unasked: bool) {
        if !self.http2 || unasked == self.unasked {
            return;
        }
        self.unasked = unasked;
        self.conn.last_piece_s.store(self.conn.clock.load(Relaxed), Relaxed);
        if unasked {
            self.conn.unasked.fetch_add(1, Relaxed);
        } else {
            self.conn.unasked.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.unasked(false);
        if self.conn.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.conn.idle_since_s.store(self.conn.clock.load(Relaxed), Relaxed);
        }
    }
}

/// A write of so many bytes carries content; answers to pings and settings are smaller.
const CONTENT_BYTES_MIN: usize = 1_024;

/// A socket that notes when bytes move.
pub(crate) struct Watched<S> {
    socket: S,
    conn: Arc<Conn>,
}

impl<S> Watched<S> {
    /// Around a socket.
    pub(crate) const fn new(socket: S, conn: Arc<Conn>) -> Self {
        Self { socket, conn }
    }

    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mark = &self.conn.blocked_since_s;
        if let Poll::Ready(written) = &outcome {
            if written.as_ref().is_ok_and(|bytes| *bytes >= CONTENT_BYTES_MIN) {
                self.conn.last_sent_s.store(self.conn.clock.load(Relaxed), Relaxed);
            }
            if mark.load(Relaxed) != 0 {
                mark.store(0, Relaxed);
            }
        } else if mark.load(Relaxed) == 0 {
            mark.store(self.conn.clock.load(Relaxed) + 1, Relaxed);
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(cx, buf);
        if outcome.is_ready() && buf.filled().len() > before {
            let conn = &self.conn;
            let now = conn.clock.load(Relaxed);
            conn.last_read_s.store(now, Relaxed);
            if conn.in_flight.load(Relaxed) == 0 && conn.head_since_s.load(Relaxed) == 0 {
                conn.head_since_s.store(now + 1, Relaxed);
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A request's body that notes when it is waited for, and that it failed.
pub(crate) struct Awaited<B> {
    body: B,
    conn: Arc<Conn>,
    waiting: bool,
    failed: Option<Arc<AtomicBool>>,
}

impl<B> Awaited<B> {
    /// Around a body; `failed` becomes true when the client sends something that is none, or goes away.
    pub(crate) const fn new(body: B, conn: Arc<Conn>, failed: Option<Arc<AtomicBool>>) -> Self {
        Self { body, conn, waiting: false, failed }
    }

    fn wait(&mut self, waiting: bool) {
        if waiting == self.waiting {
            return;
        }
        self.waiting = waiting;
        if waiting {
            // The client's time begins now, not when it last sent something that nobody asked for.
            self.conn.last_read_s.store(self.conn.clock.load(Relaxed), Relaxed);
            self.conn.awaited.fetch_add(1, Relaxed);
        } else {
            self.conn.awaited.fetch_sub(1, Relaxed);
        }
    }
}

impl<B> Drop for Awaited<B> {
    fn drop(&mut self) {
        self.wait(false);
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Awaited<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let outcome = Pin::new(&mut self.body).poll_frame(cx);
        self.wait(outcome.is_pending());
        if let (Poll::Ready(Some(Err(_))), Some(failed)) = (&outcome, &self.failed) {
            failed.store(true, Relaxed);
        }
        outcome
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Connections by key, and how to end them.
type Open = HashMap<u64, (Arc<Conn>, Option<AbortHandle>)>;

/// Every open connection and how to end it.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    open: Mutex<Open>,
    next: AtomicU64,
}

impl Conns {
    /// Notes a connection.
    pub(crate) fn insert(&self, conn: Arc<Conn>) -> u64 {
        let key = self.next.fetch_add(1, Relaxed);
        self.lock().insert(key, (conn, None));
        key
    }

    /// Says how to end it.
    pub(crate) fn arm(&self, key: u64, abort: AbortHandle) {
        if let Some(entry) = self.lock().get_mut(&key) {
            entry.1 = Some(abort);
        }
    }

    /// Forgets a connection that ended.
    pub(crate) fn remove(&self, key: u64) {
        self.lock().remove(&key);
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends those that are over a bound; how many.
    pub(crate) fn sweep(&self, now: u64) -> u64 {
        let over: Vec<AbortHandle> = self
            .lock()
            .values()
            .filter(|(conn, _)| conn.is_over(now))
            .filter_map(|(_, abort)| abort.clone())
            .collect();
        over.iter().for_each(AbortHandle::abort);
        over.len() as u64
    }

    /// Has every one end in an orderly way.
    pub(crate) fn leave_all(&self) {
        let all: Vec<Arc<Conn>> = self.lock().values().map(|(conn, _)| Arc::clone(conn)).collect();
        all.iter().for_each(|conn| conn.leave());
    }

    /// Ends every one.
    pub(crate) fn abort_all(&self) {
        let all: Vec<AbortHandle> = self.lock().values().filter_map(|(_, abort)| abort.clone()).collect();
        all.iter().for_each(AbortHandle::abort);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> (Arc<Conn>, Clock) {
        let clock = Clock::default();
        (Conn::new(SocketAddr::from(([127, 0, 0, 1], 1)), Arc::clone(&clock), None), clock)
    }

    #[test]
    fn a_connection_that_sends_no_head_is_over() {
        let (conn, _) = conn();
        assert!(!conn.is_over(HEAD_S_MAX));
        assert!(conn.is_over(HEAD_S_MAX + 1));
    }

    #[tokio::test]
    async fn what_is_not_agreed_yet_does_not_hold_up_the_end() {
        assert_eq!(conn().0.unless_leaving(std::future::ready(7)).await, Some(7));
        let (conn, _) = conn();
        let agreeing = Arc::clone(&conn);
        let task = tokio::spawn(async move { agreeing.unless_leaving(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        conn.leave();
        assert_eq!(task.await.expect("it ends"), None);
    }

    #[test]
    fn an_answer_may_take_its_time_and_an_idle_connection_may_not() {
        let (conn, clock) = conn();
        let request = conn.begin(false);
        assert!(!conn.is_over(10_000));
        clock.store(10_000, Relaxed);
        drop(request);
        assert!(!conn.is_over(10_000 + KEEP_ALIVE_S_MAX));
        assert!(conn.is_over(10_001 + KEEP_ALIVE_S_MAX));
    }

    #[test]
    fn a_body_that_is_waited_for_must_grow() {
        let (conn, _) = conn();
        let _request = conn.begin(false);
        let mut body = Awaited::new(http_body_util::Empty::<Bytes>::new(), Arc::clone(&conn), None);
        assert!(!conn.is_over(STALL_S_MAX + 1));
        body.wait(true);
        assert!(conn.is_over(STALL_S_MAX + 1));
        drop(body);
        assert!(!conn.is_over(STALL_S_MAX + 1));
    }

    #[test]
    fn a_client_that_takes_no_bytes_is_over_even_while_it_is_answered() {
        let (conn, _) = conn();
        let _request = conn.begin(true);
        let watched = Watched::new((), Arc::clone(&conn));
        assert!(watched.wrote(Poll::Pending).is_pending());
        assert!(!conn.is_over(STALL_S_MAX));
        assert!(conn.is_over(STALL_S_MAX + 1));
        assert!(watched.wrote(Poll::Ready(Ok(1))).is_ready());
        assert!(!conn.is_over(STALL_S_MAX + 1));
    }

    #[test]
    fn a_client_that_opens_no_window_is_over_unless_something_is_sent() {
        let (conn, clock) = conn();
        let mut request = conn.begin(true);
        request.unasked(true);
        assert!(!conn.is_over(STALL_S_MAX));
        assert!(conn.is_over(STALL_S_MAX + 1));
        let watched = Watched::new((), Arc::clone(&conn));
        clock.store(20, Relaxed);
        assert!(watched.wrote(Poll::Ready(Ok(17))).is_ready(), "a ping is answered");
        assert!(conn.is_over(STALL_S_MAX + 1));
        assert!(watched.wrote(Poll::Ready(Ok(CONTENT_BYTES_MIN))).is_ready());
        assert!(!conn.is_over(20 + STALL_S_MAX));
        request.unasked(false);
        assert!(!conn.is_over(10_000), "the app is waited for, not the client");
        request.unasked(true);
        drop(request);
        assert!(!conn.is_over(20 + KEEP_ALIVE_S_MAX));
    }

    #[test]
    fn the_last_piece_of_an_answer_may_travel_longer_than_a_connection_may_idle() {
        let (conn, clock) = conn();
        drop(conn.begin(false));
        clock.store(KEEP_ALIVE_S_MAX, Relaxed);
        let watched = Watched::new((), Arc::clone(&conn));
        assert!(watched.wrote(Poll::Ready(Ok(64 * 1024))).is_ready());
        assert!(!conn.is_over(2 * KEEP_ALIVE_S_MAX));
        assert!(conn.is_over(2 * KEEP_ALIVE_S_MAX + 1));
    }
}
