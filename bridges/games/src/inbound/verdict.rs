//! The ledger's numbered answers, sorted into what a provider can be told.
//!
//! In: a result of the ledger's. Out: one of some twenty words, which each adapter has its own code for. Never here:
//! an outcome that is not known reported as a refusal.

use cage_client::Error;
use cage_engine::{Outcome, ResultCode};

/// What became of something, in words that every adapter can translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It happened, now or before.
    Applied,
    /// It was undone before, or never debited: nothing moved.
    AlreadyCancelled,
    /// Nothing was there to undo. Should it come later, it moves nothing.
    Tombstoned,
    /// The same name was used for something else.
    Conflict,
    /// Not enough money.
    Insufficient,
    /// What it refers to is not known.
    BetUnknown,
    /// What it refers to was undone.
    BetCancelled,
    /// What it refers to was refused.
    BetRefused,
    /// What it refers to is another player's or in another currency.
    BetDiffers,
    /// What it refers to has ended with a result.
    Settled,
    /// It was undone before it came.
    CancelledBefore,
    /// What it refers to is no bet, and the provider undoes only bets.
    NotABet,
    /// The round is closed or void.
    RoundClosed,
    /// The round is another one than it seems: of another player, game or currency.
    RoundDiffers,
    /// The round is not known.
    RoundUnknown,
    /// The player may not wager.
    PlayerBlocked,
    /// There is no such player.
    PlayerUnknown,
    /// There is no such session, or it has ended.
    SessionGone,
    /// The session's time is over.
    SessionExpired,
    /// A limit of the player's or the house's.
    Limit,
    /// The game, or all of them, is stopped.
    GameStopped,
    /// The currency is not one of the ledger's, or not the session's.
    Currency,
    /// Another action of the same call was refused.
    OtherRefused,
    /// The bridge may not do this: somebody has to look at its permits, its grant or its configuration.
    Forbidden,
    /// It is not known whether it happened, or it did not, and may be asked again.
    Unavailable,
}

impl Verdict {
    /// What an answer of the ledger's means.
    #[must_use]
    pub const fn of(code: ResultCode) -> Self {
        use ResultCode as Code;
        match code {
            Code::AlreadyCancelled => Self::AlreadyCancelled,
            Code::Tombstoned => Self::Tombstoned,
            Code::IdConflict | Code::GroupDiffers => Self::Conflict,
            Code::InsufficientFunds | Code::TopupExceeded | Code::PlayerOwes => Self::Insufficient,
            Code::HoldUnknown | Code::ReferenceTooOld => Self::BetUnknown,
            Code::HoldCancelled => Self::BetCancelled,
            Code::BetRefused => Self::BetRefused,
            Code::HoldDiffers => Self::BetDiffers,
            Code::HoldSettled | Code::StakeOverRemaining => Self::Settled,
            Code::CancelledBefore => Self::CancelledBefore,
            Code::NotABet => Self::NotABet,
            Code::RoundClosed | Code::RoundCancelled | Code::RoundUnfinished => Self::RoundClosed,
            Code::RoundDiffers => Self::RoundDiffers,
            Code::RoundUnknown => Self::RoundUnknown,
            Code::WagerBlocked | Code::SelfExcluded | Code::PlayerFrozen | Code::PlayerClosed => {
                Self::PlayerBlocked
            }
            Code::PlayerUnknown | Code::PlayerMistyped => Self::PlayerUnknown,
            Code::SessionRequired | Code::SessionUnknown | Code::SessionEnded | Code::SessionDiffers => {
                Self::SessionGone
            }
            Code::SessionExpired => Self::SessionExpired,
            Code::LimitBet
            | Code::LimitLoss
            | Code::LimitWager
            | Code::AmountOverBound
            | Code::ExposureExceeded
            | Code::PayoutMissing => Self::Limit,
            Code::GamingDisabled | Code::GameDisabled => Self::GameStopped,
            Code::AssetUnknown => Self::Currency,
            Code::GroupRefused | Code::GroupNotTaken => Self::OtherRefused,
            Code::Fenced | Code::RoleNotAllowed => Self::Forbidden,
            Code::AssetNotPermitted | Code::CallerNotPermitted | Code::AmountOverRole => Self::Forbidden,
            _ => match code.outcome() {
                Outcome::Executed => Self::Applied,
                Outcome::Refused => Self::Forbidden,
                Outcome::NotTaken => Self::Unavailable,
            },
        }
    }

    /// Its name, for the casino's own front-ends.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AlreadyCancelled => "already_cancelled",
            Self::Tombstoned => "tombstoned",
            Self::Conflict => "conflict",
            Self::Insufficient => "insufficient",
            Self::BetUnknown => "bet_unknown",
            Self::BetCancelled => "bet_cancelled",
            Self::BetRefused => "bet_refused",
            Self::BetDiffers => "bet_differs",
            Self::Settled => "settled",
            Self::CancelledBefore => "cancelled_before",
            Self::NotABet => "not_a_bet",
            Self::RoundClosed => "round_closed",
            Self::RoundDiffers => "round_differs",
            Self::RoundUnknown => "round_unknown",
            Self::PlayerBlocked => "player_blocked",
            Self::PlayerUnknown => "player_unknown",
            Self::SessionGone => "session_gone",
            Self::SessionExpired => "session_expired",
            Self::Limit => "limit",
            Self::GameStopped => "game_stopped",
            Self::Currency => "currency",
            Self::OtherRefused => "other_refused",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }

    /// What a failure of the client's means.
    #[must_use]
    pub fn of_error(error: &Error) -> Self {
        error.code().map_or(Self::Unavailable, Self::of)
    }

    /// Whether a provider is told that all is well.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Applied | Self::AlreadyCancelled | Self::Tombstoned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write whose fate is not known must not be reported as refused, or the provider pays nothing for it.
    #[test]
    fn what_may_be_tried_again_is_never_told_as_a_refusal() {
        for code in ResultCode::ALL {
            let verdict = Verdict::of(*code);
            match code.outcome() {
                Outcome::Executed => assert!(verdict.is_good(), "{code:?}"),
                Outcome::Refused => {
                    assert!(!verdict.is_good() && verdict != Verdict::Unavailable, "{code:?}");
                }
                Outcome::NotTaken => assert!(
                    matches!(verdict, Verdict::Unavailable | Verdict::OtherRefused | Verdict::Forbidden),
                    "{code:?}"
                ),
            }
        }
        let id = cage_engine::RequestId(1);
        assert_eq!(Verdict::of_error(&Error::Unknown { id }), Verdict::Unavailable);
        assert_eq!(Verdict::of_error(&Error::NotTaken { id, code: None }), Verdict::Unavailable);
    }
}
