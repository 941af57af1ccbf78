//! The end of a bridge whose place another one has taken.
//!
//! In: what the ledger answers. Out: once it is *fenced*, that the bridge is to end: all it could still do is to refuse what the
//! other one does. Never here: a grant that is asked for again, which would fence the other one in turn.

use std::rc::Rc;

use cage_engine::ResultCode;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Looks at the ledger's answers for all parts of a bridge.
#[derive(Clone, Debug)]
pub struct Fence {
    metrics: Rc<Metrics>,
    fenced: Rc<watch::Sender<Option<String>>>,
}

impl Fence {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(metrics: Rc<Metrics>) -> Self {
        Self { metrics, fenced: Rc::new(watch::Sender::new(None)) }
    }

    /// Looks at what the ledger answered to something for a provider.
    pub fn see(&self, provider: &str, code: Option<ResultCode>) {
        if code == Some(ResultCode::Fenced) && self.fenced.borrow().is_none() {
            tracing::error!(provider, "another bridge has taken over: this one ends");
            self.metrics.fence(provider);
            self.fenced.send_replace(Some(provider.to_owned()));
        }
    }

    /// Done when another bridge has taken a provider over; gives which.
    pub async fn fenced(&self) -> String {
        let mut seen = self.fenced.subscribe();
        match seen.wait_for(Option::is_some).await.map(|fenced| fenced.clone()) {
            Ok(Some(provider)) => provider,
            // The sender is ours: it is not gone.
            _ => std::future::pending().await,
        }
    }
}
