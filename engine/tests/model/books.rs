//! The books: every table of the ledger, as plain maps and lists.
//!
//! In and out: rows. Never here: a rule.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use cage_engine::field::{LimitKind, LockReason, Period, Rule, Status};
use cage_engine::id::Reference;
use cage_engine::{
    Amount, AssetCode, AssetId, CallerId, GameId, PlayerClass, PlayerId, RequestId, ResultCode, Role,
    SessionId, Settings, Timestamp,
};

use super::memory::{Content, Fact};
use super::{Account, Deed, Step};

/// What copies of the books share until one of them changes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<T>(Rc<T>);

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Rc::make_mut(&mut self.0)
    }
}

pub(crate) type Table<K, V> = Shared<BTreeMap<K, V>>;

/// What a player has going on a game that allows one round at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    Round(Reference),
    /// A hold without a round.
    Hold(RequestId),
}

/// The books. A request is worked out on a copy of all of them, which is thrown away if it is refused.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) records: u64,
    pub(crate) clock: Timestamp,
    pub(crate) settings: Option<Settings>,
    pub(crate) assets: Shared<Vec<AssetRow>>,
    pub(crate) players: Shared<Vec<PlayerRow>>,
    pub(crate) money: Table<Account, i128>,
    pub(crate) holds: Table<RequestId, HoldRow>,
    pub(crate) wagers: Table<Reference, WagerRow>,
    pub(crate) rounds: Table<Reference, RoundRow>,
    /// Bets and wins of closed rounds that are kept in full.
    pub(crate) closed: Table<Reference, WagerRow>,
    /// Their names, those first that were kept first.
    pub(crate) kept: Shared<VecDeque<Reference>>,
    /// What a player staked in last on a game that allows one round at a time.
    pub(crate) playing: Table<(PlayerId, GameId), Going>,
    pub(crate) sessions: Table<SessionId, SessionRow>,
    /// How many sessions were ever opened.
    pub(crate) sessions_opened: u32,
    pub(crate) blocks: Table<PlayerId, LimitBlock>,
    pub(crate) turnover: Table<(PlayerId, AssetId), u128>,
    pub(crate) locked: Table<(PlayerId, AssetId, LockReason), u128>,
    pub(crate) deposits: Table<RequestId, DepositRow>,
    pub(crate) withdrawals: Table<RequestId, WithdrawalRow>,
    pub(crate) adjustments: Table<RequestId, AdjustmentRow>,
    pub(crate) freerounds: Table<RequestId, FreeroundRow>,
    pub(crate) orders: Table<RequestId, OrderRow>,
    /// What was left over of the shares that went into a pool, in millionths of a smallest unit.
    pub(crate) pools: Table<(u32, AssetId), u128>,
    pub(crate) rules: Table<(Rule, u64), u128>,
    /// Of each brand whose beginning of days was moved, the day that it was then, and until which second it lasts.
    pub(crate) long_days: Table<u64, (i64, i64)>,
    pub(crate) prices: Table<AssetId, Amount>,
    /// When each was published.
    pub(crate) priced_at: Table<AssetId, Timestamp>,
    /// Rules that one identity asked for and a second has to: the value, and who.
    /// What late corrections of a provider came to on the latest day that had any.
    pub(crate) corrected: Table<(u16, AssetId), (i64, u128)>,
    pub(crate) proposals: Table<(Rule, u64), (u128, u32)>,
    pub(crate) grants: Table<(Role, u32), u64>,
    /// How many grants were ever given.
    pub(crate) granted: u64,
    pub(crate) disabled: Shared<BTreeSet<GameId>>,
    pub(crate) addresses: Table<(PlayerId, u32), u32>,
    /// How many addresses of a chain were handed out.
    pub(crate) chains: Table<u32, u32>,
    pub(crate) horizon: Timestamp,
    pub(crate) facts: Shared<VecDeque<Fact>>,
    pub(crate) keys: Table<RequestId, (Content, u64)>,
    /// What a group that is being tried would have remembered.
    pub(crate) aside: Option<Vec<Fact>>,
    pub(crate) deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AssetRow {
    pub(crate) code: AssetCode,
    pub(crate) scale: u8,
    pub(crate) transfers: bool,
    pub(crate) amount_max: Amount,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlayerRow {
    pub(crate) caller_id: CallerId,
    pub(crate) brand: u16,
    pub(crate) jurisdiction: u16,
    pub(crate) class: PlayerClass,
    pub(crate) status: Status,
    pub(crate) reason: u16,
    /// Whether withdrawals wait for a check of the player, and the reason given last.
    pub(crate) unchecked: bool,
    pub(crate) check_reason: u16,
    pub(crate) latest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HoldRow {
    pub(crate) opened: u64,
    pub(crate) counted_on: i64,
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) game: GameId,
    pub(crate) session: SessionId,
    pub(crate) metered: bool,
    pub(crate) round: Option<Reference>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) remaining: u128,
    pub(crate) payout_left: u128,
    /// What limits counted for what is left.
    pub(crate) counted: u64,
    pub(crate) settled_in_part: bool,
}

