//! Everything that can be seen of the books, engine against model, and the laws that hold for any books.

use cage_engine::field::{LockReason, Rule};
use cage_engine::state::{Ending, Stage, Wager};
use cage_engine::{
    AssetId, Balance, GameId, LimitKind, Period, PlayerId, Purse, Reference, RequestId, Role, SessionId,
};

use crate::model::books::{HoldRow, RoundRow, SessionRow, WagerRow};
use crate::model::memory::{End, Space};
use crate::run::{Run, account_id};

const COUNTED: [LimitKind; 4] =
    [LimitKind::Loss, LimitKind::Wager, LimitKind::Deposit, LimitKind::DepositNet];
const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];

impl Run {
    /// Compares all tables.
    pub(crate) fn compare_books(&self, games: &[GameId]) {
        assert_eq!(self.state.settings(), self.model.settings);
        self.compare_house(games);
        self.compare_players();
        self.compare_holds();
        self.compare_wagers();
        self.compare_sessions();
        self.compare_cashier();
        self.compare_limits();
        self.check_laws();
    }

    fn compare_house(&self, games: &[GameId]) {
        let Self { state, model, .. } = self;
        for (account, held) in model.money.iter() {
            assert_eq!(state.balance(account_id(*account)).0, *held, "{account:?}");
        }
        let known: Vec<_> = model.money.keys().map(|account| account_id(*account)).collect();
        for (account, held) in state.house_accounts() {
            assert!(held == Balance::ZERO || known.contains(&account), "{account} is not the model's");
        }
        assert_eq!(state.asset_ids().count(), model.assets.len());
        for (asset, expected) in state.asset_ids().zip(model.assets.iter()) {
            let row = state.asset(asset).expect("a listed asset");
            let facts = (row.code, row.scale, row.transfers, row.amount_max);
            assert_eq!(facts, (expected.code, expected.scale, expected.transfers, expected.amount_max));
            assert_eq!(row.players_total.0, model.total(asset, true));
            assert_eq!(row.house_total.0, model.total(asset, false));
            assert_eq!(state.price(asset), model.prices.get(&asset).copied());
            for game in games {
                assert_eq!(state.exposure(*game, asset).0, model.exposure(*game, asset), "exposure");
            }
        }
        for ((rule, scope), value) in model.rules.iter() {
            assert_eq!(state.rule(*rule, *scope), Some(*value), "{}", rule.name());
        }
        for rule in Rule::ALL {
            for scope in 0..3 {
                assert_eq!(state.rule(*rule, scope), model.rule(*rule, scope), "{}", rule.name());
            }
        }
        for ((provider, asset), (day, sum)) in model.corrected.iter() {
            let day = cage_engine::limits::Day(*day as i32);
            assert_eq!(state.corrected(*provider, *asset, day).0, *sum, "corrections of provider {provider}");
        }
        for ((role, venue), number) in model.grants.iter() {
            assert_eq!(state.granted(*role, *venue), *number);
        }
        assert_eq!(state.granted(Role::Risk, 0), 0, "only bridges are granted anything");
        for game in games {
            assert_eq!(state.is_disabled(*game), model.disabled.contains(game));
        }
        for ((pool, asset), left_over) in model.pools.iter() {
            assert_eq!(u128::from(state.pool_remainder(*pool, *asset)), *left_over);
        }
    }

    fn compare_players(&self) {
        let Self { state, model, .. } = self;
        assert_eq!(state.player_count(), model.players.len());
        for ((number, player), expected) in state.players().zip(model.players.iter()) {
            let facts = (player.caller_id, player.brand, player.jurisdiction, player.class);
            let wanted = (expected.caller_id, expected.brand, expected.jurisdiction, expected.class);
            assert_eq!(facts, wanted);
            assert_eq!((player.status, player.reason), (expected.status, expected.reason));
            let held = (player.kyc_held, player.kyc_reason);
            assert_eq!(held, (expected.unchecked, expected.check_reason));
            assert_eq!(state.latest(number).0, model.latest(number));
            assert_eq!(state.player_of(player.caller_id), Some(number));
            for asset in state.asset_ids().take(8) {
                let turnover = model.turnover.get(&(number, asset)).copied().unwrap_or(0);
                assert_eq!(state.turnover(number, asset).0, turnover, "turnover");
                assert_eq!(state.owed(number, asset).0, model.owed(number, asset), "debts");
                for reason in LockReason::ALL {
                    let locked = model.locked_for(number, asset, *reason);
                    assert_eq!(state.locked(number, asset, *reason).0, locked, "{}", reason.name());
                }
            }
        }
        for ((player, chain), number) in model.addresses.iter() {
            assert_eq!(state.address(*player, *chain), Some(*number));
        }
    }

