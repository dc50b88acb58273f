//! A worker out of the pool is given the app: limits tightened, code sent, link started.

use std::sync::Arc;

use fazt_ipc::launch::Limits;
use fazt_ipc::wire::worker::LogLevel;

use super::super::lifecycle::Event;
use super::super::link::{self, Allowance, Link};
use super::super::metrics::count;
use super::super::pressure;
use super::super::spec::Spec;
use super::work::Work;
use super::{Inner, Slot};

impl Slot {
    /// Gives a worker the app.
    async fn give(self: Arc<Self>, spec: Arc<Spec>, epoch: u64) {
        if let Err(why) = self.try_give(&spec, epoch).await {
            tracing::warn!(app = %spec.name, %why, "no worker");
            self.log(LogLevel::Error, None, String::new(), format!("no worker could be started: {why}"));
            let mut inner = self.inner();
            inner.starting -= 1;
            let others = !inner.links.is_empty() || inner.starting > 0;
            inner.reason = why;
            drop(inner);
            self.gone.notify_waiters();
            self.shared.room.settle();
            if !others {
                self.tell(Event::NoWorker);
            }
        }
    }

    async fn try_give(self: &Arc<Self>, spec: &Arc<Spec>, epoch: u64) -> Result<(), String> {
        let code = spec.code().await.map_err(|error| error.to_string())?;
        let env = spec.variables().map_err(|error| error.to_string())?;
        let place = pressure::room_for(&self.shared, self).await;
        let warm = self.shared.pool.take().await.map_err(|error| error.to_string())?;
        let generation = warm.generation;
        let tightened = self
            .shared
            .launcher
            .limit(generation, Limits { memory_bytes: spec.leaf_bytes(), cpu_permille: 0, cpu_weight: 0 });
        let may_grow = self.workers_max() > 1;
        let allowance = Allowance::of(&self.shared.calls_bytes);
        let link = Link::new(generation, warm.pid, spec.budget(may_grow), allowance, warm.wire);
        self.trace.attach(&link);
        {
            let mut inner = self.inner();
            if inner.epoch != epoch || inner.stopped {
                inner.starting -= 1;
                drop(inner);
                self.shared.launcher.kill(generation);
                self.gone.notify_waiters();
                self.shared.room.settle();
                return Ok(());
            }
            if let Err(error) = link.send(|wire| spec.load(self.person.as_deref(), &code, env, wire)) {
                drop(inner);
                self.shared.launcher.kill(generation);
                return Err(error.to_string());
            }
            inner.starting -= 1;
            inner.links.push(Arc::clone(&link));
            drop(place);
        }
        count(&self.shared.metrics.wakes);
        let owner = Arc::new(Work::new(Arc::clone(self), Arc::clone(&spec.calls), code));
        let launcher = Arc::clone(&self.shared.launcher);
        tokio::spawn(link::run(Arc::clone(&link), warm.socket, warm.exited, launcher, owner));
        // Requests may follow at once: the worker answers them when its top level is done.
        self.serve_queue();
        tokio::spawn(async move {
            if let Ok(Err(refusal)) = tightened.await {
                tracing::error!(?refusal, %generation, "limits of a worker could not be set");
                link.kill();
            }
        });
        Ok(())
    }

    pub(super) fn spawn_give(self: &Arc<Self>, inner: &mut Inner) {
        inner.starting += 1;
        tokio::spawn(Arc::clone(self).give(Arc::clone(&inner.spec), inner.epoch));
    }
}
