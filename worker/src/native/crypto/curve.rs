//! Elliptic curves: ECDSA and ECDH on the NIST curves, Ed25519, X25519. Private keys are the scalar or seed, public
//! keys uncompressed SEC1 points or 32 bytes.

use ecdsa_curves::{Curve, with_curve};
use ed25519_dalek::Signer as _;
use rquickjs::{Ctx, Function, Object, Result};

use super::hash::digest;
use super::{Answer, Bytes, Random};

pub(super) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("ecGenerate", Function::new(ctx.clone(), generate)?)?;
    natives.set("ecPublic", Function::new(ctx.clone(), public)?)?;
    natives.set("ecPoint", Function::new(ctx.clone(), point)?)?;
    natives.set("ecSign", Function::new(ctx.clone(), sign)?)?;
    natives.set("ecVerify", Function::new(ctx.clone(), verify)?)?;
    natives.set("ecShared", Function::new(ctx.clone(), shared)?)?;
    natives.set("edPublic", Function::new(ctx.clone(), ed_public)?)?;
    natives.set("edSign", Function::new(ctx.clone(), ed_sign)?)?;
    natives.set("edVerify", Function::new(ctx.clone(), ed_verify)?)?;
    natives.set("xPublic", Function::new(ctx.clone(), x_public)?)?;
    natives.set("xShared", Function::new(ctx.clone(), x_shared)?)
}

/// The three curves have the same interface in three crates.
mod ecdsa_curves {
    /// Which curve.
    #[derive(Clone, Copy)]
    pub(super) enum Curve {
        P256,
        P384,
        P521,
    }

    impl Curve {
        pub(super) fn named(name: &str) -> Option<Self> {
            Some(match name {
                "P-256" => Self::P256,
                "P-384" => Self::P384,
                "P-521" => Self::P521,
                _ => return None,
            })
        }
    }

    macro_rules! with_curve {
        ($curve:expr, $krate:ident => $run:expr) => {
            match $curve {
                Curve::P256 => {
                    use p256 as $krate;
                    $run
                }
                Curve::P384 => {
                    use p384 as $krate;
                    $run
                }
                Curve::P521 => {
                    use p521 as $krate;
                    $run
                }
            }
        };
    }
    pub(super) use with_curve;
}

/// A new scalar.
fn generate(name: String) -> Answer {
    Answer(Curve::named(&name).map(|curve| {
        with_curve!(curve, c => {
            use c::elliptic_curve::Generate as _;
            c::SecretKey::generate_from_rng(&mut Random).to_bytes().to_vec()
        })
    }))
}

/// The point of a scalar; null if it is not one.
fn public(name: String, scalar: Bytes) -> Answer {
    Answer(Curve::named(&name).and_then(|curve| {
        with_curve!(curve, c => {
            let secret = c::SecretKey::from_slice(&scalar.0).ok()?;
            use c::elliptic_curve::sec1::ToSec1Point as _;
            Some(secret.public_key().to_sec1_point(false).as_bytes().to_vec())
        })
    }))
}

/// An uncompressed point from a compressed or uncompressed one; null if it is not on the curve.
fn point(name: String, bytes: Bytes) -> Answer {
    Answer(Curve::named(&name).and_then(|curve| {
        with_curve!(curve, c => {
            use c::elliptic_curve::sec1::ToSec1Point as _;
            Some(c::PublicKey::from_sec1_bytes(&bytes.0).ok()?.to_sec1_point(false).as_bytes().to_vec())
        })
    }))
}

/// The digest of a message, with zeros before it where a curve's functions want more: half a field's width. Longer
/// ones keep their length, which says what is cut off.
fn prehash(curve: Curve, hash: &str, data: &[u8]) -> Option<Vec<u8>> {
    let half: usize = match curve {
        Curve::P256 => 16,
        Curve::P384 => 24,
        Curve::P521 => 34,
    };
    let digest = digest(hash, data)?;
    let mut padded = vec![0; half.saturating_sub(digest.len())];
    padded.extend(digest);
    Some(padded)
}

fn sign(name: String, hash: String, scalar: Bytes, data: Bytes) -> Answer {
    Answer(Curve::named(&name).and_then(|curve| {
        let hashed = prehash(curve, &hash, &data.0)?;
        with_curve!(curve, c => {
            use c::ecdsa::signature::hazmat::PrehashSigner as _;
            let key = c::ecdsa::SigningKey::from_slice(&scalar.0).ok()?;
            let signature: c::ecdsa::Signature = key.sign_prehash(&hashed).ok()?;
            Some(signature.to_bytes().to_vec())
        })
    }))
}

fn verify(name: String, hash: String, point: Bytes, signature: Bytes, data: Bytes) -> Option<bool> {
    let curve = Curve::named(&name)?;
    let hashed = prehash(curve, &hash, &data.0)?;
    with_curve!(curve, c => {
        use c::ecdsa::signature::hazmat::PrehashVerifier as _;
        let key = c::ecdsa::VerifyingKey::from_sec1_bytes(&point.0).ok()?;
        let Ok(signature) = c::ecdsa::Signature::from_slice(&signature.0) else { return Some(false) };
        Some(key.verify_prehash(&hashed, &signature).is_ok())
    })
}

fn shared(name: String, scalar: Bytes, point: Bytes) -> Answer {
    Answer(Curve::named(&name).and_then(|curve| {
        with_curve!(curve, c => {
            let secret = c::SecretKey::from_slice(&scalar.0).ok()?;
            let public = c::PublicKey::from_sec1_bytes(&point.0).ok()?;
            Some(secret.diffie_hellman(&public).raw_secret_bytes().to_vec())
        })
    }))
}

fn ed_key(seed: &[u8]) -> Option<ed25519_dalek::SigningKey> {
    Some(ed25519_dalek::SigningKey::from_bytes(seed.try_into().ok()?))
}

fn ed_public(seed: Bytes) -> Answer {
    Answer(ed_key(&seed.0).map(|key| key.verifying_key().to_bytes().to_vec()))
}

fn ed_sign(seed: Bytes, data: Bytes) -> Answer {
    Answer(ed_key(&seed.0).map(|key| key.sign(&data.0).to_bytes().to_vec()))
}

fn ed_verify(public: Bytes, signature: Bytes, data: Bytes) -> bool {
    let verified = || {
        let key = ed25519_dalek::VerifyingKey::from_bytes(public.0.as_slice().try_into().ok()?).ok()?;
        let signature = ed25519_dalek::Signature::from_slice(&signature.0).ok()?;
        key.verify_strict(&data.0, &signature).ok()
    };
    verified().is_some()
}

fn x_key(scalar: &[u8]) -> Option<x25519_dalek::StaticSecret> {
    Some(<[u8; 32]>::try_from(scalar).ok()?.into())
}

fn x_public(scalar: Bytes) -> Answer {
    Answer(x_key(&scalar.0).map(|key| x25519_dalek::PublicKey::from(&key).to_bytes().to_vec()))
}

/// Null for a point of small order.
fn x_shared(scalar: Bytes, public: Bytes) -> Answer {
    Answer(x_key(&scalar.0).and_then(|key| {
        let public = x25519_dalek::PublicKey::from(<[u8; 32]>::try_from(public.0.as_slice()).ok()?);
        let shared = key.diffie_hellman(&public);
        shared.was_contributory().then(|| shared.to_bytes().to_vec())
    }))
}
