//! The gates: each a rule that holds, or the answer that it gives when it does not.

use super::facts::Facts;
use super::money;
use super::refer::{self, Target};
use crate::account::{AccountId, Purse};
use crate::amount::Amount;
use crate::code::ResultCode;
use crate::field::{LockReason, Rule, Status};
use crate::id::{AssetId, CallerId, GameId, Lsn, PlayerId, Reference};
use crate::limits::{LIMIT_MAX, OF_DEPOSITS, OF_WAGERS};
use crate::operation::{
    AssetCode, CLOSED_WAGERS_MAX, HOLDS_MAX, IDS_CAPACITY_MAX, IDS_CAPACITY_MIN, Operation, OperationKind,
    Settings,
};
use crate::request::{ROUND_AT, Request};
use crate::role::Role;
use crate::state::{
    Ending, Playing, RECONSIDER_MILLIS, Round, Space, Stage, State, TRANSACTIONS_KEPT, playing_key,
};
use crate::table::{Effect, Gate};

type Passed = Result<(), ResultCode>;

const fn refuse_unless(holds: bool, code: ResultCode) -> Passed {
    if holds { Ok(()) } else { Err(code) }
}

impl Facts<'_> {
    /// Not inlined: in the loop over a row's gates the compiler would work out what all sixty need before it looks at
    /// the first, some four hundred instructions for each request.
    #[inline(never)]
    pub(super) fn pass(&self, gate: Gate) -> Passed {
        let Self { state, now, request, .. } = self;
        // The answer of a gate that has but one.
        let only = |holds: bool| if holds { Ok(()) } else { Err(gate.codes()[0]) };
        match gate {
            Gate::SettingsFit => only(self.settings_fit()),
            Gate::AssetFits => only(asset_fits(state, request)),
            Gate::PlayerFits => only(player_fits(state, request)),
            Gate::RuleFits => self.rule_fits(),
            Gate::PriceFits => only(request.amount.0 <= PRICE_MAX),
            Gate::LimitFits => {
                only(request.amount.0 <= u128::from(LIMIT_MAX) && state.reference_asset().is_some())
            }
            Gate::StatusFits => self.status_fits(),
            Gate::PlayersDiffer => only(request.player != request.counterparty()),
            Gate::TransfersAllowed => self.transfers_allowed(),
            Gate::AmountBound => {
                only(state.asset(request.asset).is_some_and(|asset| request.amount <= asset.amount_max))
            }
            Gate::DeadlineAhead => only(request.deadline().is_none_or(|deadline| deadline > *now)),
            Gate::ExpiresAhead => only(expires(request) > now.0),
            Gate::MayPlay => may_play(self.status()),
            Gate::ReceiverMayPlay => {
                let gates = state.players.gates(request.counterparty());
                may_play(gates.map_or(Status::Active, |gates| gates.status))
            }
            Gate::MayFund => self.may_fund(),
            Gate::MayWithdraw => self.may_withdraw(),
            // Once a transaction was signed only the chain decides.
            Gate::MayPayOut if self.stage() == Some(Stage::Signed) => Ok(()),
            Gate::MayPayOut => self.may_withdraw(),
            Gate::SessionFits => self.session_fits(),
            Gate::SessionMetered => only(match self.target {
                Target::Session(session) => session.asset == request.asset,
                _ => self.meter().is_some(),
            }),
            Gate::FundingWithin => {
                let left = self.session.map_or(Amount::ZERO, |session| session.topup_left);
                only(self.role != Role::Games || request.amount <= left)
            }
            Gate::MeterFits => self.meter_fits(),
            Gate::GameEnabled => self.game_enabled(),
            Gate::RoundFits => self.round_fits(),
            Gate::RoundFinished => only(self.round_finished()),
            Gate::WagerLimits => self.over_limit(OF_WAGERS),
            Gate::DepositLimits if self.may_be_refused() => self.over_limit(OF_DEPOSITS),
            Gate::DepositLimits => Ok(()),
            Gate::PayoutNamed => only(!request.payout().is_zero() || self.exposure_max().is_none()),
            Gate::ExposureWithin => only(self.exposure_within()),
            Gate::HoldFits => only(
                self.hold().is_some_and(|hold| hold.player == request.player && hold.asset == request.asset),
            ),
            Gate::HoldNotExpired => {
                only(self.hold().and_then(|hold| hold.deadline).is_none_or(|deadline| deadline > *now))
            }
            Gate::Due => only(self.is_due()),
            Gate::StakeRemains => only(self.stake_remains()),
            Gate::PayoutWithin => only(self.hold().is_some_and(|hold| request.payout() <= hold.payout_left)),
            Gate::BetFits => self.bet_fits(),
            Gate::NotWon => only(match self.target {
                Target::Bet(bet) => bet.wins == 0 && bet.paid.is_zero() || request.detail.0[8] == 1,
                _ => true,
            }),
            Gate::RoundDecided => only(self.round_decided()),
            Gate::TargetRoundFits => only(match self.target {
                Target::Round(round) => self.is_own(round.player, round.asset, round.game),
                _ => false,
            }),
            Gate::OrderCovers => self.order_covers(),
            Gate::PeriodFits => only(self.period_fits()),
            Gate::DepositFits => self.deposit_fits(),
            Gate::Owed => self.owes(request.amount),
            Gate::NothingOwed => only(!state.players.owes(request.player, request.asset)),
            Gate::NothingOwedOrSigned => {
                let signed = self.stage() == Some(Stage::Signed);
                only(signed || !state.players.owes(request.player, request.asset))
            }
            Gate::Collectable => self.collectable(),
            Gate::Unlockable => self.unlockable(),
            Gate::LockedEnough => only(self.locked_enough()),
            Gate::TurnoverDone => only(state.turnover(request.player, request.asset).is_zero()),
            Gate::FeeFits => only(self.fee().is_none_or(|fee| fee < request.amount.0)),
            Gate::WithdrawalFits => only(self.withdrawal_fits()),
            Gate::Approvable => self.approvable(),
            Gate::Signable => self.signable(),
            Gate::Signed => only(self.stage() == Some(Stage::Signed)),
            Gate::Releasable => only(self.role == Role::Approver || !self.is_great()),
            Gate::NotSigned => only(self.stage() != Some(Stage::Signed)),
            Gate::TransactionKnown => only(match self.target {
                // What is not filled yet is zero, and no transaction's hash.
                Target::Withdrawal(row) => {
                    let transaction = request.detail.u128_at(0);
                    transaction != 0 && row.transactions.contains(&transaction)
                }
                _ => false,
            }),
            Gate::ImportOpen if request.asset == AssetId::NONE => only(state.switches.any(Rule::Importing)),
            Gate::ImportOpen => only(self.import_total().is_some()),
            Gate::Importing => self.importing(),
            Gate::RateFits => self.rate_fits(),
            Gate::AdjustmentFits => only(match self.target {
                Target::Adjustment(row) => (row.player, row.asset) == (request.player, request.asset),
                _ => false,
            }),
            Gate::JackpotOwn => only(self.pool() >> POOL_BITS == u32::from(request.game.provider())),
            Gate::KeyIsTransaction => only(request.id.0 == request.reference),
            Gate::CorrectionFits => self.correction_fits(),
            Gate::OtherIdentity => only(match self.target {
                Target::Adjustment(row) => row.maker != self.actor,
                _ => false,
            }),
            Gate::FreeroundFits => self.freeround_fits(),
            Gate::FreeroundOwn => only(match self.target {
                Target::Freeround(row) => row.player == request.player && row.game == request.game,
                _ => false,
            }),
        }
    }

    const fn hold(&self) -> Option<&crate::state::Hold> {
        match self.target {
            Target::Hold(hold) => Some(hold),
            _ => None,
        }
    }

    fn settings_fit(&self) -> bool {
        let settings = settings_of(self.request);
        let Settings { ids_capacity, ids_retention_millis, holds_max, players_max, closed_wagers_max } =
            settings;
        let owed = self.state.facts_owed();
        (IDS_CAPACITY_MIN..=IDS_CAPACITY_MAX).contains(&ids_capacity)
            && holds_max <= HOLDS_MAX
            && players_max <= PlayerId::COUNT_MAX
            && closed_wagers_max <= CLOSED_WAGERS_MAX
            && self
                .state
                .ids
                .as_ref()
                .is_none_or(|ids| ids.fits(ids_capacity, ids_retention_millis, owed, self.now))
    }

    fn status_fits(&self) -> Passed {
        let (before, asked) = (self.status(), Status::from_number(self.request.detail.0[0]));
        let opens = before == Status::Closed && asked != Some(Status::Closed);
        refuse_unless(!opens || self.role == Role::Operator, ResultCode::PlayerClosed)?;
        let excludes = asked == Some(Status::SelfExcluded)
            && matches!(before, Status::Active | Status::WagerBlocked | Status::SelfExcluded);
        refuse_unless(excludes || self.role != Role::Frontend, ResultCode::StatusNotAllowed)
    }

    fn transfers_allowed(&self) -> Passed {
        let Self { state, request, .. } = self;
        let asset = state.asset(request.asset).is_some_and(|asset| asset.transfers);
        refuse_unless(asset, ResultCode::TransferNotAllowed)?;
        let Some((from, to)) = self.gates.zip(state.players.gates(request.counterparty())) else {
            return Err(ResultCode::TransferNotAllowed);
        };
        let allowed = |rule, one: u16, other: u16| {
            let allows = |scope: u16| state.switches.is_on(rule, scope);
            allows(one) && (one == other || allows(other))
        };
        let brands = allowed(Rule::TransfersInBrand, from.brand, to.brand);
        refuse_unless(brands, ResultCode::TransferBrand)?;
        let places = allowed(Rule::TransfersInJurisdiction, from.jurisdiction, to.jurisdiction);
        refuse_unless(places, ResultCode::TransferJurisdiction)?;
        let class = |player| state.player(player).map(|player| player.class);
        refuse_unless(class(request.player) == class(request.counterparty()), ResultCode::TransferClass)
    }

    /// What a chain brings cannot be sent back: it is credited, and locked where it must be. What was locked for another
    /// reason is looked at again when it is unlocked.
    fn may_be_refused(&self) -> bool {
        self.role == Role::Cashier
    }

    /// What is freed is money that comes in: it stays locked where a deposit would be, and for that reason alone
    /// nothing can free it. Whoever credits what is not final may say that it is.
    fn unlockable(&self) -> Passed {
        let asked = LockReason::from_number(self.request.detail.0[0]);
        let may = self.role == Role::Risk || asked == Some(LockReason::Unconfirmed);
        refuse_unless(may, ResultCode::ReasonNotAllowed)?;
        if self.lock_reason() != asked {
            return Ok(());
        }
        match self.status() {
            Status::Active | Status::WagerBlocked => self.over_limit(OF_DEPOSITS),
            status => may_play(status),
        }
    }

    /// Whether the status lets money in.
    fn may_fund(&self) -> Passed {
        match self.status() {
            _ if !self.may_be_refused() => Ok(()),
            Status::Active | Status::WagerBlocked => Ok(()),
            status => may_play(status),
        }
    }

    fn may_withdraw(&self) -> Passed {
        refuse_unless(self.status() != Status::Frozen, ResultCode::PlayerFrozen)?;
        let held = self.state.player(self.request.player).is_some_and(|player| player.kyc_held);
        refuse_unless(!held, ResultCode::KycHold)
    }

    fn session_fits(&self) -> Passed {
        let Self { state, request, .. } = self;
        if request.session.0 == 0 {
            let brand = self.gates.map_or(0, |gates| gates.brand);
            // Whoever may not play cannot open a session, and can withdraw all the same (GLI-19 A.3.8).
            let leaves = request.kind == OperationKind::WithdrawRequest
                && (self.role != Role::Frontend || self.status() != Status::Active);
            let required = request.kind == OperationKind::AllowanceFund
                || state.switches.is_on(Rule::SessionsRequired, brand) && !leaves;
            return refuse_unless(!required, ResultCode::SessionRequired);
        }
        let Some(session) = self.session.filter(|session| !session.revoked) else {
            let unknown = request.session > state.last_session;
            return Err(if unknown { ResultCode::SessionUnknown } else { ResultCode::SessionEnded });
        };
        let game = session.game == GameId::default()
            || session.game == request.game
            || !request.kind.shape().game
            || request.kind == OperationKind::WithdrawRequest;
        refuse_unless(session.player == request.player && game, ResultCode::SessionDiffers)?;
        refuse_unless(session.expires > self.now, ResultCode::SessionExpired)
    }

    fn meter_fits(&self) -> Passed {
        let Self { state, request, .. } = self;
        let none = request.asset == AssetId::NONE;
        refuse_unless(none || state.asset(request.asset).is_some(), ResultCode::AssetUnknown)?;
        refuse_unless(!none || request.amount.is_zero(), ResultCode::SessionDiffers)
    }

    fn game_enabled(&self) -> Passed {
        refuse_unless(!self.state.is_disabled(GameId::default()), ResultCode::GamingDisabled)?;
        refuse_unless(!self.state.is_disabled(self.request.game), ResultCode::GameDisabled)
    }

    /// The round that a wager names.
    fn named_round(&self) -> Reference {
        match self.spec.effect {
            Effect::HoldOpened => Reference(self.request.reference),
            _ => Reference(self.request.detail.u128_at(ROUND_AT)),
        }
    }

    fn round_fits(&self) -> Passed {
        let key = self.named_round();
        if key.0 == 0 {
            return Ok(());
        }
        if let Some(round) = self.state.round(key) {
            let Self { request, .. } = self;
            let same =
                (round.player, round.asset, round.game) == (request.player, request.asset, request.game);
            return refuse_unless(same, ResultCode::RoundDiffers);
        }
        match self.state.round_ending(key) {
            None => Ok(()),
            Some(Ending::Cancelled) => Err(ResultCode::RoundCancelled),
            Some(_) => Err(ResultCode::RoundClosed),
        }
    }

    /// GLI-19 4.3.3 e and 4.16.3: the round before is over before the next one begins.
    fn round_finished(&self) -> bool {
        let Self { state, request, .. } = self;
        if state.rule(Rule::OneRound, u64::from(request.game.0)) != Some(1) {
            return true;
        }
        let Some(playing) = state.row::<Playing>(playing_key(request.player, request.game)) else {
            return true;
        };
        let staked = |round: &Round| !round.stake.is_zero() || round.open_holds > 0;
        if playing.round.0 == 0 {
            return state.hold(playing.hold).is_none();
        }
        playing.round == self.named_round() || !state.round(playing.round).is_some_and(staked)
    }

    fn exposure_max(&self) -> Option<u128> {
        let scope = u64::from(self.request.game.0) << 16 | u64::from(self.request.asset.0);
        self.state.rule(Rule::ExposureMax, scope)
    }

    fn exposure_within(&self) -> bool {
        let Self { state, request, .. } = self;
        self.exposure_max().is_none_or(|bound| {
            let open = state.exposure(request.game, request.asset);
            open.0.checked_add(request.payout().0).is_some_and(|sum| sum <= bound)
        })
    }

    /// A rule that says who may do how much waits for a second identity, where two are required.
    fn rule_fits(&self) -> Passed {
        refuse_unless(rule_fits(self.state, self.request), ResultCode::RuleUnfit)?;
        let own = self.proposal().is_some_and(|row| row.maker == self.actor);
        refuse_unless(!own, ResultCode::SameIdentity)
    }

    /// The total that was declared for the asset's import; nothing if none is open.
    fn import_total(&self) -> Option<u128> {
        self.state.rule(Rule::Importing, u64::from(self.request.asset.0))
    }

    fn importing(&self) -> Passed {
        let Self { state, request, .. } = self;
        let total = self.import_total().ok_or(ResultCode::NotImporting)?;
        let imports = AccountId::of_house(request.asset, Purse::Imports, 0);
        let before = u128::try_from(-state.balance(imports).0).unwrap_or(0);
        let within = before.checked_add(request.amount.0).is_some_and(|sum| sum <= total);
        refuse_unless(within, ResultCode::ImportExceeded)
    }

    fn is_due(&self) -> bool {
        let at = match self.target {
            Target::Hold(hold) => hold.deadline,
            Target::Round(round) => (round.open_holds == 0).then_some(round.closes),
            Target::Session(session) => Some(session.expires),
            Target::Freeround(row) => Some(row.expires),
            _ => None,
        };
        at.is_some_and(|at| at <= self.now)
    }

    fn stake_remains(&self) -> bool {
        let amount = self.request.amount;
        match self.target {
            Target::Hold(hold) => amount <= hold.remaining,
            Target::Bet(bet) if bet.won_at_once() => amount.is_zero() || amount == bet.stake,
            Target::Bet(bet) => amount <= bet.stake,
            Target::Win(win) => amount.is_zero() || amount == win.stake,
            _ => true,
        }
    }

    fn bet_fits(&self) -> Passed {
        let (Target::Bet(wager) | Target::Win(wager)) = self.target else { return Ok(()) };
        let own = self.is_own(wager.player, wager.asset, wager.game);
        refuse_unless(own, ResultCode::HoldDiffers)?;
        let round = Reference(self.request.detail.u128_at(ROUND_AT));
        refuse_unless(round.0 == 0 || round == wager.round, ResultCode::RoundDiffers)
    }

    fn round_decided(&self) -> bool {
        let round = match self.target {
            Target::Round(round) => return round.open_holds == 0,
            _ if !self.request.ends_round => return true,
            Target::Bet(bet) => bet.round,
            Target::Nothing => self.named_round(),
            _ => return true,
        };
        self.state.round(round).is_none_or(|round| round.open_holds == 0)
    }

    fn order_covers(&self) -> Passed {
        let Some(order) = self.order() else { return Ok(()) };
        let Some(order) = order else { return Err(ResultCode::OrderUnknown) };
        let (concerned, given) = match self.target {
            Target::Round(round) => (round.opened.0, self.round_sums().0),
            _ if self.request.detail.0[8] == 1 => (self.request.detail.u64_at(0), Amount::ZERO),
            _ => (self.request.detail.u64_at(0), self.request.amount),
        };
        let game = match self.target {
            Target::Round(round) => round.game,
            _ => self.request.game,
        };
        let covers = order.game == game
            && order.asset == self.request.asset
            && (order.from.0..=order.to.0).contains(&concerned);
        refuse_unless(covers, ResultCode::OrderDiffers)?;
        let moved = order.moved.0.checked_add(given.0);
        let fits = moved.is_some_and(|moved| moved <= order.amount_max.0) && order.done < order.count;
        refuse_unless(fits, ResultCode::OrderExceeded)
    }

    fn period_fits(&self) -> bool {
        let past = |lsn: u64| lsn != 0 && lsn < self.state.next_lsn.0;
        let detail = &self.request.detail;
        match self.request.kind {
            OperationKind::VoidPeriod => {
                let (from, to, count) = (detail.u64_at(0), detail.u64_at(8), detail.u64_at(16));
                past(from) && past(to) && from <= to && count > 0
            }
            _ => past(detail.u64_at(0)),
        }
    }

    fn correction_fits(&self) -> Passed {
        let Self { state, request, .. } = self;
        let (transaction, original) = (request.target(), request.detail.u64_at(0));
        let credits = request.detail.0[8] == 0;
        let fits = |own: bool, lsn: Lsn| refuse_unless(own && lsn.0 == original, ResultCode::HoldDiffers);
        if let Some(row) = state.any_wager(Reference(transaction.0)) {
            refuse_unless(!row.undone, ResultCode::HoldCancelled)?;
            refuse_unless(!(row.is_win && credits), ResultCode::CarriedOut)?;
            fits(self.is_own(row.player, row.asset, row.game), row.opened)?;
            // By its name it is undone once, with all that it counted; by hand as well would be twice.
            return Err(ResultCode::UseItsName);
        }
        refuse_unless(state.hold(transaction).is_none(), ResultCode::NotABet)?;
        let ended = state.ended(transaction, Space::Wager);
        if ended.is_some_and(|ended| matches!(ended.how, Ending::Cancelled)) {
            return Err(ResultCode::HoldCancelled);
        }
        // A win that was paid and whose round is closed can be taken back by hand; only its record is remembered.
        if let Some(known) = state.remembered(transaction, Space::Reference) {
            refuse_unless(!credits, ResultCode::CarriedOut)?;
            return fits(true, known.lsn);
        }
        let Some(ended) = ended else { return Ok(()) };
        match ended.how {
            Ending::Settled => fits(refer::is_own(&ended, request), ended.lsn),
            Ending::Cancelled | Ending::Tombstone => Err(ResultCode::HoldCancelled),
            Ending::Refused | Ending::Expired => Err(ResultCode::BetRefused),
        }
    }

    fn deposit_fits(&self) -> Passed {
        let Target::Deposit(deposit) = self.target else { return Err(ResultCode::DepositUnknown) };
        let request = self.request;
        let same = (deposit.player, deposit.asset, deposit.chain)
            == (request.player, request.asset, request.chain());
        refuse_unless(same, ResultCode::DepositDiffers)?;
        let left = deposit.amount.0 - deposit.reversed.0;
        refuse_unless(request.amount.0 <= left, ResultCode::DepositExceeded)
    }

    fn owes(&self, amount: Amount) -> Passed {
        let owed = self.state.owed(self.request.player, self.request.asset);
        refuse_unless(!owed.is_zero(), ResultCode::NothingOwed)?;
        refuse_unless(amount <= owed, ResultCode::OwedExceeded)
    }

    /// An amount of 0 stands for as much as possible, which has to be something.
    fn collectable(&self) -> Passed {
        self.owes(self.request.amount)?;
        let least = self.request.amount.max(Amount(1));
        refuse_unless(self.available() >= least, ResultCode::InsufficientFunds)
    }

    fn locked_enough(&self) -> bool {
        let Self { state, request, .. } = self;
        LockReason::from_number(request.detail.0[0])
            .is_some_and(|reason| request.amount <= state.locked(request.player, request.asset, reason))
    }

    fn fee(&self) -> Option<u128> {
        self.state.rule(Rule::WithdrawFee, u64::from(self.request.asset.0))
    }

    fn withdrawal_fits(&self) -> bool {
        let Target::Withdrawal(row) = self.target else { return false };
        let request = self.request;
        let chain = !request.kind.shape().game || row.chain == request.chain();
        (row.player, row.asset) == (request.player, request.asset) && chain
    }

    const fn stage(&self) -> Option<Stage> {
        match self.target {
            Target::Withdrawal(row) => Some(row.stage),
            _ => None,
        }
    }

    fn approvable(&self) -> Passed {
        let Target::Withdrawal(row) = self.target else { return Err(ResultCode::WithdrawalUnknown) };
        match row.stage {
            Stage::Approved => Err(ResultCode::WithdrawalApproved),
            Stage::Signed => Err(ResultCode::WithdrawalSigned),
            Stage::Requested if row.approver != 0 && row.approver == self.actor => {
                Err(ResultCode::SameIdentity)
            }
            Stage::Requested => Ok(()),
        }
    }

    fn signable(&self) -> Passed {
        let Target::Withdrawal(row) = self.target else { return Err(ResultCode::WithdrawalUnknown) };
        refuse_unless(row.stage != Stage::Requested, ResultCode::WithdrawalNotApproved)?;
        let slot = self.request.detail.u128_at(0);
        refuse_unless(row.attempts == 0 || row.slot == slot, ResultCode::SlotDiffers)?;
        refuse_unless((row.attempts as usize) < TRANSACTIONS_KEPT, ResultCode::AttemptsUsed)
    }

    fn rate_fits(&self) -> Passed {
        let to = self.other_asset();
        let open = to != self.request.asset && self.state.asset(to).is_some();
        refuse_unless(open, ResultCode::AssetUnknown)?;
        let both = [self.request.asset, to];
        let priced = both.iter().all(|asset| self.state.is_priced(*asset));
        refuse_unless(priced, ResultCode::RateMissing)?;
        let old = both.iter().any(|asset| self.state.is_price_old(*asset, self.now));
        refuse_unless(!old, ResultCode::RateOld)?;
        let converted = money::converted(self)?;
        let at_least = Amount(self.request.detail.u128_at(16));
        refuse_unless(!converted.is_zero() && converted >= at_least, ResultCode::RateMoved)
    }

    fn freeround_fits(&self) -> Passed {
        let Target::Freeround(row) = self.target else { return Err(ResultCode::FreeroundUnknown) };
        let own = row.player == self.request.player && row.game == self.request.game;
        refuse_unless(own, ResultCode::FreeroundDiffers)?;
        refuse_unless(row.expires > self.now, ResultCode::FreeroundExpired)?;
        refuse_unless(self.request.detail.u32_at(0) <= row.left, ResultCode::FreeroundExceeded)
    }
}

