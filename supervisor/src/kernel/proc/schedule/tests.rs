//! The scheduler over a real file, with time, apps and deaths that the test decides.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use fazt_ipc::ids::{AppId, JobId};
use fazt_ipc::limits::{ATTEMPTS_MAX, JOBS_MAX, RUNS_KEPT};
use fazt_ipc::wire::worker::Done;
use futures_util::future::BoxFuture;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::super::DispatchError;
use super::super::link::Ended;
use super::agenda::{APP_RUNS_MAX, RUNS_MAX};
use super::clock::Clock;
use super::keeper::{Keeper, Order};
use super::policy::{BACKOFF_FIRST_MS, backoff_ms};
use super::stage::{Absent, Stage};
use super::{NotRun, RunRow};
use crate::kernel::fs::timetable::Timetable;
use crate::kernel::storage::jobs::{Added, Claimed, CronRow, JobKind, JobRow, NewJobRow};
use crate::kernel::storage::{AppRow, Storage};

/// 2026-11-21 00:00 UTC.
const START: u64 = 1_795_219_200_000;
const MINUTE: u64 = 60_000;

/// Time that a test turns. Whoever waits is woken by each change, as by a clock that is set.
struct FakeClock {
    now: watch::Sender<u64>,
    /// Counts how often the keeper went to sleep.
    asleep: watch::Sender<u64>,
}

impl Clock for FakeClock {
    fn now_unix_ms(&self) -> u64 {
        *self.now.borrow()
    }

    fn until(&self, unix_ms: Option<u64>) -> BoxFuture<'_, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if unix_ms.is_some_and(|due| due <= *now.borrow_and_update()) {
                return;
            }
            self.asleep.send_modify(|times| *times += 1);
            let _ = now.changed().await;
        })
    }

    fn jitter(&self) -> f64 {
        rand::random()
    }
}

/// A version of an app.
#[derive(Clone, Default)]
struct FakeApp {
    entries: Vec<CronRow>,
    denied: bool,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
struct Attempt {
    app: AppId,
    job: JobRow,
    began: u64,
    /// When it ended, and whether well; none: it did not.
    ended: Option<(u64, bool)>,
    /// Of which life of the server.
    life: usize,
}

#[derive(Default)]
struct Rest {
    apps: Mutex<HashMap<AppId, FakeApp>>,
    attempts: Mutex<Vec<Attempt>>,
    /// Runs wait for this to be opened while it is shut.
    shut: watch::Sender<bool>,
    running: Mutex<BTreeMap<AppId, usize>>,
    most: AtomicUsize,
    life: AtomicUsize,
}

struct FakeStage {
    rest: Arc<Rest>,
    clock: Arc<FakeClock>,
}

impl Stage for FakeStage {
    type App = FakeApp;

    fn look(&self, app: AppId) -> BoxFuture<'_, Result<Arc<FakeApp>, Absent>> {
        let found = self.rest.apps.lock().expect("lock").get(&app).cloned();
        Box::pin(std::future::ready(found.map(Arc::new).ok_or(Absent::Gone)))
    }

    fn may(&self, app: &FakeApp) -> bool {
        !app.denied
    }

    fn entries(&self, app: &FakeApp) -> Vec<CronRow> {
        app.entries.clone()
    }

