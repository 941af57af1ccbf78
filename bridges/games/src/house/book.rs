//! What the house's games remember: seeds, the next nonce, and every bet with its outcome.
//!
//! In: a bet. Out: its outcome, decided once and durable before anybody is told. Never here: an outcome without a nonce of
//! its own, a seed in a message while it is in use.

use std::ops::Bound;
use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::fair::{chance, commitment};
use super::game::Mode;
use crate::inbound::now;
use crate::signature::hex;

/// By session: the seeds in use, as JSON.
const SEEDS: TableDefinition<'_, &str, &str> = TableDefinition::new("seeds");
/// By bet id: the bet, as JSON. Cancelled ones, too, also those that never came.
const BETS: TableDefinition<'_, &str, &str> = TableDefinition::new("bets");
/// The number of the next round.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const ROUND: &str = "round";

const FILE: &str = "house.redb";

/// Why the book cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the book of the house's games: {0}")]
pub struct BookError(String);

impl BookError {
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The seeds of a session.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Seeds {
    pub(super) server_seed: String,
    pub(super) client_seed: String,
    /// The next bet's.
    pub(super) nonce: u64,
}

impl std::fmt::Debug for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seeds").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

/// A bet, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Bet {
    pub(super) session: String,
    pub(super) amount: u64,
    pub(super) currency: String,
    pub(super) mode: String,
}

/// A bet and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Entry {
    /// Nothing of one that was cancelled before it came.
    pub(super) bet: Option<Bet>,
    pub(super) round: u64,
    pub(super) state: State,
    pub(super) payout: u64,
    pub(super) result: u32,
    pub(super) nonce: u64,
    pub(super) server_seed_hash: String,
    pub(super) client_seed: String,
    /// When it came, in milliseconds since 1970.
    #[serde(default)]
    pub(super) at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum State {
    /// Decided, not paid.
    Active,
    /// The casino has said that it paid.
    Ended,
    /// Void.
    Cancelled,
}

/// What became of a request to place a bet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Now or before.
    Decided(Box<Entry>),
    /// The id was used for another bet.
    Differs,
    /// It was cancelled before.
    Cancelled,
    /// No bet of this kind.
    Unfit,
}

#[derive(Debug)]
pub(super) struct Book {
    base: Database,
    random: SystemRandom,
}

fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, BookError> {
    serde_json::from_str(text).map_err(BookError::of)
}

fn write<T: Serialize>(value: &T) -> Result<String, BookError> {
    serde_json::to_string(value).map_err(BookError::of)
}

impl Book {
    pub(super) fn open(dir: &Path) -> Result<Self, BookError> {
        std::fs::create_dir_all(dir).map_err(BookError::of)?;
        let base = Database::create(dir.join(FILE)).map_err(BookError::of)?;
        let change = base.begin_write().map_err(BookError::of)?;
        change.open_table(SEEDS).map_err(BookError::of)?;
        change.open_table(BETS).map_err(BookError::of)?;
        change.open_table(NUMBERS).map_err(BookError::of)?;
        change.commit().map_err(BookError::of)?;
        Ok(Self { base, random: SystemRandom::new() })
    }

