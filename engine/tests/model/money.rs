//! Where money lies, and how it goes from one place to another.
//!
//! In: two accounts and an amount. Out: the books after it, or why it cannot be. Never here: why it is paid.

use cage_engine::{Amount, AssetId, GameId, PlayerId, ResultCode, SessionId};

use super::{Model, Step, refuse_unless};

/// One place where money lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    Available(AssetId, PlayerId),
    Locked(AssetId, PlayerId),
    Reserved(AssetId, PlayerId),
    Allowance(AssetId, PlayerId),
    Withdrawing(AssetId, PlayerId),
    Provider(AssetId, u16),
    DepositChain(AssetId, u32),
    WithdrawalChain(AssetId, u32),
    Receivable(AssetId, PlayerId),
    WriteOffs(AssetId),
    Fees(AssetId),
    BonusExpense(AssetId),
    Jackpot(AssetId, u32),
    JackpotShortfall(AssetId, u32),
    Fx(AssetId),
    Adjustments(AssetId),
    Imports(AssetId),
}

impl Account {
    pub(crate) const fn asset(self) -> AssetId {
        match self {
            Self::Available(asset, _)
            | Self::Locked(asset, _)
            | Self::Reserved(asset, _)
            | Self::Allowance(asset, _)
            | Self::Withdrawing(asset, _)
            | Self::Provider(asset, _)
            | Self::DepositChain(asset, _)
            | Self::WithdrawalChain(asset, _)
            | Self::Receivable(asset, _)
            | Self::WriteOffs(asset)
            | Self::Fees(asset)
            | Self::BonusExpense(asset)
            | Self::Jackpot(asset, _)
            | Self::JackpotShortfall(asset, _)
            | Self::Fx(asset)
            | Self::Adjustments(asset)
            | Self::Imports(asset) => asset,
        }
    }

    /// Whether it is a player's purse: that never falls below zero.
    pub(crate) const fn is_player(self) -> bool {
        matches!(
            self,
            Self::Available(..)
                | Self::Locked(..)
                | Self::Reserved(..)
                | Self::Allowance(..)
                | Self::Withdrawing(..)
        )
    }

    pub(crate) const fn clearing(asset: AssetId, game: GameId) -> Self {
        Self::Provider(asset, game.provider())
    }
}

/// Money that went from one account to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) debit: Account,
    pub(crate) credit: Account,
    pub(crate) amount: Amount,
    pub(crate) debit_after: i128,
    pub(crate) credit_after: i128,
}

impl Model {
    pub(crate) fn held(&self, account: Account) -> i128 {
        self.money.get(&account).copied().unwrap_or(0)
    }

    /// What a player's purse holds; it never holds less than nothing.
    pub(crate) fn purse(&self, account: Account) -> u128 {
        u128::try_from(self.held(account)).expect("a player's purse is never below zero")
    }

    /// One leg, written even if it moves nothing.
    pub(super) fn pay(&mut self, debit: Account, credit: Account, amount: u128) -> Step {
        let signed = i128::try_from(amount).map_err(|_| ResultCode::BalanceOverflow)?;
        let debit_after = self.held(debit).checked_sub(signed).ok_or(ResultCode::BalanceOverflow)?;
        refuse_unless(!debit.is_player() || debit_after >= 0, ResultCode::InsufficientFunds)?;
        self.money.insert(debit, debit_after);
        let credit_after = self.held(credit).checked_add(signed).ok_or(ResultCode::BalanceOverflow)?;
        self.money.insert(credit, credit_after);
        // All that players hold in an asset is one number, too.
        let players = self.money.iter().filter(|(of, _)| of.asset() == debit.asset() && of.is_player());
        players
            .map(|(_, held)| *held)
            .try_fold(0_i128, i128::checked_add)
            .ok_or(ResultCode::BalanceOverflow)?;
        self.deed.moves.push(Move { debit, credit, amount: Amount(amount), debit_after, credit_after });
        Ok(())
    }

    /// One leg, written only if it moves something.
    pub(super) fn pay_if_any(&mut self, debit: Account, credit: Account, amount: u128) -> Step {
        if amount == 0 { Ok(()) } else { self.pay(debit, credit, amount) }
    }

