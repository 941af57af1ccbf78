//! All that gates and legs look at: the request, what it refers to, its session, and what follows from them.

use super::Admitted;
use super::refer::Target;
use crate::account::{AccountId, Purse};
use crate::amount::{Amount, Balance};
use crate::code::ResultCode;
use crate::field::{LockReason, Rule, Status};
use crate::id::{AssetId, GameId, PlayerId};
use crate::limits::{Day, OF_DEPOSITS, OF_WAGERS};
use crate::operation::OperationKind;
use crate::record::Record;
use crate::request::Request;
use crate::role::Role;
use crate::state::{Gates, Limits, Proposal, Session, State, VoidOrder, Wager, rule_key};
use crate::table::{Effect, Spec};
use crate::time::Timestamp;

pub(super) struct Facts<'a> {
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    pub(super) request: &'a Request,
    pub(super) spec: &'a Spec,
    pub(super) role: Role,
    pub(super) actor: u32,
    pub(super) target: Target<'a>,
    pub(super) session: Option<&'a Session>,
    /// Nothing for what concerns no player.
    pub(super) gates: Option<Gates>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(
        state: &'a State,
        now: Timestamp,
        admitted: &'a Admitted,
        spec: &'a Spec,
        target: Target<'a>,
    ) -> Self {
        let Admitted { request, role, actor, .. } = admitted;
        let session = if request.session.0 == 0 { None } else { state.session(request.session) };
        let gates = state.players.gates(request.player);
        Self { state, now, request, spec, role: *role, actor: *actor, target, session, gates }
    }

    /// The asset whose money moves.
    pub(super) fn asset(&self) -> AssetId {
        match self.target {
            Target::Session(session) if self.request.asset == AssetId::NONE => session.asset,
            _ => self.request.asset,
        }
    }

    /// The asset at the other end of an exchange.
    pub(super) const fn other_asset(&self) -> AssetId {
        AssetId(self.request.detail.u16_at(0))
    }

    /// The game whose provider pays and is paid: that of the hold or bet, whatever an ending request says.
    pub(super) fn game(&self) -> GameId {
        match self.target {
            // A round or free rounds are ended by whoever names their game; money moves on the one that is named.
            Target::Round(_) | Target::Freeround(_) => self.request.game,
            _ => self.target.game().unwrap_or(self.request.game),
        }
    }

    /// The session, if its credit meter pays this request's stake.
    pub(super) fn meter(&self) -> Option<&'a Session> {
        self.session.filter(|session| session.asset == self.request.asset)
    }

    /// Where payouts and refunds go.
    pub(super) fn payout_purse(&self) -> Purse {
        let metered = match self.target {
            Target::Hold(hold) => hold.metered && self.state.is_session_open(hold.session),
            Target::Bet(wager) => wager.metered && self.state.is_session_open(wager.session),
            Target::Nothing => self.meter().is_some(),
            _ => false,
        };
        if metered { Purse::Allowance } else { Purse::Available }
    }

    pub(super) fn available(&self) -> Amount {
        let account = AccountId::of_player(self.request.asset, Purse::Available, self.request.player);
        Amount(u128::try_from(self.state.balance(account).0).unwrap_or(0))
    }

    pub(super) fn in_pool(&self) -> Amount {
        let account = AccountId::of_house(self.request.asset, Purse::Jackpot, self.pool());
        Amount(u128::try_from(self.state.balance(account).0).unwrap_or(0))
    }

    pub(super) const fn pool(&self) -> u32 {
        self.request.detail.u32_at(0)
    }

    pub(super) const fn status(&self) -> Status {
        match self.gates {
            Some(gates) => gates.status,
            None => Status::Active,
        }
    }

    /// The player's limits, if there are any.
    pub(super) fn limits(&self) -> Option<&'a Limits> {
        if self.gates.is_some_and(|gates| gates.limited) {
            self.state.limits(self.request.player)
        } else {
            None
        }
    }

    /// The order to void that the request belongs to; nothing if it names none.
    pub(super) fn order(&self) -> Option<Option<&'a VoidOrder>> {
        let id = match self.request.kind {
            OperationKind::VoidRound => self.request.detail.u128_at(0),
            _ => self.request.detail.u128_at(16),
        };
        (id != 0).then(|| self.state.row(id))
    }

    /// What all bets and wins of the round come to: stakes to be given back, and winnings to be taken back.
    pub(super) fn round_sums(&self) -> (Amount, Amount) {
        match self.target {
            Target::Round(round) => (round.stake, round.won),
            _ => (Amount::ZERO, Amount::ZERO),
        }
    }

    /// Why a deposit is locked, or what is unlocked stays so, if it is: as asked, by the player's status, or by a limit.
    pub(super) fn lock_reason(&self) -> Option<LockReason> {
        let asked = LockReason::from_number(self.request.detail.0[0]);
        let unlocks = matches!(self.spec.effect, Effect::Unlocked);
        if !unlocks && (asked.is_some() || self.request.kind != OperationKind::DepositCredit) {
            return asked;
        }
        // What pays a debt is collected at once, and so is not free.
        if unlocks && self.request.amount <= self.state.owed(self.request.player, self.request.asset) {
            return None;
        }
        match self.status() {
            Status::SelfExcluded => Some(LockReason::Excluded),
            Status::Closed => Some(LockReason::Closed),
            Status::Frozen => Some(LockReason::Review),
            Status::Active | Status::WagerBlocked => {
                self.over_limit(OF_DEPOSITS).err().map(|_| LockReason::OverLimit)
            }
        }
    }

    /// Whether the amount is over one of the player's limits of these kinds.
    pub(super) fn over_limit(&self, kinds: &[crate::field::LimitKind]) -> Result<(), ResultCode> {
        let Some(limits) = self.limits() else { return Ok(()) };
        if !limits.usage.any_in_force(self.now, kinds) {
            return Ok(());
        }
        let Some(value) = self.state.value(self.request.asset, self.request.amount) else {
            return Err(ResultCode::RateMissing);
        };
        // What is unlocked counted when it came in.
        let value = if matches!(self.spec.effect, Effect::Unlocked) { 0 } else { value };
        if self.state.is_price_old(self.request.asset, self.now) {
            return Err(ResultCode::RateOld);
        }
        let today = self.state.day(self.request.player, self.now);
        limits.usage.exceeded(self.now, today, kinds, value).map_or(Ok(()), Err)
    }

    /// Whether nine tenths of a limit are used up with this.
    fn near_limit(&self) -> bool {
        let kinds = match self.spec.effect {
            Effect::HoldOpened | Effect::BetOpened | Effect::BetWon => OF_WAGERS,
            Effect::Deposited => OF_DEPOSITS,
            _ => return false,
        };
        self.limits().is_some_and(|limits| {
            let value = self.state.value(self.request.asset, self.request.amount).unwrap_or(0);
            let today = self.state.day(self.request.player, self.now);
            limits.usage.is_near(self.now, today, kinds, value)
        })
    }

    /// The code of the execution.
    pub(super) fn code(&self, record: &Record, further: &[Record]) -> ResultCode {
        let owed =
            |account: AccountId| account.is_of(Purse::Receivable) || account.is_of(Purse::JackpotShortfall);
        let takes_from_owed = |record: &Record| record.legs().iter().any(|leg| owed(leg.debit));
        let short = || takes_from_owed(record) || further.iter().any(takes_from_owed);
        match self.spec.effect {
            Effect::HoldSettled | Effect::HoldCancelled | Effect::Won => ResultCode::Done,
            Effect::HoldOpened | Effect::BetOpened | Effect::BetWon | Effect::Deposited => {
                if self.near_limit() { ResultCode::LimitNear } else { ResultCode::Done }
            }
            Effect::Limit if self.limit_waits() => ResultCode::Later,
            Effect::WithdrawalApproved if self.needs_another() => ResultCode::OneMore,
            Effect::Unlocked if self.lock_reason().is_some() => ResultCode::StillLocked,
            Effect::Rule if self.waits_for_another() => ResultCode::OneMore,
            Effect::Corrected if self.correction_waits() => ResultCode::OneMore,
            _ if short() => ResultCode::Shortfall,
            _ => ResultCode::Done,
        }
    }

    fn limit_waits(&self) -> bool {
        let mut usage =
            self.state.limits(self.request.player).map_or(crate::limits::Usage::NEW, |row| row.usage);
        crate::apply::set_limit(&mut usage, self.state, self.role, self.now, self.request)
    }

    /// Whether an approval of this withdrawal is the first of two.
    pub(super) fn needs_another(&self) -> bool {
        matches!(self.target, Target::Withdrawal(row) if row.approver == 0) && self.is_great()
    }

    /// Whether the withdrawal is so great that it takes two to approve it.
    pub(super) fn is_great(&self) -> bool {
        let Target::Withdrawal(row) = self.target else { return false };
        let from = self.state.rule(Rule::SecondApprovalFrom, u64::from(row.asset.0));
        from.is_some_and(|from| row.amount.0 >= from)
    }

    /// The proposal of just this rule and value, if one waits.
    pub(super) fn proposal(&self) -> Option<&'a Proposal> {
        let detail = &self.request.detail;
        let rule = Rule::from_number(detail.u16_at(0))?;
        let row = self.state.row::<Proposal>(rule_key(rule, detail.u64_at(8)))?;
        (row.value == detail.u128_at(16)).then_some(row)
    }

    /// Whether a second identity has to ask for the rule as well.
    fn waits_for_another(&self) -> bool {
        let guarded = Rule::from_number(self.request.detail.u16_at(0)).is_some_and(Rule::is_guarded);
        guarded && self.state.rule(Rule::SecondIdentity, 0).is_some() && self.proposal().is_none()
    }

    /// Whether a late correction waits for a second identity: whoever gave the order to void is one, and up to a day's
    /// sum none is needed.
    pub(super) fn correction_waits(&self) -> bool {
        if self.order().flatten().is_some_and(|order| order.maker != self.actor) {
            return false;
        }
        let Request { asset, game, amount, .. } = *self.request;
        let bound = self.state.rule(Rule::LateCorrectionMax, u64::from(asset.0)).unwrap_or(0);
        let before = self.state.corrected(game.provider(), asset, Day::of(self.now, 0));
        before.0.checked_add(amount.0).is_none_or(|sum| sum > bound)
    }

    /// Whether the row is this player's, in this asset and of this provider.
    pub(super) fn is_own(&self, player: PlayerId, asset: AssetId, game: GameId) -> bool {
        let request = self.request;
        player == request.player && asset == request.asset && game.provider() == request.game.provider()
    }

    /// How much of a bet or win is undone: what is given back, and what is taken back. A bet that won in the same
    /// transaction is undone with what it won.
    pub(super) const fn undone(&self, bet: &Wager) -> (Amount, Amount) {
        if bet.won_at_once() {
            let (stake, paid) = (bet.stake.0, bet.paid.0);
            return (Amount(stake.saturating_sub(paid)), Amount(paid.saturating_sub(stake)));
        }
        let given = if self.request.amount.is_zero() { bet.stake } else { self.request.amount };
        (given, Amount::ZERO)
    }

    pub(super) fn held(&self, account: AccountId) -> Balance {
        self.state.balance(account)
    }
}
