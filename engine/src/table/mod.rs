//! The rules of the operations, each in one row: who may ask, what it refers to, what must hold, how its money moves.
//!
//! `decide`, the role check, the documentation and the tests read this table. The fields of each operation are listed
//! in [`operation`](crate::operation). Never here: code for one operation alone, but the check of its own fields.

mod cashier;
mod gates;
mod house;
mod players;
mod promotions;
mod wagers;

pub use gates::Gate;

use crate::account::Purse;
use crate::field::{LimitKind, Period};
use crate::operation::OperationKind;
use crate::request::Request;
use crate::role::{Role, RoleSet};

/// Where an operation's id is remembered, and so how often it can be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdRule {
    /// The ledger's own doing: no caller can ask for it, it has no id.
    Internal,
    /// Among the recent request ids.
    Request,
    /// For ever: the id is a digest of an outside fact. Only an execution uses it up; a refusal does not, because
    /// the fact stays true.
    Permanent,
    /// As long as what it refers to: the id is a provider's transaction. Only an execution uses it up.
    Reference,
}

/// What must be in `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountRule {
    /// Anything, if there is such a field.
    Any,
    /// More than nothing.
    Positive,
    /// More than nothing there or in the payout.
    PositiveOrPayout,
}

/// Which number the ledger fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandsOut {
    /// None.
    Nothing,
    /// The asset's.
    Asset,
    /// The player's.
    Player,
    /// The session's.
    Session,
    /// The grant's.
    Grant,
    /// The address's.
    Address,
}

/// For whose business a bridge needs its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// Nobody's.
    None,
    /// The game's provider's.
    Game,
    /// The provider's of the open hold.
    Hold,
    /// The provider's of the session's game.
    Session,
    /// The chain's.
    Chain,
}

/// What the operation is about besides players and assets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refers {
    /// Nothing.
    Nothing,
    /// A hold to be opened under the request's id; a tombstone of that id refuses it.
    NewHold,
    /// An open hold.
    OpenHold,
    /// An open hold; if there never was one, a tombstone is left.
    HoldOrTombstone,
    /// A bet to be opened under the provider's transaction; a tombstone of that refuses it.
    NewBet,
    /// A bet, open or remembered.
    Bet,
    /// A bet or a win; if there is neither, a tombstone is left.
    BetOrWin,
    /// An open round.
    Round,
    /// An open session.
    Session,
    /// A deposit.
    Deposit,
    /// A withdrawal under way.
    Withdrawal,
    /// A proposed correction.
    Adjustment,
    /// Free rounds.
    Freeround,
    /// Something to be imported that must not be known.
    Unknown,
}

/// One side of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A purse of the player.
    Player(Purse),
    /// Where the player's stakes come from: the session's credit meter if it has one in this asset, or `available`.
    Stake,
    /// Where payouts and refunds go: the meter that the stake came from if its session is open, or `available`.
    Payout,
    /// Where a deposit goes: `locked` or `available`.
    Deposit,
    /// A purse of the player at the other end.
    Counterparty(Purse),
    /// A purse of the house that stands for the game's provider.
    Provider(Purse),
    /// A purse of the house that stands for the chain.
    Chain(Purse),
    /// A purse of the house.
    House(Purse),
    /// What the player owes.
    Receivable,
    /// The jackpot, or what it paid beyond what it held.
    Pool(Purse),
    /// Who pays a prize: the provider or the house.
    Sponsor,
    /// The other side of a proposed correction: the house, or the provider of a late one.
    Corrected,
    /// A purse of the player in the other asset.
    PlayerOther(Purse),
    /// A purse of the house in the other asset.
    HouseOther(Purse),
}

/// How much a leg moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The request's amount.
    Amount,
    /// The request's payout.
    Payout,
    /// All that is left of what is referred to.
    Remaining,
    /// What the meter lacks for the stake.
    TopUp,
    /// What is given.
    Given,
    /// What is taken, as far as the purse that pays first has it.
    Covered,
    /// The rest of what is taken.
    Uncovered,
    /// The withdrawal's fee.
    Fee,
    /// What of the withdrawal was available.
    Free,
    /// What of the withdrawal or deposit was locked, and of a deposit still is.
    Locked,
    /// What is unlocked, unless it has to stay locked.
    Freed,
    /// What is taken, as far as the meter has it that it was paid to.
    Metered,
    /// What the other asset gains.
    Converted,
}