    /// Gives a player something, if it is something.
    pub(super) fn give_if_any(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        from: Account,
        amount: u128,
    ) -> Step {
        self.pay_if_any(from, Account::Available(asset, player), amount)
    }

    /// Takes from what the player has available as much as there is; the rest the player owes.
    pub(super) fn take(&mut self, player: PlayerId, asset: AssetId, to: Account, amount: u128) -> Step {
        let available = Account::Available(asset, player);
        let covered = self.purse(available).min(amount);
        self.deed.short = covered < amount;
        self.pay_if_any(available, to, covered)?;
        self.pay_if_any(Account::Receivable(asset, player), to, amount - covered)
    }

    /// Gives a player money, or takes it.
    pub(super) fn correct(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        other: Account,
        amount: u128,
        debit: bool,
    ) -> Step {
        if debit {
            self.take(player, asset, other, amount)
        } else {
            self.give_if_any(player, asset, other, amount)
        }
    }

    /// Whether a stake in this session and asset comes from the session's credit meter.
    pub(super) fn is_metered(&self, session: SessionId, asset: AssetId) -> bool {
        self.sessions.get(&session).is_some_and(|row| row.asset == Some(asset))
    }

    /// A stake, from the session's credit meter, topped up if need be, or from what is available.
    pub(super) fn pay_stake(
        &mut self,
        player: PlayerId,
        asset: AssetId,
        session: SessionId,
        to: Account,
        stake: u128,
    ) -> Step {
        let available = Account::Available(asset, player);
        if !self.is_metered(session, asset) {
            return self.pay(available, to, stake);
        }
        let mut meter = self.sessions[&session].clone();
        let allowance = Account::Allowance(asset, player);
        let shortfall = stake.saturating_sub(meter.remainder);
        refuse_unless(shortfall <= meter.topup_left, ResultCode::InsufficientFunds)?;
        self.pay_if_any(available, allowance, shortfall)?;
        self.pay(allowance, to, stake)?;
        meter.topup_left -= shortfall;
        meter.remainder = meter.remainder + shortfall - stake;
        self.sessions.insert(session, meter);
        Ok(())
    }

    /// The purse that payouts and refunds of a wager go to: the meter that the stake came from if its session is
    /// open, or what is available.
    pub(super) fn payout_purse(
        &self,
        player: PlayerId,
        asset: AssetId,
        session: SessionId,
        metered: bool,
    ) -> Account {
        if metered && self.sessions.get(&session).is_some_and(|row| !row.revoked) {
            Account::Allowance(asset, player)
        } else {
            Account::Available(asset, player)
        }
    }

    /// One leg to the purse for payouts, which the meter has to know of.
    pub(super) fn pay_out(
        &mut self,
        debit: Account,
        purse: Account,
        session: SessionId,
        amount: u128,
    ) -> Step {
        self.pay(debit, purse, amount)?;
        if matches!(purse, Account::Allowance(..)) {
            let meter = self.sessions.get_mut(&session).expect("a meter's session is open");
            meter.remainder += amount;
        }
        Ok(())
    }

    /// What players (or the house) hold together. Only the end of the sum has to fit.
    pub(crate) fn total(&self, asset: AssetId, players: bool) -> i128 {
        let held = self.money.iter();
        held.filter(|(account, _)| account.asset() == asset && account.is_player() == players)
            .fold(0, |sum: i128, (_, held)| sum.wrapping_add(*held))
    }

    /// What a player owes the house.
    pub(crate) fn owed(&self, player: PlayerId, asset: AssetId) -> u128 {
        self.held(Account::Receivable(asset, player)).min(0).unsigned_abs()
    }

    /// Who owes something and has something.
    pub(super) fn collectable(&self) -> Vec<(PlayerId, AssetId)> {
        let debtors = self.money.keys().filter_map(|account| match *account {
            Account::Receivable(asset, player) => Some((player, asset)),
            _ => None,
        });
        debtors
            .filter(|(player, asset)| {
                self.owed(*player, *asset) > 0 && self.held(Account::Available(*asset, *player)) > 0
            })
            .collect()
    }
}
