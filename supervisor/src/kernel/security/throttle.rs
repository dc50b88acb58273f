//! How often somebody may try to sign in: a count for each account that was named, whether it is there or not,
//! and one for each client address. Both tables are bounded; whoever fills them evicts the least troubled first.
//!
//! A try is charged before it is judged, so that tries side by side count too; a right one is given back.

use std::collections::HashMap;
use std::net::IpAddr;

use super::secret::Mark;

/// Wrong tries on one account that cost no time.
const ACCOUNT_FREE: u32 = 5;
/// Wrong tries of one client that cost no time: a family behind one address mistypes.
const CLIENT_FREE: u32 = 20;
/// The first wait; each further wrong try doubles it.
const WAIT_FIRST_MS: u64 = 2_000;
/// The longest wait: an account is never locked for good by a stranger.
const WAIT_MS_MAX: u64 = 15 * 60 * 1_000;
/// Wrong tries are forgotten after this time without one.
const FORGET_MS: u64 = 6 * 60 * 60 * 1_000;
/// Entries of each table: 4,096 of 64 bytes.
const ENTRIES_MAX: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Tries {
    wrong: u32,
    last_ms: u64,
}

impl Tries {
    /// Milliseconds until the next try is judged.
    fn wait_ms(self, free: u32, now_ms: u64) -> u64 {
        let Some(over) = self.wrong.checked_sub(free) else { return 0 };
        let wait = WAIT_FIRST_MS.saturating_mul(1 << over.min(20)).min(WAIT_MS_MAX);
        (self.last_ms + wait).saturating_sub(now_ms)
    }
}

/// Both tables.
#[derive(Debug, Default)]
pub struct Throttle {
    accounts: HashMap<Mark, Tries>,
    clients: HashMap<u128, Tries>,
}

/// A try that was charged.
#[must_use = "a try that is not settled counts as wrong"]
#[derive(Debug, Clone, Copy)]
pub struct Try {
    account: Mark,
    client: u128,
}

impl Throttle {
    /// Charges a try on the account `name` by `client`.
    ///
    /// # Errors
    /// The milliseconds to wait when there were too many; that try is not charged.
    pub fn begin(&mut self, name: &str, client: IpAddr, now_ms: u64) -> Result<Try, u64> {
        let tried = Try { account: Mark::of(&[b"account", name.as_bytes()]), client: network(client) };
        let account =
            self.accounts.get(&tried.account).map_or(0, |tries| tries.wait_ms(ACCOUNT_FREE, now_ms));
        let client = self.clients.get(&tried.client).map_or(0, |tries| tries.wait_ms(CLIENT_FREE, now_ms));
        match account.max(client) {
            0 => {}
            wait => return Err(wait),
        }
        charge(&mut self.accounts, tried.account, now_ms);
        charge(&mut self.clients, tried.client, now_ms);
        Ok(tried)
    }

    /// The try was right: the account's count ends, the client's goes back by one. Not to nothing: somebody
    /// with an account of their own could otherwise guess at others' for ever.
    pub fn right(&mut self, tried: Try) {
        self.accounts.remove(&tried.account);
        if let Some(tries) = self.clients.get_mut(&tried.client) {
            tries.wrong = tries.wrong.saturating_sub(1);
        }
    }
}

fn charge<K: Copy + Eq + std::hash::Hash>(table: &mut HashMap<K, Tries>, key: K, now_ms: u64) {
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        table.retain(|_, tries| now_ms < tries.last_ms + FORGET_MS);
        if table.len() >= ENTRIES_MAX {
            let least =
                table.iter().min_by_key(|(_, tries)| (tries.wrong, tries.last_ms)).map(|(&key, _)| key);
            least.and_then(|key| table.remove(&key));
        }
    }
    let tries = table.entry(key).or_insert(Tries { wrong: 0, last_ms: now_ms });
    if now_ms >= tries.last_ms + FORGET_MS {
        tries.wrong = 0;
    }
    tries.wrong = tries.wrong.saturating_add(1);
    tries.last_ms = now_ms;
}

