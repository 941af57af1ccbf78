//! The rows of the ledger's tables: everything that is known besides players, assets and balances.
//!
//! Each struct is one row. Its digest and its bytes in an image are made of all of its fields, in their order, by
//! construction.

use super::digest::{Fed, Hasher};
use super::table::{Row, Sort};
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::{Field, LockReason, Rule};
use crate::id::{AssetId, GameId, Lsn, PlayerId, Reference, RequestId, SessionId};
use crate::limits::{Day, Tally, Usage};
use crate::role::Role;
use crate::time::Timestamp;

macro_rules! rows {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $table:literal, |$row:ident| $key:expr $(, most $most:expr)? $(, due $due:expr)? => {
            $($(#[doc = $meaning:literal])+ $field:ident: $type:ty,)+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[doc = $meaning])+ pub $field: $type,)+ }

        impl Row for $name {
            const NAME: &'static str = $table;
            $(const ROWS_MAX: usize = $most;)?

            fn key(&self) -> u128 {
                let $row = self;
                $key
            }

            $(fn due(&self) -> Option<(Timestamp, Sort)> {
                let $row = self;
                $due
            })?

            fn feed(&self, hasher: &mut Hasher) {
                $(Fed::feed(&self.$field, hasher);)+
            }

            const LAYOUT: &'static str = concat!($table, $(" ", stringify!($field), ":", stringify!($type),)+ ";");

            const BYTES: usize = 0 $(+ <$type as Field>::BYTES)+;

            fn put(&self, out: &mut [u8]) {
                let mut at = 0;
                $(
                    let end = at + <$type as Field>::BYTES;
                    self.$field.put(&mut out[at..end]);
                    at = end;
                )+
                debug_assert!(at == <Self as Row>::BYTES, "a row fills its place");
            }

            fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
                let mut at = 0;
                $(
                    let end = at + <$type as Field>::BYTES;
                    let $field = <$type as Field>::get(&bytes[at..end])?;
                    at = end;
                )+
                debug_assert!(at == <Self as Row>::BYTES, "a row fills its place");
                Ok(Self { $($field,)+ })
            }
        }
    )+};
}

/// For tables whose rows no request can be refused for: as many as a row's number can name.
const MANY: usize = 1 << 28;

