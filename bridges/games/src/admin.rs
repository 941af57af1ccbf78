//! The bridge's own port for monitors: whether it lives, and its numbers.
//!
//! In: requests of this machine. Out: pages. It asks nobody who he is: leave it on loopback. Never here: a player, a
//! provider's transaction, a change of anything.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::adapters::Answer;
use crate::config::Config;
use crate::http::{Asked, Handler, Reply};
use crate::inbound::now;
use crate::metrics::{Metrics, Standing};
use crate::outbound::Driver;
use crate::store::Store;

/// Answers monitors.
#[derive(Debug)]
pub struct Admin {
    config: Rc<Config>,
    driver: Rc<Driver>,
    store: Rc<Store>,
    metrics: Rc<Metrics>,
}

impl Admin {
    /// One for a bridge.
    #[must_use]
    pub const fn new(config: Rc<Config>, driver: Rc<Driver>, store: Rc<Store>, metrics: Rc<Metrics>) -> Self {
        Self { config, driver, store, metrics }
    }

    fn metrics(&self) -> Answer {
        let at = now().millis();
        let mut standings: BTreeMap<&str, Standing> = BTreeMap::new();
        for name in self.config.providers.keys() {
            let away = self.driver.is_away(name);
            standings.insert(name, Standing { away, ..Standing::default() });
        }
        for bet in self.driver.open() {
            let Some(standing) = standings.get_mut(bet.ticket.provider.as_str()) else { continue };
            standing.open += 1;
            standing.in_doubt += u64::from(bet.in_doubt);
            let age = Duration::from_millis(at.saturating_sub(bet.ticket.began_ms));
            standing.oldest = standing.oldest.max(age);
        }
        for (name, standing) in standings {
            self.metrics.stand(name, standing);
        }
        // What cannot be read is told when it is written; the number before stays.
        if let Ok(disputes) = self.store.disputes() {
            self.metrics.disputes(disputes.len());
        }
        match self.metrics.page() {
            Ok(text) => Answer { status: 200, body: text.into_bytes() },
            Err(error) => Answer { status: 500, body: error.to_string().into_bytes() },
        }
    }
}

impl Handler for Admin {
    async fn answer(&self, asked: Asked) -> Reply {
        Reply::Text(match (asked.method.as_str(), asked.path.as_str()) {
            ("GET" | "HEAD", "/metrics") => self.metrics(),
            ("GET" | "HEAD", "/livez") => Answer { status: 200, body: b"ok\n".to_vec() },
            _ => Answer { status: 404, body: b"there are /metrics and /livez\n".to_vec() },
        })
    }
}
