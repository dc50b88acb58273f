//! Certificates from an authority that speaks ACME (RFC 8555): which host wants one, when it is asked for again, and what
//! the authority is shown to prove that the host is ours.
//!
//! ```text
//! hello for a host, or two thirds of its time over ─▶ wanted ─▶ order ─▶ challenge ─▶ stored, shown
//!                             ▲                                   │ anything fails
//!                             └──── later, longer each time ◀─────┘
//! ```
//! One order is on its way at a time. Requests go through the process for connections to elsewhere, which is why
//! `instant-acme` is the library: it takes its HTTP client from us. What the authority says is a stranger's word: it is
//! bounded, parsed by the library, and shown to the owner only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio::sync::{Notify, watch};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::super::edge::unix_ms;
use super::way::Way;
use super::{Identity, TlsError, builder, issued};
use crate::config;
use crate::kernel::fs::outbound::Outbound;
use crate::kernel::storage::{CertificateRow, KernelDb, Storage, account_place, certificate_place};

/// What a client offers that looks for the proof (RFC 8737, section 4).
pub(super) const PROOF: &[u8] = b"acme-tls/1";
/// Where an authority looks for the proof over HTTP (RFC 8555, section 8.3).
const PROOF_PATH: &str = "/.well-known/acme-challenge/";

/// How long the authority is asked whether it is done.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(60));
/// An order that takes longer is given up.
const ORDER_WALL: Duration = Duration::from_secs(180);
/// Between two tries for a host, after the first, the second, … that failed. The second try is at once, by the other kind
/// of proof; the last wait is the one that stays.
const WAITS_S: [u64; 7] = [0, 60, 300, 1_800, 7_200, 21_600, 86_400];
/// After the authority said that it was too much.
const LIMITED_S: u64 = 3_600;
/// Orders in one hour. Let's Encrypt takes 300 in three hours, and 50 certificates a week for one registered domain.
const ORDERS_PER_HOUR: usize = 20;
const HOUR_MS: u64 = 3_600_000;
/// The longest of all waits, which is also the one for another certificate when the one that came is due at once.
const WAIT_MS_MAX: u64 = 86_400_000;
/// A certificate that nobody renewed is kept for so long after its end.
const KEPT_MS: u64 = 30 * 86_400_000;
/// How often hosts are looked through for what is due.
const ROUND: Duration = Duration::from_secs(600);

/// What is known of a host.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// It was asked for in the store.
    looked: bool,
    /// Good until then; 0: there is none.
    pub(super) expires_unix_ms: u64,
    /// Another one is due then.
    pub(super) renew_unix_ms: u64,
    failures: usize,
    /// Not tried before.
    pub(super) try_unix_ms: u64,
    /// What last went wrong.
    pub(super) trouble: String,
}

impl Host {
    fn is_due(&self, now: u64) -> bool {
        // Further away than any wait: the clock was ahead when that was written.
        let waits = (now + 1..=now + WAIT_MS_MAX).contains(&self.try_unix_ms);
        self.looked && !waits && self.renew_unix_ms <= now
    }
}

/// See the module.
pub(super) struct Acme {
    settings: config::Tls,
    storage: Arc<Storage>,
    outbound: Arc<dyn Outbound>,
    hosts: Mutex<HashMap<String, Host>>,
    certificates: Mutex<HashMap<String, Arc<Identity>>>,
    /// Somebody wants something.
    wanted: Notify,
    /// Counts what has changed.
    changed: watch::Sender<u64>,
    /// By host: the certificate that holds the proof.
    proofs: Mutex<HashMap<String, Arc<ServerConfig>>>,
    /// By token: the proof.
    tokens: Mutex<HashMap<String, String>>,
}