/// One movement of money: from `debit` to `credit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegSpec {
    /// Whose balance falls.
    pub debit: Side,
    /// Whose balance rises.
    pub credit: Side,
    /// By how much.
    pub amount: Source,
    /// Whether it is written even if it moves nothing.
    pub always: bool,
}

/// What changes besides balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The settings.
    Settings,
    /// A rule.
    Rule,
    /// A price.
    Price,
    /// A bridge's right.
    Grant,
    /// An asset is opened.
    Asset,
    /// A player is opened.
    Player,
    /// A player's status.
    Status,
    /// A player's withdrawals are held up, or no longer.
    KycHold,
    /// A session is opened.
    SessionOpened,
    /// A session ends.
    SessionEnded,
    /// A limit is set.
    Limit,
    /// A game, or all gaming, is disabled or enabled.
    Game,
    /// A deposit is remembered, with its turnover and what is locked.
    Deposited,
    /// A deposit is taken back.
    DepositReversed,
    /// An address is handed out.
    Address,
    /// Money is locked.
    Locked,
    /// Locked money is made available.
    Unlocked,
    /// A withdrawal begins.
    WithdrawalOpened,
    /// A withdrawal is approved.
    WithdrawalApproved,
    /// A transaction is signed.
    WithdrawalSigned,
    /// A withdrawal is paid.
    WithdrawalSettled,
    /// A withdrawal is given up.
    WithdrawalCancelled,
    /// A balance is taken over.
    BalanceImported,
    /// A bet is taken over.
    BetImported,
    /// A hold is taken over.
    HoldImported,
    /// The memory of a bet is taken over.
    ReferenceImported,
    /// How much of a limit is used is taken over.
    UsageImported,
    /// A correction is proposed.
    AdjustmentOpened,
    /// A proposal is carried out.
    AdjustmentDone,
    /// A proposal is rejected.
    AdjustmentRejected,
    /// More has to be wagered.
    Turnover,
    /// A share went into a jackpot.
    Contributed,
    /// Free rounds are given.
    FreeroundOpened,
    /// Free rounds are used.
    FreeroundConsumed,
    /// Free rounds are taken back.
    FreeroundExpired,
    /// A hold is opened.
    HoldOpened,
    /// A hold loses stake; at none left it is closed as settled.
    HoldSettled,
    /// A hold is closed as cancelled, or a tombstone left.
    HoldCancelled,
    /// A hold is closed as expired.
    HoldExpired,
    /// A bet is taken.
    BetOpened,
    /// A bet is taken and has won.
    BetWon,
    /// A bet has won.
    Won,
    /// A bet or win is undone, or a tombstone left.
    RolledBack,
    /// A round is closed.
    RoundClosed,
    /// A round is voided.
    RoundVoided,
    /// An order to void is given.
    OrderOpened,
    /// A correction is counted for its order.
    Corrected,
}

/// One row of the table.
#[derive(Debug)]
pub struct Spec {
    /// Who may ask for it.
    pub roles: RoleSet,
    /// Of these, who may ask only up to an amount that a rule sets; without the rule, not at all.
    pub capped: RoleSet,
    /// Where its id is remembered.
    pub id: IdRule,
    /// Whether it opens something: such a request is not executed under an id older than what is remembered, and
    /// not taken when the tables are full.
    pub opens: bool,
    /// Whether it can be part of a group.
    pub groupable: bool,
    /// Which number the ledger fills in.
    pub hands_out: HandsOut,
    /// Whether the ledger fills in the game of what is referred to, which the caller does not name.
    pub fills_game: bool,
    /// Whether it has a player at the other end.
    pub counterparty: bool,
    /// For whose business a bridge needs its grant.
    pub venue: Venue,
    /// What must be in `amount`.
    pub amount: AmountRule,
    /// What else must be true of its fields; names the field that is wrong.
    pub check: fn(&Request) -> Result<(), &'static str>,
    /// What it is about.
    pub refers: Refers,
    /// The rules, in order.
    pub gates: &'static [Gate],
    /// The movements, in order.
    pub legs: &'static [LegSpec],
    /// What changes besides.
    pub effect: Effect,
}

impl Spec {
    /// Whether it is under a permanent key and brings something in, that somebody may still have to be paid for: such
    /// are turned away before those that pay, end or take back.
    #[must_use]
    pub const fn brings_in(&self) -> bool {
        matches!(self.id, IdRule::Permanent)
            && matches!(
                self.effect,
                Effect::Deposited
                    | Effect::BalanceImported
                    | Effect::BetImported
                    | Effect::HoldImported
                    | Effect::ReferenceImported
                    | Effect::UsageImported
                    | Effect::AdjustmentOpened
            )
    }
}

