//! How often somebody may try to sign in. A stranger's try is counted three times: for that account from that
//! network, for that network, and for that account from anywhere. So guessing is slow, and whoever guesses locks
//! out nobody but their own network: the count from anywhere is generous and fills up again by itself, and it
//! does not hold for browsers that were signed in here before, for passkeys, or for a session that proves itself
//! anew. Those have a count of their own.
//!
//! A try is charged before it is judged, so that tries side by side count too; a right one is given back. All
//! tables are bounded; whoever fills them evicts the least troubled first.

use std::collections::HashMap;
use std::net::IpAddr;

use super::secret::Mark;

/// Wrong tries of one kind that cost no time.
const FREE: u32 = 5;
/// Wrong tries of one network, on whatever accounts, that cost no time: a family behind one address mistypes.
const NETWORK_FREE: u32 = 20;
/// Tries at a link that cost no time: several may have it and open it at once.
const LINK_FREE: u32 = 16;
/// The first wait; each further wrong try doubles it.
const WAIT_FIRST_MS: u64 = 2_000;
/// The longest wait.
const WAIT_MS_MAX: u64 = 15 * 60 * 1_000;
/// Wrong tries are forgotten after this time without one.
const FORGET_MS: u64 = 6 * 60 * 60 * 1_000;
/// Wrong tries of strangers on one account from all networks together that cost no time.
const ANYWHERE_FREE: u64 = 100;
/// One of those comes back after this time: 480 guesses a day at the most, of a password that has at least ten
/// letters.
const ANYWHERE_EVERY_MS: u64 = 3 * 60 * 1_000;
/// Entries of each table: 4,096 of 64 bytes.
const ENTRIES_MAX: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Tries {
    wrong: u32,
    last_ms: u64,
}

/// Counts, each with waits that double.
#[derive(Debug, Default)]
struct Table(HashMap<Mark, Tries>);

impl Table {
    /// Milliseconds until the next try is judged.
    fn wait_ms(&self, key: Mark, free: u32, now_ms: u64) -> u64 {
        let Some(tries) = self.0.get(&key) else { return 0 };
        let Some(over) = tries.wrong.checked_sub(free) else { return 0 };
        let wait = WAIT_FIRST_MS.saturating_mul(1 << over.min(20)).min(WAIT_MS_MAX);
        (tries.last_ms + wait).saturating_sub(now_ms)
    }

    fn charge(&mut self, key: Mark, now_ms: u64) {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, tries| now_ms < tries.last_ms + FORGET_MS);
            if self.0.len() >= ENTRIES_MAX {
                let least = self.0.iter().min_by_key(|(_, tries)| (tries.wrong, tries.last_ms));
                let least = least.map(|(&key, _)| key);
                least.and_then(|key| self.0.remove(&key));
            }
        }
        let tries = self.0.entry(key).or_insert(Tries { wrong: 0, last_ms: now_ms });
        if now_ms >= tries.last_ms + FORGET_MS {
            tries.wrong = 0;
        }
        tries.wrong = tries.wrong.saturating_add(1);
        tries.last_ms = now_ms;
    }

    fn ease(&mut self, key: Mark) {
        if let Some(tries) = self.0.get_mut(&key) {
            tries.wrong = tries.wrong.saturating_sub(1);
        }
    }
}

/// All tables.
#[derive(Debug, Default)]
pub struct Throttle {
    /// A network on an account; a browser or a session on an account.
    pairs: Table,
    networks: Table,
    /// Strangers on an account: when all that they spent will have come back.
    anywhere: HashMap<Mark, u64>,
    /// What only those reach who showed something right already: second factors, links.
    inner: Table,
}

/// A try that was charged.
#[must_use = "a try that is not settled counts as wrong"]
#[derive(Debug, Clone, Copy)]
pub enum Try {
    /// Of a stranger.
    Stranger {
        /// The network on the account.
        pair: Mark,
        /// The network.
        network: Mark,
        /// The account.
        account: Mark,
    },
    /// Of somebody we know by something else.
    Known(Mark),
    /// Of somebody who showed something right already.
    Inner(Mark),
}

