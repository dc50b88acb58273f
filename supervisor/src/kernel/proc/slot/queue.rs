//! A request finds the worker that suits best, or waits in the queue until one can take it.

use std::sync::Arc;
use std::time::Instant;

use fazt_ipc::control::State;
use fazt_ipc::limits::STREAMS_MAX;
use tokio::sync::oneshot;

use super::super::lifecycle::Event;
use super::super::link::{self, Exchange, Link, NotOpened, Opening};
use super::super::{DispatchError, RequestBody};
use super::Slot;

/// A worker with fewer open requests than this gets the next one while no core is used up, so that one worker's
/// batches stay large.
const SPREAD_ABOVE: usize = 8;
impl Slot {
    /// Answers a request that [`Self::open`] found no worker for.
    pub(crate) async fn dispatch(
        self: &Arc<Self>,
        opening: &Opening<'_>,
        body: RequestBody,
    ) -> Result<http::Response<link::WorkerBody>, DispatchError> {
        let asked = Instant::now();
        let (link, ticket) = self.wait_place(opening).await?;
        let response = Exchange::new(link, ticket, body).response().await;
        self.shared.metrics.cold_start(asked.elapsed());
        response
    }

    /// A place for something that may wait for a worker.
    pub(crate) async fn place(
        self: &Arc<Self>,
        opening: &Opening<'_>,
    ) -> Result<(Arc<Link>, link::Ticket), DispatchError> {
        match self.open(opening)? {
            Some(place) => Ok(place),
            None => self.wait_place(opening).await,
        }
    }

    async fn wait_place(
        self: &Arc<Self>,
        opening: &Opening<'_>,
    ) -> Result<(Arc<Link>, link::Ticket), DispatchError> {
        let deadline = Instant::now() + self.shared.options.wake_deadline;
        loop {
            let told = self.wait_turn()?;
            match tokio::time::timeout_at(deadline.into(), told).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(_)) => return Err(DispatchError::Stopping),
                Err(_) => return Err(DispatchError::WakeTimeout),
            }
            if let Some(place) = self.open(opening)? {
                return Ok(place);
            }
        }
    }

    /// Opens the request on the worker that suits best. None: it has to wait.
    pub(crate) fn open(
        &self,
        opening: &Opening<'_>,
    ) -> Result<Option<(Arc<Link>, link::Ticket)>, DispatchError> {
        let inner = self.inner();
        let open = |link: &Arc<Link>| match link.open(opening) {
            Ok(ticket) => Ok(Some((Arc::clone(link), ticket))),
            Err(NotOpened::Full) => Ok(None),
            Err(NotOpened::TooLarge) => Err(DispatchError::RequestTooLarge),
        };
        match inner.links.as_slice() {
            [] => Ok(None),
            [only] => open(only),
            several => {
                let mut best: Option<(usize, &Arc<Link>)> = None;
                // A worker that has used its core up serves nobody sooner with larger batches.
                let spread_above =
                    if several.iter().any(|link| link.is_crowded()) { 0 } else { SPREAD_ABOVE };
                for link in several {
                    let Some(load) = link.load() else { continue };
                    if load < spread_above {
                        return open(link);
                    }
                    if best.is_none_or(|(least, _)| load < least) {
                        best = Some((load, link));
                    }
                }
                best.map_or(Ok(None), |(_, link)| open(link))
            }
        }
    }

    /// Joins the queue.
    fn wait_turn(&self) -> Result<oneshot::Receiver<Result<(), DispatchError>>, DispatchError> {
        let mut inner = self.inner();
        if inner.stopped {
            return Err(DispatchError::Stopping);
        }
        match inner.life.state {
            State::Quarantined => return Err(DispatchError::Quarantined),
            State::Backoff => return Err(inner.backoff()),
            _ => {}
        }
        if inner.queue.len() >= self.shared.options.queue {
            // Those whose client went away do not count.
            inner.queue.retain(|waiting| !waiting.is_closed());
            if inner.queue.len() >= self.shared.options.queue {
                return Err(DispatchError::Overloaded);
            }
        }
        let (tell, told) = oneshot::channel();
        inner.queue.push_back(tell);
        drop(inner);
        self.tell(Event::Wanted);
        Ok(told)
    }

    /// Lets as many waiting requests go on as workers can take.
    pub(super) fn serve_queue(&self) {
        let mut inner = self.inner();
        if inner.queue.is_empty() {
            return;
        }
        let mut room: usize = inner
            .links
            .iter()
            .filter_map(|link| link.load())
            .map(|load| STREAMS_MAX.saturating_sub(load))
            .sum();
        while room > 0 {
            let Some(waiting) = inner.queue.pop_front() else { break };
            if waiting.send(Ok(())).is_ok() {
                room -= 1;
            }
        }
    }
}
