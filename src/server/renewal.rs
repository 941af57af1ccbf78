//! New certificates without a restart: on SIGHUP, and when their files change.
//!
//! In: the folder of certificates. Out: what newcomers are shown and measured by; connections whose certificate the new
//! authority has not signed are ended. Never here: a certificate that cannot be used in the place of one that can.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use cage_protocol::CloseCode;
use quinn::Endpoint;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Shared;
use crate::admin::alarms::Alarm;
use crate::endpoint::{self, Credentials};
use crate::limits::CERTIFICATES_LOOK_EVERY;

/// Whoever puts new certificates into force.
#[derive(Debug)]
pub(super) struct Renewal {
    certs: PathBuf,
    hangup: Signal,
    applied: Files,
}

/// What files there are, without a look into them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files(Vec<Option<(u64, i64, i64, u64)>>);

impl Files {
    fn look(certs: &Path) -> Self {
        let one = |name: &str| {
            let found = fs::metadata(certs.join(name)).ok()?;
            Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
        };
        Self(endpoint::FILES.map(one).to_vec())
    }
}

impl Renewal {
    /// For the certificates that were read a moment ago. From now on SIGHUP ends nothing.
    pub(super) fn new(certs: &Path) -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { certs: certs.to_owned(), hangup, applied: Files::look(certs) })
    }

    /// Looks for ever.
    pub(super) async fn keep(mut self, endpoint: Endpoint, shared: Rc<Shared>) {
        let mut before = self.applied.clone();
        loop {
            let asked = tokio::select! {
                asked = self.hangup.recv() => asked.is_some(),
                () = tokio::time::sleep(CERTIFICATES_LOOK_EVERY) => false,
            };
            let certs = self.certs.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || Files::look(&certs)).await else { continue };
            // Files that are being written right now are left alone until the next look.
            let settled = found == before;
            before = found.clone();
            if asked || (settled && found != self.applied) {
                self.applied = found;
                self.renew(&endpoint, &shared);
            }
        }
    }

    /// A bad set is told once for each change of it; the one before stays in force.
    fn renew(&self, endpoint: &Endpoint, shared: &Rc<Shared>) {
        let read = Credentials::read(&self.certs).and_then(|credentials| {
            credentials.check_validity()?;
            let config = credentials.server_config()?;
            Ok((credentials, config))
        });
        shared.board.set(Alarm::CertificatesNotRead, read.is_err());
        match read {
            Ok((credentials, config)) => {
                endpoint.set_server_config(Some(config));
                shared.board.numbers.certificate_expires.set(credentials.expires());
                let ended = end_strangers(&credentials, shared);
                tracing::info!(ended, "certificates were read again: newcomers are shown the new ones");
            }
            Err(reason) => tracing::error!(
                %reason, certs = %self.certs.display(),
                "the new certificates cannot be used: the old ones stay in force"
            ),
        }
    }
}

/// Ends the connections of callers that the authority has not signed; how many.
fn end_strangers(credentials: &Credentials, shared: &Rc<Shared>) -> usize {
    let callers = match credentials.callers() {
        Ok(callers) => callers,
        Err(reason) => {
            tracing::error!(%reason, "connections could not be compared with the new authority");
            return 0;
        }
    };
    let sessions: Vec<_> = shared.sessions.borrow().values().filter_map(Weak::upgrade).collect();
    let strangers = sessions.iter().filter(|session| !session.is_known_to(&*callers));
    let code = CloseCode::RoleUnknown;
    strangers
        .map(|session| {
            tracing::warn!(caller = %session.caller(), "ended: the new authority has not signed this caller");
            session.close(code, "The ledger's authority was changed, and has not signed this certificate.");
        })
        .count()
}
