//! The task of one link: writes what has gathered, reads what has come, watches deadlines, and sees to the
//! end. It is the only one that touches the socket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use fazt_ipc::launch::EXIT_MEMORY;
use fazt_ipc::wire::{Phase, WireError};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};

use super::super::launcher::{Exit, Launcher, Usage};
use super::super::{DispatchError, bounds};
use super::answers::{self, Asked};
use super::wire::Effect;
use super::{End, Link, Order, Owner};
use crate::kernel::syscall::Rate;

/// Batches of one poll, so that a flooding worker does not keep the thread.
const BATCHES_MAX: usize = 8;
/// Write buffers larger than this are not kept while nothing is to be written.
const WRITE_BYTES_KEPT: usize = 32 * 1024;

thread_local! {
    /// One buffer for all links of the thread: it holds hostile bytes only while they are decoded, stays in
    /// the CPU's cache, and 500 idle workers cost nothing.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; bounds::READ_BYTES]);
}

/// Runs a link until its worker is gone, and tells the owner.
pub(crate) async fn run(
    link: Arc<Link>,
    socket: UnixStream,
    exited: oneshot::Receiver<Exit>,
    launcher: Arc<Launcher>,
    owner: Arc<dyn Owner>,
) {
    let now = Instant::now();
    let mut task = Task {
        link: Arc::clone(&link),
        owner: Arc::clone(&owner),
        launcher: Arc::clone(&launcher),
        socket,
        write: Vec::new(),
        written: 0,
        partial: Vec::new(),
        effects: Vec::new(),
        rate: Rate::new(now),
        heard: now,
        wrote: now,
        sweep: Box::pin(sleep_until((now + bounds::SWEEP).into())),
        sweeping: true,
        stat: None,
        mark: None,
        last: None,
        doomed: None,
        draining: None,
        retired: false,
    };
    let end = std::future::poll_fn(|cx| task.poll(cx)).await;
    // Before the socket closes: a worker that is hung up on would begin to end by itself.
    launcher.kill(link.generation);
    drop(task);
    // How it ended decides what its requests are told, but they do not wait long for it.
    let mut exited = exited;
    let mut exit = None;
    if end == End::Closed {
        exit = tokio::time::timeout(bounds::GRACE, &mut exited).await.ok().and_then(Result::ok);
    }
    let error = match &end {
        End::LoadFailed => DispatchError::LoadFailed,
        End::Deadline(_) => DispatchError::CpuExceeded,
        _ if exit.is_some_and(|exit| exit.oom || exit.code == EXIT_MEMORY) => DispatchError::OutOfMemory,
        _ => DispatchError::Died,
    };
    link.inner().wire.close(&error);
    if exit.is_none() {
        exit = tokio::time::timeout(bounds::LAUNCHER_DEADLINE, exited).await.ok().and_then(Result::ok);
    }
    owner.ended(link.generation, end, exit);
}