impl Throttle {
    /// Charges a try on the account `name` by a stranger at `client`, or by whoever is `known` to have been
    /// there before.
    ///
    /// # Errors
    /// The milliseconds to wait when there were too many; that try is not charged.
    pub fn begin(
        &mut self,
        name: &str,
        client: IpAddr,
        known: Option<Mark>,
        now_ms: u64,
    ) -> Result<Try, u64> {
        if let Some(known) = known {
            let key = Mark::of(&[b"known", &known.0, name.as_bytes()]);
            free(self.pairs.wait_ms(key, FREE, now_ms))?;
            self.pairs.charge(key, now_ms);
            return Ok(Try::Known(key));
        }
        let at = network(client);
        let pair = Mark::of(&[b"pair", &at.0, name.as_bytes()]);
        let account = Mark::of(&[b"account", name.as_bytes()]);
        let spent = self.anywhere.get(&account).map_or(0, |until| until.saturating_sub(now_ms));
        let waits = [
            self.pairs.wait_ms(pair, FREE, now_ms),
            self.networks.wait_ms(at, NETWORK_FREE, now_ms),
            (spent + ANYWHERE_EVERY_MS).saturating_sub(ANYWHERE_FREE * ANYWHERE_EVERY_MS),
        ];
        free(waits.into_iter().max().unwrap_or(0))?;
        self.pairs.charge(pair, now_ms);
        self.networks.charge(at, now_ms);
        if self.anywhere.len() >= ENTRIES_MAX && !self.anywhere.contains_key(&account) {
            self.anywhere.retain(|_, until| now_ms < *until);
            if self.anywhere.len() >= ENTRIES_MAX {
                let least = self.anywhere.iter().min_by_key(|(_, until)| **until).map(|(&key, _)| key);
                least.and_then(|key| self.anywhere.remove(&key));
            }
        }
        self.anywhere.insert(account, now_ms + spent + ANYWHERE_EVERY_MS);
        Ok(Try::Stranger { pair, network: at, account })
    }

    /// Charges a try at the second factor of `user`: only those get there whose password was right, so it may
    /// be counted from anywhere, and nobody else can lock it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_code(&mut self, user: &str, now_ms: u64) -> Result<Try, u64> {
        self.begin_inner(Mark::of(&[b"code", user.as_bytes()]), FREE, now_ms)
    }

    /// Charges a try at a link, by whoever has it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_link(&mut self, link: Mark, now_ms: u64) -> Result<Try, u64> {
        self.begin_inner(Mark::of(&[b"link", &link.0]), LINK_FREE, now_ms)
    }

    fn begin_inner(&mut self, what: Mark, most: u32, now_ms: u64) -> Result<Try, u64> {
        free(self.inner.wait_ms(what, most, now_ms))?;
        self.inner.charge(what, now_ms);
        Ok(Try::Inner(what))
    }

    /// The try was right: its own count ends, the network's goes back by one. Not to nothing: somebody with an
    /// account of their own could otherwise guess at others' for ever.
    pub fn right(&mut self, tried: Try) {
        match tried {
            Try::Known(key) => drop(self.pairs.0.remove(&key)),
            Try::Inner(key) => drop(self.inner.0.remove(&key)),
            Try::Stranger { pair, network, account } => {
                self.pairs.0.remove(&pair);
                self.networks.ease(network);
                if let Some(until) = self.anywhere.get_mut(&account) {
                    *until = until.saturating_sub(ANYWHERE_EVERY_MS);
                }
            }
        }
    }
}

const fn free(wait_ms: u64) -> Result<(), u64> {
    if wait_ms == 0 { Ok(()) } else { Err(wait_ms) }
}

