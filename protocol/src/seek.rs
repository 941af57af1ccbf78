//! Answers to queries: of the books as they are, and of records that somebody reads.
//!
//! In: a query, the state, a way to read the record of an LSN. Out: one page, of a bounded size and in an order that depends on
//! nothing but the books: the oldest first, a history the latest first. Never here: who may ask (see
//! [`rights`](crate::rights)), how records are read, when somebody may look at the state.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use cage_engine::state::{Exposure, Hold, Round};
use cage_engine::{
    AccountId, Amount, AssetId, GameId, Lsn, OperationKind, PlayerId, RECORD_BYTES, Record, Reference,
    RequestId, State,
};

use crate::query::{Query, QueryKind, Row};
use crate::shown::is_wanted;
use crate::{FeedEndCode, Filter};

/// A record's bytes.
pub type Bytes = [u8; RECORD_BYTES];
/// How the record of an LSN is read; or why it cannot be, in words.
pub type Read<'a> = &'a mut dyn FnMut(Lsn) -> Result<Bytes, String>;
/// Why there is no answer.
pub type Refusal = (FeedEndCode, String);

/// A page of an answer.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows of a list.
    pub rows: Vec<Row>,
    /// Records, each with its LSN.
    pub records: Vec<(Lsn, Bytes)>,
    /// There is more.
    pub more: bool,
    /// Where the next page begins.
    pub cursor: u64,
    /// The latest record that was seen.
    pub as_of: Lsn,
}

/// What is answered to a history of nobody.
#[must_use]
pub fn nobody_named() -> Refusal {
    (FeedEndCode::Malformed, "a history is of one player: name it".to_owned())
}

/// Where the records stand that a look-up asks for, as far as that is remembered.
#[must_use]
pub fn places(state: &State, query: &Query) -> [Option<Lsn>; 2] {
    match query.kind {
        QueryKind::Transaction => [state.record_of_transaction(Reference(query.id)), None],
        _ => state.records_of(RequestId(query.id)),
    }
}

/// The records at these places, each with its continuations behind it, as far as the filter shows them.
///
/// # Errors
/// One cannot be read.
pub fn look_up(
    read: Read<'_>,
    places: [Option<Lsn>; 2],
    filter: &Filter,
) -> Result<Vec<(Lsn, Bytes)>, String> {
    let mut records = Vec::new();
    for lsn in places.into_iter().flatten() {
        let (head, bytes) = record(read, lsn)?;
        if is_wanted(&head, filter) {
            records.extend(whole(read, lsn, &head, bytes)?.into_iter().rev());
        }
    }
    Ok(records)
}

/// A page of a player's records, followed backwards from the latest one: each names the one before it.
///
/// # Errors
/// One cannot be read, or the cursor is none of this player's records.
pub fn history(
    read: Read<'_>,
    player: PlayerId,
    latest: Lsn,
    query: &Query,
    filter: &Filter,
) -> Result<Page, String> {
    let mut page = Page::default();
    let mut at = if query.cursor == 0 { latest } else { Lsn(query.cursor).min(latest) };
    for _ in 0..query.limit {
        if at == Lsn::NONE {
            break;
        }
        let (head, bytes) = record(read, at)?;
        let before = before(&head, player)
            .ok_or_else(|| format!("record {at} is none of player {player}: begin the history anew"))?;
        if is_wanted(&head, filter) {
            page.records.extend(whole(read, at, &head, bytes)?);
        }
        at = before;
    }
    (page.cursor, page.more) = (at.0, at != Lsn::NONE);
    Ok(page)
}

/// The player's record before this one.
fn before(record: &Record, player: PlayerId) -> Option<Lsn> {
    let request = &record.request;
    if request.kind == OperationKind::Continue {
        None
    } else if request.player == player {
        Some(record.previous)
    } else if request.kind.spec().counterparty && request.counterparty() == player {
        Some(record.counterparty_previous())
    } else {
        None
    }
}

fn record(read: Read<'_>, lsn: Lsn) -> Result<(Record, Bytes), String> {
    let bytes = read(lsn)?;
    let record =
        Record::from_bytes(&bytes).map_err(|fault| format!("record {lsn} has no valid {}", fault.0))?;
    Ok((record, bytes))
}

/// A record and its continuations; the last one first.
fn whole(read: Read<'_>, lsn: Lsn, head: &Record, bytes: Bytes) -> Result<Vec<(Lsn, Bytes)>, String> {
    let (mut records, mut linked, mut next) = (vec![(lsn, bytes)], head.linked, lsn);
    while linked {
        next = Lsn(next.0 + 1);
        let (further, bytes) = record(read, next)?;
        if further.request.kind != OperationKind::Continue {
            break;
        }
        records.push((next, bytes));
        linked = further.linked;
    }
    records.reverse();
    Ok(records)
}

/// One open round, if it is open and the query's.
#[must_use]
pub fn round(state: &State, query: &Query) -> Option<Row> {
    state.round(Reference(query.id)).map(round_row).filter(|row| concerns(row, query))
}

