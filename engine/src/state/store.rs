//! All tables together, and every way in which they change.
//!
//! In: a row, a balance, a fact. Out: the changed state; while a group is tried, also the way back. Everything that
//! changes the books goes through here, so that nothing of a group that is refused stays. Never here: a rule.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::ids::{
    self, Ended, Entry, Remembered, Space, answered_entry, ending_entry, entry_id, entry_space,
};
use super::image::{self, ImageFault};
use super::rows::{
    Address, Adjustment, ChainCounter, ClosedEnds, ClosedWager, Corrections, Deposit, DisabledGame, Exposure,
    Freeround, Granted, Hold, Limits, Locked, LongDay, Playing, Pool, Proposal, Rate, Round, RoundTally,
    RuleRow, Session, Token, Turnover, VoidOrder, Wager, Withdrawal, player_asset,
};
use super::table::{Row, Sort, Table};
use super::{Gates, Hasher, State};
use crate::account::{AccountId, Purse};
use crate::amount::Balance;
use crate::apply::ApplyFault;
use crate::field::Status;
use crate::id::{AssetId, Lsn, PlayerId, RequestId};
use crate::time::Timestamp;

/// A row that has a table.
pub(crate) trait Stored: Row {
    fn table(rows: &Rows) -> &Table<Self>;
    fn table_mut(rows: &mut Rows) -> &mut Table<Self>;
    fn undo(key: u128, before: Option<Self>) -> Undo;
}

macro_rules! tables {
    ($($field:ident: $row:ident,)+) => {
        /// The tables.
        #[derive(Debug)]
        pub(crate) struct Rows {
            $(pub(crate) $field: Table<$row>,)+
            /// What the ledger has to do by itself, and when.
            pub(crate) due: BTreeSet<(Timestamp, Sort, u128)>,
        }

        impl Rows {
            pub(crate) const fn new(seed: u64) -> Self {
                Self { $($field: Table::new(seed),)+ due: BTreeSet::new() }
            }

            pub(crate) fn digest(&self, hasher: &mut Hasher) {
                $(self.$field.digest(hasher);)+
            }

            /// Names and types of all that an image holds of the tables.
            pub(crate) const LAYOUT: &'static [&'static str] = &[$($row::LAYOUT,)+];

            pub(crate) fn put_all<F, E>(&self, image: &mut image::Output<F>) -> Result<(), E>
            where
                F: FnMut(&[u8]) -> Result<(), E>,
            {
                $(image.table(&self.$field)?;)+
                Ok(())
            }

            /// Everything that lies in the rows is due again; what follows from balances is not.
            pub(crate) fn get_all(image: &mut image::Input<'_>, seed: u64) -> Result<Self, ImageFault> {
                let mut rows = Self { $($field: image.table(seed)?,)+ due: BTreeSet::new() };
                let mut due = Vec::new();
                $(due.extend(rows.$field.iter().filter_map(|row| {
                    row.due().map(|(at, sort)| (at, sort, row.key()))
                }));)+
                rows.due = due.into_iter().collect();
                Ok(rows)
            }
        }

        $(impl Stored for $row {
            fn table(rows: &Rows) -> &Table<Self> {
                &rows.$field
            }

            fn table_mut(rows: &mut Rows) -> &mut Table<Self> {
                &mut rows.$field
            }

            fn undo(key: u128, before: Option<Self>) -> Undo {
                Undo::$row(key, before)
            }
        })+

        /// How to take one change back.
        #[derive(Debug)]
        #[expect(clippy::large_enum_variant, reason = "a group's few dozen changes live for microseconds")]
        pub(crate) enum Undo {
            $($row(u128, Option<$row>),)+
            Balance(AccountId, Balance),
            Latest(PlayerId, Lsn),
            Gates(PlayerId, Gates),
            Status(PlayerId, Status, u16),
            KycHold(PlayerId, bool, u16),
            Next(Lsn, Timestamp),
        }

        impl State {
            fn take_back_one(&mut self, undo: Undo) {
                match undo {
                    $(Undo::$row(key, before) => self.put_back(key, before),)+
                    Undo::Balance(account, held) => self.put_balance(account, held),
                    Undo::Latest(player, lsn) => self.players.set_latest(player, lsn),
                    Undo::Gates(player, gates) => {
                        if let Some(now) = self.players.gates_mut(player) {
                            *now = gates;
                        }
                    }
                    Undo::Status(player, status, reason) => {
                        let _ = self.players.set_status(player, status, reason);
                    }
                    Undo::KycHold(player, held, reason) => {
                        let _ = self.players.set_kyc_hold(player, held, reason);
                    }
                    Undo::Next(lsn, clock) => (self.next_lsn, self.clock) = (lsn, clock),
                }
            }
        }
    };
}

