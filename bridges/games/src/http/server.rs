//! Where providers call: requests to `/PROVIDER/…`.
//!
//! In: requests. Out: the adapter's answers; what is refused is recorded. Never here: a request that waits without end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::listen::{Asked, Handler, Reply};
use crate::adapters::{self, Answer, Arrived, Headers};
use crate::config::{Config, Provider};
use crate::inbound::{Desk, Done, Verdict, now};
use crate::limits::DRAIN_TIME_MAX;
use crate::metrics::Metrics;
use crate::refusals::{Refusal, Refusals};

/// Answers providers.
#[derive(Debug)]
pub struct Providers {
    config: Rc<Config>,
    desk: Desk,
    refusals: RefCell<Refusals>,
    metrics: Rc<Metrics>,
}

#[derive(Debug)]
struct HeaderView<'a>(&'a HeaderMap);

impl Headers for HeaderView<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(HeaderValue::as_bytes)
    }
}

impl Providers {
    /// Answers with this desk.
    #[must_use]
    pub const fn new(config: Rc<Config>, desk: Desk, refusals: Refusals, metrics: Rc<Metrics>) -> Self {
        Self { config, desk, refusals: RefCell::new(refusals), metrics }
    }

    async fn tell(&self, provider: &Provider, arrived: &Arrived<'_>) -> Answer {
        let read = adapters::verify(provider, arrived)
            .and_then(|()| adapters::understand(&self.config, provider, arrived));
        let callback = match read {
            Ok(callback) => callback,
            Err(refused) => {
                let Arrived { at, path, body, .. } = *arrived;
                let refusal = Refusal::new(at, &provider.name, path, refused.reason.name(), body);
                self.refusals.borrow_mut().record(&refusal);
                self.metrics.refused(&provider.name, refused.reason);
                return refused.answer;
            }
        };
        let done = match timeout(DRAIN_TIME_MAX, self.desk.carry_out(provider, callback.call())).await {
            Ok(done) => done,
            Err(_) => Done::of(Verdict::Unavailable),
        };
        let took = Duration::from_nanos(now().0.saturating_sub(arrived.at.0));
        self.metrics.callback(&provider.name, done.verdict, took);
        callback.answer(&self.config, provider, &done)
    }
}

impl Handler for Providers {
    async fn answer(&self, asked: Asked) -> Reply {
        let place = asked.path.trim_start_matches('/').split_once('/');
        let named = place.and_then(|(name, rest)| Some((self.config.providers.get(name)?, rest)));
        let Some((provider, rest)) = named else {
            return Reply::Whole(Answer { status: 404, body: Vec::new() });
        };
        let path = format!("/{rest}");
        let arrived = Arrived {
            method: &asked.method,
            path: &path,
            query: &asked.query,
            headers: &HeaderView(&asked.headers),
            body: &asked.body,
            at: now(),
        };
        Reply::Whole(self.tell(provider, &arrived).await)
    }
}