    /// The payload says how often it fails before it does not.
    fn run(&self, _: Arc<FakeApp>, claimed: Claimed, began: u64) -> BoxFuture<'static, Ended> {
        let (rest, clock) = (Arc::clone(&self.rest), Arc::clone(&self.clock));
        let job = claimed.job;
        let fails: u32 = claimed.payload.and_then(|text| text.parse().ok()).unwrap_or(0);
        let place = {
            let mut attempts = rest.attempts.lock().expect("lock");
            let life = rest.life.load(SeqCst);
            let app = rest.app_of(&job);
            assert!(
                !attempts.iter().any(|a| a.job.id == job.id && a.life == life && a.ended.is_none()),
                "twice at once"
            );
            attempts.push(Attempt { app, job: job.clone(), began, ended: None, life });
            let mut running = rest.running.lock().expect("lock");
            *running.entry(app).or_default() += 1;
            assert!(running[&app] <= APP_RUNS_MAX, "too many of one app");
            let all = running.values().sum::<usize>();
            assert!(all <= RUNS_MAX, "too many");
            rest.most.fetch_max(all, SeqCst);
            attempts.len() - 1
        };
        let guard = Running { rest: Arc::clone(&rest), app: rest.app_of(&job) };
        Box::pin(async move {
            let _guard = guard;
            let mut shut = rest.shut.subscribe();
            let _ = shut.wait_for(|shut| !*shut).await;
            tokio::task::yield_now().await;
            let ok = job.attempts > fails;
            rest.attempts.lock().expect("lock")[place].ended = Some((clock.now_unix_ms(), ok));
            if ok {
                Ended { outcome: Ok(Done::default()), no_retry: false, reason: String::new() }
            } else {
                Ended { outcome: Err(DispatchError::Exception), no_retry: false, reason: "Error: x".into() }
            }
        })
    }
}

/// Leaves when the run ends, or dies with the server.
struct Running {
    rest: Arc<Rest>,
    app: AppId,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(number) = self.rest.running.lock().expect("lock").get_mut(&self.app) {
            *number -= 1;
        }
    }
}

impl Rest {
    /// The name of a job is its app's, so that a run knows where it belongs.
    fn app_of(&self, job: &JobRow) -> AppId {
        app(job.name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number"))
    }
}

fn app(number: u128) -> AppId {
    AppId::new(1, number)
}

fn every_minute(number: u128, run_missed_once: bool, overlaps: bool) -> CronRow {
    CronRow {
        name: format!("tick-{number}"),
        schedule: "* * * * *".into(),
        timezone: "UTC".into(),
        run_missed_once,
        overlaps,
        due: None,
    }
}

struct World {
    _folder: tempfile::TempDir,
    storage: Arc<Storage>,
    timetable: Arc<Timetable>,
    clock: Arc<FakeClock>,
    rest: Arc<Rest>,
    changes: broadcast::Sender<AppId>,
    keeper: Option<(JoinHandle<()>, mpsc::UnboundedSender<Order>)>,
    next_id: AtomicU64,
    idle: usize,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let storage = Storage::open(folder.path()).expect("storage");
        let clock = Arc::new(FakeClock { now: watch::channel(START).0, asleep: watch::channel(0).0 });
        let timetable = Arc::new(Timetable::alone(Arc::clone(&storage)));
        let idle = Arc::strong_count(&storage);
        Self {
            _folder: folder,
            storage,
            timetable,
            clock,
            rest: Arc::default(),
            changes: broadcast::channel(64).0,
            keeper: None,
            next_id: AtomicU64::new(1),
            idle,
        }
    }

    /// An app with these entries.
    async fn add_app(&self, number: u128, entries: &[CronRow]) {
        let row = AppRow { id: app(number), name: format!("app{number}"), created_unix_ms: START };
        self.timetable.with(move |kernel| kernel.insert(&row)).await.expect("added");
        self.change_app(number, |app| app.entries = entries.to_vec()).await;
    }

    /// As a deploy does it: a mark before, word afterwards.
    async fn change_app(&self, number: u128, change: impl FnOnce(&mut FakeApp)) {
        self.timetable.with(move |kernel| kernel.mark_cron(app(number))).await.expect("marked");
        change(self.rest.apps.lock().expect("lock").entry(app(number)).or_default());
        let _ = self.changes.send(app(number));
    }