tables! {
    holds: Hold,
    wagers: Wager,
    closed: ClosedWager,
    closed_ends: ClosedEnds,
    rounds: Round,
    playing: Playing,
    tallies: RoundTally,
    sessions: Session,
    tokens: Token,
    limits: Limits,
    turnover: Turnover,
    locked: Locked,
    deposits: Deposit,
    withdrawals: Withdrawal,
    adjustments: Adjustment,
    freerounds: Freeround,
    void_orders: VoidOrder,
    pools: Pool,
    exposures: Exposure,
    rules: RuleRow,
    corrections: Corrections,
    long_days: LongDay,
    rates: Rate,
    proposals: Proposal,
    grants: Granted,
    disabled: DisabledGame,
    addresses: Address,
    chains: ChainCounter,
}

fn as_expected(account: AccountId, expected: Option<Balance>, recorded: Balance) -> Result<(), ApplyFault> {
    let expected = expected.ok_or(ApplyFault::Missing("a sum"))?;
    if expected == recorded {
        Ok(())
    } else {
        Err(ApplyFault::BalanceDiffers { account, expected, recorded })
    }
}

/// What was changed while a group is tried.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    undo: Vec<Undo>,
    /// Facts that are remembered for the time being; the ring forgets nothing for a mere trial.
    facts: Vec<Entry>,
    /// Permanent keys likewise.
    keys: Vec<(RequestId, Remembered)>,
}

impl State {
    pub(crate) fn row<R: Stored>(&self, key: u128) -> Option<&R> {
        R::table(&self.rows).get(key)
    }

    /// Adds a row under a key that is free.
    pub(crate) fn insert<R: Stored>(&mut self, row: R) {
        let key = row.key();
        self.note(|| R::undo(key, None));
        if let Some((at, sort)) = row.due() {
            self.rows.due.insert((at, sort, key));
        }
        R::table_mut(&mut self.rows).insert(row);
    }

    pub(crate) fn remove<R: Stored>(&mut self, key: u128) -> Option<R> {
        let row = R::table_mut(&mut self.rows).remove(key)?;
        self.note(|| R::undo(key, Some(row)));
        if let Some((at, sort)) = row.due() {
            self.rows.due.remove(&(at, sort, key));
        }
        Some(row)
    }

    /// Changes a row in its place; `None` if it is not there.
    pub(crate) fn update<R: Stored>(&mut self, key: u128, change: impl FnOnce(&mut R)) -> Option<R> {
        let row = R::table_mut(&mut self.rows).get_mut(key)?;
        let before = *row;
        change(row);
        let after = *row;
        debug_assert!(after.key() == key, "a row keeps its key");
        if before.due() != after.due() {
            if let Some((at, sort)) = before.due() {
                self.rows.due.remove(&(at, sort, key));
            }
            if let Some((at, sort)) = after.due() {
                self.rows.due.insert((at, sort, key));
            }
        }
        self.note(|| R::undo(key, Some(before)));
        Some(after)
    }

    fn put_back<R: Stored>(&mut self, key: u128, before: Option<R>) {
        match before {
            None => {
                let _ = self.remove::<R>(key);
            }
            Some(row) => {
                if self.update(key, |now: &mut R| *now = row).is_none() {
                    self.insert(row);
                }
            }
        }
    }