    fn fresh(&self, client_seed: &str) -> Result<Seeds, BookError> {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes).map_err(|_| BookError("no randomness".to_owned()))?;
        Ok(Seeds { server_seed: hex(&bytes), client_seed: client_seed.to_owned(), nonce: 0 })
    }

    /// Changes the book durably.
    fn change<T>(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let transaction = self.base.begin_write().map_err(BookError::of)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(BookError::of)?;
        Ok(value)
    }

    /// The seeds of a session, made if it has none.
    pub(super) fn seeds(&self, session: &str) -> Result<Seeds, BookError> {
        self.change(|change| {
            let mut table = change.open_table(SEEDS).map_err(BookError::of)?;
            let known = table.get(session).map_err(BookError::of)?.map(|text| text.value().to_owned());
            if let Some(text) = known {
                return read(&text);
            }
            let seeds = self.fresh(session)?;
            table.insert(session, write(&seeds)?.as_str()).map_err(BookError::of)?;
            Ok(seeds)
        })
    }

    /// New seeds for a session; gives the old ones, which are used no more.
    pub(super) fn rotate(&self, session: &str, client_seed: &str) -> Result<(Seeds, Seeds), BookError> {
        let old = self.seeds(session)?;
        let new = self.fresh(client_seed)?;
        self.change(|change| {
            let mut table = change.open_table(SEEDS).map_err(BookError::of)?;
            table.insert(session, write(&new)?.as_str()).map_err(BookError::of)?;
            Ok(())
        })?;
        Ok((old, new))
    }

    /// Places a bet, once.
    pub(super) fn place(&self, id: &str, bet: &Bet) -> Result<Placed, BookError> {
        let Some(mode) = Mode::read(&bet.mode) else { return Ok(Placed::Unfit) };
        if let Some(known) = self.bet(id)? {
            return Ok(match known {
                Entry { state: State::Cancelled, .. } => Placed::Cancelled,
                Entry { bet: Some(ref first), .. } if first == bet => Placed::Decided(Box::new(known)),
                _ => Placed::Differs,
            });
        }
        let seeds = self.seeds(&bet.session)?;
        let Seeds { server_seed, client_seed, nonce } = seeds;
        let rolled = mode.roll(u128::from(bet.amount), chance(&server_seed, &client_seed, nonce));
        let Ok(payout) = u64::try_from(rolled.payout) else { return Ok(Placed::Unfit) };
        self.change(|change| {
            let mut numbers = change.open_table(NUMBERS).map_err(BookError::of)?;
            let round = numbers.get(ROUND).map_err(BookError::of)?.map_or(1, |number| number.value());
            numbers.insert(ROUND, round + 1).map_err(BookError::of)?;
            let entry = Entry {
                bet: Some(bet.clone()),
                round,
                state: State::Active,
                payout,
                result: rolled.result,
                nonce,
                server_seed_hash: commitment(&server_seed),
                client_seed: client_seed.clone(),
                at_ms: now().millis(),
            };
            let next = Seeds { server_seed, client_seed, nonce: nonce + 1 };
            let mut seeds = change.open_table(SEEDS).map_err(BookError::of)?;
            seeds.insert(bet.session.as_str(), write(&next)?.as_str()).map_err(BookError::of)?;
            let mut bets = change.open_table(BETS).map_err(BookError::of)?;
            bets.insert(id, write(&entry)?.as_str()).map_err(BookError::of)?;
            Ok(Placed::Decided(Box::new(entry)))
        })
    }

    /// A bet, if it is known.
    pub(super) fn bet(&self, id: &str) -> Result<Option<Entry>, BookError> {
        let view = self.base.begin_read().map_err(BookError::of)?;
        let table = view.open_table(BETS).map_err(BookError::of)?;
        let found = table.get(id).map_err(BookError::of)?;
        found.map(|text| read(text.value())).transpose()
    }

    /// All bets, in the order of their ids.
    pub(super) fn bets(&self) -> Result<Vec<(String, Entry)>, BookError> {
        let view = self.base.begin_read().map_err(BookError::of)?;
        let table = view.open_table(BETS).map_err(BookError::of)?;
        let mut found = Vec::new();
        for entry in table.iter().map_err(BookError::of)? {
            let (id, text) = entry.map_err(BookError::of)?;
            found.push((id.value().to_owned(), read(text.value())?));
        }
        Ok(found)
    }

    /// Up to `most` bets that came in a period, in the order of their ids, behind the one of this id; and whether there are more.
    pub(super) fn list(
        &self,
        period: &std::ops::Range<u64>,
        after: &str,
        most: usize,
    ) -> Result<(Vec<(String, Entry)>, bool), BookError> {
        let view = self.base.begin_read().map_err(BookError::of)?;
        let table = view.open_table(BETS).map_err(BookError::of)?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let mut found = Vec::new();
        for entry in table.range::<&str>(behind).map_err(BookError::of)? {
            let (id, text) = entry.map_err(BookError::of)?;
            let bet: Entry = read(text.value())?;
            if !period.contains(&bet.at_ms) {
                continue;
            }
            if found.len() == most {
                return Ok((found, true));
            }
            found.push((id.value().to_owned(), bet));
        }
        Ok((found, false))
    }

    /// Says of a bet that it was paid, or that it is void; gives how it stands now. What is not known becomes void, and
    /// stays so if it comes later. What was paid is not voided, and the other way round.
    pub(super) fn finish(&self, id: &str, state: State) -> Result<Option<Entry>, BookError> {
        let known = self.bet(id)?;
        let entry = match (known, state) {
            (Some(entry), _) if entry.state != State::Active => return Ok(Some(entry)),
            (Some(entry), state) => Entry { state, ..entry },
            (None, State::Cancelled) => Entry {
                bet: None,
                round: 0,
                state,
                payout: 0,
                result: 0,
                nonce: 0,
                server_seed_hash: String::new(),
                client_seed: String::new(),
                at_ms: now().millis(),
            },
            (None, _) => return Ok(None),
        };
        self.change(|change| {
            let mut bets = change.open_table(BETS).map_err(BookError::of)?;
            bets.insert(id, write(&entry)?.as_str()).map_err(BookError::of)?;
            Ok(())
        })?;
        Ok(Some(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bet(amount: u64) -> Bet {
        let (session, currency, mode) = ("s".to_owned(), "EUR".to_owned(), "dice-under-5000".to_owned());
        Bet { session, amount, currency, mode }
    }

    #[test]
    fn a_bet_is_decided_once_and_a_nonce_is_used_once_over_restarts() {
        let dir = tempfile::tempdir().expect("a folder");
        let book = Book::open(dir.path()).expect("a book");
        let Placed::Decided(first) = book.place("a", &bet(100)).expect("a bet") else { panic!("decided") };
        drop(book);
        let book = Book::open(dir.path()).expect("a book");
        assert_eq!(book.place("a", &bet(100)).expect("a bet"), Placed::Decided(first.clone()));
        assert_eq!(book.place("a", &bet(101)).expect("a bet"), Placed::Differs);
        let Placed::Decided(second) = book.place("b", &bet(100)).expect("a bet") else { panic!("decided") };
        assert_eq!((first.nonce, second.nonce), (0, 1));
        // What is revealed proves what was decided.
        let (old, new) = book.rotate("s", "other").expect("new seeds");
        assert_eq!(commitment(&old.server_seed), first.server_seed_hash);
        let rolled =
            Mode::DiceUnder(5_000).roll(100, chance(&old.server_seed, &first.client_seed, first.nonce));
        assert_eq!((rolled.result, rolled.payout), (first.result, u128::from(first.payout)));
        assert_ne!(old.server_seed, new.server_seed);
    }

    #[test]
    fn what_was_cancelled_stays_so_whether_it_had_come_or_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let book = Book::open(dir.path()).expect("a book");
        book.place("a", &bet(100)).expect("a bet");
        assert_eq!(
            book.finish("a", State::Cancelled).expect("a bet").map(|bet| bet.state),
            Some(State::Cancelled)
        );
        assert_eq!(
            book.finish("a", State::Ended).expect("a bet").map(|bet| bet.state),
            Some(State::Cancelled)
        );
        book.finish("never", State::Cancelled).expect("a bet");
        assert_eq!(book.place("never", &bet(100)).expect("a bet"), Placed::Cancelled);
        assert_eq!(book.finish("unknown", State::Ended).expect("no bet"), None);
    }
}