    fn compare_holds(&self) {
        let Self { state, model, .. } = self;
        assert_eq!(state.hold_count(), model.holds.len());
        for (id, expected) in model.holds.iter() {
            let hold = state.hold(*id).expect("a hold of the model's");
            let seen = HoldRow {
                opened: hold.opened.0,
                counted_on: hold.counted_on.0.into(),
                player: hold.player,
                asset: hold.asset,
                game: hold.game,
                session: hold.session,
                metered: hold.metered,
                round: (hold.round.0 != 0).then_some(hold.round),
                deadline: hold.deadline,
                remaining: hold.remaining.0,
                payout_left: hold.payout_left.0,
                counted: hold.counted,
                settled_in_part: hold.settled_in_part,
            };
            assert_eq!(seen, *expected, "{id}");
        }
        for (space, key) in model.remembered_keys() {
            let expected = model.ending(space, key).map(ending);
            match space {
                Space::Hold => assert_eq!(state.ending(RequestId(key)), expected, "the end of a hold"),
                Space::Wager => assert_eq!(state.wager_ending(Reference(key)), expected, "of a bet or win"),
                Space::Round => assert_eq!(state.round_ending(Reference(key)), expected, "of a round"),
                _ => {}
            }
        }
    }

    fn compare_wagers(&self) {
        let Self { state, model, .. } = self;
        assert_eq!(state.wagers().count(), model.wagers.len());
        for (key, expected) in model.wagers.iter() {
            let row = state.wager(*key).expect("a bet or win of the model's");
            assert_eq!(seen(row, expected), *expected, "{key}");
        }
        let kept: Vec<_> = state.closed_wagers().map(|row| row.key).collect();
        assert_eq!(kept, model.kept.iter().copied().collect::<Vec<_>>(), "bets and wins of closed rounds");
        for (key, expected) in model.closed.iter() {
            let row = state.closed_wager(*key).expect("a closed bet or win of the model's");
            assert_eq!(seen(row, expected), *expected, "closed {key}");
            assert!(state.wager(*key).is_none(), "{key} is open or closed, not both");
        }
        assert_eq!(model.closed.len(), kept.len());
        assert_eq!(state.rounds().count(), model.rounds.len());
        for (key, expected) in model.rounds.iter() {
            let round = state.round(*key).expect("a round of the model's");
            let mut rows = Vec::new();
            let mut next = round.first;
            while let Some(row) = state.wager(next) {
                rows.push(next);
                next = row.next;
            }
            let seen = RoundRow {
                player: round.player,
                asset: round.asset,
                game: round.game,
                opened: round.opened.0,
                closes: round.closes,
                open_holds: round.open_holds,
                rows,
                stake: round.stake.0,
                loose: expected.loose.clone(),
                wagered_by_holds: expected.wagered_by_holds,
                won: round.won.0,
            };
            assert_eq!(seen, *expected, "{key}");
        }
    }

    fn compare_sessions(&self) {
        let Self { state, model, .. } = self;
        assert_eq!(state.sessions().count(), model.sessions.len());
        assert_eq!(state.last_session(), SessionId(model.sessions_opened));
        for (number, expected) in model.sessions.iter() {
            let row = state.session(*number).expect("a session of the model's");
            let seen = SessionRow {
                player: row.player,
                token: row.token,
                asset: (row.asset != AssetId::NONE).then_some(row.asset),
                game: row.game,
                expires: row.expires,
                revoked: row.revoked,
                topup_max: row.topup_max.0,
                topup_left: row.topup_left.0,
                remainder: row.remainder.0,
            };
            assert_eq!(seen, *expected, "{number:?}");
            assert_eq!(state.session_of(row.token), Some(*number));
            assert_eq!(state.is_session_open(*number), !row.revoked);
        }
    }

    fn compare_cashier(&self) {
        let Self { state, model, .. } = self;
        for (key, expected) in model.deposits.iter() {
            let row = state.deposit(*key).expect("a deposit of the model's");
            assert_eq!((row.player, row.asset, row.chain), (expected.player, expected.asset, expected.chain));
            assert_eq!((row.amount.0, row.reversed.0), (expected.amount, expected.reversed));
            assert_eq!(row.locked, expected.locked);
        }
        assert_eq!(state.withdrawals().count(), model.withdrawals.len());
        for (id, expected) in model.withdrawals.iter() {
            let row = state.withdrawal(*id).expect("a withdrawal of the model's");
            assert_eq!((row.player, row.asset, row.chain), (expected.player, expected.asset, expected.chain));
            assert_eq!((row.amount.0, row.fee.0), (expected.amount, expected.fee));
            assert_eq!(row.destination, expected.destination);
            let drawn = LockReason::WITHDRAWABLE.into_iter().zip(row.locked).filter(|(_, part)| *part > 0);
            assert_eq!(drawn.collect::<Vec<_>>(), expected.drawn);
            let stage = match row.stage {
                Stage::Requested => crate::model::books::Stage::Requested,
                Stage::Approved => crate::model::books::Stage::Approved,
                Stage::Signed => crate::model::books::Stage::Signed,
            };
            assert_eq!(stage, expected.stage);
            let kept = row.transactions.iter().filter(|kept| **kept != 0);
            assert!(kept.clone().all(|kept| expected.transactions.contains(kept)));
            assert_eq!(kept.count(), expected.transactions.len());
        }
        for (id, expected) in model.adjustments.iter() {
            let row = state.adjustment(*id).expect("a proposal of the model's");
            assert_eq!((row.player, row.asset, row.maker), (expected.player, expected.asset, expected.maker));
            assert_eq!((row.amount.0, row.debit), (expected.amount, expected.debit));
            assert_eq!(row.late.then_some(row.game), expected.late);
        }
        for (id, expected) in model.freerounds.iter() {
            let row = state.freeround(*id).expect("free rounds of the model's");
            assert_eq!((row.player, row.asset, row.game), (expected.player, expected.asset, expected.game));
            assert_eq!((row.left, row.bet_value.0, row.expires), {
                (expected.left, expected.bet_value, expected.expires)
            });
        }
        for (id, expected) in model.orders.iter() {
            let row = state.void_order(*id).expect("an order of the model's");
            assert_eq!(row.maker, expected.maker);
            assert_eq!((row.game, row.asset, row.from.0), (expected.game, expected.asset, expected.from));
            assert_eq!((row.to.0, row.amount_max.0), (expected.to, expected.amount_max));
            assert_eq!((row.moved.0, row.count, row.done), (expected.moved, expected.count, expected.done));
        }
    }