/// A provider's bet, or its win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WagerRow {
    pub(crate) is_win: bool,
    pub(crate) opened: u64,
    pub(crate) counted_on: i64,
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) game: GameId,
    pub(crate) session: SessionId,
    pub(crate) metered: bool,
    pub(crate) round: Reference,
    /// A win's bet.
    pub(crate) bet: Option<Reference>,
    /// A bet's stake as far as it was not given back; what a win paid.
    pub(crate) stake: u128,
    pub(crate) payout_left: u128,
    /// What a bet won in its own transaction. It goes when the bet goes, and with nothing else.
    pub(crate) at_once: u128,
    /// How many other wins it has that were not taken back.
    pub(crate) wins: u32,
    /// A win that was taken back; it stays with its round.
    pub(crate) undone: bool,
    /// What limits counted for a bet's stake, or for a win.
    pub(crate) counted: u64,
    /// What they counted for a payout that came with the bet.
    pub(crate) counted_paid: u64,
    /// How much of the turnover it did.
    pub(crate) turned: u128,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoundRow {
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) game: GameId,
    pub(crate) opened: u64,
    pub(crate) closes: Timestamp,
    pub(crate) open_holds: u32,
    /// Its bets and wins in the order in which they came.
    pub(crate) rows: Vec<Reference>,
    pub(crate) stake: u128,
    pub(crate) won: u128,
    /// On which day what stakes and payouts counted that are in no row: those of holds.
    pub(crate) loose: Vec<(i64, (u64, u64))>,
    /// Of what had to be wagered, how much its settled holds did.
    pub(crate) wagered_by_holds: u128,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) player: PlayerId,
    pub(crate) token: Reference,
    pub(crate) asset: Option<AssetId>,
    pub(crate) game: GameId,
    pub(crate) expires: Timestamp,
    /// It has ended; only its token is still known, until its time.
    pub(crate) revoked: bool,
    pub(crate) topup_max: u128,
    pub(crate) topup_left: u128,
    pub(crate) remainder: u128,
}

/// All limits of a player and what is used of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitBlock {
    pub(crate) bounds: BTreeMap<(LimitKind, Period), Bound>,
    /// Since which day, and how much.
    pub(crate) used: BTreeMap<(LimitKind, Period), (i64, i128)>,
}

/// The player's own limit, what it will be, and the house's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) player: Option<u64>,
    pub(crate) pending: Option<(Timestamp, Option<u64>)>,
    pub(crate) house: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DepositRow {
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) chain: u32,
    pub(crate) amount: u128,
    pub(crate) reversed: u128,
    /// Why it was locked, if it was.
    pub(crate) locked: Option<LockReason>,
}

/// How far a withdrawal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Requested,
    Approved,
    Signed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WithdrawalRow {
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) chain: u32,
    pub(crate) amount: u128,
    pub(crate) fee: u128,
    pub(crate) destination: [u8; 32],
    /// What of it was locked, and why.
    pub(crate) drawn: Vec<(LockReason, u128)>,
    pub(crate) stage: Stage,
    pub(crate) approver: Option<u32>,
    pub(crate) slot: Option<u128>,
    /// The latest four, oldest first.
    pub(crate) transactions: Vec<u128>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdjustmentRow {
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) amount: u128,
    pub(crate) debit: bool,
    pub(crate) maker: u32,
    /// The game, if it is a late correction.
    pub(crate) late: Option<GameId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FreeroundRow {
    pub(crate) player: PlayerId,
    pub(crate) asset: AssetId,
    pub(crate) game: GameId,
    pub(crate) left: u32,
    pub(crate) bet_value: u128,
    pub(crate) expires: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) maker: u32,
    pub(crate) game: GameId,
    pub(crate) asset: AssetId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) amount_max: u128,
    pub(crate) moved: u128,
    pub(crate) count: u64,
    pub(crate) done: u64,
}

impl Model {
    pub(super) fn asset(&self, asset: AssetId) -> Step<&AssetRow> {
        let place = usize::from(asset.0).checked_sub(1);
        place.and_then(|place| self.assets.get(place)).ok_or(ResultCode::AssetUnknown)
    }

    pub(super) fn player(&self, player: PlayerId) -> Step<&PlayerRow> {
        let place = self.place_of(player).ok_or(ResultCode::PlayerUnknown)?;
        Ok(&self.players[place])
    }

    pub(super) fn player_mut(&mut self, player: PlayerId) -> Step<&mut PlayerRow> {
        let place = self.place_of(player).ok_or(ResultCode::PlayerUnknown)?;
        Ok(&mut self.players[place])
    }

    fn place_of(&self, player: PlayerId) -> Option<usize> {
        (0..self.players.len()).find(|place| PlayerId::from_index(*place as u32) == player)
    }

    pub(crate) fn latest(&self, player: PlayerId) -> u64 {
        self.player(player).map_or(0, |player| player.latest)
    }

    pub(super) fn set_latest(&mut self, player: PlayerId, lsn: u64) {
        if let Ok(player) = self.player_mut(player) {
            player.latest = lsn;
        }
    }

    /// The position that the next record gets.
    pub(crate) const fn next_lsn(&self) -> u64 {
        self.records + 1
    }

    pub(crate) fn rule(&self, rule: Rule, scope: u64) -> Option<u128> {
        self.rules.get(&(rule, scope)).copied()
    }

    /// What all open bets and holds on a game can pay together.
    pub(crate) fn exposure(&self, game: GameId, asset: AssetId) -> u128 {
        let holds = self.holds.values().map(|hold| (hold.game, hold.asset, hold.payout_left));
        let wagers = self.wagers.values().map(|wager| (wager.game, wager.asset, wager.payout_left));
        holds
            .chain(wagers)
            .filter(|(of, held_in, _)| (*of, *held_in) == (game, asset))
            .fold(0, |sum: u128, (_, _, payout)| sum.saturating_add(payout))
    }
}
