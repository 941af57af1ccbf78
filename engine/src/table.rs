//! The operations, each in one row: what it needs, who may ask, what it refers to, how its money moves.
//!
//! `decide`, the check of bytes from outside, the role check, the documentation and the tests read this table.
//! Never here: code for one operation alone, but the check of its own detail bytes.

use crate::account::Purse;
use crate::code::ResultCode;
use crate::operation;
use crate::request::Detail;
use crate::role::{Role, RoleSet};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $number:literal, $name:literal;)+) => {
        /// What can be asked. Numbers are permanent and below 0x1000; gaps are for operations to come.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum OperationKind { $($(#[doc = $doc])+ $kind = $number,)+ }

        impl OperationKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The operation's name on the command line, in documents and in other languages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// What it does, in a sentence.
            #[must_use]
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$kind => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The kind with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$kind),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// Sets the capacities and times that decisions depend on. The first record of every log.
    Configure = 1, "configure";
    /// Writes down a digest of the whole state, for replays to compare.
    StateDigest = 2, "state_digest";
    /// Opens an asset, or names the one of this code.
    OpenAsset = 16, "open_asset";
    /// Opens a player, or names the one of this caller id.
    OpenPlayer = 32, "open_player";
    /// Credits what arrived over a chain, once per outside fact.
    DepositCredit = 64, "deposit_credit";
    /// Moves money between two players.
    Transfer = 96, "transfer";
    /// Sets a stake aside before a bet is sent out.
    Reserve = 128, "reserve";
    /// Takes stake from a hold and pays what it won; closes the hold when no stake is left.
    Settle = 129, "settle";
    /// Gives back what is left of a hold; before its reserve, sees to it that none follows.
    Cancel = 130, "cancel";
    /// Gives back what is left of a hold whose deadline has passed.
    Expire = 131, "expire";
}

impl OperationKind {
    /// The permanent number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The operation's row.
    #[must_use]
    pub const fn spec(self) -> &'static Spec {
        match self {
            Self::Configure => &CONFIGURE,
            Self::StateDigest => &STATE_DIGEST,
            Self::OpenAsset => &OPEN_ASSET,
            Self::OpenPlayer => &OPEN_PLAYER,
            Self::DepositCredit => &DEPOSIT_CREDIT,
            Self::Transfer => &TRANSFER,
            Self::Reserve => &RESERVE,
            Self::Settle => &SETTLE,
            Self::Cancel => &CANCEL,
            Self::Expire => &EXPIRE,
        }
    }
}

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
}

/// What must be in `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmountRule {
    /// Nothing.
    None,
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
}

/// A rule that must hold for the operation to happen. Within a row they are looked at in order, and the first
/// that does not hold gives the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The settings fit each other and what is stored.
    SettingsFit,
    /// The asset's code is free, or open with the same facts.
    AssetFits,
    /// The caller id is free, or open with the same facts.
    PlayerFits,
    /// Sender and receiver differ.
    PlayersDiffer,
    /// The amounts are within the asset's bound.
    AmountBound,
    /// The asset allows transfers.
    TransfersAllowed,
    /// The deadline, if any, lies ahead.
    DeadlineAhead,
    /// The hold is this player's and in this asset.
    HoldFits,
    /// The hold's deadline has not passed.
    HoldNotExpired,
    /// The hold's deadline has passed.
    HoldDue,
    /// The hold has that much stake left.
    StakeRemains,
    /// The hold was opened for at least that payout, all payouts taken together.
    PayoutWithin,
}

/// One side of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A purse of the player.
    Player(Purse),
    /// A purse of the player at the other end.
    Counterparty(Purse),
    /// A purse of the house that stands for the game's provider.
    Provider(Purse),
    /// A purse of the house that stands for the chain.
    Chain(Purse),
}

/// How much a leg moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The request's amount.
    Amount,
    /// The request's payout.
    Payout,
    /// All that is left of the hold.
    Remaining,
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
}

