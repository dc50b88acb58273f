//! Inflating, bounded by what may come out and not by what the stream says.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

use super::super::job::Refusal;
use super::super::limits::{RATIO_FREE_BYTES, RATIO_MAX};

/// Inflates one gzip stream that is all of the bytes. What was compressed twice is still compressed once.
pub(super) fn inflate(bytes: &[u8], bytes_max: usize) -> Result<Vec<u8>, Refusal> {
    let most = bytes_max.min(bytes.len().saturating_mul(RATIO_MAX).saturating_add(RATIO_FREE_BYTES));
    let mut decoder = GzDecoder::new(bytes);
    let mut out = Vec::new();
    // One more than allowed tells what is too large from what fits. Room grows with what is there.
    let read = (&mut decoder).take(most as u64 + 1).read_to_end(&mut out);
    if out.len() > most {
        return Err(Refusal(format!(
            "it inflates to more than {} MiB, or to {RATIO_MAX} times its size",
            bytes_max >> 20
        )));
    }
    read.map_err(|_| Refusal("it is no gzip stream, or a damaged one".into()))?;
    if decoder.into_inner().is_empty() {
        Ok(out)
    } else {
        Err(Refusal("there is more behind the end of its gzip stream".into()))
    }
}