rows! {
    /// An open hold.
    Hold = "holds", |row| row.id.0, due row.deadline.map(|at| (at, Sort::Hold)) => {
        /// The reserve's request id.
        id: RequestId,
        /// The reserve's record.
        opened: Lsn,
        /// On which day the player's limits counted the stake.
        counted_on: Day,
        /// Whose stake.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// On which game.
        game: GameId,
        /// In which session.
        session: SessionId,
        /// Whether the stake came from the session's credit meter.
        metered: bool,
        /// Whether a part of it was settled: then a settle of a forgotten id may be one that was executed.
        settled_in_part: bool,
        /// In which round; 0 = none.
        round: Reference,
        /// When it may be released by time.
        deadline: Option<Timestamp>,
        /// How much of the stake is left.
        remaining: Amount,
        /// How much of that is bonus money.
        bonus: Amount,
        /// How much the bet can still pay.
        payout_left: Amount,
        /// What the player's limits counted for what is left, in the reference asset.
        counted: u64,
    }
    /// A provider's bet or win in an open round.
    Wager = "wagers", |row| row.key.0, most MANY => {
        /// The provider's transaction.
        key: Reference,
        /// Whether it is a win.
        is_win: bool,
        /// Whether it is a win that was taken back. It stays known with its bet, or a repeat would be paid again.
        undone: bool,
        /// Its record.
        opened: Lsn,
        /// On which day the player's limits counted it.
        counted_on: Day,
        /// Whose.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// On which game.
        game: GameId,
        /// In which session.
        session: SessionId,
        /// Whether the stake came from the session's credit meter.
        metered: bool,
        /// In which round.
        round: Reference,
        /// A win's bet; 0 for a bet.
        bet: Reference,
        /// The next one of the round; 0 = none.
        next: Reference,
        /// The one before it in the round; 0 = none.
        previous: Reference,
        /// How much of the stake is not given back; what a win paid.
        stake: Amount,
        /// How much of that is bonus money.
        bonus: Amount,
        /// How much the house counts on having to pay yet.
        payout_left: Amount,
        /// What it won in its own transaction. Further wins have rows of their own.
        paid: Amount,
        /// How many further wins it has.
        wins: u32,
        /// What the player's limits counted for the stake, or for a win's amount, in the reference asset.
        counted: u64,
        /// What they counted for a payout that came with the bet.
        counted_paid: u64,
        /// By how much it reduced the turnover that is required.
        turned: Amount,
        /// The digest of what was asked: a bet's without the id.
        digest: u64,
    }
    /// A bet or win of a closed round, kept in full for a while so that it can be undone by its own name.
    ClosedWager = "closed wagers", |row| row.wager.key.0, most MANY => {
        /// As it was when the round was closed. Its neighbours are those that were kept before and after it.
        wager: Wager,
    }
    /// Which of the kept bets and wins are the oldest and the latest. One row, unless there are none.
    ClosedEnds = "ends of closed wagers", |row| u128::from(row.number) => {
        /// Always 1.
        number: u16,
        /// The one that is forgotten next.
        first: Reference,
        /// The one that was kept last.
        last: Reference,
    }
    /// An open round.
    Round = "rounds", |row| row.key.0,
        due if row.open_holds == 0 { Some((row.closes, Sort::Round)) } else { None } => {
        /// The provider's round.
        key: Reference,
        /// Whose.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// On which game.
        game: GameId,
        /// The record that opened it.
        opened: Lsn,
        /// When it is closed by time.
        closes: Timestamp,
        /// How many of its holds are not decided.
        open_holds: u32,
        /// The first of its bets and wins; 0 = none.
        first: Reference,
        /// The last.
        last: Reference,
        /// What was staked and not given back.
        stake: Amount,
        /// What was won.
        won: Amount,
    }
    /// What a round counted that no row of a bet or win tells, by holds that are settled: for its player's limits, and
    /// for what the player has to wager. Without either there is none.
    RoundTally = "round tallies", |row| row.round.0, most MANY => {
        /// The round.
        round: Reference,
        /// How much for the limits, and when.
        tally: Tally,
        /// By how much it reduced the turnover that is required.
        turned: Amount,
    }
    /// What a player has going on a game that allows one round at a time.
    Playing = "playing", |row| playing_key(row.player, row.game), most MANY => {
        /// Who.
        player: PlayerId,
        /// On which game.
        game: GameId,
        /// The round; 0 = a hold without one.
        round: Reference,
        /// The hold, if it has no round.
        hold: RequestId,
    }
    /// An open session.
    Session = "sessions", |row| u128::from(row.number.0), due Some((row.expires, Sort::Session)) => {
        /// Its number.
        number: SessionId,
        /// Whose.
        player: PlayerId,
        /// The digest of the token it was opened for.
        token: Reference,
        /// The asset of its credit meter; none = it has no meter.
        asset: AssetId,
        /// For which game; 0 = any.
        game: GameId,
        /// When it ends.
        expires: Timestamp,
        /// What is on the meter.
        remainder: Amount,
        /// How much the meter may still be topped up by itself.
        topup_left: Amount,
        /// How much that was at first.
        topup_max: Amount,
        /// Whether it was ended before its time: it stays known until then, and its token with it.
        revoked: bool,
    }
    /// A session by its token.
    Token = "tokens", |row| row.token.0 => {
        /// The digest of the token.
        token: Reference,
        /// The session.
        session: SessionId,
    }
    /// A player's limits and how much of them is used.
    Limits = "limits", |row| u128::from(row.player.number()), most MANY => {
        /// Whose.
        player: PlayerId,
        /// By kind and period.
        usage: Usage,
    }
    /// What a player has to wager before a withdrawal.
    Turnover = "turnover", |row| player_asset(row.player, row.asset), most MANY => {
        /// Who.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// How much is left.
        left: Amount,
    }
    /// Money locked for one reason.
    Locked = "locked", |row| locked_key(row.player, row.asset, row.reason), most MANY => {
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// Why.
        reason: LockReason,
        /// How much.
        amount: Amount,
    }
    /// A deposit, for ever: it may be taken back.
    Deposit = "deposits", |row| row.key.0 => {
        /// Its permanent key.
        key: RequestId,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// Over which chain.
        chain: u32,
        /// How much.
        amount: Amount,
        /// How much of it was taken back.
        reversed: Amount,
        /// Why it was locked, if it was.
        locked: Option<LockReason>,
    }
    /// A withdrawal under way.
    Withdrawal = "withdrawals", |row| row.id.0 => {
        /// The request's id.
        id: RequestId,
        /// The request's record.
        opened: Lsn,
        /// Whose.
        player: PlayerId,
        /// Of what.
        asset: AssetId,
        /// Over which chain.
        chain: u32,
        /// How much, fee included.
        amount: Amount,
        /// What it costs the player.
        fee: Amount,
        /// How much of it was locked, for each of the reasons that can be withdrawn.
        locked: [u128; LockReason::WITHDRAWABLE.len()],
        /// Where it goes.
        destination: [u8; 32],
        /// How far it is.
        stage: Stage,
        /// The identity that approved it first; 0 = nobody yet.
        approver: u32,
        /// How many transactions were signed for it.
        attempts: u32,
        /// The slot of the paying account that all of them use.
        slot: u128,
        /// The latest of them, by the first 16 bytes of their hashes.
        transactions: [u128; TRANSACTIONS_KEPT],
    }
    /// A proposed correction.
    Adjustment = "adjustments", |row| row.id.0 => {
        /// The proposal's key.
        id: RequestId,
        /// Whose balance.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// By how much.
        amount: Amount,
        /// Whether it takes money away.
        debit: bool,
        /// The identity that proposed it.
        maker: u32,
        /// Whether it is a late correction: then the provider pays and is paid.
        late: bool,
        /// Its game.
        game: GameId,
    }
    /// Free rounds that a player has.
    Freeround = "freerounds", |row| row.id.0, due Some((row.expires, Sort::Freeround)) => {
        /// The grant's id.
        id: RequestId,
        /// Whose.
        player: PlayerId,
        /// In what.
        asset: AssetId,
        /// On which game.
        game: GameId,
        /// How many are left.
        left: u32,
        /// What each is worth.
        bet_value: Amount,
        /// Until when.
        expires: Timestamp,
    }
    /// An order to void.
    VoidOrder = "void orders", |row| row.id.0 => {
        /// Its id.
        id: RequestId,
        /// The identity that gave it.
        maker: u32,
        /// On which game.
        game: GameId,
        /// In what.
        asset: AssetId,
        /// The first record concerned.
        from: Lsn,
        /// The last.
        to: Lsn,
        /// The most that may be given back.
        amount_max: Amount,
        /// What was given back.
        moved: Amount,
        /// How many voids at most.
        count: u64,
        /// How many were done.
        done: u64,
    }
    /// What a jackpot has collected in less than a smallest unit.
    Pool = "pools", |row| 1 << 64 | u128::from(row.pool) << 16 | u128::from(row.asset.0) => {
        /// Its number.
        pool: u32,
        /// In what.
        asset: AssetId,
        /// In millionths of the smallest unit.
        remainder: u32,
    }
    /// What the open bets on a game can pay together.
    Exposure = "exposures", |row| exposure_key(row.game, row.asset) => {
        /// Which game.
        game: GameId,
        /// In what.
        asset: AssetId,
        /// How much.
        open: Amount,
    }
    /// A rule in force.
    RuleRow = "rules", |row| rule_key(row.rule, row.scope) => {
        /// Which.
        rule: Rule,
        /// What it is about.
        scope: u64,
        /// Its value.
        value: u128,
    }
    /// What late corrections of a provider came to on the latest day that had any, without a second identity.
    Corrections = "corrections", |row| corrections_key(row.provider, row.asset) => {
        /// Whose.
        provider: u16,
        /// In what.
        asset: AssetId,
        /// On which day.
        day: Day,
        /// How much.
        sum: Amount,
    }
    /// A brand's day that was going on when the beginning of its days was moved. It lasts until another one begins.
    LongDay = "long days", |row| long_day_key(row.brand) => {
        /// Whose.
        brand: u16,
        /// Which day.
        day: Day,
        /// The last day, as days begin now, that counts as that one.
        through: Day,
    }
    /// What an asset is worth.
    Rate = "rates", |row| u128::from(row.asset.0) => {
        /// Which.
        asset: AssetId,
        /// In billionths of the reference asset's smallest unit for a whole one.
        price: Amount,
        /// When it was published.
        published: Timestamp,
    }
    /// A rule that waits for a second identity.
    Proposal = "proposals", |row| rule_key(row.rule, row.scope) => {
        /// Which.
        rule: Rule,
        /// What it is about.
        scope: u64,
        /// The value that was asked for.
        value: u128,
        /// Who asked for it.
        maker: u32,
    }
    /// Who may act for a provider or a chain.
    Granted = "grants", |row| grant_key(row.role, row.venue) => {
        /// As what.
        role: Role,
        /// The provider's or the chain's number.
        venue: u32,
        /// The number of the latest grant.
        number: u64,
    }
    /// A game on which no new wager is taken.
    DisabledGame = "disabled games", |row| disabled_key(row.game) => {
        /// Which; 0 = all.
        game: GameId,
    }
    /// A player's current address on a chain.
    Address = "addresses", |row| address_key(row.player, row.chain), most MANY => {
        /// Whose.
        player: PlayerId,
        /// On which chain.
        chain: u32,
        /// Its number.
        index: u32,
    }
    /// How many addresses of a chain were handed out.
    ChainCounter = "chains", |row| chain_key(row.chain) => {
        /// Which chain.
        chain: u32,
        /// The number of the next one.
        next: u32,
    }
}

