//! AES: CBC, CTR, GCM, key wrap. GCM is put together from its parts because the specification allows any length of
//! nonce and seven lengths of tag.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes192, Aes256};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use rquickjs::{Ctx, Function, Object, Result};

use super::{Answer, Bytes, constant_time_equal};

macro_rules! by_key {
    ($key:expr, $aes:ident => $run:expr) => {
        match $key.len() {
            16 => {
                type $aes = Aes128;
                $run
            }
            24 => {
                type $aes = Aes192;
                $run
            }
            32 => {
                type $aes = Aes256;
                $run
            }
            _ => None,
        }
    };
}

pub(super) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("aesCbc", Function::new(ctx.clone(), cbc)?)?;
    natives.set("aesCtr", Function::new(ctx.clone(), ctr)?)?;
    natives.set("aesGcm", Function::new(ctx.clone(), gcm)?)?;
    natives.set("aesKw", Function::new(ctx.clone(), kw)?)
}

fn cbc(encrypt: bool, key: Bytes, iv: Bytes, data: Bytes) -> Answer {
    Answer(by_key!(key.0, Aes => if encrypt {
        cbc::Encryptor::<Aes>::new_from_slices(&key.0, &iv.0).ok().map(|cbc| cbc.encrypt_padded_vec::<Pkcs7>(&data.0))
    } else {
        cbc::Decryptor::<Aes>::new_from_slices(&key.0, &iv.0)
            .ok()
            .and_then(|cbc| cbc.decrypt_padded_vec::<Pkcs7>(&data.0).ok())
    }))
}

/// `bits`: how many low bits of the counter block count; they wrap without touching the rest.
fn ctr(key: Bytes, counter: Bytes, bits: u32, data: Bytes) -> Answer {
    Answer(by_key!(key.0, Aes => counted::<Aes>(&key.0, &counter.0, bits, data.0)))
}

fn counted<
    Aes: KeyInit + BlockCipherEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
>(
    key: &[u8],
    counter: &[u8],
    bits: u32,
    mut data: Vec<u8>,
) -> Option<Vec<u8>> {
    let start = u128::from_be_bytes(counter.try_into().ok()?);
    let mask = 1_u128.checked_shl(bits).map_or(u128::MAX, |end| end - 1);
    // The run up to the point where the counted bits wrap, then the run from zero.
    let before_wrap = (mask - (start & mask)).saturating_add(1);
    let blocks = data.len().div_ceil(16) as u128;
    if bits == 0 || bits > 128 || (mask != u128::MAX && blocks > mask + 1) {
        return None;
    }
    let split = if before_wrap < blocks { usize::try_from(before_wrap).ok()? * 16 } else { data.len() };
    let (first, second) = data.split_at_mut(split);
    for (run, block) in [(first, start), (second, start & !mask)] {
        if !run.is_empty() {
            ctr::Ctr128BE::<Aes>::new_from_slices(key, &block.to_be_bytes()).ok()?.apply_keystream(run);
        }
    }
    Some(data)
}

/// Encrypting answers text and tag; decrypting answers null when the tag is not the text's.
fn gcm(encrypt: bool, key: Bytes, nonce: Bytes, extra: Bytes, tag_bytes: usize, data: Bytes) -> Answer {
    if tag_bytes > 16 {
        return Answer(None);
    }
    Answer(by_key!(key.0, Aes => galois::<Aes>(encrypt, &key.0, &nonce.0, &extra.0, tag_bytes, data.0)))
}

fn galois<
    Aes: KeyInit + BlockCipherEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
>(
    encrypt: bool,
    key: &[u8],
    nonce: &[u8],
    extra: &[u8],
    tag_bytes: usize,
    mut data: Vec<u8>,
) -> Option<Vec<u8>> {
    let aes = Aes::new_from_slice(key).ok()?;
    let mut secret = aes::Block::default();
    aes.encrypt_block(&mut secret);
    let hash = GHash::new(&secret);
    let lengths = |first: usize, second: usize| {
        let mut block = [0; 16];
        block[..8].copy_from_slice(&(first as u64 * 8).to_be_bytes());
        block[8..].copy_from_slice(&(second as u64 * 8).to_be_bytes());
        block
    };
    let start: [u8; 16] = if nonce.len() == 12 {
        let mut block = [0; 16];
        block[..12].copy_from_slice(nonce);
        block[15] = 1;
        block
    } else {
        let mut hash = hash.clone();
        hash.update_padded(nonce);
        hash.update(&[lengths(0, nonce.len()).into()]);
        hash.finalize().into()
    };
    let mask = |tag: [u8; 16]| {
        let mut block = aes::Block::from(start);
        aes.encrypt_block(&mut block);
        let mut tag = tag;
        tag.iter_mut().zip(block).for_each(|(tag, block)| *tag ^= block);
        tag
    };
    let tag_of = |text: &[u8]| -> [u8; 16] {
        let mut hash = hash.clone();
        hash.update_padded(extra);
        hash.update_padded(text);
        hash.update(&[lengths(extra.len(), text.len()).into()]);
        mask(hash.finalize().into())
    };
    // The counter's low 32 bits go on from the start block.
    let low = u32::from_be_bytes([start[12], start[13], start[14], start[15]]).wrapping_add(1);
    let mut first = start;
    first[12..].copy_from_slice(&low.to_be_bytes());
    let mut stream = ctr::Ctr32BE::<Aes>::new_from_slices(key, &first).ok()?;
    if encrypt {
        stream.apply_keystream(&mut data);
        let tag = tag_of(&data);
        data.extend_from_slice(&tag[..tag_bytes]);
    } else {
        let length = data.len().checked_sub(tag_bytes)?;
        if !constant_time_equal(&tag_of(&data[..length])[..tag_bytes], &data[length..]) {
            return None;
        }
        data.truncate(length);
        stream.apply_keystream(&mut data);
    }
    Some(data)
}

fn kw(wrap: bool, key: Bytes, data: Bytes) -> Answer {
    Answer(by_key!(key.0, Aes => {
        aes_kw::AesKw::<Aes>::new_from_slice(&key.0).ok().and_then(|kw| {
            if data.0.len() < 16 {
                return None;
            }
            let mut out = vec![0; if wrap { data.0.len() + 8 } else { data.0.len() - 8 }];
            let done = if wrap { kw.wrap_key(&data.0, &mut out).is_ok() } else { kw.unwrap_key(&data.0, &mut out).is_ok() };
            done.then_some(out)
        })
    }))
}