impl Acme {
    /// With nothing asked for yet.
    pub(super) fn new(
        settings: &config::Tls,
        storage: &Arc<Storage>,
        outbound: Arc<dyn Outbound>,
    ) -> Arc<Self> {
        Arc::new(Self {
            settings: settings.clone(),
            storage: Arc::clone(storage),
            outbound,
            hosts: Mutex::default(),
            certificates: Mutex::default(),
            wanted: Notify::new(),
            changed: watch::channel(0).0,
            proofs: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// The certificate of a host, as it is now; a new host is asked for.
    pub(super) fn certificate(&self, host: &str) -> Option<Arc<Identity>> {
        let found = lock(&self.certificates).get(host).cloned();
        if found.is_none() && !lock(&self.hosts).contains_key(host) {
            lock(&self.hosts).insert(host.to_owned(), Host::default());
            self.wanted.notify_one();
        }
        found.filter(|identity| identity.expires_unix_ms > unix_ms())
    }

    /// The same, waiting a while for one that was never tried for before.
    pub(super) async fn certificate_soon(&self, host: &str, patience: Duration) -> Option<Arc<Identity>> {
        let mut changed = self.changed.subscribe();
        let soon = async {
            loop {
                let found = self.certificate(host);
                let not_soon = |host: &Host| host.failures > 1 || host.try_unix_ms > unix_ms();
                let hopeless = lock(&self.hosts).get(host).is_some_and(not_soon);
                if found.is_some() || hopeless || changed.changed().await.is_err() {
                    return found;
                }
            }
        };
        tokio::time::timeout(patience, soon).await.ok().flatten()
    }

    /// The proof that a client looks for which offers [`PROOF`].
    pub(super) fn proof(&self, host: &str) -> Option<Arc<ServerConfig>> {
        lock(&self.proofs).get(host).cloned()
    }

    /// The proof that an authority looks for at a path.
    pub(super) fn proof_at(&self, path: &str) -> Option<String> {
        lock(&self.tokens).get(path.strip_prefix(PROOF_PATH)?).cloned()
    }

    /// What is known of the hosts.
    pub(super) fn hosts(&self) -> Vec<(String, Host)> {
        lock(&self.hosts).iter().map(|(name, host)| (name.clone(), host.clone())).collect()
    }

    /// Gets what is due, until it is aborted. `ours`: whether a host routes.
    pub(super) async fn run(self: Arc<Self>, ours: impl Fn(&str) -> bool + Send) {
        let mut account = None;
        let mut orders: Vec<u64> = Vec::new();
        loop {
            lock(&self.hosts).retain(|host, _| ours(host));
            lock(&self.certificates).retain(|host, _| ours(host));
            self.look().await;
            let now = unix_ms();
            orders.retain(|at| *at <= now && at + HOUR_MS > now);
            let due =
                lock(&self.hosts).iter().find(|(_, host)| host.is_due(now)).map(|(name, _)| name.clone());
            let Some(host) = due else {
                let next =
                    lock(&self.hosts).values().map(|host| host.try_unix_ms.max(host.renew_unix_ms)).min();
                let wait = next.map_or(ROUND, |at| Duration::from_millis(at.saturating_sub(now)).min(ROUND));
                let _ = tokio::time::timeout(wait, self.wanted.notified()).await;
                continue;
            };
            if orders.len() >= ORDERS_PER_HOUR {
                let trouble = format!("{ORDERS_PER_HOUR} certificates were ordered within an hour; it waits");
                self.failed(&host, trouble, orders[0] + HOUR_MS, false);
                continue;
            }
            orders.push(now);
            let order = tokio::time::timeout(ORDER_WALL, self.obtain(&mut account, &host));
            let outcome = order.await.unwrap_or_else(|_| Err(Error::Timeout(None)));
            lock(&self.proofs).clear();
            lock(&self.tokens).clear();
            let stored = match outcome {
                Ok((chain, key)) => {
                    self.store(&host, chain, key).await.map_err(|error| (error.to_string(), 0))
                }
                Err(error) => {
                    if is(&error, "accountDoesNotExist") {
                        self.forget_account().await;
                    }
                    Err((said(&error), if is(&error, "rateLimited") { LIMITED_S } else { 0 }))
                }
            };
            match stored {
                Ok(()) => tracing::info!(host, "a certificate was issued"),
                Err((trouble, least_s)) => {
                    tracing::warn!(host, trouble, "no certificate was issued");
                    // The account may be what is wrong: it is looked at anew.
                    account = None;
                    self.failed(&host, trouble, now + least_s * 1_000, true);
                }
            }
        }
    }

    /// Reads what is stored of hosts that nobody has looked for yet.
    async fn look(&self) {
        let new: Vec<String> =
            lock(&self.hosts).iter().filter(|(_, host)| !host.looked).map(|(name, _)| name.clone()).collect();
        for name in new {
            let asked = name.clone();
            let row = match self.storage.kernel(move |kernel| kernel.certificate(&asked)).await {
                Ok(row) => row,
                Err(error) => {
                    tracing::error!(%error, "certificates cannot be read");
                    None
                }
            };
            let found = row.and_then(|row| {
                let key = self.storage.sealer().open(&certificate_place(&name), &row.sealed)?;
                issued::read(&name, &row.chain, key, unix_ms()).ok()
            });
            self.show(&name, found, 0);
        }
    }

    /// `again_ms`: for so long no other one is asked for, even when this one is due.
    fn show(&self, host: &str, identity: Option<Identity>, again_ms: u64) {
        let mut known = Host { looked: true, ..Host::default() };
        if let Some(identity) = identity {
            known.expires_unix_ms = identity.expires_unix_ms;
            known.renew_unix_ms = identity.renew_unix_ms;
            if identity.renew_unix_ms <= unix_ms() {
                known.try_unix_ms = unix_ms() + again_ms;
            }
            lock(&self.certificates).insert(host.to_owned(), Arc::new(identity));
        }
        lock(&self.hosts).insert(host.to_owned(), known);
        self.changed.send_modify(|count| *count += 1);
    }

    fn failed(&self, host: &str, trouble: String, not_before_unix_ms: u64, counts: bool) {
        if let Some(host) = lock(&self.hosts).get_mut(host) {
            let wait_s = WAITS_S[host.failures.min(WAITS_S.len() - 1)];
            host.failures += usize::from(counts);
            host.try_unix_ms = not_before_unix_ms.max(unix_ms() + if counts { wait_s * 1_000 } else { 0 });
            host.trouble = trouble;
        }
        self.changed.send_modify(|count| *count += 1);
    }

    async fn store(&self, host: &str, chain: String, key: Vec<u8>) -> Result<(), TlsError> {
        let sealed = self.storage.sealer().seal(&certificate_place(host), rand::random(), &key);
        let sealed = sealed.ok_or_else(|| TlsError::certificate(host, "its key cannot be sealed"))?;
        let identity =
            issued::read(host, &chain, key, unix_ms()).map_err(|why| TlsError::certificate(host, why))?;
        let row = CertificateRow {
            name: host.to_owned(),
            chain,
            sealed,
            expires_unix_ms: identity.expires_unix_ms,
        };
        let old = unix_ms().saturating_sub(KEPT_MS);
        let put = move |kernel: &mut KernelDb| {
            kernel.put_certificate(&row)?;
            kernel.forget_certificates(old)
        };
        self.storage.kernel(put).await?;
        self.show(host, Some(identity), WAIT_MS_MAX);
        Ok(())
    }

    /// Has a certificate issued: its chain in PEM, and its key.
    async fn obtain(&self, account: &mut Option<Account>, host: &str) -> Result<(String, Vec<u8>), Error> {
        let account = match account {
            Some(account) => account,
            none => none.insert(self.account().await?),
        };
        let second = lock(&self.hosts).get(host).is_some_and(|host| host.failures % 2 == 1);
        let kinds = [ChallengeType::TlsAlpn01, ChallengeType::Http01];
        let mut order = account.new_order(&NewOrder::new(&[Identifier::Dns(host.to_owned())])).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let offered =
                |kind: &ChallengeType| authorization.challenges.iter().any(|one| one.r#type == *kind);
            let mut wanted = kinds.iter().filter(|kind| offered(kind)).cloned().collect::<Vec<_>>();
            if second {
                wanted.reverse();
            }
            let kind =
                wanted.into_iter().next().ok_or(Error::Str("a kind of proof that this server can give"))?;
            let mut challenge = authorization.challenge(kind).ok_or(Error::Str("a proof to give"))?;
            let proof = challenge.key_authorization();
            let shown =
                prove(host, proof.digest().as_ref()).map_err(|why| Error::Other(why.to_string().into()))?;
            lock(&self.proofs).insert(host.to_owned(), Arc::new(shown));
            lock(&self.tokens).insert(challenge.token.clone(), proof.as_str().to_owned());
            challenge.set_ready().await?;
        }
        if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
            return Err(Error::Str("a word why the authority did not find the proof"));
        }
        let other = |error: rcgen::Error| Error::Other(Box::new(error));
        let key = KeyPair::generate().map_err(other)?;
        let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(other)?;
        params.distinguished_name = DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key).map_err(other)?.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok((chain, key.serialize_der()))
    }

    /// The account at the authority; made when there is none.
    async fn account(&self) -> Result<Account, Error> {
        let directory = self.settings.directory.clone();
        let host = url::Url::parse(&directory).ok().and_then(|url| url.host_str().map(str::to_owned));
        let way = Way::to(host, Arc::clone(&self.outbound));
        let asked = directory.clone();
        let stored = self.storage.kernel(move |kernel| kernel.acme_account(&asked)).await;
        let stored = stored.map_err(|error| Error::Other(Box::new(error)))?;
        let stored =
            stored.and_then(|sealed| self.storage.sealer().open(&account_place(&directory), &sealed));
        let builder = Account::builder_with_http(Box::new(way));
        if let Some(text) = stored {
            return builder.from_credentials(serde_json::from_slice::<AccountCredentials>(&text)?).await;
        }
        let contact =
            Some(format!("mailto:{}", self.settings.email)).filter(|_| !self.settings.email.is_empty());
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
        let text = serde_json::to_vec(&credentials)?;
        let sealed = self.storage.sealer().seal(&account_place(&directory), rand::random(), &text);
        let sealed = sealed.ok_or(Error::Crypto)?;
        let kept = self.storage.kernel(move |kernel| kernel.put_acme_account(&directory, &sealed)).await;
        kept.map_err(|error| Error::Other(Box::new(error)))?;
        Ok(account)
    }

    /// The authority knows nothing of it: the next try makes another one.
    async fn forget_account(&self) {
        let directory = self.settings.directory.clone();
        if let Err(error) = self.storage.kernel(move |kernel| kernel.forget_acme_account(&directory)).await {
            tracing::error!(%error, "an account at an authority cannot be forgotten");
        }
    }
}

/// The certificate that holds a proof (RFC 8737, section 3).
fn prove(host: &str, digest: &[u8]) -> Result<ServerConfig, TlsError> {
    let fail = |error: rcgen::Error| TlsError::certificate(host, error);
    let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(fail)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(fail)?;
    let chain = vec![params.self_signed(&key).map_err(fail)?.der().clone()];
    // Not by the way of others, which reads the certificate, and refuses what it does not know in it.
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key).map_err(|error| TlsError::certificate(host, error))?;
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = builder().with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![PROOF.to_vec()];
    Ok(config)
}

/// In words for the owner.
fn said(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => {
            let more = problem.subproblems.iter().filter_map(|one| one.detail.as_deref());
            let all: Vec<_> = problem.detail.as_deref().into_iter().chain(more).collect();
            match (all.is_empty(), problem.r#type.as_deref()) {
                (true, kind) => format!("the authority refuses: {}", kind.unwrap_or("it does not say why")),
                (false, _) => format!("the authority says: {}", all.join("; ")),
            }
        }
        Error::Timeout(_) => "the authority did not come to an end with it in time".into(),
        other => other.to_string(),
    };
    text.chars().filter(|letter| !letter.is_control()).take(500).collect()
}

/// Whether the authority refuses for this reason (RFC 8555, section 6.7).
fn is(error: &Error, kind: &str) -> bool {
    let named = |problem: &str| problem.strip_prefix("urn:ietf:params:acme:error:") == Some(kind);
    matches!(error, Error::Api(problem) if problem.r#type.as_deref().is_some_and(named))
}

/// Nothing in these is half done when something panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "acme_tests.rs"]
mod tests;
