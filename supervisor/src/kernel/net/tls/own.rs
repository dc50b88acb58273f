//! Certificates of our own making: a root that is made once and kept, and one for each host, made when somebody asks for
//! it. Browsers warn until they are told to trust the root.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::super::edge::unix_ms;
use super::{Identity, TlsError};
use crate::kernel::storage::{CertificateRow, Storage, certificate_place};

/// Name of the root among the certificates. No host can be called so.
const ROOT: &str = "(root)";
/// The root is good for ten years.
const ROOT_DAYS: u64 = 3_650;
/// That of a host is good for so long, which every browser takes, and made anew in half the time.
const HOST_DAYS: u64 = 90;
/// A certificate is good since yesterday: clocks differ.
const EARLY_DAYS: u64 = 1;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The root.
pub(super) struct Own {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
}

impl Own {
    /// The one that is stored; made when there is none, or it ends within the time of a host's certificate.
    pub(super) async fn load(domain: &str, storage: &Arc<Storage>) -> Result<Self, TlsError> {
        let fail = |error: rcgen::Error| TlsError::certificate(ROOT, error);
        let found = storage.kernel(|kernel| kernel.certificate(ROOT)).await?;
        let fresh = |row: &CertificateRow| row.expires_unix_ms > unix_ms() + HOST_DAYS * DAY_MS;
        let (pem, key) = match found.filter(fresh) {
            Some(row) => {
                let key = storage.sealer().open(&certificate_place(ROOT), &row.sealed);
                let why = "its key does not open: put DATA/keys/seal back as it was";
                (row.chain, key.ok_or_else(|| TlsError::certificate(ROOT, why))?)
            }
            None => {
                let key = KeyPair::generate().map_err(fail)?;
                let mut params = params(&root_name(domain), ROOT_DAYS, unix_ms());
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
                let pem = params.self_signed(&key).map_err(fail)?.pem();
                let der = key.serialize_der();
                let sealed = storage.sealer().seal(&certificate_place(ROOT), rand::random(), &der);
                let sealed = sealed.ok_or_else(|| TlsError::certificate(ROOT, "its key cannot be sealed"))?;
                let row = CertificateRow {
                    name: ROOT.into(),
                    chain: pem.clone(),
                    sealed,
                    expires_unix_ms: unix_ms() + ROOT_DAYS * DAY_MS,
                };
                storage.kernel(move |kernel| kernel.put_certificate(&row)).await?;
                (pem, der)
            }
        };
        let key = KeyPair::try_from(key).map_err(fail)?;
        let root = CertificateDer::from_pem_slice(pem.as_bytes());
        let root = root.map_err(|error| TlsError::certificate(ROOT, format!("{error:?}")))?;
        // The whole certificate is needed by who trusts it; to sign, its name and key are enough.
        Ok(Self {
            issuer: Issuer::new(params(&root_name(domain), ROOT_DAYS, unix_ms()), key),
            root,
            root_pem: pem,
        })
    }

    /// The root, for whoever is to trust it.
    pub(super) fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// One for a host.
    pub(super) fn certificate(&self, host: &str, now_unix_ms: u64) -> Result<Identity, TlsError> {
        let fail = |error: rcgen::Error| TlsError::certificate(host, error);
        let key = KeyPair::generate().map_err(fail)?;
        let mut params = params(host, HOST_DAYS, now_unix_ms);
        params.subject_alt_names =
            CertificateParams::new(vec![host.to_owned()]).map_err(fail)?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&key, &self.issuer).map_err(fail)?;
        Ok(Identity {
            chain: vec![signed.der().clone(), self.root.clone()],
            key: key.serialize_der(),
            expires_unix_ms: now_unix_ms + HOST_DAYS * DAY_MS,
            renew_unix_ms: now_unix_ms + HOST_DAYS * DAY_MS / 2,
        })
    }
}

/// No certificate of a host is called so: one whose name is that of its issuer would be taken for its own root.
fn root_name(domain: &str) -> String {
    format!("Fazt root of {domain}")
}

/// A certificate of this name, good for some days.
fn params(name: &str, days: u64, now_unix_ms: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // At most 64 letters (RFC 5280, appendix A.1); a host may have more, and stands in its own field.
    let name: String = name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_millis(now_unix_ms.saturating_sub(EARLY_DAYS * DAY_MS));
    params.not_after = epoch + Duration::from_millis(now_unix_ms + days * DAY_MS);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_root_is_made_once_and_signs_for_hosts() {
        let data = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(data.path()).expect("storage");
        let one = Own::load("cloud.example", &storage).await.expect("made");
        let again = Own::load("cloud.example", &storage).await.expect("read");
        assert_eq!(one.root, again.root);
        let identity = again.certificate("notes.cloud.example", unix_ms()).expect("a certificate");
        assert_eq!(identity.chain[1], one.root);
        let other = one.certificate("notes.cloud.example", unix_ms()).expect("a certificate");
        assert_ne!(identity.key, other.key);
    }
}
