//! Answers one system call: a task of its own, because the worker's other streams go on meanwhile.
//!
//! What a call makes the supervisor hold comes out of the worker's [`Allowance`](super::Allowance), which it waits
//! for: its arguments before they are granted, its answer before it is asked for. An answer that turns out larger
//! than was set aside is dropped and asked for again when there is room, if asking changes nothing; or it waits for
//! [`Room`] where it is made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use fazt_ipc::codec;
use fazt_ipc::limits::{CREDIT_BYTES, REPLY_BYTES_MAX};
use fazt_ipc::syscall::{Call, CallError, ErrorCode, Reply};
use fazt_ipc::wire::WireError;
use futures_util::future::BoxFuture;

use super::super::bounds;
use super::allowance::Share;
use super::wire::{Begun, Came, Late, Window};
use super::{Link, Owner};
use crate::kernel::security::Actor;
use crate::kernel::syscall::{Answer, Broken, Calls, Room, Source, Upload, Whole, expected};

/// What a worker asks.
pub(super) enum Asked {
    /// A call.
    Call(Call),
    /// One whose arguments, so many bytes, are still to come.
    Long(usize),
}

/// Starts answering. `allowed`: whether the worker keeps to its rate.
pub(super) fn start(
    link: &Arc<Link>,
    owner: &dyn Owner,
    stream: u32,
    asked: Asked,
    allowed: Result<(), CallError>,
) {
    if let Err(error) = allowed {
        let _ = link.send(|wire| {
            wire.reply(stream, &Err(error), false);
            Ok(())
        });
        return;
    }
    let (calls, actor) = (owner.calls(), owner.actor());
    if let Asked::Call(call) = &asked
        && link.inner().wire.may_answer_at_once(stream)
        && let Some(outcome) = calls.at_once(actor, call)
        && link.send_at_once(stream, outcome)
    {
        return;
    }
    let answering = Answering { link: Arc::clone(link), stream };
    tokio::spawn(answering.run(calls, actor, asked));
}

struct Answering {
    link: Arc<Link>,
    stream: u32,
}

impl Answering {
    async fn run(self, calls: Arc<dyn Calls>, actor: Actor, asked: Asked) {
        let (call, _arguments) = match asked {
            Asked::Call(call) => (call, Share::default()),
            Asked::Long(bytes) => match self.arguments(bytes).await {
                Some(arguments) => arguments,
                None => return self.refuse("the call was given up"),
            },
        };
        let expected = expected(&call);
        let set_aside = Held { link: Arc::clone(&self.link), share: Arc::default() };
        set_aside.take(expected.bytes).await;
        let again = expected.repeatable.then(|| call.clone());
        let outward = matches!(call, Call::NetFetch { .. });
        let answering = calls.answer(actor, call, self.upload(), set_aside.room());
        let mut outcome = if outward {
            // What goes out is worth nothing to anybody else: it ends with whoever asked.
            tokio::select! {
                outcome = answering => outcome,
                () = self.given_up() => Err(CallError::new(ErrorCode::Unavailable, "the call was given up")),
            }
        } else {
            answering.await
        };
        let mut share = set_aside.share();
        let mut held = held(&outcome);
        if held > expected.bytes
            && !self.link.allowance.grow(&mut share, held)
            && let Some(call) = again
        {
            drop((outcome, share));
            share = self.link.allowance.take(held).await;
            // What waits for room is nothing that may be asked for twice.
            outcome = calls.answer(actor, call, self.upload(), Box::new(())).await;
            let now = self::held(&outcome);
            if now > held {
                // Somebody made it larger meanwhile, again and again if we let them.
                outcome = Err(CallError::new(
                    ErrorCode::Unavailable,
                    "what was read grew while there was no room for it; try again",
                ));
            }
            held = now.min(held);
        }
        share.shrink(held);
        match outcome {
            Ok(Answer::Reply(reply)) => self.reply(Ok(reply)).await,
            Err(error) => self.reply(Err(error)).await,
            Ok(Answer::Bytes(reply, source)) => {
                let mut begun = Begun::Done;
                let _ = self.link.send(|wire| {
                    begun = wire.reply(self.stream, &Ok(reply), true);
                    Ok(())
                });
                if begun == Begun::Bytes {
                    self.bytes(source).await;
                }
            }
        }
    }

    /// The arguments of a long call. None: it was given up, or the worker is to be ended.
    async fn arguments(&self, bytes: usize) -> Option<(Call, Share)> {
        let share = self.link.allowance.take(bytes).await;
        let due = (Instant::now() + bounds::CALL_DEADLINE + self.link.budget.cpu, Late::Fatal);
        let mut whole = Vec::with_capacity(bytes);
        loop {
            let left = u32::try_from(bytes - whole.len()).unwrap_or(u32::MAX);
            match read(&self.link, self.stream, left.min(CREDIT_BYTES), || due).await {
                // Credit never reaches further than what was announced.
                Ok(Some(more)) => whole.extend_from_slice(&more),
                Ok(None) if whole.len() == bytes => break,
                Ok(None) => {
                    self.link.breach(WireError::Bound("announced arguments of a call"));
                    return None;
                }
                Err(Broken) => return None,
            }
        }
        match codec::decode(&whole) {
            Ok(call) => Some((call, share)),
            Err(error) => {
                self.link.breach(error.into());
                None
            }
        }
    }

    /// Returns when nobody wants an answer any more.
    async fn given_up(&self) {
        std::future::poll_fn(|cx| match self.link.inner().wire.is_wanted(self.stream, cx.waker()) {
            true => std::task::Poll::Pending,
            false => std::task::Poll::Ready(()),
        })
        .await;
    }

