//! What a call on blobs may not ask, told before anything runs.

use super::BlobCall;
use crate::kernel::storage::data::error::{DataError, Result};
use crate::kernel::storage::data::json::shown;
use crate::kernel::storage::data::kv::own_part;
use crate::kernel::storage::data::limits::{
    BLOB_ATTRIBUTES_BYTES_MAX, BLOB_KEY_BYTES_MAX, BLOB_PARTS_MAX, BLOBS_DELETED_MAX,
};

/// Refuses a call before anything runs.
pub(in super::super) fn check(call: &BlobCall) -> Result<()> {
    match call {
        BlobCall::Room => Ok(()),
        BlobCall::List(list) => {
            let texts = [Some(&list.prefix), list.delimiter.as_ref(), list.after.as_ref()];
            match texts.into_iter().flatten().find(|text| own_part(text).len() > BLOB_KEY_BYTES_MAX) {
                Some(text) => Err(DataError::large("the start of keys", text.len(), BLOB_KEY_BYTES_MAX)),
                None => Ok(()),
            }
        }
        BlobCall::Head { key } | BlobCall::Get { key, .. } | BlobCall::Abort { key, .. } => check_key(key),
        BlobCall::Put { key, attributes, .. } | BlobCall::Begin { key, attributes } => {
            check_key(key)?;
            [&attributes.http, &attributes.meta]
                .into_iter()
                .flatten()
                .try_for_each(|text| check_attribute(text))
        }
        BlobCall::Part { key, number, .. } => {
            check_key(key)?;
            if !(1..=BLOB_PARTS_MAX).contains(number) {
                return Err(DataError::argument(format!(
                    "parts are numbered 1 to {BLOB_PARTS_MAX}, not {number}"
                )));
            }
            Ok(())
        }
        BlobCall::Complete { key, .. } => check_key(key),
        BlobCall::Parts { key, parts, .. } => {
            check_key(key)?;
            if parts.is_empty() || parts.len() > BLOB_PARTS_MAX as usize {
                return Err(DataError::argument(format!("an upload has 1 to {BLOB_PARTS_MAX} parts")));
            }
            Ok(())
        }
        BlobCall::Delete { keys } => {
            if keys.len() > BLOBS_DELETED_MAX {
                return Err(DataError::argument(format!(
                    "one call deletes at most {BLOBS_DELETED_MAX} blobs, not {}",
                    keys.len()
                )));
            }
            keys.iter().try_for_each(|key| check_key(key))
        }
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || own_part(key).len() > BLOB_KEY_BYTES_MAX {
        return Err(DataError::argument(format!(
            "the key of a blob has 1 to {BLOB_KEY_BYTES_MAX} bytes, not {}",
            key.len()
        )));
    }
    Ok(())
}

fn check_attribute(text: &str) -> Result<()> {
    if text.len() > BLOB_ATTRIBUTES_BYTES_MAX {
        return Err(DataError::large("what is kept with the blob", text.len(), BLOB_ATTRIBUTES_BYTES_MAX));
    }
    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
    parsed.map(|_| ()).map_err(|error| {
        DataError::argument(format!("what is kept with a blob is no JSON: {}", shown(&error.to_string())))
    })
}
