//! The table's words for people: each value of the table's types in a few words. A new value does not compile until
//! it has some.

use cage_engine::code::ResultCode;
use cage_engine::table::{AmountRule, Effect, HandsOut, IdRule, LegSpec, Refers, Side, Source, Venue};
use cage_engine::{OperationKind, Purse};

pub(crate) const fn id(rule: IdRule, opens: bool) -> &'static str {
    match (rule, opens) {
        (IdRule::Internal, _) => "internal",
        (IdRule::Request, false) => "request",
        (IdRule::Request, true) => "request, opens",
        (IdRule::Permanent, _) => "permanent key",
        (IdRule::Reference, _) => "reference",
    }
}

pub(crate) const fn hands_out(rule: HandsOut) -> &'static str {
    match rule {
        HandsOut::Nothing => "–",
        HandsOut::Asset => "the asset's number",
        HandsOut::Player => "the player's number",
        HandsOut::Session => "the session's number",
        HandsOut::Grant => "the grant's number",
        HandsOut::Address => "the address's number",
    }
}

pub(crate) const fn venue(rule: Venue) -> &'static str {
    match rule {
        Venue::None => "–",
        Venue::Game => "the game's provider",
        Venue::Hold => "the provider of the open hold",
        Venue::Session => "the provider of the session's game",
        Venue::Chain => "the chain",
    }
}

pub(crate) const fn amount(rule: AmountRule) -> &'static str {
    match rule {
        AmountRule::Any => "",
        AmountRule::Positive => "more than 0, else 705 `amount_zero`",
        AmountRule::PositiveOrPayout => "it or the payout more than 0, else 705 `amount_zero`",
    }
}

pub(crate) const fn refers(to: Refers) -> &'static str {
    match to {
        Refers::Nothing => "nothing",
        Refers::NewHold => "a hold to be opened",
        Refers::OpenHold => "an open hold",
        Refers::HoldOrTombstone => "an open hold, or leaves a tombstone",
        Refers::NewBet => "a bet to be opened",
        Refers::Bet => "a bet, open or remembered",
        Refers::BetOrWin => "an open bet or win, or leaves a tombstone",
        Refers::Round => "an open round",
        Refers::Session => "an open session",
        Refers::Deposit => "a deposit",
        Refers::Withdrawal => "a withdrawal under way",
        Refers::Adjustment => "a proposed correction",
        Refers::Freeround => "free rounds",
        Refers::Unknown => "something new to the ledger",
    }
}

/// What is answered if it is not there, in the order in which it is looked at.
pub(crate) const fn not_found(kind: OperationKind) -> &'static [(&'static str, ResultCode)] {
    use ResultCode as Code;
    match kind.spec().refers {
        Refers::Nothing => &[],
        Refers::NewHold => &[("there is a tombstone of it", Code::CancelledBefore)],
        Refers::NewBet => &[("there is a tombstone", Code::CancelledBefore)],
        Refers::OpenHold => &[
            ("it was settled in full", Code::HoldSettled),
            ("it was cancelled, or there is a tombstone", Code::HoldCancelled),
            ("it has expired", Code::HoldExpired),
            ("nothing is known of it", Code::HoldUnknown),
        ],
        Refers::HoldOrTombstone => &[
            ("it was settled in full", Code::HoldSettled),
            ("it was cancelled, or there is a tombstone", Code::HoldCancelled),
            ("it has expired", Code::HoldExpired),
            ("nothing is known of it, and its id lies more than 5 s ahead", Code::IdFromFuture),
            ("nothing is known of it: a tombstone is left", Code::Tombstoned),
        ],
        Refers::Bet => &[
            ("the win itself was undone before it arrived", Code::CancelledBefore),
            ("it is a win, or an open hold", Code::NotABet),
            (
                "its round is closed, and it was another player's, in another asset or of another provider",
                Code::HoldDiffers,
            ),
            ("it was rolled back or voided, or there is a tombstone", Code::HoldCancelled),
            ("it was refused", Code::BetRefused),
            ("nothing is known of it, and the request names its record", Code::ReferenceTooOld),
            ("nothing is known of it", Code::HoldUnknown),
        ],
        Refers::BetOrWin => &[
            ("it is an open hold", Code::NotABet),
            (
                "it is a win whose round is closed and that is not kept in full, or a rollback",
                Code::ReferenceTooOld,
            ),
            (
                "it is a bet whose round is closed and that is not kept in full, and `reverse_settled` is set",
                Code::ReferenceTooOld,
            ),
            ("it is a bet whose round is closed and that is not kept in full", Code::HoldSettled),
            (
                "it was undone before, or refused, or there is a tombstone: nothing moves",
                Code::AlreadyCancelled,
            ),
            ("nothing is known of it, and the request names its record", Code::ReferenceTooOld),
            ("nothing is known of it: a tombstone is left", Code::Tombstoned),
        ],
        Refers::Round => match kind {
            OperationKind::VoidRound => &[
                ("it was voided before: nothing moves", Code::AlreadyCancelled),
                ("it is closed", Code::RoundClosed),
                ("nothing is known of it", Code::RoundUnknown),
            ],
            _ => &[
                ("it was voided", Code::RoundCancelled),
                ("it was closed before: nothing changes", Code::AlreadyClosed),
                ("nothing is known of it", Code::RoundUnknown),
            ],
        },
        Refers::Session => &[
            ("it is another player's", Code::SessionDiffers),
            ("there never was one of this number", Code::SessionUnknown),
            ("it has ended", Code::SessionEnded),
        ],
        Refers::Deposit => &[("there is none of this key", Code::DepositUnknown)],
        Refers::Withdrawal => &[
            ("it was paid", Code::WithdrawalSettled),
            ("it was given up", Code::WithdrawalCancelled),
            ("nothing is known of it", Code::WithdrawalUnknown),
        ],
        Refers::Adjustment => &[
            ("it was carried out", Code::AdjustmentDone),
            ("it was rejected", Code::AdjustmentRejected),
            ("nothing is known of it", Code::AdjustmentUnknown),
        ],
        Refers::Freeround => &[
            ("they are used up", Code::FreeroundUsed),
            ("they were taken back", Code::FreeroundExpired),
            ("nothing is known of them", Code::FreeroundUnknown),
        ],
        Refers::Unknown => match kind {
            OperationKind::ImportHold => &[
                ("the hold's id lies more than 5 s ahead", Code::IdFromFuture),
                ("it is open, or remembered", Code::AlreadyKnown),
            ],
            _ => &[("it is open, or remembered", Code::AlreadyKnown)],
        },
    }
}

