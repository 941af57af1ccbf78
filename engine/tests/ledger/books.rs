//! The books added up from scratch: what each purse must hold by what is open, and what the house must cover.

use cage_engine::{AccountId, AssetId, Balance, GameId, LockReason, PlayerId, Purse, State};

const PURSES: [Purse; 6] =
    [Purse::Available, Purse::Locked, Purse::Reserved, Purse::Allowance, Purse::Withdrawing, Purse::Bonus];

/// Fails if anything does not add up. `games` are those that the scene plays.
pub(crate) fn add_up(state: &State, games: &[GameId]) {
    for asset in state.asset_ids() {
        assert_eq!(state.recomputed_sum(asset), Balance::ZERO, "asset {asset}: nothing comes from nothing");
        let sums = state.asset(asset).expect("an asset");
        assert_eq!(sums.players_total.0 + sums.house_total.0, 0, "asset {asset}: the running totals");
        for (player, _) in state.players() {
            add_up_player(state, player, asset);
        }
        for game in games {
            let open = state.holds().map(|hold| (hold.game, hold.asset, hold.payout_left.0));
            let bets = state.wagers().map(|bet| (bet.game, bet.asset, bet.payout_left.0));
            let owed = open.chain(bets).filter(|(of, in_asset, _)| (of, in_asset) == (game, &asset));
            let owed: u128 = owed.map(|(_, _, left)| left).sum();
            assert_eq!(state.exposure(*game, asset).0, owed, "what game {game:?} can pay in asset {asset}");
        }
    }
    for round in state.rounds() {
        let holds = state.holds().filter(|hold| hold.round == round.key).count();
        assert_eq!(round.open_holds as usize, holds, "undecided holds of round {}", round.key);
        let mut listed = Vec::new();
        let mut next = round.first;
        while let Some(wager) = state.wager(next) {
            assert_eq!(wager.previous, listed.last().copied().unwrap_or_default());
            listed.push(next);
            next = wager.next;
        }
        assert_eq!(round.last, listed.last().copied().unwrap_or_default());
        let own = || state.wagers().filter(|wager| wager.round == round.key);
        assert_eq!(own().count(), listed.len(), "every bet and win of a round is in its list");
        let staked: u128 = own().filter(|wager| !wager.is_win).map(|bet| bet.stake.0).sum();
        let won: u128 = own().filter(|wager| wager.is_win && !wager.undone).map(|win| win.stake.0).sum();
        for bet in own().filter(|wager| !wager.is_win) {
            let wins = own().filter(|win| win.is_win && !win.undone && win.bet == bet.key);
            assert_eq!(bet.wins as usize, wins.count(), "the wins of bet {}", bet.key);
        }
        assert!(round.stake.0 >= staked && round.won.0 >= won, "round {}", round.key);
    }
}

fn add_up_player(state: &State, player: PlayerId, asset: AssetId) {
    let held = |purse| state.balance(AccountId::of_player(asset, purse, player)).0;
    for purse in PURSES {
        assert!(held(purse) >= 0, "{}:{player} is {}", purse.name(), held(purse));
    }
    let own = |of: PlayerId, in_asset: AssetId| (of, in_asset) == (player, asset);
    let must = |purse: Purse, amounts: &mut dyn Iterator<Item = u128>| {
        let sum: u128 = amounts.sum();
        assert_eq!(held(purse), i128::try_from(sum).expect("a sum"), "{}:{player}", purse.name());
    };
    let holds = state.holds().filter(|hold| own(hold.player, hold.asset));
    must(Purse::Reserved, &mut holds.map(|hold| hold.remaining.0));
    let sessions = state.sessions().filter(|session| own(session.player, session.asset));
    must(Purse::Allowance, &mut sessions.map(|session| session.remainder.0));
    let reasons = LockReason::ALL.iter();
    must(Purse::Locked, &mut reasons.map(|reason| state.locked(player, asset, *reason).0));
    let withdrawals = state.withdrawals().filter(|row| own(row.player, row.asset));
    must(Purse::Withdrawing, &mut withdrawals.map(|row| row.amount.0));
    let receivable = state.balance(AccountId::receivable(asset, player)).0;
    assert!(receivable <= 0, "nobody is owed by the house through a receivable");
    assert_eq!(state.owed(player, asset).0, receivable.unsigned_abs());
}
