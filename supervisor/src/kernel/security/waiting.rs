//! What waits for somebody to come back with the secret they were given: codes, challenges, half a sign-in. In
//! memory, for minutes; a restart costs one more click. Bounded in all and for each holder, so that nobody's
//! things are pushed out by somebody who asks again and again.

use std::collections::HashMap;

use super::World;
use super::secret::{Mark, Secret};

struct Entry<T> {
    what: T,
    holder: Mark,
    /// Order of arrival.
    n: u64,
    expires_unix_ms: u64,
}

/// Things that wait, by the marks of their secrets.
pub struct Waiting<T> {
    open: HashMap<Mark, Entry<T>>,
    most: usize,
    each: usize,
    n: u64,
}

impl<T> Waiting<T> {
    /// Room for `most` things, and for `each` of one holder.
    #[must_use]
    pub fn new(most: usize, each: usize) -> Self {
        Self { open: HashMap::new(), most, each, n: 0 }
    }

    /// Keeps something for `holder` (a network, a user) for so long. When the holder has their share, their
    /// oldest goes; when there is no room at all, the oldest of whoever has the most.
    pub fn keep(&mut self, holder: Mark, what: T, life_ms: u64, world: &dyn World) -> Secret {
        let now = world.now_ms();
        self.open.retain(|_, entry| now < entry.expires_unix_ms);
        if self.held_by(holder) >= self.each {
            self.drop_oldest(holder);
        } else if self.open.len() >= self.most {
            let mut held = HashMap::<Mark, usize>::new();
            self.open.values().for_each(|entry| *held.entry(entry.holder).or_default() += 1);
            let greedy = held.into_iter().max_by_key(|(_, count)| *count).map(|(holder, _)| holder);
            greedy.into_iter().for_each(|holder| self.drop_oldest(holder));
        }
        let secret = Secret::new(world);
        self.n += 1;
        let entry = Entry { what, holder, n: self.n, expires_unix_ms: now + life_ms };
        self.open.insert(secret.mark(), entry);
        secret
    }

    /// Takes out what waits for this secret.
    pub fn take(&mut self, secret: &Secret, now_ms: u64) -> Option<T> {
        let entry = self.open.remove(&secret.mark())?;
        (now_ms < entry.expires_unix_ms).then_some(entry.what)
    }

    /// Looks at what waits for this secret, which goes on waiting.
    pub fn look(&mut self, secret: &Secret, now_ms: u64) -> Option<&mut T> {
        let entry = self.open.get_mut(&secret.mark())?;
        (now_ms < entry.expires_unix_ms).then_some(&mut entry.what)
    }

    /// Forgets what is no longer good.
    pub fn forget(&mut self, gone: impl Fn(&T) -> bool) {
        self.open.retain(|_, entry| !gone(&entry.what));
    }

    fn held_by(&self, holder: Mark) -> usize {
        self.open.values().filter(|entry| entry.holder == holder).count()
    }

    fn drop_oldest(&mut self, holder: Mark) {
        let of = self.open.iter().filter(|(_, entry)| entry.holder == holder);
        let oldest = of.min_by_key(|(_, entry)| entry.n).map(|(&mark, _)| mark);
        oldest.and_then(|mark| self.open.remove(&mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::security::world::Fixed;

    #[test]
    fn a_holder_pushes_out_their_own_and_a_crowd_that_of_the_greediest() {
        let world = Fixed::at(5);
        let holder = |n: u8| Mark::of(&[&[n]]);
        let mut waiting = Waiting::new(10, 4);
        let mine = waiting.keep(holder(0), 0, 1_000, &*world);
        let many: Vec<_> = (0..20).map(|_| waiting.keep(holder(1), 1, 1_000, &*world)).collect();
        assert_eq!(waiting.open.len(), 5, "four of the greedy one");
        assert!(waiting.look(&many[15], 5).is_none() && waiting.look(&many[16], 5).is_some());
        let few: Vec<_> = (2..8).map(|n| waiting.keep(holder(n), 2, 1_000, &*world)).collect();
        assert_eq!(waiting.open.len(), 10);
        assert!(waiting.look(&many[16], 5).is_none(), "the greedy one's oldest made room");
        assert!(few.iter().all(|secret| waiting.look(secret, 5).is_some()));
        assert_eq!(waiting.take(&mine, 5), Some(0), "whoever asked once is not pushed out");
        assert_eq!(waiting.take(&mine, 5), None);
        world.pass(1_000);
        assert_eq!(waiting.take(&few[0], world.now_ms()), None, "late");
        waiting.keep(holder(0), 0, 1_000, &*world);
        assert_eq!(waiting.open.len(), 1);
    }
}
