//! Landlock: every right that the kernel's ABI knows is handled, and no rule gives any back. So no file can be
//! opened by path, no TCP port bound or connected, and (ABI 6 and later) no signal or abstract socket reaches
//! out of the domain.
//!
//! Rights newer than this table are found by asking: the kernel refuses a ruleset with a bit that it does not
//! know.

use super::{LockError, sys};

/// Rights over files by ABI: 1 (thirteen of them), 2 REFER, 3 TRUNCATE, 5 IOCTL_DEV.
const fn files(abi: u8) -> u64 {
    match abi {
        0 => 0,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

/// Rights over the network: BIND_TCP and CONNECT_TCP from ABI 4.
const fn network(abi: u8) -> u64 {
    if abi >= 4 { 3 } else { 0 }
}

/// Scopes: abstract sockets and signals from ABI 6.
const fn scopes(abi: u8) -> u64 {
    if abi >= 6 { 3 } else { 0 }
}

/// The last ABI that the table above describes whole; later ones are asked for more.
const ABI_KNOWN: u8 = 7;

/// Puts the domain on. Returns the ABI; 0: the kernel has none (the launcher has judged that).
pub(super) fn restrict() -> Result<u8, LockError> {
    let abi = match sys::landlock_abi() {
        Ok(abi) => u8::try_from(abi).unwrap_or(u8::MAX),
        Err(libc::ENOSYS | libc::EOPNOTSUPP) => return Ok(0),
        Err(errno) => return Err(LockError { step: "landlock abi", errno }),
    };
    let mut rights = [files(abi), network(abi), scopes(abi)];
    let words = match abi {
        0 => return Ok(0),
        1..=3 => 1,
        4 | 5 => 2,
        _ => 3,
    };
    if abi > ABI_KNOWN {
        for word in 0..words {
            widen(&mut rights, word, words);
        }
    }
    sys::landlock_restrict(&rights[..words]).map_err(LockError::at("landlock"))?;
    Ok(abi)
}

/// Adds the next higher bits of one word as long as the kernel knows them.
fn widen(rights: &mut [u64; 3], word: usize, words: usize) {
    while rights[word] != u64::MAX {
        let before = rights[word];
        rights[word] = before << 1 | 1;
        if !sys::landlock_knows(&rights[..words]) {
            rights[word] = before;
            return;
        }
    }
}
