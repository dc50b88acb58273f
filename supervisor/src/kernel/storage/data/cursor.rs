//! Cursors: where a page ended, sealed. An edited one, one of another query and one of another principal are
//! the same error.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::types::Value;
use sha2::Sha256;

use super::error::{DataError, Result};
use super::limits::CURSOR_BYTES_MAX;

/// Bytes of the seal.
const SEAL_BYTES: usize = 16;

/// What a cursor is good for: nothing else opens it.
pub(super) struct Seal {
    mac: Hmac<Sha256>,
}

impl Seal {
    /// Parts are told apart by their lengths.
    pub(super) fn new(key: &[u8; 32], parts: &[&[u8]]) -> Self {
        // HMAC fills a short key up with zeros.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Self { mac }
    }

    /// Seals a place in an order.
    pub(super) fn close(&self, place: &[Value]) -> String {
        let mut bytes = vec![0; SEAL_BYTES];
        for value in place {
            let (kind, part): (u8, &[u8]) = match value {
                Value::Integer(number) => (0, &number.to_be_bytes()),
                Value::Text(text) => (1, text.as_bytes()),
                Value::Blob(blob) => (2, blob),
                // No column of an order is either.
                Value::Null | Value::Real(_) => (3, &[]),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        let tag = self.mac.clone().chain_update(&bytes[SEAL_BYTES..]).finalize().into_bytes();
        bytes[..SEAL_BYTES].copy_from_slice(&tag[..SEAL_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place that a cursor names, of `values` parts.
    pub(super) fn open(&self, cursor: &str, values: usize) -> Result<Vec<Value>> {
        let refused = || {
            DataError::query(
                "this cursor is not of this query: hand back the one of the page before, with everything else the same",
            )
        };
        if cursor.len() > CURSOR_BYTES_MAX {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refused())?;
        let (seal, place) = bytes.split_at_checked(SEAL_BYTES).ok_or_else(refused)?;
        let mac = self.mac.clone().chain_update(place);
        mac.verify_truncated_left(seal).map_err(|_| refused())?;
        let place = read(place).ok_or_else(refused)?;
        if place.len() == values { Ok(place) } else { Err(refused()) }
    }
}

fn read(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut place = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        place.push(match kind {
            0 => Value::Integer(i64::from_be_bytes(part.try_into().ok()?)),
            1 => Value::Text(std::str::from_utf8(part).ok()?.to_owned()),
            2 => Value::Blob(part.to_vec()),
            _ => return None,
        });
        bytes = rest;
    }
    Some(place)
}
