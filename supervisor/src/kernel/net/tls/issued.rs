//! What an authority issued, or claims to have: a chain in PEM is a stranger's until it was read here. One that clients
//! would refuse is refused before it takes the place of one that works.

use tokio_rustls::rustls::client::verify_server_name;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::ParsedCertificate;
use x509_cert::der::Decode as _;

use super::{Identity, single};

/// Certificates of a chain, which each handshake sends: authorities have two or three.
const CHAIN_MAX: usize = 8;
/// Bytes of them: with the longest keys in use a certificate has two kilobytes.
const CHAIN_BYTES_MAX: usize = 32 * 1024;

/// Reads a chain for a host, whose first certificate is that of the key.
///
/// # Errors
/// In words, when it is none that a client would take.
pub(super) fn read(host: &str, chain: &str, key: Vec<u8>, now_unix_ms: u64) -> Result<Identity, String> {
    if chain.len() > CHAIN_BYTES_MAX {
        return Err(format!("what came has {} bytes, and a chain at most {CHAIN_BYTES_MAX}", chain.len()));
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("what came is not PEM: {error:?}"))?;
    if chain.len() > CHAIN_MAX {
        return Err(format!("{} certificates came, and a chain has at most {CHAIN_MAX}", chain.len()));
    }
    let leaf = chain.first().ok_or("there is none in what came")?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| format!("what came is none: {error}"))?;
    let name = ServerName::try_from(host).map_err(|_| "no certificate can be for this host")?;
    verify_server_name(&parsed, &name).map_err(|_| "the one that came is for another host")?;
    let leaf = x509_cert::Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let validity = leaf.tbs_certificate().validity();
    let ms =
        |time: x509_cert::time::Time| u64::try_from(time.to_unix_duration().as_millis()).unwrap_or(u64::MAX);
    let (from, until) = (ms(validity.not_before), ms(validity.not_after));
    if until <= now_unix_ms {
        return Err("the one that came has ended already, by the clock of this machine".into());
    }
    single(host, chain.clone(), key.clone())
        .map_err(|error| format!("the one that came cannot be shown: {error}"))?;
    // Two thirds of its time, as authorities advise: a month before the end of one of Let's Encrypt.
    let renew_unix_ms = from.saturating_add(until.saturating_sub(from) / 3 * 2);
    Ok(Identity { chain, key, expires_unix_ms: until, renew_unix_ms })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const HOST: &str = "app.cloud.example";

    fn check(chain: &str, key: &KeyPair, expect: Result<(), &str>) {
        let read = read(HOST, chain, key.serialize_der(), 1_700_000_000_000);
        match (read, expect) {
            (Ok(_), Ok(())) => {}
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (other, expect) => panic!("{:?}, and not {expect:?}", other.map(drop)),
        }
    }

    fn made(host: &str, years: [i32; 2], key: &KeyPair) -> String {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host");
        params.not_before = rcgen::date_time_ymd(years[0], 1, 1);
        params.not_after = rcgen::date_time_ymd(years[1], 1, 1);
        params.self_signed(key).expect("a certificate").pem()
    }

    #[test]
    fn only_what_a_client_would_take_is_taken() {
        let key = KeyPair::generate().expect("a key");
        let other = KeyPair::generate().expect("a key");
        let good = made(HOST, [2023, 2040], &key);
        check(&good, &key, Ok(()));
        check(&format!("{good}{}", made("root.example", [2000, 2040], &other)), &key, Ok(()));
        check(&good, &other, Err("cannot be shown"));
        check(&made("other.cloud.example", [2023, 2040], &key), &key, Err("another host"));
        check(&made("cloud.example", [2023, 2040], &key), &key, Err("another host"));
        check(&made(HOST, [2020, 2022], &key), &key, Err("ended already"));
        check(&good.repeat(CHAIN_MAX + 1), &key, Err("at most 8"));
        check(&"x".repeat(CHAIN_BYTES_MAX + 1), &key, Err("bytes"));
        check("", &key, Err("there is none"));
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, Err("is none"));
        check("-----BEGIN CERTIFICATE-----\n\u{202e}", &key, Err("not PEM"));
    }

    #[test]
    fn another_one_is_due_when_a_third_of_its_time_is_left() {
        let key = KeyPair::generate().expect("a key");
        let read = read(HOST, &made(HOST, [2023, 2026], &key), key.serialize_der(), 1_700_000_000_000);
        let identity = read.expect("a certificate");
        let day = 86_400_000;
        // 2023-01-01, and the 1,096 days to 2026-01-01.
        assert_eq!(identity.expires_unix_ms, 1_672_531_200_000 + 1_096 * day);
        assert_eq!(identity.renew_unix_ms, 1_672_531_200_000 + 1_096 * day / 3 * 2);
    }
}