/// What is answered when a number is handed out.
pub(crate) const fn handing_out(rule: HandsOut) -> &'static [(&'static str, ResultCode)] {
    use ResultCode as Code;
    match rule {
        HandsOut::Nothing | HandsOut::Grant => &[],
        HandsOut::Asset => &[
            ("one of this code is open: its number", Code::Existing),
            ("there are too many", Code::AssetTableFull),
        ],
        HandsOut::Player => &[
            ("one of this caller id is open: the player's number", Code::Existing),
            ("there are too many", Code::PlayerTableFull),
        ],
        HandsOut::Session => &[
            ("the one of this token was revoked", Code::SessionEnded),
            ("one of this token is open, with the same facts: its number", Code::Existing),
            ("one of this token is open, with other facts", Code::SessionDiffers),
            ("there are too many", Code::SessionTableFull),
        ],
        HandsOut::Address => &[
            ("there is a current one and `fresh` is not set: its number", Code::Existing),
            ("there are no more numbers", Code::KeyTableFull),
        ],
    }
}

/// What the execution answers besides 0.
pub(crate) fn executed(kind: OperationKind) -> Vec<(&'static str, ResultCode)> {
    let spec = kind.spec();
    let mut answers = Vec::new();
    match spec.effect {
        Effect::Corrected => answers.push((
            "the day's sum of the provider would pass rule 20, and no order of another identity covers it: it waits for \
             `adjust_approve`",
            ResultCode::OneMore,
        )),
        Effect::Limit => {
            answers.push(("it is looser than the player's own in force, and waits", ResultCode::Later))
        }
        Effect::WithdrawalApproved => {
            answers.push(("two identities are needed, and this is the first", ResultCode::OneMore));
        }
        Effect::Rule => {
            answers.push(("two identities are needed, and this is the first", ResultCode::OneMore));
        }
        Effect::Unlocked => {
            answers.push(("the player's status or limit keeps it locked", ResultCode::StillLocked));
        }
        _ => {}
    }
    let owed = |leg: &LegSpec| matches!(leg.debit, Side::Receivable | Side::Pool(Purse::JackpotShortfall));
    if spec.legs.iter().any(owed) {
        answers.push(("not all of it was there, and the rest was moved all the same", ResultCode::Shortfall));
    }
    if matches!(spec.effect, Effect::HoldOpened | Effect::BetOpened | Effect::BetWon | Effect::Deposited) {
        answers.push(("nine tenths of a limit are used up with it", ResultCode::LimitNear));
    }
    answers
}

fn purse(purse: Purse) -> String {
    format!("`{}`", purse.name())
}