    fn compare_limits(&self) {
        let Self { state, model, .. } = self;
        let now = model.clock;
        for (number, _) in state.players() {
            let row = state.limits(number);
            assert_eq!(row.is_some(), model.blocks.contains_key(&number), "who is counted");
            let Some(row) = row else { continue };
            let today = state.day(number, now);
            let one_bet = row.usage.bound(LimitKind::Bet, Period::Once).and_then(|bound| bound.in_force(now));
            assert_eq!(one_bet, model.limit(number, LimitKind::Bet, Period::Once, now));
            for (kind, period) in COUNTED.into_iter().flat_map(|kind| PERIODS.map(|period| (kind, period))) {
                let used = model.used(number, kind, period, now);
                let seen = row.usage.used(kind, period, today);
                assert_eq!(seen, used, "{} by {}", kind.name(), period.name());
                let limit = row.usage.bound(kind, period).and_then(|bound| bound.in_force(now));
                assert_eq!(limit, model.limit(number, kind, period, now));
            }
        }
    }

    /// What must be true of any books, whatever was asked; said of the engine's alone.
    fn check_laws(&self) {
        let state = &self.state;
        for asset in state.asset_ids() {
            let row = state.asset(asset).expect("a listed asset");
            assert_eq!(state.recomputed_sum(asset), Balance::ZERO, "the sum over all accounts is zero");
            assert_eq!(row.players_total.0 + row.house_total.0, 0, "players and house balance");
            for (player, _) in state.players() {
                self.check_purses(player, asset);
            }
        }
    }

    fn check_purses(&self, player: PlayerId, asset: AssetId) {
        let state = &self.state;
        let held = |purse| state.balance(cage_engine::AccountId::of_player(asset, purse, player));
        let own = |of: (PlayerId, AssetId)| of == (player, asset);
        let holds = state.holds().filter(|row| own((row.player, row.asset)));
        let reserved: u128 = holds.map(|row| row.remaining.0).sum();
        let sessions = state.sessions().filter(|row| own((row.player, row.asset)));
        let allowance: u128 = sessions.map(|row| row.remainder.0).sum();
        let locked: u128 = LockReason::ALL.iter().map(|why| state.locked(player, asset, *why).0).sum();
        let withdrawals = state.withdrawals().filter(|row| own((row.player, row.asset)));
        let withdrawing: u128 = withdrawals.map(|row| row.amount.0).sum();
        for (purse, parts) in [
            (Purse::Reserved, reserved),
            (Purse::Allowance, allowance),
            (Purse::Locked, locked),
            (Purse::Withdrawing, withdrawing),
            (Purse::Bonus, 0),
        ] {
            assert_eq!(held(purse).0, parts as i128, "a purse is the sum of its parts: {}", purse.name());
        }
        assert!(held(Purse::Available) >= Balance::ZERO, "no purse is below zero");
    }
}

const fn ending(end: End) -> Ending {
    match end {
        End::Settled => Ending::Settled,
        End::Cancelled => Ending::Cancelled,
        End::Expired => Ending::Expired,
        End::Tombstone => Ending::Tombstone,
        End::Refused => Ending::Refused,
    }
}

/// A row as the model has it. What was asked stands in the records.
fn seen(row: &Wager, expected: &WagerRow) -> WagerRow {
    WagerRow {
        is_win: row.is_win,
        opened: row.opened.0,
        counted_on: row.counted_on.0.into(),
        player: row.player,
        asset: row.asset,
        game: row.game,
        session: row.session,
        metered: row.metered,
        round: row.round,
        bet: (row.bet.0 != 0).then_some(row.bet),
        stake: row.stake.0,
        payout_left: row.payout_left.0,
        at_once: row.paid.0,
        wins: row.wins,
        undone: row.undone,
        counted: row.counted,
        counted_paid: row.counted_paid,
        turned: row.turned.0,
        content: expected.content,
    }
}
