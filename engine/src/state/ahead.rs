//! Memory asked for ahead of its use, so that the processor waits for many places at once and not for each.
//!
//! In: requests that are about to be decided; a place in a list. Out: nothing; the memory is on its way into the cache.
//! Never here: anything that a decision could see. Without the feature `prefetch` nothing happens at all.

use super::State;
use crate::id::CallerId;
use crate::operation::OperationKind;
use crate::request::Request;
use crate::table::{IdRule, Refers};

impl State {
    /// Asks for the memory that deciding these requests reads, all of it at once, so that the processor waits for it once
    /// and not for each. Changes nothing; worth it for some 16 requests at a time.
    pub fn touch<'a>(&self, requests: impl IntoIterator<Item = &'a Request> + Clone) {
        for (ahead, request) in (0..).zip(requests.clone()) {
            self.fetch_indexes(ahead, request);
        }
        for request in requests {
            if request.reference != 0 && request.kind != OperationKind::OpenPlayer {
                self.rows.holds.fetch_row(request.target().0);
            }
            self.players.fetch_further(request.player, request.asset);
            if request.kind.spec().counterparty {
                self.players.fetch_further(request.counterparty(), request.asset);
            }
        }
    }

    fn fetch_indexes(&self, ahead: u64, request: &Request) {
        let Some(ids) = &self.ids else { return };
        ids.fetch(request.id);
        ids.fetch_oldest(ahead);
        self.players.fetch(request.player, request.asset);
        let spec = request.kind.spec();
        if spec.counterparty {
            self.players.fetch(request.counterparty(), request.asset);
        }
        match (spec.id, spec.refers) {
            (IdRule::Permanent, _) => {
                self.keys.fetch(request.id);
                self.rows.deposits.fetch(request.id.0);
            }
            (IdRule::Reference, _) | (_, Refers::NewBet) => self.rows.wagers.fetch(request.reference),
            _ => {}
        }
        if request.kind == OperationKind::OpenPlayer {
            self.players.fetch_caller(CallerId(request.reference));
        } else if request.reference != 0 {
            let target = request.target();
            ids.fetch(target);
            self.rows.holds.fetch(target.0);
        }
    }
}

/// Asks for the cache line in which `list[at]` begins. Any `at` is allowed.
#[cfg(feature = "prefetch")]
#[inline]
pub(super) fn fetch<T>(list: &[T], at: usize) {
    prefetch_index::prefetch_index(list, at);
}

#[cfg(not(feature = "prefetch"))]
pub(super) const fn fetch<T>(_: &[T], _: usize) {}