pub(crate) fn side(side: Side) -> String {
    match side {
        Side::Player(of) => format!("player {}", purse(of)),
        Side::Stake => "player *stake purse*".to_owned(),
        Side::Payout => "player *payout purse*".to_owned(),
        Side::Deposit => "player *deposit purse*".to_owned(),
        Side::Counterparty(of) => format!("receiver {}", purse(of)),
        Side::Provider(of) => format!("house {} of the provider", purse(of)),
        Side::Chain(of) => format!("house {} of the chain", purse(of)),
        Side::House(of) => format!("house {}", purse(of)),
        Side::Receivable => format!("house {} of the player", purse(Purse::Receivable)),
        Side::Pool(of) => format!("house {} of the pool", purse(of)),
        Side::Sponsor => format!(
            "house {} of the provider (house {} if `house_paid`)",
            purse(Purse::ProviderClearing),
            purse(Purse::BonusExpense)
        ),
        Side::Corrected => format!(
            "house {} (house {} of the provider for a late correction)",
            purse(Purse::Adjustments),
            purse(Purse::ProviderClearing)
        ),
        Side::PlayerOther(of) => format!("player {} in the other asset", purse(of)),
        Side::HouseOther(of) => format!("house {} in the other asset", purse(of)),
    }
}

pub(crate) fn leg(kind: OperationKind, leg: &LegSpec) -> String {
    let only = if leg.always { "" } else { " (not written if 0)" };
    format!("{} → {}: {}{only}", side(leg.debit), side(leg.credit), source(kind, leg))
}

/// The name of the field in the amount's place.
fn amount_name(kind: OperationKind) -> &'static str {
    let slot = cage_engine::field::Slot::Amount;
    kind.fields().iter().find(|field| field.slot == slot).map_or("amount", |field| field.name)
}

fn source(kind: OperationKind, leg: &LegSpec) -> String {
    match leg.amount {
        Source::Amount => format!("`{}`", amount_name(kind)),
        Source::Payout => "`payout`".to_owned(),
        Source::Remaining => remaining(kind).to_owned(),
        Source::TopUp => "what the session's meter lacks for the stake".to_owned(),
        Source::Given => given(kind).to_owned(),
        Source::Covered if behind_another(kind) => {
            format!("what is left of it, as far as {} has it", side(leg.debit))
        }
        Source::Covered => format!("{}, as far as {} has it", taken(kind), side(leg.debit)),
        Source::Uncovered => "the rest".to_owned(),
        Source::Fee => "the fee of the request".to_owned(),
        Source::Free => "what of the withdrawal was `available`, fee included".to_owned(),
        Source::Locked => match kind.spec().effect {
            Effect::WithdrawalCancelled => "what of it was `locked`".to_owned(),
            _ => "`amount`, as far as so much is locked for the reason that the deposit was locked for"
                .to_owned(),
        },
        Source::Freed => "`amount`, unless it stays locked (9 `still_locked`)".to_owned(),
        Source::Metered => format!("{}, as far as the meter of its session has it", taken(kind)),
        Source::Converted => {
            "⌊⌊`amount` × price ÷ 10^scale⌋ × 10^scale of the other ÷ price of the other⌋".to_owned()
        }
    }
}

/// Whether something else pays before the purse that covers what is taken.
fn behind_another(kind: OperationKind) -> bool {
    let before = |leg: &LegSpec| matches!(leg.amount, Source::Locked | Source::Metered);
    kind.spec().legs.iter().any(before)
}

const fn remaining(kind: OperationKind) -> &'static str {
    match kind.spec().effect {
        Effect::WithdrawalSettled => "the withdrawal less its fee",
        Effect::SessionEnded => "what is on the session's meter",
        Effect::HoldCancelled | Effect::HoldExpired => "the stake that is left",
        _ => "`amount`; 0 = all that is on the session's meter",
    }
}

const fn given(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Collect => "`amount`; 0 = what is owed, as far as it is available",
        OperationKind::AutoCollect => "what is owed, as far as it is available",
        OperationKind::JackpotContribute => "⌊(`base` × `rate_ppm` + what was left over) ÷ 10^6⌋",
        OperationKind::Rollback => {
            "of a bet: `amount`, 0 = the stake that is left; of a `bet_win` that paid: the stake less the payout"
        }
        OperationKind::VoidRound => "S − W, if the round's stakes S are more than its winnings W",
        OperationKind::AdjustApprove => "of a proposal that credits: its amount",
        OperationKind::LateCorrection => "if it credits and does not wait: `amount`",
        _ => "if it credits: `amount`",
    }
}

const fn taken(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Rollback => {
            "of a win: its amount; of a `bet_win` that paid: the payout less the stake"
        }
        OperationKind::VoidRound => "W − S, if the round's winnings W are more than its stakes S",
        OperationKind::AdjustApprove => "of a proposal that debits: its amount",
        OperationKind::LateCorrection => "if it debits and does not wait: `amount`",
        OperationKind::JackpotAdjust => "if it debits: `amount`",
        _ => "`amount`",
    }
}