const fn any(_: &Request) -> Result<(), &'static str> {
    Ok(())
}

const fn roles(roles: &[Role]) -> RoleSet {
    RoleSet::of(roles)
}

const fn leg(debit: Side, credit: Side, amount: Source) -> LegSpec {
    LegSpec { debit, credit, amount, always: true }
}

const fn leg_if_any(debit: Side, credit: Side, amount: Source) -> LegSpec {
    LegSpec { debit, credit, amount, always: false }
}

const _: () = {
    let mut at = 0;
    while at < OperationKind::ALL.len() {
        let kind = OperationKind::ALL[at];
        assert!(!kind.spec().fills_game || !kind.shape().game, "what a caller names is not filled in");
        at += 1;
    }
};

/// The row of an operation that touches nothing: what the others differ from.
const BASE: Spec = Spec {
    roles: RoleSet::of(&[]),
    capped: RoleSet::of(&[]),
    id: IdRule::Request,
    opens: false,
    groupable: false,
    hands_out: HandsOut::Nothing,
    fills_game: false,
    counterparty: false,
    venue: Venue::None,
    amount: AmountRule::Any,
    check: any,
    refers: Refers::Nothing,
    gates: &[],
    legs: &[],
    effect: Effect::None,
};

const SYSTEM: Spec = Spec { roles: RoleSet::of(&[Role::System]), id: IdRule::Internal, ..BASE };

/// What leaves a player's purse for good, and what the player then owes.
const fn taken(to: Side) -> [LegSpec; 2] {
    [
        leg_if_any(Side::Player(Purse::Available), to, Source::Covered),
        leg_if_any(Side::Receivable, to, Source::Uncovered),
    ]
}

/// What is given to or taken from a player, as the request says.
const fn given_or_taken(other: Side) -> [LegSpec; 3] {
    let [covered, uncovered] = taken(other);
    [leg_if_any(other, Side::Player(Purse::Available), Source::Given), covered, uncovered]
}

const TOP_UP: LegSpec =
    leg_if_any(Side::Player(Purse::Available), Side::Player(Purse::Allowance), Source::TopUp);
const CLEARING: Side = Side::Provider(Purse::ProviderClearing);
const RELEASE: LegSpec = leg(Side::Player(Purse::Reserved), Side::Payout, Source::Remaining);
const METER_BACK: LegSpec =
    leg_if_any(Side::Player(Purse::Allowance), Side::Player(Purse::Available), Source::Remaining);

