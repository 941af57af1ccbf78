//! What a bridge does that withdrawals have due.
//!
//! In: what is due. Out: planned, signed, on record, sent, settled; each step durable before the next one. Never here:
//! two slots for one withdrawal, bytes sent that the ledger has not on record.

use cage_client::Error;
use cage_client::engine::{Amount, Operation, RequestId, ResultCode};

use super::{Alarm, Bridge, BridgeFault, Ledger, Point, drill};
use crate::ethers::Transfer;
use crate::signer::{Signer, SignerFault};
use crate::source::{ChainPayer, ChainSource, Sent};
use crate::types::{Coin, Quantity, Tips};
use crate::withdrawals::{Concern, Due, Ended};

impl<C: ChainSource + ChainPayer, L: Ledger, S: Signer> Bridge<C, L, S> {
    /// Does what is due of withdrawals, one step of each. New ones are begun only when the chain is caught up with:
    /// before that it is not known what the wallet has sent.
    pub(super) async fn do_withdrawals(&mut self, tips: &Tips, caught_up: bool) -> Result<(), BridgeFault> {
        let Some(wallet) = self.signer.as_ref().map(Signer::address) else { return Ok(()) };
        if !caught_up {
            return Ok(());
        }
        if self.withdrawals.slots() == super::Slots::default() {
            let used = self.chain.slots_used(wallet).await?;
            self.withdrawals.begin_at(used);
        }
        // Each withdrawal goes as many steps as it can: a plan is signed, recorded and sent in one turn.
        for _ in 0..STEPS_MAX {
            let due = self.withdrawals.due(tips, self.tripped.is_none());
            if due.is_empty() {
                break;
            }
            let mut went_on = false;
            for due in due {
                went_on |= self.do_one(due, tips).await?;
            }
            if !went_on {
                break;
            }
        }
        self.alarm_of_concerns();
        Ok(())
    }

    /// Does one step. Says whether the withdrawal is another one now.
    async fn do_one(&mut self, due: Due, tips: &Tips) -> Result<bool, BridgeFault> {
        let drill = |point| drill::reached(point, self.settings.drill);
        let after = match due {
            Due::Plan(_) => {
                drill(Point::Approved);
                Some(Point::Planned)
            }
            Due::Sign(..) => Some(Point::Signed),
            Due::Record { .. } => Some(Point::Recorded),
            Due::Send { .. } => Some(Point::Sent),
            Due::Replace(_) => None,
            Due::Settle { .. } | Due::Release { .. } => {
                drill(Point::Mined);
                None
            }
        };
        let went_on = match due {
            Due::Plan(id) => self.plan(id, tips).await?,
            Due::Sign(id, transfer) => self.sign(id, &transfer).await?,
            Due::Record { .. } => self.record(due).await?,
            Due::Send { id, transaction, raw } => {
                let sent = self.chain.broadcast(&raw, transaction).await;
                if let Sent::Unknown(reason) = &sent {
                    tracing::warn!(%transaction, reason, "sent, and nobody says whether it arrived: it is sent again");
                }
                self.withdrawals.sent(id, transaction, tips.latest.height);
                true
            }
            Due::Replace(id) => self.replace(id).await?,
            Due::Settle { .. } | Due::Release { .. } => self.end(due).await?,
        };
        self.write_down(vec![])?;
        after.filter(|_| went_on).into_iter().for_each(|point| drill::reached(point, self.settings.drill));
        Ok(went_on)
    }

    async fn plan(&mut self, id: RequestId, tips: &Tips) -> Result<bool, BridgeFault> {
        let Some((to, coin, units)) = self.payment(id) else { return Ok(false) };
        let Some(wallet) = self.signer.as_ref().map(Signer::address) else { return Ok(false) };
        if self.book.contains(&to) {
            self.withdrawals.object(id, Concern::OwnDestination);
            return Ok(false);
        }
        let fees = self.chain.fees().await?;
        let spendable = self.spendable(wallet, coin, tips).await?;
        // Nobody can tell the work of a transfer that the wallet could not pay.
        let gas = if spendable.0 < units { 0 } else { self.chain.work(wallet, to, coin, units).await? };
        let concern = self.withdrawals.plan(id, fees, gas, spendable, tips.latest.time_s);
        Ok(concern.is_none())
    }

    fn payment(&self, id: RequestId) -> Option<(crate::types::Address, Coin, u128)> {
        let row = self.withdrawals.row(id)?;
        row.to.zip(row.coin).map(|(to, coin)| (to, coin, row.units))
    }

    /// What the wallet has beyond what is bound: of the coin, and of native coin.
    async fn spendable(
        &self,
        wallet: crate::types::Address,
        coin: Coin,
        tips: &Tips,
    ) -> Result<(u128, u128), BridgeFault> {
        let held = |quantity| if let Quantity::Units(units) = quantity { units } else { u128::MAX };
        let native = held(self.chain.holding(&tips.latest, wallet, Coin::Native).await?);
        let of_coin = match coin {
            Coin::Native => native,
            Coin::Token(_) => held(self.chain.holding(&tips.latest, wallet, coin).await?),
        };
        let bound = self.withdrawals.committed(coin);
        Ok((of_coin.saturating_sub(bound.0), native.saturating_sub(bound.1)))
    }

