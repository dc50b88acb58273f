//! Identifiers. Made by the kernel, never by an app, a manifest or a worker.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Crockford's base 32 in lower case: sortable as text, no letters that look alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What is wrong with an identifier in text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {what}: expected `{prefix}` and 26 letters or digits of base 32")]
pub struct IdError {
    what: &'static str,
    prefix: &'static str,
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Makes an identifier that sorts by `unix_ms` (its low 48 bits) and is otherwise `random`.
            #[must_use]
            pub fn new(unix_ms: u64, random: u128) -> Self {
                Self((u128::from(unix_ms & 0xffff_ffff_ffff) << 80) | (random & ((1 << 80) - 1)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write_base32(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix)
                    .and_then(read_base32)
                    .map(Self)
                    .ok_or(IdError { what: $what, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern = concat!("^", $prefix, "[0-7][0-9a-hjkmnp-tv-z]{25}$");
                schemars::json_schema!({ "type": "string", "pattern": pattern })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if !from.is_human_readable() {
                    return u128::deserialize(from).map(Self);
                }
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

text_ids! {
    /// An app. Stable for its life; the name that routes to it may change.
    AppId = "app_", "an app id";
    /// One deployed version of an app.
    VersionId = "ver_", "a version id";
    /// One request, in logs, error pages and `ctx.requestId`.
    RequestId = "req_", "a request id";
    /// A run or job that waits for its time, or a letter that is dead.
    JobId = "job_", "a job id";
    /// A person whom the owner let in, the owner included.
    UserId = "user_", "a user id";
    /// A named space of one app: a room, a shared folder.
    SpaceId = "space_", "a space id";
    /// A session: one browser signed in at one origin.
    SessionId = "sess_", "a session id";
    /// An API token, as lists name it; not the token itself.
    TokenId = "tok_", "a token id";
    /// A document that came without an id of its own.
    DocId = "doc_", "a document id";
}

fn write_base32(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0u8; 26];
    for (i, slot) in text.iter_mut().enumerate() {
        *slot = ALPHABET[(value >> (125 - 5 * i)) as usize & 31];
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn read_base32(text: &str) -> Option<u128> {
    // 26 digits hold 130 bits: the first may only carry three.
    if text.len() != 26 || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some(value << 5 | digit as u128)
    })
}

/// Counts the workers of one launcher's life. Stamped on everything that concerns one worker process, so that
/// a late message about a dead one is recognised. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_text_and_sort_by_time() {
        let early = AppId::new(1_000, u128::MAX);
        let late = AppId::new(1_001, 0);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<AppId>(), Ok(early));
        assert_eq!(late.to_string().len(), "app_".len() + 26);
    }

    #[test]
    fn a_foreign_prefix_or_letter_is_refused() {
        let id = AppId::new(7, 7).to_string();
        assert!(id.replace("app_", "ver_").parse::<AppId>().is_err());
        assert!(id.replacen('0', "u", 1).parse::<AppId>().is_err(), "u is not in the alphabet");
        assert!("app_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<AppId>().is_err(), "130 bits do not fit");
        assert!("app_é0000000000000000000000000".parse::<AppId>().is_err());
    }
}