struct Task {
    link: Arc<Link>,
    owner: Arc<dyn Owner>,
    launcher: Arc<Launcher>,
    socket: UnixStream,
    write: Vec<u8>,
    written: usize,
    /// The start of a frame whose rest has not come.
    partial: Vec<u8>,
    effects: Vec<Effect>,
    rate: Rate,
    /// When the worker was last heard.
    heard: Instant,
    /// When it last took bytes, or had none to take.
    wrote: Instant,
    sweep: Pin<Box<Sleep>>,
    sweeping: bool,
    stat: Option<BoxFuture<'static, Option<Usage>>>,
    /// CPU time when the worker was last known to be heard.
    mark: Option<u64>,
    /// The count before, for how busy it is.
    last: Option<(Instant, u64)>,
    /// The worker is torn: killed at this time at the latest.
    doomed: Option<Instant>,
    /// It drains: killed at this time at the latest.
    draining: Option<Instant>,
    /// The owner knows that it takes no more.
    retired: bool,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..BATCHES_MAX {
            let wrote = match self.poll_write(cx) {
                Ok(wrote) => wrote,
                Err(end) => return Poll::Ready(end),
            };
            let read = match self.poll_read(cx) {
                Ok(read) => read,
                Err(end) => return Poll::Ready(end),
            };
            if !wrote && !read {
                return self.poll_time(cx);
            }
        }
        cx.waker().wake_by_ref();
        self.poll_time(cx)
    }

    /// Writes what has gathered. Whether anything went.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.write.is_empty() {
            let mut inner = self.link.inner();
            match &inner.order {
                Some(Order::Kill) => return Err(End::Ordered),
                Some(Order::Breach(error)) => return Err(End::Violation(error.clone())),
                Some(Order::Drain) if inner.wire.open_streams() == 0 => return Err(End::Ordered),
                Some(Order::Drain) if self.draining.is_none() => {
                    let longest = self.link.budget.wall + bounds::BACKGROUND_MAX + bounds::DRAIN_GRACE;
                    self.draining = Some(Instant::now() + longest);
                }
                _ => {}
            }
            inner.wire.take_out(&mut self.write);
            if inner.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
                inner.task = Some(cx.waker().clone());
            }
            self.written = 0;
        } else {
            match &self.link.inner().order {
                Some(Order::Kill) => return Err(End::Ordered),
                Some(Order::Breach(error)) => return Err(End::Violation(error.clone())),
                _ => {}
            }
        }
        if self.write.is_empty() {
            return Ok(false);
        }
        if self.written == 0 {
            // The worker's time to take it begins now, however long there was nothing to take.
            self.wrote = Instant::now();
        }
        let mut progress = false;
        while self.written < self.write.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &self.write[self.written..]) {
                Poll::Ready(Ok(bytes)) => {
                    self.written += bytes;
                    progress = true;
                }
                // What the worker wrote before it went may still be read.
                Poll::Ready(Err(_)) => {
                    self.written = self.write.len();
                    progress = true;
                }
                Poll::Pending => break,
            }
        }
        if self.written == self.write.len() {
            let large = self.write.len() >= bounds::WRITE_BYTES_HIGH;
            if self.write.capacity() > WRITE_BYTES_KEPT {
                self.write = Vec::new();
            }
            self.write.clear();
            if large {
                self.link.inner().wire.wake_writers();
            }
        }
        if progress {
            self.wrote = Instant::now();
        }
        self.arm();
        Ok(progress)
    }

    /// Reads and decodes once. Whether anything came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let came = SCRATCH.with_borrow_mut(|scratch| {
            let kept = self.partial.len();
            scratch[..kept].copy_from_slice(&self.partial);
            let mut buffer = ReadBuf::new(&mut scratch[kept..]);
            match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
                Poll::Ready(Err(_)) => return Err(End::Closed),
                Poll::Ready(Ok(())) => {}
            }
            let filled = kept + buffer.filled().len();
            if filled == kept {
                return Err(End::Closed);
            }
            let now = Instant::now();
            self.heard = now;
            let mut inner = self.link.inner();
            let settled = inner.wire.answered();
            let used = inner.wire.receive(&scratch[..filled], now);
            if inner.wire.answered() != settled {
                inner.active = now;
            }
            inner.wire.take_effects(&mut self.effects);
            let freed = inner.wire.take_freed();
            drop(inner);
            self.mark = None;
            self.partial.clear();
            match used {
                Ok(used) => self.partial.extend_from_slice(&scratch[used..filled]),
                Err(error) => return Err(End::Violation(error)),
            }
            if freed {
                self.owner.freed();
            }
            Ok(true)
        });
        self.apply()?;
        came
    }

    fn apply(&mut self) -> Result<(), End> {
        if self.effects.is_empty() {
            return Ok(());
        }
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Ready(ready) => self.owner.ready(ready),
                Effect::Loaded(loaded) => self.owner.loaded(self.link.generation, loaded),
                Effect::LoadFailed(failure) => {
                    self.owner.load_failed(failure);
                    return Err(End::LoadFailed);
                }
                Effect::Failed(request, failure) => {
                    if failure.kind.recycles() {
                        self.doomed.get_or_insert(Instant::now() + bounds::GRACE);
                        self.retire();
                    }
                    self.owner.failed(request, failure);
                }
                Effect::BadResponse(request, why) => self.owner.fault(Some(request), why.into()),
                Effect::Log(request, line) => self.owner.log(request, line),
                Effect::Call(stream, call) => {
                    let allowed = self.rate.take(&call, self.heard);
                    answers::start(&self.link, &*self.owner, stream, Asked::Call(call), allowed);
                }
                Effect::LongCall(stream, bytes) => {
                    let allowed = self.rate.take_long(self.heard);
                    answers::start(&self.link, &*self.owner, stream, Asked::Long(bytes), allowed);
                }
            }
        }
        Ok(())
    }

    /// The worker takes no more requests; its owner finds another.
    fn retire(&mut self) {
        if !std::mem::replace(&mut self.retired, true) {
            self.link.inner().wire.refuse_more();
            self.owner.retired(self.link.generation);
        }
    }

    /// Whether anything is owed by the worker that a deadline must watch.
    fn busy(&self) -> bool {
        if !self.write.is_empty() || self.doomed.is_some() || self.draining.is_some() {
            return true;
        }
        let inner = self.link.inner();
        inner.wire.open_streams() > 0 || inner.wire.phase() < Phase::Running || inner.wire.has_due_calls()
    }

    fn arm(&mut self) {
        if !self.sweeping {
            self.sweeping = true;
            self.sweep.as_mut().reset((Instant::now() + bounds::SWEEP).into());
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.doomed.is_some() && self.link.open_streams() == 0 {
            return Poll::Ready(End::Torn);
        }
        if let Some(stat) = &mut self.stat
            && let Poll::Ready(usage) = stat.as_mut().poll(cx)
        {
            self.stat = None;
            if let Some(Err(end)) = usage.map(|usage| self.counted(usage)) {
                return Poll::Ready(end);
            }
        }
        while self.sweeping {
            ready!(self.sweep.as_mut().poll(cx));
            self.sweeping = false;
            if !self.busy() {
                self.last = None;
                self.link.crowded.store(false, Ordering::Relaxed);
                break;
            }
            if let Err(end) = self.look() {
                return Poll::Ready(end);
            }
            self.arm();
            if let Some(stat) = &mut self.stat
                && let Poll::Ready(Some(usage)) = stat.as_mut().poll(cx)
            {
                self.stat = None;
                if let Err(end) = self.counted(usage) {
                    return Poll::Ready(end);
                }
            }
        }
        Poll::Pending
    }

    /// Looks at every deadline.
    fn look(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let mut inner = self.link.inner();
        let phase = inner.wire.phase();
        let sweep = inner.wire.sweep(now, bounds::DRAIN_GRACE);
        let open = inner.wire.open_streams();
        // What has only just been put together is not late.
        let waiting = !self.write.is_empty();
        if inner.wire.out_bytes() > 0 {
            inner.kick();
        }
        drop(inner);
        for request in sweep.late {
            let wall_s = self.link.budget.wall.as_secs();
            self.owner
                .fault(Some(request), format!("took longer than its {wall_s} s; limits.wallS in app.json"));
        }
        if self.doomed.is_some_and(|doomed| now >= doomed) {
            return Err(End::Torn);
        }
        if self.draining.is_some_and(|draining| now >= draining) {
            return Err(End::Ordered);
        }
        if phase < Phase::Running && now >= self.link.born + bounds::LOAD_DEADLINE {
            return Err(End::Deadline("the app's top level did not finish in time"));
        }
        if waiting && now >= self.wrote + bounds::PROGRESS_DEADLINE + self.link.budget.cpu {
            return Err(End::Deadline("does not read its socket"));
        }
        if sweep.idle_call {
            return Err(End::Deadline("does not move the bytes of its own call"));
        }
        if sweep.stuck > 0 {
            if sweep.stuck == open {
                // Not a crash: the app forgot to settle something, and costs nobody else anything.
                self.owner
                    .fault(None, "requests that were aborted did not end; the worker is recycled".into());
                return Err(End::Torn);
            }
            // The others finish; new ones go elsewhere.
            self.retire();
        }
        let silent = now >= self.heard + bounds::SWEEP;
        let watched = self.link.budget.may_grow && (open > 1 || self.link.is_crowded());
        if self.stat.is_none() && (silent || watched) {
            let (launcher, generation) = (Arc::clone(&self.launcher), self.link.generation);
            self.stat = Some(Box::pin(async move { launcher.stat(generation).await }));
        }
        Ok(())
    }

    /// Judges what the launcher counted.
    fn counted(&mut self, usage: Usage) -> Result<(), End> {
        self.link.note_usage(usage);
        let now = Instant::now();
        let open = self.link.open_streams();
        if now >= self.heard + bounds::SWEEP {
            // A batch may hold several requests, each with its own budget.
            let budget = self.link.budget.cpu * u32::try_from(open.max(1)).unwrap_or(1) + bounds::GRACE;
            let mark = *self.mark.get_or_insert(usage.cpu_us);
            if Duration::from_micros(usage.cpu_us.saturating_sub(mark)) > budget {
                return Err(End::Deadline("used up its CPU time without a word"));
            }
        }
        if let Some((then, cpu_us)) = self.last.replace((now, usage.cpu_us)) {
            let used = Duration::from_micros(usage.cpu_us.saturating_sub(cpu_us));
            let crowded = self.link.budget.may_grow && used * 10 >= now.duration_since(then) * 6;
            self.link.crowded.store(crowded, Ordering::Relaxed);
            if crowded && open > 1 {
                self.owner.crowded();
            }
        }
        Ok(())
    }
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Violation(error)
    }
}