    fn start(&mut self) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let stage = FakeStage { rest: Arc::clone(&self.rest), clock: Arc::clone(&self.clock) };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let timetable = Arc::clone(&self.timetable);
        let keeper = Keeper::new(Arc::new(stage), timetable, clock, receiver, self.changes.subscribe());
        self.keeper = Some((tokio::spawn(keeper.run()), orders));
    }

    /// The server dies; what it had begun to write is written or not.
    async fn kill(&mut self) {
        let (task, _) = self.keeper.take().expect("alive");
        task.abort();
        let _ = task.await;
        while Arc::strong_count(&self.storage) > self.idle {
            tokio::task::yield_now().await;
        }
        self.rest.life.fetch_add(1, SeqCst);
    }

    /// Lets time pass, and waits until the keeper has nothing more to do.
    async fn pass(&self, ms: u64) {
        self.set(self.clock.now_unix_ms() + ms).await;
    }

    async fn set(&self, unix_ms: u64) {
        let mut asleep = self.clock.asleep.subscribe();
        asleep.mark_unchanged();
        self.clock.now.send_replace(unix_ms);
        asleep.changed().await.expect("the keeper lives");
        self.settle().await;
    }

    /// Waits until what is due has ended, or waits for the door to open.
    async fn settle(&self) {
        loop {
            let mut asleep = self.clock.asleep.subscribe();
            asleep.mark_unchanged();
            // A change of nothing: the keeper looks again, and sleeps again.
            self.clock.now.send_modify(|_| {});
            asleep.changed().await.expect("the keeper lives");
            let going = self.rest.running.lock().expect("lock").values().sum::<usize>();
            if going == 0 || *self.rest.shut.borrow() {
                return;
            }
        }
    }

    async fn add(&self, number: u128, kind: JobKind, delay_ms: u64, fails: u32) -> JobId {
        let now = self.clock.now_unix_ms();
        let id = JobId::new(now, self.next_id.fetch_add(1, SeqCst).into());
        let job = NewJobRow {
            id,
            kind,
            name: format!("q{number}"),
            at_unix_ms: now + delay_ms,
            due_unix_ms: now + delay_ms,
            payload: Some(fails.to_string()),
        };
        assert_eq!(self.timetable.add(app(number), vec![job]).await.expect("written"), Added::All);
        id
    }

    async fn waiting(&self, number: u128) -> Vec<JobRow> {
        self.timetable.with(move |kernel| kernel.jobs(app(number), false, 1_000)).await.expect("rows")
    }

    async fn dead(&self, number: u128) -> Vec<JobRow> {
        self.timetable.with(move |kernel| kernel.jobs(app(number), true, 1_000)).await.expect("rows")
    }

    /// The history, oldest first, in words.
    async fn outcomes(&self, number: u128) -> Vec<String> {
        let runs: Vec<RunRow> =
            self.timetable.with(move |kernel| kernel.runs(app(number), None, 1_000)).await.expect("rows");
        runs.into_iter().rev().map(|run| run.outcome).collect()
    }

    async fn due(&self, number: u128) -> Vec<Option<u64>> {
        let rows = self.timetable.with(move |kernel| kernel.cron(app(number))).await.expect("rows");
        rows.into_iter().map(|row| row.due).collect()
    }

    fn attempts(&self) -> Vec<Attempt> {
        self.rest.attempts.lock().expect("lock").clone()
    }

    async fn run_now(&self, number: u128, name: &str) -> oneshot::Receiver<Result<RunRow, NotRun>> {
        let (tell, told) = oneshot::channel();
        let (_, orders) = self.keeper.as_ref().expect("alive");
        let order = Order::Run { app: app(number), name: name.into(), tell };
        assert!(orders.send(order).is_ok());
        told
    }
}

