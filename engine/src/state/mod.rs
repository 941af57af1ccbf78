//! The state of the ledger: everything that decisions depend on. Changed by [`apply`](State::apply) alone.

mod ahead;
mod chunked;
mod digest;
mod house;
mod ids;
mod image;
mod index;
mod keys;
mod list;
mod players;
mod replay;
mod rows;
mod store;
mod switches;
mod table;

use alloc::vec::Vec;

pub(crate) use digest::{Fed, Hasher};
pub(crate) use house::House;
pub(crate) use ids::{Ended, Ids, Remembered, Space, Traces};
pub(crate) use index::fold;
pub(crate) use keys::Keys;
pub(crate) use players::{Gates, Players};
pub(crate) use rows::{
    TRANSACTIONS_KEPT, address_key, chain_key, corrections_key, disabled_key, exposure_key, grant_key,
    locked_key, long_day_key, player_asset, playing_key, rule_key,
};
pub(crate) use store::{Rows, Scratch};
pub(crate) use switches::Switches;
pub(crate) use table::{Row, Sort};

pub use ids::Ending;
pub use image::{Both, Glance, IMAGE_VERSION, ImageFault};
use players::PURSES;
pub use players::Player;
pub use replay::Replay;
pub use rows::{
    Address, Adjustment, ChainCounter, ClosedEnds, ClosedWager, Corrections, Deposit, DisabledGame, Exposure,
    Freeround, Granted, Hold, Limits, Locked, LongDay, Playing, Pool, Proposal, Rate, Round, RoundTally,
    RuleRow, Session, Stage, Token, Turnover, VoidOrder, Wager, Withdrawal,
};

use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::field::{LockReason, Rule};
use crate::id::{AssetId, CallerId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
use crate::limits::{Day, LIMIT_MAX};
use crate::operation::{AssetCode, Operation, Settings};
use crate::role::Role;
use crate::time::Timestamp;

/// The greatest number of assets in one ledger.
pub const ASSETS_MAX: usize = 1024;

/// An asset and the sums over all its accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its short name.
    pub code: AssetCode,
    /// How many decimal places the smallest unit stands behind the usual one.
    pub scale: u8,
    /// Whether players may send it to each other.
    pub transfers: bool,
    /// The most that one operation may name.
    pub amount_max: Amount,
    /// What all players hold together.
    pub players_total: Balance,
    /// What the house holds; with the players' total it is zero.
    pub house_total: Balance,
}

/// A player's money in one asset, purse by purse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// May be staked, sent, withdrawn.
    pub available: Balance,
    /// Open bets.
    pub reserved: Balance,
}

/// When a round is closed and how many sessions there can be when no rule says otherwise.
const ROUND_AGE_MILLIS: u64 = 48 * 3_600 * 1_000;
const SESSIONS_MAX: u64 = 1 << 20;
/// How long a looser limit waits at least: a day (GLI-19 A.3.7).
pub(crate) const RECONSIDER_MILLIS: u64 = 24 * 3_600 * 1_000;

/// What a price counts: billionths of the reference asset's smallest unit.
const PRICE_UNIT: u128 = 1_000_000_000;

/// The place of something in the queue of what the ledger has to do by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    at: Timestamp,
    sort: Sort,
    key: u128,
}

/// The ledger.
#[derive(Debug)]
pub struct State {
    pub(crate) next_lsn: Lsn,
    pub(crate) clock: Timestamp,
    pub(crate) settings: Option<Settings>,
    pub(crate) assets: Vec<Asset>,
    pub(crate) players: Players,
    pub(crate) house: House,
    pub(crate) rows: Rows,
    pub(crate) switches: Switches,
    pub(crate) ids: Option<Ids>,
    pub(crate) keys: Keys,
    pub(crate) last_session: SessionId,
    pub(crate) last_grant: u64,
    /// While a group is tried: how to take it back.
    pub(crate) scratch: Option<Scratch>,
    pub(crate) seed: u64,
}

