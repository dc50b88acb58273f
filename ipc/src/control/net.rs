//! What goes out, and by what the server is known, as the command line shows it.

use serde::{Deserialize, Serialize};

/// What became of a request to elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EgressOutcome {
    /// It was answered.
    Done,
    /// It was not sent, or not led on: nobody may.
    Refused,
    /// It was sent, or should have been, and came to nothing.
    Failed,
    /// Whoever asked did not wait for its end.
    Cut,
}

/// A request of an app to another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressLine {
    /// When it began, in milliseconds since 1970.
    pub unix_ms: u64,
    /// `anonymous`, `service` or a user's id.
    pub principal: String,
    /// Method.
    pub method: String,
    /// URL without what is behind its path; after redirects, where it was answered.
    pub url: String,
    /// What became of it.
    pub outcome: EgressOutcome,
    /// Status of the answer, if there is one.
    pub status: Option<u16>,
    /// Why it was refused or failed.
    pub why: String,
    /// Bytes of its body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body, as they came.
    pub received_bytes: u64,
    /// The answer was one that was kept.
    pub cached: bool,
    /// From its beginning to its end.
    pub ms: u64,
}

/// The process that opens connections to elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EgressState {
    /// It, if it is there: it is made when it is needed, and goes when it is not.
    pub pid: Option<u32>,
    /// How often it was made.
    pub starts: u32,
    /// How often it ended by itself, or could not be made.
    pub failures: u32,
    /// Why it did last.
    pub last_failure: String,
    /// Apps may reach this machine itself: for tests only.
    pub test_network: bool,
}

/// What the server is known by over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateList {
    /// Where certificates come from: `off`, `self-signed` or `auto`.
    pub mode: String,
    /// Root that clients have to trust, in PEM; none: they do already, or there is nothing to trust.
    pub root_pem: Option<String>,
    /// Those that somebody has asked for, by host.
    pub certificates: Vec<CertificateInfo>,
}

/// A certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CertificateInfo {
    /// The host that it is for.
    pub host: String,
    /// An authority that everybody trusts issued it.
    pub issued: bool,
    /// It is good until then, in milliseconds since 1970; 0: there is none yet.
    pub expires_unix_ms: u64,
    /// Another one is asked for, or made, from then on.
    pub renew_unix_ms: u64,
    /// Why there is none of the authority, or no newer one; empty: nothing is wrong.
    pub trouble: String,
    /// When it is asked again, in milliseconds since 1970.
    pub try_unix_ms: Option<u64>,
}
