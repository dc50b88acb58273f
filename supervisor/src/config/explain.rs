//! What `fazt proc config` shows: every field with its value, default, unit and reason.

use super::Config;

/// One field, for `fazt proc config`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Explained {
    /// Its name in the file.
    pub field: &'static str,
    /// Its value now.
    pub value: String,
    /// Its value where the file does not name it.
    pub default: String,
    /// Unit of the value, or empty.
    pub unit: &'static str,
    /// Why it is there and when to change it.
    pub reason: &'static str,
}

type Field = (&'static str, &'static str, fn(&Config) -> String, &'static str);

const FIELDS: &[Field] = &[
    (
        "listen",
        "addresses",
        |c| list(&c.listen),
        "Where HTTP is served. Loopback only until the server is meant for others; port 0 takes any free one.",
    ),
    (
        "domain",
        "host name",
        |c| format!("{:?}", c.domain),
        "The OS lives on it and each app on NAME.DOMAIN. `localhost` needs no DNS: browsers send *.localhost here.",
    ),
    (
        "tls.mode",
        "auto, self-signed or off",
        |c| format!("{:?}", c.tls.mode.name()),
        "Where certificates for HTTPS come from: with auto an authority issues one for the domain and for each app when it is first asked for; self-signed ones are of the server's own root, which browsers have to be told to trust. Off: what listens is not encrypted, for this machine itself or behind a proxy that encrypts.",
    ),
    (
        "tls.listen",
        "addresses",
        |c| list(&c.tls.listen),
        "Where HTTPS is served when it is not off. Requests that come without encryption are led to the first port here.",
    ),
    (
        "tls.email",
        "address",
        |c| format!("{:?}", c.tls.email),
        "Whom the authority tells when something is wrong with a certificate. Empty: nobody.",
    ),
    (
        "tls.directory",
        "URL",
        |c| format!("{:?}", c.tls.directory),
        "The authority that issues certificates when tls.mode is auto: any that speaks ACME. Its own certificate has to be one that this machine trusts.",
    ),
    (
        "trusted_proxies",
        "addresses or ranges",
        |c| list(&c.trusted_proxies),
        "Proxies in front of Fazt whose X-Forwarded-For and X-Forwarded-Proto are believed. Nobody else's are.",
    ),
    (
        "keep_versions",
        "versions",
        |c| c.keep_versions.to_string(),
        "Deployed versions of an app that stay for `fazt app rollback`; each costs only what changed.",
    ),
    (
        "limits.connections",
        "connections",
        |c| c.limits.connections.to_string(),
        "At once, of everybody. Idle ones cost a few kilobytes; more are not accepted until others close.",
    ),
    (
        "limits.connections_per_client",
        "connections",
        |c| c.limits.connections_per_client.to_string(),
        "At once, of one address (of one /64 for IPv6), so that one client cannot take all of them.",
    ),
    (
        "limits.requests_per_s_per_client",
        "requests per second",
        |c| c.limits.requests_per_s_per_client.to_string(),
        "On average, of one address, with bursts of four seconds' worth; what is over gets 429.",
    ),
    (
        "limits.requests_per_app",
        "requests in flight",
        |c| c.limits.requests_per_app.to_string(),
        "For one app, so that a slow app cannot hold the memory of the others' requests; what is over gets 429.",
    ),
    (
        "limits.loopback",
        "true or false",
        |c| c.limits.loopback.to_string(),
        "Whether the bounds per client hold for this machine's own clients, behind which a local proxy may hide many.",
    ),
    (
        "workers.pool",
        "processes",
        |c| c.workers.pool.to_string(),
        "Locked processes kept warm, so that waking an app is sending it its code. Each costs about half a megabyte.",
    ),
    (
        "workers.idle_s",
        "seconds",
        |c| c.workers.idle_s.to_string(),
        "An app that nobody used for so long hibernates: no process, no memory. Sooner when memory is short.",
    ),
    (
        "workers.memory_mib",
        "MiB",
        |c| c.workers.memory_mib.to_string(),
        "For all workers together; 0 is 60 % of the machine's memory. Beyond it the longest idle ones go first.",
    ),
    (
        "sandbox.allow_missing",
        "layer names",
        |c| list(&c.sandbox.allow_missing),
        "Layers that this machine may lack (`fazt proc doctor` names them). A permanent banner shows each; seccomp, namespaces, uid, capabilities and verification cannot be named.",
    ),
    (
        "install.registry",
        "URL",
        |c| format!("{:?}", c.install.registry),
        "Where the packages of npm that a lock file names come from when an app is installed from elsewhere; each is compared with the hash in the lock file.",
    ),
    (
        "egress.test_network",
        "true or false",
        |c| c.egress.test_network.to_string(),
        "Lets the requests of apps reach this machine itself, without encryption and at any port. For tests only: what listens here counts on nobody else reaching it. A permanent banner says so.",
    ),
];

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("{:?}", item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

impl Config {
    /// Every field with its value, default, unit and reason.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        let default = Self::default();
        FIELDS
            .iter()
            .map(|&(field, unit, value, reason)| Explained {
                field,
                value: value(self),
                default: value(&default),
                unit,
                reason,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_explained_by_a_line_that_can_be_pasted() {
        let mut text = String::new();
        for field in Config::default().explain() {
            assert_eq!(field.value, field.default);
            text.push_str(&format!("{} = {}\n", field.field, field.value));
        }
        assert_eq!(
            toml::from_str::<Config>(&text).expect("the explained defaults are a file"),
            Config::default()
        );
        // As many leaves as the structure has: a new field without a reason fails here.
        let leaves = format!("{:?}", Config::default()).matches(": ").count();
        let groups = 6;
        assert_eq!(Config::default().explain().len(), leaves - groups);
    }
}