/// One IPv4 address or one /64 of IPv6: whoever has one address of it has them all.
#[must_use]
pub fn network(address: IpAddr) -> Mark {
    match address.to_canonical() {
        IpAddr::V4(address) => Mark::of(&[b"network", &address.octets()]),
        IpAddr::V6(address) => Mark::of(&[b"network", &address.octets()[..8]]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn stranger(n: u32) -> IpAddr {
        IpAddr::from(n.wrapping_add(0x0a00_0000).to_be_bytes())
    }

    #[test]
    fn waits_double_and_end_and_a_right_try_forgives() {
        let mut throttle = Throttle::default();
        let mut now = 1_000;
        for _ in 0..FREE {
            let _ = throttle.begin("anna", client(1), None, now).expect("free");
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = throttle.begin("anna", client(1), None, now).expect_err("locked");
            waits.push(wait);
            now += wait;
            let _ = throttle.begin("anna", client(1), None, now).expect("after the wait");
        }
        assert_eq!(waits[0], WAIT_FIRST_MS);
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&WAIT_MS_MAX));
        assert!(throttle.begin("berta", client(1), None, now).is_ok(), "another account is not locked");
        now += WAIT_MS_MAX;
        let tried = throttle.begin("anna", client(1), None, now).expect("after the wait");
        throttle.right(tried);
        let _ = throttle.begin("anna", client(1), None, now).expect("forgiven");
    }

    #[test]
    fn whoever_guesses_locks_out_their_own_network_and_nobody_else() {
        let mut throttle = Throttle::default();
        let mut now = 0;
        let mut judged = 0;
        // A day of guessing as fast as the waits allow.
        while now < 24 * 60 * 60 * 1_000 {
            match throttle.begin("anna", client(1), None, now) {
                Ok(_) => judged += 1,
                Err(wait) => now += wait,
            }
        }
        assert!(judged < 120, "{judged} guesses");
        let tried = throttle.begin("anna", client(2), None, now).expect("the owner, from elsewhere");
        throttle.right(tried);
    }

    #[test]
    fn many_networks_are_slowed_down_and_a_known_browser_is_not() {
        let mut throttle = Throttle::default();
        for at in 0..ANYWHERE_FREE as u32 {
            let _ = throttle.begin("anna", stranger(at), None, 0).expect("free");
        }
        let wait = throttle.begin("anna", stranger(70_000), None, 0).expect_err("slowed down");
        assert!(wait <= ANYWHERE_EVERY_MS, "never for long: {wait}");
        let device = Some(Mark::of(&[b"a browser"]));
        for _ in 0..FREE {
            let _ = throttle.begin("anna", client(1), device, 0).expect("not bothered");
        }
        assert!(throttle.begin("anna", client(1), device, 0).is_err(), "but counted for itself");
        assert!(throttle.begin("berta", stranger(70_000), None, 0).is_ok(), "another account");
        let _ = throttle.begin("anna", stranger(70_001), None, wait).expect("one came back");
        assert!(throttle.begin("anna", stranger(70_002), None, wait).is_err());
    }

    #[test]
    fn a_network_that_tries_many_accounts_waits() {
        let mut throttle = Throttle::default();
        for at in 0..NETWORK_FREE {
            let _ = throttle.begin(&format!("user{at}"), client(1), None, 0).expect("free");
        }
        assert!(throttle.begin("another", client(1), None, 0).is_err());
        let v6 = |text: &str| text.parse::<IpAddr>().expect("address");
        for at in 0..NETWORK_FREE {
            let _ = throttle.begin(&format!("y{at}"), v6("2001:db8::1"), None, 0).expect("free");
        }
        assert!(throttle.begin("x", v6("2001:db8::2"), None, 0).is_err(), "a /64 is one network");
    }

    #[test]
    fn a_right_try_does_not_wipe_the_networks_count() {
        let mut throttle = Throttle::default();
        for at in 0..NETWORK_FREE - 1 {
            let _ = throttle.begin(&format!("user{at}"), client(1), None, 0).expect("free");
        }
        let mine = throttle.begin("mine", client(1), None, 0).expect("free");
        throttle.right(mine);
        let _ = throttle.begin("victim", client(1), None, 0).expect("one is given back");
        assert!(throttle.begin("victim", client(1), None, 0).is_err());
    }

    proptest! {
        // Each case fills the tables, and every try beyond that looks through them.
        #![proptest_config(ProptestConfig::with_cases(4))]

        #[test]
        fn tables_are_bounded_and_a_locked_pair_outlives_a_flood(seed in any::<u64>()) {
            let mut throttle = Throttle::default();
            for _ in 0..FREE {
                let _ = throttle.begin("victim", client(1), None, 0).expect("free");
                let _ = throttle.begin_code("victim", 0).expect("free");
            }
            for at in 0..ENTRIES_MAX as u64 + 500 {
                let n = at.wrapping_mul(seed | 1);
                let _ = throttle.begin(&n.to_string(), stranger(n as u32), None, at % 1_000);
            }
            prop_assert!(throttle.pairs.0.len() <= ENTRIES_MAX && throttle.networks.0.len() <= ENTRIES_MAX);
            prop_assert!(throttle.anywhere.len() <= ENTRIES_MAX);
            prop_assert!(throttle.begin("victim", client(1), None, 1_000).is_err());
            prop_assert!(throttle.begin_code("victim", 1_000).is_err());
        }
    }

    proptest! {
        #[test]
        fn nobody_tries_faster_than_the_waits_allow(gaps in prop::collection::vec(0u64..60_000, 1..200)) {
            let mut throttle = Throttle::default();
            let (mut now, mut judged) = (0, 0u32);
            for gap in &gaps {
                now += gap;
                if throttle.begin("anna", client(1), None, now).is_ok() {
                    judged += 1;
                }
            }
            // With n tries beyond the free ones, at least the sum of n doubling waits has passed.
            let over = judged.saturating_sub(FREE);
            let least: u64 = (0..over).map(|n| (WAIT_FIRST_MS << n.min(20)).min(WAIT_MS_MAX)).sum();
            prop_assert!(now >= least, "{judged} tries in {now} ms, at least {least}");
        }
    }
}