    fn upload(&self) -> Box<dyn Upload> {
        Box::new(Incoming { link: Arc::clone(&self.link), stream: self.stream, share: None })
    }

    fn refuse(&self, why: &str) {
        let error = CallError::new(ErrorCode::Unavailable, why);
        let _ = self.link.send(|wire| {
            wire.reply(self.stream, &Err(error), false);
            Ok(())
        });
    }

    /// An answer without bytes to follow, in pieces where it must be.
    async fn reply(&self, outcome: Result<Reply, CallError>) {
        let mut begun = Begun::Done;
        let _ = self.link.send(|wire| {
            begun = wire.reply(self.stream, &outcome, false);
            Ok(())
        });
        if begun != Begun::TooLong {
            return;
        }
        let encoded = codec::encode_long(&outcome, REPLY_BYTES_MAX).ok();
        let Some((encoded, bytes)) = encoded.and_then(|all| Some((u32::try_from(all.len()).ok()?, all)))
        else {
            let error = CallError::new(ErrorCode::TooLarge, "the answer is too large for one");
            let _ = self.link.send(|wire| {
                wire.reply(self.stream, &Err(error), false);
                Ok(())
            });
            return;
        };
        let _share = self.link.allowance.take(bytes.len()).await;
        let _ = self.link.send(|wire| {
            wire.reply_long(self.stream, encoded);
            Ok(())
        });
        self.bytes(Box::new(Whole::from(bytes))).await;
    }

    /// Sends what follows an answer as the worker takes it.
    async fn bytes(&self, mut source: Box<dyn Source>) {
        let in_memory = source.held_bytes() > 0;
        let last_due = Instant::now() + bounds::CALL_DEADLINE + self.link.budget.cpu;
        loop {
            let due = match in_memory {
                true => (last_due, Late::Fatal),
                false => (Instant::now() + bounds::STALL_DEADLINE, Late::Cut),
            };
            let window = std::future::poll_fn(|cx| {
                match self.link.inner().wire.reply_window(self.stream, due, cx.waker()) {
                    Window::Shut => std::task::Poll::Pending,
                    window => std::task::Poll::Ready(window),
                }
            })
            .await;
            let bytes = match window {
                Window::Gone => return,
                Window::GivenUp | Window::Shut => Bytes::new(),
                Window::Open(window) => {
                    let next = tokio::select! {
                        biased;
                        next = source.next(window) => next,
                        // Nobody waits for it any more.
                        () = self.given_up(), if !in_memory => Ok(Bytes::new()),
                    };
                    match next {
                        Ok(bytes) if bytes.len() <= window as usize => bytes,
                        Ok(_) | Err(_) => {
                            tracing::warn!(generation = %self.link.generation, "an answer broke off");
                            let _ = self.link.send(|wire| {
                                wire.break_off(self.stream);
                                Ok(())
                            });
                            return;
                        }
                    }
                }
            };
            let last = bytes.is_empty();
            let _ = self.link.send(|wire| {
                wire.reply_bytes(self.stream, &bytes, last);
                Ok(())
            });
            if last {
                return;
            }
        }
    }
}

/// What is set aside for the answer to a call while it is made.
struct Held {
    link: Arc<Link>,
    share: Arc<Mutex<Share>>,
}

impl Held {
    async fn take(&self, bytes: usize) {
        let share = self.link.allowance.take(bytes).await;
        *self.lock() = share;
    }

    fn room(&self) -> Box<dyn Room> {
        Box::new(Self { link: Arc::clone(&self.link), share: Arc::clone(&self.share) })
    }

    /// It is the caller's from now on.
    fn share(&self) -> Share {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room for Held {
    fn make(&mut self, bytes: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let holds = self.lock().holds(bytes);
            if !holds {
                // Whoever waits holds nothing, so that all of them come to their turn.
                drop(self.share());
                self.take(bytes).await;
            }
        })
    }
}

/// Bytes in memory that an outcome holds until the worker has taken them.
fn held(outcome: &Result<Answer, CallError>) -> usize {
    match outcome {
        Ok(Answer::Bytes(_, source)) => source.held_bytes(),
        Ok(Answer::Reply(_)) | Err(_) => 0,
    }
}

/// What comes next after a call; none: that was all.
async fn read(
    link: &Link,
    stream: u32,
    window: u32,
    due: impl Fn() -> (Instant, Late),
) -> Result<Option<Bytes>, Broken> {
    std::future::poll_fn(|cx| {
        let mut inner = link.inner();
        match inner.wire.call_bytes(stream, window, due(), cx.waker()) {
            Came::Bytes(bytes) => std::task::Poll::Ready(Ok(Some(bytes))),
            Came::End => std::task::Poll::Ready(Ok(None)),
            Came::Broken => std::task::Poll::Ready(Err(Broken)),
            Came::Nothing(granted) => {
                if granted > 0 {
                    inner.kick();
                }
                std::task::Poll::Pending
            }
        }
    })
    .await
}

/// Bytes that follow a call. Nothing is granted before they are asked for.
struct Incoming {
    link: Arc<Link>,
    stream: u32,
    share: Option<Share>,
}

impl Upload for Incoming {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async {
            if self.share.is_none() {
                self.share = Some(self.link.allowance.take(bounds::UPLOAD_BYTES as usize).await);
            }
            let due = || (Instant::now() + bounds::STALL_DEADLINE, Late::Cut);
            read(&self.link, self.stream, bounds::UPLOAD_BYTES, due).await
        })
    }
}