impl Withdrawal {
    /// How much of it was locked when it was asked for.
    #[must_use]
    pub fn was_locked(&self) -> Amount {
        Amount(self.locked.iter().sum())
    }
}

/// A row within a row.
impl Field for Wager {
    const BYTES: usize = <Self as Row>::BYTES;

    fn put(self, out: &mut [u8]) {
        Row::put(&self, out);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        <Self as Row>::get(bytes)
    }
}

impl Fed for Wager {
    fn feed(&self, hasher: &mut Hasher) {
        Row::feed(self, hasher);
    }
}

impl Wager {
    /// Whether it is a bet whose payout came in the same transaction, and so is undone with it.
    #[must_use]
    pub const fn won_at_once(&self) -> bool {
        // Its further wins are undone by their own names, and make no difference to this.
        !self.paid.is_zero()
    }
}

/// How many transactions of a withdrawal are remembered, all that can still be mined. Each raises the fee, by a tenth at
/// least where chains take a replacement at all: sixteen are more than four times the first fee.
pub(crate) const TRANSACTIONS_KEPT: usize = 16;

/// How far a withdrawal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// The money is set aside.
    Requested = 0,
    /// It may be signed.
    Approved = 1,
    /// A transaction is signed, and may be on its way.
    Signed = 2,
}

