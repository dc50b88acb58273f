//! The audit log: every decision about people, written down before whoever asked hears of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::PoisonError;

use fazt_ipc::control::AuditLine;
use fazt_ipc::ids::AppId;
use tokio::sync::broadcast;

use super::super::edge::{Denied, Person};
use super::super::secret::Mark;
use super::super::throttle::network;
use super::{Client, Identity, IdentityError, KNOWN_MAX};

/// Who decides by itself, in the log.
pub const SERVER: &str = "server";
/// Who commands over the control socket, in the log.
pub const CONSOLE: &str = "console";
/// Lines of one answer.
const LINES_MAX: u32 = 10_000;
/// The same refusal is written down once in this time.
const AGAIN_MS: u64 = 60_000;
/// Refusals of one network are written down one by one up to so many in an hour, the others as their number.
const REFUSED_EACH_MAX: u32 = 20;
/// And of all networks together.
const REFUSED_MAX: u32 = 1_000;
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Networks that are told apart within the hour; further ones share one count.
const NETWORKS_MAX: usize = 1_024;

/// What was refused to one network within the hour.
#[derive(Debug)]
struct Count {
    address: Option<IpAddr>,
    written: u32,
    more: u64,
}

/// Refusals of an hour. However many strangers are refused however often, they write a bounded number of lines,
/// and none of them is forgotten.
#[derive(Debug, Default)]
pub(super) struct Refused {
    hour: u64,
    written: u32,
    by_network: HashMap<Mark, Count>,
}

impl Refused {
    /// Counts a refusal. Whether it is written down by itself.
    fn is_written(&mut self, address: IpAddr) -> bool {
        let known = self.by_network.len() < NETWORKS_MAX || self.by_network.contains_key(&network(address));
        let (key, address) = if known { (network(address), Some(address)) } else { (Mark([0; 32]), None) };
        let count = self.by_network.entry(key).or_insert(Count { address, written: 0, more: 0 });
        let written = count.written < REFUSED_EACH_MAX && self.written < REFUSED_MAX;
        if written {
            count.written += 1;
            self.written += 1;
        } else {
            count.more += 1;
        }
        written
    }

    /// At the end of an hour: how many of which network were not written down by themselves.
    fn sums(&mut self, now_ms: u64) -> Vec<(Option<IpAddr>, u64)> {
        let hour = now_ms / HOUR_MS;
        if hour == self.hour {
            return Vec::new();
        }
        let over = std::mem::take(self);
        self.hour = hour;
        let sums = over.by_network.into_values().filter(|count| count.more > 0);
        sums.map(|count| (count.address, count.more)).collect()
    }
}

impl Identity {
    /// Writes a decision down. A log that cannot be written is told to the operator, and does not stop people
    /// from signing out.
    pub async fn note(
        &self,
        who: &str,
        action: &str,
        target: &str,
        ok: bool,
        client: Option<&Client>,
        detail: &str,
    ) {
        let line = AuditLine {
            unix_ms: self.world.now_ms(),
            who: who.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            ok,
            address: client.map_or_else(String::new, |client| client.address.to_canonical().to_string()),
            detail: detail.to_owned(),
        };
        let written = line.clone();
        if let Err(error) = self.ask(move |book| book.note(&written)).await {
            tracing::error!(%error, who, action, target, "the audit log cannot be written");
        }
        // Nobody may be following.
        let _ = self.audit.send(line);
    }

    /// Writes down that somebody was refused who may be anybody.
    pub(super) async fn note_refused(&self, who: &str, action: &str, client: &Client, detail: &str) {
        self.note_sums().await;
        let written = {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.is_written(client.address)
        };
        if written {
            self.note(who, action, "", false, Some(client), detail).await;
        }
    }

    /// Writes down how much more was refused in the hour before, if that is over.
    pub(super) async fn note_sums(&self) {
        let now = self.world.now_ms();
        let sums = self.refused.lock().unwrap_or_else(PoisonError::into_inner).sums(now);
        for (address, more) in sums {
            let whose = address.map_or("further networks", |_| "this network");
            let detail = format!("{more} more tries of {whose} within the hour before");
            let client = address.map(|address| Client { address, device: None, agent: String::new() });
            self.note("somebody", "sign-in", "", false, client.as_ref(), &detail).await;
        }
    }

    /// Writes down that somebody was turned away from an app; the same one again only after a while.
    pub async fn turned_away(&self, person: &Person, app: AppId, why: Denied, client: &Client) {
        let now = self.world.now_ms();
        {
            let mut cache = self.cache();
            let noted = &mut cache.noted;
            if noted.get(&(person.id(), app)).is_some_and(|last| now < last + AGAIN_MS) {
                return;
            }
            if noted.len() >= KNOWN_MAX {
                noted.clear();
            }
            noted.insert((person.id(), app), now);
        }
        self.note(person.name(), "app.enter", &app.to_string(), false, Some(client), &why.to_string()).await;
    }

    /// Writes down that an operator looked at what somebody stores.
    pub async fn looked(&self, who: &str, action: &str, target: &str, detail: &str) {
        self.note(who, action, target, true, None, detail).await;
    }

    /// Decisions since then, and those to come.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn audit(
        &self,
        since_ms: u64,
    ) -> Result<(Vec<AuditLine>, broadcast::Receiver<AuditLine>), IdentityError> {
        let more = self.audit.subscribe();
        let lines = self.ask(move |book| book.audit(since_ms, LINES_MAX)).await?;
        Ok((lines, more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_when_they_are_too_many_to_write() {
        let mut refused = Refused::default();
        let at = |n: u32| IpAddr::from(n.to_be_bytes());
        assert!(refused.sums(0).is_empty());
        let written = (0..5_000).filter(|_| refused.is_written(at(1))).count();
        assert_eq!(written, REFUSED_EACH_MAX as usize);
        let written: usize = (0..50_000).filter(|n| refused.is_written(at(*n))).count();
        assert_eq!(written, (REFUSED_MAX - REFUSED_EACH_MAX) as usize);
        assert!(refused.by_network.len() <= NETWORKS_MAX + 1);
        assert!(refused.sums(HOUR_MS - 1).is_empty(), "the hour is not over");
        let sums = refused.sums(HOUR_MS);
        let more: u64 = sums.iter().map(|(_, more)| more).sum();
        assert_eq!(more + u64::from(REFUSED_MAX), 55_000, "none is forgotten");
        assert!(sums.contains(&(Some(at(1)), 5_001 - u64::from(REFUSED_EACH_MAX))));
        assert!(refused.is_written(at(1)), "a new hour");
    }
}