const fn may_play(status: Status) -> Passed {
    Err(match status {
        Status::Active => return Ok(()),
        Status::WagerBlocked => ResultCode::WagerBlocked,
        Status::SelfExcluded => ResultCode::SelfExcluded,
        Status::Frozen => ResultCode::PlayerFrozen,
        Status::Closed => ResultCode::PlayerClosed,
    })
}

/// When a session or free rounds end.
const fn expires(request: &Request) -> u64 {
    match request.kind {
        OperationKind::FreeroundGrant => request.detail.u64_at(8),
        _ => request.detail.u64_at(0),
    }
}

pub(crate) fn settings_of(request: &Request) -> Settings {
    match Operation::try_from(request) {
        Ok(Operation::Configure { settings }) => settings,
        _ => Settings {
            ids_capacity: 0,
            ids_retention_millis: 0,
            holds_max: 0,
            players_max: 0,
            closed_wagers_max: 0,
        },
    }
}

/// The open asset of the code that the request names.
pub(super) fn asset_of_code(state: &State, request: &Request) -> Option<AssetId> {
    let code = AssetCode::from_bytes(request.detail.u128_at(0).to_le_bytes())?;
    state.asset_ids().zip(&state.assets).find(|(_, asset)| asset.code == code).map(|(id, _)| id)
}