impl Field for Stage {
    const BYTES: usize = 1;

    fn put(self, out: &mut [u8]) {
        (self as u8).put(out);
    }

    fn get(bytes: &[u8]) -> Result<Self, ResultCode> {
        let stages = [Self::Requested, Self::Approved, Self::Signed];
        let number = u8::get(bytes)?;
        stages.into_iter().find(|stage| *stage as u8 == number).ok_or(ResultCode::Malformed)
    }
}

pub(crate) const fn player_asset(player: PlayerId, asset: AssetId) -> u128 {
    (player.number() as u128) << 16 | asset.0 as u128
}

pub(crate) const fn playing_key(player: PlayerId, game: GameId) -> u128 {
    (player.number() as u128) << 32 | game.0 as u128
}

pub(crate) const fn locked_key(player: PlayerId, asset: AssetId, reason: LockReason) -> u128 {
    player_asset(player, asset) << 8 | reason as u128
}

pub(crate) const fn exposure_key(game: GameId, asset: AssetId) -> u128 {
    (game.0 as u128) << 16 | asset.0 as u128
}

pub(crate) const fn rule_key(rule: Rule, scope: u64) -> u128 {
    (rule as u128) << 64 | scope as u128
}

pub(crate) const fn corrections_key(provider: u16, asset: AssetId) -> u128 {
    1 << 64 | (provider as u128) << 16 | asset.0 as u128
}

pub(crate) const fn long_day_key(brand: u16) -> u128 {
    1 << 64 | brand as u128
}

pub(crate) const fn grant_key(role: Role, venue: u32) -> u128 {
    (role as u128) << 32 | venue as u128
}

pub(crate) const fn disabled_key(game: GameId) -> u128 {
    1 << 64 | game.0 as u128
}

pub(crate) const fn address_key(player: PlayerId, chain: u32) -> u128 {
    (player.number() as u128) << 32 | chain as u128
}

pub(crate) const fn chain_key(chain: u32) -> u128 {
    1 << 64 | chain as u128
}
