//! The feed and the queries of a ledger in this process: what is shown, to whom and in which order is the server's own code.
//!
//! In: what a client of the fake follows or asks. Out: records and pages. Never here: a filter, a right or an order of its own, a wait
//! for anything but the next record.

use cage_engine::{Lsn, Record};
use cage_protocol::query::{Query, QueryKind};
use cage_protocol::seek::{self, List, Page, Refusal};
use cage_protocol::{FeedEndCode, Filter, rights};
use tokio::sync::watch;

use super::{Caller, Fake, Ledger};
use crate::feed::{FeedError, FeedEvent, FeedRecord};

/// How many rows are looked at before the ledger is let go, as a server does it.
const LOOK_ROWS: usize = 2_048;

/// A ledger in this process, as one of its clients sees it.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    fake: Fake,
    caller: Caller,
}

/// A subscription to it.
#[derive(Debug)]
pub(crate) struct Followed {
    here: Here,
    grown: watch::Receiver<Lsn>,
    /// The client may follow it, and was told so.
    stands: bool,
    /// The last word of progress.
    progress: Lsn,
}

impl Here {
    pub(super) const fn new(fake: Fake, caller: Caller) -> Self {
        Self { fake, caller }
    }

    pub(crate) fn follow(self) -> Followed {
        let grown = self.fake.lock().grown.subscribe();
        Followed { here: self, grown, stands: false, progress: Lsn::NONE }
    }

    /// Answers a query.
    pub(crate) fn ask(&self, query: &Query) -> Result<Page, Refusal> {
        let filter = rights::of_query(self.caller.role, query)?;
        let ledger = self.fake.lock();
        let allowed = rights::check(&ledger.state, &self.caller.asks(), &filter);
        allowed.map_err(|reason| (FeedEndCode::NotAllowed, reason))?;
        ledger.page(query, &filter).map(|page| Page { as_of: ledger.last(), ..page })
    }
}

impl Ledger {
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.records.len() as u64)
    }

    fn record(&self, lsn: Lsn) -> Option<&Record> {
        self.records.get(lsn.0.checked_sub(1)? as usize)
    }

    fn page(&self, query: &Query, filter: &Filter) -> Result<Page, Refusal> {
        let read = &mut |lsn| {
            self.record(lsn).map(Record::to_bytes).ok_or_else(|| format!("there is no record {lsn}"))
        };
        let unavailable = |reason| (FeedEndCode::Unavailable, reason);
        match query.kind {
            QueryKind::Operation | QueryKind::Transaction => {
                let found = seek::look_up(read, seek::places(&self.state, query), filter);
                Ok(Page { records: found.map_err(unavailable)?, ..Page::default() })
            }
            QueryKind::History => {
                let player = query.player.ok_or_else(seek::nobody_named)?;
                let latest = self.state.latest(player);
                seek::history(read, player, latest, query, filter).map_err(unavailable)
            }
            _ => {
                let mut page = self.listed(query);
                if seek::is_timed(query.kind) {
                    seek::put_times(read, &mut page.rows).map_err(unavailable)?;
                }
                Ok(page)
            }
        }
    }

    fn listed(&self, query: &Query) -> Page {
        if query.kind == QueryKind::Round {
            let rows = seek::round(&self.state, query).into_iter().collect();
            return Page { rows, ..Page::default() };
        }
        let mut list = List::new(*query);
        while !list.look(&self.state, LOOK_ROWS) {}
        list.into_page(self.last())
    }

    /// The next record after a place that a filter shows.
    fn next_after(&self, after: Lsn, filter: &Filter) -> Option<FeedRecord> {
        let from = after.0 as usize;
        let found = self.keys.get(from..)?.iter().position(|key| key.is_wanted_by(filter))?;
        let lsn = Lsn((from + found) as u64 + 1);
        self.record(lsn).map(|record| FeedRecord { lsn, record: *record })
    }
}

impl Followed {
    /// What comes after a place. Nothing is lost if it is dropped.
    pub(crate) async fn next(&mut self, position: Lsn, filter: &Filter) -> Result<FeedEvent, FeedError> {
        loop {
            let seen = *self.grown.borrow_and_update();
            if let Some(event) = self.look(position, filter)? {
                return Ok(event);
            }
            // It lives as long as the ledger does, of which this is a part.
            let _ = self.grown.wait_for(|last| *last > seen).await;
        }
    }

    fn look(&mut self, position: Lsn, filter: &Filter) -> Result<Option<FeedEvent>, FeedError> {
        let ledger = self.here.fake.lock();
        let durable = ledger.last();
        if !self.stands {
            rights::check(&ledger.state, &self.here.caller.asks(), filter)
                .map_err(|reason| FeedError::NotAllowed { reason })?;
            if position > durable {
                let reason = format!("Seen {position}, durable {durable}.");
                return Err(FeedError::Ahead { after: position, reason });
            }
            self.stands = true;
            self.progress = position;
            return Ok(Some(FeedEvent::Progress { position, durable }));
        }
        if let Some(found) = ledger.next_after(position, filter) {
            return Ok(Some(FeedEvent::Record(found)));
        }
        if self.progress == durable {
            return Ok(None);
        }
        self.progress = durable;
        Ok(Some(FeedEvent::Progress { position: durable, durable }))
    }
}