fn asset_fits(state: &State, request: &Request) -> bool {
    asset_of_code(state, request).and_then(|id| state.asset(id)).is_none_or(|asset| {
        let rules = (asset.scale, u8::from(asset.transfers), asset.amount_max);
        rules == (request.detail.0[16], request.detail.0[17], request.amount)
    })
}

fn player_fits(state: &State, request: &Request) -> bool {
    let facts = (request.detail.u16_at(0), request.detail.u16_at(2), request.detail.0[4]);
    state
        .players
        .find(CallerId(request.reference))
        .is_none_or(|(_, player)| (player.brand, player.jurisdiction, player.class as u8) == facts)
}

/// A jackpot's number is made like a game's: its upper bits are the provider's number.
const POOL_BITS: u32 = 20;
/// The greatest price: its product with the greatest amount can still be divided.
const PRICE_MAX: u128 = 1 << 100;
/// The greatest time that a rule can set: ten years.
const RULE_MILLIS_MAX: u128 = 10 * 365 * 24 * 3_600 * 1_000;
const SESSIONS_MAX: u128 = 1 << 26;
const MINUTES_PER_DAY: u128 = 24 * 60;
const PROVIDERS: u64 = 1 << 12;

/// Whether a role's number is one that a certificate can carry.
fn is_caller(number: u64) -> bool {
    let role = u8::try_from(number).ok().and_then(Role::from_number);
    role.is_some_and(|role| role != Role::System)
}