impl State {
    /// An empty ledger, before its first record. `seed` shuffles the hash tables and changes nothing that can be
    /// seen from outside; a process takes a random one so that callers cannot aim at one bucket.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            next_lsn: Lsn::FIRST,
            clock: Timestamp(0),
            settings: None,
            assets: Vec::new(),
            players: Players::new(seed),
            house: House::new(),
            rows: Rows::new(seed),
            switches: Switches::new(),
            ids: None,
            keys: Keys::new(seed),
            last_session: SessionId::NONE,
            last_grant: 0,
            scratch: None,
            seed,
        }
    }

    /// The position that the next record gets.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The time of the latest record. Decisions are never older.
    #[must_use]
    pub const fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The settings in force; none before the first record.
    #[must_use]
    pub const fn settings(&self) -> Option<Settings> {
        self.settings
    }

    /// An asset by its number.
    #[must_use]
    pub fn asset(&self, asset: AssetId) -> Option<&Asset> {
        self.assets.get(usize::from(asset.0).checked_sub(1)?)
    }

    /// The numbers of all assets, in order.
    pub fn asset_ids(&self) -> impl Iterator<Item = AssetId> + use<> {
        (1..=self.assets.len() as u16).map(AssetId)
    }

    /// How many players are open.
    #[must_use]
    pub const fn player_count(&self) -> usize {
        self.players.len()
    }

    /// What is known of a player besides money.
    #[must_use]
    pub fn player(&self, player: PlayerId) -> Option<&Player> {
        self.players.get(player)
    }

    /// All players, in the order of their numbers.
    pub fn players(&self) -> impl Iterator<Item = (PlayerId, &Player)> {
        self.players.iter()
    }

    /// The player whom a caller knows by this id.
    #[must_use]
    pub fn player_of(&self, caller_id: CallerId) -> Option<PlayerId> {
        self.players.find(caller_id).map(|(id, _)| id)
    }

    /// The latest record of a player.
    #[must_use]
    pub fn latest(&self, player: PlayerId) -> Lsn {
        self.players.latest(player)
    }

    /// An open hold.
    #[must_use]
    pub fn hold(&self, id: RequestId) -> Option<&Hold> {
        self.row(id.0)
    }

    /// All open holds, in no particular order.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.rows.holds.iter()
    }

    /// How many holds are open.
    #[must_use]
    pub const fn hold_count(&self) -> usize {
        self.rows.holds.len()
    }

    /// How many bets and wins of open rounds there are.
    #[must_use]
    pub const fn wager_count(&self) -> usize {
        self.rows.wagers.len()
    }

    /// How many rounds are open.
    #[must_use]
    pub const fn round_count(&self) -> usize {
        self.rows.rounds.len()
    }

    /// How many sessions there are: open ones, and those that were revoked before their time.
    #[must_use]
    pub const fn session_count(&self) -> usize {
        self.rows.sessions.len()
    }

    /// A provider's bet or win in an open round.
    #[must_use]
    pub fn wager(&self, key: Reference) -> Option<&Wager> {
        self.row(key.0)
    }

    /// All of them, in no particular order.
    pub fn wagers(&self) -> impl Iterator<Item = &Wager> {
        self.rows.wagers.iter()
    }

    /// A bet or win of a closed round, as long as it is kept in full.
    #[must_use]
    pub fn closed_wager(&self, key: Reference) -> Option<&Wager> {
        self.row::<ClosedWager>(key.0).map(|row| &row.wager)
    }

    /// A bet or win that is known in full, whether its round is open or closed.
    pub(crate) fn any_wager(&self, key: Reference) -> Option<&Wager> {
        self.wager(key).or_else(|| self.closed_wager(key))
    }

    /// The bets and wins of closed rounds that are kept in full, those first that are forgotten first.
    pub fn closed_wagers(&self) -> impl Iterator<Item = &Wager> {
        let first = self.row::<ClosedEnds>(1).map_or(Reference(0), |ends| ends.first);
        core::iter::successors(self.closed_wager(first), |row| self.closed_wager(row.next))
    }

    /// An open round.
    #[must_use]
    pub fn round(&self, key: Reference) -> Option<&Round> {
        self.row(key.0)
    }

    /// All open rounds, in no particular order.
    pub fn rounds(&self) -> impl Iterator<Item = &Round> {
        self.rows.rounds.iter()
    }

    /// A session whose time has not come.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Session> {
        self.row(u128::from(session.0))
    }

    /// Whether a session was opened and neither revoked nor ended by time.
    #[must_use]
    pub fn is_session_open(&self, session: SessionId) -> bool {
        self.session(session).is_some_and(|session| !session.revoked)
    }

    /// All open sessions and those that were revoked before their time, in no particular order.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.rows.sessions.iter()
    }

    /// The session that was opened for a token, while it is open.
    #[must_use]
    pub fn session_of(&self, token: Reference) -> Option<SessionId> {
        self.row::<Token>(token.0).map(|row| row.session)
    }

    /// A player's limits; none if the player never had any.
    #[must_use]
    pub fn limits(&self, player: PlayerId) -> Option<&Limits> {
        self.row(u128::from(player.number()))
    }

    /// How much a player has to wager before a withdrawal.
    #[must_use]
    pub fn turnover(&self, player: PlayerId, asset: AssetId) -> Amount {
        self.row::<Turnover>(player_asset(player, asset)).map_or(Amount::ZERO, |row| row.left)
    }

    /// How much of a player's money is locked for a reason.
    #[must_use]
    pub fn locked(&self, player: PlayerId, asset: AssetId, reason: LockReason) -> Amount {
        self.row::<Locked>(locked_key(player, asset, reason)).map_or(Amount::ZERO, |row| row.amount)
    }

    /// A withdrawal under way.
    #[must_use]
    pub fn withdrawal(&self, id: RequestId) -> Option<&Withdrawal> {
        self.row(id.0)
    }

    /// All withdrawals under way, in no particular order.
    pub fn withdrawals(&self) -> impl Iterator<Item = &Withdrawal> {
        self.rows.withdrawals.iter()
    }

    /// A correction that waits for approval.
    #[must_use]
    pub fn adjustment(&self, id: RequestId) -> Option<&Adjustment> {
        self.row(id.0)
    }

    /// Free rounds that a player has.
    #[must_use]
    pub fn freeround(&self, id: RequestId) -> Option<&Freeround> {
        self.row(id.0)
    }

    /// An order to void.
    #[must_use]
    pub fn void_order(&self, id: RequestId) -> Option<&VoidOrder> {
        self.row(id.0)
    }

    /// What a deposit was, and how much of it was taken back.
    #[must_use]
    pub fn deposit(&self, key: RequestId) -> Option<&Deposit> {
        self.row(key.0)
    }

    /// What the open bets on a game can pay together.
    #[must_use]
    pub fn exposure(&self, game: GameId, asset: AssetId) -> Amount {
        self.row::<Exposure>(exposure_key(game, asset)).map_or(Amount::ZERO, |row| row.open)
    }

    /// What a rule says; none if it is not set.
    #[must_use]
    pub fn rule(&self, rule: Rule, scope: u64) -> Option<u128> {
        if !self.switches.any(rule) {
            return None;
        }
        self.row::<RuleRow>(rule_key(rule, scope)).map(|row| row.value)
    }

    /// What late corrections of a provider came to on a day without a second identity.
    #[must_use]
    pub fn corrected(&self, provider: u16, asset: AssetId, day: Day) -> Amount {
        let row = self.row::<Corrections>(corrections_key(provider, asset));
        row.filter(|row| row.day == day).map_or(Amount::ZERO, |row| row.sum)
    }

    /// The number of the latest grant for a provider or a chain; 0 = there never was one.
    #[must_use]
    pub fn granted(&self, role: Role, venue: u32) -> u64 {
        self.row::<Granted>(grant_key(role, venue)).map_or(0, |row| row.number)
    }

    /// Whether new wagers on a game are stopped; the game 0 stands for all.
    #[must_use]
    pub fn is_disabled(&self, game: GameId) -> bool {
        self.rows.disabled.len() > 0 && self.row::<DisabledGame>(disabled_key(game)).is_some()
    }

    /// A player's current address on a chain, by its number.
    #[must_use]
    pub fn address(&self, player: PlayerId, chain: u32) -> Option<u32> {
        self.row::<Address>(address_key(player, chain)).map(|row| row.index)
    }

    /// What a jackpot has collected in less than a smallest unit, in millionths of it.
    #[must_use]
    pub fn pool_remainder(&self, pool: u32, asset: AssetId) -> u32 {
        let key = Pool { pool, asset, remainder: 0 }.key();
        self.row::<Pool>(key).map_or(0, |row| row.remainder)
    }

    /// What one whole unit of an asset is worth, in billionths of the reference asset's smallest unit, as published.
    #[must_use]
    pub fn price(&self, asset: AssetId) -> Option<Amount> {
        self.row::<Rate>(u128::from(asset.0)).map(|row| row.price)
    }

    /// Whether anything can be worked out in the reference asset.
    pub(crate) fn is_priced(&self, asset: AssetId) -> bool {
        self.reference_asset() == Some(asset) || self.price(asset).is_some()
    }

    /// Whether an asset's price is too old to decide by.
    pub(crate) fn is_price_old(&self, asset: AssetId, now: Timestamp) -> bool {
        if self.reference_asset() == Some(asset) {
            return false;
        }
        let most = self.rule(Rule::RateAgeMax, u64::from(asset.0)).and_then(|most| u64::try_from(most).ok());
        let published = self.row::<Rate>(u128::from(asset.0)).map(|row| row.published);
        most.zip(published).is_some_and(|(most, published)| published.plus_millis(most) < now)
    }

    /// How many of an asset's smallest units make a whole one.
    fn whole(&self, asset: AssetId) -> u128 {
        let scale = self.asset(asset).map_or(0, |asset| u32::from(asset.scale));
        10_u128.saturating_pow(scale)
    }

    /// What an amount is worth, in billionths of the reference asset's smallest unit, rounded down. The outer nothing:
    /// there is no price; the inner one: it cannot be counted.
    pub(crate) fn worth(&self, asset: AssetId, amount: Amount) -> Option<Option<u128>> {
        if self.reference_asset() == Some(asset) {
            return Some(amount.0.checked_mul(PRICE_UNIT));
        }
        let price = self.price(asset)?;
        Some(crate::wide::mul_div(amount.0, price.0, self.whole(asset)))
    }

    /// How much of an asset is worth so many billionths of the reference asset's smallest unit, rounded down.
    pub(crate) fn bought(&self, asset: AssetId, worth: u128) -> Option<Option<u128>> {
        if self.reference_asset() == Some(asset) {
            return Some(Some(worth / PRICE_UNIT));
        }
        let price = self.price(asset)?;
        Some(crate::wide::mul_div(worth, self.whole(asset), price.0))
    }

    /// The asset that limits count in.
    #[must_use]
    pub fn reference_asset(&self) -> Option<AssetId> {
        self.rule(Rule::ReferenceAsset, 0).map(|number| AssetId(number as u16))
    }

    /// What an amount is worth in the reference asset, rounded up; nothing if there is no price. What is more than can
    /// be counted is over every limit.
    pub(crate) fn value(&self, asset: AssetId, amount: Amount) -> Option<u64> {
        let value = if self.reference_asset() == Some(asset) {
            Some(amount.0)
        } else {
            // Rounding up twice is rounding up once.
            let price = self.price(asset)?;
            let billionths = crate::wide::mul_div_up(amount.0, price.0, self.whole(asset));
            billionths.map(|billionths| billionths.div_ceil(PRICE_UNIT))
        };
        let counted = value.and_then(|value| u64::try_from(value).ok());
        Some(counted.filter(|value| *value <= LIMIT_MAX).unwrap_or(u64::MAX))
    }

    /// The day that it is in a brand at `now`, which must not be before the state's clock. A day that was going on
    /// when the beginning of days was moved lasts until the next one begins.
    pub(crate) fn day_in(&self, brand: u16, now: Timestamp) -> Day {
        let begins = self.rule(Rule::DayBegins, u64::from(brand)).unwrap_or(0);
        let day = Day::of(now, begins as u16);
        if self.rows.long_days.len() == 0 {
            return day;
        }
        let long = self.row::<LongDay>(long_day_key(brand)).filter(|long| day <= long.through);
        long.map_or(day, |long| long.day)
    }

    /// The day that it is for a player.
    #[must_use]
    pub fn day(&self, player: PlayerId, now: Timestamp) -> Day {
        self.day_in(self.players.gates(player).map_or(0, |gates| gates.brand), now)
    }

    pub(crate) fn round_age_millis(&self) -> u64 {
        self.rule(Rule::RoundAgeMax, 0).map_or(ROUND_AGE_MILLIS, |value| value as u64)
    }

    pub(crate) fn sessions_max(&self) -> u64 {
        self.rule(Rule::SessionsMax, 0).map_or(SESSIONS_MAX, |value| value as u64)
    }

    pub(crate) fn reconsider_millis(&self) -> u64 {
        self.rule(Rule::Reconsider, 0).map_or(RECONSIDER_MILLIS, |value| value as u64)
    }

    /// What a player owes the house.
    #[must_use]
    pub fn owed(&self, player: PlayerId, asset: AssetId) -> Amount {
        let held = self.house.balance(AccountId::receivable(asset, player));
        Amount(held.0.min(0).unsigned_abs())
    }

    /// How a hold ended, as long as that is remembered.
    #[must_use]
    pub fn ending(&self, hold: RequestId) -> Option<Ending> {
        self.ended(hold, Space::Hold).map(|ended| ended.how)
    }

    /// How a provider's bet or win ended, as long as that is remembered.
    #[must_use]
    pub fn wager_ending(&self, key: Reference) -> Option<Ending> {
        self.ended(RequestId(key.0), Space::Wager).map(|ended| ended.how)
    }

    /// The number of the session that was opened last.
    #[must_use]
    pub const fn last_session(&self) -> SessionId {
        self.last_session
    }

    /// How a round ended, as long as that is remembered.
    #[must_use]
    pub fn round_ending(&self, key: Reference) -> Option<Ending> {
        self.ended(RequestId(key.0), Space::Round).map(|ended| ended.how)
    }

    /// What the ledger has to do by itself at `now`: the longest due first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Operation> {
        let (at, sort, key) = self.rows.due.first().copied()?;
        if at > now {
            return None;
        }
        Some(match sort {
            Sort::Hold => {
                let hold: &Hold = self.row(key)?;
                Operation::Expire { player: hold.player, asset: hold.asset, hold: hold.id }
            }
            Sort::Round => {
                let round: &Round = self.row(key)?;
                Operation::CloseRound { player: round.player, asset: round.asset, round: round.key }
            }
            Sort::Session => {
                let session: &Session = self.row(key)?;
                Operation::ExpireSession { player: session.player, session: session.number }
            }
            Sort::Collect => Operation::AutoCollect {
                player: PlayerId::trusted((key >> 16) as u64),
                asset: AssetId(key as u16),
            },
            Sort::Freeround => {
                let freeround: &Freeround = self.row(key)?;
                Operation::FreeroundLapse { player: freeround.player, grant: freeround.id }
            }
        })
    }

    /// Takes the first out of the queue of what is due, because it cannot be done now. The queue follows from the rows:
    /// no decision looks at it, no digest and no image has it, and a row that changes comes back by itself.
    pub fn set_aside(&mut self) -> Option<Due> {
        let (at, sort, key) = self.rows.due.pop_first()?;
        Some(Due { at, sort, key })
    }

    /// Puts it back, if it is still due.
    pub fn take_up(&mut self, due: Due) {
        let Due { at, sort, key } = due;
        let from_row = match sort {
            Sort::Hold => self.row::<Hold>(key).and_then(Row::due),
            Sort::Round => self.row::<Round>(key).and_then(Row::due),
            Sort::Session => self.row::<Session>(key).and_then(Row::due),
            Sort::Freeround => self.row::<Freeround>(key).and_then(Row::due),
            Sort::Collect => {
                let (player, asset) = (PlayerId::trusted((key >> 16) as u64), AssetId(key as u16));
                return self.set_collectable(player, asset);
            }
        };
        if from_row == Some((at, sort)) {
            self.rows.due.insert((at, sort, key));
        }
    }

    /// When there is next something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.rows.due.first().map(|(at, _, _)| *at)
    }

    /// How many facts must find room, so that everything open can be ended.
    pub(crate) const fn facts_owed(&self) -> u64 {
        let rows = &self.rows;
        2 * rows.holds.len() as u64
            + (rows.wagers.len() + rows.rounds.len()) as u64
            + (rows.withdrawals.len() + rows.adjustments.len() + rows.freerounds.len()) as u64
    }

    /// Ids at or before this time are refused: what was forgotten may have been among them.
    #[must_use]
    pub fn id_horizon(&self) -> Timestamp {
        self.ids.as_ref().map_or(Timestamp(0), Ids::horizon)
    }

    /// How many ids and endings are remembered.
    #[must_use]
    pub fn id_count(&self) -> u64 {
        self.ids.as_ref().map_or(0, Ids::len)
    }

    /// What an account holds; zero if it was never touched.
    #[must_use]
    pub fn balance(&self, account: AccountId) -> Balance {
        match account.player() {
            Some(player) => {
                let purse = account.purse().unwrap_or(Purse::Available);
                self.players.balance(player, account.asset(), purse)
            }
            None => self.house.balance(account),
        }
    }

    /// A player's purses in an asset.
    #[must_use]
    pub fn balances(&self, player: PlayerId, asset: AssetId) -> Balances {
        Balances {
            available: self.players.balance(player, asset, Purse::Available),
            reserved: self.players.balance(player, asset, Purse::Reserved),
        }
    }

    /// A player's purses that hold something, in all assets.
    pub fn holdings(&self, player: PlayerId) -> impl Iterator<Item = (AccountId, Balance)> {
        self.players.holdings(player).flat_map(move |(asset, held)| {
            let filled = PURSES.into_iter().zip(held).filter(|(_, held)| *held != 0);
            // Nothing puts more into a purse than a balance can hold.
            filled
                .map(move |(purse, held)| (AccountId::of_player(asset, purse, player), Balance(held as i128)))
        })
    }

    /// The house's accounts, in no particular order.
    pub fn house_accounts(&self) -> impl Iterator<Item = (AccountId, Balance)> {
        self.house.iter()
    }

    /// What all purses of all players and of the house add up to, recomputed account by account: zero for every
    /// asset, or the books are wrong. Cost: one pass over all accounts.
    #[must_use]
    pub fn recomputed_sum(&self, asset: AssetId) -> Balance {
        let players = self.players.iter().flat_map(|(id, _)| self.players.holdings(id));
        let players = players.filter(|(held, _)| *held == asset);
        let players = players.flat_map(|(_, purses)| purses).map(|held| held as i128);
        let house = self.house.iter().filter(|(account, _)| account.asset() == asset);
        // On the way the sum may pass what an i128 holds, in an order that nobody knows; in the end it fits again.
        Balance(players.chain(house.map(|(_, held)| held.0)).fold(0, i128::wrapping_add))
    }

    /// Whether `needed` more facts can be remembered without forgetting a young one.
    pub(crate) fn has_room(&self, needed: u64, now: Timestamp) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.has_room(needed + self.facts_tried(), now))
    }
}