/// A list under way: its first rows after the cursor, found in one pass over its table, piece by piece.
#[derive(Debug)]
pub struct List {
    query: Query,
    /// The next place to look at; of receivables, the account.
    from: u64,
    best: BTreeMap<u64, Row>,
}

impl List {
    /// One that has looked at nothing yet.
    #[must_use]
    pub const fn new(query: Query) -> Self {
        let from =
            if matches!(query.kind, QueryKind::Receivables) { query.cursor.saturating_add(1) } else { 0 };
        Self { query, from, best: BTreeMap::new() }
    }

    /// Looks at the next so many places. Says whether there is nothing more to look at.
    pub fn look(&mut self, state: &State, most: usize) -> bool {
        let from = self.from as usize;
        let places = from..from + most;
        let end = match self.query.kind {
            QueryKind::OpenHolds => {
                state.holds_at(places).map(hold_row).for_each(|row| self.keep(row));
                state.hold_places()
            }
            QueryKind::OpenRounds => {
                state.rounds_at(places).map(round_row).for_each(|row| self.keep(row));
                state.round_places()
            }
            QueryKind::Exposures => {
                state.exposures_at(places).map(exposure_row).for_each(|row| self.keep(row));
                state.exposure_places()
            }
            _ => return self.look_at_receivables(state, most),
        };
        self.from += most as u64;
        self.from as usize >= end
    }

    /// They lie in the order in which they are told: it ends with the page. Of one player there is one in each asset.
    fn look_at_receivables(&mut self, state: &State, most: usize) -> bool {
        if let Some(player) = self.query.player {
            for (asset, owed) in state.owed_by(player) {
                self.keep(receivable_row(AccountId::receivable(asset, player), owed));
            }
            return true;
        }
        let mut looked = 0;
        for (account, held) in state.receivables_from(AccountId(self.from)).take(most) {
            looked += 1;
            self.from = account.0 + 1;
            // Who paid everything back owes nothing.
            if held.0 < 0 {
                self.keep(receivable_row(account, Amount(held.0.unsigned_abs())));
            }
            if self.best.len() > usize::from(self.query.limit) {
                return true;
            }
        }
        looked < most
    }

    fn keep(&mut self, row: Row) {
        if row.place <= self.query.cursor || !concerns(&row, &self.query) {
            return;
        }
        self.best.insert(row.place, row);
        // One more than is told says that there is more.
        if self.best.len() > usize::from(self.query.limit) + 1 {
            self.best.pop_last();
        }
    }

    /// The page; its rows do not say yet when they were opened.
    #[must_use]
    pub fn into_page(self, as_of: Lsn) -> Page {
        let Self { query, best, .. } = self;
        let mut rows: Vec<Row> = best.into_values().collect();
        let more = rows.len() > usize::from(query.limit);
        rows.truncate(usize::from(query.limit));
        let cursor = rows.last().map_or(query.cursor, |row| row.place);
        Page { rows, more, cursor, as_of, ..Page::default() }
    }
}

/// Whether the rows of a list say when they were opened.
#[must_use]
pub const fn is_timed(kind: QueryKind) -> bool {
    matches!(kind, QueryKind::OpenHolds | QueryKind::OpenRounds | QueryKind::Round)
}

/// Writes into rows when the records that opened them were decided.
///
/// # Errors
/// One cannot be read.
pub fn put_times(read: Read<'_>, rows: &mut [Row]) -> Result<(), String> {
    for row in rows {
        row.opened_at = record(read, Lsn(row.place))?.0.decided.0;
    }
    Ok(())
}

fn concerns(row: &Row, query: &Query) -> bool {
    query.player.is_none_or(|player| row.player == player.number())
        && query.provider.is_none_or(|provider| GameId(row.game).provider() == provider)
        && (query.asset == AssetId::NONE || row.asset == query.asset.0)
}

fn hold_row(hold: &Hold) -> Row {
    Row {
        place: hold.opened.0,
        player: hold.player.number(),
        key: hold.id.0,
        asset: hold.asset.0,
        game: hold.game.0,
        session: hold.session.0,
        until: hold.deadline.map_or(0, |deadline| deadline.0),
        amount: hold.remaining.0,
        payout: hold.payout_left.0,
        round: hold.round.0,
        ..Row::default()
    }
}

fn round_row(round: &Round) -> Row {
    Row {
        place: round.opened.0,
        player: round.player.number(),
        key: round.key.0,
        asset: round.asset.0,
        game: round.game.0,
        open_holds: round.open_holds,
        until: round.closes.0,
        amount: round.stake.0,
        payout: round.won.0,
        ..Row::default()
    }
}

/// Ordered by game, then asset. A number more, so that none is 0.
fn exposure_row(exposure: &Exposure) -> Row {
    let (game, asset) = (exposure.game.0, exposure.asset.0);
    let place = (u64::from(game) << 16 | u64::from(asset)) + 1;
    Row { place, game, asset, amount: exposure.open.0, ..Row::default() }
}

/// Ordered by asset, then player: as their accounts are numbered.
fn receivable_row(account: AccountId, owed: Amount) -> Row {
    Row {
        place: account.0,
        player: account.owner(),
        asset: account.asset().0,
        amount: owed.0,
        ..Row::default()
    }
}
