//! An authority of one's own, a server's certificate and callers' certificates, as files.

use std::fs;
use std::path::Path;

use cage_client::engine::Role;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;

/// A folder with `ca.pem`, `server.*`, and a pair per role.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().unwrap();
    fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let authority = Issuer::new(params, key);
    sign(dir.path(), "server", CertificateParams::new(["localhost".to_owned()]).unwrap(), &authority);
    for role in Role::CALLERS {
        let mut params = CertificateParams::default();
        let uri = format!("cage://{}/test", role.name());
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        sign(dir.path(), role.name(), params, &authority);
    }
    dir
}

fn sign(dir: &Path, name: &str, params: CertificateParams, authority: &Issuer<'_, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// The role in a certificate: its URI stands there in plain text.
pub(crate) fn role_in(certificate: &[u8]) -> Role {
    let has = |role: &Role| {
        let uri = format!("cage://{}/", role.name());
        certificate.windows(uri.len()).any(|window| window == uri.as_bytes())
    };
    Role::CALLERS.into_iter().find(has).unwrap()
}
