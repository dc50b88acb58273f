//! Digests, HMAC and the key derivations built on them.

use std::cell::RefCell;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use rquickjs::{Ctx, Function, IntoJs, Object, Result, Value};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Answer, Bytes, PBKDF2_ROUNDS_MAX, SCRYPT_BYTES_MAX};
use crate::engine::Shared;
use crate::sys;

/// A digest being made.
#[derive(Clone)]
enum Hasher {
    Md5(Md5),
    Sha1(Sha1),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    HmacMd5(Hmac<Md5>),
    HmacSha1(Hmac<Sha1>),
    HmacSha224(Hmac<Sha224>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
}

macro_rules! each {
    ($hasher:expr, $state:ident => $digest:expr, $mac:ident => $keyed:expr) => {
        match $hasher {
            Hasher::Md5($state) => $digest,
            Hasher::Sha1($state) => $digest,
            Hasher::Sha224($state) => $digest,
            Hasher::Sha256($state) => $digest,
            Hasher::Sha384($state) => $digest,
            Hasher::Sha512($state) => $digest,
            Hasher::HmacMd5($mac) => $keyed,
            Hasher::HmacSha1($mac) => $keyed,
            Hasher::HmacSha224($mac) => $keyed,
            Hasher::HmacSha256($mac) => $keyed,
            Hasher::HmacSha384($mac) => $keyed,
            Hasher::HmacSha512($mac) => $keyed,
        }
    };
}

impl Hasher {
    fn new(name: &str) -> Option<Self> {
        Some(match name {
            "md5" => Self::Md5(Md5::new()),
            "sha1" => Self::Sha1(Sha1::new()),
            "sha224" => Self::Sha224(Sha224::new()),
            "sha256" => Self::Sha256(Sha256::new()),
            "sha384" => Self::Sha384(Sha384::new()),
            "sha512" => Self::Sha512(Sha512::new()),
            _ => return None,
        })
    }

    fn keyed(name: &str, key: &[u8]) -> Option<Self> {
        Some(match name {
            "md5" => Self::HmacMd5(Hmac::new_from_slice(key).ok()?),
            "sha1" => Self::HmacSha1(Hmac::new_from_slice(key).ok()?),
            "sha224" => Self::HmacSha224(Hmac::new_from_slice(key).ok()?),
            "sha256" => Self::HmacSha256(Hmac::new_from_slice(key).ok()?),
            "sha384" => Self::HmacSha384(Hmac::new_from_slice(key).ok()?),
            "sha512" => Self::HmacSha512(Hmac::new_from_slice(key).ok()?),
            _ => return None,
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        each!(self, state => Digest::update(state, bytes), mac => Mac::update(mac, bytes));
    }

    fn finish(self) -> Vec<u8> {
        each!(self, state => state.finalize().to_vec(), mac => mac.finalize().into_bytes().to_vec())
    }
}

/// The digest of some bytes, for the modules beside this one.
pub(super) fn digest(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut hasher = Hasher::new(name)?;
    hasher.update(bytes);
    Some(hasher.finish())
}

pub(super) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    let digest = |name: String, bytes: Value<'js>| {
        Answer(sys::with_bytes(&bytes, |bytes| digest(&name, bytes)).flatten())
    };
    natives.set("digest", Function::new(ctx.clone(), digest)?)?;
    let hmac = |name: String, key: Bytes, bytes: Value<'js>| {
        let made = Hasher::keyed(&name, &key.0).and_then(|mut hasher| {
            sys::with_bytes(&bytes, |bytes| hasher.update(bytes))?;
            Some(hasher.finish())
        });
        Answer(made)
    };
    natives.set("hmac", Function::new(ctx.clone(), hmac)?)?;
    let hasher = |ctx: Ctx<'js>, name: String, key: rquickjs::function::Opt<Bytes>| {
        let made = match key.0 {
            Some(key) => Hasher::keyed(&name, &key.0),
            None => Hasher::new(&name),
        };
        made.map(|hasher| streaming(&ctx, hasher)).transpose()
    };
    natives.set("hasher", Function::new(ctx.clone(), hasher)?)?;
    natives.set("hkdf", Function::new(ctx.clone(), hkdf)?)?;
    let costly = |ctx: Ctx<'js>, name, password, salt, rounds, length| {
        Shared::costly(&ctx, || pbkdf2(name, password, salt, rounds, length))
    };
    natives.set("pbkdf2", Function::new(ctx.clone(), costly)?)?;
    let costly = |ctx: Ctx<'js>, password, salt, log_n, r, p, length| {
        Shared::costly(&ctx, || scrypt(password, salt, log_n, r, p, length))
    };
    natives.set("scrypt", Function::new(ctx.clone(), costly)?)
}

