//! What others see of workers: `ps`, `status`, counters.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use fazt_ipc::control::{Process, ProcessKind, State, Troubled};
use fazt_ipc::ids::AppId;

use super::{Proc, pressure};

/// What `status` tells of workers.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Apps and principals by state.
    pub workers: Vec<(State, u64)>,
    /// Warm workers in the pool.
    pub pool: u64,
    /// Memory of all workers and processes of raw SQL, as last counted.
    pub workers_bytes: u64,
    /// Budget for all workers.
    pub workers_bytes_max: u64,
    /// Requests since start.
    pub requests: u64,
    /// Apps in back-off or quarantine.
    pub troubled: Vec<Troubled>,
}

impl Proc {
    /// Every app that has a worker or is in trouble, and every process of raw SQL, for `ps` and `top`. Asks the
    /// launcher what they use.
    pub async fn processes(&self) -> Vec<Process> {
        pressure::total(&self.shared).await;
        let mut rows = Vec::new();
        for slot in self.shared.slots() {
            let view = slot.view();
            let row = |state| Process {
                app: view.name.clone(),
                principal: slot.who(),
                kind: ProcessKind::Worker,
                state,
                pid: None,
                generation: None,
                mem_bytes: 0,
                cap_bytes: view.cap_bytes,
                cpu_ms: 0,
                reqs: 0,
                idle_ms: 0,
            };
            if view.links.is_empty() && view.state != State::Hibernated {
                rows.push(row(view.state));
            }
            for link in &view.links {
                let open = link.open_streams();
                let state = match view.state {
                    State::Starting => State::Starting,
                    _ if open > 0 => State::Running,
                    _ => State::Idle,
                };
                let (mem_bytes, cpu_us) = link.usage();
                let idle = if open > 0 { std::time::Duration::ZERO } else { link.active().elapsed() };
                rows.push(Process {
                    pid: Some(link.pid),
                    generation: Some(link.generation.0),
                    mem_bytes,
                    cpu_ms: cpu_us / 1000,
                    reqs: link.answered(),
                    idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
                    ..row(state)
                });
            }
        }
        rows.extend(self.store_rows());
        rows.sort_by(|a, b| {
            (&a.app, a.kind, &a.principal, a.generation).cmp(&(&b.app, b.kind, &b.principal, b.generation))
        });
        rows
    }

    /// State of the app's busiest worker.
    #[must_use]
    pub fn state(&self, app: AppId) -> State {
        let rank = |state: &State| match state {
            State::Hibernated => 0,
            State::Idle => 1,
            State::Starting => 2,
            State::Running => 3,
            State::Backoff => 4,
            State::Quarantined => 5,
        };
        let states = self.shared.slots_of(app).into_iter().map(|slot| slot.view().state);
        states.max_by_key(rank).unwrap_or(State::Hibernated)
    }

    /// What `status` tells.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut workers = BTreeMap::new();
        let mut troubled = Vec::new();
        for slot in self.shared.slots() {
            let view = slot.view();
            *workers.entry(view.state).or_insert(0) += 1;
            if matches!(view.state, State::Backoff | State::Quarantined) {
                troubled.push(Troubled { app: view.name, state: view.state, reason: view.reason });
            }
        }
        Snapshot {
            workers: workers.into_iter().collect(),
            pool: self.shared.pool.len() as u64,
            workers_bytes: self.shared.workers_bytes.load(Ordering::Relaxed),
            workers_bytes_max: self.shared.budget_bytes,
            requests: self.shared.metrics.requests.load(Ordering::Relaxed),
            troubled,
        }
    }

    /// Counters of workers for Prometheus, in its text format.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        self.shared.metrics.text(&mut text);
        let (snapshot, stores) = (self.snapshot(), self.shared.stores());
        let _ =
            writeln!(text, "# HELP fazt_workers Apps and principals by state.\n# TYPE fazt_workers gauge");
        for (state, number) in &snapshot.workers {
            let state = format!("{state:?}").to_lowercase();
            let _ = writeln!(text, "fazt_workers{{state=\"{state}\"}} {number}");
        }
        for (name, help, value) in [
            ("fazt_pool_workers", "Warm workers without an app.", snapshot.pool),
            (
                "fazt_workers_memory_bytes",
                "Memory of all workers and processes of raw SQL, as last counted.",
                snapshot.workers_bytes,
            ),
            ("fazt_workers_memory_max_bytes", "Budget for all of them.", snapshot.workers_bytes_max),
            ("fazt_sql_processes", "Processes of raw SQL.", stores.len() as u64),
            (
                "fazt_sql_processes_busy",
                "Processes of raw SQL that work just now.",
                stores.iter().filter(|store| store.tenant.life.is_busy()).count() as u64,
            ),
            (
                "fazt_sql_memory_bytes",
                "Memory of all processes of raw SQL, as last counted.",
                stores.iter().map(|store| store.bytes()).sum(),
            ),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        text
    }
}