fn rule_fits(state: &State, request: &Request) -> bool {
    let Some(rule) = Rule::from_number(request.detail.u16_at(0)) else { return false };
    let (scope, value) = (request.detail.u64_at(8), request.detail.u128_at(16));
    let flag = value <= 1;
    let short = scope <= u64::from(u16::MAX);
    let open = |number: u64| state.asset(AssetId(number as u16)).is_some();
    match rule {
        Rule::TransfersInBrand | Rule::TransfersInJurisdiction | Rule::SessionsRequired => short && flag,
        Rule::DayBegins => short && value < MINUTES_PER_DAY,
        Rule::ReferenceAsset => scope == 0 && (value == 0 || value <= 0xffff && open(value as u64)),
        Rule::ExposureMax => scope >> 48 == 0 && open(scope & 0xffff) && value <= Amount::MAX.0,
        Rule::RoundAgeMax => scope == 0 && value <= RULE_MILLIS_MAX,
        Rule::Reconsider => {
            let least = u128::from(RECONSIDER_MILLIS);
            scope == 0 && (value == 0 || (least..=RULE_MILLIS_MAX).contains(&value))
        }
        Rule::SecondApprovalFrom | Rule::WithdrawFee | Rule::Importing | Rule::LateCorrectionMax => {
            short && open(scope) && value <= Amount::MAX.0
        }
        Rule::SecondIdentity => scope == 0 && flag,
        Rule::RateAgeMax => short && open(scope) && value <= RULE_MILLIS_MAX,
        Rule::RoleAmountMax => is_caller(scope >> 16) && open(scope & 0xffff) && value <= Amount::MAX.0 + 1,
        Rule::PermitsRequired => is_caller(scope) && flag,
        Rule::CallerProvider => scope & 0xffff_ffff < PROVIDERS && flag,
        Rule::CallerChain | Rule::CallerGame => flag,
        Rule::OneRound => scope <= u64::from(u32::MAX) && flag,
        Rule::CallerAmountMax => scope >> 48 == 0 && open(scope & 0xffff) && value <= Amount::MAX.0 + 1,
        Rule::ProviderActor => scope < PROVIDERS && value <= u128::from(u32::MAX),
        Rule::SessionsMax => scope == 0 && value <= SESSIONS_MAX,
    }
}