impl OperationKind {
    /// The permanent number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The operation's row.
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        // One table in the order of the kinds, so that this is a single look-up.
        match self {
            Self::Configure => const { &house::CONFIGURE },
            Self::StateDigest | Self::Continue => const { &SYSTEM },
            Self::SetRule => const { &house::SET_RULE },
            Self::PublishRate => const { &house::PUBLISH_RATE },
            Self::Grant => const { &house::GRANT },
            Self::OpenAsset => const { &house::OPEN_ASSET },
            Self::OpenPlayer => const { &players::OPEN_PLAYER },
            Self::SetStatus => const { &players::SET_STATUS },
            Self::SetKycHold => const { &players::SET_KYC_HOLD },
            Self::OpenSession => const { &players::OPEN_SESSION },
            Self::RevokeSession => const { &players::REVOKE_SESSION },
            Self::SetLimit => const { &players::SET_LIMIT },
            Self::DisableGame => const { &house::DISABLE_GAME },
            Self::ExpireSession => const { &players::EXPIRE_SESSION },
            Self::DepositCredit => const { &cashier::DEPOSIT_CREDIT },
            Self::DepositReverse => const { &cashier::DEPOSIT_REVERSE },
            Self::Chargeback => const { &cashier::CHARGEBACK },
            Self::AssignAddress => const { &cashier::ASSIGN_ADDRESS },
            Self::Collect => const { &cashier::COLLECT },
            Self::WriteOff => const { &cashier::WRITE_OFF },
            Self::Lock => const { &cashier::LOCK },
            Self::Unlock => const { &cashier::UNLOCK },
            Self::WithdrawRequest => const { &cashier::WITHDRAW_REQUEST },
            Self::WithdrawApprove => const { &cashier::WITHDRAW_APPROVE },
            Self::WithdrawSigned => const { &cashier::WITHDRAW_SIGNED },
            Self::WithdrawSettle => const { &cashier::WITHDRAW_SETTLE },
            Self::WithdrawCancel => const { &cashier::WITHDRAW_CANCEL },
            Self::WithdrawRelease => const { &cashier::WITHDRAW_RELEASE },
            Self::AutoCollect => const { &cashier::AUTO_COLLECT },
            Self::ImportBalance => const { &cashier::IMPORT_BALANCE },
            Self::ImportBet => const { &cashier::IMPORT_BET },
            Self::ImportHold => const { &cashier::IMPORT_HOLD },
            Self::ImportReference => const { &cashier::IMPORT_REFERENCE },
            Self::ImportUsage => const { &cashier::IMPORT_USAGE },
            Self::Transfer => const { &players::TRANSFER },
            Self::Exchange => const { &players::EXCHANGE },
            Self::Adjust => const { &players::ADJUST },
            Self::AdjustApprove => const { &players::ADJUST_APPROVE },
            Self::AdjustReject => const { &players::ADJUST_REJECT },
            Self::PromoCredit => const { &promotions::PROMO_CREDIT },
            Self::JackpotContribute => const { &promotions::JACKPOT_CONTRIBUTE },
            Self::JackpotWin => const { &promotions::JACKPOT_WIN },
            Self::JackpotAdjust => const { &promotions::JACKPOT_ADJUST },
            Self::FreeroundGrant => const { &promotions::FREEROUND_GRANT },
            Self::FreeroundConsume => const { &promotions::FREEROUND_CONSUME },
            Self::FreeroundExpire => const { &promotions::FREEROUND_EXPIRE },
            Self::FreeroundLapse => const { &promotions::FREEROUND_LAPSE },
            Self::AllowanceFund => const { &players::ALLOWANCE_FUND },
            Self::AllowanceReturn => const { &players::ALLOWANCE_RETURN },
            Self::Reserve => const { &wagers::RESERVE },
            Self::Settle => const { &wagers::SETTLE },
            Self::Cancel => const { &wagers::CANCEL },
            Self::Expire => const { &wagers::EXPIRE },
            Self::Bet => const { &wagers::BET },
            Self::Win => const { &wagers::WIN },
            Self::BetWin => const { &wagers::BET_WIN },
            Self::Rollback => const { &wagers::ROLLBACK },
            Self::EndRound => const { &wagers::END_ROUND },
            Self::CloseRound => const { &wagers::CLOSE_ROUND },
            Self::VoidRound => const { &wagers::VOID_ROUND },
            Self::VoidPeriod => const { &wagers::VOID_PERIOD },
            Self::LateCorrection => const { &wagers::LATE_CORRECTION },
        }
    }
}

const fn check_scale(request: &Request) -> Result<(), &'static str> {
    if request.detail.0[16] <= crate::operation::SCALE_MAX { Ok(()) } else { Err("scale") }
}

const fn check_transaction(request: &Request) -> Result<(), &'static str> {
    if request.detail.u128_at(16) == 0 { Err("transaction") } else { Ok(()) }
}

/// An algorithm proves nothing without a proof, and a proof is none without its algorithm.
fn check_proof(request: &Request) -> Result<(), &'static str> {
    let (algorithm, proof) = request.detail.0.split_at(2);
    let is_there = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
    if is_there(algorithm) == is_there(proof) { Ok(()) } else { Err("proof") }
}

fn check_session(request: &Request) -> Result<(), &'static str> {
    if request.session.0 == 0 { Err("session") } else { Ok(()) }
}

/// A limit of one bet has no period, the others have one; what is taken away has no value.
fn check_limit(request: &Request) -> Result<(), &'static str> {
    let once = request.detail.0[1] == Period::Once as u8;
    if (request.detail.0[0] == LimitKind::Bet as u8) != once {
        return Err("period");
    }
    if request.detail.0[2] == 1 && !request.amount.is_zero() { Err("value") } else { Ok(()) }
}

const fn check_usage(request: &Request) -> Result<(), &'static str> {
    let once = request.detail.0[0] == LimitKind::Bet as u8 || request.detail.0[1] == Period::Once as u8;
    if once { Err("period") } else { Ok(()) }
}

/// How many free rounds one request can be about.
pub const FREEROUNDS_MAX: u32 = 1_000_000;
/// What rates are counted in.
pub const PPM: u32 = 1_000_000;

fn check_count(request: &Request) -> Result<(), &'static str> {
    if (1..=FREEROUNDS_MAX).contains(&request.detail.u32_at(0)) { Ok(()) } else { Err("count") }
}

fn check_rate(request: &Request) -> Result<(), &'static str> {
    if (1..=PPM).contains(&request.detail.u32_at(4)) { Ok(()) } else { Err("rate_ppm") }
}
