//! Certificates: who a caller is, and the development set that a first start makes.
//!
//! A caller's role and name stand in its certificate as a URI name, `cage://ROLE/NAME`; a server's certificate
//! names its host. Never here: a private key in a message or a log.

mod authority;
pub mod shelf;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cage_client::{CredentialsError, Pair};
use cage_engine::Role;
use cage_protocol::rights;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub use authority::{Authority, Made, Validity};

/// The scheme of the URI that names a caller.
const IDENTITY_SCHEME: &str = "cage://";

/// Who a certificate says that a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the caller may ask for.
    pub role: Role,
    /// The whole URI, as logs print it.
    pub uri: String,
    /// The number that stands for the identity in the log's records.
    pub actor: u32,
}

/// What is wrong with certificates or their files.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that should hold a certificate or a key does not.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A folder has the certificate of another authority.
    #[error("{path}: this is the certificate of another authority: use a folder of its own", path = path.display())]
    OtherAuthority {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refuses the certificate or key.
    #[error("the TLS library refuses it: {0}")]
    Tls(#[from] rustls::Error),
    /// It is no certificate.
    #[error("this is no X.509 certificate")]
    Unreadable,
    /// It is not valid at this time.
    #[error(
        "the server's certificate is valid from {from} to {until}, in seconds since 1970, and now it is {now}"
    )]
    NotValid {
        /// From when.
        from: i64,
        /// Until when.
        until: i64,
        /// The time by the wall clock.
        now: u64,
    },
    /// A certificate carries no role.
    #[error("the certificate names no role: expected exactly one URI name like cage://frontend/NAME")]
    NoRole,
}

impl Identity {
    /// Reads the identity from a caller's certificate.
    ///
    /// # Errors
    /// [`CertsError::NoRole`] unless it carries exactly one URI of ours with a known role and a name.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertsError> {
        use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertsError::NoRole)?;
        let names = parsed.subject_alternative_name().ok().flatten().ok_or(CertsError::NoRole)?;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with(IDENTITY_SCHEME) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => Self::parse(uri).ok_or(CertsError::NoRole),
            _ => Err(CertsError::NoRole),
        }
    }

    /// Who asks, for whoever decides what may be seen.
    #[must_use]
    pub fn caller(&self) -> rights::Caller<'_> {
        rights::Caller { role: self.role, actor: self.actor, uri: &self.uri }
    }

    fn parse(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix(IDENTITY_SCHEME)?.split_once('/')?;
        let role = Role::from_name(role).filter(|_| !name.is_empty())?;
        let digest = blake3::hash(uri.as_bytes());
        let actor = u32::from_le_bytes(*digest.as_bytes().first_chunk()?);
        Some(Self { role, uri: uri.to_owned(), actor })
    }
}

/// From when until when a certificate is valid, in seconds since 1970; none if it cannot be read.
#[must_use]
pub fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// Makes a development set in `dir` unless there is one: an authority, a server for `localhost`, and one caller
/// per role. Says whether it made one.
///
/// # Errors
/// [`CertsError`] if the files cannot be written.
pub fn ensure_development_set(dir: &Path) -> Result<bool, CertsError> {
    if dir.join("server.key").exists() {
        return Ok(false);
    }
    authority::make_folder(dir)?;
    // Of a set that was not finished nothing is known to fit.
    for name in Role::CALLERS.iter().map(|role| role.name()).chain(["ca", "server"]) {
        for end in ["pem", "key"] {
            let path = dir.join(format!("{name}.{end}"));
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(CertsError::File { path, source });
                }
                _ => {}
            }
        }
    }
    let authority = Authority::create(dir, "cage development authority", Validity::Ever)?;
    for role in Role::CALLERS {
        authority.caller(role, "dev", Validity::Ever)?.write(dir, role.name())?;
    }
    // Last: its key is what says that the set is complete.
    let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    authority.server(&hosts, Validity::Ever)?.write(dir, "server")?;
    Ok(true)
}

/// A caller's certificate and key that this ledger's authority never signed: for tests of what is refused.
///
/// # Errors
/// [`CertsError`] if they cannot be made.
pub fn foreign_caller(role: Role) -> Result<Pair, CertsError> {
    let (authority, _) = Authority::new("another authority", Validity::Ever)?;
    let Made { certificate, key } = authority.caller(role, "stranger", Validity::Ever)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Pair { chain: vec![certificate.der().clone()], key })
}

#[cfg(test)]
mod tests {
    use cage_client::load_pair;

    use super::*;

    #[test]
    fn a_development_set_names_every_role_once_and_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        assert!(ensure_development_set(&certs).unwrap());
        assert!(!ensure_development_set(&certs).unwrap());
        for role in Role::CALLERS {
            let identity = Identity::of(&load_pair(&certs, role.name()).unwrap().chain[0]).unwrap();
            assert_eq!(identity.role, role);
            assert_eq!(identity.uri, format!("cage://{}/dev", role.name()));
        }
        let server = load_pair(&certs, "server").unwrap();
        assert!(matches!(Identity::of(&server.chain[0]), Err(CertsError::NoRole)));
    }

    #[test]
    fn an_identity_needs_a_known_role_and_a_name() {
        assert!(Identity::parse("cage://frontend/lobby-1").is_some());
        for wrong in
            ["cage://frontend", "cage://frontend/", "cage://king/x", "http://frontend/x", "cage:///x"]
        {
            assert_eq!(Identity::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Identity::parse("cage://system/x"), None, "nobody is the ledger itself");
    }
}
