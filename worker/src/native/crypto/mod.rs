//! Cryptography for `crypto.subtle` and `node:crypto`: bytes in, bytes out. Keys are raw bytes here; formats (JWK,
//! PKCS#8, SPKI) are the prelude's. An operation that does not succeed gives null, and the prelude throws what the
//! specification wants. Arguments are hostile in length and content; costs are bounded below, since a native call is
//! not interrupted.

mod cipher;
mod curve;
mod hash;
mod rsa;

use rquickjs::{ArrayBuffer, Ctx, Function, Object, Result, Value};

use crate::sys;

/// Work that one call of PBKDF2 may do: iterations times blocks of output.
const PBKDF2_ROUNDS_MAX: u64 = 4_000_000;
/// Memory that scrypt may take; it is not the JavaScript heap's.
const SCRYPT_BYTES_MAX: u64 = 17 << 20;

/// Bytes that go to JavaScript as an `ArrayBuffer` in the engine's own memory, or null.
pub(super) struct Answer(pub(super) Option<Vec<u8>>);

impl<'js> rquickjs::IntoJs<'js> for Answer {
    fn into_js(self, ctx: &Ctx<'js>) -> Result<Value<'js>> {
        match self.0 {
            Some(bytes) => Ok(ArrayBuffer::new_copy(ctx.clone(), bytes)?.into_value()),
            None => Ok(Value::new_null(ctx.clone())),
        }
    }
}

/// A copy of the bytes of a buffer or view; empty for anything else.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'js> rquickjs::FromJs<'js> for Bytes {
    fn from_js(_: &Ctx<'js>, value: Value<'js>) -> Result<Self> {
        Ok(Self(sys::with_bytes(&value, <[u8]>::to_vec).unwrap_or_default()))
    }
}

/// The kernel's random numbers, for the crates that want a generator.
pub(super) struct Random;

impl rand_core::TryRng for Random {
    type Error = rand_core::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        sys::random(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        sys::random(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> std::result::Result<(), Self::Error> {
        sys::random(into);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set(
        "random",
        Function::new(ctx.clone(), |into: Value<'js>| sys::with_bytes_mut(&into, sys::random))?,
    )?;
    let equal = |a: Value<'js>, b: Value<'js>| {
        sys::with_bytes(&a, |a| sys::with_bytes(&b, |b| constant_time_equal(a, b))).flatten()
    };
    natives.set("equal", Function::new(ctx.clone(), equal)?)?;
    hash::init(ctx, natives)?;
    cipher::init(ctx, natives)?;
    curve::init(ctx, natives)?;
    rsa::init(ctx, natives)
}

/// Looks at every byte whatever it finds.
fn constant_time_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b))) == 0
}