    async fn sign(&mut self, id: RequestId, transfer: &Transfer) -> Result<bool, BridgeFault> {
        let Some(signer) = &self.signer else { return Ok(false) };
        match signer.sign(id, transfer).await {
            Ok(signed) => {
                self.alarms.clear(Alarm::SignerUnusable);
                self.withdrawals.signed(id, transfer, signed.raw, signed.transaction);
                Ok(true)
            }
            Err(fault @ (SignerFault::NoAnswer(_) | SignerFault::Refused(_))) => {
                self.alarms.raise(Alarm::SignerUnusable, &fault);
                Ok(false)
            }
        }
    }

    async fn record(&mut self, due: Due) -> Result<bool, BridgeFault> {
        let Due::Record { id, key, player, asset, slot, cost_max, transaction } = due else {
            return Ok(false);
        };
        let operation = Operation::WithdrawSigned {
            player,
            asset,
            withdrawal: id,
            chain: self.settings.chain,
            cost_max: Amount(cost_max),
            slot: u128::from(slot),
            transaction: crate::withdrawals::prefix(transaction),
        };
        match self.ledger.ask(key, operation).await {
            Ok(_) => {
                self.withdrawals.recorded(id, transaction);
                Ok(true)
            }
            Err(error) => self.refused(id, &error).map(|()| false),
        }
    }

    fn refused(&mut self, id: RequestId, error: &Error) -> Result<(), BridgeFault> {
        match error.code() {
            Some(ResultCode::Fenced) => Err(BridgeFault::Fenced),
            _ if error.may_retry() => Err((*error).into()),
            Some(ResultCode::WithdrawalCancelled) => {
                self.withdrawals.not_recorded(id, ResultCode::WithdrawalCancelled.number());
                self.withdrawals.ended(id, Ended::GivenUp);
                Ok(())
            }
            code => {
                self.withdrawals.not_recorded(id, code.map_or(0, ResultCode::number));
                Ok(())
            }
        }
    }

    async fn replace(&mut self, id: RequestId) -> Result<bool, BridgeFault> {
        let Some((to, coin, units)) = self.payment(id) else { return Ok(false) };
        let Some(wallet) = self.signer.as_ref().map(Signer::address) else { return Ok(false) };
        let fees = self.chain.fees().await?;
        let gas = self.chain.work(wallet, to, coin, units).await?;
        Ok(self.withdrawals.replace(id, fees, gas).is_none())
    }

    async fn end(&mut self, due: Due) -> Result<bool, BridgeFault> {
        let chain = self.settings.chain;
        let (id, how, answer) = match due {
            Due::Settle { id, key, player, asset, transaction } => {
                let transaction = transaction.0;
                let operation =
                    Operation::WithdrawSettle { player, asset, withdrawal: id, chain, transaction };
                (id, Ended::Settled, self.ledger.ask(key, operation).await)
            }
            Due::Release { id, player, asset, evidence } => {
                let evidence = evidence.0;
                let operation = Operation::WithdrawRelease { player, asset, withdrawal: id, chain, evidence };
                (id, Ended::GivenUp, self.ledger.ask(self.ledger.mint_id(), operation).await)
            }
            _ => return Ok(false),
        };
        match answer {
            Ok(_) => self.withdrawals.ended(id, how),
            Err(error) => match error.code() {
                Some(ResultCode::Fenced) => return Err(BridgeFault::Fenced),
                _ if error.may_retry() => return Err(error.into()),
                Some(ResultCode::WithdrawalSettled) => self.withdrawals.ended(id, Ended::Settled),
                Some(ResultCode::WithdrawalCancelled) => self.withdrawals.ended(id, Ended::GivenUp),
                _ => {
                    self.alarms.raise(
                        Alarm::LedgerRefused,
                        &format!("the end of withdrawal {:032x}: {error}", id.0),
                    );
                    return Ok(false);
                }
            },
        }
        Ok(true)
    }

    fn alarm_of_concerns(&mut self) {
        let with = |wanted: fn(Concern) -> bool| {
            let rows = self.withdrawals.rows().filter(|row| row.concern.is_some_and(wanted));
            rows.map(|row| format!("withdrawal {:032x}: {:?}", row.id, row.concern)).next()
        };
        let short = with(|concern| concern == Concern::WalletShort);
        let review = with(|concern| !concern.passes());
        let vanished = self.withdrawals.vanished().next().map(|row| {
            format!("withdrawal {:032x} is paid in the ledger and not on the chain: it is sent again", row.id)
        });
        let found =
            [(Alarm::WalletShort, short), (Alarm::Review, review), (Alarm::PaymentVanished, vanished)];
        for (alarm, text) in found {
            match text {
                Some(text) => self.alarms.raise(alarm, &text),
                None => self.alarms.clear(alarm),
            }
        }
    }
}

/// Plan, sign, record, send, and one for what a refusal leaves.
const STEPS_MAX: usize = 5;