    /// Sets a balance to what the record says, if that is what it must be, and all that follows from it: the totals,
    /// and whether there is something to collect.
    pub(crate) fn post(
        &mut self,
        account: AccountId,
        recorded: Balance,
        expected: impl FnOnce(Balance) -> Option<Balance>,
    ) -> Result<(), ApplyFault> {
        let before = match account.player() {
            Some(player) => {
                let (held, owes) = self
                    .players
                    .purse_mut(player, account.asset(), account.purse_number())
                    .ok_or(ApplyFault::Missing("a player's purse"))?;
                let before = Balance(*held as i128);
                as_expected(account, expected(before), recorded)?;
                *held = u128::try_from(recorded.0).map_err(|_| ApplyFault::Missing("a player's purse"))?;
                self.collect_if(owes, player, account);
                before
            }
            None => {
                account.purse().ok_or(ApplyFault::Missing("a purse"))?;
                let held = self.house.balance_mut(account);
                let before = *held;
                as_expected(account, expected(before), recorded)?;
                *held = recorded;
                if account.is_of(Purse::Receivable) {
                    self.set_owes(account, recorded);
                }
                before
            }
        };
        self.note(|| Undo::Balance(account, before));
        let total = self.total_mut(account).ok_or(ApplyFault::Missing("an asset"))?;
        // A balance may rise from the least to the greatest that can be counted; a total bounds what it may become.
        let change = recorded.0.wrapping_sub(before.0);
        let after = if account.is_players() {
            total.0.checked_add(change).ok_or(ApplyFault::Missing("a total"))?
        } else {
            // The mirror of the players' total; between the two sides of a movement it may pass the bound.
            total.0.wrapping_add(change)
        };
        total.0 = after;
        Ok(())
    }

    /// Sets a balance back to what it was before a trial.
    fn put_balance(&mut self, account: AccountId, held: Balance) {
        let change = held.0.wrapping_sub(self.balance(account).0);
        if let Some(player) = account.player() {
            if let Some((purse, owes)) =
                self.players.purse_mut(player, account.asset(), account.purse_number())
            {
                *purse = held.0 as u128;
                self.collect_if(owes, player, account);
            }
        } else {
            *self.house.balance_mut(account) = held;
            if account.is_of(Purse::Receivable) {
                self.set_owes(account, held);
            }
        }
        if let Some(total) = self.total_mut(account) {
            // While a movement is half taken back, the sum may pass what its bound is.
            total.0 = total.0.wrapping_add(change);
        }
    }

    fn total_mut(&mut self, account: AccountId) -> Option<&mut Balance> {
        let asset = self.assets.get_mut(usize::from(account.asset().0).checked_sub(1)?)?;
        Some(if account.is_players() { &mut asset.players_total } else { &mut asset.house_total })
    }

    /// A player owes what the receivable is below zero.
    fn set_owes(&mut self, receivable: AccountId, held: Balance) {
        let debtor = PlayerId::trusted(receivable.owner());
        self.players.set_owes(debtor, receivable.asset(), held < Balance::ZERO);
        self.set_collectable(debtor, receivable.asset());
    }

    fn collect_if(&mut self, owes: bool, player: PlayerId, account: AccountId) {
        if owes && account.is_of(Purse::Available) {
            self.set_collectable(player, account.asset());
        }
    }

    /// Who owes something and has something is collected from at once.
    pub(super) fn set_collectable(&mut self, player: PlayerId, asset: AssetId) {
        let available = self.players.balance(player, asset, Purse::Available);
        let entry = (Timestamp(0), Sort::Collect, player_asset(player, asset));
        if self.players.owes(player, asset) && available > Balance::ZERO {
            self.rows.due.insert(entry);
        } else {
            self.rows.due.remove(&entry);
        }
    }

    pub(crate) fn set_latest(&mut self, player: PlayerId, lsn: Lsn) {
        if self.scratch.is_some() {
            let before = self.players.latest(player);
            self.note(|| Undo::Latest(player, before));
        }
        self.players.set_latest(player, lsn);
    }

    pub(crate) fn set_gates(&mut self, player: PlayerId, change: impl FnOnce(&mut Gates)) {
        let Some(gates) = self.players.gates_mut(player) else { return };
        let before = *gates;
        change(gates);
        self.note(|| Undo::Gates(player, before));
    }

