//! A folder of certificates, for people: what each is, until when, and what is wrong with it.
//!
//! In: a folder, a time. Out: a row for each `*.pem` in it. Never here: a change, the content of a key.

use std::path::Path;
use std::sync::Arc;

use cage_client::{load_authority, load_pair};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{CertsError, Identity};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It signs others.
    Authority,
    /// A server shows it.
    Server,
    /// A caller shows it.
    Caller,
    /// Nothing that this ledger knows.
    Unknown,
}

impl Use {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Server => "server",
            Self::Caller => "caller",
            Self::Unknown => "unknown",
        }
    }
}

/// One certificate.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The file, without `.pem`.
    pub name: String,
    /// What it is for.
    pub usage: Use,
    /// Whom it names: a URI, hosts, or the authority's name.
    pub names: Vec<String>,
    /// The last second of its life, since 1970.
    pub until: i64,
    /// What is wrong with it, now.
    pub trouble: Option<String>,
}

/// Looks at all certificates of a folder.
///
/// # Errors
/// The folder cannot be read.
pub fn look(dir: &Path, now: UnixTime) -> Result<Vec<Shown>, CertsError> {
    let fault = |source| CertsError::File { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(".pem")).map(str::to_owned));
    }
    names.sort_unstable();
    let authority = load_authority(dir).ok();
    Ok(names.into_iter().map(|name| shown(dir, name, authority.as_ref(), now)).collect())
}

fn shown(dir: &Path, name: String, authority: Option<&CertificateDer<'static>>, now: UnixTime) -> Shown {
    let unreadable = |what: String| Shown {
        name: name.clone(),
        usage: Use::Unknown,
        names: Vec::new(),
        until: 0,
        trouble: Some(what),
    };
    let path = dir.join(format!("{name}.pem"));
    let Ok(certificate) = CertificateDer::from_pem_file(&path) else {
        return unreadable("it is no certificate in PEM".to_owned());
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else {
        return unreadable("it is no X.509 certificate".to_owned());
    };
    let (usage, names) = described(&parsed, &certificate);
    let until = parsed.validity().not_after.timestamp();
    let trouble = trouble(dir, &name, usage, &names, &certificate, authority, now);
    Shown { usage, names, until, trouble, ..unreadable(name.clone()) }
}

fn described(parsed: &X509Certificate<'_>, certificate: &CertificateDer<'_>) -> (Use, Vec<String>) {
    if parsed.is_ca() {
        return (Use::Authority, vec![parsed.subject().to_string()]);
    }
    if let Ok(identity) = Identity::of(certificate) {
        return (Use::Caller, vec![identity.uri]);
    }
    let usage = parsed.extended_key_usage().ok().flatten();
    let is_server = usage.is_some_and(|usage| usage.value.server_auth);
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let hosts = alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(host).collect();
    (if is_server { Use::Server } else { Use::Unknown }, hosts)
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => {
                <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string())
            }
        },
        _ => None,
    }
}

/// What stands in the way of its use.
fn trouble(
    dir: &Path,
    name: &str,
    usage: Use,
    names: &[String],
    certificate: &CertificateDer<'static>,
    authority: Option<&CertificateDer<'static>>,
    now: UnixTime,
) -> Option<String> {
    let (from, until) = super::validity(certificate)?;
    let now_seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now_seconds > until {
        return Some("it has expired".to_owned());
    }
    if now_seconds < from {
        return Some("it is not valid yet".to_owned());
    }
    match usage {
        // Its key belongs elsewhere.
        Use::Authority => return None,
        Use::Unknown => return Some("it names no role and no server".to_owned()),
        Use::Server | Use::Caller => {}
    }
    let Some(authority) = authority else { return Some("there is no ca.pem beside it".to_owned()) };
    if let Some(what) = unsigned(usage, names, certificate, authority, now) {
        return Some(what);
    }
    match load_pair(dir, name) {
        Err(reason) => Some(format!("its key: {reason}")),
        Ok(pair) => CertifiedKey::from_der(pair.chain, pair.key, &ring::default_provider())
            .err()
            .map(|_| "its key is another certificate's".to_owned()),
    }
}

/// Says so if an authority has not signed it.
fn unsigned(
    usage: Use,
    names: &[String],
    certificate: &CertificateDer<'static>,
    authority: &CertificateDer<'static>,
    now: UnixTime,
) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).ok()?;
    let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
    let verified = if usage == Use::Caller {
        let callers = WebPkiClientVerifier::builder_with_provider(roots, provider).build().ok()?;
        callers.verify_client_cert(certificate, &[], now).map(drop)
    } else {
        let Some(host) = names.first().and_then(|host| ServerName::try_from(host.clone()).ok()) else {
            return Some("it names no host".to_owned());
        };
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider).build().ok()?;
        servers.verify_server_cert(certificate, &[], &host, &[], now).map(drop)
    };
    match verified {
        Ok(()) => None,
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            Some("the ca.pem beside it has not signed it".to_owned())
        }
        Err(reason) => Some(reason.to_string()),
    }
}