/// One IPv4 address or one /64 of IPv6: whoever has one address of it has them all.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn waits_double_and_end_and_a_right_try_forgives_the_account() {
        let mut throttle = Throttle::default();
        let mut now = 1_000;
        for at in 0..ACCOUNT_FREE {
            let _ = throttle.begin("anna", client(at as u8), now).expect("free");
        }
        let mut waits = Vec::new();
        for at in 0..12 {
            let wait = throttle.begin("anna", client(100 + at), now).expect_err("locked");
            waits.push(wait);
            assert!(throttle.begin("anna", client(200), now).is_err(), "from anywhere");
            now += wait;
            let _ = throttle.begin("anna", client(100 + at), now).expect("after the wait");
        }
        assert_eq!(waits[0], WAIT_FIRST_MS);
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&WAIT_MS_MAX));
        assert!(throttle.begin("berta", client(1), now).is_ok(), "another account is not locked");
        now += WAIT_MS_MAX;
        let tried = throttle.begin("anna", client(1), now).expect("after the wait");
        throttle.right(tried);
        let _ = throttle.begin("anna", client(1), now).expect("forgiven");
    }

    #[test]
    fn a_client_that_tries_many_accounts_waits() {
        let mut throttle = Throttle::default();
        for at in 0..CLIENT_FREE {
            let _ = throttle.begin(&format!("user{at}"), client(1), 0).expect("free");
        }
        assert!(throttle.begin("another", client(1), 0).is_err());
        let v6 = |text: &str| text.parse::<IpAddr>().expect("address");
        for _ in 0..CLIENT_FREE {
            let _ = throttle.begin(&format!("{:?}", throttle.clients.len()), v6("2001:db8::1"), 0);
        }
        let mut last = Ok(());
        for at in 0..CLIENT_FREE {
            last = throttle.begin(&format!("x{at}"), v6("2001:db8::2"), 0).map(|_| ());
        }
        assert!(last.is_err(), "a /64 is one client");
    }

    #[test]
    fn a_right_try_does_not_wipe_the_clients_count() {
        let mut throttle = Throttle::default();
        for at in 0..CLIENT_FREE - 1 {
            let _ = throttle.begin(&format!("user{at}"), client(1), 0).expect("free");
        }
        let mine = throttle.begin("mine", client(1), 0).expect("free");
        throttle.right(mine);
        let _ = throttle.begin("victim", client(1), 0).expect("one is given back");
        assert!(throttle.begin("victim", client(1), 0).is_err());
    }

    proptest! {
        // Each case fills both tables, and every try beyond that looks through them.
        #![proptest_config(ProptestConfig::with_cases(4))]

        #[test]
        fn tables_are_bounded_and_a_locked_account_outlives_a_flood(seed in any::<u64>()) {
            let mut throttle = Throttle::default();
            for _ in 0..ACCOUNT_FREE {
                let _ = throttle.begin("victim", client(1), 0).expect("free");
            }
            for at in 0..ENTRIES_MAX as u64 + 500 {
                let n = at.wrapping_mul(seed | 1);
                let address = IpAddr::from((n as u32).to_be_bytes());
                let _ = throttle.begin(&n.to_string(), address, at % 1_000);
            }
            prop_assert!(throttle.accounts.len() <= ENTRIES_MAX && throttle.clients.len() <= ENTRIES_MAX);
            prop_assert!(throttle.begin("victim", client(9), 1_000).is_err());
        }
    }

    proptest! {
        #[test]
        fn nobody_tries_faster_than_the_waits_allow(gaps in prop::collection::vec(0u64..60_000, 1..200)) {
            let mut throttle = Throttle::default();
            let (mut now, mut judged) = (0, 0u32);
            for (at, gap) in gaps.iter().enumerate() {
                now += gap;
                if throttle.begin("anna", client(at as u8), now).is_ok() {
                    judged += 1;
                }
            }
            // With n tries beyond the free ones, at least the sum of n doubling waits has passed.
            let over = judged.saturating_sub(ACCOUNT_FREE);
            let least: u64 = (0..over).map(|n| (WAIT_FIRST_MS << n.min(20)).min(WAIT_MS_MAX)).sum();
            prop_assert!(now >= least, "{judged} tries in {now} ms, at least {least}");
        }
    }
}
