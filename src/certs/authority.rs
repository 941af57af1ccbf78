//! Who signs certificates: an authority of one's own, and what it makes.
//!
//! In: names, hosts, roles, a time. Out: certificates with keys, as files that are never overwritten. Never here: a private key in
//! a message.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use cage_engine::Role;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use super::{CertsError, IDENTITY_SCHEME};

/// The authority's certificate, which everybody has.
const AUTHORITY: &str = "ca.pem";
/// The authority's key, which belongs where neither servers nor callers are.
const AUTHORITY_KEY: &str = "ca.key";
/// Clocks differ: a certificate is valid from a little before it is made.
const BEFORE: Duration = Duration::hours(1);

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub enum Validity {
    /// For ever: development only.
    Ever,
    /// So many days from a time on.
    Days {
        /// The time.
        from: OffsetDateTime,
        /// How many.
        days: u32,
    },
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Made {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Validity {
    fn put(self, params: &mut CertificateParams) {
        if let Self::Days { from, days } = self {
            params.not_before = from.saturating_sub(BEFORE);
            params.not_after = from.saturating_add(Duration::days(days.into()));
        }
    }
}

impl Made {
    /// Writes it as `NAME.pem` and `NAME.key`.
    ///
    /// # Errors
    /// [`CertsError::File`], also if one of them is there already.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), CertsError> {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        // Neither is left without the other.
        if let Some(path) = [&certificate, &key].into_iter().find(|path| path.exists()) {
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(CertsError::File { path: path.clone(), source });
        }
        write_new(&certificate, self.certificate.pem().as_bytes())?;
        write_new(&key, self.key.serialize_pem().as_bytes())
    }
}

impl Authority {
    /// A new one of this name, written as `ca.pem` and `ca.key`.
    ///
    /// # Errors
    /// [`CertsError`] if it cannot be made or written; also if there is one already.
    pub fn create(dir: &Path, name: &str, validity: Validity) -> Result<Self, CertsError> {
        let (authority, made) = Self::new(name, validity)?;
        make_folder(dir)?;
        made.write(dir, "ca")?;
        Ok(authority)
    }

    pub(super) fn new(name: &str, validity: Validity) -> Result<(Self, Made), CertsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity.put(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let signing = KeyPair::from_pem(&key.serialize_pem())?;
        let authority = Self { certificate: certificate.pem(), issuer: Issuer::new(params, signing) };
        Ok((authority, Made { certificate, key }))
    }

    /// The one whose `ca.pem` and `ca.key` lie in a folder.
    ///
    /// # Errors
    /// [`CertsError`] if they cannot be read.
    pub fn open(dir: &Path) -> Result<Self, CertsError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| CertsError::File { path, source })
        };
        let (certificate, key) = (read(AUTHORITY)?, read(AUTHORITY_KEY)?);
        let issuer = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
        Ok(Self { issuer, certificate })
    }

    /// Puts its certificate into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`CertsError`] if it cannot be written, or another authority's is there.
    pub fn publish(&self, dir: &Path) -> Result<(), CertsError> {
        make_folder(dir)?;
        let path = dir.join(AUTHORITY);
        match fs::read_to_string(&path) {
            Ok(there) if there == self.certificate => Ok(()),
            Ok(_) => Err(CertsError::OtherAuthority { path }),
            Err(_) => write_new(&path, self.certificate.as_bytes()),
        }
    }

    /// A server of these hosts: names or addresses.
    ///
    /// # Errors
    /// [`CertsError::Make`], also for a host that is none.
    pub fn server(&self, hosts: &[String], validity: Validity) -> Result<Made, CertsError> {
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, "cage server");
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth, validity)
    }

    /// A caller of a role.
    ///
    /// # Errors
    /// [`CertsError::Make`].
    pub fn caller(&self, role: Role, name: &str, validity: Validity) -> Result<Made, CertsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("cage {} {name}", role.name()));
        let uri = format!("{IDENTITY_SCHEME}{}/{name}", role.name());
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth, validity)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
        validity: Validity,
    ) -> Result<Made, CertsError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        validity.put(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Made { certificate, key })
    }
}

/// A folder that only its owner looks into, unless it is there.
pub(super) fn make_folder(dir: &Path) -> Result<(), CertsError> {
    let file = |source| CertsError::File { path: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file)
}

fn write_new(path: &Path, contents: &[u8]) -> Result<(), CertsError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(contents))
        .map_err(|source| CertsError::File { path: path.to_owned(), source })
}
