//! Bounds per client address and per app. A client is one IPv4 address or one /64 of IPv6: whoever has one
//! address of it has them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::ids::AppId;

use crate::config::Limits;
use crate::limits::{BURST_S, CLIENTS_MAX};

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    connections: AtomicU32,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Who holds what.
#[derive(Debug)]
pub(crate) struct Clients {
    limits: Limits,
    clients: Mutex<HashMap<u128, Arc<Client>>>,
    apps: Mutex<HashMap<AppId, Arc<AtomicU32>>>,
}

/// One of a client's connections. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Client>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

/// One of an app's requests in flight. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Clients {
    /// With these bounds.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, clients: Mutex::default(), apps: Mutex::default() }
    }

    /// Whether no bound per client holds for this address.
    pub(crate) fn exempt(&self, address: IpAddr) -> bool {
        !self.limits.loopback && address.to_canonical().is_loopback()
    }

    /// Takes a place for a connection; none when the client has its share.
    pub(crate) fn connect(&self, address: IpAddr) -> Option<Connected> {
        let client = self.client(address);
        let before = client.connections.fetch_add(1, Relaxed);
        let place = Connected(client);
        (before < self.limits.connections_per_client).then_some(place)
    }

    /// Counts a request of this address; the error is the time after which there is room again.
    pub(crate) fn request(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        self.client(address).take(f64::from(self.limits.requests_per_s_per_client), now)
    }

    /// Takes a place for a request to an app; none when the app has its share.
    pub(crate) fn enter(&self, app: AppId) -> Option<Place> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if apps.len() > CLIENTS_MAX {
            apps.retain(|_, count| count.load(Relaxed) > 0);
        }
        let count = apps.entry(app).or_default();
        if count.load(Relaxed) >= self.limits.requests_per_app {
            return None;
        }
        count.fetch_add(1, Relaxed);
        Some(Place(Arc::clone(count)))
    }

    fn client(&self, address: IpAddr) -> Arc<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MAX {
            // Whoever holds nothing and has a full bucket is as good as unknown; if all are busy, all lose
            // their history rather than the server its memory.
            let now = Instant::now();
            let refill = Duration::from_secs(BURST_S);
            clients.retain(|_, client| Arc::strong_count(client) > 1 || !client.rested(now, refill));
            if clients.len() >= CLIENTS_MAX {
                clients.clear();
            }
        }
        Arc::clone(clients.entry(key(address)).or_insert_with(|| {
            let rate = f64::from(self.limits.requests_per_s_per_client);
            Arc::new(Client {
                connections: AtomicU32::new(0),
                bucket: Mutex::new(Bucket { tokens: rate * BURST_S as f64, filled: Instant::now() }),
            })
        }))
    }
}

impl Client {
    fn take(&self, per_s: f64, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * per_s).min(per_s * BURST_S as f64);
        bucket.filled = bucket.filled.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_s))
        }
    }

    fn rested(&self, now: Instant, refill: Duration) -> bool {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        now.saturating_duration_since(bucket.filled) > refill
    }
}

fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        Clients::new(Limits {
            connections_per_client: 2,
            requests_per_s_per_client: 10,
            requests_per_app: 2,
            ..Limits::default()
        })
    }

    #[test]
    fn a_client_has_so_many_connections_and_gets_them_back() {
        let clients = clients();
        let address: IpAddr = "192.0.2.1".parse().expect("address");
        let first = clients.connect(address);
        let second = clients.connect(address);
        assert!(first.is_some() && second.is_some());
        assert!(clients.connect(address).is_none());
        assert!(
            clients.connect("192.0.2.2".parse().expect("address")).is_some(),
            "a neighbour is not bounded"
        );
        drop(first);
        assert!(clients.connect(address).is_some());
    }

    #[test]
    fn a_client_has_a_burst_and_then_its_rate() {
        let clients = clients();
        let address: IpAddr = "2001:db8::1".parse().expect("address");
        let same: IpAddr = "2001:db8::ffff:1".parse().expect("address");
        let start = Instant::now();
        let burst = 10 * BURST_S;
        for at in 0..burst {
            let from = if at % 2 == 0 { address } else { same };
            assert!(clients.request(from, start).is_ok(), "request {at}");
        }
        let wait = clients.request(same, start).expect_err("the burst is over");
        assert!(wait <= Duration::from_millis(110), "{wait:?}");
        assert!(clients.request(address, start + Duration::from_millis(150)).is_ok());
        assert!(clients.request("2001:db8:1::1".parse().expect("address"), start).is_ok());
    }

    #[test]
    fn an_app_has_so_many_requests_in_flight() {
        let clients = clients();
        let app = AppId::new(1, 1);
        let first = clients.enter(app);
        let second = clients.enter(app);
        assert!(first.is_some() && second.is_some());
        assert!(clients.enter(app).is_none());
        assert!(clients.enter(AppId::new(1, 2)).is_some());
        drop(second);
        assert!(clients.enter(app).is_some());
    }

    #[test]
    fn this_machines_own_clients_are_not_bounded_by_default() {
        assert!(clients().exempt("127.0.0.1".parse().expect("address")));
        assert!(clients().exempt("::ffff:127.0.0.1".parse().expect("address")));
        assert!(!clients().exempt("192.0.2.1".parse().expect("address")));
    }
}
