//! Answers one system call: a task of its own, because the worker's other streams go on meanwhile.

use std::sync::Arc;

use fazt_ipc::syscall::{Call, CallError};

use super::{Link, Owner};
use crate::kernel::syscall::{Answer, Source};

/// Starts answering. `allowed`: whether the worker keeps to its rate.
pub(super) fn start(
    link: &Arc<Link>,
    owner: &dyn Owner,
    stream: u32,
    call: Call,
    allowed: Result<(), CallError>,
) {
    if let Err(error) = allowed {
        let _ = link.send(|wire| {
            wire.reply(stream, Err(error), false);
            Ok(())
        });
        return;
    }
    let link = Arc::clone(link);
    let answer = owner.calls().answer(owner.actor(), call);
    tokio::spawn(async move {
        let (reply, source) = match answer.await {
            Ok(Answer::Reply(reply)) => (Ok(reply), None),
            Ok(Answer::Bytes(reply, source)) => (Ok(reply), Some(source)),
            Err(error) => (Err(error), None),
        };
        let mut go_on = false;
        let _ = link.send(|wire| {
            go_on = wire.reply(stream, reply, source.is_some());
            Ok(())
        });
        if let Some(source) = source
            && go_on
        {
            stream_bytes(&link, stream, source).await;
        }
    });
}

async fn stream_bytes(link: &Arc<Link>, stream: u32, mut source: Box<dyn Source>) {
    loop {
        let window = std::future::poll_fn(|cx| {
            let mut inner = link.inner();
            match inner.wire.reply_window(stream, cx.waker()) {
                Some(0) => std::task::Poll::Pending,
                window => std::task::Poll::Ready(window),
            }
        })
        .await;
        let Some(window) = window else { return };
        let bytes = match source.next(window).await {
            Ok(bytes) if bytes.len() <= window as usize => bytes,
            Ok(_) | Err(_) => {
                // The head promised a length, so an early end shows as a failure to the app.
                tracing::warn!(generation = %link.generation, "an answer broke off");
                bytes::Bytes::new()
            }
        };
        let last = bytes.is_empty();
        let _ = link.send(|wire| {
            wire.reply_bytes(stream, &bytes, last);
            Ok(())
        });
        if last {
            return;
        }
    }
}
