//! Every answer a request can get, numbered for ever.
//!
//! The number's range says what happened: 0-99 executed; 100-699 refused by a rule, which is a record and stays
//! so under its id; 700-799 refused for what was sent or who sent it, no record; 800-899 refused for what is
//! known of the id; 900-999 not taken: nothing was decided, the same id may be retried.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// The numbered answer to a request. A number, once given, keeps its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum ResultCode { $($(#[doc = $doc])+ $name = $number,)+ }

        impl ResultCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code's name, as logs, documents and other languages print it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means and what to do, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The code with this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

codes! {
    /// Executed.
    Done = 0, "done";
    /// Executed: what was to be opened is there already, with the same facts; its number is in the reply.
    Existing = 1, "existing";
    /// Executed: nothing was there to cancel; should the bet arrive later, it will be refused.
    Tombstoned = 2, "tombstoned";
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
    /// A balance would grow beyond what can be counted.
    BalanceOverflow = 160, "balance_overflow";
    /// The settings do not fit each other or what is stored already.
    SettingsUnfit = 170, "settings_unfit";
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
    /// The id was used for a request of other content.
    IdConflict = 800, "id_conflict";
    /// The id's own time is older than what is remembered: it is never executed; look it up in the history.
    IdTooOld = 801, "id_too_old";
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
    /// No more permanent keys can be remembered: raise the capacity.
    KeyTableFull = 905, "key_table_full";
    /// The ledger has no settings yet.
    NotConfigured = 906, "not_configured";
    /// The server is shutting down: retry at the next one.
    Draining = 910, "draining";
    /// The server's queue is full: retry after a pause.
    InboxFull = 911, "inbox_full";
    /// The server's clock jumped: an operator has to confirm it.
    ClockJumped = 912, "clock_jumped";
    /// The log is near the end of its disk: wagers wait until there is space.
    DiskNearlyFull = 913, "disk_nearly_full";
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
