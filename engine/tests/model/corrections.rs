//! What operators and players move on the books themselves: imports, transfers, exchanges, corrections.
//!
//! In: such a request. Out: its money and rows.

use cage_engine::field::Rule;
use cage_engine::{AssetId, Operation, PlayerId, RequestId, ResultCode, Timestamp};

use super::big::Big;
use super::books::AdjustmentRow;
use super::memory::{About, End, Space, not_from_future};
use super::words::AMOUNT_MAX;
use super::{Account, Asked, Checks, Model, Step, refuse_unless};

impl Model {
    pub(super) fn look_at_correction(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::Transfer { .. } => self.look_at_transfer(asked, c),
            Operation::Exchange { player, asset, amount, session, to, at_least } => {
                c.look("amount bound", self.amount_bound(asset, amount.0));
                c.look("status", self.may_play(player));
                self.look_at_session(player, session, None, asked.now, c);
                self.look_at_freedom(player, asset, c);
                let open = to != asset && self.asset(to).is_ok();
                c.look("other asset", refuse_unless(open, ResultCode::AssetUnknown));
                self.look_at_exchange((asset, amount.0), (to, at_least.0), asked.now, c);
            }
            Operation::Adjust { asset, amount, .. } => {
                c.look("amount bound", self.amount_bound(asset, amount.0));
            }
            Operation::AdjustApprove { player, asset, adjustment } => {
                let Some(row) = self.look_for_adjustment(adjustment, player, asset, c) else { return };
                let other = row.maker != asked.caller.actor;
                c.look("identity", refuse_unless(other, ResultCode::SameIdentity));
            }
            Operation::AdjustReject { player, asset, adjustment } => {
                self.look_for_adjustment(adjustment, player, asset, c);
            }
            _ => self.look_at_import(asked, c),
        }
    }

    fn look_at_import(&self, asked: &Asked, c: &mut Checks) {
        match asked.operation {
            Operation::ImportBet { bet, .. } | Operation::ImportReference { bet, .. } => {
                let known = self.any_wager(bet).is_some()
                    || self.fact(Space::Reference, bet.0).is_some()
                    || self.fact(Space::Wager, bet.0).is_some();
                c.find("new", refuse_unless(!known, ResultCode::AlreadyKnown));
            }
            Operation::ImportHold { hold, .. } => {
                c.look("its time", not_from_future(hold, asked.now));
                let known = self.holds.contains_key(&hold)
                    || self.fact(Space::Request, hold.0).is_some()
                    || self.fact(Space::Hold, hold.0).is_some();
                c.find("new", refuse_unless(!known, ResultCode::AlreadyKnown));
            }
            _ => {}
        }
        self.look_at_open_import(asked, c);
        match asked.operation {
            Operation::ImportBet { player, asset, game, round, .. } => {
                c.look("round", self.round_fits(round, player, asset, game));
            }
            Operation::ImportUsage { value, .. } => c.look("limit", self.limit_fits(value)),
            _ => {}
        }
    }

    /// What is imported comes out of the total that was declared for its asset.
    fn look_at_open_import(&self, asked: &Asked, c: &mut Checks) {
        let (asset, amount) = match asked.operation {
            Operation::ImportUsage { .. } => {
                let any = self.rules.keys().any(|(rule, _)| *rule == Rule::Importing);
                c.look("importing", refuse_unless(any, ResultCode::NotImporting));
                return;
            }
            Operation::ImportBalance { asset, amount, .. } => (asset, amount.0),
            Operation::ImportBet { asset, stake, .. } | Operation::ImportHold { asset, stake, .. } => {
                (asset, stake.0)
            }
            Operation::ImportReference { asset, .. } => {
                let open = self.rule(Rule::Importing, u64::from(asset.0)).is_some();
                c.look("importing", refuse_unless(open, ResultCode::NotImporting));
                return;
            }
            _ => unreachable!("an import"),
        };
        let total = self.rule(Rule::Importing, u64::from(asset.0));
        c.look("importing", refuse_unless(total.is_some(), ResultCode::NotImporting));
        let so_far = self.held(Account::Imports(asset)).unsigned_abs();
        let within = total.is_none_or(|total| so_far + amount <= total);
        c.look("total", refuse_unless(within, ResultCode::ImportExceeded));
    }

    fn look_at_transfer(&self, asked: &Asked, c: &mut Checks) {
        let Operation::Transfer { from, to, asset, amount, session } = asked.operation else {
            unreachable!("transfer")
        };
        c.look("same player", refuse_unless(from != to, ResultCode::SamePlayer));
        let switched_on = self
            .asset(asset)
            .map_or(Ok(()), |asset| refuse_unless(asset.transfers, ResultCode::TransferNotAllowed));
        c.look("transfers of it", switched_on);
        for (what, rule, code) in [
            ("transfers in brand", Rule::TransfersInBrand, ResultCode::TransferBrand),
            ("transfers in jurisdiction", Rule::TransfersInJurisdiction, ResultCode::TransferJurisdiction),
        ] {
            let allowed = [from, to].into_iter().all(|player| self.is_allowed(player, rule));
            c.look(what, refuse_unless(allowed, code));
        }
        let class = |player| self.player(player).map(|row| row.class).ok();
        let same = class(from) == class(to);
        c.look("class", refuse_unless(same, ResultCode::TransferClass));
        c.look("amount bound", self.amount_bound(asset, amount.0));
        c.look("status", self.may_play(from));
        c.look("check", self.is_checked(from));
        c.look("receiver's status", self.may_play(to));
        self.look_at_session(from, session, None, asked.now, c);
        self.look_at_freedom(from, asset, c);
    }

    /// Whether both assets have a price, and the exchange can be counted and gives enough.
    fn look_at_exchange(
        &self,
        (asset, amount): (AssetId, u128),
        (to, at_least): (AssetId, u128),
        now: Timestamp,
        c: &mut Checks,
    ) {
        let priced = self.price(asset).is_some() && self.price(to).is_some();
        c.look("rate", refuse_unless(priced, ResultCode::RateMissing));
        let old = self.is_price_old(asset, now) || self.is_price_old(to, now);
        c.look("rate's age", refuse_unless(!old, ResultCode::RateOld));
        let given = self.exchanged(asset, amount, to);
        let counted = given.is_none_or(|given| given.is_some_and(|given| given <= AMOUNT_MAX));
        c.look("countable", refuse_unless(counted, ResultCode::BalanceOverflow));
        let enough = given.flatten().is_none_or(|given| given > 0 && given >= at_least);
        c.look("enough", refuse_unless(enough, ResultCode::RateMoved));
    }

    /// What one whole unit is worth, in billionths of the reference asset's smallest unit.
    fn price(&self, asset: AssetId) -> Option<Big> {
        let scale = self.asset(asset).map_or(0, |row| u32::from(row.scale));
        if self.rule(Rule::ReferenceAsset, 0) == Some(u128::from(asset.0)) {
            return Some(Big::ten_to(scale + 9));
        }
        self.prices.get(&asset).map(|price| Big::new(price.0))
    }

    /// What an exchange gives, rounded down twice: nothing without a price, nothing inside if it cannot be counted.
    fn exchanged(&self, asset: AssetId, amount: u128, to: AssetId) -> Option<Option<u128>> {
        let whole = |asset| Big::ten_to(self.asset(asset).map_or(0, |row| u32::from(row.scale)));
        let (price, other_price) = (self.price(asset)?, self.price(to)?);
        let (worth, _) = Big::new(amount).times(&price).divided_by(&whole(asset));
        let Some(worth) = worth.small() else { return Some(None) };
        let (given, _) = Big::new(worth).times(&whole(to)).divided_by(&other_price);
        Some(given.small())
    }

    fn look_for_adjustment(
        &self,
        id: RequestId,
        player: PlayerId,
        asset: AssetId,
        c: &mut Checks,
    ) -> Option<AdjustmentRow> {
        let row = self.adjustments.get(&id);
        let ended = if row.is_some() { None } else { self.ending(Space::Adjustment, id.0) };
        let found = match (row, ended) {
            (Some(_), _) => Ok(()),
            (None, Some(End::Settled)) => Err(ResultCode::AdjustmentDone),
            (None, Some(End::Cancelled)) => Err(ResultCode::AdjustmentRejected),
            (None, _) => Err(ResultCode::AdjustmentUnknown),
        };
        c.find("proposal", found);
        let row = row?;
        let own = (row.player, row.asset) == (player, asset);
        c.look("owner", refuse_unless(own, ResultCode::AdjustmentDiffers));
        Some(row.clone())
    }

    pub(super) fn pay_correction(&mut self, asked: &Asked) -> Step {
        match asked.operation {
            Operation::ImportBalance { player, asset, amount, locked, .. } => {
                self.deed.named.locked = locked;
                self.pay_and_lock(player, asset, Account::Imports(asset), amount.0, locked)
            }
            Operation::ImportBet { asset, stake, game, .. } => {
                self.pay(Account::Imports(asset), Account::clearing(asset, game), stake.0)
            }
            Operation::ImportHold { player, asset, stake, .. } => {
                self.pay(Account::Imports(asset), Account::Reserved(asset, player), stake.0)
            }
            Operation::Transfer { from, to, asset, amount, .. } => {
                self.pay(Account::Available(asset, from), Account::Available(asset, to), amount.0)
            }
            Operation::Exchange { player, asset, amount, to, .. } => {
                let given = self.exchanged(asset, amount.0, to).flatten().unwrap_or(0);
                self.pay(Account::Available(asset, player), Account::Fx(asset), amount.0)?;
                self.pay(Account::Fx(to), Account::Available(to, player), given)
            }
            Operation::AdjustApprove { player, asset, adjustment } => {
                let AdjustmentRow { amount, debit, late, .. } = self.adjustments[&adjustment];
                let house = Account::Adjustments(asset);
                let other = late.map_or(house, |game| Account::clearing(asset, game));
                self.correct(player, asset, other, amount, debit)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn carry_out_correction(&mut self, asked: &Asked) -> ResultCode {
        match asked.operation {
            Operation::ImportBalance { player, asset, turnover, .. } => {
                self.add_turnover(player, asset, turnover.0);
            }
            Operation::ImportBet { .. } => self.import_bet(asked),
            Operation::ImportHold { .. } => self.import_hold(asked),
            Operation::ImportReference { .. } => self.import_reference(asked),
            Operation::ImportUsage { .. } => self.import_usage(asked),
            Operation::Transfer { .. } | Operation::Exchange { .. } => {}
            Operation::Adjust { player, asset, amount, debit, .. } => {
                let maker = asked.caller.actor;
                let row = AdjustmentRow { player, asset, amount: amount.0, debit, maker, late: None };
                self.adjustments.insert(asked.id, row);
            }
            Operation::AdjustApprove { adjustment, .. } => {
                self.end_adjustment(adjustment, End::Settled);
                return self.done_or_short();
            }
            Operation::AdjustReject { adjustment, .. } => self.end_adjustment(adjustment, End::Cancelled),
            _ => unreachable!("a correction"),
        }
        ResultCode::Done
    }

    fn end_adjustment(&mut self, id: RequestId, end: End) {
        self.adjustments.remove(&id);
        self.leave(About::ending(Space::Adjustment, id.0, end, None), self.next_lsn());
    }
}
