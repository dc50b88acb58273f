//! Turns at something expensive, a few at a time. Whoever we know goes before strangers, and everybody has a small
//! share of the places to wait in: no crowd keeps the people of this server from signing in, nor one of them the
//! others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::secret::Mark;

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A stranger of this network.
    Stranger(Mark),
    /// Somebody who showed something right: a session, a link, a browser that was signed in here before.
    Known(Mark),
}

impl Holder {
    const fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }
}

struct Waiter {
    holder: Holder,
    go: oneshot::Sender<Turn>,
}

struct State {
    running: usize,
    queue: VecDeque<Waiter>,
}

/// The turns.
pub struct Turns {
    state: Mutex<State>,
    at_once: usize,
    places: Places,
}

/// Places to wait in.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// In all.
    pub all: usize,
    /// For one network of strangers.
    pub stranger: usize,
    /// For one of those we know.
    pub known: usize,
}

/// A turn. Dropping it lets the next one go.
pub struct Turn(Arc<Turns>);

impl Turns {
    /// So many at once.
    #[must_use]
    pub fn new(at_once: usize, places: Places) -> Arc<Self> {
        let state = State { running: 0, queue: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state), at_once, places })
    }

    /// Waits for a turn. None: there are too many, come back later.
    pub async fn wait(self: &Arc<Self>, holder: Holder) -> Option<Turn> {
        let (go, gone) = oneshot::channel();
        if !self.lock().enter(Waiter { holder, go }, self.places) {
            return None;
        }
        self.pass();
        gone.await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets as many go as may. Whoever went away meanwhile gives the turn back by dropping it.
    fn pass(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                if state.running >= self.at_once {
                    return;
                }
                let Some(next) = state.next() else { return };
                state.running += 1;
                next
            };
            drop(next.go.send(Turn(Arc::clone(self))));
        }
    }
}

impl State {
    /// Takes a place, if there is one to be had. Those that nobody waits in any more are given up first.
    fn enter(&mut self, waiter: Waiter, places: Places) -> bool {
        self.queue.retain(|waiting| !waiting.go.is_closed());
        let mine = self.queue.iter().filter(|waiting| waiting.holder == waiter.holder).count();
        let share = if waiter.holder.is_known() { places.known } else { places.stranger };
        if mine >= share {
            return false;
        }
        if self.queue.len() >= places.all {
            // The last to come of whoever waits in more places than this one would; before somebody we know any
            // stranger makes room.
            let mut held = HashMap::<Holder, usize>::new();
            self.queue.iter().for_each(|waiting| *held.entry(waiting.holder).or_default() += 1);
            let yields = |holder: Holder, count: usize| match (waiter.holder.is_known(), holder.is_known()) {
                (true, false) => true,
                (false, true) => false,
                _ => count > mine + 1,
            };
            let greedy = held.into_iter().filter(|(holder, count)| yields(*holder, *count));
            let greedy = greedy.max_by_key(|(holder, count)| (!holder.is_known(), *count));
            let Some((greedy, _)) = greedy else { return false };
            let last = self.queue.iter().rposition(|waiting| waiting.holder == greedy);
            last.and_then(|at| self.queue.remove(at));
        }
        self.queue.push_back(waiter);
        true
    }

    /// Those we know first, else the first to come.
    fn next(&mut self) -> Option<Waiter> {
        let known = self.queue.iter().position(|waiting| waiting.holder.is_known());
        self.queue.remove(known.unwrap_or(0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.pass();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(n: u8) -> Holder {
        Holder::Stranger(Mark::of(&[&[n]]))
    }

    /// Asks for a turn and lets the runtime come to rest.
    async fn ask(turns: &Arc<Turns>, holder: Holder) -> tokio::task::JoinHandle<Option<Turn>> {
        let turns = Arc::clone(turns);
        let asked = tokio::spawn(async move { turns.wait(holder).await });
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        asked
    }

    #[tokio::test]
    async fn a_crowd_of_one_network_leaves_places_and_those_we_know_go_first() {
        let turns = Turns::new(1, Places { all: 4, stranger: 2, known: 2 });
        let first = ask(&turns, stranger(1)).await.await.expect("task").expect("a turn");
        let waits = ask(&turns, stranger(1)).await;
        let more = ask(&turns, stranger(1)).await;
        assert!(ask(&turns, stranger(1)).await.await.expect("task").is_none(), "its share is two places");
        let (two, three) = (ask(&turns, stranger(2)).await, ask(&turns, stranger(3)).await);
        // No place is left: the newest of the network that has most of them makes room.
        let four = ask(&turns, stranger(4)).await;
        assert!(more.await.expect("task").is_none());
        assert!(ask(&turns, stranger(5)).await.await.expect("task").is_none(), "nobody has more than one");
        let known = ask(&turns, Holder::Known(Mark::of(&[b"anna"]))).await;
        drop(first);
        let turn = known.await.expect("task").expect("before all strangers");
        drop(turn);
        let mut served = 0;
        for asked in [waits, two, three, four] {
            served += usize::from(asked.await.expect("task").is_some());
        }
        assert_eq!(served, 3, "one made room for somebody we know");
        assert_eq!(turns.lock().running, 0);
    }

    #[tokio::test]
    async fn nobody_we_know_takes_all_places_either() {
        let turns = Turns::new(1, Places { all: 4, stranger: 1, known: 3 });
        let first = ask(&turns, stranger(1)).await.await.expect("task").expect("a turn");
        let known = |name: &str| Holder::Known(Mark::of(&[name.as_bytes()]));
        let mut annas = Vec::new();
        for _ in 0..3 {
            annas.push(ask(&turns, known("anna")).await);
        }
        assert!(ask(&turns, known("anna")).await.await.expect("task").is_none(), "her share");
        let (berta, carla) = (ask(&turns, known("berta")).await, ask(&turns, known("carla")).await);
        assert!(ask(&turns, stranger(2)).await.await.expect("task").is_none(), "strangers push out nobody");
        drop(first);
        let mut served = Vec::new();
        for asked in annas.into_iter().chain([berta, carla]) {
            served.push(asked.await.expect("task").is_some());
        }
        assert_eq!(served, [true, true, false, true, true], "her last one made room");
    }

    #[tokio::test]
    async fn whoever_goes_away_holds_neither_a_place_nor_a_turn() {
        let turns = Turns::new(1, Places { all: 2, stranger: 2, known: 2 });
        let first = turns.wait(stranger(1)).await.expect("a turn");
        let gone = ask(&turns, stranger(2)).await;
        gone.abort();
        assert!(gone.await.is_err());
        let stays = ask(&turns, stranger(3)).await;
        drop(first);
        drop(stays.await.expect("task").expect("a turn"));
        let state = turns.lock();
        assert_eq!((state.running, state.queue.len()), (0, 0));
    }
}