/// What changes besides balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The settings.
    Settings,
    /// An asset is opened.
    Asset,
    /// A player is opened.
    Player,
    /// A hold is opened.
    HoldOpened,
    /// A hold loses stake; at none left it is closed as settled.
    HoldSettled,
    /// A hold is closed as cancelled, or a tombstone left.
    HoldCancelled,
    /// A hold is closed as expired.
    HoldExpired,
}

/// One row of the table.
#[derive(Debug)]
pub struct Spec {
    /// Who may ask for it.
    pub roles: RoleSet,
    /// Where its id is remembered.
    pub id: IdRule,
    /// Whether it opens something: such a request is not executed under an id older than what is remembered, and
    /// not taken when the tables are full.
    pub opens: bool,
    /// Which number the ledger fills in.
    pub hands_out: HandsOut,
    /// Whether it concerns an asset.
    pub asset: bool,
    /// Whether it concerns a player.
    pub player: bool,
    /// Whether it has a player at the other end.
    pub counterparty: bool,
    /// Whether it carries a reference.
    pub reference: bool,
    /// Whether it may name a session.
    pub session: bool,
    /// Whether it may name a game.
    pub game: bool,
    /// What must be in `amount`.
    pub amount: AmountRule,
    /// Whether its detail begins with a payout.
    pub payout: bool,
    /// How many bytes of the detail a request may use.
    pub detail_bytes: usize,
    /// The check of those bytes; names the field that is wrong.
    pub check_detail: fn(&Detail) -> Result<(), &'static str>,
    /// What it is about.
    pub refers: Refers,
    /// The rules, in order.
    pub gates: &'static [Gate],
    /// The movements, in order.
    pub legs: &'static [LegSpec],
    /// What changes besides.
    pub effect: Effect,
}

const fn any(_: &Detail) -> Result<(), &'static str> {
    Ok(())
}

/// The row of an operation that touches nothing: what the others differ from.
const BASE: Spec = Spec {
    roles: RoleSet::of(&[]),
    id: IdRule::Request,
    opens: false,
    hands_out: HandsOut::Nothing,
    asset: false,
    player: false,
    counterparty: false,
    reference: false,
    session: false,
    game: false,
    amount: AmountRule::None,
    payout: false,
    detail_bytes: 0,
    check_detail: any,
    refers: Refers::Nothing,
    gates: &[],
    legs: &[],
    effect: Effect::None,
};

static CONFIGURE: Spec = Spec {
    roles: RoleSet::of(&[Role::System]),
    id: IdRule::Internal,
    detail_bytes: 32,
    gates: &[Gate::SettingsFit],
    effect: Effect::Settings,
    ..BASE
};

static STATE_DIGEST: Spec =
    Spec { roles: RoleSet::of(&[Role::System]), id: IdRule::Internal, detail_bytes: 32, ..BASE };

static OPEN_ASSET: Spec = Spec {
    roles: RoleSet::of(&[Role::Operator]),
    opens: true,
    hands_out: HandsOut::Asset,
    asset: true,
    amount: AmountRule::Positive,
    detail_bytes: 18,
    check_detail: operation::check_asset_detail,
    gates: &[Gate::AssetFits],
    effect: Effect::Asset,
    ..BASE
};

static OPEN_PLAYER: Spec = Spec {
    roles: RoleSet::of(&[Role::Frontend, Role::Operator]),
    opens: true,
    hands_out: HandsOut::Player,
    player: true,
    reference: true,
    detail_bytes: 5,
    check_detail: operation::check_player_detail,
    gates: &[Gate::PlayerFits],
    effect: Effect::Player,
    ..BASE
};

static DEPOSIT_CREDIT: Spec = Spec {
    roles: RoleSet::of(&[Role::Chain, Role::Cashier]),
    id: IdRule::Permanent,
    asset: true,
    player: true,
    amount: AmountRule::Positive,
    detail_bytes: 4,
    gates: &[Gate::AmountBound],
    legs: &[LegSpec {
        debit: Side::Chain(Purse::DepositClearing),
        credit: Side::Player(Purse::Available),
        amount: Source::Amount,
    }],
    ..BASE
};

