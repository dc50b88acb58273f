//! Which app is next. Pure: told the time, and what is due when.

use std::collections::HashMap;

use fazt_ipc::ids::AppId;

use crate::kernel::storage::jobs::NextDue;

/// Runs and jobs that go on at once, of all apps: a server that was off for a day is not crushed by what it missed.
pub(super) const RUNS_MAX: usize = 8;
/// The same of one app.
pub(super) const APP_RUNS_MAX: usize = 4;

/// An app begins a run this often for long: each is written into the server's own database, twice.
const STEP_MS: u64 = 50;
/// And so many at once after a pause.
const BURST: u64 = 100;

/// What is due, by app.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    apps: HashMap<AppId, Place>,
    running: usize,
    turns: u64,
}

#[derive(Debug, Default)]
struct Place {
    next: NextDue,
    /// Nothing of it is looked at before this time.
    not_before: u64,
    /// Its next run begins no sooner.
    paced: u64,
    /// When the runs that it began would have begun, a step apart.
    spent: u64,
    /// It may do nothing now.
    paused: bool,
    running: usize,
    /// When it was last looked at, in turns.
    turn: u64,
}

impl Place {
    fn entry(&self) -> Option<u64> {
        self.next.entry.filter(|_| !self.paused).map(|due| due.max(self.not_before))
    }

    fn job(&self) -> Option<u64> {
        let may = !self.paused && self.running < APP_RUNS_MAX;
        self.next.job.filter(|_| may).map(|due| due.max(self.not_before).max(self.paced))
    }
}

/// An app with something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) app: AppId,
    /// One of its runs and jobs may begin.
    pub(super) begin: bool,
}

impl Agenda {
    /// What is due in an app.
    pub(super) fn set(&mut self, app: AppId, next: NextDue) {
        let place = self.apps.entry(app).or_default();
        place.next = next;
        place.not_before = 0;
        if next == NextDue::default() && place.running == 0 && !place.paused {
            self.apps.remove(&app);
        }
    }

    /// The app may do something, or nothing.
    pub(super) fn pause(&mut self, app: AppId, paused: bool) {
        self.apps.entry(app).or_default().paused = paused;
    }

    pub(super) fn is_paused(&self, app: AppId) -> bool {
        self.apps.get(&app).is_some_and(|place| place.paused)
    }

    /// The app is not looked at before this time.
    pub(super) fn postpone(&mut self, app: AppId, until_unix_ms: u64) {
        self.apps.entry(app).or_default().not_before = until_unix_ms;
    }

    /// The app is no more. What runs still counts.
    pub(super) fn remove(&mut self, app: AppId) {
        if let Some(place) = self.apps.get_mut(&app) {
            *place = Place { running: place.running, ..Place::default() };
        }
    }

    pub(super) fn begun(&mut self, app: AppId, now_unix_ms: u64) {
        self.running += 1;
        let place = self.apps.entry(app).or_default();
        place.running += 1;
        // So much of the burst is left as the last ones lie back; when none is, the next waits for its step.
        place.spent = place.spent.max(now_unix_ms) + STEP_MS;
        place.paced = place.spent.saturating_sub(BURST * STEP_MS);
    }

    /// The clock went back: what was noted of it is wrong.
    pub(super) fn forget_times(&mut self) {
        for place in self.apps.values_mut() {
            (place.spent, place.paced, place.not_before) = (0, 0, 0);
        }
    }

    pub(super) fn ended(&mut self, app: AppId) {
        self.running = self.running.saturating_sub(1);
        if let Some(place) = self.apps.get_mut(&app) {
            place.running = place.running.saturating_sub(1);
        }
    }

    /// An app with something to do now. Entries come first, which only makes a run wait; of runs and jobs, those of the
    /// app with the fewest going on, and of these of the one that had no turn for longest.
    pub(super) fn due(&mut self, now_unix_ms: u64) -> Option<Due> {
        let is_due = |due: Option<u64>| due.is_some_and(|due| due <= now_unix_ms);
        let room = self.running < RUNS_MAX;
        let found = self
            .apps
            .iter()
            .filter(|(_, place)| is_due(place.entry()) || (room && is_due(place.job())))
            .min_by_key(|(app, place)| (!is_due(place.entry()), place.running, place.turn, **app));
        let (&app, place) = found?;
        let begin = room && is_due(place.job());
        self.turns += 1;
        let turn = self.turns;
        self.apps.entry(app).or_default().turn = turn;
        Some(Due { app, begin })
    }

    /// When there is something to do if nothing else happens; none: never.
    pub(super) fn next(&self) -> Option<u64> {
        let room = self.running < RUNS_MAX;
        let times = |place: &Place| [place.entry(), place.job().filter(|_| room)];
        self.apps.values().flat_map(times).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: u128) -> AppId {
        AppId::new(0, number)
    }

    fn job(due: u64) -> NextDue {
        NextDue { entry: None, job: Some(due) }
    }

    #[test]
    fn an_app_that_has_much_to_do_does_not_hold_up_another() {
        let mut agenda = Agenda::default();
        agenda.set(app(1), job(5));
        agenda.set(app(2), job(90));
        assert_eq!((agenda.next(), agenda.due(4)), (Some(5), None));
        let mut order = Vec::new();
        while let Some(due) = agenda.due(100) {
            agenda.begun(due.app, 100);
            order.push(due.app);
        }
        assert_eq!(order.len(), RUNS_MAX);
        assert!(order.chunks(2).all(|pair| pair[0] != pair[1]), "{order:?}");
        assert_eq!(agenda.next(), None, "an end is waited for");
        agenda.ended(app(1));
        assert_eq!(agenda.due(100), Some(Due { app: app(1), begin: true }));
    }

    #[test]
    fn entries_are_seen_to_while_everything_is_taken() {
        let mut agenda = Agenda::default();
        for number in 0..3 {
            agenda.set(app(number), job(1));
            (0..3).for_each(|_| agenda.begun(app(number), 1));
        }
        agenda.set(app(0), NextDue { entry: Some(7), job: Some(1) });
        assert_eq!(agenda.next(), Some(7));
        assert_eq!(agenda.due(8), Some(Due { app: app(0), begin: false }));
    }

    #[test]
    fn an_app_that_goes_on_asking_itself_is_slowed_down() {
        let mut agenda = Agenda::default();
        let mut now = 1_000_000;
        let mut begun = 0;
        while now < 1_010_000 {
            agenda.set(app(1), job(now));
            while agenda.due(now).is_some() {
                agenda.begun(app(1), now);
                agenda.ended(app(1));
                begun += 1;
            }
            now = agenda.next().expect("later");
        }
        assert!((290..=310).contains(&begun), "{begun} in ten seconds");
        agenda.forget_times();
        assert!(agenda.due(now).is_some());
    }

    #[test]
    fn what_is_paused_or_postponed_waits() {
        let mut agenda = Agenda::default();
        agenda.set(app(1), job(1));
        agenda.pause(app(1), true);
        assert_eq!((agenda.next(), agenda.due(9)), (None, None));
        agenda.pause(app(1), false);
        agenda.postpone(app(1), 20);
        assert_eq!((agenda.next(), agenda.due(9)), (Some(20), None));
        agenda.set(app(1), job(3));
        assert_eq!(agenda.next(), Some(3), "news end the wait");
        agenda.begun(app(1), 9);
        agenda.remove(app(1));
        assert_eq!((agenda.next(), agenda.running), (None, 1));
    }
}
