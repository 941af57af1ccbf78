//! The gates: what must hold for an operation to happen, and the answers when it does not.

use crate::code::ResultCode;

macro_rules! gates {
    ($($(#[doc = $doc:literal])+ $gate:ident => [$($code:ident),+];)+) => {
        /// A rule that must hold for the operation to happen. Within a row they are looked at in order, and the first
        /// that does not hold gives the answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Gate { $($(#[doc = $doc])+ $gate,)+ }

        impl Gate {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$gate,)+];

            /// What must hold, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$gate => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The answers that it gives when it does not hold, in the order of their precedence.
            #[must_use]
            pub const fn codes(self) -> &'static [ResultCode] {
                match self { $(Self::$gate => &[$(ResultCode::$code),+],)+ }
            }
        }
    };
}

gates! {
    /// The settings fit each other and what is stored.
    SettingsFit => [SettingsUnfit];
    /// The asset's code is free, or open with the same facts.
    AssetFits => [AssetDiffers];
    /// The caller id is free, or open with the same facts.
    PlayerFits => [PlayerDiffers];
    /// The rule's scope and value are in their ranges; who proposed it is not the one to confirm it.
    RuleFits => [RuleUnfit, SameIdentity];
    /// The price can be counted with.
    PriceFits => [RuleUnfit];
    /// The limit can be counted with, and there is a reference asset.
    LimitFits => [LimitUnfit];
    /// A closed player is opened again by an operator only; a front-end excludes at the player's own wish, and nothing else.
    StatusFits => [PlayerClosed, StatusNotAllowed];
    /// Sender and receiver differ.
    PlayersDiffer => [SamePlayer];
    /// The asset allows transfers, and so do the brands and the jurisdictions of both; and both are of one class.
    TransfersAllowed => [TransferNotAllowed, TransferBrand, TransferJurisdiction, TransferClass];
    /// The amount is within the asset's bound.
    AmountBound => [AmountOverBound];
    /// The deadline, if any, lies ahead.
    DeadlineAhead => [DeadlinePassed];
    /// The time at which it ends lies ahead.
    ExpiresAhead => [DeadlinePassed];
    /// The player may wager.
    MayPlay => [WagerBlocked, SelfExcluded, PlayerFrozen, PlayerClosed];
    /// The receiver may wager.
    ReceiverMayPlay => [WagerBlocked, SelfExcluded, PlayerFrozen, PlayerClosed];
    /// The player may fund the account (what a chain brings is credited all the same, locked).
    MayFund => [SelfExcluded, PlayerFrozen, PlayerClosed];
    /// The player may withdraw, and nothing has to be checked before.
    MayWithdraw => [PlayerFrozen, KycHold];
    /// The same, or a transaction was signed before.
    MayPayOut => [PlayerFrozen, KycHold];
    /// The session is the player's and open, for this game; none only if the brand requires none.
    SessionFits => [SessionRequired, SessionUnknown, SessionEnded, SessionDiffers, SessionExpired];
    /// The session has a meter in this asset.
    SessionMetered => [SessionDiffers];
    /// A provider tops a meter up by no more than the session was opened for.
    FundingWithin => [TopupExceeded];
    /// The session's asset is open, and there is one if the meter is to be topped up.
    MeterFits => [AssetUnknown, SessionDiffers];
    /// Neither the game nor all gaming is disabled.
    GameEnabled => [GamingDisabled, GameDisabled];
    /// The round is to be opened, or open, this player's, in this asset and of this provider.
    RoundFits => [RoundDiffers, RoundClosed, RoundCancelled];
    /// The player has no other round of this game with a stake in it, nor a hold without a round, if the game allows but one.
    RoundFinished => [RoundUnfinished];
    /// The stake is within the player's limits.
    WagerLimits => [RateMissing, RateOld, LimitBet, LimitLoss, LimitWager];
    /// The deposit is within the player's limits (what a chain brings is credited all the same, locked).
    DepositLimits => [RateMissing, RateOld, LimitDeposit, LimitDepositNet];
    /// The wager names its greatest payout, if what the house may have to pay on this game is bounded.
    PayoutNamed => [PayoutMissing];
    /// What the house may have to pay on this game is within its bound.
    ExposureWithin => [ExposureExceeded];
    /// The hold is this player's and in this asset.
    HoldFits => [HoldDiffers];
    /// The hold's deadline has not passed.
    HoldNotExpired => [HoldExpired];
    /// The time at which the ledger does this by itself has come.
    Due => [HoldNotDue];
    /// The hold or bet has that much stake left.
    StakeRemains => [StakeOverRemaining];
    /// The hold was opened for at least that payout, all payouts taken together.
    PayoutWithin => [PayoutOverGreatest];
    /// The bet or win is this player's, in this asset and of this provider, and in this round.
    BetFits => [HoldDiffers, RoundDiffers];
    /// The bet has not won, or is undone all the same.
    NotWon => [HoldSettled];
    /// The round that ends with it has no undecided holds.
    RoundDecided => [RoundHasHolds];
    /// The round is this player's, in this asset and of this provider.
    TargetRoundFits => [RoundDiffers];
    /// The order to void covers it and is not used up.
    OrderCovers => [OrderUnknown, OrderDiffers, OrderExceeded];
    /// The positions in the log are those of past records.
    PeriodFits => [PeriodUnfit];
    /// The deposit is this player's, and there is that much of it left.
    DepositFits => [DepositDiffers, DepositExceeded];
    /// The player owes that much.
    Owed => [NothingOwed, OwedExceeded];
    /// The player owes nothing.
    NothingOwed => [PlayerOwes];
    /// The player owes nothing, or a transaction was signed before.
    NothingOwedOrSigned => [PlayerOwes];
    /// There is something to collect.
    Collectable => [NothingOwed, OwedExceeded, InsufficientFunds];
    /// A reason that this role may free money of, and one that does not keep it locked now.
    Unlockable => [
        ReasonNotAllowed, SelfExcluded, PlayerFrozen, PlayerClosed, RateMissing, RateOld, LimitDeposit, LimitDepositNet
    ];
    /// That much is locked for the reason.
    LockedEnough => [LockExceeded];
    /// Nothing has to be wagered before.
    TurnoverDone => [TurnoverLeft];
    /// The fee leaves something to be paid.
    FeeFits => [FeeExceeds];
    /// The withdrawal is this player's, in this asset and over this chain.
    WithdrawalFits => [WithdrawalDiffers];
    /// The withdrawal waits for approval, by another identity than before.
    Approvable => [WithdrawalApproved, WithdrawalSigned, SameIdentity];
    /// The withdrawal was approved, uses one slot of the paying account, and was not signed too often.
    Signable => [WithdrawalNotApproved, SlotDiffers, AttemptsUsed];
    /// The withdrawal was signed.
    Signed => [WithdrawalNotSigned];
    /// An approver releases what needs two approvals.
    Releasable => [ApproverNeeded];
    /// The withdrawal was not signed.
    NotSigned => [WithdrawalSigned];
    /// The transaction is one that was signed for it.
    TransactionKnown => [TransactionUnknown];
    /// An import is open, in this asset if it is about one.
    ImportOpen => [NotImporting];
    /// An import is open in this asset, and its total is not passed.
    Importing => [NotImporting, ImportExceeded];
    /// Both assets have a price that is young enough, and the exchange gives enough.
    RateFits => [AssetUnknown, RateMissing, RateOld, BalanceOverflow, RateMoved];
    /// The proposal is for this player, in this asset.
    AdjustmentFits => [AdjustmentDiffers];
    /// The jackpot is one of the game's provider.
    JackpotOwn => [JackpotDiffers];
    /// The key is the transaction that is corrected.
    KeyIsTransaction => [KeyDiffers];
    /// The transaction was not carried out; what is known of it is this player's, in this asset, of this provider, in the record that is named, was neither undone nor refused, and cannot be undone by its own name.
    CorrectionFits => [CarriedOut, HoldDiffers, NotABet, HoldCancelled, BetRefused, UseItsName];
    /// Another identity proposed it.
    OtherIdentity => [SameIdentity];
    /// The free rounds are this player's, for this game, not expired, and enough.
    FreeroundFits => [FreeroundDiffers, FreeroundExpired, FreeroundExceeded];
    /// The free rounds are this player's, for this game.
    FreeroundOwn => [FreeroundDiffers];
}