static TRANSFER: Spec = Spec {
    roles: RoleSet::of(&[Role::Frontend]),
    opens: true,
    asset: true,
    player: true,
    counterparty: true,
    session: true,
    amount: AmountRule::Positive,
    detail_bytes: 8,
    gates: &[Gate::PlayersDiffer, Gate::TransfersAllowed, Gate::AmountBound],
    legs: &[LegSpec {
        debit: Side::Player(Purse::Available),
        credit: Side::Counterparty(Purse::Available),
        amount: Source::Amount,
    }],
    ..BASE
};

static RESERVE: Spec = Spec {
    roles: RoleSet::of(&[Role::Games, Role::Frontend]),
    opens: true,
    asset: true,
    player: true,
    session: true,
    game: true,
    amount: AmountRule::Positive,
    payout: true,
    detail_bytes: 24,
    refers: Refers::NewHold,
    gates: &[Gate::AmountBound, Gate::DeadlineAhead],
    legs: &[LegSpec {
        debit: Side::Player(Purse::Available),
        credit: Side::Player(Purse::Reserved),
        amount: Source::Amount,
    }],
    effect: Effect::HoldOpened,
    ..BASE
};

static SETTLE: Spec = Spec {
    roles: RoleSet::of(&[Role::Games]),
    asset: true,
    player: true,
    reference: true,
    amount: AmountRule::PositiveOrPayout,
    payout: true,
    detail_bytes: 16,
    refers: Refers::OpenHold,
    gates: &[Gate::HoldFits, Gate::HoldNotExpired, Gate::StakeRemains, Gate::PayoutWithin],
    legs: &[
        LegSpec {
            debit: Side::Player(Purse::Reserved),
            credit: Side::Provider(Purse::ProviderClearing),
            amount: Source::Amount,
        },
        LegSpec {
            debit: Side::Provider(Purse::ProviderClearing),
            credit: Side::Player(Purse::Available),
            amount: Source::Payout,
        },
    ],
    effect: Effect::HoldSettled,
    ..BASE
};

static CANCEL: Spec = Spec {
    roles: RoleSet::of(&[Role::Games]),
    asset: true,
    player: true,
    reference: true,
    refers: Refers::HoldOrTombstone,
    gates: &[Gate::HoldFits, Gate::HoldNotExpired],
    legs: &[RELEASE],
    effect: Effect::HoldCancelled,
    ..BASE
};

static EXPIRE: Spec = Spec {
    roles: RoleSet::of(&[Role::System]),
    id: IdRule::Internal,
    asset: true,
    player: true,
    reference: true,
    refers: Refers::OpenHold,
    gates: &[Gate::HoldFits, Gate::HoldDue],
    legs: &[RELEASE],
    effect: Effect::HoldExpired,
    ..BASE
};

const RELEASE: LegSpec = LegSpec {
    debit: Side::Player(Purse::Reserved),
    credit: Side::Player(Purse::Available),
    amount: Source::Remaining,
};

/// The answer that a gate gives when it does not hold.
impl Gate {
    /// The code of a gate that has but one; the others answer by what they find.
    #[must_use]
    pub const fn code(self) -> ResultCode {
        match self {
            Self::SettingsFit => ResultCode::SettingsUnfit,
            Self::AssetFits => ResultCode::AssetDiffers,
            Self::PlayerFits => ResultCode::PlayerDiffers,
            Self::PlayersDiffer => ResultCode::SamePlayer,
            Self::AmountBound => ResultCode::AmountOverBound,
            Self::TransfersAllowed => ResultCode::TransferNotAllowed,
            Self::DeadlineAhead => ResultCode::DeadlinePassed,
            Self::HoldFits => ResultCode::HoldDiffers,
            Self::HoldNotExpired => ResultCode::HoldExpired,
            Self::HoldDue => ResultCode::HoldNotDue,
            Self::StakeRemains => ResultCode::StakeOverRemaining,
            Self::PayoutWithin => ResultCode::PayoutOverGreatest,
        }
    }
}
