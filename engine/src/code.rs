//! Every answer a request can get, numbered for ever.
//!
//! The number's range says what happened: 0-99 executed; 100-699 refused by a rule, which is a record and stays
//! so under its id; 700-799 refused for what was sent or who sent it, no record; 800-899 refused for what is
//! known of the id; 900-999 not taken: nothing was decided, the same id may be retried.

crate::numbered! {
    /// The numbered answer to a request. A number, once given, keeps its meaning.
    #[non_exhaustive]
    pub enum ResultCode: u16 {
        /// Executed.
        Done = 0, "done";
        /// Executed: what was to be opened is there already, with the same facts; its number is in the reply.
        Existing = 1, "existing";
        /// Executed: nothing was there to cancel; should the bet arrive later, it will be refused.
        Tombstoned = 2, "tombstoned";
        /// Executed: nine tenths or more of one of the player's limits are used up.
        LimitNear = 3, "limit_near";
        /// Executed: the funds did not cover it; the rest is owed to the house or paid by it.
        Shortfall = 4, "shortfall";
        /// Executed: it was cancelled before, or never debited; nothing moves.
        AlreadyCancelled = 5, "already_cancelled";
        /// Executed: the round was closed before; nothing changes.
        AlreadyClosed = 6, "already_closed";
        /// Executed: the looser limit comes into force after the time for reconsideration.
        Later = 7, "later";
        /// Executed: it waits until a second identity has said so as well.
        OneMore = 8, "one_more";
        /// Executed: the money stays locked, for the player's status or limit.
        StillLocked = 9, "still_locked";
        /// The asset is not open in this ledger.
        AssetUnknown = 100, "asset_unknown";
        /// An asset of this code is open with another scale or other rules.
        AssetDiffers = 101, "asset_differs";
        /// There is no player of this number.
        PlayerUnknown = 110, "player_unknown";
        /// A player of this caller id is open with another brand, jurisdiction or class.
        PlayerDiffers = 111, "player_differs";
        /// There is no receiving player of this number.
        CounterpartyUnknown = 112, "counterparty_unknown";
        /// Sender and receiver are one and the same.
        SamePlayer = 113, "same_player";
        /// The amount is greater than the asset allows in one operation.
        AmountOverBound = 120, "amount_over_bound";
        /// Transfers between players are switched off for this asset.
        TransferNotAllowed = 130, "transfer_not_allowed";
        /// Transfers are switched off for the brand of one of the players.
        TransferBrand = 131, "transfer_brand";
        /// Transfers are switched off in the jurisdiction of one of the players.
        TransferJurisdiction = 132, "transfer_jurisdiction";
        /// A tester and a customer send nothing to each other.
        TransferClass = 133, "transfer_class";
        /// There is no hold of this id, nor is one remembered.
        HoldUnknown = 140, "hold_unknown";
        /// The hold belongs to another player or is in another asset.
        HoldDiffers = 141, "hold_differs";
        /// The hold was settled in full.
        HoldSettled = 142, "hold_settled";
        /// The hold was cancelled.
        HoldCancelled = 143, "hold_cancelled";
        /// The hold has expired.
        HoldExpired = 144, "hold_expired";
        /// The bet was cancelled before it arrived.
        CancelledBefore = 145, "cancelled_before";
        /// More stake than the hold has left.
        StakeOverRemaining = 146, "stake_over_remaining";
        /// More payout than the hold was opened for.
        PayoutOverGreatest = 147, "payout_over_greatest";
        /// The hold is not due yet.
        HoldNotDue = 148, "hold_not_due";
        /// The deadline is not after the time of the decision.
        DeadlinePassed = 149, "deadline_passed";
        /// The player has less than that available.
        InsufficientFunds = 150, "insufficient_funds";
        /// The bet was refused: there is nothing to pay for.
        BetRefused = 151, "bet_refused";
        /// What is referred to is no longer remembered: answer from the history, or send a late correction.
        ReferenceTooOld = 152, "reference_too_old";
        /// What is referred to is no bet of a provider.
        NotABet = 153, "not_a_bet";
        /// A balance would grow beyond what can be counted.
        BalanceOverflow = 160, "balance_overflow";
        /// The settings do not fit each other or what is stored already.
        SettingsUnfit = 170, "settings_unfit";
        /// The rule's scope or value is out of its range.
        RuleUnfit = 171, "rule_unfit";
        /// The limit cannot be counted: it is too great, or there is no reference asset.
        LimitUnfit = 172, "limit_unfit";
        /// There is no published rate for the asset.
        RateMissing = 173, "rate_missing";
        /// At the rate in force this gives less than was asked for.
        RateMoved = 174, "rate_moved";
        /// The asset's price is older than the house allows: publish one, then retry.
        RateOld = 175, "rate_old";
        /// The stake is over the player's limit for one bet.
        LimitBet = 200, "limit_bet";
        /// The stake is over what the player may still lose in a day, week or month.
        LimitLoss = 201, "limit_loss";
        /// The stake is over what the player may still wager in a day, week or month.
        LimitWager = 202, "limit_wager";
        /// The deposit is over what the player may still deposit in a day, week or month.
        LimitDeposit = 203, "limit_deposit";
        /// The deposit is over what the player may still deposit, less withdrawals, in a day, week or month.
        LimitDepositNet = 204, "limit_deposit_net";
        /// The player is blocked from wagering.
        WagerBlocked = 210, "wager_blocked";
        /// The player is excluded at the player's own wish.
        SelfExcluded = 211, "self_excluded";
        /// The player is frozen.
        PlayerFrozen = 212, "player_frozen";
        /// The player's account is closed.
        PlayerClosed = 214, "player_closed";
        /// The caller's role may not give the player this status, or not now.
        StatusNotAllowed = 215, "status_not_allowed";
        /// The player's withdrawals are held up until identity or origin of funds are checked.
        KycHold = 216, "kyc_hold";
        /// A session is required.
        SessionRequired = 220, "session_required";
        /// There never was a session of this number.
        SessionUnknown = 221, "session_unknown";
        /// The session has ended.
        SessionEnded = 222, "session_ended";
        /// The session is another player's, for another game, or in another asset.
        SessionDiffers = 223, "session_differs";
        /// The session has expired.
        SessionExpired = 224, "session_expired";
        /// More than the session may still be topped up by.
        TopupExceeded = 225, "topup_exceeded";
        /// All gaming is disabled.
        GamingDisabled = 230, "gaming_disabled";
        /// The game is disabled.
        GameDisabled = 231, "game_disabled";
        /// What the house could have to pay on this game is over its bound.
        ExposureExceeded = 235, "exposure_exceeded";
        /// The house bounds what this game may pay: the wager has to name its greatest payout.
        PayoutMissing = 236, "payout_missing";
        /// There is no round of this key, nor is one remembered.
        RoundUnknown = 240, "round_unknown";
        /// The round is another player's, in another asset, or of another provider.
        RoundDiffers = 241, "round_differs";
        /// The round is closed.
        RoundClosed = 242, "round_closed";
        /// The round was cancelled.
        RoundCancelled = 243, "round_cancelled";
        /// The round has holds that are not decided yet.
        RoundHasHolds = 244, "round_has_holds";
        /// There is no order to void of this id.
        OrderUnknown = 245, "order_unknown";
        /// The order to void does not cover this.
        OrderDiffers = 246, "order_differs";
        /// The order to void is used up.
        OrderExceeded = 247, "order_exceeded";
        /// The positions in the log are not those of past records.
        PeriodUnfit = 248, "period_unfit";
        /// The player has another round of this game that is not over, and the game allows one at a time.
        RoundUnfinished = 249, "round_unfinished";
        /// There is no deposit of this key.
        DepositUnknown = 250, "deposit_unknown";
        /// The deposit is another player's, in another asset, or came over another chain.
        DepositDiffers = 251, "deposit_differs";
        /// More than the deposit has left to reverse.
        DepositExceeded = 252, "deposit_exceeded";
        /// The player owes nothing.
        NothingOwed = 253, "nothing_owed";
        /// More than the player owes.
        OwedExceeded = 254, "owed_exceeded";
        /// More than is locked for this reason.
        LockExceeded = 255, "lock_exceeded";
        /// The player owes the house something in this asset, and takes nothing out before that is paid.
        PlayerOwes = 256, "player_owes";
        /// The caller's role may not free money that is locked for this reason.
        ReasonNotAllowed = 257, "reason_not_allowed";
        /// The player has to wager more before a withdrawal.
        TurnoverLeft = 260, "turnover_left";
        /// The fee is as great as the withdrawal.
        FeeExceeds = 261, "fee_exceeds";
        /// There is no withdrawal of this id, nor is one remembered.
        WithdrawalUnknown = 262, "withdrawal_unknown";
        /// The withdrawal is approved already.
        WithdrawalApproved = 263, "withdrawal_approved";
        /// The withdrawal was signed and may be on its way.
        WithdrawalSigned = 264, "withdrawal_signed";
        /// A second, different identity has to do this.
        SameIdentity = 265, "same_identity";
        /// The withdrawal is another player's, in another asset, or goes over another chain.
        WithdrawalDiffers = 266, "withdrawal_differs";
        /// The withdrawal was paid.
        WithdrawalSettled = 267, "withdrawal_settled";
        /// The withdrawal was cancelled.
        WithdrawalCancelled = 268, "withdrawal_cancelled";
        /// The withdrawal is not approved.
        WithdrawalNotApproved = 269, "withdrawal_not_approved";
        /// The withdrawal is bound to another slot of the paying account.
        SlotDiffers = 270, "slot_differs";
        /// The withdrawal was not signed.
        WithdrawalNotSigned = 271, "withdrawal_not_signed";
        /// The transaction is none that was signed for this withdrawal.
        TransactionUnknown = 272, "transaction_unknown";
        /// The withdrawal was signed as often as is remembered: wait for one of its transactions.
        AttemptsUsed = 273, "attempts_used";
        /// The amount is so great that an approver has to release it.
        ApproverNeeded = 274, "approver_needed";
        /// No import is open for the asset.
        NotImporting = 280, "not_importing";
        /// What is to be imported is known already.
        AlreadyKnown = 281, "already_known";
        /// More than the total that was declared for the import.
        ImportExceeded = 282, "import_exceeded";
        /// There are no free rounds of this id, nor are they remembered.
        FreeroundUnknown = 290, "freeround_unknown";
        /// The free rounds are another player's or for another game.
        FreeroundDiffers = 291, "freeround_differs";
        /// The free rounds have expired.
        FreeroundExpired = 292, "freeround_expired";
        /// More free rounds than are left.
        FreeroundExceeded = 293, "freeround_exceeded";
        /// The free rounds are used up.
        FreeroundUsed = 294, "freeround_used";
        /// The jackpot is another provider's.
        JackpotDiffers = 295, "jackpot_differs";
        /// There is no adjustment of this key that waits for approval.
        AdjustmentUnknown = 300, "adjustment_unknown";
        /// The adjustment was approved before.
        AdjustmentDone = 301, "adjustment_done";
        /// The adjustment was rejected.
        AdjustmentRejected = 302, "adjustment_rejected";
        /// The adjustment is for another player or in another asset.
        AdjustmentDiffers = 303, "adjustment_differs";
        /// The key of a late correction is the transaction that it corrects.
        KeyDiffers = 304, "key_differs";
        /// The transaction was carried out under its own name: there is nothing left to correct.
        CarriedOut = 306, "carried_out";
        /// The transaction is known in full: it is undone by its own name, not by a correction.
        UseItsName = 307, "use_its_name";
        /// Another request of the group was refused, and so none of it happened.
        GroupRefused = 320, "group_refused";
        /// The request's bytes break the protocol: a field that must be zero is not, or the reverse.
        Malformed = 700, "malformed";
        /// There is no operation of this number.
        OperationUnknown = 701, "operation_unknown";
        /// The request id is zero.
        IdZero = 702, "id_zero";
        /// The caller's role may not ask for this.
        RoleNotAllowed = 703, "role_not_allowed";
        /// The check digits of a player's number are wrong.
        PlayerMistyped = 704, "player_mistyped";
        /// The amount must not be zero.
        AmountZero = 705, "amount_zero";
        /// The amount is greater than any ledger can count.
        AmountOverLimit = 706, "amount_over_limit";
        /// The caller has no permit for this asset.
        AssetNotPermitted = 707, "asset_not_permitted";
        /// The caller may not act for this provider or chain.
        CallerNotPermitted = 708, "caller_not_permitted";
        /// The amount is greater than the caller or its role may move.
        AmountOverRole = 709, "amount_over_role";
        /// The group is not one: an id twice, too many requests, or an operation that cannot be part of one.
        GroupMalformed = 710, "group_malformed";
        /// A session is opened with a signed token only.
        TokenMissing = 711, "token_missing";
        /// The token is not valid: its signature, its key, its time or its contents.
        TokenInvalid = 712, "token_invalid";
        /// The id was used for a request of other content.
        IdConflict = 800, "id_conflict";
        /// The id's own time is older than what is remembered: it is never executed; look it up in the history.
        IdTooOld = 801, "id_too_old";
        /// Some requests of the group were answered before in another grouping.
        GroupDiffers = 802, "group_differs";
        /// The id's own time is too far ahead: correct the caller's clock.
        IdFromFuture = 900, "id_from_future";
        /// No more ids can be remembered without forgetting young ones: retry later, or raise the capacity.
        IdTableFull = 901, "id_table_full";
        /// No more holds can be open: retry later, or raise the capacity.
        HoldTableFull = 902, "hold_table_full";
        /// No more players can be opened: raise the capacity.
        PlayerTableFull = 903, "player_table_full";
        /// No more assets can be opened.
        AssetTableFull = 904, "asset_table_full";
        /// No more permanent keys can be remembered, of which a ledger has 2^27: what pays out finds room longest.
        KeyTableFull = 905, "key_table_full";
        /// The ledger has no settings yet.
        NotConfigured = 906, "not_configured";
        /// No more sessions can be open: end some, or raise the capacity.
        SessionTableFull = 907, "session_table_full";
        /// The server is shutting down: retry at the next one.
        Draining = 910, "draining";
        /// The server's queue is full: retry after a pause.
        InboxFull = 911, "inbox_full";
        /// The server's clock jumped: an operator has to confirm it.
        ClockJumped = 912, "clock_jumped";
        /// The log is near the end of its disk: wagers wait until there is space.
        DiskNearlyFull = 913, "disk_nearly_full";
        /// Another request of the group was not taken, and so none of it was.
        GroupNotTaken = 915, "group_not_taken";
        /// A later grant was given for this bridge's scope: it must stop.
        Fenced = 920, "fenced";
    }
}

/// What became of a request, in the four kinds a caller must tell apart (the fourth, *unknown*, is what a client
/// says when it has no answer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Executed,
    /// It did not happen and will not under this id.
    Refused,
    /// It did not happen; the same id may be retried.
    NotTaken,
}

impl ResultCode {
    /// The kind of answer.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self as u16 {
            0..=99 => Outcome::Executed,
            100..=899 => Outcome::Refused,
            _ => Outcome::NotTaken,
        }
    }

    /// Whether the answer is a record of the log.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        (self as u16) < 700
    }

    /// Whether something was executed.
    #[must_use]
    pub const fn is_executed(self) -> bool {
        matches!(self.outcome(), Outcome::Executed)
    }

    /// The permanent number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}