pub(crate) const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "balances only",
        Effect::Settings => "the settings change; the memory of ids is laid out anew",
        Effect::Rule => "the rule is in force, or waits for a second identity; value 0 takes it back",
        Effect::Price => "the price is in force",
        Effect::Grant => "the number is the scope's latest: whoever uses another one is fenced",
        Effect::Asset => "the asset is opened",
        Effect::Player => "the player is opened",
        Effect::Status => "the status is in force",
        Effect::KycHold => "withdrawals are held up, or go on; the reason is kept with the player",
        Effect::SessionOpened => "the session is opened, its meter empty",
        Effect::SessionEnded => "the session ends",
        Effect::Limit => {
            "the limit is in force, or waits; from the first one on the player's play is counted"
        }
        Effect::Game => "new wagers on the game, or on all, are stopped or go on",
        Effect::Deposited => {
            "the deposit is remembered for ever; counts for deposit limits; raises the turnover; what goes to `locked` \
             is noted by its reason"
        }
        Effect::DepositReversed => "so much less of the deposit is left to take back",
        Effect::Address => "the address is the player's current one",
        Effect::Locked => "so much more is locked for the reason",
        Effect::Unlocked => {
            "so much less is locked for the reason; what stays locked is so for the reason that keeps it"
        }
        Effect::WithdrawalOpened => {
            "the withdrawal is *requested*; drawn locks shrink in the order of their reasons"
        }
        Effect::WithdrawalApproved => "the withdrawal is *approved*, or waits for a second identity",
        Effect::WithdrawalSigned => "the withdrawal is *signed*; its transactions are kept, sixteen at most",
        Effect::WithdrawalSettled => "the withdrawal ends as paid; lowers what counts as net deposits",
        Effect::WithdrawalCancelled => {
            "the withdrawal ends as cancelled; what was locked is locked again, for the same reasons"
        }
        Effect::BalanceImported => "raises the turnover; what goes to `locked` is noted by its reason",
        Effect::BetImported => {
            "the bet is open in its round, which is opened if it is new; counts as exposure"
        }
        Effect::HoldImported => "the hold is open; counts as exposure",
        Effect::ReferenceImported => {
            "the bet is remembered as closed, or as rolled back; the win or rollback as answered"
        }
        Effect::UsageImported => "so much of the limit is used",
        Effect::AdjustmentOpened => "the proposal waits for another identity",
        Effect::AdjustmentDone => "the proposal ends as done",
        Effect::AdjustmentRejected => "the proposal ends as rejected",
        Effect::Turnover => "raises the turnover",
        Effect::Contributed => "what is left over of the share, in millionths, is kept for the next one",
        Effect::FreeroundOpened => "the free rounds are the player's until they expire",
        Effect::FreeroundConsumed => "so many fewer are left; none left: they end as used up",
        Effect::FreeroundExpired => "the free rounds end as expired",
        Effect::HoldOpened => {
            "the hold is open, in its round if one is named (opened if new); stake counts as wagered and lost, \
             `payout_max` as exposure"
        }
        Effect::HoldSettled => {
            "the hold loses stake and payout, is closed as settled when no stake is left; the payout lowers what counts \
             as lost, the stake the turnover; exposure falls"
        }
        Effect::HoldCancelled => {
            "the hold is closed as cancelled: limits, exposure and round as if the rest had not been staked; or a \
             tombstone is left"
        }
        Effect::HoldExpired => {
            "the hold is closed as expired: limits, exposure and round as if the rest had not been staked"
        }
        Effect::BetOpened => {
            "the bet is open in its round (opened if new); stake counts as wagered and lost, lowers the turnover, \
             `payout_max` counts as exposure; the round ends if so asked"
        }
        Effect::BetWon => {
            "the bet is open in its round (opened if new), its payout paid; stake counts as wagered and lost, lowers the \
             turnover, the payout lowers what counts as lost; the round ends if so asked"
        }
        Effect::Won => {
            "lowers what counts as lost; in an open round the win is kept with its bet, exposure falls, and the round \
             ends if so asked"
        }
        Effect::RolledBack => {
            "a bet: limits, turnover and round as if so much had not been staked; nothing left of it: it ends as \
             cancelled. A win: what it took off the losses counts again, and it ends as cancelled. Neither known: \
             a tombstone is left"
        }
        Effect::RoundClosed => {
            "the round, its bets and its wins are remembered as closed; their exposure ends"
        }
        Effect::RoundVoided => {
            "the round and its bets are remembered as cancelled, its wins as answered; what its stakes and \
             payouts counted for limits, and its stakes for turnover, is taken back; the order counts S and one void"
        }
        Effect::OrderOpened => "the order is open, for ever",
        Effect::Corrected => {
            "the order, if one is named, counts what is credited and one correction; without an order of another \
             identity the day's sum of the provider rises, or a proposal waits; a transaction that nothing was known of \
             is remembered as answered"
        }
    }
}