#[tokio::test]
async fn an_entry_runs_each_time_and_what_was_missed_is_skipped_or_made_up_for_once() {
    let mut world = World::new().await;
    world.add_app(1, &[every_minute(1, false, false)]).await;
    world.add_app(2, &[every_minute(2, true, false)]).await;
    world.start();
    world.settle().await;
    world.pass(MINUTE).await;
    world.pass(MINUTE).await;
    assert_eq!(world.outcomes(1).await, ["ok", "ok"]);
    world.kill().await;
    world.clock.now.send_replace(START + 60 * MINUTE + 5);
    world.start();
    world.settle().await;
    assert_eq!(world.outcomes(1).await, ["ok", "ok", "missed"]);
    assert_eq!(world.outcomes(2).await, ["ok", "ok", "ok"], "an hour of runs is one run");
    assert_eq!(world.due(1).await, [Some(START + 61 * MINUTE)]);
    let at: Vec<_> = world.attempts().iter().filter(|a| a.app == app(2)).map(|a| a.job.at_unix_ms).collect();
    assert_eq!(at, [START + MINUTE, START + 2 * MINUTE, START + 3 * MINUTE]);
    world.pass(MINUTE).await;
    assert_eq!(world.outcomes(1).await.last().map(String::as_str), Some("ok"));
}

#[tokio::test]
async fn a_run_does_not_start_while_the_one_before_goes_on_unless_it_may() {
    let mut world = World::new().await;
    world.add_app(1, &[every_minute(1, false, false)]).await;
    world.add_app(2, &[every_minute(2, false, true)]).await;
    world.start();
    world.settle().await;
    world.rest.shut.send_replace(true);
    world.pass(MINUTE).await;
    world.pass(MINUTE).await;
    let begun = |number| world.attempts().iter().filter(|a| a.app == app(number)).count();
    assert_eq!((begun(1), begun(2)), (1, 2));
    assert_eq!(world.outcomes(1).await, ["overlapped"]);
    let told = world.run_now(1, "tick-1").await;
    assert!(matches!(told.await.expect("told"), Err(NotRun::Running)));
    world.rest.shut.send_replace(false);
    world.settle().await;
    assert_eq!(world.outcomes(1).await, ["overlapped", "ok"]);
}

