//! RSA: generation, PKCS #1 v1.5 and PSS signatures, OAEP. A key is the list of its numbers, big endian: modulus and
//! public exponent, then for private keys d, p, q, dp, dq, qi.

use rquickjs::{Array, ArrayBuffer, Ctx, Function, Object, Result};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Oaep, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use super::hash::digest;
use crate::engine::Shared;
use super::{Answer, Bytes, Random};

/// Longest modulus that is worked with or made; making one of 4096 bits takes seconds.
const BITS_MAX: usize = 4096;
/// Shortest modulus of keys that come from elsewhere.
const IMPORTED_BITS_MIN: u32 = 512;
/// Longest modulus of keys that come from elsewhere.
const IMPORTED_BITS_MAX: usize = 8192;

pub(super) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("rsaGenerate", Function::new(ctx.clone(), generate)?)?;
    natives.set("rsaCheck", Function::new(ctx.clone(), |key: Vec<Bytes>| private(&key).is_some())?)?;
    natives.set("rsaSign", Function::new(ctx.clone(), sign)?)?;
    natives.set("rsaVerify", Function::new(ctx.clone(), verify)?)?;
    natives.set("rsaEncrypt", Function::new(ctx.clone(), encrypt)?)?;
    natives.set("rsaDecrypt", Function::new(ctx.clone(), decrypt)?)
}

fn number(bytes: &Bytes) -> BoxedUint {
    BoxedUint::from_be_slice_vartime(&bytes.0)
}

fn public(key: &[Bytes]) -> Option<RsaPublicKey> {
    let [n, e, ..] = key else { return None };
    let modulus = number(n);
    if modulus.bits_vartime() < IMPORTED_BITS_MIN {
        return None;
    }
    RsaPublicKey::new_with_max_size(modulus, number(e), IMPORTED_BITS_MAX).ok()
}

fn private(key: &[Bytes]) -> Option<RsaPrivateKey> {
    let [n, e, d, p, q, ..] = key else { return None };
    RsaPrivateKey::from_components(number(n), number(e), number(d), vec![number(p), number(q)]).ok()
}

fn generate<'js>(ctx: Ctx<'js>, bits: usize, exponent: Bytes) -> Result<Option<Array<'js>>> {
    if !(1024..=BITS_MAX).contains(&bits) {
        return Ok(None);
    }
    let made = Shared::costly(&ctx, || RsaPrivateKey::new_with_exp(&mut Random, bits, number(&exponent)))?;
    let Ok(key) = made else { return Ok(None) };
    let (Some(dp), Some(dq), Some(qi)) = (key.dp(), key.dq(), key.crt_coefficient()) else { return Ok(None) };
    let [p, q] = key.primes() else { return Ok(None) };
    let parts = [
        key.n_bytes(),
        key.e_bytes(),
        key.d().to_be_bytes_trimmed_vartime(),
        p.to_be_bytes_trimmed_vartime(),
        q.to_be_bytes_trimmed_vartime(),
        dp.to_be_bytes_trimmed_vartime(),
        dq.to_be_bytes_trimmed_vartime(),
        qi.to_be_bytes_trimmed_vartime(),
    ];
    let list = Array::new(ctx.clone())?;
    for (index, part) in parts.iter().enumerate() {
        list.set(index, ArrayBuffer::new_copy(ctx.clone(), part)?)?;
    }
    Ok(Some(list))
}

macro_rules! by_hash {
    ($name:expr, $hash:ident => $run:expr) => {
        match $name.as_str() {
            "sha1" => {
                type $hash = Sha1;
                $run
            }
            "sha256" => {
                type $hash = Sha256;
                $run
            }
            "sha384" => {
                type $hash = Sha384;
                $run
            }
            "sha512" => {
                type $hash = Sha512;
                $run
            }
            _ => return Default::default(),
        }
    };
}

/// `salt`: its length for PSS, nothing for PKCS #1 v1.5.
fn sign(hash: String, salt: Option<usize>, key: Vec<Bytes>, data: Bytes) -> Answer {
    Answer(sign_bytes(hash, salt, &key, &data.0))
}

fn sign_bytes(hash: String, salt: Option<usize>, key: &[Bytes], data: &[u8]) -> Option<Vec<u8>> {
    let key = private(key)?;
    let hashed = digest(&hash, data)?;
    if salt.is_some_and(|salt| salt + hashed.len() + 2 > key.size()) {
        return None;
    }
    by_hash!(hash, Hash => match salt {
        Some(salt) => key.sign_with_rng(&mut Random, Pss::<Hash>::new_with_salt(salt), &hashed),
        None => key.sign_with_rng(&mut Random, Pkcs1v15Sign::new::<Hash>(), &hashed),
    })
    .ok()
}

fn verify(hash: String, salt: Option<usize>, key: Vec<Bytes>, signature: Bytes, data: Bytes) -> bool {
    let (Some(key), Some(hashed)) = (public(&key), digest(&hash, &data.0)) else { return false };
    by_hash!(hash, Hash => match salt {
        Some(salt) => key.verify(Pss::<Hash>::new_with_salt(salt), &hashed, &signature.0),
        None => key.verify(Pkcs1v15Sign::new::<Hash>(), &hashed, &signature.0),
    })
    .is_ok()
}

fn encrypt(hash: String, label: Bytes, key: Vec<Bytes>, data: Bytes) -> Answer {
    let run = || {
        let key = public(&key)?;
        by_hash!(hash, Hash => key.encrypt(&mut Random, Oaep::<Hash>::new_with_label(label.0.clone()), &data.0)).ok()
    };
    Answer(run())
}

fn decrypt(hash: String, label: Bytes, key: Vec<Bytes>, data: Bytes) -> Answer {
    let run = || {
        let key = private(&key)?;
        by_hash!(hash, Hash => key.decrypt_blinded(&mut Random, Oaep::<Hash>::new_with_label(label.0.clone()), &data.0)).ok()
    };
    Answer(run())
}