    pub(crate) fn set_status(&mut self, player: PlayerId, status: Status, reason: u16) -> Option<()> {
        let before = *self.players.get(player)?;
        self.note(|| Undo::Status(player, before.status, before.reason));
        self.players.set_status(player, status, reason)
    }

    pub(crate) fn set_kyc_hold(&mut self, player: PlayerId, held: bool, reason: u16) -> Option<()> {
        let before = *self.players.get(player)?;
        self.note(|| Undo::KycHold(player, before.kyc_held, before.kyc_reason));
        self.players.set_kyc_hold(player, held, reason)
    }

    /// The state is now that after the record at `lsn`.
    pub(crate) fn advance(&mut self, lsn: Lsn, clock: Timestamp) {
        let before = (self.next_lsn, self.clock);
        self.note(|| Undo::Next(before.0, before.1));
        (self.next_lsn, self.clock) = (lsn.next(), clock);
    }

    fn note(&mut self, undo: impl FnOnce() -> Undo) {
        if let Some(scratch) = &mut self.scratch {
            scratch.undo.push(undo());
        }
    }

    /// From now on all changes are a trial.
    pub(crate) fn begin_trial(&mut self) {
        debug_assert!(self.scratch.is_none(), "one trial at a time");
        self.scratch = Some(Scratch::default());
    }

    /// Takes the trial back.
    pub(crate) fn end_trial(&mut self) {
        let Some(scratch) = self.scratch.take() else { return };
        for undo in scratch.undo.into_iter().rev() {
            self.take_back_one(undo);
        }
    }

    /// Remembers how a request was answered.
    pub(crate) fn remember_answer(
        &mut self,
        id: RequestId,
        space: Space,
        digest: u64,
        lsn: Lsn,
        now: Timestamp,
    ) {
        self.push(answered_entry(id, space, digest, lsn), now);
    }

    /// Remembers how something ended.
    pub(crate) fn remember_ending(&mut self, key: RequestId, space: Space, ended: Ended, now: Timestamp) {
        self.push(ending_entry(key, space, &ended), now);
    }

    fn push(&mut self, entry: Entry, now: Timestamp) {
        if let Some(scratch) = &mut self.scratch {
            scratch.facts.push(entry);
        } else if let Some(ids) = &mut self.ids {
            ids.push(entry, now);
        }
    }

    pub(crate) fn remember_key(&mut self, key: RequestId, digest: u64, lsn: Lsn) {
        match &mut self.scratch {
            Some(scratch) => scratch.keys.push((key, Remembered { digest, lsn })),
            None => self.keys.remember(key, digest, lsn),
        }
    }

    /// How many facts a trial would leave behind.
    pub(crate) fn facts_tried(&self) -> u64 {
        self.scratch.as_ref().map_or(0, |scratch| scratch.facts.len() as u64)
    }

    /// Makes what is remembered ready to be looked up, in a state that is only applied to.
    pub(crate) fn catch_up(&mut self) {
        if let Some(ids) = &mut self.ids {
            ids.catch_up();
        }
    }

    fn fact(&self, id: RequestId, space: Space) -> Option<&Entry> {
        let tried = self.scratch.as_ref().and_then(|scratch| {
            let is_it = |entry: &&Entry| entry_id(entry) == id && entry_space(entry) == space as u64;
            scratch.facts.iter().rev().find(is_it)
        });
        tried.or_else(|| self.ids.as_ref()?.find(id, space))
    }

    /// How a request or a provider's transaction was answered, if that is remembered.
    pub(crate) fn remembered(&self, id: RequestId, space: Space) -> Option<Remembered> {
        self.fact(id, space).map(ids::remembered)
    }

    /// How something ended, if that is remembered.
    pub(crate) fn ended(&self, key: RequestId, space: Space) -> Option<Ended> {
        self.fact(key, space).map(ids::ended)
    }

    /// How an operation with a permanent key was answered.
    pub(crate) fn key(&self, key: RequestId) -> Option<Remembered> {
        let tried = self.scratch.as_ref().and_then(|scratch| {
            scratch.keys.iter().find(|(kept, _)| *kept == key).map(|(_, remembered)| *remembered)
        });
        tried.or_else(|| self.keys.find(key))
    }
}