#[tokio::test]
async fn a_job_is_tried_again_later_and_later_and_is_a_dead_letter_at_last() {
    let mut world = World::new().await;
    world.add_app(1, &[]).await;
    world.start();
    let good = world.add(1, JobKind::Queue, 0, 2).await;
    let bad = world.add(1, JobKind::Once, 10_000, 99).await;
    for _ in 0..200 {
        world.settle().await;
        let Some(due) = world.waiting(1).await.iter().map(|row| row.due_unix_ms).min() else { break };
        world.set(due).await;
    }
    let attempts = |id| world.attempts().into_iter().filter(move |a| a.job.id == id).collect::<Vec<_>>();
    assert_eq!(
        attempts(good).iter().map(|a| a.ended.expect("over").1).collect::<Vec<_>>(),
        [false, false, true]
    );
    let tries = attempts(bad);
    assert_eq!(tries.len(), ATTEMPTS_MAX as usize);
    assert!(tries[0].began >= START + 10_000, "not before its time");
    for (number, pair) in tries.windows(2).enumerate() {
        let wait = pair[1].began - pair[0].ended.expect("over").0;
        assert!(wait >= backoff_ms(number as u32 + 1, 0.0), "{number}: {wait}");
    }
    let dead = world.dead(1).await;
    assert_eq!(dead.iter().map(|row| (row.id, row.error.as_str())).collect::<Vec<_>>(), [(bad, "Error: x")]);
    let now = world.clock.now_unix_ms();
    assert!(world.timetable.revive(app(1), bad, now).await.expect("written"));
    world.settle().await;
    world.settle().await;
    assert_eq!(attempts(bad).len(), ATTEMPTS_MAX as usize + 1, "and is tried again when somebody says so");
    assert!(world.timetable.cancel(app(1), bad).await.expect("written"));
    assert!(!world.timetable.cancel(app(1), bad).await.expect("written"));
    assert_eq!((world.waiting(1).await, world.dead(1).await), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_not_granted_waits_and_goes_on_when_it_is() {
    let mut world = World::new().await;
    world.add_app(1, &[every_minute(1, true, false)]).await;
    world.start();
    world.settle().await;
    world.pass(MINUTE).await;
    world.change_app(1, |app| app.denied = true).await;
    let job = world.add(1, JobKind::Queue, 0, 0).await;
    world.pass(10 * MINUTE).await;
    world.pass(10 * MINUTE).await;
    assert_eq!(world.attempts().len(), 1);
    assert_eq!(world.waiting(1).await.len(), 1, "it stays listed");
    assert!(matches!(world.run_now(1, "tick-1").await.await.expect("told"), Err(NotRun::NotGranted)));
    world.change_app(1, |app| app.denied = false).await;
    for _ in 0..3 {
        world.settle().await;
    }
    let run: Vec<_> = world.attempts().into_iter().skip(1).map(|a| a.job.id == job).collect();
    assert_eq!(run.iter().filter(|is_job| **is_job).count(), 1);
    assert_eq!(run.len(), 2, "and the entry once for all that it missed");
}

#[tokio::test]
async fn a_new_version_has_its_own_entries_and_those_that_stay_stay_due() {
    let mut world = World::new().await;
    let daily = |name: &str, hour: u32| CronRow {
        name: name.into(),
        schedule: format!("0 {hour} * * *"),
        ..every_minute(1, false, false)
    };
    world.add_app(1, &[daily("a-1", 5), daily("b-1", 6)]).await;
    world.start();
    world.settle().await;
    let hour = 60 * MINUTE;
    assert_eq!(world.due(1).await, [Some(START + 5 * hour), Some(START + 6 * hour)]);
    world.change_app(1, |app| app.entries = vec![daily("b-1", 6), daily("c-1", 1)]).await;
    world.settle().await;
    world.settle().await;
    assert_eq!(world.due(1).await, [Some(START + 6 * hour), Some(START + hour)]);
    // The server dies between the version and the word of it.
    world.kill().await;
    world.timetable.with(|kernel| kernel.mark_cron(app(1))).await.expect("marked");
    world.rest.apps.lock().expect("lock").get_mut(&app(1)).expect("there").entries = vec![daily("d-1", 2)];
    world.start();
    world.settle().await;
    assert_eq!(world.due(1).await, [Some(START + 2 * hour)]);
    assert!(world.timetable.with(|kernel| kernel.stale_apps()).await.expect("rows").is_empty());
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_make_an_entry_wait() {
    let mut world = World::new().await;
    world.clock.now.send_replace(START + 1_000_000 * MINUTE);
    world.add_app(1, &[every_minute(1, false, false)]).await;
    world.start();
    world.settle().await;
    world.set(START).await;
    world.settle().await;
    assert_eq!(world.due(1).await, [Some(START + MINUTE)]);
    world.pass(MINUTE).await;
    assert_eq!(world.outcomes(1).await, ["ok"]);
    // Far ahead it was not seen to in time.
    world.pass(100 * MINUTE).await;
    assert_eq!(world.outcomes(1).await, ["ok", "missed"]);
}

#[tokio::test]
async fn an_app_that_is_removed_leaves_nothing() {
    let mut world = World::new().await;
    world.add_app(1, &[every_minute(1, false, false)]).await;
    world.start();
    world.settle().await;
    world.pass(MINUTE).await;
    world.rest.shut.send_replace(true);
    world.add(1, JobKind::Queue, 0, 0).await;
    world.add(1, JobKind::Once, 1, 0).await;
    world.settle().await;
    world.timetable.with(|kernel| kernel.delete(app(1), None)).await.expect("deleted");
    world.rest.apps.lock().expect("lock").clear();
    let _ = world.changes.send(app(1));
    // What goes on meanwhile ends into nothing, and nothing can be added.
    world.rest.shut.send_replace(false);
    world.pass(MINUTE).await;
    let late = NewJobRow {
        id: JobId::new(1, 1),
        kind: JobKind::Once,
        name: String::new(),
        at_unix_ms: 0,
        due_unix_ms: 0,
        payload: None,
    };
    assert_eq!(world.timetable.add(app(1), vec![late]).await.expect("read"), Added::Gone);
    assert_eq!((world.waiting(1).await, world.outcomes(1).await), (vec![], vec![]));
    assert!(world.timetable.with(|kernel| kernel.busy_apps()).await.expect("rows").is_empty());
}

#[tokio::test]
async fn an_app_has_bounds_and_its_history_too() {
    let mut world = World::new().await;
    world.add_app(1, &[]).await;
    let job = |number: usize| NewJobRow {
        id: JobId::new(START, number as u128),
        kind: JobKind::Queue,
        name: "q1".into(),
        at_unix_ms: START,
        due_unix_ms: START,
        payload: Some("0".into()),
    };
    let many: Vec<_> = (0..JOBS_MAX).map(job).collect();
    assert_eq!(world.timetable.add(app(1), many).await.expect("written"), Added::All);
    assert_eq!(world.timetable.add(app(1), vec![job(JOBS_MAX)]).await.expect("written"), Added::Full);
    world.timetable.with(|kernel| kernel.forget_jobs(app(1))).await.expect("written");
    let large = NewJobRow { payload: Some("x".repeat(fazt_ipc::limits::JOBS_BYTES_MAX + 1)), ..job(1) };
    assert_eq!(world.timetable.add(app(1), vec![large]).await.expect("written"), Added::Full);
    let some: Vec<_> = (0..RUNS_KEPT + 20).map(job).collect();
    assert_eq!(world.timetable.add(app(1), some).await.expect("written"), Added::All);
    world.start();
    world.settle().await;
    while !world.waiting(1).await.is_empty() {
        world.pass(1_000).await;
    }
    assert_eq!(world.outcomes(1).await.len(), RUNS_KEPT);
}

#[tokio::test]
async fn a_server_that_was_off_is_no_herd_when_it_starts() {
    let mut world = World::new().await;
    for number in 0..40 {
        world.add_app(number, &[]).await;
        for _ in 0..6 {
            world.add(number, JobKind::Queue, 0, 0).await;
        }
    }
    world.rest.shut.send_replace(true);
    world.start();
    world.settle().await;
    assert_eq!(world.attempts().len(), RUNS_MAX);
    let apps: std::collections::HashSet<_> = world.attempts().iter().map(|a| a.app).collect();
    assert_eq!(apps.len(), RUNS_MAX, "each of another app");
    world.rest.shut.send_replace(false);
    for number in 0..40 {
        while !world.waiting(number).await.is_empty() {
            world.settle().await;
        }
    }
    assert_eq!(world.attempts().len(), 240, "each once");
    assert_eq!(world.rest.most.load(SeqCst), RUNS_MAX);
}

#[tokio::test]
async fn somebodys_word_runs_an_entry_and_hears_what_became_of_it() {
    let mut world = World::new().await;
    world.add_app(1, &[every_minute(1, false, false)]).await;
    world.start();
    world.settle().await;
    let told = world.run_now(1, "tick-1").await.await.expect("told").expect("ran");
    assert_eq!((told.outcome.as_str(), told.attempt, told.at_unix_ms), ("ok", 1, START));
    let known = world.run_now(1, "tock").await.await.expect("told");
    assert!(matches!(known, Err(NotRun::NoEntry(known)) if known == ["tick-1"]));
    assert!(matches!(world.run_now(7, "x").await.await.expect("told"), Err(NotRun::NoApp)));
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Whatever happens, in whatever order, and whenever the server dies: nothing that was accepted is lost, nothing comes
/// before its time, nothing comes again sooner than it may.
#[tokio::test]
async fn nothing_is_lost_whatever_happens() {
    let seed =
        std::env::var("FAZT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("FAZT_SEED={seed}");
    let mut random = Random(seed);
    let (mut accepted, mut cancelled) = (HashMap::new(), Vec::new());
    let mut world = World::new().await;
    for number in 0..3 {
        world.add_app(number, &[every_minute(number, number == 1, number == 2)]).await;
    }
    world.start();
    for _ in 0..150 {
        let number = u128::from(random.below(3));
        match random.below(10) {
            0..4 => {
                let kind = if random.below(2) == 0 { JobKind::Once } else { JobKind::Queue };
                let (delay, fails) = (random.below(3) * random.below(90_000), random.below(7) as u32);
                let due = world.clock.now_unix_ms() + delay;
                let id = world.add(number, kind, delay, fails).await;
                accepted.insert(id, (number, due, fails));
            }
            4 => {
                let ids: Vec<_> = accepted.keys().copied().collect();
                if let Some(id) = ids.get(random.below(ids.len().max(1) as u64) as usize)
                    && world.timetable.cancel(app(accepted[id].0), *id).await.expect("written")
                {
                    cancelled.push(*id);
                }
            }
            5 => drop(world.rest.shut.send_replace(random.below(2) == 0)),
            6 => {
                let denied = random.below(3) == 0;
                world.change_app(number, |app| app.denied = denied).await;
            }
            7 if random.below(2) == 0 => {
                world.kill().await;
                world.clock.now.send_modify(|now| *now += random.below(5 * MINUTE));
                world.start();
            }
            _ => world.pass(random.below(2 * MINUTE)).await,
        }
    }
    world.rest.shut.send_replace(false);
    for number in 0..3 {
        world.change_app(number, |app| *app = FakeApp::default()).await;
    }
    for _ in 0..5_000 {
        world.settle().await;
        let mut due = Vec::new();
        for number in 0..3 {
            due.extend(world.waiting(number).await.into_iter().map(|row| row.due_unix_ms));
        }
        let Some(next) = due.into_iter().min() else { break };
        world.set(next.max(world.clock.now_unix_ms())).await;
    }
    let mut dead = Vec::new();
    for number in 0..3 {
        assert_eq!(world.waiting(number).await, [], "something waits for ever");
        dead.extend(world.dead(number).await.into_iter().map(|row| row.id));
    }
    let lives = world.rest.life.load(SeqCst);
    let attempts = world.attempts();
    for (id, (_, due, fails)) in &accepted {
        let mine: Vec<_> = attempts.iter().filter(|attempt| attempt.job.id == *id).collect();
        let good = mine.iter().filter(|attempt| attempt.ended.is_some_and(|(_, ok)| ok)).count();
        let is_dead = dead.contains(id);
        assert!(good > 0 || is_dead || cancelled.contains(id), "lost: {id} {mine:?}");
        assert!(good <= 1 + lives, "again without a death: {id}");
        // The server may die when an attempt has been written down and has not begun.
        assert!(!is_dead || mine.len() + lives >= ATTEMPTS_MAX as usize, "given up too soon: {id}");
        assert!(mine.iter().all(|attempt| attempt.began >= *due), "too soon: {id}");
        assert!(*fails < ATTEMPTS_MAX || good == 0);
        for pair in mine.windows(2).filter(|pair| pair[0].life == pair[1].life) {
            let (ended, ok) = pair[0].ended.expect("one at a time");
            assert!(!ok, "again after it was done: {id}");
            let least = backoff_ms(pair[0].job.attempts, 0.0).max(BACKOFF_FIRST_MS);
            assert!(pair[1].began >= ended + least, "sooner than it may: {id}");
        }
    }
    // Entries run at times that their schedules name, each once in a life.
    let ticks: Vec<_> = attempts.iter().filter(|attempt| attempt.job.kind == JobKind::Cron).collect();
    assert!(ticks.iter().all(|attempt| attempt.job.at_unix_ms.is_multiple_of(MINUTE)));
}