/// A function that takes bytes, answers the digest when called with nothing, and a copy of itself for null.
fn streaming<'js>(ctx: &Ctx<'js>, hasher: Hasher) -> Result<Function<'js>> {
    let state = RefCell::new(Some(hasher));
    Function::new(ctx.clone(), move |ctx: Ctx<'js>, bytes: rquickjs::function::Opt<Value<'js>>| {
        let Some(bytes) = bytes.0 else { return Answer(state.take().map(Hasher::finish)).into_js(&ctx) };
        if bytes.is_null() {
            let copy = state.borrow().clone().map(|hasher| streaming(&ctx, hasher));
            return copy.transpose()?.into_js(&ctx);
        }
        sys::with_bytes(&bytes, |bytes| {
            if let Some(hasher) = state.borrow_mut().as_mut() {
                hasher.update(bytes);
            }
        });
        Ok(Value::new_undefined(ctx))
    })
}

fn hkdf(name: String, key: Bytes, salt: Bytes, info: Bytes, length: usize) -> Answer {
    fn run<H: hmac::EagerHash>(key: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Option<()> {
        hkdf::Hkdf::<H>::new(Some(salt), key).expand(info, out).ok()
    }
    // The derivation ends at 255 blocks of at most 64 bytes.
    if length > 255 * 64 {
        return Answer(None);
    }
    let mut out = vec![0; length];
    let (key, salt, info) = (&key.0, &salt.0, &info.0);
    let done = match name.as_str() {
        "sha1" => run::<Sha1>(key, salt, info, &mut out),
        "sha256" => run::<Sha256>(key, salt, info, &mut out),
        "sha384" => run::<Sha384>(key, salt, info, &mut out),
        "sha512" => run::<Sha512>(key, salt, info, &mut out),
        _ => None,
    };
    Answer(done.map(|()| out))
}

/// Null when it asks for more work than one call may do.
/// Bytes that one derivation may give: they are made in Rust's own memory.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

fn pbkdf2(name: String, password: Bytes, salt: Bytes, rounds: u32, length: usize) -> Answer {
    let block = match name.as_str() {
        "md5" => 16,
        "sha1" => 20,
        "sha256" => 32,
        "sha384" => 48,
        _ => 64,
    };
    let blocks = length.div_ceil(block) as u64;
    if rounds == 0
        || length > OUTPUT_BYTES_MAX
        || blocks.saturating_mul(u64::from(rounds)) > PBKDF2_ROUNDS_MAX
    {
        return Answer(None);
    }
    let mut out = vec![0; length];
    let (password, salt) = (&password.0, &salt.0);
    match name.as_str() {
        "md5" => pbkdf2::pbkdf2_hmac::<Md5>(password, salt, rounds, &mut out),
        "sha1" => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut out),
        "sha256" => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, &mut out),
        "sha384" => pbkdf2::pbkdf2_hmac::<Sha384>(password, salt, rounds, &mut out),
        "sha512" => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, &mut out),
        _ => return Answer(None),
    }
    Answer(Some(out))
}

fn scrypt(password: Bytes, salt: Bytes, log_n: u8, r: u32, p: u32, length: usize) -> Answer {
    let memory = 1_u64.checked_shl(u32::from(log_n)).and_then(|n| n.checked_mul(128 * u64::from(r)));
    let work = memory.and_then(|memory| memory.checked_mul(u64::from(p)));
    if memory.is_none_or(|bytes| bytes > SCRYPT_BYTES_MAX)
        || work.is_none_or(|bytes| bytes > 4 * SCRYPT_BYTES_MAX)
        || length > OUTPUT_BYTES_MAX
    {
        return Answer(None);
    }
    let made = scrypt::Params::new(log_n, r, p).ok().and_then(|params| {
        let mut out = vec![0; length];
        scrypt::scrypt(&password.0, &salt.0, &params, &mut out).ok().map(|()| out)
    });
    Answer(made)
}
